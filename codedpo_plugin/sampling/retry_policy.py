"""Whether a call that failed is sent again, and when the whole run has to stop."""

import random
import time

from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.calls import Call
from codedpo_plugin.sampling.failures import Fault, Refusal

_LONGEST_WAIT = 60.0  # seconds before an attempt, unless the server asks for more
_PATIENCE = 600.0  # seconds an overloaded server may leave all calls unanswered
_RETRIES_UNANSWERED = 3  # before the first reply: the address is probably wrong
_REFUSALS = 3  # before the first reply, mean that the recipe is wrong
_NO_ACCESS = 8  # refusals of access in a row: the key is no longer accepted


class RetryPolicy:
    """Decides what happens after a call that failed, and when the whole run has to stop."""

    def __init__(self, settings: Sampling) -> None:
        self._settings = settings
        self._last_reply = time.monotonic()
        self._replies = 0
        self._refusals = 0
        self._no_access = 0

    def answered(self) -> None:
        """A call was answered."""
        self._replies += 1
        self._no_access = 0
        self._last_reply = time.monotonic()

    def delay(self, call: Call, fault: Fault) -> float | None:
        """Seconds until a call is sent again, with exponential backoff and full jitter.

        None if its retries are used up. There are more of them while an overloaded server still
        answers other calls.

        Raises:
            InfrastructureError: they are used up, and no other call was answered since.
        """
        first_sent = call.first_sent or 0.0
        retries = self._settings.retries
        if not self._replies and fault.permanent:
            retries = min(retries, _RETRIES_UNANSWERED)
        waiting = time.monotonic() - max(self._last_reply, first_sent)
        if call.retries >= retries and not (fault.overload and waiting < _PATIENCE):
            if self._last_reply < first_sent:
                raise InfrastructureError(
                    f"{self._settings.base_url}: {call.retries + 1} attempts at a request failed "
                    f"and no other request was answered in between; the last: {fault.reason}: "
                    f"{fault.detail}. All samples received so far are kept; run the same command"
                )
            return None
        longest = min(_LONGEST_WAIT, 2.0**call.retries)
        return (fault.wait or 0.0) + random.uniform(0, longest)

    def refused(self, refusal: Refusal, open_requests: int) -> None:
        """A call was refused for good.

        Raises:
            InputError: the server has refused every call so far, or refuses access.
        """
        self._refusals += 1
        if refusal.no_access:
            self._no_access += 1
            if not self._replies or self._no_access >= _NO_ACCESS:
                raise InputError(refusal.message)
        if not self._replies and self._refusals >= min(_REFUSALS, open_requests):
            raise InputError(f"{self._settings.base_url} refuses each request: {refusal.message}")
