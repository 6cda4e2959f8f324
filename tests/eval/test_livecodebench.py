"""LiveCodeBench: rows of a release, its rules of comparison, verdicts that nobody can forge.

What the benchmark's own grader says of the same programs is in docs/eval-others.md.
"""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codedpo_eval.benchmarks import registry
from codedpo_eval.benchmarks.livecodebench import tasks
from codedpo_eval.benchmarks.livecodebench import tests as lcb_tests
from codedpo_eval.benchmarks.registry import Benchmark, Grader
from codedpo_eval.verdict import PASS, GradeSettings
from codedpo_plugin.errors import InputError
from codedpo_plugin.sandbox.client import Limits, Reply, Sandbox
from helpers import toy_livecodebench as toy
from helpers.candidates import write_jsonl


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    path = write_jsonl(tmp_path_factory.mktemp("lcb") / "release.jsonl", toy.ROWS)
    return registry.load("livecodebench", path)


@pytest.fixture(scope="module")
def grade(release: Benchmark) -> Iterator[Grader]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "SECONDS", 1.0)
        with tasks.grader(release, GradeSettings(seconds=1.0)) as grade:
            yield grade


def verdict(release: Benchmark, grade: Grader, question: str, program: str):
    task = next(task for task in release.tasks if task.task_id == question)
    return grade(task, [program])[0]


@pytest.mark.parametrize(("question", "program", "right"), toy.PROGRAMS)
def test_verdicts(release: Benchmark, grade: Grader, question: str, program: str, right: bool):
    assert (verdict(release, grade, question, program).base == PASS) == right


@pytest.mark.parametrize(("question", "program"), toy.ONLY_OURS)
def test_a_program_is_run_as_python_runs_it(release, grade, question, program):
    assert verdict(release, grade, question, program).base == PASS


@pytest.mark.parametrize(("question", "program"), toy.FORGED)
def test_no_program_judges_itself(release, grade, question, program):
    found = verdict(release, grade, question, program)
    assert found.base != PASS
    assert found.sealed


def test_status_and_error_of_failures(release: Benchmark, grade: Grader):
    wrong = verdict(release, grade, "sum", "n = int(input())\nprint(3)")
    assert (wrong.base, wrong.failed_tests) == ("fail", (1,))  # the first test does hold
    assert verdict(release, grade, "sum", "1 / 0").error == "ZeroDivisionError: division by zero"
    assert verdict(release, grade, "pairs", "while True: pass").base == "timeout"


def test_many_tests_that_each_take_long_are_all_run(release: Benchmark, grade: Grader):
    """A request to the sandbox has a time limit of its own, which is no verdict."""
    slow = "import time\nt = time.process_time()\nwhile time.process_time() - t < 0.04:\n    pass\n"
    tests = [lcb_tests.Test(f"{n}\n", f"{n}\n") for n in range(30)]
    row = toy.row("slow", [("0\n", "0\n")])
    with Sandbox(Limits(0.1, share="nothing")) as sandbox:
        found = lcb_tests.grade(row, f"{slow}print(input())", tests, sandbox)
    assert found.base == PASS
    assert found.seconds > 1


def test_what_no_process_can_run_ends_too(monkeypatch: pytest.MonkeyPatch):
    tests = lcb_tests.read_tests(toy.ROWS[0])
    with Sandbox(Limits(1.0)) as sandbox:
        monkeypatch.setattr(
            sandbox, "run_all", lambda *_, **__: [[Reply("not_run", error="why")] * 3]
        )
        found = lcb_tests.grade(toy.ROWS[0], "", tests, sandbox)
    assert (found.base, found.error) == ("crashed", "why")


def test_long_output_is_compared_too(release: Benchmark, grade: Grader):
    row = toy.row("long", [("x", "7\n" * 600_000)])
    tests = lcb_tests.read_tests(row)
    programs = {"print('7 \\n' * 600_000)": PASS, "print('7\\n' * 599_999)": "fail"}
    with Sandbox(Limits(1.0, file_mb=8)) as sandbox:
        for program, status in programs.items():
            assert lcb_tests.grade(row, program, tests, sandbox).base == status


