"""Pairs: select chosen and rejected solutions of each problem (paper, sections 3.3 and 3.4).

Reads candidates, executions, probes, scores and timings; one row per problem:

| column | type | meaning |
|---|---|---|
| `best` | int or null | the top-ranked solution |
| `credible_tests` | list[int] | positions of the tests that it passes |
| `pairs` | list of struct | see `PAIR` |
| `no_correctness`, `no_efficiency` | str or null | why there is no such pair |
| `settle` | str or null | what a problem without a correctness pair needs, see `more_samples` |
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from codedpo_plugin.pairing.confidence import evidence
from codedpo_plugin.pairing.more_samples import samples_needed
from codedpo_plugin.pairing.selection import SELECTIONS, UNSURE, Problem
from codedpo_plugin.parsing.programs import normalised
from codedpo_plugin.ranking.credible_tests import credible_tests, ranked
from codedpo_plugin.ranking.pass_matrix import pass_matrix
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder.shards import Row
from codedpo_plugin.timing.speed_ratio import exceeds_ratio

PAIR = pa.struct(
    [
        ("kind", pa.string()),  # correctness | efficiency
        ("chosen_index", pa.int64()),
        ("rejected_index", pa.int64()),
        ("chosen_score", pa.float64()),
        ("rejected_score", pa.float64()),
        ("chosen_seconds", pa.float64()),  # null in correctness pairs
        ("rejected_seconds", pa.float64()),
        ("confidence", pa.float64()),  # probability that the pair is right
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
        ("settle", pa.string()),
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
        problem = problem_of(row, order, recipe)
        if why is None:
            pairs, no_correctness = _correctness(row, problem, recipe)
            efficiency, no_efficiency = _efficiency(row, problem, recipe)
            pairs += efficiency
        lacking = recipe.pairs.correctness and no_correctness
        yield {
            "task_id": row["task_id"],
            "best": order[0] if order else None,
            "credible_tests": credible,
            "pairs": pairs,
            "no_correctness": no_correctness,
            "no_efficiency": no_efficiency,
            "settle": samples_needed(problem) if lacking and order else None,
        }


def problem_of(row: Row, order: list[int], recipe: Recipe) -> Problem:
    """The input of a selection, from the row of a ranked problem."""
    scores = np.array(row[recipe.ranker]["solution_scores"])
    return Problem(pass_matrix(row), scores, order, [len(text) for text in row["solutions"]])


def _correctness(row: Row, problem: Problem, recipe: Recipe) -> tuple[list[Row], str | None]:
    """Solutions that are likely right against ones that are likely wrong."""
    if not recipe.pairs.correctness:
        return [], "switched off"
    choices, why = SELECTIONS[recipe.pairs.selection](problem, recipe.pairs)
    distinct = [choice for choice in choices if not _same_text(row, choice.chosen, choice.rejected)]
    if choices and not distinct:
        return [], "chosen and rejected read the same"
    return [
        _pair(row, recipe, "correctness", choice.chosen, choice.rejected, choice.confidence)
        for choice in distinct
    ], why


def _efficiency(row: Row, problem: Problem, recipe: Recipe) -> tuple[list[Row], str | None]:
    """The fastest solution against the slowest, of those that pass all credible tests."""
    if not recipe.pairs.efficiency:
        return [], "switched off"
    if row["untimed"]:
        return [], row["untimed"]
    slowest = max(range(len(row["timed"])), key=lambda k: row["log_ratio"][k])
    fastest = min(range(len(row["timed"])), key=lambda k: row["log_ratio"][k])
    gap, error = row["log_ratio"][slowest], row["standard_error"][slowest]
    if not exceeds_ratio(gap, error, recipe.pairs.min_speed_ratio):
        return [], "no clear difference in speed"
    fast, slow = row["timed"][fastest], row["timed"][slowest]
    if _same_text(row, fast, slow):
        return [], "fastest and slowest are the same program"
    right = recipe.pairs.calibration.probability(evidence(problem.matrix, fast).support)
    faster = 0.5 * (1 + math.erf(gap / max(error, 1e-9) / math.sqrt(2)))
    if right * faster < recipe.pairs.min_confidence:
        return [], UNSURE
    pair = _pair(row, recipe, "efficiency", fast, slow, right * faster)
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
    """Whether the two are the same to a model: as programs, or as responses."""
    solutions, responses = row["solutions"], row["responses"]
    if normalised(solutions[one]) == normalised(solutions[other]):
        return True
    return bool(responses) and responses[one].split() == responses[other].split()
