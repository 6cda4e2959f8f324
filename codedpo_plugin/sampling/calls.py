"""One call of an OpenAI-compatible API, and what is sent for it; see `replies` for the answer."""

import random
from dataclasses import dataclass
from typing import Any

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.types import Request


@dataclass(frozen=True)
class Form:
    """How a server wants calls to be written; `server_quirks` learns it."""

    length_field: str = "max_tokens"
    """What the server calls the maximum length of a sample."""
    omitted: frozenset[str] = frozenset()
    """Fields that it does not accept, `prefill` among them."""


@dataclass
class Call:
    """Some of the samples of a request, over all attempts to get them."""

    request: Request
    count: int
    """Samples wanted."""
    form: Form = Form()
    max_tokens: int | None = None
    """Maximum length where the server's context allows less than the recipe."""
    retries: int = 0
    first_sent: float | None = None
    """Monotonic time, in seconds."""
    sent: float = 0.0
    """When it was last sent."""
    reserved: float = 0.0
    """The most that it may cost, set aside from the budget while it is in flight."""

    @property
    def prefill(self) -> str:
        """The beginning of the answer that is sent; empty where the server takes none."""
        return "" if "prefill" in self.form.omitted else self.request.prefill


def payload(call: Call, settings: Sampling) -> tuple[str, dict[str, Any]]:
    """Path of the endpoint and body of a call."""
    body: dict[str, Any] = {
        "model": settings.model,
        "n": call.count,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        call.form.length_field: call.max_tokens or settings.max_tokens,
    }
    if settings.stop:
        body["stop"] = settings.stop
    if settings.seed is not None:
        body["seed"] = settings.seed + random.randrange(1 << 30)
    path, prompt = _prompt(call)
    body |= settings.extra_body | prompt
    omitted = call.form.omitted
    sent = {name: value for name, value in body.items() if value is not None}
    return path, {name: value for name, value in sent.items() if name not in omitted}


def _prompt(call: Call) -> tuple[str, dict[str, Any]]:
    prompt, prefill = call.request.prompt, call.prefill
    if isinstance(prompt, str):
        return "/completions", {"prompt": prompt + prefill}
    if not prefill:
        return "/chat/completions", {"messages": prompt}
    messages = [*prompt, {"role": "assistant", "content": prefill}]
    # Names of vLLM and SGLang.
    fields = {"continue_final_message": True, "add_generation_prompt": False}
    return "/chat/completions", {"messages": messages, **fields}
