"""Rankers: from the results of N solutions on M tests to a score for each solution and test.

A ranker takes one problem's `PassMatrix` and keyword parameters, and returns `Scores`; higher is
better. To add one, write such a function and name it in `RANKERS`. Scores order the solutions of
one problem: their scale differs between rankers and between problems.

Solutions with the same pass vector get bitwise equal scores from every ranker that reads passes
only, so that ties are exact. So sums are taken row by row and not with `@`, whose rounding depends
on the position of a row.
"""

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from codedpo_plugin.errors import did_you_mean
from codedpo_plugin.ranking.pass_matrix import NOT_RUN, PassMatrix


@dataclass(frozen=True)
class Scores:
    """Higher is better, within one problem."""

    solutions: np.ndarray
    """float [N]"""
    tests: np.ndarray
    """float [M]"""


Ranker = Callable[..., Scores]


def self_validation(
    matrix: PassMatrix,
    *,
    damping: float = 0.85,
    iterations: int = 10,
    schedule: str = "simultaneous",
) -> Scores:
    """CodeDPO's self-validation: good solutions pass good tests, and good tests are passed by good
    solutions.

    Every score starts at 1 and takes `iterations` of `self_validation_step`. The scores returned
    are those of the paper (arXiv 2410.05605) divided by one number, such that the largest is 1.
    Raises ValueError for a damping outside 0..1, fewer than 1 iteration or an unknown schedule.
    """
    if not 0 <= damping <= 1 or iterations < 1:
        raise ValueError("damping must lie in 0..1 and iterations must be at least 1")
    solutions, tests = (np.ones(size) for size in matrix.passes.shape)
    for _ in range(iterations):
        solutions, tests = self_validation_step(solutions, tests, matrix.passes, damping, schedule)
        # Unscaled scores overflow. One divisor for both sides: the step adds solutions to tests,
        # so two divisors would change their weights in the next step.
        largest = max(solutions.max(initial=0), tests.max(initial=0)) or 1.0
        solutions, tests = solutions / largest, tests / largest
    return Scores(solutions, tests)


def self_validation_step(
    solutions: np.ndarray, tests: np.ndarray, passes: np.ndarray, damping: float, schedule: str
) -> tuple[np.ndarray, np.ndarray]:
    """One unscaled update of solution scores [N] and test scores [M] by passes [N, M].

    `simultaneous` is the paper's equations as printed: both sides use the old scores.
    `sequential` is its worked example (1, 1.75, 2.7 at damping 0.5): first tests, then solutions
    by the new test scores. Raises ValueError for another schedule.
    """
    new_tests = (1 - damping) * tests + damping * (passes.T * solutions).sum(axis=1)
    if schedule == "sequential":
        tests = new_tests
    elif schedule != "simultaneous":
        raise ValueError(f"schedule must be simultaneous or sequential, not {schedule!r}")
    earned = (passes * tests).sum(axis=1)
    return (1 - damping) * solutions + damping * earned, new_tests


def passed_count(matrix: PassMatrix) -> Scores:
    """The number of tests that a solution passes."""
    return _with_credited_tests(matrix, matrix.passes.sum(axis=1).astype(float))


def all_tests(matrix: PassMatrix) -> Scores:
    """1 for a solution that passes all tests, else 0."""
    return _with_credited_tests(matrix, matrix.passes.all(axis=1).astype(float))


def random(matrix: PassMatrix, *, seed: int = 0) -> Scores:
    """Uniform in 0..1, determined by seed, task id and position: the same on every machine."""
    names = (f"{seed}/{position}/{matrix.task_id}" for position in range(len(matrix.passes)))
    draws = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") for name in names]
    return _with_credited_tests(matrix, np.array(draws, dtype=float) / 2**32)


def codet(matrix: PassMatrix, *, size: str = "sqrt") -> Scores:
    """CodeT's dual agreement: solutions with one pass vector form a set S that passes the tests T.

    A solution scores sqrt(|S|) * |T|, as in the comparison by the authors of B4, or |S| * |T| with
    size="product". Chen et al. 2022, arXiv 2207.10397. Raises ValueError for
    another size.
    """
    if size not in ("sqrt", "product"):
        raise ValueError(f"size must be sqrt or product, not {size!r}")
    patterns, members, set_of = _consensus_sets(matrix.passes)
    weight = np.sqrt(members) if size == "sqrt" else members
    return _with_credited_tests(matrix, (weight * patterns.sum(axis=1))[set_of].astype(float))


