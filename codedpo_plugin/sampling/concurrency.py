"""Concurrency: what is in flight at the server, and a limit that adapts to it."""

import time
from collections.abc import Callable

from codedpo_plugin.sampling.calls import Call

_WORTHWHILE = 1.15  # times as many tokens per second, for twice the limit
_TRY_AGAIN = 16  # epochs until a higher limit is tried once more


def slots_of(call: Call) -> int:
    """Slots that a call takes while in flight: one, however many samples it asks for.

    This sets the unit of the limit and of `max_concurrency`. The limiter counts replies in the same
    unit: an epoch ends after twice as many replies as the limit.
    """
    return 1


class Slots:
    """What is in flight, against the limit."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limiter = Limiter(most, clock=clock)
        self._clock = clock
        self._paused_until = 0.0
        self.in_use = 0

    def free(self) -> int:
        """Slots that calls may take now."""
        paused = self._clock() < self._paused_until
        return 0 if paused else max(0, self.limiter.limit - self.in_use)

    def take(self, call: Call) -> None:
        """A call has started."""
        self.in_use += slots_of(call)

    def release(self, call: Call) -> None:
        """A call has ended, successfully or not."""
        self.in_use -= slots_of(call)

    def pause(self, seconds: float) -> None:
        """Let nothing start for this long."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)


class Limiter:
    """Additive increase, multiplicative decrease, with a ceiling where throughput stops growing.

    At first the limit doubles from epoch to epoch (twice as many replies as the limit) while the
    server's rate grows with it. Once it does not, further calls would only wait in the server's
    queue: the limit goes back one step, and more is tried again later. A sign of overload halves
    it (once per epoch, unless there are only such signs); after that it grows by one per epoch.
    """

    def __init__(
        self, most: int, start: int = 4, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = self.ceiling = most
        self.limit = min(start, most)
        self._clock = clock
        self._doubling = True
        self._best = 0.0  # tokens per second, when the limit was last doubled
        self._quiet = 0  # epochs since a higher limit was tried in vain
        self._halved = False
        self._next_epoch()

    def succeeded(self, work: float) -> None:
        """A reply of `work` tokens has arrived."""
        self._replies += 1
        self._work += work
        if self._replies >= 2 * self.limit:
            self._adapt(self._work / max(self._clock() - self._since, 1e-9))
            self._next_epoch()

    def overloaded(self) -> None:
        """The server has reported an overload, or has not answered in time."""
        self._refused += 1
        if not self._halved or self._refused >= self.limit:
            self.limit = max(1, self.limit // 2)
            self._doubling = False
            self._next_epoch()
            self._halved = True

    def _adapt(self, rate: float) -> None:
        if self._doubling:
            if rate < _WORTHWHILE * self._best:
                self.limit = self.ceiling = max(1, self.limit // 2)
                self._doubling, self._quiet = False, 0
            elif self.limit < self.most:
                self._best, self.limit = rate, min(self.most, 2 * self.limit)
            return
        self._quiet += 1
        if self.limit < self.ceiling:
            self.limit += 1
        elif self._quiet >= _TRY_AGAIN and self.ceiling < self.most:
            self.ceiling, self._doubling, self._best = self.most, True, rate
            self.limit = min(self.most, 2 * self.limit)

    def _next_epoch(self) -> None:
        self._replies = self._refused = 0
        self._work, self._since = 0.0, self._clock()
        self._halved = False
