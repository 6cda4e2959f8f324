"""Requests, samples, replies, and what they cost."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Prices, Sampling

BUDGET_SPENT = "budget spent"  # why a request was given up

_CHARACTERS_PER_TOKEN = 3.5  # of code, roughly

Message = dict[str, str]  # role, content


@dataclass(frozen=True)
class Request:
    """`n` samples wanted for one prompt; (key, role) is unique within a call of `sample`."""

    key: str
    """What it is about, such as a `task_id`."""
    role: str
    """What it is for: `solutions`, `tests`, ..."""
    prompt: str | list[Message]
    """A text to continue (the `/v1/completions` endpoint), or chat messages."""
    n: int
    prefill: str = ""
    """The beginning of the answer; the samples include it, unless the server cannot be given it."""

    def fingerprint(self, settings: Sampling) -> str:
        """A hash of everything that the distribution of samples depends on (not `n`)."""
        names = ("temperature", "top_p", "max_tokens", "stop")
        sent = {name: getattr(settings, name) for name in names}
        parts = [_identity(settings), self.prompt, sent, settings.extra_body]
        if self.prefill:
            parts.append({"prefill": self.prefill})
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


def _identity(settings: Sampling) -> list[Any]:
    """The model's name, and for a folder the state of its files: it may be retrained."""
    folder = Path(settings.model)
    if settings.backend != "transformers" or not folder.is_dir():
        return [settings.model]
    states = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
    return [str(folder.resolve()), [(name, s.st_size, s.st_mtime_ns) for name, s in states]]


@dataclass(frozen=True)
class Sample:
    """One text that a model wrote."""

    text: str
    finish_reason: str
    """`stop`, `length` (it was cut at `max_tokens`), or what else the server says."""


@dataclass(frozen=True)
class Reply:
    """What one API call returned."""

    samples: list[Sample]
    prompt_tokens: int
    completion_tokens: int
    defects: tuple[str, ...] = ()
    """What is wrong with some of the samples: why they hold no text, or not all of it."""
    dropped: int = 0
    """Choices that are no samples, such as errors."""

    def tokens_written(self) -> tuple[float, float]:
        """Tokens of all samples and of the longest; by their texts where the server reports none.

        The longest has the share of the tokens that it has of the characters.
        """
        lengths = [len(sample.text) + 1 for sample in self.samples]
        tokens = self.completion_tokens or sum(lengths) / _CHARACTERS_PER_TOKEN
        return tokens, tokens * max(lengths) / sum(lengths)

    def cost(self, prices: Prices) -> float:
        """In the currency of the prices."""
        return (
            self.prompt_tokens * prices.prompt + self.completion_tokens * prices.completion
        ) / 1e6


@dataclass
class Usage:
    """What a call of `sample` has done so far."""

    prompts: int = 0
    done: int = 0
    samples: int = 0
    """Samples received, not counting those of the cache."""
    cached: int = 0
    """Samples that were in the cache."""
    calls: int = 0
    """API calls that were answered."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    spent: float = 0.0
    """Cost over all runs on the same cache."""
    concurrency: int = 0
    """Current limit on samples in flight."""
    retries: Counter[str] = field(default_factory=Counter)
    """what went wrong -> API calls sent again"""
    failed: Counter[str] = field(default_factory=Counter)
    """why -> requests that were given up with fewer samples than wanted; another run may help"""
    refused: Counter[str] = field(default_factory=Counter)
    """why -> requests that the server will not accept in another run either"""
    defects: Counter[str] = field(default_factory=Counter)
    """what is wrong -> samples received without text, or with less than the model wrote"""
    notices: list[str] = field(default_factory=list)
    """What the user should know about this model or server."""

    def add(self, reply: Reply, cost: float) -> None:
        """Count a reply."""
        self.calls += 1
        self.samples += len(reply.samples)
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        self.cost += cost
        self.spent += cost
        self.defects.update(reply.defects)
        if reply.dropped:
            self.retries["a choice without an answer"] += reply.dropped


def checked(requests: list[Request]) -> list[Request]:
    """The requests, if their names are unique.

    Raises:
        InputError: two have the same key and role.
    """
    names = Counter((request.key, request.role) for request in requests)
    for (key, role), count in names.items():
        if count > 1:
            raise InputError(
                f"{key!r} is requested {count} times for {role}; merge these into one request"
            )
    return requests
