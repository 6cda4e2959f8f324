"""The small benchmark that many of these tests grade."""

from pathlib import Path

import pytest

from helpers.candidates import write_jsonl
from helpers.eval_runs import TASKS


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Its file."""
    return write_jsonl(tmp_path / "own.jsonl", TASKS)


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No benchmark file or ground truth of this machine is found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("HUMANEVAL_OVERRIDE_PATH", raising=False)
