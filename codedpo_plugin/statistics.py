"""Confidence intervals: bootstrap and Wilson, at 95 %.

The bootstrap is a few lines of numpy because scipy's resamples one level only, and tables of
seeds and exercises need two.
"""

from collections.abc import Callable, Sequence

import numpy as np

Interval = tuple[float, float, float]
"""A value, and the lower and upper end of its 95 % interval."""

RESAMPLES = 2000


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The Wilson score interval of a proportion.

    Raises:
        ValueError: unless 0 <= successes <= trials and trials > 0.
    """
    from scipy.stats import binomtest  # slow to import

    interval = binomtest(successes, trials).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], float] = np.mean,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of independent units, such as problems.

    For a paired comparison pass the differences; for clusters pass their numbers, and a statistic
    that looks up their members.

    Args:
        values: [units] or [units, columns].
        statistic: of an array of the same shape.
        resamples: how often the units are drawn with replacement.
    """
    return _percentiles(lambda rng: statistic(_resample(values, rng)), resamples)


def bootstrap_crossed(table: np.ndarray) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of a table [rows, columns], such as seeds and
    exercises: both rows and columns are resampled.
    """

    def mean(rng: np.random.Generator) -> float:
        rows, columns = (rng.integers(size, size=size) for size in table.shape)
        return float(table[np.ix_(rows, columns)].mean())

    return _percentiles(mean)


def bootstrap_nested(groups: Sequence[np.ndarray]) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of group means: groups are resampled, and the
    values of each resampled group. Each group is a float array [values], not empty.
    """

    def mean(rng: np.random.Generator) -> float:
        drawn = [groups[index] for index in rng.integers(len(groups), size=len(groups))]
        return float(np.mean([_resample(group, rng).mean() for group in drawn]))

    return _percentiles(mean)


def _resample(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many of the values, drawn with replacement."""
    drawn: np.ndarray = values[rng.integers(len(values), size=len(values))]
    return drawn


def _percentiles(
    draw: Callable[[np.random.Generator], float], resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The central 95 % of a statistic of resamples; the same on every call."""
    rng = np.random.default_rng(0)
    low, high = np.quantile([float(draw(rng)) for _ in range(resamples)], (0.025, 0.975))
    return float(low), float(high)
