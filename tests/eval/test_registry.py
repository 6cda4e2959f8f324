"""Benchmarks by name: their files are found, or downloaded once, and other files are refused."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from codedpo_eval.benchmarks import registry as benchmarks
from codedpo_plugin.errors import InputError
from helpers.candidates import write_jsonl
from helpers.eval_runs import evalplus_task

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def double(tmp_path: Path) -> Path:
    code = "    return [2 * n for n in x]\n"
    rows = [evalplus_task("double", 0, code, [[[1]]], [[[1, 2]], [[]], [[3]]])]
    return write_jsonl(tmp_path / "file.jsonl", rows)


def test_files_are_found(tmp_path: Path, double: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    released = tmp_path / "release.jsonl.gz"
    released.write_bytes(gzip.compress(double.read_bytes()))
    known = replace(benchmarks.KNOWN["humaneval"], url=released.as_uri())
    monkeypatch.setitem(benchmarks.KNOWN, "humaneval", known)
    first = benchmarks.load("humaneval")
    released.unlink()
    assert benchmarks.load("humaneval").sha256 == first.sha256  # kept
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", str(double))
    assert benchmarks.load("humaneval").path == double
    monkeypatch.delenv("HUMANEVAL_OVERRIDE_PATH")
    first.path.unlink()
    with pytest.raises(InputError, match="name it with --data FILE, or in HUMANEVAL_OVERRIDE_PATH"):
        benchmarks.load("humaneval")


def test_other_files_under_these_names_are_refused(tmp_path: Path) -> None:
    row = evalplus_task("f", 0, "", [], [])
    row.pop("base_input")
    with pytest.raises(InputError, match="line 1: no column base_input; HumanEvalPlus"):
        benchmarks.load("humaneval+", write_jsonl(tmp_path / "file.jsonl", [row]))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}" * 1000)[:20])
    with pytest.raises(InputError, match="cannot be read"):
        benchmarks.load("humaneval+", tmp_path / "cut.jsonl.gz")
