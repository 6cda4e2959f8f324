"""The fork server: reads requests, compiles programs and cells, and decides which cells may share a
worker process; `runner` runs them.

Runs in the zygote's children, so it needs the standard library and this package only.
"""

import contextlib
import gc
import itertools
import marshal
import resource
import signal
import time
import types
from collections.abc import Callable, Iterable
from typing import Any

from codedpo_plugin.sandbox import lockdown, purity, race
from codedpo_plugin.sandbox.cells import Cell, define
from codedpo_plugin.sandbox.process_tools import LINUX, read_exactly
from codedpo_plugin.sandbox.protocol import ENDED, ERROR, LENGTH, NOT_RUN, pack
from codedpo_plugin.sandbox.runner import CHILD, Job, NativeRunner, Runner, write

_REQUESTS = 16  # that one fork server carries out, unless a request needs ...
_MANY_WORKERS = 50  # ... more workers than this: forks are cheapest from a fresh process
_COMPILE_SECONDS = 2  # CPU time, at most, to compile a program or a cell
_COMPILE_BYTES = 256 << 20  # that a fork server may grow by

# Imported by the fork server if a program names them: in each worker that would cost more than the
# fork.
_ON_DEMAND = frozenset(
    "array base64 calendar cmath csv dataclasses decimal difflib fractions hashlib inspect json "
    "numbers pprint statistics struct textwrap traceback unicodedata urllib.parse uuid zlib "
    "zoneinfo".split()
)


def serve(requests: int, replies: int, results: int, settings: dict[str, Any]) -> None:
    """Carry out some requests; a new process follows, in which nothing has accumulated.

    Args:
        requests: descriptor of the pipe from the client.
        replies: descriptor of the pipe to the client.
        results: descriptor of the file that worker processes write.
        settings: see `zygote.main`.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, CHILD)
    lockdown.limit(resource.RLIMIT_AS, settings["server_bytes"], resource.RLIM_INFINITY)
    kind = NativeRunner if settings["native"] else Runner
    runner = kind(results, replies, settings)
    for _ in range(_REQUESTS):
        size = LENGTH.unpack(read_exactly(requests, LENGTH.size))[0]
        request = marshal.loads(read_exactly(requests, size))
        if "race" in request:
            race.serve(request, requests, lambda text: write(replies, [pack(record=text)]))
            return
        runner.settings = settings | request
        if _Request(request, runner).carry_out(settings["share"]) > _MANY_WORKERS:
            return


def memory_limit() -> int:
    """Address space that fork servers of this process may have, in bytes."""
    if not LINUX:
        return 1 << 40
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize() + _COMPILE_BYTES


class _Request:
    """Runs every program of a request with every cell: a job is a program and a cell."""

    def __init__(self, request: dict[str, Any], runner: Runner | NativeRunner) -> None:
        self.runner, self.settings = runner, runner.settings
        self.programs: list[Any] = [_limited(_compiled, one) for one in request["programs"]]
        self.cells = [_limited(Cell, cell) for cell in request["cells"]]
        self.pure_cells = [n for n, cell in enumerate(self.cells) if _prepare_sharing(cell)]
        self.timeouts = [0] * len(self.programs)
        self.spent = [0.0] * len(self.programs)  # CPU seconds

    def carry_out(self, share: str) -> int:
        """Run all jobs; how many could not share a worker with those of other programs."""
        for index, program in enumerate(self.programs):
            if isinstance(program, bytes):
                self._reply([(index, n) for n in range(len(self.cells))], ENDED, program)
        together = self._harmless_jobs() if share == "proved" else []
        self._run(together, len(together))
        shared = set(together)
        apart = [
            (index, n)
            for index, program in enumerate(self.programs)
            if isinstance(program, types.CodeType)
            for n in range(len(self.cells))
            if (index, n) not in shared
        ]
        if share == "solution":
            for _, group in itertools.groupby(apart, key=lambda job: job[0]):
                jobs = list(group)
                self._run(jobs, len(jobs))
        elif apart:
            self._run_alone(apart)
        return len(apart)

    def _harmless_jobs(self) -> list[Job]:
        """Jobs that are proved to leave nothing behind (see `purity`)."""
        jobs: list[Job] = []
        for index, program in enumerate(self.programs):
            if isinstance(program, types.CodeType) and purity.is_pure(program):
                names = purity.all_names(program)
                jobs += [
                    (index, n) for n in self.pure_cells if names.isdisjoint(self.cells[n].binds)
                ]
        return jobs

    def _run_alone(self, jobs: list[Job]) -> None:
        """Run each job in a worker of its own.

        A program that is harmless to define is defined here, once for all its workers.
        """
        indices = list(dict.fromkeys(index for index, _ in jobs))
        _import_what_is_named(self.programs[index] for index in indices)
        for index in indices:
            if not purity.is_inert(self.programs[index]):
                continue
            self.programs[index], broken = define(self.programs[index])
            if broken:
                self._reply([job for job in jobs if job[0] == index], ENDED, broken)
                jobs = [job for job in jobs if job[0] != index]
        gc.freeze()
        self._run(jobs, 1)

    def _run(self, jobs: list[Job], per_worker: int) -> None:
        """Run jobs, several in one worker, and skip those of programs that used up their limits."""
        while jobs:
            done, timed_out = self.runner.run(
                self.programs, self.cells, jobs, per_worker, self.spent
            )
            if timed_out:
                self.timeouts[jobs[done - 1][0]] += 1
            jobs = jobs[done:]
            if any(map(self._is_out, jobs)):
                self._reply([job for job in jobs if self._is_out(job)], NOT_RUN)
                jobs = [job for job in jobs if not self._is_out(job)]

    def _reply(self, jobs: list[Job], status: int, record: bytes = b"") -> None:
        """Send the same reply for jobs that need no worker."""
        write(self.settings["replies"], [pack(status, *job, record=record) for job in jobs])

    def _is_out(self, job: Job) -> bool:
        """Whether the job's program has used up its time-outs or its CPU time in this request."""
        late = self.timeouts[job[0]] >= int(self.settings["max_timeouts"])
        return late or self.spent[job[0]] > float(self.settings["budget"])


def _prepare_sharing(cell: Cell) -> bool:
    """Whether a cell leaves nothing behind, provided that the program keeps no state and the names
    that the cell binds are removed after it.
    """
    if purity.is_pure_snippet(cell.snippet):
        cell.binds = purity.bound_names(cell.snippet)
        return True
    return cell.arguments is not None or purity.are_pure_calls(cell.calls)


def _import_what_is_named(programs: Iterable[types.CodeType]) -> None:
    """Import the modules of `_ON_DEMAND` whose names programs use, most likely in imports."""
    for name in _ON_DEMAND & set[str]().union(*map(purity.all_names, programs)):
        with contextlib.suppress(Exception):
            __import__(name)


def _limited(compiled: Callable[[Any], Any], source: Any) -> Any:
    """Compile under a CPU limit: a few lines of nested `finally` can make gigabytes of code."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    lockdown.limit(resource.RLIMIT_CPU, int(time.process_time()) + _COMPILE_SECONDS, hard)
    done = compiled(source)
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
    return done


def _compiled(source: str) -> types.CodeType | bytes:
    """The code of a program, or the record of why there is none."""
    try:
        return compile(source, "<solution>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        text = f"{type(error).__name__}\n{error}"[:300]
        return ERROR + text.encode("utf-8", "replace")
