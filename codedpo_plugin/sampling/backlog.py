"""The backlog: requests that are not complete, and the calls still to be made for them."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from codedpo_plugin.sampling.calls import Call, Form
from codedpo_plugin.sampling.types import Request


@dataclass
class _Open:
    """A request that is not complete."""

    request: Request
    missing: int
    under_way: int = 0
    """Samples wanted by calls that have not ended."""


class Backlog:
    """Hands out calls until every request is complete or closed."""

    def __init__(self, missing: Iterable[tuple[Request, int]]) -> None:
        self._open = {_name(request): _Open(request, count) for request, count in missing}
        self._new = deque(self._open.values())
        self._again: deque[Call] = deque()

    def __len__(self) -> int:
        return len(self._open)

    def requests(self) -> list[Request]:
        """Those that are open."""
        return [one.request for one in self._open.values()]

    def next_call(self, most: int, form: Form) -> Call | None:
        """The next call, for at most `most` samples; calls to be sent again come first."""
        while self._again:
            call = self._again.popleft()
            if _name(call.request) in self._open:
                return call
        while self._new:
            one = self._new[0]
            count = min(most, one.missing - one.under_way)
            if count > 0:
                one.under_way += count
                return Call(one.request, count, form)
            self._new.popleft()
        return None

    def put_back(self, call: Call) -> None:
        """The call cannot start now; it will be the next one."""
        self._again.appendleft(call)

    def retry(self, call: Call) -> None:
        """Send the call again, after those that are already waiting."""
        self._again.append(call)

    def rebuild(self, call: Call) -> None:
        """The server rejects this form of the call: make new calls for its samples."""
        if one := self._open.get(_name(call.request)):
            one.under_way -= call.count
            self._new.appendleft(one)

    def received(self, call: Call, samples: int) -> bool:
        """Count the samples that a call returned; True if its request is now complete."""
        one = self._open.get(_name(call.request))
        if one is None:  # closed in the meantime
            return False
        one.under_way -= call.count
        one.missing -= samples
        if one.missing > one.under_way:
            self._new.appendleft(one)
        return one.missing <= 0

    def close(self, request: Request) -> bool:
        """Make no more calls for a request; False if it was already closed."""
        one = self._open.pop(_name(request), None)
        if one is None:
            return False
        one.missing = 0
        return True


def _name(request: Request) -> tuple[str, str]:
    return request.key, request.role
