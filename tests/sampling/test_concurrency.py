"""How much a server is given at a time."""

from codedpo_plugin.sampling.calls import Call
from codedpo_plugin.sampling.concurrency import Limiter, Slots
from codedpo_plugin.sampling.types import Request


def simulated(capacity: int, most: int, replies: int, limit: int = 0) -> list[int]:
    """Limits over time, with a server that works on `capacity` requests at once, each in 1 s."""
    now = 0.0
    limiter = Limiter(most, clock=lambda: now)
    seen = []
    for _ in range(replies):
        now += 1.0 / min(capacity, limiter.limit)
        if limit and limiter.limit > limit:
            limiter.overloaded()
        else:
            limiter.succeeded(10)
        seen.append(limiter.limit)
    return seen


def test_the_limit_saturates_a_large_server_and_spares_a_small_one() -> None:
    assert simulated(capacity=1000, most=256, replies=3000)[-1] == 256
    assert max(simulated(capacity=4, most=256, replies=500)) <= 8
    refusing = simulated(capacity=1000, most=256, replies=5000, limit=40)
    assert all(10 <= limit <= 64 for limit in refusing[200:])


def test_slots_are_taken_by_calls_under_way_and_closed_while_paused() -> None:
    now = 0.0
    slots = Slots(3, clock=lambda: now)
    call = Call(Request("a", "solutions", "x", 8), count=8)
    slots.take(call)
    assert slots.free() == 2
    slots.pause(5.0)
    assert slots.free() == 0
    now = 5.0
    slots.release(call)
    assert slots.free() == 3
