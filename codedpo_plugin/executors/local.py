"""A pool of worker processes that loses nothing when one of them is killed."""

import multiprocessing
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from rich.console import Console

from codedpo_plugin.errors import DamageError, InfrastructureError, InputError, StorageError
from codedpo_plugin.machine import usable_cores
from codedpo_plugin.run_folder.progress import Progress, State

_ATTEMPTS = 3  # at one shard, when the machine (not the user's input) failed
_HOPELESS = 8  # shards that fail before any succeeds: the others are not attempted
_LISTED = 10  # failed shards in a message
_COUNTERS = 1021  # of finished problems; a worker uses the one its process id maps to
POLL = 0.25  # seconds between two updates of the progress
KILLED = (
    f"its worker was killed {_ATTEMPTS} times, most likely because it ran out of memory; use "
    "fewer workers (`--set workers=N`) or a lower `execute.memory_mb`"
)

Ticket = TypeVar("Ticket")
Shard = int
Work = Callable[[Shard, Callable[[], None]], None]  # (shard, tick): make one shard


class Pool:
    """Makes shards in fresh processes (never forks of this one), with progress by problem."""

    def __init__(self, workers: int | None, console: Console) -> None:
        self.workers = workers or usable_cores()
        self._console = console
        self._context = multiprocessing.get_context("spawn")
        # No lock: a worker killed while holding it would block all others forever.
        self._ticks = self._context.RawArray("q", _COUNTERS)
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

    def run(
        self,
        work: Work,
        shards: Sequence[Shard],
        label: str,
        done: int,
        total: int,
        state: State | None = None,
        at_once: int | None = None,
    ) -> None:
        """Call `work(shard, tick)` for every shard.

        Args:
            work: makes one shard, and calls `tick` for each of its problems.
            shards: those to be made.
            label: of the progress bar.
            done: problems finished by earlier runs.
            total: problems, those included.
            state: records the progress for other processes.
            at_once: shards at a time, if fewer than workers.

        Raises:
            InputError: as a shard raised it; finished shards are kept.
            InfrastructureError: some shards failed repeatedly, all others were made; or nothing
                can be written, and the work was stopped.
        """
        if not shards:
            return
        with Progress(self._console, label, done, total) as progress:
            before = sum(self._ticks)
            batch = Batch[Future[None]](shards, state)
            while batch.advance():
                self._fill(batch, work, min(self.workers, at_once or self.workers))
                finished, _ = wait(batch.running, POLL, FIRST_COMPLETED)
                progress.update(done + sum(self._ticks) - before)
                for future in finished:
                    died = isinstance(future.exception(), BrokenProcessPool)
                    batch.finish(future, future.exception(), KILLED if died else None)
                    if died:
                        self._executor = None
        batch.raise_failures(label)

    def _fill(self, batch: "Batch[Future[None]]", work: Work, at_once: int) -> None:
        """Submit the next shards."""
        # When a worker dies, the pool breaks and every running shard is a suspect. Each then runs
        # alone: the one whose worker dies again is the cause.
        if batch.suspects and not batch.running:
            shard = batch.suspects.popleft()
            batch.running[self._submit(work, shard)] = shard, True
        while batch.waiting and not batch.suspects and len(batch.running) < at_once:
            shard = batch.waiting.popleft()
            batch.running[self._submit(work, shard)] = shard, False

    def _submit(self, work: Work, shard: Shard) -> "Future[None]":
        if self._executor is not None:
            try:
                return self._executor.submit(_work, work, shard)
            except BrokenProcessPool:
                pass  # a worker has died since the last look; the shards that ran will say so
        self._executor = ProcessPoolExecutor(
            self.workers, self._context, initializer=_start_worker, initargs=(self._ticks,)
        )
        return self._executor.submit(_work, work, shard)


class Batch(Generic[Ticket]):
    """The shards of one call: waiting, running, finished and failed ones."""

    def __init__(self, shards: Sequence[Shard], state: State | None) -> None:
        self.waiting, self.suspects = deque(shards), deque[Shard]()
        self.running: dict[Ticket, tuple[Shard, bool]] = {}
        """Handle of a running shard -> (the shard, whether it is the only possible cause if its
        worker dies)."""
        self._shards, self._made, self._state = len(shards), 0, state
        self._attempts: Counter[Shard] = Counter()
        self._failures: dict[Shard, str] = {}
        self._errors: dict[Shard, str] = {}  # also of shards that will be retried

    def advance(self) -> bool:
        """Whether there is work left; also updates the state file."""
        if self._state:
            running = sorted(shard for shard, _ in self.running.values())
            self._state.update(now=False, running=running, failed=self._failures)
        if not self._made and len(self._errors) >= max(_HOPELESS, 2 * len(self.running)):
            self._failures |= self._errors
            return False
        return bool(self.waiting or self.suspects or self.running)

    def finish(self, ticket: Ticket, error: BaseException | None, killed: str | None) -> None:
        """Record the end of a shard; `killed` is the message if its worker died, else None.

        Raises:
            InputError, StorageError: all other shards would fail too.
        """
        shard, alone = self.running.pop(ticket)
        if error is None:
            self._made += 1
            if self._state:
                self._state.made(shard)
        elif killed:
            self._retry(shard, self.suspects, alone, killed)
        elif isinstance(error, InputError | StorageError) or not isinstance(error, Exception):
            raise error
        elif isinstance(error, DamageError):
            self._failures[shard] = str(error)
        else:
            ours = isinstance(error, InfrastructureError) and str(error)
            why = str(error) if ours else f"{type(error).__name__}: {error}"
            self._errors[shard] = why
            self._retry(shard, self.waiting, True, why)

    def _retry(self, shard: Shard, queue: deque[Shard], counts: bool, why: str) -> None:
        """Queue a shard again, unless it has had all its attempts."""
        self._attempts[shard] += counts
        if self._attempts[shard] < _ATTEMPTS:
            queue.append(shard)
        else:
            self._failures[shard] = why

    def raise_failures(self, label: str) -> None:
        """Report the shards that failed every attempt.

        Raises:
            InfrastructureError: there are any.
        """
        if self._failures:
            lines = [f"  shard {shard}: {why}" for shard, why in self._failures.items()]
            more = [f"  and {len(lines) - _LISTED:,} more"] if len(lines) > _LISTED else []
            others = (
                "the others are kept" if self._made else "none was made, so the work was stopped"
            )
            raise InfrastructureError(
                f"{label}: {len(lines)} of {self._shards} shards failed; {others}. "
                "Run the same command to try them again.\n" + "\n".join(lines[:_LISTED] + more)
            )


_worker_ticks: Any = None


def _start_worker(ticks: Any) -> None:
    """In a new worker: keep the counters, and exit with the parent, even if that is killed."""
    global _worker_ticks
    _worker_ticks = ticks
    parent = multiprocessing.parent_process()

    def exit_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()


def _work(work: Work, shard: Shard) -> None:
    work(shard, _tick)


def _tick() -> None:
    _worker_ticks[os.getpid() % _COUNTERS] += 1
