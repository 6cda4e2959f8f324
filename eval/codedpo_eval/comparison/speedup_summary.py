"""Figures of speedup over problems, from the rows that `speedup.measure` returns."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from codedpo_eval.comparison.speedup import RATIO
from codedpo_plugin.run_folder.shards import Row
from codedpo_plugin.statistics import bootstrap, wilson_interval
from codedpo_plugin.timing.speed_ratio import exceeds_ratio


def summarise(rows: list[Row], solved_before: int, wrong_after: int) -> dict[str, Any]:
    """Figures over problems.

    Args:
        rows: of `measure`: the problems that both runs solve.
        solved_before: number of problems that the first run solves.
        wrong_after: number of these that the second run does not solve.
    """
    good = [row for row in rows if "unmeasured" not in row]
    logs = np.array([row["log_speedup"] for row in good])
    errors = np.array([row["standard_error"] for row in good])
    timed = [row for row in good if row["control"] is not None]
    raw, gated = _shares(logs, errors)
    control_logs = np.array([row["control"] for row in timed])
    control_errors = np.array([row["control_error"] for row in timed])
    control_raw, control_gated = _shares(control_logs, control_errors)
    zeros = [*np.exp(logs).tolist(), *[0.0] * wrong_after]
    return {
        "joint": len(rows),
        "measured": len(good),
        "equal_programs": len(good) - len(timed),
        "resolved": int(sum(2 * errors <= math.log(RATIO))),
        "unmeasured": dict(Counter(row["unmeasured"] for row in rows if "unmeasured" in row)),
        "geometric_mean": _geometric_mean(logs),
        "median": float(np.exp(np.median(logs))) if len(logs) else None,
        "quartiles": np.exp(np.quantile(logs, (0.25, 0.75))).tolist() if len(logs) else None,
        "optimised": raw["faster"],
        "optimised_gated": gated["faster"],
        "slowed": raw["slower"],
        "slowed_gated": gated["slower"],
        "control": {
            "geometric_mean": _geometric_mean(control_logs),
            "optimised": control_raw["faster"],
            "optimised_gated": control_gated["faster"],
            "slowed": control_raw["slower"],
            "slowed_gated": control_gated["slower"],
        },
        "wrong_as_zero": {
            "problems": len(zeros),
            "solved_before": solved_before,
            "mean": _mean(zeros),
            "optimised_gated": _share(gated["faster"]["count"], len(zeros)),
        },
    }


def _geometric_mean(logs: np.ndarray) -> list[float] | None:
    if not len(logs):
        return None
    low, high = bootstrap(logs)
    return [math.exp(value) for value in (float(logs.mean()), low, high)]


def _mean(values: list[float]) -> list[float] | None:
    if not values:
        return None
    low, high = bootstrap(np.array(values))
    return [float(np.mean(values)), low, high]


def _shares(logs: np.ndarray, errors: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """Shares at least 10 % faster and slower: as measured, and where that is significant."""
    significant = [
        math.copysign(1, value) * exceeds_ratio(value, error, RATIO)
        for value, error in zip(logs, errors, strict=True)
    ]
    measured = [math.copysign(1, value) * (abs(value) >= math.log(RATIO)) for value in logs]
    raw, gated = (
        {
            "faster": _share(signs.count(1), len(signs)),
            "slower": _share(signs.count(-1), len(signs)),
        }
        for signs in (measured, significant)
    )
    return raw, gated


def _share(count: int, of: int) -> dict[str, Any]:
    if not of:
        return {"count": 0, "of": 0, "share": None}
    return {"count": count, "of": of, "share": [count / of, *wilson_interval(count, of)]}


def by_run(rows: Iterable[Row], name: str = "runs") -> list[list[float]]:
    """For each run, the speedups of the problems that were timed."""
    return [
        np.exp(column).tolist()
        for column in zip(*(row[name] for row in rows if row.get(name)), strict=False)
    ]
