"""Progress of a running stage: a bar on the terminal, and a small file for `codedpo status`."""

import json
import os
import socket
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from codedpo_plugin.run_folder import files

FOLDER = "state"
_LINE = 15.0  # seconds between two lines of progress if the output is not a terminal
_FILE = 2.0  # seconds between two versions of a state file

Size = Callable[[int], int]  # problems of a shard


class State:
    """Progress of a stage for other processes to read, in `RUN/state/STAGE.I-of-N.json`.

    | key | meaning |
    |---|---|
    | `stage`, `part` | which, and [i, n] of `--shard i/n` |
    | `phase` | `waiting`, `running`, `done` or `failed` |
    | `shards`, `shards_done`, `problems`, `problems_done` | of this part |
    | `made`, `seconds` | problems finished by this process, and its seconds |
    | `running` | shards being made |
    | `failed` | shard -> reason |
    | `error` | what ended the stage, or null |
    | `updated`, `host`, `pid` | Unix time of the last update, and the process that wrote it |

    The file is replaced every two seconds. Failing to write it does not stop the work.
    """

    def __init__(self, run: Path, stage: str, part: tuple[int, int]) -> None:
        self._path = run / FOLDER / f"{stage}.{part[0]}-of-{part[1]}.json"
        self._started = self._written = time.monotonic()
        self._before = 0
        self._size: Size = lambda _: 0
        self._facts: dict[str, Any] = {
            "stage": stage,
            "part": list(part),
            "phase": "waiting",
            "shards": 0,
            "shards_done": 0,
            "problems": 0,
            "problems_done": 0,
            "made": 0,
            "running": [],
            "failed": {},
            "error": None,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }

    def update(self, *, now: bool = True, **facts: Any) -> None:
        """Change values; write the file `now`, or when two seconds have passed."""
        self._facts |= facts
        if now or time.monotonic() - self._written > _FILE:
            self._write()

    def plan(self, shards: Collection[int], missing: Collection[int], size: Size) -> None:
        """Set the amount of work: `missing` of the shards, with `size(shard)` problems each."""
        problems = sum(map(size, shards))
        left = sum(map(size, missing))
        self._size, self._before = size, problems - left
        self.update(
            shards=len(shards),
            shards_done=len(shards) - len(missing),
            problems=problems,
            problems_done=problems - left,
        )

    def made(self, shard: int) -> None:
        """Count a shard that is finished."""
        self._facts["shards_done"] += 1
        self._facts["problems_done"] += self._size(shard)

    @property
    def problems_done(self) -> int:
        """Problems in finished shards."""
        return int(self._facts["problems_done"])

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self.update(phase="running")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        why = None if error is None else str(error) or repr(error)
        self.update(phase="failed" if why else "done", running=[], error=why)

    def _write(self) -> None:
        self._written = time.monotonic()
        made = self._facts["problems_done"] - self._before
        seconds = self._written - self._started
        self._facts |= {"made": made, "seconds": seconds, "updated": time.time()}
        with suppress(OSError), files.replacing(self._path) as file:
            file.write(json.dumps(self._facts).encode())


class Progress:
    """A bar with rate and time left, or a line every 15 seconds if the output is not a terminal."""

    def __init__(self, console: Console, label: str, done: int, total: int | None) -> None:
        self._console, self._label, self._total = console, label, total
        self._before = self._done = done
        self._started = self._printed = time.monotonic()
        self._bar = Bar(
            TextColumn("{task.description:>8}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("problems"),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(label, total=total, completed=done, before=done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self.update(self._total or self._done, last=True)
        self._bar.stop()

    def update(self, done: int, last: bool = False) -> None:
        """Show the number of finished problems."""
        total = self._total
        self._done = done = done if total is None else min(done, total)
        self._bar.update(self._task, completed=done)
        now = time.monotonic()
        if not self._console.is_terminal and (last or now - self._printed > _LINE):
            self._printed = now
            rate = (done - self._before) / max(now - self._started, 1e-9)
            of = "" if total is None else f"/{total}"
            left = f", {(total - done) / rate:.0f} s left" if total and rate and not last else ""
            self._console.print(f"{self._label}: {done}{of} problems, {rate:.1f} problems/s{left}")


class _Rate(ProgressColumn):
    """Problems per second of this run, not counting those finished before."""

    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0.0
        made = task.completed - task.fields["before"]
        return Text(f"{made / elapsed:.1f}/s" if elapsed and made > 0 else "-/s")
