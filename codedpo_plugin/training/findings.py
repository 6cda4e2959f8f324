"""What a check reports."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "ok"]


@dataclass(frozen=True)
class Finding:
    """One line of a check's report."""

    level: Level
    about: str
    """The part of the recipe: `keys`, `output`, `data`, `batch`, `model`, `template`, `tokens`."""
    message: str
