"""The zygote: a small interpreter that locks itself, and forks a row process per request.

Run as a program by `codedpo_plugin.sandbox.client`, never imported. Three kinds of process:

- The *zygote* imports what solutions commonly need, gives up its rights, and then only forks. It
  never reads a request, so it stays small (a fork costs time per touched page) and clean.
- A *row process* reads one request (programs and cells), compiles them, forks a leaf per cell (or
  for all cells that cannot disturb each other, see `purity.py`), kills it at its limit, and
  replies as leaves end.
- A *leaf* runs untrusted code, and dies. See `cells.py`.

A reply is a header (`_HEADER`) and the leaf's record. Records are read when the leaf is dead, from
a file that each leaf writes anew; they are not trusted.
"""

import fcntl
import gc
import itertools
import json
import marshal
import os
import signal
import struct
import sys
import time
import types
from typing import Any

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))
from codedpo_plugin.sandbox import clocks, lockdown, purity
from codedpo_plugin.sandbox.cells import ERROR, Cell, allow_frames, run_cells
from codedpo_plugin.sandbox.leaf import cpu_clock, keep_only, read_exactly

Job = tuple[int, int]  # program, cell

_HEADER = struct.Struct("<BIIidI")  # status, program, cell, wait status, CPU seconds, length
_LENGTH = struct.Struct("<I")
_CHILD = [signal.SIGCHLD]
ENDED, CPU_LIMIT, WALL_LIMIT, NOT_RUN, BAD_SOURCE = range(5)
_LEAF_SECONDS = 1.0  # CPU time after which a shared leaf is followed by a new one
_NO_MEMORY = ERROR + b"MemoryError"
_PATIENCE = 1.0  # seconds that a job may wait beyond four times its CPU limit

_PRELOAD = (
    "bisect", "collections", "copy", "datetime", "functools", "heapq", "itertools", "math",
    "operator", "random", "re", "string", "typing",
)  # fmt: skip


def main() -> None:
    """Lock down, report the layers, and serve until the request pipe closes."""
    settings = json.loads(sys.argv[1])
    requests, replies = settings["requests"], settings["replies"]
    sys.path[:] = [p for p in sys.path[1:] if p] + settings["path"]
    for name in [name for name in sys.modules if name.startswith("codedpo_plugin")]:
        del sys.modules[name]  # it is no part of what a solution sees
    for name in _PRELOAD:
        __import__(name)
    sys.modules["random"].seed(settings["seed"])
    results = os.memfd_create("results") if hasattr(os, "memfd_create") else _temporary_file()
    os.chdir(settings["scratch"])
    layers = lockdown.lock_process(settings["scratch"], settings["path"])
    lockdown.die_with_parent(settings["parent"])
    _write(replies, [_pack(text=json.dumps(layers).encode())])
    sys.argv = [""]
    gc.collect()
    gc.freeze()
    _serve(requests, replies, results, settings)


def _temporary_file() -> int:
    import tempfile

    return os.dup(tempfile.TemporaryFile().fileno())


def _serve(requests: int, replies: int, results: int, settings: dict[str, Any]) -> None:
    """Fork a row process for each request; it reads the request itself."""
    import select

    me = os.getpid()
    while select.select([requests], [], []):
        pid = lockdown.fork()
        if pid == 0:
            lockdown.die_with_parent(me)
            try:
                _row(requests, replies, results, settings)
            except BaseException:
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status:  # the pipe has closed, or the row process broke: its request is lost with it
            os._exit(0)


