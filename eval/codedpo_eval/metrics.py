"""pass@k of a problem and of a benchmark."""

import math
from collections.abc import Sequence

import numpy as np

from codedpo_plugin.statistics import Interval, bootstrap, wilson_interval

_KS = (1, 2, 5, 10, 20, 50, 100, 200)


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """The unbiased estimate of pass@k for one problem: 1 - C(n-c, k) / C(n, k).

    Chen et al. 2021 (arXiv 2107.03374), equation 1.

    Raises:
        ValueError: unless 0 <= correct <= samples and 1 <= k <= samples.
    """
    if not (0 <= correct <= samples and 1 <= k <= samples):
        raise ValueError(f"pass@{k} of {correct} correct among {samples} samples is not defined")
    return 1 - math.comb(samples - correct, k) / math.comb(samples, k)


def pass_at(counts: Sequence[tuple[int, int]], least: int) -> dict[str, Interval]:
    """Mean pass@k over problems, for the usual k up to `least`.

    Args:
        counts: samples, and correct ones, of each problem; a problem without samples scores 0.
        least: the smallest number of samples of a problem that has any.

    Returns:
        `pass@k` -> value and interval: Wilson's if no problem has more than one sample, otherwise
        by bootstrap over problems.
    """
    found = {}
    for k in (k for k in _KS if k <= least):
        values = [pass_at_k(n, correct, k) if n else 0.0 for n, correct in counts]
        mean = sum(values) / len(values)
        if max(n for n, _ in counts) <= 1:
            low, high = wilson_interval(sum(correct for _, correct in counts), len(counts))
        else:
            low, high = bootstrap(np.array(values))
        found[f"pass@{k}"] = (mean, low, high)
    return found
