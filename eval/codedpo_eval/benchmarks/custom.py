"""A user's own benchmark: one JSON object per line.

| column | type | meaning |
|---|---|---|
| `task_id` | str | unique |
| `prompt` | str | the prompt of the model |
| `entry_point` | str or null | the function that the tests call |
| `tests` | list[str] | snippets, each run after a solution; it fails if it raises |
| `inputs` | list, optional | for timing: lists of arguments, or calls as source |
| `reference` | str, optional | a complete program that is right |
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from codedpo_eval.benchmarks.answers import call_of, from_chat, from_completion
from codedpo_eval.benchmarks.registry import Benchmark, Grader, Located, Prompt, Task
from codedpo_eval.verdict import PASS, GradeSettings, Verdict
from codedpo_plugin.errors import InputError
from codedpo_plugin.execution.execute import execute_problem
from codedpo_plugin.parsing.assertions import split_test
from codedpo_plugin.sandbox.client import Limits, Sandbox

STOPS = ["\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", "\nif __name__", "\nprint("]

_LONGEST = 1_000_000  # characters of a program or test
_MAX_FAILED = 20  # failed tests that a verdict lists


def tasks(rows: Iterable[Located]) -> list[Task]:
    """Check the rows.

    Raises:
        InputError: a column is missing or of another type.
    """
    return [_task(place, row) for place, row in rows]


def _task(place: str, row: dict[str, Any]) -> Task:
    for column, kinds in _COLUMNS.items():
        if not isinstance(row.get(column), kinds):
            expected = " or ".join(kind.__name__.replace("NoneType", "null") for kind in kinds)
            found = f"is {type(row[column]).__name__}" if column in row else "is missing"
            raise InputError(
                f"{place}: column `{column}` {found}; expected {expected}. "
                f"The row has: {', '.join(map(str, row))}"
            )
    if not row["tests"] or not all(isinstance(test, str) for test in row["tests"]):
        raise InputError(f"{place}: `tests` has to be a list of at least one snippet")
    inputs = row.get("inputs") or []
    if not all(isinstance(one, list | str) for one in inputs):
        raise InputError(f"{place}: `inputs` has to be lists of arguments, or calls as source")
    reference = row.get("reference")
    return Task(row["task_id"], row["prompt"], row.get("entry_point"), reference, json.dumps(row))


_COLUMNS: dict[str, tuple[type, ...]] = {
    "task_id": (str,),
    "prompt": (str,),
    "entry_point": (str, type(None)),
    "tests": (list,),
    "inputs": (list, type(None)),
    "reference": (str, type(None)),
}


def prompt_and_stops(task: Task, style: str) -> tuple[Prompt, list[str]]:
    """The prompt unchanged: as a message, or as a text to continue."""
    if style == "chat":
        return [{"role": "user", "content": task.prompt}], []
    return task.prompt, STOPS


def program(task: Task, response: str, style: str) -> str:
    """The code block that defines the entry point; or the prompt and its continuation."""
    if style == "chat":
        return from_chat(response, task.entry_point)
    return from_completion(task.prompt, response, task.entry_point, STOPS)


def calls(task: Task) -> list[str]:
    """For timing: the column `inputs`, or else the calls that the tests make."""
    row = task.row
    if not row.get("inputs"):
        tests = [split_test(test, task.entry_point) for test in row["tests"]]
        return list(
            dict.fromkeys(call for test in tests if test.judged_outside for call in test.calls)
        )
    return [one if isinstance(one, str) else call_of(task, one) for one in row["inputs"]]


@contextmanager
def grader(benchmark: Benchmark, settings: GradeSettings) -> Iterator[Grader]:
    """Run tests as a build does: an assertion that can be split is judged out of process."""
    limits = Limits(settings.seconds, settings.memory_mb)
    with Sandbox(limits) as sandbox:
        yield lambda task, programs: [_verdict(task, one, sandbox) for one in programs]


def _verdict(task: Task, one: str, sandbox: Sandbox) -> Verdict:
    row = {
        "task_id": task.task_id,
        "entry_point": task.entry_point,
        "solutions": [one],
        "tests": task.row["tests"],
    }
    found = execute_problem(row, sandbox, _LONGEST)
    outcomes = found["outcomes"][0]
    failed = [n for n, outcome in enumerate(outcomes) if outcome != "passed"]
    # Tests are not run after too many timeouts, which then decide.
    ran = [n for n in failed if outcomes[n] != "not_run"] or failed
    first = ran[0] if ran else None
    return Verdict(
        base=PASS if first is None else _STATUS.get(outcomes[first], outcomes[first]),
        failed_tests=tuple(failed[:_MAX_FAILED]),
        seconds=found["cpu_seconds"],
        sealed=all(found["sealed"]),
        error=None if first is None else found["errors"][0][first],
    )


_STATUS = {"failed": "fail", "not_run": "crashed"}