def b4(matrix: PassMatrix, *, beta_0: float = 1e4, alpha_xy: float = 1e3) -> Scores:
    """B4: the log posterior that the consensus set S is right, and that its tests T are.

    Chen et al., ASE 2024, arXiv 2409.08692; this form is that of `B4` in strategy.py of
    github.com/ZJU-CTAG/B4. With B the Beta function, n1 and n0 the tests in and outside of T,
    and p1 and p0 how often solutions outside of S pass those of T and those outside of T:

        log B(|S| + alpha_xy, N - |S| + 1)              right solutions
      + log B(|T| + alpha_xy, M - |T| + 1)              right tests
      + log B(p1 + 1, (N - |S|) * n1 - p1 + 1)          wrong solutions pass right tests
      + log B(p0 + 1, (N - |S|) * n0 - p0 + beta_0)     wrong solutions rarely pass wrong tests

    Constants are left out, so only differences within one problem are meaningful. The prior is that
    most solutions and tests are right, and that wrong solutions very rarely pass wrong tests; so
    the set that passes nothing can win where passes are few. A test scores the posterior
    probability that it is right. Raises ValueError unless both parameters are finite and above 0.
    """
    if not (0 < beta_0 < math.inf and 0 < alpha_xy < math.inf):
        raise ValueError("beta_0 and alpha_xy must be finite and above 0")
    from scipy.special import betaln  # slow to import

    patterns, members, set_of = _consensus_sets(matrix.passes)
    (n, m), chosen_tests = matrix.passes.shape, patterns.sum(axis=1)
    totals = matrix.passes.sum(axis=0)
    p1 = (patterns * totals).sum(axis=1) - members * chosen_tests
    p0 = (~patterns * totals).sum(axis=1)
    log_posterior = (
        betaln(members + alpha_xy, n - members + 1)
        + betaln(chosen_tests + alpha_xy, m - chosen_tests + 1)
        + betaln(p1 + 1, (n - members) * chosen_tests - p1 + 1)
        + betaln(p0 + 1, (n - members) * (m - chosen_tests) - p0 + beta_0)
    )
    posterior = np.exp(log_posterior - log_posterior.max(initial=-np.inf))
    return Scores(log_posterior[set_of], _credit_tests(posterior, patterns))


def agreement(matrix: PassMatrix) -> Scores:
    """How often other programs return the same values; expected values are not read.

    A solution scores the mean, over all other programs, of the share of inputs on which the two
    return the same value; a program sampled several times counts once. An exception agrees with
    nothing. Ties are broken by the share of tests passed, with a weight of 1e-6. After MBR-exec
    (Shi et al. 2022, arXiv 2204.11454), which counts the samples that agree on every input instead.
    """
    with_others = agreement_with_others(matrix, shared_outputs(matrix.outputs))
    passed = matrix.passes.mean(axis=1) if matrix.passes.size else np.zeros(len(matrix.passes))
    # Rounded, so that sums of the same terms in different orders are equal.
    return _with_credited_tests(matrix, with_others.round(12) + 1e-6 * passed)


def agreement_with_others(matrix: PassMatrix, shared: np.ndarray) -> np.ndarray:
    """The mean of shared outputs [N, N] over all other programs [N], each counted once."""
    _, program, copies = np.unique(matrix.programs, return_inverse=True, return_counts=True)
    ran = (matrix.outputs != NOT_RUN).any(axis=1)
    other = program[:, None] != program[None, :]
    weights = other * (ran / copies[program])
    mean: np.ndarray = (shared * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-12)
    return mean


def shared_outputs(outputs: np.ndarray) -> np.ndarray:
    """The share of inputs on which two solutions return the same value [N, N], among those on which
    both ran and at least one solution returned a value. outputs: [N, C], see `PassMatrix`.
    """
    outputs = outputs[:, (outputs >= 0).any(axis=0)]
    known = (outputs != NOT_RUN).astype(np.float32)
    compared = known @ known.T
    same = np.array([((outputs == row) & (row >= 0)).sum(axis=1) for row in outputs])
    shares: np.ndarray = same.reshape(compared.shape) / np.maximum(compared, 1.0)
    return shares


def _with_credited_tests(matrix: PassMatrix, solutions: np.ndarray) -> Scores:
    """Scores of a ranker of solutions, with test scores derived from them."""
    return Scores(solutions, _credit_tests(solutions, matrix.passes))


def _credit_tests(weights: np.ndarray, passes: np.ndarray) -> np.ndarray:
    """The share [M] of all weights [N], none below 0, that lies on rows of passes [N, M]."""
    passing: np.ndarray = (passes.T * weights).sum(axis=1)
    return passing / (weights.sum() or 1.0)


def _consensus_sets(passes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The K distinct rows of passes [K, M], how often each occurs [K], and the row of each solution
    [N].
    """
    patterns, set_of, members = np.unique(passes, axis=0, return_inverse=True, return_counts=True)
    return patterns, members, set_of.reshape(-1)


RANKERS: dict[str, Ranker] = {
    "self_validation": self_validation,
    "passed_count": passed_count,
    "all_tests": all_tests,
    "random": random,
    "codet": codet,
    "b4": b4,
    "agreement": agreement,
}


def check_parameters(name: str, parameters: Mapping[str, Any]) -> None:
    """Check, before anything is executed, that `RANKERS[name]` accepts the parameters.

    Raises a ValueError that names the wrong ranker, parameter or value, and what is valid.
    """
    if name not in RANKERS:
        raise ValueError(_unknown("ranker", name, list(RANKERS)))
    valid = [key for key in inspect.signature(RANKERS[name]).parameters if key != "matrix"]
    for parameter in parameters:
        if parameter not in valid:
            raise ValueError(_unknown(f"parameter of ranker {name}:", parameter, valid))
    one = np.zeros((1, 1), dtype=int)
    tiny = PassMatrix("tiny", np.ones((1, 1), dtype=bool), one, one[0])
    try:
        RANKERS[name](tiny, **parameters)
    except (TypeError, ValueError) as error:  # TypeError: YAML reads 1e4 as a string, say
        raise ValueError(f"ranker {name} cannot use {dict(parameters)}: {error}") from error


def _unknown(what: str, word: str, valid: list[str]) -> str:
    hint = did_you_mean(word, valid)
    return f"unknown {what} {word!r}{hint} (valid: {', '.join(valid) or 'none'})"
