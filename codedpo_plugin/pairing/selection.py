"""Selection: which solutions of a problem become chosen and rejected in correctness pairs.

Two ways, named in `SELECTIONS`: `worst` is the paper's (top against bottom, section 3.3);
`near_miss` rejects a hard negative: a solution that passes some tests. To add one, write such a
function and name it there.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from codedpo_plugin.pairing.confidence import Evidence, evidence
from codedpo_plugin.ranking.pass_matrix import PassMatrix
from codedpo_plugin.recipe import Pairs

UNSURE = "confidence below pairs.min_confidence"

# Confidence that may be given up, as a share of the highest: for a more informative pair, and for
# a further one.
_NEARLY, _FURTHER = 0.8, 0.5


@dataclass(frozen=True)
class Problem:
    """The input of a selection."""

    matrix: PassMatrix
    scores: np.ndarray
    """float [N]: of the deciding ranker."""
    order: list[int]
    """Solutions that ran, best first, not empty."""
    lengths: list[int]
    """Characters of each solution."""


@dataclass(frozen=True)
class Choice:
    """One correctness pair."""

    chosen: int
    rejected: int
    margin: float
    """Of evidence, see `confidence`; not the score difference that `pairs.min_margin` limits."""
    confidence: float
    """Probability that the pair is right."""


def worst(problem: Problem, pairs: Pairs) -> tuple[list[Choice], str | None]:
    """The best solution against the worst: at most one pair, or why there is none."""
    matrix, scores, best = problem.matrix, problem.scores, problem.order[0]
    lowest = scores[problem.order[-1]]
    rejected = next(i for i in problem.order if scores[i] == lowest)
    if not (matrix.passes[best] & ~matrix.passes[rejected]).any():
        return [], "all solutions pass the credible tests"
    if scores[best] - lowest <= pairs.min_margin * abs(scores[best]):
        return [], "margin too small"
    if matrix.programs[best] == matrix.programs[rejected]:
        return [], "best and worst are the same program"
    choice = _choice(best, rejected, evidence(matrix, best), pairs)
    return ([], UNSURE) if choice.confidence < pairs.min_confidence else ([choice], None)


def near_miss(problem: Problem, pairs: Pairs) -> tuple[list[Choice], str | None]:
    """The best solution's behaviour against others that fail, or why there is no such pair.

    Rejected fails a credible test and differs from chosen on an input of the tests. Of the options
    with nearly the highest confidence, one is preferred that passes some test, and that makes
    chosen the longer text in half of all pairs. Further pairs of a problem have rejected solutions
    with other behaviours, and chosen ones with other texts.
    """
    best = problem.order[0]
    found = evidence(problem.matrix, best)
    options = [
        _choice(best, other, found, pairs)
        for other in problem.order
        if _fails(problem, other, found)
    ]
    if not options:
        return [], "no solution surely differs from the best"
    highest = max(option.confidence for option in options)
    if highest < pairs.min_confidence:
        return [], UNSURE
    choices: list[Choice] = []
    cluster = _cluster(problem, found)
    while len(choices) < pairs.per_problem:
        least = max(pairs.min_confidence, (_FURTHER if choices else _NEARLY) * highest)
        likely = [option for option in options if option.confidence >= least]
        if not likely:
            break
        choice = _most_informative(problem, cluster, likely, len(choices))
        choices.append(choice)
        same = (problem.matrix.outputs == problem.matrix.outputs[choice.rejected]).all(axis=1)
        options = [option for option in options if not same[option.rejected]]
        cluster = [index for index in cluster if index != choice.chosen] or cluster
    return choices, None


def _choice(best: int, rejected: int, found: Evidence, pairs: Pairs) -> Choice:
    margin = found.margin(rejected)
    return Choice(best, rejected, margin, pairs.calibration.probability(margin))


def _fails(problem: Problem, other: int, found: Evidence) -> bool:
    """Whether a solution is another program than the best, fails a test that the best passes, and
    differs on some test's input.
    """
    matrix, best = problem.matrix, problem.order[0]
    fails = bool((matrix.passes[best] & ~matrix.passes[other]).any())
    return fails and found.differs[other] > 0 and matrix.programs[other] != matrix.programs[best]


def _cluster(problem: Problem, found: Evidence) -> list[int]:
    """Different programs that behave as the best solution."""
    programs: dict[int, int] = {}
    for index in problem.order:
        if found.cluster[index]:
            programs.setdefault(int(problem.matrix.programs[index]), index)
    return list(programs.values())


def _most_informative(
    problem: Problem, cluster: list[int], options: list[Choice], number: int
) -> Choice:
    """The option that a model learns most from, with a chosen solution from `cluster`, for the
    problem's pair `number`: a hard negative, and no bias of length over many pairs.
    """
    wanted = _coin(f"{problem.matrix.task_id}/{number}")

    def value(choice: Choice) -> tuple[bool, bool, float]:
        longer = problem.lengths[choice.chosen] > problem.lengths[choice.rejected]
        some = bool(problem.matrix.passes[choice.rejected].any())
        return some, longer == wanted, choice.confidence

    return max((replace(option, chosen=c) for c in cluster for option in options), key=value)


def _coin(name: str) -> bool:
    """A fair coin, fixed by the name: whether chosen should be the longer text."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 0


Selection = Callable[[Problem, Pairs], tuple[list[Choice], str | None]]

SELECTIONS: dict[str, Selection] = {"near_miss": near_miss, "worst": worst}
