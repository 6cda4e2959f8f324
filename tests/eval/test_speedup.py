"""Speedup: programs side by side, errors over runs, shares as measured and where significant."""

import math
from typing import Any

import pytest

from codedpo_eval.comparison import speedup, speedup_summary

SLOW = "def total(items):\n    out = 0\n    for x in items:\n        for _ in range(20):\n            x += 0\n        out += x\n    return out"
FAST = "def total(items):\n    return sum(items)"
WRONG = "def total(items):\n    return 0"


def test_all_are_paired_with_all() -> None:
    """The side's logarithm is the mean over its samples, equal ones counted as often as sampled."""
    protocol = speedup.Protocol(programs=2)
    before = speedup.distinct_programs([FAST, FAST + "\n# again", SLOW, WRONG], protocol)
    assert list(before.values()) == [2, 1]  # the third program is beyond the two
    raced = speedup.side_by_side(before, speedup.distinct_programs([SLOW], protocol), protocol)
    assert (raced.before, raced.after, len(raced.texts)) == ([0, 0, 1], [1], 2)
    apart = speedup.side_by_side(before, before, speedup.Protocol(shared=False))
    assert (apart.before, apart.after, len(apart.texts)) == ([0, 0, 1], [2, 2, 3], 4)


def row(log_speedup: float, error: float, control: float = 0.0) -> dict[str, Any]:
    return {
        "log_speedup": log_speedup, "standard_error": error, "control": control,
        "control_error": error, "runs": [log_speedup], "control_runs": [control],
    }  # fmt: skip


def test_shares_are_raw_and_gated() -> None:
    rows = [row(0.5, 0.01), row(0.12, 0.05), row(-0.5, 0.01), row(0.0, 0.01), row(0.2, 0.2)]
    found = speedup_summary.summarise(
        [*rows, {"unmeasured": "why"}], solved_before=8, wrong_after=2
    )
    assert (found["optimised"]["count"], found["optimised_gated"]["count"]) == (3, 1)
    assert (found["slowed"]["count"], found["slowed_gated"]["count"]) == (1, 1)
    assert (found["joint"], found["measured"], found["resolved"]) == (6, 5, 3)
    assert found["unmeasured"] == {"why": 1}
    assert found["geometric_mean"][0] == pytest.approx(math.exp(0.32 / 5))
    assert found["wrong_as_zero"]["problems"] == 7


def test_runs_that_disagree_widen_the_error() -> None:
    assert speedup.over_runs([(0.1, 0.001), (0.5, 0.001)]) == (
        pytest.approx(0.3),
        pytest.approx(0.2),
    )
    assert speedup.over_runs([(0.1, 0.2), (0.1, 0.2)])[1] == pytest.approx(0.2 / math.sqrt(2))


def test_programs_that_keep_state_are_not_timed() -> None:
    kept = "seen = {}\ndef total(items):\n    seen[len(items)] = 1\n    return sum(items)"
    assert not speedup.distinct_programs([kept], speedup.Protocol())
