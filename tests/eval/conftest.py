"""The small benchmark that many of these tests grade."""

from pathlib import Path

import pytest

from helpers.candidates import write_jsonl
from helpers.eval_runs import TASKS


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Its file."""
    return write_jsonl(tmp_path / "own.jsonl", TASKS)
