"""Confidence: the probability that a pair is right, that is: chosen right and rejected wrong.

It is a logistic function (`recipe.Calibration`) of the pair's *margin*, which is computed from what
solutions return, and never from truth:

    margin           = support of chosen - agreement of rejected
    support          = agreement + (cluster - competing - 2 counter_evidence) / 5
    agreement        = mean share of inputs on which the other programs return the same value
                       (see `rankers`)
    cluster          = share of the solutions that behave as chosen does, on all inputs and tests
    competing        = agreement of the best solution that returns other values on more than a
                       fifth of the inputs
    counter_evidence = largest share of tests that chosen fails and one other solution passes

Most wrong solutions fail in different ways, so they agree with few others; and a solution that
differs from the chosen one only where no two agree need not be wrong. A large competing cluster, or
tests that favour another solution, mean that the majority may be wrong. docs/pairs.md has the
measurements.
"""

from dataclasses import dataclass

import numpy as np

from codedpo_plugin.ranking.pass_matrix import NOT_RUN, REFUSED, PassMatrix
from codedpo_plugin.ranking.rankers import agreement_with_others, shared_outputs
from codedpo_plugin.recipe import Calibration

_WEIGHT = 0.2  # of cluster, competing cluster and counter-evidence
_APART = 0.2  # share of inputs on which a competing solution returns other values
_SPREAD = (1.0, 1.5)  # standard deviations of the prior of intercept and slope, between models


@dataclass(frozen=True)
class Evidence:
    """For and against one problem's best solution, from the values that its solutions return."""

    support: float
    """Of the best solution."""
    agreement: np.ndarray
    """float [N]: of every solution with the other programs."""
    cluster: np.ndarray
    """bool [N]: whether it ran and behaves as the best solution, on every input and test."""
    differs: np.ndarray
    """float [N]: share of the tests' inputs on which it and the best solution return different
    values, or one of them raises; 0 for the best itself, and where nothing is known."""

    def margin(self, rejected: int) -> float:
        """Of the best solution over another one."""
        return self.support - float(self.agreement[rejected])


def evidence(matrix: PassMatrix, best: int) -> Evidence:
    """Weigh a problem's outputs. Inputs that a solution refuses (`REFUSED`) do not count for or
    against it: the problem statement does not say what is right for an invalid input.
    """
    outputs = np.where(matrix.outputs == REFUSED, NOT_RUN, matrix.outputs)
    agreement = agreement_with_others(matrix, shared_outputs(outputs))
    # Here refusals count: a competing solution must return other values, not fewer.
    shared = shared_outputs(matrix.outputs)[best]
    ran = (matrix.outputs != NOT_RUN).any(axis=1)
    cluster = _same_behaviour(matrix, best) & ran
    size = cluster.sum() / max(ran.sum(), 1)
    competing = agreement[ran & (shared < 1 - _APART)].max(initial=0.0)
    counter_evidence = (matrix.passes & ~matrix.passes[best]).mean(axis=1).max(initial=0.0)
    support = float(agreement[best] + _WEIGHT * (size - competing - 2 * counter_evidence))
    tests = outputs[:, : matrix.passes.shape[1]]
    return Evidence(support, agreement, cluster, _differs(tests, best))


def _same_behaviour(matrix: PassMatrix, best: int) -> np.ndarray:
    """bool [N]: same values wherever both ran, and the same tests passed."""
    unknown = (matrix.outputs == NOT_RUN) | (matrix.outputs[best] == NOT_RUN)
    values: np.ndarray = ((matrix.outputs == matrix.outputs[best]) | unknown).all(axis=1)
    passes: np.ndarray = (matrix.passes == matrix.passes[best]).all(axis=1)
    both: np.ndarray = values & passes
    return both


def _differs(tests: np.ndarray, best: int) -> np.ndarray:
    """Share of inputs on which solutions and the best one differ, of those on which both ran."""
    tests = tests[:, (tests >= 0).any(axis=0)]
    both = (tests != NOT_RUN) & (tests[best] != NOT_RUN)
    same = (tests == tests[best]) & (tests >= 0)
    share: np.ndarray = (both & ~same).sum(axis=1) / np.maximum(both.sum(axis=1), 1)
    share[best] = 0.0
    return share


def calibrate(
    margins: np.ndarray, right: np.ndarray, prior: Calibration, weight: float = 1.0
) -> Calibration:
    """The maximum a posteriori calibration, given pairs of known truth; by Newton's method.

    The prior is normal around `prior`; its spread is that found between models and benchmarks, so
    ten labelled problems move the result a little and a hundred decide it.

    Args:
        margins: float [K].
        right: bool [K].
        weight: of each pair; below 1 where several come from one problem.
        prior: the calibration without these pairs.
    """
    inputs = np.column_stack([np.ones(len(margins)), margins])
    centre = np.array([prior.intercept, prior.slope])
    precision = np.diag(1 / np.square(_SPREAD))
    weights = centre.copy()
    for _ in range(50):
        expected = 1 / (1 + np.exp(-inputs @ weights))
        slope = weight * inputs.T @ (right - expected) - precision @ (weights - centre)
        curvature = weight * (inputs.T * (expected * (1 - expected))) @ inputs + precision
        weights = weights + np.linalg.solve(curvature, slope)
    return Calibration(intercept=float(weights[0]), slope=max(float(weights[1]), 0.1))
