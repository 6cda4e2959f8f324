"""Pairs: choose, for each problem, what the model should learn to prefer (paper, 3.3-3.4).

Reads candidates, executions, scores and timings; one row per problem:

| column | type | meaning |
|---|---|---|
| `best` | int or null | the top-ranked solution |
| `credible_tests` | list[int] | positions of the tests that it passes |
| `pairs` | list of struct | see `PAIR` |
| `no_correctness`, `no_efficiency` | str or null | why there is no such pair |
"""

import math
from collections.abc import Iterable, Iterator

import pyarrow as pa

from codedpo_plugin.credible import credible_tests, passes, ranked
from codedpo_plugin.programs import normalised
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.shards import Row
from codedpo_plugin.timing import worth_a_pair

STAGE = "pairs"

PAIR = pa.struct(
    [
        ("kind", pa.string()),  # correctness | efficiency
        ("chosen_index", pa.int64()),
        ("rejected_index", pa.int64()),
        ("chosen_score", pa.float64()),
        ("rejected_score", pa.float64()),
        ("chosen_seconds", pa.float64()),  # null in correctness pairs
        ("rejected_seconds", pa.float64()),
        ("confidence", pa.float64()),
    ]
)

SCHEMA = pa.schema(
    [
        ("task_id", pa.string()),
        ("best", pa.int64()),
        ("credible_tests", pa.list_(pa.int64())),
        ("pairs", pa.list_(PAIR)),
        ("no_correctness", pa.string()),
        ("no_efficiency", pa.string()),
    ]
)


def select_pairs(rows: Iterable[Row], recipe: Recipe) -> Iterator[Row]:
    """Select pairs, one row at a time."""
    for row in rows:
        order = ranked(row, recipe)
        credible = credible_tests(row, recipe)
        why = None if len(credible) >= recipe.pairs.min_credible_tests else "too few credible tests"
        pairs: list[Row] = []
        no_correctness = no_efficiency = why
        if why is None:
            pairs, no_correctness = _correctness(row, order, credible, recipe)
            efficiency, no_efficiency = _efficiency(row, recipe)
            pairs += efficiency
        yield {
            "task_id": row["task_id"],
            "best": order[0] if order else None,
            "credible_tests": credible,
            "pairs": pairs,
            "no_correctness": no_correctness,
            "no_efficiency": no_efficiency,
        }


def _correctness(
    row: Row, order: list[int], credible: list[int], recipe: Recipe
) -> tuple[list[Row], str | None]:
    """The best solution against the worst."""
    if not recipe.pairs.correctness:
        return [], "switched off"
    scores = row[recipe.ranker]["solution_scores"]
    best = order[0]
    lowest = scores[order[-1]]
    worst = next(i for i in order if scores[i] == lowest)
    if passes(row)[worst][credible].all():
        return [], "all solutions pass the credible tests"
    if scores[best] - lowest <= recipe.pairs.min_margin * abs(scores[best]):
        return [], "margin too small"
    if _same_text(row, best, worst):
        return [], "best and worst are the same program"
    confidence = _share_that_behaves_alike(row, best)
    return [_pair(row, recipe, "correctness", best, worst, confidence)], None


def _efficiency(row: Row, recipe: Recipe) -> tuple[list[Row], str | None]:
    """The fastest solution against the slowest, of those that pass all credible tests."""
    if not recipe.pairs.efficiency:
        return [], "switched off"
    if row["untimed"]:
        return [], row["untimed"]
    slowest = max(range(len(row["timed"])), key=lambda k: row["log_ratio"][k])
    fastest = min(range(len(row["timed"])), key=lambda k: row["log_ratio"][k])
    gap, error = row["log_ratio"][slowest], row["standard_error"][slowest]
    if not worth_a_pair(gap, error, recipe.pairs.min_speed_ratio):
        return [], "no clear difference in speed"
    fast, slow = row["timed"][fastest], row["timed"][slowest]
    if _same_text(row, fast, slow):
        return [], "fastest and slowest are the same program"
    surely = 0.5 * (1 + math.erf(gap / max(error, 1e-9) / math.sqrt(2)))
    confidence = _share_that_behaves_alike(row, fast) * surely
    pair = _pair(row, recipe, "efficiency", fast, slow, confidence)
    seconds = {
        "chosen_seconds": row["seconds"][fastest],
        "rejected_seconds": row["seconds"][slowest],
    }
    return [pair | seconds], None


def _pair(
    row: Row, recipe: Recipe, kind: str, chosen: int, rejected: int, confidence: float
) -> Row:
    scores = row[recipe.ranker]["solution_scores"]
    return {
        "kind": kind,
        "chosen_index": chosen,
        "rejected_index": rejected,
        "chosen_score": scores[chosen],
        "rejected_score": scores[rejected],
        "chosen_seconds": None,
        "rejected_seconds": None,
        "confidence": confidence,
    }


def _same_text(row: Row, one: int, other: int) -> bool:
    """Whether a model could not tell the two apart: as programs, or as responses."""
    solutions, responses = row["solutions"], row["responses"]
    if normalised(solutions[one]) == normalised(solutions[other]):
        return True
    return bool(responses) and responses[one].split() == responses[other].split()


def _share_that_behaves_alike(row: Row, index: int) -> float:
    """Share of the solutions whose pass vector is this one's: agreement, not yet a probability."""
    table = passes(row)
    return float((table == table[index]).all(axis=1).mean())
