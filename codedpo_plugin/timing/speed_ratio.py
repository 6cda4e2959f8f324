"""Speed ratios: estimates from paired samples, and when a difference counts.

A busy machine, or one that changes its clock, slows all programs of a round equally. So times are
compared within rounds only, as logarithms of ratios.
"""

import math

import numpy as np

_SIGNIFICANT = 3.0  # standard errors ...
_TOLERANCE = 0.01  # ... plus 1 %: no wrong decision at true differences of 10 %
LOWER_BOUND = 2.0  # standard errors between an estimate and the bound that must exceed a ratio


def compare(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times relative to the fastest program.

    Args:
        samples: CPU seconds, [rounds, K]; NaN from the round in which a program was dropped. The
            fastest is never dropped.

    Returns:
        ln(time / time of the fastest), median over its rounds [K], and its standard error [K].
    """
    reference = samples[:, fastest(samples)]
    estimates = []
    for column in samples.T:
        present = np.isfinite(column)
        estimates.append(log_ratio(column[present], reference[present]))
    return np.array([ratio for ratio, _ in estimates]), np.array([error for _, error in estimates])


def fastest(samples: np.ndarray) -> int:
    """The fastest program by its median over rounds, of those that ran in all of them; 0 if none
    did. samples: CPU seconds, [rounds, K].
    """
    complete = np.flatnonzero(np.isfinite(samples).all(axis=0))
    if not len(complete):
        return 0
    logs = np.log(samples[:, complete])
    centred = logs - np.median(logs, axis=1, keepdims=True)
    return int(complete[np.argmin(np.median(centred, axis=0))])


def log_ratio(slow: np.ndarray, fast: np.ndarray) -> tuple[float, float]:
    """ln(slow / fast) of paired samples [rounds]: the median, and its standard error."""
    return median_with_error(np.log(slow) - np.log(fast))


def median_with_error(values: np.ndarray) -> tuple[float, float]:
    """The median of values [rounds], and its standard error.

    1.2533 x 1.4826 x MAD / sqrt(rounds): that of a median of nearly normal values.
    """
    median = float(np.median(values))
    deviation = float(np.median(np.abs(values - median)))
    return median, 1.2533 * 1.4826 * deviation / math.sqrt(len(values))


def is_significant(log_ratio: float, standard_error: float) -> bool:
    """Whether a difference in speed exceeds three standard errors plus 1 %."""
    return abs(log_ratio) > _SIGNIFICANT * standard_error + _TOLERANCE


def exceeds_ratio(log_ratio: float, standard_error: float, ratio: float) -> bool:
    """Whether a difference is significant, and at least `ratio` even two standard errors lower.

    With ten rounds or more, fewer than 1 % of identical programs are called different, even where
    single rounds vary by 20 %.
    """
    lower = abs(log_ratio) - LOWER_BOUND * standard_error
    return is_significant(log_ratio, standard_error) and lower >= math.log(ratio)
