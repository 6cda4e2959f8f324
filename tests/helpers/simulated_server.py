"""Servers in virtual time: how long a run takes, and how much waits, under a limit on samples."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from codedpo_plugin.sampling.calls import Call
from codedpo_plugin.sampling.concurrency import Slots
from codedpo_plugin.sampling.types import Request


@dataclass
class Server:
    """Works on up to `slots` samples at a time, in order of arrival; the others wait.

    `speed` is the rate of all samples together, in tokens per second, for a number of samples.
    """

    slots: int
    speed: Callable[[int], float]


@dataclass
class Run:
    """What happened; limits are those after each step."""

    seconds: float = 0.0
    most_waiting: int = 0
    longest: float = 0.0
    """Seconds from sending a call to its reply, at most."""
    limits: list[int] = field(default_factory=list)


@dataclass
class _Sent:
    call: Call
    tokens: float
    left: float
    at: float


def batching(most: int, base: float = 10.0) -> Server:
    """The rate grows in proportion up to `most` samples and is flat after; none waits."""
    return Server(1 << 30, lambda count: base * min(count, most))


def queueing(slots: int, base: float = 10.0) -> Server:
    """A few slots of equal speed, as of llama.cpp's server."""
    return Server(slots, lambda count: base * count)


def simulate(server: Server, lengths: Sequence[float], most: int, fixed: bool = False) -> Run:
    """Sample answers of these lengths, in tokens, with one sample per call.

    Args:
        server: that answers.
        lengths: of the answers.
        most: the recipe's `max_concurrency`.
        fixed: whether `most` samples are always in flight, or the limit adapts.
    """
    now, run, todo = 0.0, Run(), deque(lengths)
    slots = Slots(most, clock=lambda: now)
    if fixed:
        slots.limiter.limit = most
    sent: deque[_Sent] = deque()
    while todo or sent:
        while todo and slots.free() > 0:
            tokens = todo.popleft()
            call = Call(Request("a", "x", "x", 1), 1)
            slots.take(call)
            sent.append(_Sent(call, tokens, tokens, now))
        active = list(sent)[: server.slots]
        run.most_waiting = max(run.most_waiting, len(sent) - len(active))
        each = server.speed(len(active)) / len(active)
        step = min(one.left for one in active) / each
        now += step
        for one in active:
            one.left -= step * each
            if one.left <= 1e-9:
                sent.remove(one)
                slots.release(one.call)
                run.longest = max(run.longest, now - one.at)
                if not fixed:
                    slots.limiter.succeeded(1, now - one.at, one.tokens, one.tokens)
        run.limits.append(slots.limiter.limit)
    run.seconds = now
    return run
