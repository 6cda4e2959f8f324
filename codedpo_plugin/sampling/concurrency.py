"""How many requests a server is given at a time."""

import time
from collections.abc import Callable

_WORTH = 1.15  # times as many tokens per second, for twice the requests
_LOOK_AGAIN = 16  # epochs until more is tried once more


class Limiter:
    """Additive increase, multiplicative decrease, with a ceiling where more brings nothing.

    At first the limit doubles from epoch to epoch (twice as many replies as the limit) while the
    server's rate grows with it. Where it does not, requests would only wait in the server's queue:
    the limit goes back one step, and more is tried again later. A sign of overload halves it (once
    in an epoch, unless nothing but such signs come); from there on it grows by one in each epoch.
    """

    def __init__(
        self, most: int, start: int = 4, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = self.ceiling = most
        self.limit = min(start, most)
        self._clock = clock
        self._doubling = True
        self._best = 0.0  # work per second, when the limit was last doubled
        self._quiet = 0  # epochs since more was tried in vain
        self._halved = False
        self._next_epoch()

    def succeeded(self, work: float) -> None:
        """A reply has come, of so many tokens."""
        self._replies += 1
        self._work += work
        if self._replies >= 2 * self.limit:
            self._adapt(self._work / max(self._clock() - self._since, 1e-9))
            self._next_epoch()

    def overloaded(self) -> None:
        """The server has said that it is too much, or has not answered in time."""
        self._refused += 1
        if not self._halved or self._refused >= self.limit:
            self.limit = max(1, self.limit // 2)
            self._doubling = False
            self._next_epoch()
            self._halved = True

    def _adapt(self, rate: float) -> None:
        if self._doubling:
            if rate < _WORTH * self._best:
                self.limit = self.ceiling = max(1, self.limit // 2)
                self._doubling, self._quiet = False, 0
            elif self.limit < self.most:
                self._best, self.limit = rate, min(self.most, 2 * self.limit)
            return
        self._quiet += 1
        if self.limit < self.ceiling:
            self.limit += 1
        elif self._quiet >= _LOOK_AGAIN and self.ceiling < self.most:
            self.ceiling, self._doubling, self._best = self.most, True, rate
            self.limit = min(self.most, 2 * self.limit)

    def _next_epoch(self) -> None:
        self._replies = self._refused = 0
        self._work, self._since = 0.0, self._clock()
        self._halved = False
