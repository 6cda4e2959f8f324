"""Settle: what would most likely bring a correctness pair from a problem that gave none."""

import json
from collections.abc import Iterable
from pathlib import Path

from codedpo_plugin.confidence import evidence
from codedpo_plugin.rankers import NOT_RUN
from codedpo_plugin.selection import Problem
from codedpo_plugin.shards import Row, replacing

MORE_TESTS = "more tests"
MORE_SOLUTIONS = "more solutions"
NONE_RIGHT = "no solution seems right"

_SOME = 0.3  # mean agreement with the others, from which on a behaviour is shared and not chance


def what_would_settle(problem: Problem) -> str:
    """One of the three above.

    Where all solutions behave alike, or hardly any ran, only another solution can be rejected or
    chosen. Where several share a behaviour, more tests tell whether it is the right one. Where each
    goes its own way, most likely none is right: neither is worth its price.
    """
    matrix, best = problem.matrix, problem.order[0]
    found = evidence(matrix, best)
    ran = (matrix.outputs != NOT_RUN).any(axis=1)
    if found.alike.sum() == ran.sum() or ran.sum() < 3:
        return MORE_SOLUTIONS
    return MORE_TESTS if found.agreement[best] >= _SOME else NONE_RIGHT


def write_more(rows: Iterable[Row], path: Path) -> int:
    """Write how many samples in all each problem should have that more would settle: twice what it
    has, of solutions or of tests. `generate.more` takes this file. Returns the problems in it.

    Args:
        rows: columns of candidates and pairs.
        path: JSONL with `task_id`, `solutions` and `tests`.
    """
    written = 0
    with replacing(path) as file:
        for row in rows:
            solutions, tests = len(row["solutions"]), len(row["tests"])
            if row["settle"] in (MORE_TESTS, MORE_SOLUTIONS):
                tests *= 1 + (row["settle"] == MORE_TESTS)
                solutions *= 1 + (row["settle"] == MORE_SOLUTIONS)
                more = {"task_id": row["task_id"], "solutions": solutions, "tests": tests}
                file.write(json.dumps(more).encode() + b"\n")
                written += 1
    return written
