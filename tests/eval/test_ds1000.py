"""DS-1000: its rows and answers, its environment, and programs that run there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from codedpo_eval.benchmarks import registry
from codedpo_eval.benchmarks.ds1000 import environment
from codedpo_eval.benchmarks.ds1000 import tasks as ds1000
from codedpo_eval.benchmarks.registry import Benchmark, Grader, Task
from codedpo_eval.grading import reference_check
from codedpo_eval.verdict import PASS, UNGRADED, GradeSettings, Verdict
from codedpo_plugin.cli import main
from codedpo_plugin.errors import InfrastructureError, InputError
from helpers.candidates import write_jsonl
from helpers.real_data import SLICES, whole_file

CONTEXT = '''
import pandas as pd
import numpy as np

def generate_test_case(number):
    frame = pd.DataFrame({"a": [1, 2, 3]})
    return frame, frame.assign(b=frame.a * 2)

def exec_test(result, expected):
    try:
        pd.testing.assert_frame_equal(result, expected)
        return 1
    except Exception:
        return 0

exec_context = r"""
df = test_input
[insert]
"""

def test_execution(solution: str):
    code = exec_context.replace("[insert]", solution)
    test_input, expected = generate_test_case(1)
    test_env = {"test_input": test_input}
    exec(code, test_env)
    assert exec_test(test_env["result"], expected)

def test_string(solution: str):
    assert "for" not in solution.split()
'''


def row(**other: Any) -> dict[str, Any]:
    """A row of the simplified format."""
    metadata = {"problem_id": 7, "library": "Pandas", "perturbation_type": "Origin"}
    return {
        "prompt": "Double it.\nA:\n<code>\n</code>\nBEGIN SOLUTION\n<code>\n",
        "reference_code": "result = df.assign(b=df.a * 2)",
        "metadata": metadata | other.pop("metadata", {}),
        "code_context": CONTEXT,
    } | other


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    path = tmp_path_factory.mktemp("ds1000") / "ds1000.jsonl"
    rows = [
        row(),
        row(
            metadata={"problem_id": 8, "library": "Tensorflow"},
            reference_code="import no_such_library",
        ),
        row(
            metadata={"problem_id": 9, "library": "Matplotlib"},
            reference_code='df = sns.load_dataset("x")',
        ),
    ]
    return registry.load("ds1000", write_jsonl(path, rows))


@pytest.fixture(scope="module")
def grade() -> Iterator[Grader]:
    """A grader in the environment, where there is one."""
    try:
        environment.find()
    except InputError:
        pytest.skip("needs the environment that `codedpo eval setup ds1000` builds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ds1000, "SECONDS", 1.0)
        everything = Benchmark("ds1000", "ds1000", Path("x"), "", "", None, ())
        with ds1000.grader(everything, GradeSettings()) as grade:
            yield grade


def run(toy: Benchmark, grade: Grader, solution: str) -> Verdict:
    return grade(toy.tasks[0], [solution])[0]


def test_right_and_wrong(toy: Benchmark, grade: Grader):
    right, wrong, raises = grade(
        toy.tasks[0],
        [toy.tasks[0].reference, "result = df", "result = df.assign(b=nothing)"],
    )
    assert right == Verdict(PASS, seconds=right.seconds, sealed=False)
    assert (wrong.base, raises.base) == ("fail", "error")
    assert raises.error == "NameError: name 'nothing' is not defined"
    # test_string counts too
    assert run(toy, grade, "for _ in [1]:\n    result = df.assign(b=df.a * 2)").base == "fail"


@pytest.mark.parametrize(
    ("solution", "status"),
    [
        ("import os\nos._exit(0)", "crashed"),
        ("import sys\nsys.exit(0)", "error"),
        ("raise SystemExit", "error"),
        ("print('passed')\nimport os\nos.abort()", "crashed"),
        ("while True: pass", "timeout"),
        ("x = np.ones((1 << 34,))", "memory"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 9))", "error"),
        ("open('/etc/passwd').read()", "error"),
        ("import os\nos.fork()", "error"),
        ("import pytest", "error"),  # it is in this environment, not in that one
    ],
)
def test_no_program_escapes_or_passes_by_exiting(toy, grade, solution, status):
    assert run(toy, grade, "import numpy as np\n" + solution).base == status


def test_a_program_leaves_nothing_for_the_next(toy: Benchmark, grade: Grader):
    sly = "open('kept', 'w').write('x')\nimport pandas as pd\npd.testing.assert_frame_equal = print"
    run(toy, grade, sly)
    assert run(toy, grade, "open('kept')").error.startswith("FileNotFoundError")
    assert run(toy, grade, "result = df").base == "fail"


def test_what_cannot_be_graded_here_is_ungraded(toy: Benchmark, grade: Grader):
    rows = [task.row for task in toy.tasks]
    absent = frozenset(["no_such_library"])
    assert [ds1000.why_ungraded(one, absent) for one in rows] == [
        None, "needs no_such_library", "needs the network"
    ]  # fmt: skip
    (verdict,) = grade(toy.tasks[2], ["result = 1"])
    assert (verdict.base, verdict.error) == (UNGRADED, "needs the network")


def test_the_score_is_reported_with_the_rate_of_references(toy, grade, tmp_path, monkeypatch):
    """The references are run first, once for an environment."""
    python = environment.find().python
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    samples = write_jsonl(
        tmp_path / "samples.jsonl",
        [{"task_id": task.task_id, "solution": "result = df"} for task in toy.tasks],
    )
    given = ["--data", str(toy.path), "--python", python, "--samples", str(samples)]
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(
                [
                    "eval",
                    "grade",
                    "ds1000",
                    *given,
                    "--workers",
                    "1",
                    "--out",
                    str(tmp_path / "run"),
                ]
            )
        assert not ended.value.code
        report = json.loads((tmp_path / "run" / "report.json").read_text())
        assert report["ungraded"] == {"needs no_such_library": 1, "needs the network": 1}
        assert (report["graded_tasks"], report["pass_at_k"]["base"]["pass@1"][0]) == (1, 0.0)
        (by_library,) = report["subsets"]["library"].values()
        assert (by_library["tasks"], by_library["references"]) == (1, 1)
        assert report["unsealed"] == 1
        # The second time all is known.
        monkeypatch.setattr(reference_check, "run", None)
        monkeypatch.setattr(ds1000, "grader", None)
    assert "references that pass" in (tmp_path / "run" / "report.md").read_text()


def test_references_of_four_libraries(grade: Grader):
    for task in registry.load("ds1000", SLICES / "ds1000_own.jsonl").tasks:
        right, wrong = grade(task, [task.reference, "result = None"])
        assert (task.task_id, right.base) == (task.task_id, PASS)
        assert wrong.base in ("fail", "error")


def test_real_references(grade: Grader):
    """A problem of each library, with a plot and a model among them."""
    tasks = registry.load("ds1000", whole_file("benchmarks/ds1000.jsonl.gz")).tasks
    assert len(tasks) == 1000
    some = [tasks[n] for n in (0, 15, 300, 511, 720, 862, 900)]
    for task in some:
        right, wrong = grade(task, [task.reference, "result = None"])
        assert (task.task_id, right.base) == (task.task_id, PASS)
        assert wrong.base in ("fail", "error")


def test_answers_are_cut_as_the_benchmark_does():
    task = Task("ds1000/7", "p", None, None, json.dumps(row()))
    answers = {
        "result = 1\n</code>\nThat is it.": "result = 1\n",
        "```python\nresult = 1\n```\nDone": "\nresult = 1\n",
        "<code>\nresult = 1\n</code>": "\nresult = 1\n",
        "result = 1\nEND SOLUTION\nmore": "result = 1",
        "<think>a ``` b</think>result = 1": "result = 1",
    }
    assert [ds1000.program(task, text, "chat") for text in answers] == list(answers.values())
    (system, user), stops = ds1000.prompt_and_stops(task, "chat")
    assert "between <code> and </code> tags" in system["content"]
    assert (user["content"], stops) == ("p", ["</code>", "# SOLUTION END"])
    assert ds1000.prompt_and_stops(task, "completion")[0] == "p"


def test_subsets_and_wrong_rows(tmp_path: Path, toy: Benchmark):
    assert ds1000.subsets(toy.tasks[0]) == {"library": "Pandas", "perturbation": "Origin"}
    assert toy.tasks[0].task_id == "ds1000/7"
    path = write_jsonl(tmp_path / "x.jsonl", [row(code_context=None)])
    with pytest.raises(InputError, match=r"line 1: code_context missing or of another type"):
        registry.load("ds1000", path)


def script(path: Path, commands: str) -> str:
    """A shell script in place of an interpreter."""
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)
    return str(path)


def test_a_missing_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match="codedpo eval setup ds1000"):
        environment.find()
    with pytest.raises(InputError, match="not a working Python"):
        environment.find(str(tmp_path / "python"))
    bare = script(
        tmp_path / "bare",
        'echo \'{"python": "3.11.1", "machine": "x", "packages": {}, "path": []}\'',
    )
    with pytest.raises(InputError, match=r"missing .*seaborn"):
        environment.find(bare)


def test_a_failed_step_reports_the_end_of_its_output(tmp_path: Path):
    broken = script(tmp_path / "python3.11", "echo no space left >&2\nexit 1")
    with pytest.raises(
        InfrastructureError, match=r"creating the environment failed[\s\S]*no space left"
    ):
        environment.setup(tmp_path / "env", Console(quiet=True), broken)


def test_other_versions_are_listed():
    pins = environment.pins()
    assert (pins["numpy"], pins["pandas"], pins["scikit-learn"]) == ("1.26.4", "1.5.3", "1.4.0")
    have = environment.Environment("python", "3.11.7", pins | {"pandas": "3.1.0"}, (), "")
    assert have.differences == ["pandas 3.1.0 (pinned: 1.5.3)"]
