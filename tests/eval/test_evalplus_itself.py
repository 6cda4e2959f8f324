"""evalplus itself: it grades, it sanitizes answers, and its data are read as it reads them.

Where evalplus is not installed (`pip install 'codedpo[evalplus]'`), a script stands in for it, and
the tests that run it are skipped.
"""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from codedpo_eval.benchmarks.evalplus import comparison_rules
from codedpo_eval.benchmarks.evalplus.inputs import arguments
from codedpo_eval.benchmarks.evalplus.tasks import prompt_and_stops
from codedpo_eval.benchmarks.registry import load
from codedpo_eval.generation.extraction import extractor
from codedpo_plugin.cli import main
from codedpo_plugin.errors import InputError
from helpers.candidates import write_jsonl
from helpers.real_data import SLICES, rows

needs_evalplus = pytest.mark.skipif(
    importlib.util.find_spec("evalplus") is None,
    reason="needs evalplus: pip install 'codedpo[evalplus]'",
)
DOUBLE = "def double(x):\n    return [2 * n for n in x]\n"


def task(number: int) -> dict[str, Any]:
    return {
        "task_id": f"HumanEval/{number}", "prompt": "def double(x):\n", "entry_point": "double",
        "canonical_solution": "    return [2 * n for n in x]\n", "base_input": [[[1]]],
        "plus_input": [[[1, 2]]], "atol": 0,
    }  # fmt: skip


def verdicts(run: Path) -> list[tuple[str, str, str]]:
    found = map(json.loads, (run / "verdicts.jsonl").read_text().splitlines())
    return [(row["task_id"], row["base"], row["plus"]) for row in found]


def eval_command(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["eval", *arguments])
    assert not ended.value.code


