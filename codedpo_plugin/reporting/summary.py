"""The summary of a build, counted shard by shard."""

import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console

from codedpo_plugin import __version__
from codedpo_plugin.dataset import export
from codedpo_plugin.dataset.pair_statistics import PairNumbers, read_pairs
from codedpo_plugin.execution.outcomes import OUTCOMES
from codedpo_plugin.machine import usable_cores
from codedpo_plugin.ranking.pass_matrix import executed
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder import candidates, manifests
from codedpo_plugin.run_folder.progress import Progress
from codedpo_plugin.run_folder.shards import Row, read_merged, shard_machine, shard_path
from codedpo_plugin.stages import DATASET, ROW_STAGES, TIME
from codedpo_plugin.timing.speed_ratio import exceeds_ratio

KINDS = ("correctness", "efficiency")

_NO_MANIFEST: dict[str, Any] = {"shards": 0, "problems": 0, "skipped": {}, "tests_cut": 0}
_BINS = 25  # of normalised scores
_TIED = {"1": 1, "2": 2, "3-4": 4, "5-8": 8, "9+": 1 << 60}  # label -> most solutions
_ERROR_TYPES = 1000  # kept while counting: a solution may raise any number of classes of its own

_COLUMNS = (
    *("task_id", "outcomes", "errors", "sealed", "cpu_seconds", "pairs", "settle"),
    *("twin_log_ratio", "twin_error", "no_correctness", "no_efficiency"),
)

Summary = dict[str, Any]


def summarise(
    recipe: Recipe,
    counts: export.Counts,
    seconds: Mapping[str, float],
    layers: Mapping[str, str],
    console: Console | None = None,
) -> Summary:
    """Count the results of a finished and exported run, shard by shard, in bounded memory.

    Args:
        recipe: with `output`, the run folder.
        counts: of the export.
        seconds: stage -> wall seconds of this invocation.
        layers: sandbox layer -> `on`, or why it is off.
        console: for a progress bar.

    Returns:
        plain values; `samples` and `example` are for the page, the rest is `report.json`.
    """
    manifest = candidates.read_manifest(recipe.output) or _NO_MANIFEST
    tally = _counted(recipe, manifest, console or Console(quiet=True))
    numbers = read_pairs(recipe.output / DATASET.folder / "dpo")
    return {
        "codedpo": __version__,
        "run": str(recipe.output),
        "machine": _machine(),
        "first_half": manifests.summary(recipe.output) if recipe.generates else {},
        "problems": _problems(manifest, tally),
        "pairs": {
            kind: {split: counts.rows[kind, split] for split in export.SPLITS} for kind in KINDS
        },
        "dropped": dict(counts.dropped),
        "cells": _cells(tally),
        "ties_at_top": _ties(tally.tied),
        "correctness": dict(tally.selected),
        "settle": dict(tally.settle.most_common()),
        "lengths": _lengths(numbers),
        "speed": _speed(numbers, tally),
        "timed_on": dict(tally.timed_on.most_common()),
        "wall_seconds": dict(seconds),
        "sandbox": dict(layers),
        "recipe": recipe.model_dump(mode="json"),
        "example": tally.example and tally.example[1:],
        "samples": _samples(numbers, tally),
    }


