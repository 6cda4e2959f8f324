"""Problems of benchmarks: their texts and, for functions with tests, tests that can be run.

JSONL (also .gz) or parquet files in the format of HumanEval(+), MBPP(+), DS-1000 or LiveCodeBench,
or with the columns `prompt`, `entry_point` and `tests`.
"""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codedpo_plugin.errors import InputError
from codedpo_plugin.parsing.snippets import split_tests
from codedpo_plugin.parsing.syntax import names_bound, names_used, parsed
from codedpo_plugin.run_folder.candidates import read_file

# Files on the hub. LiveCodeBench's include private tests: several gigabytes, which are streamed.
_HUB = {
    "humaneval": "datasets/openai/openai_humaneval/openai_humaneval/*.parquet",
    "mbpp": "datasets/google-research-datasets/mbpp/full/*.parquet",
    "ds1000": "datasets/xlang-ai/DS-1000/test.jsonl",
    "livecodebench": "datasets/livecodebench/code_generation_lite/test*.jsonl",
}
_TEXTS = ("prompt", "text", "question_content", "question", "instruction")


@dataclass(frozen=True)
class Problem:
    """One problem of a benchmark."""

    benchmark: str
    task_id: str
    text: str
    """The statement, as a model sees it."""
    entry_point: str | None = None
    """The function that the tests call; None if the problem cannot be run."""
    tests: tuple[str, ...] = ()
    """Snippets that raise when they fail."""
    reference: str | None = None
    """A correct program that defines the entry point."""


def load_all(names: list[str]) -> list[Problem]:
    """The problems of all benchmarks.

    Raises:
        InputError: a name is neither a file nor known, or no row has a text.
    """
    return [problem for name in names for problem in load(name)]


def load(name: str) -> list[Problem]:
    """The problems of one benchmark: a file, or a name in `_HUB`."""
    path = Path(name)
    if path.is_file():
        label = path.name.partition(".")[0].lower()
        rows: Iterator[Any] = (row for _, row in read_file(path))
    elif name in _HUB:
        label, rows = name, _hub_rows(name)
    else:
        raise InputError(
            f"decontaminate.benchmarks: {name}: no such file; known by name: {', '.join(_HUB)}"
        )
    problems = [
        problem
        for number, row in enumerate(rows)
        if isinstance(row, dict) and (problem := problem_of(label, number, row))
    ]
    if not problems:
        raise InputError(
            f"decontaminate.benchmarks: {name}: no row has a text in {', '.join(_TEXTS)}"
        )
    return problems


def _hub_rows(name: str) -> Iterator[Any]:
    import pyarrow.parquet as pq
    from huggingface_hub import HfFileSystem

    hub = HfFileSystem()
    try:
        for path in sorted(map(str, hub.glob(_HUB[name]))):
            with hub.open(path, "rb") as file:
                if path.endswith(".parquet"):
                    yield from pq.read_table(file).to_pylist()
                else:
                    yield from map(json.loads, file)
    except OSError as error:
        raise InputError(
            f"decontaminate.benchmarks: {name}: the hub cannot be read ({error}); name a file"
        ) from None


def problem_of(benchmark: str, number: int, row: dict[str, Any]) -> Problem | None:
    """A row of a benchmark's file as a problem; None if it has no text."""
    text = next((row[name] for name in _TEXTS if isinstance(row.get(name), str)), None)
    if text is None:
        return None
    task_id = str(row.get("task_id") or row.get("question_id") or number)
    entry_point, tests = _tests(row)
    if not entry_point or not tests:
        return Problem(benchmark, task_id, text)
    return Problem(
        benchmark, task_id, text, entry_point, tuple(tests), _reference(row, entry_point)
    )


def _tests(row: dict[str, Any]) -> tuple[str | None, list[str]]:
    """(entry point, snippets), depending on the columns of the row."""
    name = row.get("entry_point")
    if isinstance(row.get("test"), str) and "def check(" in row["test"]:
        # Some compare the candidate with the reference solution, which is not in the test.
        tests = [test for test in _check_tests(row["test"]) if f"{name}(" not in test]
        return "candidate", tests
    if isinstance(row.get("assertion"), str) and name:
        return name, _snippets(row["assertion"], name)
    if isinstance(row.get("test_list"), list):
        name = name or _called(row["test_list"], str(row.get("code", "")))
        setup = "\n".join([row.get("test_setup_code") or "", *(row.get("test_imports") or [])])
        return name, _snippets("\n".join([setup, *row["test_list"]]), name) if name else []
    if isinstance(row.get("public_test_cases"), str):
        return _livecodebench_tests(row)
    if isinstance(row.get("tests"), list) and name:
        return name, [str(test) for test in row["tests"]]
    return None, []


def _reference(row: dict[str, Any], entry_point: str) -> str | None:
    """The benchmark's own solution; HumanEval's continues the prompt."""
    name = row.get("entry_point") or entry_point
    body = row.get("canonical_solution")
    for program in (row.get("code"), body, body and f"{row.get('prompt')}{body}"):
        tree = parsed(program) if isinstance(program, str) else None
        if tree and name in {bound for node in tree.body for bound in names_bound(node)}:
            return program if name == entry_point else f"{program}\n{entry_point} = {name}\n"
    return None


def _snippets(source: str, name: str) -> list[str]:
    tree = parsed(source)
    return split_tests(tree.body, [], name) if tree else []


def _check_tests(source: str) -> list[str]:
    """HumanEval's `def check(candidate)` as snippets, or as one if it cannot be split."""
    tree = parsed(source)
    body = tree.body if tree else []
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == "check":
            setup = [other for other in body if other is not node]
            if tests := split_tests(node.body, setup, "candidate"):
                return tests
    return [f"{source}\ncheck(candidate)"] if body else []


def _called(tests: list[str], code: str) -> str | None:
    """The function in a solution that all tests call."""
    tree = parsed(code)
    defined = (
        {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} if tree else set()
    )
    for test in tests:
        node = parsed(test)
        defined &= names_used(node) if node else set()
    return min(defined, default=None)


def _livecodebench_tests(row: dict[str, Any]) -> tuple[str | None, list[str]]:
    """Tests that call a function; other problems read standard input."""
    try:
        name = json.loads(row.get("metadata") or "{}").get("func_name")
        cases = json.loads(row["public_test_cases"])
        if not name:
            return None, []
        return name, [_functional_test(name, case) for case in cases]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None, []


def _functional_test(name: str, case: dict[str, str]) -> str:
    arguments = ", ".join(repr(json.loads(line)) for line in case["input"].splitlines())
    return f"assert {name}({arguments}) == {json.loads(case['output'])!r}"
