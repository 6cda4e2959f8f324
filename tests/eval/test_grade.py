"""Grading: verdicts of right, wrong and harmful programs, kept by what was graded."""

import json
from pathlib import Path
from typing import Any

import pytest

from codedpo_eval.benchmarks import custom
from codedpo_eval.benchmarks import registry as benchmarks
from codedpo_eval.generation import samples
from codedpo_eval.grading import grade
from codedpo_eval.reporting import report
from codedpo_eval.verdict import GradeSettings
from codedpo_plugin.errors import InputError
from codedpo_plugin.execution.execute import execute_problem
from helpers.candidates import write_jsonl
from helpers.eval_runs import RIGHT, SIGN, TASKS, graded, sample, verdicts


def test_an_own_benchmark_is_graded_and_reported(own: Path) -> None:
    wrong = sample("sign", "def sign(n):\n    return 1")
    found = graded(own, [RIGHT[0], wrong])
    assert [row["base"] for row in verdicts(own)] == ["pass", "fail"]
    assert verdicts(own)[1]["failed_tests"] == [1, 2]
    assert found["pass_at_k"]["base"]["pass@1"][0] == 0.5
    page = (own.with_name("run") / "report.html").read_text()
    assert "50.0 [" in page
    assert "50.0 [" in (own.with_name("run") / "report.md").read_text()


def test_verdicts_are_kept_and_never_used_for_other_programs(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    def counting(row: dict[str, Any], *rest: Any) -> dict[str, Any]:
        ran.extend(row["solutions"])
        return execute_problem(row, *rest)

    graded(own, RIGHT)
    monkeypatch.setattr(custom, "execute_problem", counting)
    graded(own, RIGHT)
    assert not ran
    other = "def sign(n):\n    return 0"
    graded(own, [RIGHT[0], sample("sign", other)])
    assert ran == [other]
    assert [row["base"] for row in verdicts(own)] == ["pass", "fail"]
    rows = [dict(TASKS[0], tests=["assert twice([1]) == [1]"]), TASKS[1]]
    write_jsonl(own, rows)  # another file of that name: no verdict holds any longer
    assert graded(own, RIGHT)["statuses"]["base"] == {"fail": 1, "pass": 1}


def test_equal_samples_share_a_verdict_and_keep_their_numbers(own: Path) -> None:
    for _ in range(2):
        graded(own, [*RIGHT, *RIGHT, *RIGHT])
        assert [(row["task_id"], row["sample"]) for row in verdicts(own)] == [
            *(("twice", n) for n in range(3)),
            *(("sign", n) for n in range(3)),
        ]


def test_verdicts_of_a_run_that_was_stopped_are_kept(own: Path) -> None:
    graded(own, RIGHT)
    run = own.with_name("run")
    whole = (run / grade.FILE).read_text()
    first = whole.splitlines()[0]
    (run / grade.FILE).unlink()
    changed = json.dumps(json.loads(first) | {"seconds": 12345.0})
    (run / grade.PARTIAL).write_text(changed + "\n" + first[:40])
    graded(own, RIGHT)
    assert [row["seconds"] == 12345.0 for row in verdicts(own)] == [True, False]


def test_a_program_that_hangs_is_retried_alone(own: Path) -> None:
    hangs = sample("sign", "def sign(n):\n    while True: pass")
    found = graded(own, [RIGHT[0], hangs], "--seconds", "0.2")
    assert found["statuses"]["base"] == {"pass": 1, "timeout": 1}
    assert found["retried"] == 1


def test_forged_verdicts_fail(own: Path) -> None:
    equal = "class E:\n    __eq__ = lambda s, o: True\ndef sign(n):\n    return E()"
    found = graded(own, [RIGHT[0], sample("sign", equal), sample("sign", "import os\nos._exit(0)")])
    assert found["statuses"]["base"] == {"pass": 1, "fail": 1, "crashed": 1}


def test_settings_change_the_key(own: Path) -> None:
    found = benchmarks.load(str(own))
    keys = {grade.key(found, "sign", SIGN, GradeSettings(seconds=s)) for s in (1, 2)}
    assert len(keys) == 2


def test_samples_changed_after_grading_are_refused(own: Path) -> None:
    graded(own, RIGHT)
    run = own.with_name("run")
    assert [row["base"] for row in report.load_rows(run)] == ["pass", "pass"]
    write_jsonl(run / samples.FILE, [sample("sign", "x", sample=0)])
    with pytest.raises(InputError, match="grade them again"):
        report.load_rows(run)
