"""Run jobs (a program with a cell) in worker processes: fork, lock, run, wait, kill, read results.

`Runner` is plain Python. `NativeRunner` does the same in C (`native/`) with a third of the page
faults, if it could be compiled. Both give the same replies, except for CPU seconds.
"""

import builtins
import fcntl
import functools
import importlib
import os
import signal
import time
import types
from typing import Any

from codedpo_plugin.sandbox import lockdown
from codedpo_plugin.sandbox.cells import (
    Cell,
    allow_frames,
    define,
    error_record,
    run_cell,
    values_record,
)
from codedpo_plugin.sandbox.process_tools import cpu_seconds, fork, keep_only, wait
from codedpo_plugin.sandbox.protocol import (
    CPU_LIMIT,
    ENDED,
    LENGTH,
    NO_MEMORY,
    SHARED_WORKER_SECONDS,
    WALL_LIMIT,
    kernel_cpu_limit,
    pack,
    wall_limit,
)

native: Any
try:
    native = importlib.import_module("codedpo_plugin.sandbox._runner")
except ImportError:  # there was no compiler
    native = None

Job = tuple[int, int]  # program, cell
Program = types.CodeType | types.ModuleType  # to be run in each worker; or run already

CHILD = [signal.SIGCHLD]


class Runner:
    """Runs jobs and writes replies: frames (see `protocol`) with the records of the workers.

    Records are read when the worker has ended, from a file that is emptied for each worker. They
    are not trusted.
    """

    def __init__(self, results: int, replies: int, settings: dict[str, Any]) -> None:
        self.results, self.replies, self.settings = results, replies, settings
        self.started = os.pipe()  # a worker writes a byte when it is locked
        os.set_blocking(self.started[0], False)

    def run(
        self,
        programs: list[Program],
        cells: list[Cell],
        jobs: list[Job],
        per_worker: int,
        spent: list[float],
    ) -> tuple[int, bool]:
        """Run jobs from the front, `per_worker` in one worker process, and reply to those done.

        Stops after a worker that had several jobs, after a job that was killed at a limit, and when
        a program has used more than `budget` CPU seconds. When a shared worker dies, the job it was
        running counts as done if it hung, or was the first; otherwise the effects of others may
        have killed it, and it becomes the first of the remaining jobs.

        Args:
            programs: see `Program`.
            cells: compiled cells.
            jobs: what to run; jobs of one program are adjacent.
            per_worker: jobs in one worker process.
            spent: CPU seconds that each program has used in this request; updated.

        Returns:
            How many jobs are done, and whether the last one was killed at a limit.
        """
        done = 0
        while done < len(jobs):
            some = jobs[done : done + per_worker]
            status, number, seconds, texts = self._run_worker(programs, cells, some)
            died = len(texts) < len(some) and bool(status or not texts)
            each = seconds / (len(texts) + died)
            frames = [
                pack(ENDED, *job, seconds=each, record=text)
                for job, text in zip(some, texts, strict=False)
            ]
            if died:
                frames.append(pack(status, *some[len(texts)], number, each))
            write(self.replies, frames)
            for program, _ in some[: len(texts) + died]:
                spent[program] += each
            done += len(texts) + died
            if status or per_worker > 1 or spent[some[0][0]] > self.settings["budget"]:
                return done, bool(status)
        return done, False

    def _run_worker(
        self, programs: list[Program], cells: list[Cell], jobs: list[Job]
    ) -> tuple[int, int, float, list[bytes]]:
        """Fork a worker; when it has ended: status, wait status, CPU seconds and records."""
        os.ftruncate(self.results, 0)
        os.lseek(self.results, 0, os.SEEK_SET)
        for shared in (0, 1, 2, self.results):  # no worker sees what another has set
            fcntl.fcntl(shared, fcntl.F_SETFL, 0)
        me = os.getpid()
        pid = fork()
        if pid == 0:
            try:
                self._be_worker(programs, cells, jobs, me)
            finally:
                os._exit(0)
        status, number, seconds = self._await(pid, len(jobs))
        if not self._was_locked():
            os._exit(4)
        clean(self.settings["scratch"])
        return status, number, seconds, _records(self.results, len(jobs))

    def _be_worker(
        self, programs: list[Program], cells: list[Cell], jobs: list[Job], parent: int
    ) -> None:
        """Lock this process, run the jobs, write a record for each."""
        lockdown.die_with_parent(parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CHILD)
        keep_only(self.results, self.started[1])
        file_bytes = self.settings["file_bytes"]
        cpu_limit = self._cpu_limit(len(jobs))
        lockdown.lock_worker(self.settings["memory_bytes"], cpu_limit, file_bytes)
        os.write(self.started[1], b".")
        os.close(self.started[1])
        allow_frames(4)  # run_cell, _guarded, run, exec
        offset, current = 0, -1
        for program, cell in jobs:
            if program != current:
                module, broken = define(programs[program])
                current = program
            text = broken or run_cell(cells[cell], module.__dict__)
            if offset and text.startswith(NO_MEMORY):
                return  # perhaps because of other jobs' garbage: again, first in a new worker
            offset += os.pwrite(self.results, LENGTH.pack(len(text)) + text, offset)
            if offset > file_bytes // 4 or time.thread_time() > SHARED_WORKER_SECONDS:
                return  # a new worker continues, with an empty file

    def _cpu_limit(self, jobs: int) -> int:
        """CPU seconds after which the kernel kills a worker."""
        return kernel_cpu_limit(self.settings["seconds"], jobs)

    def _was_locked(self) -> bool:
        """Whether the last worker was locked; if not, the machine failed, not the solution."""
        try:
            return os.read(self.started[0], 2) == b"."
        except BlockingIOError:
            return False

    def _await(self, pid: int, jobs: int) -> tuple[int, int, float]:
        """Wait for a worker; kill it when a job has reached its CPU or wall-clock limit.

        The CPU clock decides, so that a busy machine is no reason to fail. The worker is observed
        several times within the limit, to see which job it is running: each job that ends makes the
        results file grow, and as many as there are jobs can do so.

        Returns:
            Status, wait status, CPU seconds.
        """
        limit, status = self.settings["seconds"], ENDED
        last = self._cpu_limit(jobs)
        written, used_before, since = 0, 0.0, time.monotonic()
        pause = limit
        while True:
            done, number, usage = wait(pid, max(pause, 0.005))
            if not done:
                used, now = cpu_seconds(pid), time.monotonic()
                pause = limit / 4
                if jobs and (size := os.fstat(self.results).st_size) != written:
                    written, used_before, since, jobs = size, used, now, jobs - 1
                    continue
                spent = used - used_before
                if spent < limit and now - since < wall_limit(limit, spent):
                    continue
                status = CPU_LIMIT if spent >= limit else WALL_LIMIT
                os.kill(pid, signal.SIGKILL)
                _, number, usage = os.wait4(pid, 0)
            seconds = usage.ru_utime + usage.ru_stime
            if number == signal.SIGKILL and status == ENDED and seconds > last:
                status = CPU_LIMIT  # the kernel was quicker
            return status, number, seconds


