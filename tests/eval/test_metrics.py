"""Figures of a benchmark run."""

import itertools

import pytest

from codedpo_eval.metrics import pass_at_k


@pytest.mark.parametrize(("samples", "correct", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (4, 4, 2)])
def test_pass_at_k_is_the_share_of_draws_with_a_correct_one(
    samples: int, correct: int, k: int
) -> None:
    draws = list(itertools.combinations([True] * correct + [False] * (samples - correct), k))
    assert pass_at_k(samples, correct, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_refuses_more_than_there_are() -> None:
    with pytest.raises(ValueError, match="pass@10"):
        pass_at_k(5, 2, 10)
