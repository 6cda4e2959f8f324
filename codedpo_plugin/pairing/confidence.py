"""Confidence: the probability that a pair is right, that is: chosen right and rejected wrong.

It is a logistic function (`recipe.Calibration`) of the pair's *lead*, which is made of what
solutions return, and never of truth:

    lead       = standing of chosen - agreement of rejected
    standing   = agreement + (alike - rival - 2 contested) / 5
    agreement  = mean share of inputs on which the other programs return the same (see `rankers`)
    alike      = share of the solutions that behave as chosen does, on all inputs and tests
    rival      = agreement of the best solution that returns something else on a fifth of inputs
    contested  = share of tests that chosen fails and one other solution passes, at most

A wrong solution mostly fails in a way of its own, so it agrees with few; and a solution that
differs from the chosen one only where nobody agrees is not surely wrong. A popular rival, or tests
that speak for another, mean that the majority may be wrong. docs/pairs.md has the evidence.
"""

from dataclasses import dataclass

import numpy as np

from codedpo_plugin.ranking.pass_matrix import NOT_RUN, REFUSED, PassMatrix
from codedpo_plugin.ranking.rankers import agreement_with_others, shared_outputs
from codedpo_plugin.recipe import Calibration

_WEIGHT = 0.2  # of what speaks for and against the best solution beside its agreement
_APART = 0.2  # share of inputs on which a rival returns something else
_SPREAD = (1.0, 1.5)  # of the prior: how far intercept and slope may differ between models


@dataclass(frozen=True)
class Evidence:
    """What the values that one problem's solutions return say for its best solution."""

    standing: float
    """Of the best solution."""
    agreement: np.ndarray
    """float [N]: of every solution with the other programs."""
    alike: np.ndarray
    """bool [N]: whether it behaves as the best solution, on every input and test, and ran."""
    differs: np.ndarray
    """float [N]: share of the tests' inputs on which it and the best solution return another
    value, or one of them raises; 0 for the best itself, and where nothing is known."""

    def lead(self, rejected: int) -> float:
        """Of the best solution over another one."""
        return self.standing - float(self.agreement[rejected])


def evidence(matrix: PassMatrix, best: int) -> Evidence:
    """Weigh a problem's outputs. Inputs that a solution refuses say nothing of it: what is right
    for an input that the problem does not allow is anyone's guess.
    """
    outputs = np.where(matrix.outputs == REFUSED, NOT_RUN, matrix.outputs)
    agreement = agreement_with_others(matrix, shared_outputs(outputs))
    # Here refusals count: a rival must give other values, not fewer.
    shared = shared_outputs(matrix.outputs)[best]
    ran = (matrix.outputs != NOT_RUN).any(axis=1)
    alike = _alike(matrix, best) & ran
    rival = agreement[ran & (shared < 1 - _APART)].max(initial=0.0)
    contested = (matrix.passes & ~matrix.passes[best]).mean(axis=1).max(initial=0.0)
    for_it = alike.sum() / max(ran.sum(), 1)
    standing = float(agreement[best] + _WEIGHT * (for_it - rival - 2 * contested))
    tests = outputs[:, : matrix.passes.shape[1]]
    return Evidence(standing, agreement, alike, _differs(tests, best))


def _alike(matrix: PassMatrix, best: int) -> np.ndarray:
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
    leads: np.ndarray, right: np.ndarray, prior: Calibration, weight: float = 1.0
) -> Calibration:
    """The most probable calibration, given pairs of known truth.

    The prior is normal around `prior`; its spread is that found between models and benchmarks, so
    ten labelled problems move the result a little and a hundred decide it. Newton's method.

    Args:
        leads: float [K].
        right: bool [K].
        weight: of each pair; below 1 where several come from one problem.
        prior: what is believed without these.
    """
    inputs = np.column_stack([np.ones(len(leads)), leads])
    centre = np.array([prior.intercept, prior.slope])
    precision = np.diag(1 / np.square(_SPREAD))
    weights = centre.copy()
    for _ in range(50):
        expected = 1 / (1 + np.exp(-inputs @ weights))
        slope = weight * inputs.T @ (right - expected) - precision @ (weights - centre)
        curvature = weight * (inputs.T * (expected * (1 - expected))) @ inputs + precision
        weights = weights + np.linalg.solve(curvature, slope)
    return Calibration(intercept=float(weights[0]), slope=max(float(weights[1]), 0.1))
