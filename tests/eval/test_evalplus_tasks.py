"""HumanEval(+) and MBPP(+): prompts, inputs, reference outputs, and verdicts of programs."""

from pathlib import Path
from typing import Any

import pytest

from codedpo_eval.benchmarks import registry as benchmarks
from codedpo_eval.benchmarks.evalplus import reference_outputs
from codedpo_eval.benchmarks.evalplus.inputs import restored
from codedpo_eval.benchmarks.evalplus.tasks import grader, program, prompt_and_stops
from codedpo_eval.verdict import GradeSettings, Verdict
from codedpo_plugin.cli import main
from codedpo_plugin.errors import InfrastructureError
from helpers.candidates import write_jsonl
from helpers.eval_runs import evalplus_task
from helpers.real_data import SLICES, rows

pytestmark = pytest.mark.usefixtures("own_cache")


def verdicts(file: Path, programs: list[str], **settings: Any) -> list[Verdict]:
    found = benchmarks.load("humaneval+", file)
    with grader(found, GradeSettings(**settings)) as graded:
        return graded(found.tasks[0], programs)


def real(name: str, *numbers: int) -> list[dict[str, Any]]:
    return [r for r in rows(SLICES / name) if int(r["task_id"].partition("/")[2]) in numbers]


DOUBLE = "def double(x):\n    return [2 * n for n in x]\n"


@pytest.fixture
def double(tmp_path: Path) -> Path:
    code = "    return [2 * n for n in x]\n"
    rows = [evalplus_task("double", 0, code, [[[1]]], [[[1, 2]], [[]], [[3]]])]
    return write_jsonl(tmp_path / "file.jsonl", rows)


def test_verdicts_of_base_and_plus(double: Path) -> None:
    short = "def double(x):\n    return [2 * x[0]]\n"
    kept = "seen = []\ndef double(x):\n    seen.append(x)\n    return [2 * n for n in seen[0]]\n"
    changes = "def double(x):\n    x *= 2\n    return [4] * len(x)\n"
    wrong = [DOUBLE, short, kept, changes, "def twice(x): pass", "def double(x"]
    found = verdicts(double, wrong)
    assert [(v.base, v.plus) for v in found] == [
        ("pass", "pass"), ("pass", "fail"), ("pass", "fail"), ("fail", "fail"),
        ("error", "error"), ("error", "error"),
    ]  # fmt: skip
    assert found[1].failed_tests == (1, 2)
    assert "NameError" in (found[4].error or "")
    assert "SyntaxError" in (found[5].error or "")


def test_a_timeout_fails_only_tests_of_its_program(double: Path) -> None:
    hangs = "def double(x):\n    while not x: pass\n    return [2 * n for n in x]\n"
    found = verdicts(double, [hangs, DOUBLE], seconds=0.3)
    assert [(v.base, v.plus) for v in found] == [("pass", "timeout"), ("pass", "pass")]


def test_verdicts_cannot_be_forged(double: Path) -> None:
    equal = "class E(list):\n    __eq__ = lambda s, o: True\ndef double(x):\n    return E()\n"
    steal = (
        "import sys\ndef double(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        for value in frame.f_locals.values():\n"
        "            if isinstance(value, list) and value == [2]: return value\n"
        "        frame = frame.f_back\n"
    )
    ends = "import os\ndef double(x):\n    os._exit(0)\n"
    assert {v.base for v in verdicts(double, [equal, steal])} == {"fail"}
    assert verdicts(double, [ends])[0].base == "crashed"


def test_values_too_large_to_be_sent_are_compared_by_hash(tmp_path: Path) -> None:
    rows = [evalplus_task("count", 0, "    return list(range(x))\n", [[3]], [[300_000]])]
    file = write_jsonl(tmp_path / "file.jsonl", rows)
    right = "def count(x):\n    return [n for n in range(x)]\n"
    wrong = "def count(x):\n    return [*range(x - 1), 0 if x > 9 else x - 1]\n"
    assert [v.plus for v in verdicts(file, [right, wrong])] == ["pass", "fail"]


def test_long_values_are_compared_in_the_sandbox(tmp_path: Path) -> None:
    rows = [evalplus_task("thirds", 0, "    return [n / 3 for n in range(x)]\n", [[3]], [[5000]])]
    file = write_jsonl(tmp_path / "file.jsonl", rows)
    near = "def thirds(x):\n    return [n / 3 + 1e-12 for n in range(x)]\n"
    far = "def thirds(x):\n    return [n / 3 + (n > 4000) for n in range(x)]\n"
    assert [v.plus for v in verdicts(file, [near, far])] == ["pass", "fail"]


