"""pass@k, for a problem and over problems with intervals."""

import itertools

import pytest

from codedpo_eval.metrics import pass_at, pass_at_k


@pytest.mark.parametrize(("samples", "correct", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (4, 4, 2)])
def test_pass_at_k_is_the_share_of_draws_with_a_correct_one(
    samples: int, correct: int, k: int
) -> None:
    draws = list(itertools.combinations([True] * correct + [False] * (samples - correct), k))
    assert pass_at_k(samples, correct, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_refuses_more_than_there_are() -> None:
    with pytest.raises(ValueError, match="pass@10"):
        pass_at_k(5, 2, 10)


def test_pass_at_k_with_intervals() -> None:
    one = pass_at([(1, 1)] * 6 + [(1, 0)] * 3 + [(0, 0)], 1)
    assert one["pass@1"] == pytest.approx((0.6, 0.313, 0.832), abs=0.001)
    many = pass_at([(4, 2), (4, 0), (4, 4)], 4)
    assert list(many) == ["pass@1", "pass@2"]
    assert many["pass@1"][0] == pytest.approx(0.5)
    assert many["pass@2"][0] == pytest.approx((1 - 1 / 6 + 0 + 1) / 3)
    assert many["pass@1"][1] < 0.5 < many["pass@1"][2]