class NativeRunner:
    """The same in C; one in a process, as its settings are global to the C module."""

    def __init__(self, results: int, replies: int, settings: dict[str, Any]) -> None:
        self.settings = settings
        native.configure(
            results,
            replies,
            os.pipe2(os.O_NONBLOCK),
            os.open(settings["scratch"], os.O_RDONLY | os.O_DIRECTORY),
            settings["memory"],
            settings["memory_bytes"],
            settings["file_bytes"],
            *lockdown.worker_filter(),
            run_cell,
            values_record,
            error_record,
            functools.partial(clean, settings["scratch"]),
            vars(builtins),
        )

    def run(
        self,
        programs: list[Program],
        cells: list[Cell],
        jobs: list[Job],
        per_worker: int,
        spent: list[float],
    ) -> tuple[int, bool]:
        """See `Runner.run`; replies may be delayed by a tenth of a second."""
        allow_frames(5)  # run_cell, _guarded, run, exec, and the C function
        ran: tuple[int, bool] = native.run(
            programs,
            [(cell.plain_calls, cell) for cell in cells],
            jobs,
            per_worker,
            self.settings["seconds"],
            spent,
            self.settings["budget"],
            not self.settings["careful"],
        )
        return ran


def _records(results: int, most: int) -> list[bytes]:
    """The records in the results file, at most `most`; the file is not trusted."""
    size = os.fstat(results).st_size
    data = os.pread(results, size, 0)
    texts: list[bytes] = []
    offset = 0
    while offset + LENGTH.size <= size and len(texts) < most:
        (length,) = LENGTH.unpack_from(data, offset)
        offset += LENGTH.size
        if offset + length > size:
            break
        texts.append(data[offset : offset + length])
        offset += length
    return texts if offset == size or most > 1 else []


def clean(scratch: str) -> None:
    """Empty the scratch folder, so that no worker sees what another has written.

    Folders in folders are moved up first: they can be nested deeper than Python recurses, and for
    Landlock each level costs more than the last.
    """
    os.chdir(scratch)
    while entries := list(os.scandir()):
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                continue
            for inner in list(os.scandir(entry.path)):
                if inner.is_dir(follow_symlinks=False):
                    _move_up(inner.path)
                else:
                    os.unlink(inner.path)
            os.rmdir(entry.path)


def _move_up(folder: str) -> None:
    try:
        os.rename(folder, os.urandom(8).hex())
    except OSError:  # before ABI 2, Landlock lets nothing move to another folder
        import shutil

        shutil.rmtree(folder)


def write(replies: int, frames: list[bytes]) -> None:
    """Send replies."""
    data = memoryview(b"".join(frames))
    while data:
        data = data[os.write(replies, data) :]
