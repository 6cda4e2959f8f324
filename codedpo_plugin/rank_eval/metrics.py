"""Metrics of a ranking: how well scores order the solutions of one problem, given which are right.

Every metric takes scores [N] and truth [N] (1 right, 0 wrong, both present), and is higher for
better orders.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats


def top_1(scores: np.ndarray, truth: np.ndarray) -> float:
    """The share of right solutions among those with the best score."""
    return float(truth[scores == scores.max()].mean())


def auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """The probability that a right solution scores higher than a wrong one; ties count half."""
    ranks = stats.rankdata(scores)
    right = truth == 1
    n, m = right.sum(), (~right).sum()
    return float((ranks[right].sum() - n * (n + 1) / 2) / (n * m))


def ndcg(scores: np.ndarray, truth: np.ndarray) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002); tied scores share the
    gain of their ranks.
    """
    discounts = 1 / np.log2(np.arange(2, len(scores) + 2))
    best = float(np.sort(truth)[::-1] @ discounts)
    gain = 0.0
    places = stats.rankdata(-scores, method="min").astype(int) - 1
    for place in np.unique(places):
        tied = truth[places == place]
        gain += tied.mean() * discounts[place : place + len(tied)].sum()
    return float(gain / best)


def spearman(scores: np.ndarray, truth: np.ndarray) -> float:
    """Rank correlation; 0 where all scores are the same."""
    return _correlation(stats.spearmanr(scores, truth).statistic if np.ptp(scores) else 0.0)


def kendall(scores: np.ndarray, truth: np.ndarray) -> float:
    """Kendall's tau-b; 0 where all scores are the same."""
    return _correlation(stats.kendalltau(scores, truth).statistic if np.ptp(scores) else 0.0)


def _correlation(value: float) -> float:
    return 0.0 if np.isnan(value) else float(value)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "top-1": top_1,
    "AUC": auc,
    "NDCG": ndcg,
    "Spearman": spearman,
    "Kendall": kendall,
}
