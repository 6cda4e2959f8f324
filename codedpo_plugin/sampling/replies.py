"""The answer of an OpenAI-compatible API: its samples, and what is wrong with some of them.

Servers and proxies differ in what they send. An answer that was paid for is kept, even if it is
empty; each sample that holds no text, or less than the model wrote, has its reason in
`Reply.defects`.
"""

import json
from dataclasses import replace
from typing import Any

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.calls import Call
from codedpo_plugin.sampling.types import Reply, Sample

_FINISH_REASONS = {
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "STOP": "stop",
}
"""Other names that servers have for `stop` and `length`."""

_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")  # parts that are not of the answer


class NotAReply(Exception):
    """The server answered with something that is not part of the protocol."""


class ErrorReply(Exception):
    """The server, or a proxy, answered with an error in a reply of status 200."""

    def __init__(self, status: int | None, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def parse_reply(text: str) -> Reply:
    """The samples and token counts in the body of an answer.

    Raises:
        ValueError: it is truncated.
        NotAReply: it is something else, such as an HTML page.
        ErrorReply: it holds an error instead of samples.
    """
    if not text.lstrip().startswith("{"):
        raise NotAReply(f"it begins with {text[:100]!r}")
    answer = json.loads(text)
    choices = answer.get("choices")
    if not choices:
        _raise_error(answer)
    if not isinstance(choices, list):
        raise NotAReply(f"it begins with {text[:100]!r}")
    if not choices:
        raise NotAReply("it has no choices")
    found = [sample for choice in choices if (sample := _sample(choice))]
    if not found:
        _raise_error(choices[0])
        raise NotAReply(f"it begins with {text[:100]!r}")
    return Reply(
        [sample for sample, _ in found],
        _tokens(answer.get("usage"), "prompt"),
        _tokens(answer.get("usage"), "completion"),
        tuple(defect for _, defect in found if defect),
        len(choices) - len(found),
    )


def finished(reply: Reply, call: Call, settings: Sampling) -> Reply:
    """The reply with what the server was not asked to do: cut at stop sequences, and each sample
    with the prefill at its start, whether or not the server repeats it."""
    stops = settings.stop if "stop" in call.form.omitted else []
    samples = [_cut(sample, stops) for sample in reply.samples]
    samples = [Sample(prefilled(call.prefill, one.text), one.finish_reason) for one in samples]
    return replace(reply, samples=samples)


def prefilled(prefill: str, text: str) -> str:
    """An answer that begins with the prefill once; an empty answer stays empty."""
    if not prefill or not text:
        return text
    start, rest = prefill.strip(), text.lstrip()
    if not start or not rest.startswith(start):
        return prefill + text
    ending = prefill[len(prefill.rstrip()) :]
    return prefill + rest.removeprefix(start).removeprefix(ending)


def _cut(sample: Sample, stops: list[str]) -> Sample:
    places = [sample.text.index(stop) for stop in stops if stop in sample.text]
    return Sample(sample.text[: min(places)], "stop") if places else sample


def _raise_error(answer: Any) -> None:
    """Raise what an answer, or a choice, says in place of a text."""
    if not isinstance(answer, dict):
        return
    error = answer if answer.get("object") == "error" else answer.get("error")
    if isinstance(error, str) and error:
        raise ErrorReply(None, "", error)
    if isinstance(error, dict) and error:
        code = str(error.get("code"))
        status = int(code) if code.isdigit() and 400 <= int(code) < 600 else None
        raise ErrorReply(status, code, str(error.get("message") or error))


def _sample(choice: Any) -> tuple[Sample, str | None] | None:
    """A sample and what is wrong with it; None for a choice that has no place for a text."""
    if not isinstance(choice, dict) or choice.get("error"):
        return None
    message, reason = choice.get("message"), choice.get("finish_reason")
    reason = _FINISH_REASONS.get(str(reason), str(reason)) if reason else "unknown"
    if isinstance(message, dict):
        content = message.get("content")
    elif "text" in choice:
        message, content = {}, choice["text"]
    else:
        return None
    if content is not None and not isinstance(content, str | list | dict):
        return None
    text, left_out = _text(content)
    refusal = message.get("refusal")
    if not text and isinstance(refusal, str):
        text = refusal
    return Sample(text, reason), _defect(text, reason, message, left_out)


def _text(content: Any) -> tuple[str, list[str]]:
    """The text of a message, and the types of parts that hold none."""
    texts, left_out = [], []
    for part in content if isinstance(content, list) else [content or ""]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict) and isinstance(part.get("refusal"), str):
            texts.append(part["refusal"])
        else:
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            if kind not in _THOUGHTS:
                left_out.append(str(kind))
    return "".join(texts), left_out


def _defect(text: str, reason: str, message: dict[str, Any], left_out: list[str]) -> str | None:
    if message.get("refusal"):
        return "refused by the model"
    if reason == "content_filter":
        return "cut by a content filter"
    if left_out:
        return f"content of type {left_out[0]} left out"
    if text:
        return None
    if message.get("tool_calls") or message.get("function_call"):
        return "a tool call in place of text"
    thought = any(map(message.get, ("reasoning_content", "reasoning")))
    thought = thought or isinstance(message.get("content"), list)
    what = "reasoning without an answer" if thought else "no text"
    return f"{what}, cut at max_tokens" if reason == "length" else what


def _tokens(usage: Any, kind: str) -> int:
    try:
        return int(usage[f"{kind}_tokens"])
    except (KeyError, TypeError, ValueError):
        return 0
