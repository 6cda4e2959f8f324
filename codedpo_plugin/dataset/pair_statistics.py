"""Lengths and speed ratios of the pairs of an exported dataset, in bounded memory."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SAMPLE = 5000


class Sample:
    """A uniform random sample of at most 5,000 of the numbers added (reservoir sampling)."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.seen = 0
        self._random = random.Random(0)

    def add(self, value: float) -> None:
        """Add one number."""
        self.seen += 1
        if len(self.values) < _SAMPLE:
            self.values.append(value)
        elif (slot := self._random.randrange(self.seen)) < _SAMPLE:
            self.values[slot] = value


@dataclass
class PairNumbers:
    """Samples of the lengths and speed ratios of a dataset's pairs."""

    chosen: Sample = field(default_factory=Sample)
    """Characters of the chosen text, correctness pairs."""
    rejected: Sample = field(default_factory=Sample)
    """Characters of the rejected text, correctness pairs."""
    shorter_chosen: float = 0.0
    """Correctness pairs whose chosen text is the shorter one; equal lengths count half."""
    ratios: Sample = field(default_factory=Sample)
    """Seconds of rejected / seconds of chosen, efficiency pairs."""


def read_pairs(dpo: Path) -> PairNumbers:
    """Read the `*.jsonl` of an exported `dpo` config; memory is bounded."""
    numbers = PairNumbers()
    for path in sorted(dpo.glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                _count_pair(json.loads(line), numbers)
    return numbers


def _count_pair(row: Mapping[str, Any], numbers: PairNumbers) -> None:
    if row["kind"] == "efficiency":
        if row["chosen_seconds"] and row["rejected_seconds"]:
            numbers.ratios.add(row["rejected_seconds"] / row["chosen_seconds"])
        return
    chosen, rejected = _characters(row["chosen"]), _characters(row["rejected"])
    numbers.chosen.add(chosen)
    numbers.rejected.add(rejected)
    numbers.shorter_chosen += 0.5 if chosen == rejected else float(chosen < rejected)


def _characters(completion: Any) -> int:
    """Characters of a string, or of a message list's contents."""
    if isinstance(completion, str):
        return len(completion)
    return sum(len(message["content"]) for message in completion)
