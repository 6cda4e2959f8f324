"""Evaluation of rankers and selections on candidates whose correctness is known.

Candidates have a further column `truth`: a list with true, false or null for each solution, or an
object of such lists. It is read here and nowhere else. N solutions and M tests of every problem are
drawn, several times, as if no more had been sampled from the model.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.errors import InputError
from codedpo_plugin.pairing.selection import SELECTIONS, Choice, Problem
from codedpo_plugin.rank_eval.metrics import METRICS
from codedpo_plugin.ranking.pass_matrix import NOT_RUN, PassMatrix, pass_matrix
from codedpo_plugin.ranking.rankers import RANKERS
from codedpo_plugin.recipe import Pairs, Recipe
from codedpo_plugin.run_folder.candidates import read_manifest
from codedpo_plugin.run_folder.shards import read_merged
from codedpo_plugin.stages import CANDIDATES, EXECUTE, PROBE

PAPER, DEFAULT, DEFAULT_SINGLE = "paper's rule", "default", "default, 1 per problem"


@dataclass(frozen=True)
class Labelled:
    """One executed and probed problem, and which of its solutions are right."""

    matrix: PassMatrix
    probe_tests: np.ndarray
    """int [P]: the test that each further input was mutated from."""
    lengths: np.ndarray
    """int [N]: characters."""
    truth: np.ndarray
    """float [N]: 1 right, 0 wrong, NaN not known."""

    @property
    def mixed(self) -> bool:
        """Whether it has right and wrong solutions; if not, all rankings are equally good."""
        return bool((self.truth == 1).any() and (self.truth == 0).any())


@dataclass(frozen=True)
class Pair:
    """A pair that a selection made in one draw, judged by the truth."""

    problem: int
    confidence: float
    right: bool
    """Chosen is right and rejected is wrong."""
    inverted: bool
    """Chosen is wrong and rejected is right."""
    mixed: bool
    """The problem has right and wrong solutions: a right pair could be made."""
    margin: float
    hard_negative: bool
    """Rejected passes some test."""
    shorter: float
    """1 where chosen is the shorter text, 0.5 for equal lengths."""


@dataclass(frozen=True)
class Results:
    """Values of all draws, by ranker and by selection."""

    problems: int
    """Number of problems."""
    draws: int
    """Samples of each problem."""
    rankings: dict[str, dict[str, dict[int, list[float]]]]
    """ranker -> metric -> problem -> values of the draws, of mixed problems."""
    pairs: dict[str, list[Pair]]
    """selection -> its pairs."""


def labelled_problems(recipe: Recipe, truth: str | None, console: Console) -> list[Labelled]:
    """Execute the candidates, also on mutated inputs, unless that is done; and read their truth.

    Raises:
        InputError: a problem has no `truth`, or one of another length than its solutions.
    """
    pipeline.run_stages((EXECUTE.name, PROBE.name), recipe, (1, 1), console)
    manifest = read_manifest(recipe.output) or {"shards": 0}
    return [
        Labelled(
            pass_matrix(row),
            np.array(row["probe_tests"], dtype=int),
            np.array([len(text) for text in row["solutions"]]),
            _truth(row, truth),
        )
        for shard in range(manifest["shards"])
        for row in read_merged(recipe.output, (CANDIDATES, EXECUTE, PROBE), shard)
    ]


def _truth(row: Mapping[str, Any], name: str | None) -> np.ndarray:
    truth = json.loads(row["extra"]).get("truth")
    if isinstance(truth, dict):
        if name is None or name not in truth:
            raise InputError(
                f"{row['task_id']}: `truth` holds {', '.join(truth)}; name one with --truth"
            )
        truth = truth[name]
    if not isinstance(truth, list) or len(truth) != len(row["solutions"]):
        raise InputError(
            f"{row['task_id']}: needs a column `truth`, true, false or null for each of the "
            f"{len(row['solutions'])} solutions"
        )
    return np.array([np.nan if right is None else float(right) for right in truth])


def evaluate(
    problems: list[Labelled], size: tuple[int | None, int | None], draws: int, pairs: Pairs
) -> Results:
    """Rank and select in `draws` samples of at most `size` (N solutions, M tests) per problem.

    `pairs` holds the calibration and the other settings of a selection. Pairs of low confidence are
    kept, so that results can be compared at any coverage.
    """
    everything = pairs.model_copy(update={"min_confidence": 0.0})
    selections = _selections(everything)
    results = Results(len(problems), draws, {name: {} for name in RANKERS}, {})
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        for number, whole in enumerate(problems):
            sample = drawn(whole, size, rng)
            scores = {name: rank(sample.matrix).solutions for name, rank in RANKERS.items()}
            if sample.mixed:
                _add_rankings(results, number, sample, scores)
            for name, (ranker, selection, settings) in selections.items():
                problem = _problem(sample, scores[ranker])
                choices = SELECTIONS[selection](problem, settings)[0] if problem else []
                found = results.pairs.setdefault(name, [])
                found += _judged(sample, scores[ranker], choices, number, selection == "near_miss")
    return results


def _selections(pairs: Pairs) -> dict[str, tuple[str, str, Pairs]]:
    """Name -> ranker, selection, settings."""
    single = pairs.model_copy(update={"per_problem": 1})
    named = {f"{ranker}, worst": (ranker, "worst", single) for ranker in RANKERS}
    return {
        PAPER: named.pop("self_validation, worst"),
        **named,
        DEFAULT_SINGLE: ("agreement", "near_miss", single),
        DEFAULT: ("agreement", "near_miss", pairs),
    }


def drawn(
    whole: Labelled, size: tuple[int | None, int | None], rng: np.random.Generator
) -> Labelled:
    """A random sample of one problem's solutions and tests, in their order, and of the further
    inputs those that were mutated from these tests.
    """
    n, m = whole.matrix.passes.shape
    rows = np.sort(rng.permutation(n)[: size[0]])
    tests = np.sort(rng.permutation(m)[: size[1]])
    probes = m + np.flatnonzero(np.isin(whole.probe_tests, tests))
    columns = np.concatenate([tests, probes])
    matrix = PassMatrix(
        whole.matrix.task_id,
        whole.matrix.passes[np.ix_(rows, tests)],
        whole.matrix.outputs[np.ix_(rows, columns)],
        whole.matrix.programs[rows],
    )
    return Labelled(matrix, whole.probe_tests[probes - m], whole.lengths[rows], whole.truth[rows])


def _add_rankings(
    results: Results, number: int, sample: Labelled, scores: dict[str, np.ndarray]
) -> None:
    known = ~np.isnan(sample.truth)
    for ranker, values in scores.items():
        for name, metric in METRICS.items():
            value = metric(values[known], sample.truth[known])
            by_problem = results.rankings[ranker].setdefault(name, {})
            by_problem.setdefault(number, []).append(value)


def _problem(sample: Labelled, scores: np.ndarray) -> Problem | None:
    """The input of a selection; None where no solution ran, or the best passes no test."""
    tests = sample.matrix.outputs[:, : sample.matrix.passes.shape[1]]
    ran = np.flatnonzero((tests != NOT_RUN).any(axis=1) | sample.matrix.passes.any(axis=1))
    order = sorted(ran.tolist(), key=lambda index: -scores[index])
    if not order or not sample.matrix.passes[order[0]].any():
        return None
    return Problem(sample.matrix, scores, order, sample.lengths.tolist())


def _judged(
    sample: Labelled,
    scores: np.ndarray,
    choices: list[Choice],
    number: int,
    by_confidence: bool,
) -> Iterator[Pair]:
    """The pairs, judged by the truth; those with an unknown side are left out."""
    # Other rankers have no confidence: the share of solutions tied at the top is the best filter.
    tied = float((scores == scores.max()).mean()) if len(scores) else 0.0
    for choice in choices:
        chosen, rejected = sample.truth[choice.chosen], sample.truth[choice.rejected]
        if np.isnan(chosen) or np.isnan(rejected):
            continue
        lengths = sample.lengths[choice.chosen], sample.lengths[choice.rejected]
        yield Pair(
            number,
            confidence=choice.confidence if by_confidence else tied,
            right=bool(chosen == 1 and rejected == 0),
            inverted=bool(chosen == 0 and rejected == 1),
            mixed=sample.mixed,
            margin=choice.margin,
            hard_negative=bool(sample.matrix.passes[choice.rejected].any()),
            shorter=0.5 + 0.5 * float(np.sign(lengths[1] - lengths[0])),
        )


def by_confidence(pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """(number of pairs taken, share of them right), most confident first. Pairs of equal confidence
    are taken together.
    """
    ordered = sorted(pairs, key=lambda pair: -pair.confidence)
    right = np.cumsum([pair.right for pair in ordered])
    changes = np.flatnonzero(np.diff([pair.confidence for pair in ordered]))
    taken = np.append(changes, len(ordered) - 1) + 1 if ordered else np.zeros(0, dtype=int)
    return taken, right[taken - 1] / taken