def test_ground_truth_is_made_once(double: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdicts(double, [DOUBLE])[0].plus == "pass"
    monkeypatch.setattr(reference_outputs, "compute", lambda *a: pytest.fail("made again"))
    assert verdicts(double, [DOUBLE])[0].plus == "pass"


def test_a_reference_that_fails_is_no_verdict(tmp_path: Path) -> None:
    file = write_jsonl(
        tmp_path / "file.jsonl", [evalplus_task("f", 0, "    return 1 / x\n", [[0]], [])]
    )
    with pytest.raises(InfrastructureError, match="HumanEval/0: its reference solution fails"):
        verdicts(file, ["def f(x): return 0"])


def test_inputs_of_mbpp_get_their_types_back() -> None:
    assert restored("Mbpp/2", [[[1], [2]]]) == [[(1,), (2,)]]
    assert restored("Mbpp/63", [[[[1, 2], [3, 4]]]]) == [[[(1, 2), (3, 4)]]]
    assert restored("Mbpp/75", [[[[1, 2]], 3]]) == [[[(1, 2)], 3]]
    assert restored("Mbpp/106", [[[1], [2]]]) == [[[1], (2,)]]
    assert restored("Mbpp/115", [[[[1, 1], []]]]) == [[[{1}, {}]]]
    assert restored("Mbpp/124", [["1", "2j"]]) == [[1.0, 2j]]
    assert restored("Mbpp/259", [[[[1]], [[2]]]]) == [[((1,),), ((2,),)]]
    assert restored("Mbpp/278", [[[[1], 2]]]) == [[[(1,), 2]]]
    assert restored("Mbpp/580", [[[[1], 2]]]) == [[((1,), 2)]]
    assert restored("Mbpp/722", [[{"a": [1]}, 2]]) == [[{"a": (1,)}, 2]]
    assert restored("Mbpp/3", [[[1]]]) == [[[1]]]


def test_prompts_are_those_of_evalplus(double: Path) -> None:
    found = benchmarks.load("humaneval", double).tasks[0]
    prompt, stops = prompt_and_stops(found, "completion")
    assert prompt == "def double(x):\n"
    assert {"\ndef ", "\nif __name__", "<|endoftext|>"} <= set(stops)
    assert program(found, "    return x\n\ndef other():", "completion") == f"{prompt}    return x\n"
    message = prompt_and_stops(found, "chat")[0][0]["content"]
    assert message.startswith("Please provide a self-contained Python script")
    assert message.endswith("```python\ndef double(x):\n```")
    answer = "<think>```python\ndef double(x): 1\n```</think>So:\n```python\ndef double(x): 2\n```"
    assert program(found, answer, "chat") == "def double(x): 2"


def test_real_tasks_with_special_rules(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "humaneval.jsonl", real("HumanEvalPlus.jsonl.gz", 32))
    found = benchmarks.load("humaneval+", file)
    wrong = "def find_zero(xs):\n    return 1.0\n"
    assert [v.plus for v in verdicts(file, [found.tasks[0].reference or "", wrong])] == [
        "pass",
        "fail",
    ]
    some = real("MbppPlus.jsonl.gz", 2, 7, 115, 124, 164, 252, 295, 558, 581, 722, 737, 794)
    found = benchmarks.load("mbpp+", write_jsonl(tmp_path / "mbpp.jsonl", some))
    with grader(found, GradeSettings()) as graded:
        both = [graded(one, [one.reference or "", "x = 1"]) for one in found.tasks]
    assert {(right.plus, wrong.plus) for right, wrong in both} == {("pass", "error")}


def test_the_self_test_is_kept_and_shown_in_reports(
    double: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(*arguments: str) -> str:
        with pytest.raises(SystemExit) as error:
            main(["eval", *arguments, "humaneval+", "--data", str(double)])
        assert error.value.code == 0
        return capsys.readouterr().out

    message = ended("self-test")
    assert "1 of 1 reference solutions pass" in message
    assert "not a released version known here, md5 " in message
    samples = write_jsonl(tmp_path / "s.jsonl", [{"task_id": "HumanEval/0", "solution": DOUBLE}])
    message = ended("grade", "--samples", str(samples), "--out", str(tmp_path / "run"))
    assert "1 of 1 reference solutions pass on this machine" in message
