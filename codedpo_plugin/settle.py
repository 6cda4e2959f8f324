"""Settle: what would most likely bring a correctness pair from a problem that gave none."""

from codedpo_plugin.confidence import evidence
from codedpo_plugin.rankers import NOT_RUN
from codedpo_plugin.selection import Problem

MORE_TESTS = "more tests"
MORE_SOLUTIONS = "more solutions"
NONE_RIGHT = "no solution seems right"

_SOME = 0.3  # mean agreement with the others, from which on a behaviour is shared and not chance


def what_would_settle(problem: Problem) -> str:
    """One of the three above.

    Where all solutions behave alike, or hardly any ran, only another solution can be rejected or
    chosen. Where several share a behaviour, more tests tell whether it is the right one. Where each
    goes its own way, most likely none is right: neither is worth its price.
    """
    matrix, best = problem.matrix, problem.order[0]
    found = evidence(matrix, best)
    ran = (matrix.outputs != NOT_RUN).any(axis=1)
    if found.alike.sum() == ran.sum() or ran.sum() < 3:
        return MORE_SOLUTIONS
    return MORE_TESTS if found.agreement[best] >= _SOME else NONE_RIGHT
