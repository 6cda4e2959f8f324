"""Inputs of the tests of HumanEval(+) and MBPP(+).

JSON has no tuples, sets or complex numbers: in MBPP+'s file these are lists or strings. Which tasks
need which type is known from the data set (v0.2.0).
"""

from collections.abc import Callable
from typing import Any

from codedpo_eval.benchmarks.registry import Task

Arguments = list[Any]

LONGEST = 300.0
"""Limit on the CPU seconds of any test; the slowest reference takes about 30."""


def family(task: Task) -> str:
    """`HumanEval` or `Mbpp`."""
    return task.task_id.partition("/")[0]


def arguments(task: Task) -> tuple[list[Arguments], list[Arguments]]:
    """Argument lists of the base tests, and of the plus tests."""
    row = task.row
    base, plus = row["base_input"], row["plus_input"]
    if family(task) == "Mbpp":
        return restored(task.task_id, base), restored(task.task_id, plus)
    return base, plus


def restored(task_id: str, inputs: list[Arguments]) -> list[Arguments]:
    """Argument lists of a task of MBPP+, with the types that its function expects."""
    number = task_id.rpartition("/")[2]
    each, first, second = (table.get(number) for table in (_EACH, _FIRST, _SECOND))
    if each:
        return [list(map(each, arguments)) for arguments in inputs]
    if second:
        inputs = [[one[0], second(one[1]), *one[2:]] for one in inputs]
    return [[first(one[0]), *one[1:]] for one in inputs] if first else inputs


def _items(values: Any) -> list[Any]:
    return [tuple(value) for value in values]


def _grid(values: Any) -> tuple[Any, ...]:
    return tuple(map(tuple, values))


def _deep(value: Any) -> Any:
    return tuple(map(_deep, value)) if isinstance(value, list) else value


def _lists_in(values: Any) -> list[Any]:
    return [tuple(value) if isinstance(value, list) else value for value in values]


def _sets_in(values: Any) -> list[Any]:
    return [set(value) if isinstance(value, list) and value else {} for value in values]


def _values_of(mapping: Any) -> dict[Any, Any]:
    return {key: tuple(value) for key, value in mapping.items()}


def _table(*lines: tuple[Callable[[Any], Any], str]) -> dict[str, Callable[[Any], Any]]:
    return {number: restore for restore, numbers in lines for number in numbers.split()}


_EACH = _table(
    (
        tuple,
        "2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809",
    ),
    (_items, "63 64 70 94 120 237 272 299 400 409 417 438 473 614 780"),
    (_grid, "259 401 445"),
    (_deep, "580 615 791"),
)
_FIRST = _table(
    (tuple, "250 307 405 446 617 720 763 808"),
    (_items, "75 413 444 753"),
    (_sets_in, "115"),
    (_lists_in, "278"),
    (_values_of, "722"),
    (float, "124"),
    (complex, "252"),
)
_SECOND = _table((tuple, "106 750"), (complex, "124"))
