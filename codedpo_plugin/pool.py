"""A pool of worker processes that loses nothing when one of them is killed."""

import multiprocessing
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from codedpo_plugin.errors import InfrastructureError, InputError

_TRIES = 3  # of one shard whose worker was killed
_LOOK = 0.25  # seconds between two looks at the progress
_LINE = 15.0  # seconds between two lines of progress where the output is no terminal

Shard = int
Work = Callable[[Shard, Callable[[], None]], None]  # (shard, tick): make one shard


class Pool:
    """Makes shards in fresh processes (never forks of this one), with progress by problem."""

    def __init__(self, workers: int | None, console: Console) -> None:
        self.workers = workers or usable_cores()
        self._console = console
        self._context = multiprocessing.get_context("spawn")
        self._ticks = self._context.Value("q", 0)
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._executor:
            if kind is not None:
                for process in multiprocessing.active_children():
                    process.kill()
            self._executor.shutdown(cancel_futures=True)

    def run(self, work: Work, shards: Sequence[Shard], label: str, done: int, total: int) -> None:
        """Call `work(shard, tick)` for every shard. `done` of `total` problems were done before.

        Raises:
            InputError: as a shard raised it; finished shards are kept.
            InfrastructureError: shards failed, all others were done.
        """
        if not shards:
            return
        with Shown(self._console, label, done, total) as progress:
            self._ticks.value = 0
            failures = self._run_all(work, shards, progress, done)
        if failures:
            lines = "\n".join(f"  shard {shard}: {error}" for shard, error in failures)
            raise InfrastructureError(
                f"{label}: {len(failures)} of {len(shards)} shards failed; the others are kept. "
                f"Run the same command to try them again.\n{lines}"
            )

    def _run_all(
        self, work: Work, shards: Sequence[Shard], progress: "Shown", done: int
    ) -> list[tuple[Shard, Exception]]:
        """Make the shards, again where a worker was killed; return those that failed for good."""
        failures: list[tuple[Shard, Exception]] = []
        waiting, suspects = deque(shards), deque[Shard]()
        running: dict[Future[None], tuple[Shard, bool]] = {}
        deaths: Counter[Shard] = Counter()
        while waiting or suspects or running:
            # When a worker dies, all that ran are suspects. Each runs alone then: if its worker
            # dies again, it is to blame.
            if suspects and not running:
                shard = suspects.popleft()
                running[self._submit(work, shard)] = shard, True
            while waiting and not suspects and len(running) < self.workers:
                shard = waiting.popleft()
                running[self._submit(work, shard)] = shard, False
            finished, _ = wait(running, _LOOK, FIRST_COMPLETED)
            progress.update(done + self._ticks.value)
            for future in finished:
                shard, alone = running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    self._executor = None
                    deaths[shard] += alone
                    if deaths[shard] < _TRIES:
                        suspects.append(shard)
                        continue
                if isinstance(error, InputError) or not isinstance(error, Exception | None):
                    raise error
                if error:
                    failures.append((shard, error))
        return failures

    def _submit(self, work: Work, shard: Shard) -> "Future[None]":
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self.workers, self._context, initializer=_start_worker, initargs=(self._ticks,)
            )
        return self._executor.submit(_work, work, shard)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_worker_ticks: Any = None


def _start_worker(ticks: Any) -> None:
    """In a new worker: take the counter, and die with the parent, even when that is killed."""
    global _worker_ticks
    _worker_ticks = ticks
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _work(work: Work, shard: Shard) -> None:
    work(shard, _tick)


def _tick() -> None:
    with _worker_ticks.get_lock():
        _worker_ticks.value += 1


class Shown:
    """A bar with rate and time left; a line now and then where the output is no terminal."""

    def __init__(self, console: Console, label: str, done: int, total: int) -> None:
        self._console, self._label, self._before, self._total = console, label, done, total
        self._started = self._printed = time.monotonic()
        self._bar = Progress(
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
            self.update(self._total, last=True)
        self._bar.stop()

    def update(self, done: int, last: bool = False) -> None:
        """Show that so many problems are done."""
        done = min(done, self._total)
        self._bar.update(self._task, completed=done)
        now = time.monotonic()
        if not self._console.is_terminal and (last or now - self._printed > _LINE):
            self._printed = now
            rate = (done - self._before) / max(now - self._started, 1e-9)
            left = f", {(self._total - done) / rate:.0f} s left" if rate and not last else ""
            self._console.print(
                f"{self._label}: {done}/{self._total} problems, {rate:.1f} problems/s{left}"
            )


class _Rate(ProgressColumn):
    """Problems per second of this run, without those done before."""

    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0.0
        made = task.completed - task.fields["before"]
        return Text(f"{made / elapsed:.1f}/s" if elapsed and made > 0 else "-/s")
