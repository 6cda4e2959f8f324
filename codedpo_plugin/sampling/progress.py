"""Progress while sampling: rate, tokens, retries, cost, time left."""

import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from codedpo_plugin.sampling.types import Usage

_LINE = 15.0  # seconds between two lines of progress if the output is not a terminal
_REASONS = 4  # shown of each kind


class Watching:
    """A progress bar, or a line now and then if the output is not a terminal; used as `watch`."""

    def __init__(self, console: Console, label: str) -> None:
        self._console, self._label = console, label
        self._started = self._printed = time.monotonic()
        self._shown_notices = 0
        self.usage = Usage()
        self._bar = Progress(
            TextColumn("{task.description:>8}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("prompts"),
            TextColumn("{task.fields[usage]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(label, total=None, usage="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self.usage.calls or self.usage.failed or self.usage.refused:
            self._console.print(f"{self._label}: {self._line()}", markup=False)

    def __call__(self, usage: Usage) -> None:
        """Show the usage so far."""
        self.usage = usage
        line = self._line()
        self._bar.update(self._task, completed=usage.done, total=usage.prompts, usage=line)
        for notice in usage.notices[self._shown_notices :]:
            self._console.print(f"{self._label}: {notice}", style="yellow", markup=False)
        self._shown_notices = len(usage.notices)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._printed > _LINE:
            self._printed = now
            self._console.print(
                f"{self._label}: {usage.done:,}/{usage.prompts:,} prompts, {line}", markup=False
            )

    def _line(self) -> str:
        usage = self.usage
        rate = usage.samples / max(time.monotonic() - self._started, 1e-9)
        parts = [f"{usage.samples:,} samples ({rate:,.1f}/s)"]
        if usage.cached:
            parts.append(f"{usage.cached:,} cached")
        parts.append(f"{usage.calls:,} requests, {usage.concurrency} samples at a time")
        parts.append(f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens")
        if usage.spent:
            parts.append(f"cost {usage.spent:,.2f}")
        for name, counts in (
            ("retries", usage.retries),
            ("given up", usage.failed),
            ("prompts refused", usage.refused),
            ("incomplete samples", usage.defects),
        ):
            if counts:
                parts.append(f"{name}: {_listed(counts)}")
        return "; ".join(parts)


def _listed(counts: Counter[str]) -> str:
    """The most frequent reasons, and how many have others."""
    shown = counts.most_common(_REASONS)
    reasons = [f"{why} {n:,}" for why, n in shown]
    if others := counts.total() - sum(n for _, n in shown):
        reasons.append(f"other reasons {others:,}")
    return ", ".join(reasons)
