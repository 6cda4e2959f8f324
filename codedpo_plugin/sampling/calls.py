"""One call of an OpenAI-compatible API: what is sent, and what its answer holds."""

import json
import random
from dataclasses import dataclass
from typing import Any

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.types import Reply, Request, Sample


class NotAReply(Exception):
    """The server answered with something that is not part of the protocol."""


@dataclass
class Call:
    """Some of the samples of a request, over all attempts to get them."""

    request: Request
    count: int
    """Samples wanted."""
    length_field: str = "max_tokens"
    """What the server calls the maximum length of a sample."""
    retries: int = 0
    first_sent: float | None = None
    """Monotonic time, in seconds."""
    reserved: float = 0.0
    """The most that it may cost, set aside from the budget while it is in flight."""


def payload(call: Call, settings: Sampling) -> tuple[str, dict[str, Any]]:
    """Path of the endpoint and body of a call."""
    body: dict[str, Any] = {
        "model": settings.model,
        "n": call.count,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        call.length_field: settings.max_tokens,
    }
    if settings.stop:
        body["stop"] = settings.stop
    if settings.seed is not None:
        body["seed"] = settings.seed + random.randrange(1 << 30)
    body |= settings.extra_body
    prompt = call.request.prompt
    if isinstance(prompt, str):
        return "/completions", body | {"prompt": prompt}
    return "/chat/completions", body | {"messages": prompt}


def parse_reply(text: str) -> Reply:
    """The samples and token counts in the body of an answer.

    Raises:
        ValueError: it is truncated.
        NotAReply: it is something else, such as an HTML page.
    """
    if not text.lstrip().startswith("{"):
        raise NotAReply(f"it begins with {text[:100]!r}")
    answer = json.loads(text)
    try:
        samples = [
            Sample(
                (choice["message"]["content"] if "message" in choice else choice["text"]) or "",
                choice.get("finish_reason") or "unknown",
            )
            for choice in answer["choices"]
        ]
        usage = answer.get("usage") or {}
        tokens = [int(usage.get(f"{kind}_tokens") or 0) for kind in ("prompt", "completion")]
    except (KeyError, AttributeError, TypeError, ValueError):
        raise NotAReply(f"it begins with {text[:100]!r}") from None
    if not samples:
        raise NotAReply("it has no choices")
    return Reply(samples, *tokens)