@needs_evalplus
@pytest.mark.parametrize(("name", "file"), [("humaneval+", "HumanEvalPlus"), ("mbpp+", "MbppPlus")])
def test_evalplus_grades_real_tasks_as_we_do(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right and wrong programs of the smallest tasks. evalplus cannot pass HumanEval/32."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tasks = [row for row in rows(SLICES / f"{file}.jsonl.gz") if row["task_id"] != "HumanEval/32"]
    data = write_jsonl(tmp_path / "data.jsonl", tasks[:5])
    samples = []
    for row in tasks[:4]:
        right = row["prompt"] + row["canonical_solution"]
        wrong = f"def {row['entry_point']}(*_):\n    return None\n"
        samples += [{"task_id": row["task_id"], "solution": one} for one in (right, wrong, "x = (")]
    given = str(write_jsonl(tmp_path / "samples.jsonl", samples))
    where = ("grade", name, "--data", str(data), "--samples", given, "--workers", "1")
    eval_command(*where, "--out", str(tmp_path / "theirs"), "--grader", "evalplus")
    eval_command(*where, "--out", str(tmp_path / "ours"))
    theirs, ours = (
        [(task_id, base == "pass", plus == "pass") for task_id, base, plus in verdicts(run)]
        for run in (tmp_path / "theirs", tmp_path / "ours")
    )
    assert theirs == ours
    assert [passed for _, _, passed in ours] == [True, False, False] * 4


@needs_evalplus
def test_evalplus_reads_the_same_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs with their types, stop strings, and the tasks with rules of their own."""
    from evalplus.data import humaneval, mbpp
    from evalplus.eval import _special_oracle as oracles
    from evalplus.provider import utility

    files = {name: SLICES / f"{name}.jsonl.gz" for name in ("HumanEvalPlus", "MbppPlus")}
    monkeypatch.setattr(humaneval, "HUMANEVAL_OVERRIDE_PATH", str(files["HumanEvalPlus"]))
    monkeypatch.setattr(mbpp, "MBPP_OVERRIDE_PATH", str(files["MbppPlus"]))
    read = {
        "humaneval+": (files["HumanEvalPlus"], humaneval.get_human_eval_plus()),
        "mbpp+": (files["MbppPlus"], mbpp.get_mbpp_plus()),
    }
    for name, (file, theirs) in read.items():
        ours = load(name, file).tasks
        assert [task.task_id for task in ours] == list(theirs)
        for task in ours:
            row = theirs[task.task_id]
            found = [[list(one) for one in some] for some in arguments(task)]
            expected = [[list(one) for one in row[key]] for key in ("base_input", "plus_input")]
            assert repr(found) == repr(expected)
        extra = utility.extra_eos_for_direct_completion(name.removesuffix("+"))
        assert prompt_and_stops(ours[0], "completion")[1] == [*utility.EOS, *extra]
    assert set(oracles.MBPP_OUTPUT_SET_EQ_TASKS) == comparison_rules.COMPARED_AS_SETS
    assert set(oracles.MBPP_OUTPUT_NOT_NONE_TASKS) == comparison_rules.COMPARED_AS_FOUND


ANSWER = f"Here it is:\n```python\nimport math\n{DOUBLE}\nprint(double([1]))\n```\nDone."


@needs_evalplus
def test_evalplus_extracts_programs(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "file.jsonl", [task(0)])
    benchmark = load("humaneval+", file)
    extract = extractor("evalplus", benchmark)
    program = extract(benchmark.tasks[0], [], ANSWER, "chat")
    assert program == f"import math\n{DOUBLE.rstrip()}"
    continued = extract(
        benchmark.tasks[0], "def double(x):\n", "    return 0\nprint(1)", "completion"
    )
    assert continued == "def double(x):\n    return 0"
    samples = write_jsonl(
        tmp_path / "samples.jsonl",
        [{"task_id": "HumanEval/0", "solution": "text", "response": ANSWER, "prompt": []}],
    )
    where = ("--data", str(file), "--samples", str(samples), "--out", str(tmp_path / "run"))
    eval_command("grade", "humaneval+", *where, "--extract", "evalplus")
    assert verdicts(tmp_path / "run") == [("HumanEval/0", "pass", "pass")]
    (kept,) = map(json.loads, (tmp_path / "run" / "samples.jsonl").read_text().splitlines())
    assert (kept["solution"], kept["response"]) == (program, ANSWER)


def test_programs_are_extracted_again(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "file.jsonl", [task(0)])
    rows = [
        {"task_id": "HumanEval/0", "solution": "text", "response": ANSWER, "prompt": []},
        {"task_id": "HumanEval/0", "solution": "x", "response": "    return x",
         "prompt": "def double(x):\n"},
        {"task_id": "HumanEval/0", "solution": ANSWER},
    ]  # fmt: skip
    samples = write_jsonl(tmp_path / "samples.jsonl", rows)
    where = ("--data", str(file), "--samples", str(samples), "--out", str(tmp_path / "run"))
    eval_command("grade", "humaneval+", *where, "--extract", "codedpo")
    assert [base for _, base, _ in verdicts(tmp_path / "run")] == ["pass", "fail", "pass"]


def test_evalplus_extracts_functions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="ds1000's answers are not functions"):
        extractor("evalplus", load("ds1000", SLICES / "ds1000_own.jsonl"))
    monkeypatch.setitem(sys.modules, "evalplus.sanitize", None)
    with pytest.raises(InputError, match=r"pip install 'codedpo\[evalplus\]'"):
        extractor("evalplus", load("humaneval+", SLICES / "HumanEvalPlus.jsonl.gz"))


EVALPLUS = """#!{python}
import json, sys
from pathlib import Path
if sys.argv[1] == "-c":
    print("0.3.1")
    sys.exit()
file = Path(sys.argv[sys.argv.index("--samples") + 1])
result = file.with_name("samples_eval_results.json")
assert not result.exists(), "evalplus would read this instead of grading"
found = {{}}
for row in map(json.loads, file.read_text().splitlines()):
    status = "pass" if "2 * n" in row["solution"] else "fail"
    found.setdefault(row["task_id"], []).append(
        {{"base_status": status, "plus_status": "fail" if "[:1]" in row["solution"] else status}}
    )
assert len(found) == 2, "evalplus refuses samples that lack a task"
result.write_text(json.dumps({{"hash": "h", "eval": found}}))
"""


def test_stale_results_and_missing_tasks_do_no_harm(tmp_path: Path) -> None:
    rows = [task(number) for number in (0, 1)]
    file = write_jsonl(tmp_path / "file.jsonl", rows)
    stub = tmp_path / "python"
    stub.write_text(EVALPLUS.format(python=sys.executable))
    stub.chmod(0o755)
    short = DOUBLE.replace("in x]", "in x[:1]]")
    given = [{"task_id": "HumanEval/0", "solution": text} for text in (DOUBLE, short, "x = 1")]
    samples = write_jsonl(tmp_path / "samples.jsonl", given)
    (tmp_path / "run" / "evalplus").mkdir(parents=True)
    (tmp_path / "run" / "evalplus" / "samples_eval_results.json").write_text("stale")
    with pytest.raises(SystemExit) as ended:
        main(["eval", "grade", "humaneval+", "--data", str(file), "--samples", str(samples),
              "--out", str(tmp_path / "run"), "--grader", "evalplus",
              "--evalplus-python", str(stub)])  # fmt: skip
    assert ended.value.code == 0
    found = json.loads((tmp_path / "run" / "report.json").read_text())
    assert found["grader"] == "evalplus 0.3.1"
    assert found["statuses"] == {"base": {"pass": 2, "fail": 1}, "plus": {"pass": 1, "fail": 2}}
    assert found["pass_at_k"]["plus"]["pass@1"][0] == pytest.approx(1 / 6)
    with pytest.raises(SystemExit) as ended:
        main(["eval", "grade", "humaneval+", "--data", str(file), "--samples", str(samples),
              "--out", str(tmp_path / "run"), "--grader", "evalplus",
              "--evalplus-python", str(tmp_path / "none")])  # fmt: skip
    assert ended.value.code == 2
