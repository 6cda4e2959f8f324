"""What can go wrong between us and a server, and whose fault it is."""

import email.utils
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import openai

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Sampling

_OVERLOAD = (408, 429, 502, 503, 504, 529)
_NOT_THIS_SERVICE = 501


class NotAReply(Exception):
    """The server answered with something else than the protocol has."""


@dataclass(frozen=True)
class Fault:
    """A request that failed, but might succeed if it is sent again."""

    reason: str
    """In a few words, for counting."""
    detail: str
    overload: bool = False
    """Whether fewer requests at a time may be the mend."""
    wait: float | None = None
    """Seconds that the server asks us to wait."""
    lasting: bool = False
    """Whether it will hardly go away if there has been no reply at all."""


@dataclass(frozen=True)
class Refusal:
    """A request that the server will never take."""

    reason: str


def judge(error: Exception, settings: Sampling) -> Fault | Refusal:
    """Whose fault an error is.

    Raises:
        InputError: the user's: key, model name or address.
    """
    if isinstance(error, openai.APITimeoutError):
        return Fault("timeout", f"no reply within {settings.timeout:g} s", overload=True)
    if isinstance(error, openai.APIStatusError):
        return _judge_status(error, settings)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        return Fault("no connection", f"{type(cause).__name__}: {cause}"[:200], lasting=True)
    if isinstance(error, openai.APIError | ValueError | TypeError):
        return Fault("cut or broken reply", str(error)[:200])
    if isinstance(error, NotAReply):
        return Fault("not a reply of the protocol", str(error), lasting=True)
    raise error


def _judge_status(error: openai.APIStatusError, settings: Sampling) -> Fault | Refusal:
    status, message = error.status_code, said(error, settings)
    where = f"{settings.base_url} ({settings.model})"
    if status in (401, 403):
        mend = (
            f"the key in {settings.api_key_env} is not accepted"
            if settings.api_key_env
            else "name the environment variable that holds your key in `api_key_env`"
        )
        raise InputError(f"{where}: {status}: {message}; {mend}")
    if status == 429 and error.code == "insufficient_quota":
        raise InputError(f"{where}: {message}")
    if status in _OVERLOAD:
        return Fault(str(status), message, overload=True, wait=retry_after(error.response.headers))
    if status >= 500 and status != _NOT_THIS_SERVICE:
        return Fault(str(status), message, wait=retry_after(error.response.headers))
    return Refusal(f"{status}: {message}")


def said(error: openai.APIStatusError, settings: Sampling) -> str:
    """The server's message, in one short line; without the key, which some repeat."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    line = " ".join(str(message or error.message).split())
    return line.replace(key(settings), "(key)")[:200] if settings.api_key_env else line[:200]


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


def key(settings: Sampling) -> str:
    """The key for the server.

    Raises:
        InputError: the variable that should hold it is not set.
    """
    if settings.api_key_env is None:
        return "none"
    value = os.environ.get(settings.api_key_env, "").strip()
    if not value:
        raise InputError(
            f"`api_key_env` names {settings.api_key_env}, which is not set: "
            f"export {settings.api_key_env}=..."
        )
    return value
