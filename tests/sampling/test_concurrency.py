"""How much a server is given at a time."""

import random
import statistics
from collections.abc import Callable

import pytest

from codedpo_plugin.sampling.calls import Call
from codedpo_plugin.sampling.concurrency import Limiter, Slots
from codedpo_plugin.sampling.types import Request
from helpers.simulated_server import Server, batching, queueing, simulate

DRAWS: dict[str, Callable[[random.Random], float]] = {
    "equal": lambda chance: 200.0,
    "varied": lambda chance: min(1024.0, chance.lognormvariate(5.1, 0.6)),
    "exponential": lambda chance: min(1024.0, 1 + chance.expovariate(1 / 200)),
}
"""Tokens of an answer."""


def runs(draw: Callable[[random.Random], float]) -> list[list[float]]:
    """Lengths of the answers of four runs of 1,000."""
    return [[draw(chance) for _ in range(1000)] for chance in map(random.Random, range(4))]


@pytest.mark.parametrize("draw", DRAWS.values(), ids=list(DRAWS))
@pytest.mark.parametrize("most", [64, 256])
def test_a_batching_server_is_saturated_ramp_included(
    draw: Callable[[random.Random], float], most: int
) -> None:
    server, shares = batching(64), []
    for lengths in runs(draw):
        best = min(simulate(server, lengths, fixed, fixed=True).seconds for fixed in (64, 128))
        shares.append(best / simulate(server, lengths, most).seconds)
    assert statistics.mean(shares) >= 0.9


def test_a_server_whose_rate_grows_ever_more_slowly() -> None:
    """As of vLLM on a few cores: 8 tokens/s for one sample, 126 for 64, at most 165."""
    lengths = runs(DRAWS["varied"])[0]
    server = Server(1 << 30, lambda count: 165 * count / (count + 20))
    best = simulate(server, lengths, 64, fixed=True).seconds
    assert best / simulate(server, lengths, 256).seconds >= 0.95


@pytest.mark.parametrize("draw", DRAWS.values(), ids=list(DRAWS))
def test_a_server_with_four_slots_is_kept_busy_and_does_not_drown(
    draw: Callable[[random.Random], float],
) -> None:
    for lengths in runs(draw):
        best = simulate(queueing(4), lengths, 4, fixed=True)
        run = simulate(queueing(4), lengths, 256)
        assert run.seconds <= 1.01 * best.seconds
        assert run.most_waiting <= 14  # for moments, when more is tried
        assert statistics.median(run.limits) <= 12
        assert run.longest <= 5 * best.longest


def test_overload_halves_the_limit_and_it_grows_back() -> None:
    now = 0.0
    limiter = Limiter(256, clock=lambda: now)
    limits = []
    for _ in range(9000):
        now += 1.0 / limiter.limit
        if limiter.limit > 40:
            limiter.overloaded()
        else:
            limiter.succeeded(1, 1.0, 10.0, 10.0)
        limits.append(limiter.limit)
    assert all(16 <= limit <= 45 for limit in limits[1000:])
    assert len(set(limits[1000:])) > 5


def test_slots_are_taken_by_samples_under_way_and_closed_while_paused() -> None:
    now = 0.0
    slots = Slots(12, clock=lambda: now)  # it starts with 8
    one, five, ten = (Call(Request("a", "solutions", "x", 10), count) for count in (1, 5, 10))
    assert slots.fits(ten)  # alone
    slots.take(five)
    assert slots.free() == 3
    assert slots.fits(one)
    assert not slots.fits(five)
    slots.pause(5.0)
    assert slots.free() == 0
    assert not slots.fits(one)
    now = 5.0
    slots.release(five)
    assert slots.free() == 8
