"""Concurrency: what is in flight at the server, and a limit that adapts to it.

Both are counted in samples: a call for eight samples takes eight slots until it is answered.
"""

import math
import time
from collections.abc import Callable

from codedpo_plugin.sampling.calls import Call

_START = 8
_FAST, _SLOW = 4.0, 1.5  # growth of the limit while no sample waits, and otherwise
_SOME, _MOST = 0.15, 0.75  # of the time of calls: some samples seem to wait; most do
_WORTHWHILE = 1.1  # times as many tokens per second, for twice the limit
_EPOCH, _LONG_EPOCH = 0.65, 1.0  # times the limit: samples that an epoch takes; where some wait
_TRY_AGAIN = 16  # epochs until a higher limit is tried once more
_SAME_TIME = 0.01  # seconds


def slots_of(call: Call) -> int:
    """Slots that a call takes while in flight: one for each sample.

    This sets the unit of the limit and of `max_concurrency`, in which the limiter counts, too.
    """
    return call.count


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

    def fits(self, call: Call) -> bool:
        """Whether a call may start now. One that is larger than the limit starts alone."""
        free = self.free()
        return slots_of(call) <= free or (free > 0 and not self.in_use)

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
    """Multiplicative increase while it pays, multiplicative decrease on overload.

    The limit grows from epoch to epoch while the rate of the server grows with it. Once it does
    not, further samples would only wait in the server's queue: the limit goes back one step, and
    more is tried again later. It grows fast while all samples take about as long per token as the
    fastest so far, and slowly where they take longer, which may mean that they have waited. A sign
    of overload halves it (once per epoch, unless there are only such signs); after that it grows by
    an eighth per epoch.

    An epoch ends after samples for most of the limit, and looks only at calls that were sent within
    it; after a small step, when some seem to wait, it is longer, and starts when the queue has its
    new length. Its rate is the limit times the tokens per second that a slot gives (Little's law),
    which varies less than a count of what arrives.
    """

    def __init__(
        self, most: int, start: int = _START, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = self.ceiling = most
        self.limit = min(start, most)
        self._clock = clock
        self._growing = True
        self._steps: list[tuple[int, float]] = []  # while growing: limits, their tokens per second
        self._pace = math.inf  # seconds per token of the fastest sample
        self._quiet = 0  # epochs since a higher limit was tried in vain
        self._halved = False
        self._queued = False  # whether samples seemed to wait when the limit was raised
        self._next_epoch()

    def succeeded(self, samples: int, seconds: float, tokens: float, longest: float) -> None:
        """A reply has arrived.

        Args:
            samples: in the reply.
            seconds: since the call was sent.
            tokens: of all samples together.
            longest: tokens of the longest one.
        """
        if self._settling > 0:
            self._settling -= samples
            if self._settling <= 0:
                self._since = self._clock()
            return
        if self._clock() - seconds < self._since - _SAME_TIME:
            return
        self._samples += samples
        self._tokens += tokens
        self._seconds += samples * seconds
        self._paces.append((seconds, longest))
        self._pace = min(self._pace, seconds / max(longest, 1.0))
        if self._samples >= self._epoch * self.limit:
            self._adapt(self.limit * self._tokens / max(self._seconds, 1e-9))
            self._next_epoch()

    def overloaded(self, samples: int = 1) -> None:
        """The server has reported an overload to a call, or has not answered it in time."""
        self._refused += samples
        if not self._halved or self._refused >= self.limit:
            self.limit = max(1, self.limit // 2)
            self._growing = False
            self._next_epoch()
            self._halved = True

    def _adapt(self, rate: float) -> None:
        if self._growing:
            waited = self._waited()
            if self._was_worthwhile(rate) and waited < _MOST:
                self._steps.append((self.limit, rate))
                self._grow(_SLOW if waited > _SOME else _FAST)
                return
            before = self._steps[-1][0] if self._steps else self.limit
            too_large = self.limit > _SLOW * before + 1
            self.limit = before
            if too_large:
                self._grow(_SLOW)
            else:
                self.ceiling, self._growing, self._quiet = before, False, 0
            return
        self._quiet += 1
        if self.limit < self.ceiling:
            self.limit = min(self.ceiling, self.limit + max(1, self.limit // 8))
        elif self._quiet >= _TRY_AGAIN and self.ceiling < self.most:
            self.ceiling, self._growing, self._steps = self.most, True, [(self.limit, rate)]
            self._grow(_SLOW)

    def _was_worthwhile(self, rate: float) -> bool:
        """Whether the rate has grown enough, from every step on: chance adds up over steps."""
        return all(
            rate >= _WORTHWHILE ** math.log2(self.limit / limit) * before
            for limit, before in self._steps
        )

    def _grow(self, step: float) -> None:
        if self.limit >= self.most:
            self._growing = False
            return
        self.limit = min(self.most, max(self.limit + 1, int(step * self.limit)))
        self._queued = step == _SLOW

    def _waited(self) -> float:
        """The share of the time of calls that the fastest sample would not have needed."""
        seconds, tokens = map(sum, zip(*self._paces, strict=True))
        return 1 - self._pace * tokens / max(seconds, 1e-9)

    def _next_epoch(self) -> None:
        self._samples = self._refused = 0
        self._tokens = self._seconds = 0.0
        self._paces: list[tuple[float, float]] = []
        self._since = self._clock()
        self._epoch: float = _LONG_EPOCH if self._queued else _EPOCH
        self._settling: int = self.limit if self._queued else 0
        self._queued = False
        self._halved = False
