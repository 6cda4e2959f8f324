"""Intervals: coverage of simulated data, and agreement with normal theory and scipy."""

import numpy as np
import pytest
from scipy import stats

from codedpo_plugin.statistics import (
    bootstrap,
    bootstrap_crossed,
    bootstrap_nested,
    wilson_interval,
)


def test_wilson_interval_is_that_of_the_formula() -> None:
    z, share, trials = 1.959964, 0.3, 10
    middle, width = share + z**2 / 20, z * np.sqrt(share * 0.7 / trials + z**2 / 400)
    expected = np.array([middle - width, middle + width]) / (1 + z**2 / trials)
    np.testing.assert_allclose(wilson_interval(3, trials), expected, rtol=1e-6)
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10)[1] == 1


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_interval_refuses_what_is_no_proportion(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="must"):
        wilson_interval(successes, trials)


def test_bootstrap_is_near_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap(values)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


def test_bootstrap_is_scipys() -> None:
    values = np.random.default_rng(2).exponential(size=30)
    theirs = stats.bootstrap(
        (values,), np.median, n_resamples=500, method="percentile", rng=np.random.default_rng(0)
    )
    expected = theirs.confidence_interval
    assert bootstrap(values, np.median, 500) == pytest.approx((expected.low, expected.high))


def test_bootstrap_of_one_unit_is_that_unit() -> None:
    assert bootstrap(np.array([0.25])) == (0.25, 0.25)


def test_crossed_bootstrap_counts_the_variation_of_rows_and_of_columns() -> None:
    rng = np.random.default_rng(3)
    rows, columns = rng.normal(0, 3, 40), rng.normal(0, 4, 50)
    low, high = bootstrap_crossed(rows[:, None] + columns)
    variance = rows.var() / 40 + columns.var() / 50
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(variance), rel=0.1)


def test_nested_bootstrap_counts_the_variation_between_groups_and_within() -> None:
    rng = np.random.default_rng(4)
    groups = [rng.normal(middle, 5, 20) for middle in rng.normal(0, 2, 60)]
    low, high = bootstrap_nested(groups)
    means = np.array([group.mean() for group in groups])
    within = np.mean([group.var() / 20 for group in groups])
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt((means.var() + within) / 60), rel=0.1)
