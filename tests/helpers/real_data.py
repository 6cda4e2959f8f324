"""Real data: the slices that ship in `tests/data`, and the whole files where they are kept."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import ROOT

SLICES = ROOT / "tests" / "data"
WHOLE = ROOT.parent / "shared" / "data"


def whole_file(name: str) -> Path:
    """A file that does not ship with the repository, or a loud skip where it is not at hand."""
    path = WHOLE / name
    if not path.exists():
        pytest.skip(f"needs {path}, which is not part of the repository")
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a JSONL.gz file."""
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def answers(name: str) -> list[dict[str, Any]]:
    """Problems with the solutions and tests that a model wrote for them: `codegen-16b` and
    `qwen-0.5b` ship with the repository, `modern` (GPT-4o, GPT-3.5, DeepSeek-Coder) does not.
    """
    if name == "codegen-16b":
        return rows(SLICES / "humaneval_codegen16b.jsonl.gz")
    if name == "modern":
        return rows(whole_file("mbpp_modern_dev.jsonl.gz"))
    return _qwen()


def _qwen() -> list[dict[str, Any]]:
    """Programs and asserts as they stand in the model's answers."""
    from codedpo_plugin.parsing.extraction import code_of
    from codedpo_plugin.parsing.snippets import snippets_of

    found = {
        row["task_id"]: row | {"solutions": [], "tests": []}
        for row in rows(SLICES / "mbpp_problems.jsonl.gz")
    }
    for one in rows(SLICES / "mbpp_answers_qwen0.5b.jsonl.gz"):
        row = found[one["task_id"]]
        if one["role"] == "tests":
            row["tests"] += snippets_of(one["text"], row["entry_point"])
        elif program := code_of(one["text"], row["entry_point"]):
            row["solutions"].append(program)
    return list(found.values())
