"""Which problems need more samples, and the file that requests them."""

import json
from pathlib import Path

from codedpo_plugin.pairing.more_samples import (
    MORE_SOLUTIONS,
    MORE_TESTS,
    NONE_RIGHT,
    samples_needed,
    write_more,
)
from helpers.matrices import problem


def test_samples_needed_by_how_solutions_behave():
    clusters = [[1] * 4] * 5 + [[0] * 4] * 5
    assert samples_needed(problem(clusters, [0, 0, 1, 1])) == MORE_TESTS
    assert samples_needed(problem([[0] * 4] * 10, [0] * 4)) == MORE_SOLUTIONS
    chaos = [[k, k + 100, k + 200] for k in range(10)]
    assert samples_needed(problem(chaos, [0, 100, 200])) == NONE_RIGHT


def test_problems_that_need_more_samples_are_listed(tmp_path: Path) -> None:
    """Counted in responses, if the run requested them: one may hold many tests, or no program."""
    wants = [MORE_TESTS, MORE_SOLUTIONS, NONE_RIGHT, None, MORE_TESTS]
    rows = [
        {"solutions": ["a"] * 13, "tests": ["b"] * 50, "task_id": str(n), "settle": want}
        for n, want in enumerate(wants)
    ]

    def written(requested, earlier):
        count = write_more(rows, tmp_path / "more.jsonl", requested, earlier)
        lines = (tmp_path / "more.jsonl").read_text().splitlines()
        return count, [json.loads(line) for line in lines]

    earlier = {"3": {"solutions": 30, "tests": 0}, "4": {"solutions": 30, "tests": 10}}
    assert written({"solutions": 15, "tests": 5}, earlier) == (
        3,
        [
            {"task_id": "0", "tests": 10},
            {"task_id": "1", "solutions": 30},
            {"task_id": "3", "solutions": 30},
            {"task_id": "4", "solutions": 30, "tests": 20},
        ],
    )
    counted = [{"task_id": "0", "tests": 100}, {"task_id": "1", "solutions": 26}]
    assert written(None, {}) == (3, [*counted, {"task_id": "4", "tests": 100}])
