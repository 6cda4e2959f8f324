"""What can go wrong with a call: who has to fix it, and whether it may succeed later."""

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

import openai

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.openai_client import error_message
from codedpo_plugin.sampling.replies import ErrorReply, NotAReply

_OVERLOAD = (408, 429, 502, 503, 504, 529)
_CONFLICT = (409, 425)
_NOT_IMPLEMENTED = 501
_TOO_LARGE = 413
_SHOWN = 200  # characters of a server's message

_TOO_LONG = re.compile(
    r"context (length|size|window)|context_length|exceed_context|reduce the length|"
    r"(prompt|input|request) (is|was) too long|too many (input )?tokens|"
    r"(max_tokens|max_completion_tokens)\W+(is|must be) (too large|at most|less)|"
    r"tokens?\b.{0,40} exceeds?|inputs?` (tokens|must have less)|maximum input length",
    re.IGNORECASE,
)
_CONTENT_POLICY = re.compile(
    r"content.?(policy|filter|management|moderation)|moderation|flagged|usage polic|guardrail|"
    r"safety|responsible ?ai",
    re.IGNORECASE,
)
_NO_QUOTA = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")

TOO_LONG = "too long for the model"
CONTENT_POLICY = "against the server's content policy"


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
    """For counting: the same for all prompts that are refused for one reason."""
    message: str
    """The server's, with the status."""
    field: str | None = None
    """Of the body, that the server names as the cause."""
    no_access: bool = False
    """Whether the key may be wrong."""


def classify(error: Exception, settings: Sampling) -> Fault | Refusal:
    """Whether a failed call may succeed later.

    Raises:
        InputError: the user has to fix it: key, credit, model name or address.
    """
    if isinstance(error, openai.APITimeoutError):
        return Fault("timeout", f"no reply within {settings.timeout:g} s", overload=True)
    if isinstance(error, openai.APIStatusError):
        wait = retry_after(error.response.headers)
        message = error_message(error, settings)
        codes = (str(error.code), str(error.type))
        return _by_status(error.status_code, message, settings, codes, error.param, wait)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        return Fault("no connection", f"{type(cause).__name__}: {cause}"[:_SHOWN], permanent=True)
    if isinstance(error, ErrorReply):
        if error.status:
            return _by_status(error.status, str(error), settings, (error.code,))
        return Fault("an error in place of a reply", str(error)[:_SHOWN], permanent=True)
    if isinstance(error, openai.APIError | ValueError | TypeError):
        return Fault("truncated or malformed reply", str(error)[:_SHOWN])
    if isinstance(error, NotAReply):
        return Fault("not a reply of the protocol", str(error), permanent=True)
    raise error


def _by_status(
    status: int,
    message: str,
    settings: Sampling,
    codes: tuple[str, ...] = (),
    field: str | None = None,
    wait: float | None = None,
) -> Fault | Refusal:
    shown, where = message[:_SHOWN], f"{settings.base_url} ({settings.model})"
    if status in (401, 403) and not (status == 403 and _CONTENT_POLICY.search(message)):
        denied = f"{where}: {status}: {shown}; {_about_the_key(settings)}"
        if status == 401:
            raise InputError(denied)
        return Refusal(f"403: {shown}", denied, no_access=True)
    if status == 402 or (status == 429 and any(code in _NO_QUOTA for code in codes)):
        raise InputError(
            f"{where}: {status}: {shown}; the account has no credit left. Samples are kept: add "
            "credit, then run the same command"
        )
    if status in _OVERLOAD:
        return Fault(str(status), shown, overload=True, wait=wait)
    too_long = status == _TOO_LARGE or _TOO_LONG.search(message)
    if status in _CONFLICT or (status >= 500 and status != _NOT_IMPLEMENTED and not too_long):
        return Fault(str(status), shown, wait=wait)
    reason = f"{status}: {shown}"
    if too_long:
        reason = TOO_LONG
    elif _CONTENT_POLICY.search(" ".join([message, *codes])):
        reason = CONTENT_POLICY
    return Refusal(reason, f"{status}: {message}", field)


def _about_the_key(settings: Sampling) -> str:
    if settings.api_key_env:
        return f"the key in {settings.api_key_env} is not accepted"
    return "name the environment variable that holds your key in `api_key_env`"


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