def _row(requests: int, replies: int, results: int, settings: dict[str, Any]) -> None:
    """Read and carry out one request."""
    size = struct.unpack("<I", read_exactly(requests, 4))[0]
    request = marshal.loads(read_exactly(requests, size))
    signal.pthread_sigmask(signal.SIG_BLOCK, _CHILD)
    if "race" in request:
        clocks.serve(request, requests, lambda text: _write(replies, [_pack(text=text)]))
        return
    row = _Row(results, replies, settings | request)
    programs = [_compiled(source) for source in request["programs"]]
    cells = [Cell(cell) for cell in request["cells"]]
    pure = [n for n, cell in enumerate(request["cells"]) if _is_pure(cell)]
    others = [n for n in range(len(cells)) if n not in set(pure)]
    alone: list[Job] = []
    together: list[Job] = []
    for index, program in enumerate(programs):
        if isinstance(program, types.CodeType):
            shares = settings["share"] and purity.is_pure(program)
            (together if shares else alone).extend((index, cell) for cell in pure)
            alone.extend((index, cell) for cell in others)
        else:
            _write(replies, [_pack(BAD_SOURCE, index, n, text=program) for n in range(len(cells))])
    row.run(programs, cells, together, len(together))
    row.run(programs, cells, alone, 1)


