"""LiveCodeBench (Jain et al. 2024, arXiv 2403.07974), code generation, from a local release file.

A release is a JSONL file, one problem per row: `question_id`, `question_title`, `question_content`,
`platform`, `contest_id`, `contest_date`, `difficulty`, `starter_code`, `public_test_cases`,
`private_test_cases` and `metadata`. If `metadata` names a function, it is called; otherwise the
program reads stdin. `tests` runs and compares. Expected outputs never enter the process of a
solution, so verdicts are `sealed`.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from codedpo_eval.benchmarks.files import lines
from codedpo_eval.benchmarks.livecodebench import tests as lcb_tests
from codedpo_eval.benchmarks.registry import Benchmark, Grader, Located, Prompt, Task
from codedpo_eval.verdict import GradeSettings, Verdict
from codedpo_plugin.errors import InputError
from codedpo_plugin.parsing.code_blocks import without_thought
from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.sandbox.zygote_handle import Interpreter

SECONDS = 6.0
"""CPU seconds of a test; the benchmark allows the same wall time."""
_FILE_MB = 64  # input and output of one test

SYSTEM = (
    "You are an expert Python programmer. You will be given a question (problem specification) "
    "and will generate a correct Python program that matches the specification and passes all "
    "tests."
)
_WITH_STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose your "
    "code within delimiters."
)
_FROM_STDIN = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly "
    "test on the sample inputs). Enclose your code within delimiters as follows. Ensure that when "
    "the python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT."
)

# Base models get one example in the benchmark's layout. The problems were written for this project,
# because the benchmark's own examples belong to the sites that they are from.
_EXAMPLE_STDIN = """### Question
You are given N numbers. Print the largest of them.

Input: a line with N, and a line with N numbers, separated by spaces.

Sample input:
3
4 9 2

Sample output:
9

### Answer

n = int(input())
numbers = list(map(int, input().split()))
print(max(numbers))

"""
_EXAMPLE_CALL = """### Question
Given a list of integers nums, return the largest of them.

Example:

Input: nums = [4,9,2]
Output: 9

### Starter Code
class Solution:
    def largest(self, nums: List[int]) -> int:
        

### Answer

class Solution:
    def largest(self, nums: List[int]) -> int:
        return max(nums)

"""  # noqa: W293
_STOPS = ["### Question"]

_COLUMNS = (
    "question_id", "question_content", "starter_code", "difficulty", "platform", "contest_date",
    "metadata", "public_test_cases", "private_test_cases",
)  # fmt: skip


def tasks(rows: Iterable[Located]) -> list[Task]:
    """The problems, by their `question_id`. Private tests are not kept, because those of a release
    have gigabytes: the grader reads them again when they are needed.

    Raises:
        InputError: a column is missing, or a date is not valid.
    """
    return [_task(place, row) for place, row in rows]


def _task(place: str, row: dict[str, Any]) -> Task:
    missing = [column for column in _COLUMNS if column not in row]
    if missing:
        raise InputError(
            f"{place}: {', '.join(missing)} missing; expected a row of a LiveCodeBench "
            f"release. The row has: {', '.join(map(str, row))}"
        )
    try:
        datetime.fromisoformat(row["contest_date"])
        metadata = json.loads(row["metadata"] or "{}")
    except (ValueError, TypeError) as error:
        raise InputError(f"{place}: contest_date or metadata: {error}") from None
    name = metadata.get("func_name")
    kept = {key: value for key, value in row.items() if key != "private_test_cases"}
    kept["line"] = int(place.rpartition("line ")[2])
    return Task(str(row["question_id"]), row["question_content"], name, None, json.dumps(kept))


def choose(
    benchmark: Benchmark, start_date: str | None = None, end_date: str | None = None
) -> tuple[Task, ...]:
    """The problems of contests from one day (YYYY-MM-DD) to another. As in the benchmark, a day
    stands for its first second: contests later on the last day are excluded.

    Raises:
        InputError: not a date, or no problem is left.
    """
    first, last = _date(start_date, datetime.min), _date(end_date, datetime.max)
    dates = [datetime.fromisoformat(task.row["contest_date"]) for task in benchmark.tasks]
    kept = [t for t, date in zip(benchmark.tasks, dates, strict=True) if first <= date <= last]
    if not kept:
        raise InputError(
            f"no problem from {start_date or 'the first'} to {end_date or 'the last'}: those of "
            f"{benchmark.path} are from {min(dates):%Y-%m-%d} to {max(dates):%Y-%m-%d}"
        )
    return tuple(kept)


def _date(text: str | None, otherwise: datetime) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d") if text else otherwise
    except ValueError:
        raise InputError(f"{text}: expected a date as YYYY-MM-DD") from None


def prompt_and_stops(task: Task, style: str) -> tuple[Prompt, list[str]]:
    """The benchmark's generic prompt for chat models; its layout with an example for others."""
    row = task.row
    if style == "chat":
        user = {"role": "user", "content": _question(task.prompt, row["starter_code"])}
        return [{"role": "system", "content": SYSTEM}, user], []
    starter = row["starter_code"]
    example = _EXAMPLE_CALL if starter else _EXAMPLE_STDIN
    middle = f"### Starter Code\n{starter}\n\n" if starter else ""
    return f"{example}### Question\n{task.prompt}\n\n{middle}### Answer\n\n", _STOPS


def _question(content: str, starter: str) -> str:
    kind = _WITH_STARTER if starter else _FROM_STDIN
    return (
        f"### Question:\n{content}\n\n### Format: {kind}\n"
        f"```python\n{starter or '# YOUR CODE HERE'}\n```\n\n"
        "### Answer: (use the provided format with backticks)\n\n"
    )


def program(task: Task, response: str, style: str) -> str:
    """The benchmark's own extraction: the text between the last two lines with backticks, after
    thinking is stripped; the whole text of a base model.
    """
    if style != "chat":
        return response.split(_STOPS[0])[0].strip()
    lines = without_thought(response).split("\n")
    fences = [number for number, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) > 1 else ""


def subsets(task: Task) -> dict[str, str]:
    """Properties that scores are broken down by."""
    row = task.row
    return {
        "difficulty": row["difficulty"],
        "platform": row["platform"],
        "month": row["contest_date"][:7],
    }


class _Lines:
    """Lines of a file, read mostly in order, so that none is kept in memory."""

    def __init__(self, path: Path) -> None:
        self._path, self._rest, self._number = path, lines(path), 0

    def at(self, number: int) -> bytes:
        """A line, counted from 1."""
        if number <= self._number:
            self._rest, self._number = lines(self._path), 0
        line = next(itertools.islice(self._rest, number - self._number - 1, None))
        self._number = number
        return line


@contextmanager
def grader(benchmark: Benchmark, settings: GradeSettings) -> Iterator[Grader]:
    """Run programs on a problem's tests until one fails."""
    limits = Limits(
        max(settings.seconds, SECONDS),
        settings.memory_mb,
        _FILE_MB,
        max_timeouts=1,
        share="nothing",
    )
    with Sandbox(limits, interpreter=Interpreter(prelude=lcb_tests.PRELUDE)) as sandbox:
        rows = _Lines(benchmark.path)

        def grade(task: Task, programs: list[str]) -> list[Verdict]:
            row = json.loads(rows.at(task.row["line"]))
            tests = lcb_tests.read_tests(row)
            return [lcb_tests.grade(row, one, tests, sandbox) for one in programs]

        yield grade
