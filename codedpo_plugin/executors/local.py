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

_TRIES = 3  # of one shard, when the machine (not the user's input) failed
_HOPELESS = 8  # shards that raise, and none that is made: the others are not tried
_SHOWN = 10  # failed shards in a message
_CELLS = 1021  # counters of problems, one for each worker
LOOK = 0.25  # seconds between two looks at the progress
KILLED = (
    f"its worker was killed {_TRIES} times, most likely for lack of memory; use fewer workers "
    "(`--set workers=N`) or a lower `execute.memory_mb`"
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
        # No lock: a worker that is killed while it holds one would stop all others for good.
        self._ticks = self._context.RawArray("q", _CELLS)
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
        """Call `work(shard, tick)` for every shard. `done` of `total` problems were done before.

        Args:
            work: makes one shard, and calls `tick` for each of its problems.
            shards: those to be made.
            label: of what is shown.
            done: problems.
            total: problems.
            state: told of all this.
            at_once: shards at a time, if fewer than there are workers.

        Raises:
            InputError: as a shard raised it; finished shards are kept.
            InfrastructureError: shards failed again and again, all others were done; or nothing
                can be written, and the work was stopped.
        """
        if not shards:
            return
        with Progress(self._console, label, done, total) as progress:
            before = sum(self._ticks)
            batch = Batch[Future[None]](shards, state)
            while batch.goes_on():
                self._fill(batch, work, min(self.workers, at_once or self.workers))
                finished, _ = wait(batch.running, LOOK, FIRST_COMPLETED)
                progress.update(done + sum(self._ticks) - before)
                for future in finished:
                    died = isinstance(future.exception(), BrokenProcessPool)
                    batch.ended(future, future.exception(), KILLED if died else None)
                    if died:
                        self._executor = None
        batch.raise_failures(label)

    def _fill(self, batch: "Batch[Future[None]]", work: Work, at_once: int) -> None:
        """Give the workers what is next."""
        # When a worker dies, all that ran are suspects. Each runs alone then: if its worker dies
        # again, it is to blame.
        if batch.suspects and not batch.running:
            shard = batch.suspects.popleft()
            batch.running[self._submit(work, shard)] = shard, True
        while batch.waiting and not batch.suspects and len(batch.running) < at_once:
            shard = batch.waiting.popleft()
            batch.running[self._submit(work, shard)] = shard, False

    def _submit(self, work: Work, shard: Shard) -> "Future[None]":
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self.workers, self._context, initializer=_start_worker, initargs=(self._ticks,)
            )
        return self._executor.submit(_work, work, shard)


class Batch(Generic[Ticket]):
    """The shards of one call: what waits, what runs, and what became of it."""

    def __init__(self, shards: Sequence[Shard], state: State | None) -> None:
        self.waiting, self.suspects = deque(shards), deque[Shard]()
        self.running: dict[Ticket, tuple[Shard, bool]] = {}
        """What stands for a running shard -> the shard, and whether nothing else can be to blame
        if its worker dies."""
        self._shards, self._made, self._state = len(shards), 0, state
        self._tries: Counter[Shard] = Counter()
        self._failures: dict[Shard, str] = {}
        self._errors: dict[Shard, str] = {}  # of the first try, too

    def goes_on(self) -> bool:
        """Whether anything is left to do; tells the state file how far it is."""
        if self._state:
            running = sorted(shard for shard, _ in self.running.values())
            self._state.tell(now=False, running=running, failed=self._failures)
        if not self._made and len(self._errors) >= max(_HOPELESS, 2 * len(self.running)):
            self._failures |= self._errors
            return False
        return bool(self.waiting or self.suspects or self.running)

    def ended(self, ticket: Ticket, error: BaseException | None, killed: str | None) -> None:
        """Take note of how a shard ended; `killed` says so if its worker died.

        Raises:
            InputError, StorageError: all other shards would fail too.
        """
        shard, alone = self.running.pop(ticket)
        if error is None:
            self._made += 1
            if self._state:
                self._state.made(shard)
        elif killed:
            self._again(shard, self.suspects, alone, killed)
        elif isinstance(error, InputError | StorageError) or not isinstance(error, Exception):
            raise error
        elif isinstance(error, DamageError):
            self._failures[shard] = str(error)
        else:
            ours = isinstance(error, InfrastructureError) and str(error)
            why = str(error) if ours else f"{type(error).__name__}: {error}"
            self._errors[shard] = why
            self._again(shard, self.waiting, True, why)

    def _again(self, shard: Shard, queue: deque[Shard], counts: bool, why: str) -> None:
        """Try a shard again, unless it was tried often enough."""
        self._tries[shard] += counts
        if self._tries[shard] < _TRIES:
            queue.append(shard)
        else:
            self._failures[shard] = why

    def raise_failures(self, label: str) -> None:
        """Report the shards that failed for good.

        Raises:
            InfrastructureError: there are any.
        """
        if self._failures:
            lines = [f"  shard {shard}: {why}" for shard, why in self._failures.items()]
            more = [f"  and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else []
            others = "the others are kept" if self._made else "none was made, the work was stopped"
            raise InfrastructureError(
                f"{label}: {len(lines)} of {self._shards} shards failed; {others}. "
                "Run the same command to try them again.\n" + "\n".join(lines[:_SHOWN] + more)
            )


_worker_ticks: Any = None


def _start_worker(ticks: Any) -> None:
    """In a new worker: take the counters, and die with the parent, even when that is killed."""
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
    _worker_ticks[os.getpid() % _CELLS] += 1
