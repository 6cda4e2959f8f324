"""The report of rank-eval: tables, a plot and JSON.

Coverage is counted in pairs, as a share of those that the paper's rule makes of the same samples.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from codedpo_plugin.pairing.confidence import calibrate
from codedpo_plugin.rank_eval.evaluate import DEFAULT_SINGLE, PAPER, Pair, Results, by_confidence
from codedpo_plugin.recipe import Calibration
from codedpo_plugin.reporting.render import Rows, markdown_table, rich_table
from codedpo_plugin.run_folder.shards import replacing
from codedpo_plugin.statistics import Interval, bootstrap

PRECISIONS = (0.7, 0.8, 0.9, 0.95)
_RESAMPLES = 300
_BINS = 10


def summarise(results: Results, calibration: Calibration, canary: int) -> dict[str, Any]:
    """All figures as plain values; shares with 95 % intervals over problems.

    Args:
        results: of `evaluate`.
        calibration: of the recipe.
        canary: number of problems in the calibration set; 0 for none.
    """
    paper = results.pairs[PAPER]
    return {
        "problems": results.problems,
        "draws": results.draws,
        "rankings": {
            ranker: {metric: _mean_of(list(values.values())) for metric, values in found.items()}
            for ranker, found in results.rankings.items()
        },
        "selections": {
            name: _selection(pairs, len(paper), results) for name, pairs in results.pairs.items()
        },
        "calibration": _calibration(results, calibration, canary),
    }


def _selection(pairs: list[Pair], paper: int, results: Results) -> dict[str, Any]:
    def share(what: Callable[[Pair], float], of: Iterable[Pair] = pairs) -> Interval:
        return _over_problems(list(of), results.problems, lambda some: _mean(map(what, some)))

    def first(number: float) -> Interval:
        most = number / max(len(pairs), 1)
        return _over_problems(
            pairs,
            results.problems,
            lambda some: _mean(pair.right for pair in _most_confident(some, most)),
        )

    def reaching(precision: float) -> Interval:
        per_paper = len(pairs) / max(paper, 1)
        return _over_problems(
            pairs, results.problems, lambda some: _coverage(some, precision) * per_paper
        )

    return {
        "pairs per draw": len(pairs) / results.draws,
        "right": share(lambda pair: pair.right),
        "inverted": share(lambda pair: pair.inverted),
        "right of mixed": share(lambda pair: pair.right, (p for p in pairs if p.mixed)),
        "right at the paper's coverage": first(paper),
        "right at half of it": first(paper / 2),
        "coverage": {str(precision): reaching(precision) for precision in PRECISIONS},
        "near misses": _mean(pair.hard_negative for pair in pairs),
        "length alone": max(
            _mean(pair.shorter for pair in pairs), 1 - _mean(pair.shorter for pair in pairs)
        ),
    }


def _most_confident(pairs: Sequence[Pair], share: float) -> list[Pair]:
    """The share of the pairs with the highest confidence."""
    ordered = sorted(pairs, key=lambda pair: -pair.confidence)
    return ordered[: max(1, round(min(share, 1.0) * len(ordered)))]


def _coverage(pairs: Sequence[Pair], precision: float) -> float:
    """The largest share of the pairs, most confident first, at which this share is right."""
    taken, right = by_confidence(pairs)
    good = taken[right >= precision]
    return float(good[-1] / len(pairs)) if len(good) else 0.0


def _calibration(results: Results, calibration: Calibration, canary: int) -> dict[str, Any]:
    """Calibration error of the default with this calibration, and with one fitted to a set of
    `canary` other problems; and the fit to all problems, for use on further ones.
    """
    pairs = results.pairs[DEFAULT_SINGLE]
    margins, right = np.array([p.margin for p in pairs]), np.array([p.right for p in pairs])
    # Draws of one problem are not independent: together they count as one pair.
    fitted = calibrate(margins, right, calibration, weight=1 / results.draws)
    found = {
        "used": calibration.model_dump(),
        "error": _error([calibration.probability(margin) for margin in margins], right),
        "fitted": fitted.model_dump(),
        "bins": _bins([calibration.probability(margin) for margin in margins], right),
    }
    if canary:
        found["canary"] = canary
        found["error after canary"] = _mean(_errors_after_fit(pairs, calibration, canary))
    return found


def _errors_after_fit(pairs: list[Pair], prior: Calibration, canary: int) -> list[float]:
    """Calibration errors on the other problems, after fits to `canary` random ones, 20 times."""
    rng = np.random.default_rng(0)
    numbers = sorted({pair.problem for pair in pairs})
    errors = []
    for _ in range(20):
        known = set(rng.permutation(numbers)[:canary].tolist())
        # One pair for each problem, as a user would have.
        seen = {pair.problem: pair for pair in pairs if pair.problem in known}.values()
        fitted = calibrate(
            np.array([p.margin for p in seen]), np.array([p.right for p in seen]), prior
        )
        rest = [pair for pair in pairs if pair.problem not in known]
        right = np.array([pair.right for pair in rest])
        errors.append(_error([fitted.probability(pair.margin) for pair in rest], right))
    return errors


def _bins(confidence: Sequence[float], right: np.ndarray) -> list[tuple[float, float, int]]:
    """(mean confidence, share right, pairs) of ten equal bins of confidence, without empty ones."""
    values = np.array(confidence)
    which = np.minimum((values * _BINS).astype(int), _BINS - 1)
    return [
        (float(values[which == b].mean()), float(right[which == b].mean()), int((which == b).sum()))
        for b in range(_BINS)
        if (which == b).any()
    ]


def _error(confidence: Sequence[float], right: np.ndarray) -> float:
    """Expected calibration error: mean of |confidence - share right| over ten bins, by size."""
    bins = _bins(confidence, right)
    total = sum(size for _, _, size in bins) or 1
    return sum(abs(mean - right_share) * size for mean, right_share, size in bins) / total


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else 0.0


def _mean_of(by_problem: list[list[float]]) -> Interval:
    """The mean over problems of the means over draws."""
    means = np.array([np.mean(values) for values in by_problem])
    return float(means.mean()), *bootstrap(means, resamples=_RESAMPLES)


def _over_problems(
    pairs: list[Pair], problems: int, statistic: Callable[[list[Pair]], float]
) -> Interval:
    """A statistic of pairs with its bootstrap interval: problems are drawn with replacement."""
    by_problem: list[list[Pair]] = [[] for _ in range(problems)]
    for pair in pairs:
        by_problem[pair.problem].append(pair)

    def of(numbers: np.ndarray) -> float:
        return statistic([pair for number in numbers for pair in by_problem[number]])

    return statistic(pairs), *bootstrap(np.arange(problems), of, _RESAMPLES)


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    for rows in tables(summary, _short):
        console.print(rich_table(rows), soft_wrap=False)
    for line in calibration_lines(summary["calibration"]):
        console.print(line, markup=False)


def calibration_lines(calibration: dict[str, Any]) -> list[str]:
    """The calibration error, and the recipe setting that fits these problems."""
    error = f"calibration error of the default: {calibration['error']:.3f}"
    if "canary" in calibration:
        after = calibration["error after canary"]
        error += f"; after {calibration['canary']} labelled problems: {after:.3f}"
    intercept, slope = (calibration["fitted"][name] for name in ("intercept", "slope"))
    values = f"{{intercept: {intercept:.2f}, slope: {slope:.2f}}}"
    return [error, f"fitted to these problems: pairs: {{calibration: {values}}}"]


def tables(summary: dict[str, Any], text: Callable[[Interval], str]) -> list[Rows]:
    """Rankers; selections; selections by coverage. `text` writes a share and its interval."""
    rankings, selections = summary["rankings"], summary["selections"]
    metrics = list(next(iter(rankings.values())))
    rankers = [(name, *(text(of[metric]) for metric in metrics)) for name, of in rankings.items()]
    shares = ("right", "right of mixed", "inverted")
    kinds = [
        (
            name,
            f"{of['pairs per draw']:.1f}",
            *(text(of[share]) for share in shares),
            f"{of['near misses']:.0%}",
            f"{of['length alone']:.0%}",
        )
        for name, of in selections.items()
    ]
    places = ("right at the paper's coverage", "right at half of it")
    by_coverage = [
        (name, *(text(of[place]) for place in places), *map(text, of["coverage"].values()))
        for name, of in selections.items()
    ]
    heads = ("at paper's", "at half", *(f"for {precision:.0%}" for precision in PRECISIONS))
    return [
        Rows(("Mixed problems", *metrics), rankers),
        Rows(("Pairs", "number", "right", "of mixed", "inverted", "near", "length"), kinds),
        Rows(("Right; coverage", *heads), by_coverage),
    ]


def _short(value: Interval) -> str:
    """`.82 ±.08`: the larger half of the interval."""
    middle, low, high = value
    return f"{middle:.2f} ±{max(middle - low, high - middle):.2f}".replace("0.", ".")


def _long(value: Interval) -> str:
    return "{:.2f} [{:.2f}, {:.2f}]".format(*value)


def markdown(summary: dict[str, Any]) -> str:
    """The tables with their intervals."""
    parts = map(markdown_table, tables(summary, _long))
    return "\n\n".join([*parts, *calibration_lines(summary["calibration"])]) + "\n"


def write(folder: Path, summary: dict[str, Any], results: Results) -> list[Path]:
    """Write `rank-eval.json`, `.md` and `.png` into a folder."""
    from codedpo_plugin.rank_eval import plots

    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "rank-eval.json") as file:
        file.write(json.dumps(summary, indent=1).encode())
    (folder / "rank-eval.md").write_text(markdown(summary), encoding="utf-8")
    plots.overview(summary, results, folder / "rank-eval.png")
    return [folder / f"rank-eval.{kind}" for kind in ("json", "md", "png")]
