"""Rounds of timing: as many as a decision needs, and none for programs that cannot change it."""

import math

import numpy as np

from codedpo_plugin.recipe import Timing
from codedpo_plugin.sandbox.client import Sandbox
from codedpo_plugin.timing.speed_ratio import (
    LOWER_BOUND,
    compare,
    exceeds_ratio,
    fastest,
    median_with_error,
)

_FIRST = 3  # rounds after which programs far behind are dropped ...
_FAR = 4.0  # ... if each round exceeds the minimum ratio by this factor: for programs exactly the
# minimum ratio apart, with rounds that vary by as much as 50 %, this happens in 2 of 100,000 cases
_BATCH = 5  # rounds between two checks


def measure(
    programs: list[str],
    calls: list[str],
    sandbox: Sandbox,
    settings: Timing,
    ratio: float,
    copies: int = 0,
) -> np.ndarray:
    """CPU seconds of one pass over the calls, [rounds, programs].

    A program that is far behind is dropped after `_FIRST` rounds: NaN from there on. One that
    failed in some round is excluded: NaN in all rounds; and if it was the fastest, so are those
    that were dropped in comparison with it.

    Rounds are taken until it is clear whether the slowest program is slower than the fastest by
    `ratio`, or the limits are reached. The last `copies` programs are control copies of the first:
    they take no part in these decisions, and are dropped with it.
    """
    race = sandbox.race(
        programs, calls, sample_seconds=settings.sample_seconds, seconds=settings.seconds
    )
    contenders = len(programs) - copies
    rounds = race.rounds(_FIRST)
    samples = _valid(rounds)
    reference = fastest(samples[:, :contenders])
    dropped = _far_behind(samples, reference, ratio)
    dropped[contenders:] = dropped[0]
    samples = _without_failed(samples, dropped, reference)
    used = 0.0
    while len(rounds) < settings.max_rounds and used < settings.seconds:
        running = ~dropped & np.isfinite(samples).all(axis=0)
        count = min(_BATCH - len(rounds) % _BATCH, settings.max_rounds - len(rounds))
        rounds += race.rounds(count, running.tolist())
        samples = _without_failed(_valid(rounds), dropped, reference)
        used = float(np.nansum(np.maximum(samples, settings.sample_seconds)))
        measured = samples[:, :contenders][:, np.isfinite(samples[0, :contenders])]
        if len(rounds) >= settings.min_rounds and _is_clear(measured, ratio):
            break
    race.end()
    return samples


def _valid(rounds: list[list[float | None]]) -> np.ndarray:
    """Samples [rounds, programs]; NaN where there is none, or one that is not positive."""
    samples = np.array(rounds, dtype=float)
    return np.where(samples > 0, samples, np.nan)


def _far_behind(samples: np.ndarray, reference: int, ratio: float) -> np.ndarray:
    """Which programs [programs] are significantly slower than the reference, and in every round by
    far more than `ratio`.
    """
    behind = np.log(samples) - np.log(samples[:, [reference]])
    return np.array(
        [
            bool((column >= math.log(_FAR * ratio)).all())
            and exceeds_ratio(*median_with_error(column), ratio)
            for column in behind.T
        ]
    )


def _without_failed(samples: np.ndarray, dropped: np.ndarray, reference: int) -> np.ndarray:
    """The samples, NaN in all rounds of a program that failed; and of the dropped ones if the
    reference failed.
    """
    complete = np.isfinite(samples).all(axis=0)
    return np.where(np.where(dropped, complete[reference], complete), samples, np.nan)


def _is_clear(samples: np.ndarray, ratio: float) -> bool:
    """Whether more rounds could hardly change that the slowest is, or is not, slower by ratio."""
    if samples.shape[1] < 2:
        return True
    log_ratios, errors = compare(samples)
    slowest = int(np.argmax(log_ratios))
    if np.isnan(samples[-1, slowest]):  # dropped as far slower
        return True
    upper = log_ratios[slowest] + LOWER_BOUND * errors[slowest]
    return upper < math.log(ratio) or exceeds_ratio(log_ratios[slowest], errors[slowest], ratio)