def test_without_files_programs_still_have_their_streams():
    """Where the kernel has no Landlock, nothing can be written in the sandbox."""
    program = (
        "import os\n"
        "def refuse(*_): raise OSError\n"
        "os.open = refuse\n"
        "from codedpo_eval.benchmarks.livecodebench.harness import stdout_of\n"
        "code = 'import sys\\nprint(input())\\nsys.stdout.flush()\\n"
        "sys.stdout.buffer.write(sys.stdin.read().encode())\\nsys.stdout.close()'\n"
        "os.write(1, repr(stdout_of(code, 'a\\nb\\n')).encode())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == repr("a\nb\n"), done.stderr


def test_a_pickle_is_never_loaded(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    import base64
    import zlib

    for harmful in (Evil(), ["a list"], ("two", "strings")):
        text = base64.b64encode(zlib.compress(pickle.dumps(harmful))).decode()
        row = toy.row("evil", [("1", "1")]) | {"private_test_cases": text}
        with pytest.raises(InputError, match="question_id evil"):
            lcb_tests.read_tests(row)
    assert not (tmp_path / "ran").exists()


def test_private_tests_come_after_public_ones():
    row = toy.ROWS[0]
    assert [test.input for test in lcb_tests.read_tests(row)] == [
        "2\n1 2\n",
        "3\n1 2 3\n",
        "1\n-5\n",
    ]
    plain = row | {"private_test_cases": json.dumps([{"input": "9", "output": "9"}])}
    assert lcb_tests.read_tests(plain)[-1] == ("9", "9")


def test_date_windows(release: Benchmark):
    def ids(start: str | None, end: str | None) -> list[str]:
        days = {"start_date": start, "end_date": end}
        choice = tuple((name, day) for name, day in days.items() if day)
        return [t.task_id for t in registry.load("livecodebench", release.path, choice).tasks]

    assert ids("2024-05-02", None) == ["half", "pairs"]
    assert ids("2024-05-01", "2024-07-31") == ["sum", "words", "pairs", "is_even"]
    with pytest.raises(InputError, match="2024-05-01 to 2024-08-01"):
        ids("2025-01-01", None)
    with pytest.raises(InputError, match="YYYY-MM-DD"):
        ids("May 2024", None)


def test_prompts_and_answers(release: Benchmark):
    by_id = {task.task_id: task for task in release.tasks}
    (system, user), stops = tasks.prompt_and_stops(by_id["pairs"], "chat")
    assert system["content"].startswith("You are an expert Python programmer.")
    assert "use the following starter code" in user["content"]
    assert user["content"].endswith("### Answer: (use the provided format with backticks)\n\n")
    assert not stops
    assert (
        "Read the inputs from stdin"
        in tasks.prompt_and_stops(by_id["sum"], "chat")[0][1]["content"]
    )
    text, stops = tasks.prompt_and_stops(by_id["pairs"], "completion")
    assert text.count("### Starter Code") == 2
    assert text.endswith("def pairs(self\n\n### Answer\n\n")
    answer = (
        "<think>```\nno\n```</think>First\n```python\na\n```\nthen\n```python\nb = 1\nc\n```\nDone."
    )
    assert tasks.program(by_id["sum"], answer, "chat") == "b = 1\nc"
    assert tasks.program(by_id["sum"], "no code", "chat") == ""
    assert tasks.program(by_id["sum"], " x = 1\n\n### Question\nmore", "completion") == "x = 1"


def test_a_file_of_another_format_is_refused(tmp_path: Path):
    path = write_jsonl(tmp_path / "x.jsonl", [{"task_id": "1", "prompt": "p"}])
    with pytest.raises(InputError, match=r"line 1: question_id, .* missing"):
        registry.load("livecodebench", path)
