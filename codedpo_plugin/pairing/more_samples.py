"""What a problem without a correctness pair needs: more tests, more solutions, or neither."""

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

_SHARED = 0.3  # mean agreement with the others above which it is not by chance


def samples_needed(problem: Problem) -> str:
    """One of the three above; it becomes the column `settle`.

    Where all solutions behave the same, or fewer than three ran, there is nothing to reject or to
    choose without further solutions. Where several share a behaviour, more tests show whether it
    is the right one. Where no two agree, most likely none is right, and neither is worth its cost.
    """
    matrix, best = problem.matrix, problem.order[0]
    found = evidence(matrix, best)
    ran = (matrix.outputs != NOT_RUN).any(axis=1)
    if found.cluster.sum() == ran.sum() or ran.sum() < 3:
        return MORE_SOLUTIONS
    return MORE_TESTS if found.agreement[best] >= _SHARED else NONE_RIGHT


_ROLES = {MORE_TESTS: "tests", MORE_SOLUTIONS: "solutions"}

Counts = Mapping[str, int]


def write_more(
    rows: Iterable[Row], path: Path, requested: Counts | None, earlier: Mapping[str, Counts]
) -> int:
    """Write the sample counts for problems that need more: twice as many solutions or tests as
    were requested. Returns how many such problems there are.

    `generate.more` takes the file. Counts of an earlier such file are kept, also for problems that
    have a pair now: without them these would go back to fewer samples.

    Args:
        rows: columns of candidates and pairs.
        path: JSONL with `task_id` and `solutions` or `tests` or both.
        requested: `solutions` and `tests` -> responses requested for each problem (one response may
            hold many tests); None for candidates from elsewhere, which are counted instead.
        earlier: task id -> the same, where it was more.
    """
    lacking = 0
    with replacing(path) as file:
        for row in rows:
            counts = {role: n for role, n in earlier.get(row["task_id"], {}).items() if n}
            if role := _ROLES.get(row["settle"]):
                before = requested[role] if requested else len(row[role])
                counts[role] = 2 * max(before, counts.get(role, 0))
                lacking += 1
            if counts:
                line = {"task_id": row["task_id"]} | counts
                file.write(json.dumps(line).encode() + b"\n")
    return lacking
