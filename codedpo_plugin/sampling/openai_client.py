"""The connection to an OpenAI-compatible server: key, client, and the server's error messages."""

import os

import openai

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Sampling


def make_client(settings: Sampling) -> openai.AsyncOpenAI:
    """A client that never retries by itself.

    Raises:
        InputError: the variable that should hold the key is not set.
    """
    return openai.AsyncOpenAI(
        api_key=api_key(settings),
        base_url=settings.base_url,
        timeout=settings.timeout,
        max_retries=0,
    )


def api_key(settings: Sampling) -> str:
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


def error_message(error: openai.APIStatusError, settings: Sampling) -> str:
    """The server's message on one line, without the key, which some servers repeat."""
    line = " ".join((_message(error.body) or error.message).split())
    return line.replace(api_key(settings), "(key)") if settings.api_key_env else line


def _message(body: object) -> str:
    """The text in the body of an error; empty if none is found."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):  # one error for each wrong field, or a list that holds the error
        return "; ".join(filter(None, map(_message, body)))
    if not isinstance(body, dict):
        return ""
    texts = [_message(body.get(name)) for name in ("message", "msg", "error", "detail")]
    text = next(filter(None, texts), "")
    place = body.get("loc")  # of FastAPI: body, field
    return f"{'.'.join(map(str, place))}: {text}" if isinstance(place, list) and text else text


async def explain_not_found(
    error: openai.NotFoundError, client: openai.AsyncOpenAI, settings: Sampling
) -> str:
    """What a 404 means: no such model, where the server lists its models, or a wrong address."""
    where = f"{settings.base_url}: {error_message(error, settings)[:200]}"
    try:
        names = [model.id async for model in client.models.list()]
    except Exception:
        return f"{where}; check `model` and `base_url` (it usually ends in /v1)"
    if settings.model in names:
        path = error.request.url.path
        return (
            f"{where}; the server has the model {settings.model!r}, but nothing at {path}: check "
            "`base_url`, and whether the model takes chat messages or plain text (`style`)"
        )
    return f"{where}; `model` is {settings.model!r}, the server has {', '.join(names)}"