def _compiled(source: str) -> types.CodeType | bytes:
    """Code, or the record of why there is none."""
    try:
        return compile(source, "<solution>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        text = f"{type(error).__name__}\n{error}"[:300]
        return ERROR + text.encode("utf-8", "replace")


def _is_pure(cell: dict[str, Any]) -> bool:
    return "calls" in cell and all(map(purity.is_pure_call, cell["calls"]))


class _Row:
    """Carries out the jobs of one request: pairs of a program and a cell."""

    def __init__(self, results: int, replies: int, settings: dict[str, Any]) -> None:
        self.results, self.replies, self.settings = results, replies, settings
        self.strikes: dict[int, int] = {}
        self.spent: dict[int, float] = {}
        self.started = os.pipe2(os.O_NONBLOCK)

    def run(self, programs: list[Any], cells: list[Cell], jobs: list[Job], at_once: int) -> None:
        """Run jobs, so many in one leaf. When a leaf dies, the next job leads a new leaf; the job
        it was in is lost if it hung, or was the first: else it is that next one, as it may have
        died of what another left. A program with too many time-outs has its other jobs left.
        """
        while jobs:
            status, number, seconds, texts = self._run_leaf(programs, cells, jobs[:at_once])
            died = len(texts) < min(at_once, len(jobs)) and bool(status or not texts)
            each = seconds / (len(texts) + died)
            for program, _ in jobs[: len(texts) + died]:
                self.spent[program] = self.spent.get(program, 0.0) + each
            frames = [
                _pack(ENDED, *job, seconds=each, text=text)
                for job, text in zip(jobs, texts, strict=False)
            ]
            jobs = jobs[len(texts) :]
            if died:
                program, cell = jobs.pop(0)
                frames.append(_pack(status, program, cell, number, each))
                if status in (CPU_LIMIT, WALL_LIMIT):
                    self.strikes[program] = self.strikes.get(program, 0) + 1
            left = [job for job in jobs if self._is_out(job)]
            if left:
                frames += [_pack(NOT_RUN, *job) for job in left]
                jobs = [job for job in jobs if not self._is_out(job)]
            _write(self.replies, frames)

    def _is_out(self, job: Job) -> bool:
        """Whether the job's program has had its time-outs, or its CPU time, in this request."""
        late = self.strikes.get(job[0], 0) >= int(self.settings["strikes"])
        return late or self.spent.get(job[0], 0.0) > float(self.settings["budget"])

    def _run_leaf(
        self, programs: list[Any], cells: list[Cell], jobs: list[Job]
    ) -> tuple[int, int, float, list[bytes]]:
        """Fork a leaf; status, wait status, CPU seconds and records when it is dead."""
        os.ftruncate(self.results, 0)
        os.lseek(self.results, 0, os.SEEK_SET)
        for shared in (0, 1, 2, self.results):  # no leaf sees an offset or flag that another set
            fcntl.fcntl(shared, fcntl.F_SETFL, 0)
        me = os.getpid()
        pid = lockdown.fork()
        if pid == 0:
            try:
                self._be_leaf(programs, cells, jobs, me)
            finally:
                os._exit(0)
        status, number, seconds = self._await(pid, len(jobs))
        if not self._came_up():
            os._exit(4)
        _clean(self.settings["scratch"])
        return status, number, seconds, _records(self.results, len(jobs))

    def _be_leaf(
        self, programs: list[Any], cells: list[Cell], jobs: list[Job], parent: int
    ) -> None:
        """Lock this process, run the jobs, write a record for each."""
        lockdown.die_with_parent(parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CHILD)
        keep_only(self.results, self.started[1])
        file_bytes = self.settings["file_bytes"]
        cpu_seconds = int(self.settings["seconds"] * len(jobs)) + 2
        lockdown.lock_leaf(self.settings["memory_bytes"], cpu_seconds, file_bytes)
        os.write(self.started[1], b".")
        os.close(self.started[1])
        allow_frames()
        offset = 0
        for program, group in itertools.groupby(jobs, key=lambda job: job[0]):
            for text in run_cells(programs[program], [cells[cell] for _, cell in group]):
                if offset and text.startswith(_NO_MEMORY):
                    return  # perhaps for the garbage of others: again, first in a new leaf
                offset += os.pwrite(self.results, _LENGTH.pack(len(text)) + text, offset)
                if offset > file_bytes // 4 or time.thread_time() > _LEAF_SECONDS:
                    return  # a new leaf goes on, with an empty file

    def _came_up(self) -> bool:
        """Whether the last leaf was locked; if not, the machine failed, not the solution."""
        try:
            return os.read(self.started[0], 2) == b"."
        except BlockingIOError:
            return False

    def _await(self, pid: int, jobs: int) -> tuple[int, int, float]:
        """Wait for a leaf; kill it when a job has used its CPU seconds, or waited far longer.

        The CPU clock decides, so that a busy machine is no reason to fail. The leaf is looked at
        several times within the limit, to see which job it is in; each job can end once.
        """
        limit, clock, status = self.settings["seconds"], cpu_clock(pid), ENDED
        patience = _PATIENCE + 4 * limit
        written, used_before, since = 0, 0.0, time.monotonic()
        pause = limit
        while True:
            signal.sigtimedwait(_CHILD, max(pause, 0.005))
            done, number, usage = os.wait4(pid, os.WNOHANG)
            if not done:
                used, now = time.clock_gettime(clock), time.monotonic()
                pause = limit / 4
                if jobs and (size := os.fstat(self.results).st_size) != written:
                    written, used_before, since, jobs = size, used, now, jobs - 1
                    continue
                if used - used_before < limit and now - since < patience:
                    continue
                status = CPU_LIMIT if used - used_before >= limit else WALL_LIMIT
                os.kill(pid, signal.SIGKILL)
                _, number, usage = os.wait4(pid, 0)
            return status, number, usage.ru_utime + usage.ru_stime


def _records(results: int, most: int) -> list[bytes]:
    """The records in the results file, at most so many; the file is not trusted."""
    size = os.fstat(results).st_size
    data = os.pread(results, size, 0)
    texts: list[bytes] = []
    offset = 0
    while offset + _LENGTH.size <= size and len(texts) < most:
        (length,) = _LENGTH.unpack_from(data, offset)
        offset += _LENGTH.size
        if offset + length > size:
            break
        texts.append(data[offset : offset + length])
        offset += length
    return texts if offset == size or most > 1 else []


def _clean(scratch: str) -> None:
    """Empty the scratch folder, so that no leaf sees what another has written.

    Folders in folders are moved up first: they can be nested deeper than Python recurses, and to
    Landlock each step down costs more than the last.
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
    except OSError:  # before ABI 2, Landlock lets nothing change its folder
        import shutil

        shutil.rmtree(folder)


def _pack(
    status: int = ENDED,
    program: int = 0,
    cell: int = 0,
    number: int = 0,
    seconds: float = 0.0,
    text: bytes = b"",
) -> bytes:
    return _HEADER.pack(status, program, cell, number, seconds, len(text)) + text


def _write(replies: int, frames: list[bytes]) -> None:
    data = memoryview(b"".join(frames))
    while data:
        data = data[os.write(replies, data) :]


if __name__ == "__main__":
    main()
