"""Token lengths of preference data under a tokenizer, and what a `max_length` does to the rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

Row = dict[str, Any]

_SIDES = ("chosen", "rejected", "completion")


@dataclass
class Lengths:
    """Token counts of rows, and how many rows a problem affects."""

    prompt: list[int] = field(default_factory=list)
    sides: dict[str, list[int]] = field(default_factory=dict)
    """`chosen`, `rejected` or `completion` -> tokens of prompt and completion together, by row"""
    cut: int = 0
    """Rows with a side longer than `max_length`: they lose their end and the end-of-text token"""
    dropped: int = 0
    """Rows whose prompt alone fills `max_length`: the trainer drops them"""
    identical: int = 0
    """Other pairs whose two sides are the same tokens once cut: they have no gradient"""
    trimmed: int = 0
    """Rows with a side that the chat template does not render word for word"""
    endless: int = 0
    """Rows with a side after which the chat template puts no end token"""
    merged: int = 0
    """Rows of strings whose prompt's last token changes when a side follows it"""

    def longest(self, quantile: float) -> int:
        """A quantile of the longer side of each row, in tokens."""
        longer = np.max([self.sides[side] for side in self.sides], axis=0)
        return int(np.quantile(longer, quantile))


def measure(rows: Iterable[Row], tokenizer: Any, max_length: int, batch: int = 64) -> Lengths:
    """Tokenise rows (prompt; chosen and rejected, or completion) as the trainers do."""
    lengths = Lengths()
    stream = iter(rows)
    while chunk := list(islice(stream, batch)):
        _measure(chunk, tokenizer, max_length, lengths)
    return lengths


def _measure(rows: list[Row], tokenizer: Any, max_length: int, lengths: Lengths) -> None:
    sides = [side for side in _SIDES if side in rows[0]]
    plain = isinstance(rows[0]["prompt"], str)
    prompts = _encode(tokenizer, [_text(tokenizer, row["prompt"]) for row in rows], plain)
    texts = {s: [_text(tokenizer, row["prompt"], row[s]) for row in rows] for s in sides}
    tokens = {side: _encode(tokenizer, texts[side], plain) for side in sides}
    for index, row in enumerate(rows):
        ids = [tokens[side][index] for side in sides]
        lengths.prompt.append(len(prompts[index]))
        for side in sides:
            lengths.sides.setdefault(side, []).append(len(tokens[side][index]))
        if len(prompts[index]) >= max_length:
            lengths.dropped += 1
        else:
            lengths.cut += max(map(len, ids)) > max_length
            lengths.identical += len(ids) == 2 and ids[0][:max_length] == ids[1][:max_length]
        lengths.merged += plain and any(i[: len(prompts[index])] != prompts[index] for i in ids)
        rendered = [(_content(row[side]), texts[side][index]) for side in sides]
        lengths.trimmed += any(completion not in text for completion, text in rendered)
        lengths.endless += any(text.endswith(completion) for completion, text in rendered)


def _content(messages: Any) -> str:
    """The text of a completion: a string, or the last message of a list."""
    return messages if isinstance(messages, str) else str(messages[-1]["content"])


def as_messages(row: Row) -> Row:
    """A row of strings as messages, for a chat template."""
    roles = dict.fromkeys(_SIDES, "assistant") | {"prompt": "user"}
    return {key: [{"role": roles[key], "content": text}] for key, text in row.items()}


def _text(tokenizer: Any, prompt: Any, completion: Any = None) -> str:
    """What the model reads: joined strings and the end token, or messages through the template."""
    if isinstance(prompt, str):
        return prompt if completion is None else prompt + completion + tokenizer.eos_token
    messages = prompt if completion is None else prompt + completion
    return str(
        tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=completion is None
        )
    )


def _encode(tokenizer: Any, texts: list[str], plain: bool) -> list[list[int]]:
    """Token ids; a chat template writes the begin-of-text token itself."""
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=plain)["input_ids"]
    return ids


def with_progress(rows: Any, title: str, console: Any) -> Iterator[Row]:
    """The rows, with a progress bar and the time left on the console."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeLeft())
    with Progress(*columns, console=console, transient=True) as progress:
        yield from progress.track(rows, total=len(rows))