@dataclass
class _Tally:
    """Counters over the rows of a run."""

    recipe: Recipe
    problems: Counter[str] = field(default_factory=Counter)
    """`kept`, `with_pair`, `with_correctness`, `with_efficiency`; `twins` (timed with a
    control copy) and `twins_apart` (whose control would have made a pair) -> problems"""
    why_not: dict[str, Counter[str]] = field(default_factory=lambda: {k: Counter() for k in KINDS})
    """kind -> reason -> problems"""
    settle: Counter[str] = field(default_factory=Counter)
    """What problems without a correctness pair need -> problems"""
    selected: Counter[str] = field(default_factory=Counter)
    """Of correctness pairs: `pairs`, `expected_right` (the sum of confidences) and `near_misses`
    (rejected passes some test)"""
    cells: Counter[tuple[bool, str]] = field(default_factory=Counter)
    """(test is sealed, outcome) -> cells"""
    errors: Counter[str] = field(default_factory=Counter)
    """error type -> cells, of the outcome `error`"""
    cpu_seconds: float = 0.0
    scores: np.ndarray = field(default_factory=lambda: np.zeros(_BINS, dtype=int))
    """Solutions by score as a share of the best one's, in equal bins from 0 to 1."""
    tied: Counter[str] = field(default_factory=Counter)
    """Solutions that share the best score, a key of `_TIED` -> problems"""
    timed_on: Counter[str] = field(default_factory=Counter)
    """Machine type -> shards timed there. Times are only compared within a problem."""
    example: tuple[tuple[bool, int], str, int] | None = None
    """How instructive it is, task id, shard: the problem that the page explains."""

    def add(self, row: Row, shard: int) -> None:
        """Count one problem, of this shard."""
        self.problems["kept"] += 1
        self.cpu_seconds += row["cpu_seconds"]
        for outcomes, errors in zip(row["outcomes"], row["errors"], strict=True):
            self.cells.update(zip(row["sealed"], outcomes, strict=True))
            self._add_errors(outcomes, errors)
        self._add_scores(row)
        self._add_pairs(row, shard)

    def _add_errors(self, outcomes: list[str], errors: list[str | None]) -> None:
        for outcome, error in zip(outcomes, errors, strict=True):
            if outcome == "error" and error:
                self.errors[error.partition(":")[0][:60]] += 1
        if len(self.errors) > _ERROR_TYPES:
            self.errors = Counter(dict(self.errors.most_common(_ERROR_TYPES // 2)))

    def _add_scores(self, row: Row) -> None:
        ran = executed(row)
        if not ran:
            return
        scores = np.array(row[self.recipe.ranker]["solution_scores"])[ran]
        best = scores.max()
        tied = int((scores == best).sum())
        self.tied[next(label for label, most in _TIED.items() if tied <= most)] += 1
        zero = min(scores.min(), 0.0)  # B4's scores are negative: there the worst counts as 0
        if best > zero:
            self.scores += np.histogram((scores - zero) / (best - zero), _BINS, (0, 1))[0]

    def _add_pairs(self, row: Row, shard: int) -> None:
        kinds = {pair["kind"] for pair in row["pairs"]}
        self.problems.update(f"with_{kind}" for kind in kinds)
        self.problems["with_pair"] += bool(kinds)
        if row["twin_log_ratio"] is not None:
            self.problems["twins"] += 1
            self.problems["twins_apart"] += exceeds_ratio(
                row["twin_log_ratio"], row["twin_error"], self.recipe.pairs.min_speed_ratio
            )
        for kind in KINDS:
            if why := row[f"no_{kind}"]:
                self.why_not[kind][why] += 1
        if row["settle"]:
            self.settle[row["settle"]] += 1
        for pair in row["pairs"]:
            passed = "passed" in row["outcomes"][pair["rejected_index"]]
            if pair["kind"] == "correctness":
                self.selected.update(pairs=1, expected_right=pair["confidence"], near_misses=passed)
        variety = len({outcome for line in row["outcomes"] for outcome in line})
        instructive = (len(kinds) == len(KINDS), variety)
        if kinds and (self.example is None or instructive > self.example[0]):
            self.example = (instructive, row["task_id"], shard)


def _counted(recipe: Recipe, manifest: Mapping[str, Any], console: Console) -> _Tally:
    """The counters after all shards."""
    tally = _Tally(recipe)
    columns = (*_COLUMNS, recipe.ranker)
    with Progress(console, "report", 0, manifest["problems"]) as progress:
        for shard in range(manifest["shards"]):
            for row in read_merged(recipe.output, ROW_STAGES, shard, columns):
                tally.add(row, shard)
            tally.timed_on[shard_machine(shard_path(recipe.output, TIME.folder, shard))] += 1
            progress.update(tally.problems["kept"])
    return tally


def _machine() -> Summary:
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": usable_cores(),
    }


def _problems(manifest: Mapping[str, Any], tally: _Tally) -> Summary:
    skipped = Counter(manifest["skipped"])
    return {
        "read": tally.problems["kept"] + skipped.total(),
        "skipped": dict(skipped.most_common()),
        "with_pair": tally.problems["with_pair"],
        "with_correctness": tally.problems["with_correctness"],
        "no_correctness": dict(tally.why_not["correctness"].most_common()),
        "with_efficiency": tally.problems["with_efficiency"],
        "no_efficiency": dict(tally.why_not["efficiency"].most_common()),
        "tests_cut": manifest["tests_cut"],
    }


def _cells(tally: _Tally) -> Summary:
    """Cells (solution x test) by outcome, and their CPU time."""
    by_test = {
        name: {outcome: tally.cells[sealed, outcome] for outcome in OUTCOMES}
        for sealed, name in ((True, "sealed"), (False, "unsealed"))
    }
    outcomes = {name: sum(cells[name] for cells in by_test.values()) for name in OUTCOMES}
    ran = sum(outcomes.values()) - outcomes["not_run"]
    return {
        "total": sum(outcomes.values()),
        "outcomes": outcomes,
        "by_test": by_test,
        "error_types": dict(tally.errors.most_common(10)),
        "cpu_seconds": tally.cpu_seconds,
        "per_cpu_second": ran / tally.cpu_seconds if tally.cpu_seconds else None,
    }


def _ties(tied: Counter[str]) -> Summary:
    total = tied.total()
    sizes = {label: tied[label] for label in _TIED}
    return {"share": (total - tied["1"]) / total if total else None, "problems_by_size": sizes}


def _lengths(numbers: PairNumbers) -> Summary:
    """Characters of the texts of correctness pairs, and how well length alone separates them."""
    pairs = numbers.chosen.seen
    return {
        "chosen_median": float(np.median(numbers.chosen.values)) if pairs else None,
        "rejected_median": float(np.median(numbers.rejected.values)) if pairs else None,
        "shorter_is_chosen": numbers.shorter_chosen / pairs if pairs else None,
    }


def _samples(numbers: PairNumbers, tally: _Tally) -> Summary:
    """Values for the plots of the page."""
    return {
        "chosen": numbers.chosen.values,
        "rejected": numbers.rejected.values,
        "ratios": numbers.ratios.values,
        "scores": tally.scores.tolist(),
    }


def _speed(numbers: PairNumbers, tally: _Tally) -> Summary:
    """Quartiles of seconds(rejected) / seconds(chosen) of efficiency pairs."""
    ratios = numbers.ratios.values
    quartiles = np.quantile(ratios, (0.25, 0.5, 0.75)).tolist() if ratios else None
    twins = {name: tally.problems[name] for name in ("twins", "twins_apart")}
    return {"quartiles": quartiles} | twins
