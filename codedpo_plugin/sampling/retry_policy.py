"""What can go wrong with a call: who has to fix it, and whether the call is sent again."""

import email.utils
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

import openai

from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.calls import Call, NotAReply
from codedpo_plugin.sampling.openai_client import error_message

_OVERLOAD = (408, 429, 502, 503, 504, 529)
_NOT_IMPLEMENTED = 501

_LONGEST_WAIT = 60.0  # seconds before an attempt, unless the server asks for more
_PATIENCE = 600.0  # seconds an overloaded server may leave all calls unanswered
_RETRIES_UNANSWERED = 3  # before the first reply: the address is probably wrong
_REFUSALS = 3  # before the first reply, mean that the recipe is wrong


@dataclass(frozen=True)
class Fault:
    """A call failed, but might succeed if it is sent again."""

    reason: str
    """In a few words, for counting."""
    detail: str
    overload: bool = False
    """Whether fewer calls at a time may help."""
    wait: float | None = None
    """Seconds that the server asks us to wait."""
    permanent: bool = False
    """Whether it is unlikely to go away if nothing has been answered yet."""


@dataclass(frozen=True)
class Refusal:
    """The server will never accept this call."""

    reason: str


class RetryPolicy:
    """Decides what happens after a call that failed, and when the whole run has to stop."""

    def __init__(self, settings: Sampling) -> None:
        self._settings = settings
        self._last_reply = time.monotonic()
        self._replies = 0
        self._refusals = 0

    def answered(self) -> None:
        """A call was answered."""
        self._replies += 1
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
            InputError: the server has refused every call so far.
        """
        self._refusals += 1
        if not self._replies and self._refusals >= min(_REFUSALS, open_requests):
            raise InputError(f"{self._settings.base_url} refuses each request: {refusal.reason}")


def classify(error: Exception, settings: Sampling) -> Fault | Refusal:
    """Whether a failed call may succeed later.

    Raises:
        InputError: the user has to fix it: key, model name or address.
    """
    if isinstance(error, openai.APITimeoutError):
        return Fault("timeout", f"no reply within {settings.timeout:g} s", overload=True)
    if isinstance(error, openai.APIStatusError):
        return _classify_status(error, settings)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        return Fault("no connection", f"{type(cause).__name__}: {cause}"[:200], permanent=True)
    if isinstance(error, openai.APIError | ValueError | TypeError):
        return Fault("truncated or malformed reply", str(error)[:200])
    if isinstance(error, NotAReply):
        return Fault("not a reply of the protocol", str(error), permanent=True)
    raise error


def _classify_status(error: openai.APIStatusError, settings: Sampling) -> Fault | Refusal:
    status, message = error.status_code, error_message(error, settings)
    where = f"{settings.base_url} ({settings.model})"
    if status in (401, 403):
        fix = (
            f"the key in {settings.api_key_env} is not accepted"
            if settings.api_key_env
            else "name the environment variable that holds your key in `api_key_env`"
        )
        raise InputError(f"{where}: {status}: {message}; {fix}")
    if status == 429 and error.code == "insufficient_quota":
        raise InputError(f"{where}: {message}")
    if status in _OVERLOAD:
        return Fault(str(status), message, overload=True, wait=retry_after(error.response.headers))
    if status >= 500 and status != _NOT_IMPLEMENTED:
        return Fault(str(status), message, wait=retry_after(error.response.headers))
    return Refusal(f"{status}: {message}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` (a number or a date) or `retry-after-ms` ask for."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        if not (text := headers.get("retry-after")):
            return None
        if text.strip().replace(".", "", 1).isdigit():
            return float(text)
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
