"""Settle: what would most likely bring a correctness pair from a problem that gave none."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from codedpo_plugin.pairing.confidence import evidence
from codedpo_plugin.pairing.selection import Problem
from codedpo_plugin.ranking.pass_matrix import NOT_RUN
from codedpo_plugin.run_folder.shards import Row, replacing

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


_ROLES = {MORE_TESTS: "tests", MORE_SOLUTIONS: "solutions"}

Counts = Mapping[str, int]


def write_more(
    rows: Iterable[Row], path: Path, asked: Counts | None, earlier: Mapping[str, Counts]
) -> int:
    """Write how often in all a model should be asked for problems that more would settle: twice as
    often as it was, for solutions or for tests. Returns how many such problems there are.

    `generate.more` takes the file. What an earlier such file asked for is kept, also for problems
    that it settled: without it they would go back to fewer samples.

    Args:
        rows: columns of candidates and pairs.
        path: JSONL with `task_id` and `solutions` or `tests` or both.
        asked: `solutions` and `tests` -> responses asked for each problem (one response may hold
            many tests); None for candidates from elsewhere, of which only what they hold is known.
        earlier: task id -> the same, where it was more.
    """
    unsettled = 0
    with replacing(path) as file:
        for row in rows:
            counts = {role: n for role, n in earlier.get(row["task_id"], {}).items() if n}
            if role := _ROLES.get(row["settle"]):
                had = asked[role] if asked else len(row[role])
                counts[role] = 2 * max(had, counts.get(role, 0))
                unsettled += 1
            if counts:
                line = {"task_id": row["task_id"]} | counts
                file.write(json.dumps(line).encode() + b"\n")
    return unsettled
