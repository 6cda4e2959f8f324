"""`codedpo eval compare` and `speedup`: small runs are compared and measured."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from codedpo_eval.benchmarks.registry import load
from codedpo_eval.comparison import speedup
from codedpo_eval.comparison.compare import solving
from codedpo_plugin.cli import main
from helpers.candidates import write_jsonl
from helpers.eval_runs import eval_command

SLOW = "def total(items):\n    out = 0\n    for x in items:\n        for _ in range(20):\n            x += 0\n        out += x\n    return out"
FAST = "def total(items):\n    return sum(items)"
WRONG = "def total(items):\n    return 0"
TASK = {
    "prompt": "Return the sum.",
    "entry_point": "total",
    "tests": ["assert total([1, 2]) == 3", "assert total([]) == 0"],
    "inputs": [[list(range(200))], [list(range(300))]],
}


def runs(folder: Path, before: list[list[str]], after: list[list[str]]) -> tuple[str, ...]:
    """Two graded runs: programs of each task; and the options of `compare`."""
    rows = [{"task_id": f"t{n}", **TASK} for n in range(len(before))]
    own = write_jsonl(folder / "own.jsonl", rows)
    for name, programs in (("a", before), ("b", after)):
        given = [
            {"task_id": f"t{n}", "solution": text}
            for n, some in enumerate(programs)
            for text in some
        ]
        path = write_jsonl(folder / f"{name}.jsonl", given)
        eval_command("grade", str(own), "--samples", str(path), "--out", str(folder / name))
    return str(folder / "a"), str(folder / "b"), "--out", str(folder / "out"), "--runs", "1"


def test_two_runs_are_compared(tmp_path: Path) -> None:
    options = runs(
        tmp_path,
        [[SLOW], [SLOW], [WRONG], [SLOW], [FAST]],
        [[FAST], [FAST], [FAST], [WRONG], [FAST]],
    )
    eval_command("compare", *options)
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    solved = found["solving"]["base"]
    assert (solved["won"], solved["lost"], solved["p"]) == (["t2"], ["t3"], 1.0)
    assert solved["test"].startswith("McNemar")
    timed = found["speedup"]
    assert (timed["joint"], timed["equal_programs"], timed["measured"]) == (3, 1, 3)
    assert timed["optimised_gated"]["count"] == 2
    assert timed["geometric_mean"][0] > 3
    assert timed["control"]["optimised_gated"]["of"] == 2
    assert timed["wrong_as_zero"]["problems"] == 4
    assert timed["wrong_as_zero"]["optimised_gated"]["share"][0] == 0.5
    page = (tmp_path / "out" / "compare.html").read_text()
    assert page.count("<svg") == 2
    assert "solved by both" in (tmp_path / "out" / "compare.md").read_text()
    rows = (tmp_path / "out" / speedup.FILE).read_text()
    eval_command("compare", *options)
    assert (tmp_path / "out" / speedup.FILE).read_text() == rows  # nothing was measured again


def test_a_run_against_itself_is_measured_and_gains_nothing(tmp_path: Path) -> None:
    options = runs(tmp_path, [[SLOW, FAST]], [[SLOW, FAST]])
    eval_command("compare", *options)
    timed = json.loads((tmp_path / "out" / "compare.json").read_text())["speedup"]
    assert timed["equal_programs"] == 0
    assert timed["optimised_gated"]["count"] == timed["slowed_gated"]["count"] == 0
    assert abs(math.log(timed["geometric_mean"][0])) < 1


def test_no_speedup_without_a_problem_that_both_solve(tmp_path: Path) -> None:
    options = runs(tmp_path, [[FAST], [WRONG]], [[WRONG], [FAST]])
    with pytest.raises(SystemExit) as error:
        main(["eval", "speedup", *options])
    assert error.value.code == 2
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert found["speedup"]["joint"] == 0
    assert found["speedup"]["geometric_mean"] is None


def test_runs_on_different_files_are_not_compared(tmp_path: Path) -> None:
    options = runs(tmp_path, [[FAST]], [[FAST]])
    report = tmp_path / "b" / "report.json"
    changed = json.loads(report.read_text())
    changed["benchmark"]["sha256"] = "0" * 64
    report.write_text(json.dumps(changed))
    with pytest.raises(SystemExit) as error:
        main(["eval", "compare", *options])
    assert error.value.code == 2


def test_the_exact_test_is_that_of_mcnemar(tmp_path: Path) -> None:
    own = write_jsonl(tmp_path / "own.jsonl", [{"task_id": f"t{n}", **TASK} for n in range(30)])

    def rows(right: set[int]) -> list[dict[str, Any]]:
        return [{"task_id": f"t{n}", "base": "pass" if n in right else "fail"} for n in range(30)]

    found = solving(load(str(own)), rows(set(range(5, 15))), rows(set(range(25))), "base")
    assert (len(found["won"]), len(found["lost"])) == (15, 0)
    found = solving(load(str(own)), rows(set(range(4))), rows(set(range(4, 14))), "base")
    assert found["p"] == pytest.approx(0.1796, abs=1e-3)  # 10 against 4
    assert found["difference"][0] == pytest.approx(6 / 30)
