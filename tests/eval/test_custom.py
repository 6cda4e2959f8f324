"""A user's own benchmark: its rows are checked, and its inputs are what speedup is measured on."""

from pathlib import Path
from typing import Any

import pytest

from codedpo_eval.benchmarks import custom as own
from codedpo_eval.benchmarks import registry as benchmarks
from codedpo_eval.benchmarks.registry import load
from codedpo_plugin.errors import InputError
from helpers.candidates import write_jsonl
from helpers.eval_runs import TASKS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tests": "assert f()"}, "line 2: column `tests` is str; expected list"),
        ({"prompt": None}, "line 2: column `prompt` is NoneType"),
        ({"tests": []}, "at least one snippet"),
        ({"task_id": "twice"}, "line 2: task 'twice' is also at .*line 1"),
        ({"inputs": [3]}, "`inputs` has to be lists"),
    ],
)
def test_wrong_rows_of_a_benchmark_are_named(
    own: Path, change: dict[str, Any], message: str
) -> None:
    write_jsonl(own, [TASKS[0], TASKS[1] | change])
    with pytest.raises(InputError, match=message):
        benchmarks.load(str(own))


TASK = {
    "prompt": "Return the sum.",
    "entry_point": "total",
    "tests": ["assert total([1, 2]) == 3", "assert total([]) == 0"],
    "inputs": [[list(range(200))], [list(range(300))]],
}


def test_calls_to_time_own_benchmarks_on(tmp_path: Path) -> None:
    rows = [{"task_id": "t", **TASK}, {"task_id": "u", **TASK, "inputs": ["total([7])"]}]
    rows.append({"task_id": "v", **TASK, "inputs": None})
    found = load(str(write_jsonl(tmp_path / "own.jsonl", rows)))
    calls = [own.calls(task) for task in found.tasks]
    assert calls[0] == [f"total({items})" for (items,) in TASK["inputs"]]
    assert calls[1:] == [["total([7])"], ["total([1, 2])", "total([])"]]
