"""Samples: rows that are wrong, missing or repeated, and samples of another benchmark."""

import json
from pathlib import Path

import pytest

from codedpo_eval.benchmarks import registry as benchmarks
from codedpo_eval.generation import samples
from codedpo_plugin.errors import InputError
from helpers.candidates import write_jsonl
from helpers.eval_runs import RIGHT, TASKS, TWICE, graded, sample


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"task_id": "sign", "code": "x"}', "neither `solution`.*the row has: task_id, code"),
        ('{"solution": "x"}', "`task_id` has to be a string"),
        ('["def f(): pass"]', "expected an object with `task_id`"),
        ('{"task_id": "sign", "solu', "line 2: the file is truncated there; 1 complete rows"),
        ('{"task_id": "twice", "solution": "x", "sample": 0}', "sample 0 of twice is also at"),
        ('{"task_id": "twice", "solution": "x", "sample": "1"}', "`sample` has to be a number"),
    ],
)
def test_wrong_rows_of_samples_are_named(own: Path, line: str, message: str) -> None:
    given = own.with_name("given.jsonl")
    given.write_text(json.dumps(sample("twice", TWICE, sample=0)) + "\n" + line)
    with pytest.raises(InputError, match=message):
        samples.read(given, benchmarks.load(str(own)))


def test_samples_of_another_benchmark_are_refused(own: Path) -> None:
    given = write_jsonl(own.with_name("given.jsonl"), [sample("HumanEval/0", "x")])
    with pytest.raises(InputError, match=r"no sample of a task of own; its tasks are like 'Human"):
        samples.read(given, benchmarks.load(str(own)))
    with pytest.raises(InputError, match="a folder"):
        samples.read(own.parent, benchmarks.load(str(own)))


def test_completions_follow_the_prompt(tmp_path: Path) -> None:
    task = TASKS[1] | {"prompt": "def sign(n):\n"}
    own = write_jsonl(tmp_path / "own.jsonl", [task])
    found = graded(own, [{"task_id": "sign", "completion": "    return (n > 0) - (n < 0)\n"}])
    assert found["statuses"]["base"] == {"pass": 1}


def test_a_missing_task_counts_as_failed_and_is_named(own: Path) -> None:
    found = graded(own, [RIGHT[0], sample("nothing", "x = 1")])
    assert found["pass_at_k"]["base"]["pass@1"][0] == 0.5
    assert found["samples"]["missing_tasks"] == ["sign"]
    assert found["samples"]["unknown_tasks"] == {"nothing": 1}


def test_mixed_numbers_of_samples_limit_k(own: Path) -> None:
    found = graded(own, [*RIGHT, *RIGHT, sample("twice", "def twice(items):\n    return 0")])
    assert list(found["pass_at_k"]["base"]) == ["pass@1", "pass@2"]
    assert found["pass_at_k"]["base"]["pass@1"][0] == pytest.approx((2 / 3 + 1) / 2)
    assert any("2 to 3 samples" in notice for notice in found["samples"]["notices"])


def test_a_file_written_twice_is_reported(own: Path) -> None:
    assert "written twice" in " ".join(graded(own, [*RIGHT, *RIGHT])["samples"]["notices"])
