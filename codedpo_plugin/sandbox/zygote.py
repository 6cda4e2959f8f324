"""The zygote: a small interpreter that locks itself, and forks a row process per request.

Run as a program by `codedpo_plugin.sandbox.client`, never imported. Three kinds of process:

- The *zygote* imports what solutions commonly need, gives up its rights, and then only forks. It
  never reads a request, so it stays small (a fork costs time per touched page) and clean.
- A *row process* reads one request (a solution and its cells), compiles the solution, forks a
  leaf per cell (or per run of cells that cannot disturb each other, see `purity.py`), kills it at
  its limit, and writes one reply per cell.
- A *leaf* runs untrusted code, and dies. See `cells.py`.

Replies are a header (`_HEADER`: status, number, CPU seconds, length) and the leaf's text. The
text is read when the leaf is dead, from a file that each leaf overwrites; it is not trusted.
"""

import gc
import json
import marshal
import os
import signal
import struct
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))
from codedpo_plugin.sandbox import clocks, lockdown, purity
from codedpo_plugin.sandbox.cells import run_cells
from codedpo_plugin.sandbox.leaf import cpu_clock, keep_only, read_exactly

Cell = dict[str, Any]

_HEADER = struct.Struct("<Bidi")
_LENGTH = struct.Struct("<I")
_CHILD = [signal.SIGCHLD]
ENDED, CPU_LIMIT, WALL_LIMIT, NOT_RUN, BAD_SOURCE = range(5)

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
    sys.modules["random"].seed(0)
    results = os.memfd_create("results") if hasattr(os, "memfd_create") else _temporary_file()
    os.chdir(settings["scratch"])
    layers = lockdown.lock_process(settings["scratch"], settings["path"])
    lockdown.die_with_parent(settings["parent"])
    _write(replies, ENDED, 0, 0.0, json.dumps(layers).encode())
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
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    if "solutions" in request:
        clocks.serve(request, requests, lambda text: _write(replies, ENDED, 0, 0.0, text))
        return
    try:
        solution = compile(request["solution"], "<solution>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        record = {"error": type(error).__name__, "message": str(error)[:200]}
        for _ in request["cells"]:
            _write(replies, BAD_SOURCE, 0, 0.0, json.dumps(record).encode())
        return
    row = _Row(solution, results, settings)
    for group in _groups(solution, request["cells"]):
        for status, number, seconds, text in row.run(group):
            _write(replies, status, number, seconds, text)


def _groups(solution: types.CodeType, cells: list[Cell]) -> Iterator[list[Cell]]:
    """Cells that may share a leaf: neighbours whose calls, like the solution, keep no state."""
    pure = purity.is_pure(solution)
    shared: list[Cell] = []
    for cell in cells:
        if pure and "calls" in cell and all(map(purity.is_pure_call, cell["calls"])):
            shared.append(cell)
            continue
        if shared:
            yield shared
            shared = []
        yield [cell]
    if shared:
        yield shared


class _Row:
    """One solution being run: counts its time-outs."""

    def __init__(self, solution: types.CodeType, results: int, settings: dict[str, Any]) -> None:
        self.solution, self.results, self.settings = solution, results, settings
        self.strikes = 0
        self.started = os.pipe2(os.O_NONBLOCK)

    def run(self, cells: list[Cell]) -> Iterator[tuple[int, int, float, bytes]]:
        """Run cells in one leaf; when it dies in a cell, that cell is lost and the next one leads
        a new leaf. Yields status, wait status, CPU seconds and text for each cell.
        """
        done = 0
        while done < len(cells):
            if self.strikes >= self.settings["strikes"]:
                yield from [(NOT_RUN, 0, 0.0, b"")] * (len(cells) - done)
                return
            status, number, seconds, texts = self._run_leaf(cells[done:])
            died = done + len(texts) < len(cells) and (status != ENDED or number or not texts)
            each = seconds / (len(texts) + died)
            for text in texts:
                yield ENDED, 0, each, text
            done += len(texts)
            if died:
                self.strikes += status in (CPU_LIMIT, WALL_LIMIT)
                yield status, number, each, b""
                done += 1

    def _run_leaf(self, cells: list[Cell]) -> tuple[int, int, float, list[bytes]]:
        """Fork a leaf; status, wait status, CPU seconds and records when it is dead."""
        os.ftruncate(self.results, 0)
        me = os.getpid()
        pid = lockdown.fork()
        if pid == 0:
            try:
                self._be_leaf(cells, me)
            finally:
                os._exit(0)
        status, number, seconds = self._await(pid)
        if not self._came_up():
            os._exit(4)
        _clean(self.settings["scratch"])
        return status, number, seconds, _records(self.results, len(cells))

    def _be_leaf(self, cells: list[Cell], parent: int) -> None:
        lockdown.die_with_parent(parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CHILD)
        keep_only(self.results, self.started[1])
        file_bytes = self.settings["file_bytes"]
        cpu_seconds = int(self.settings["seconds"] * len(cells)) + 2
        lockdown.lock_leaf(self.settings["memory_bytes"], cpu_seconds, file_bytes)
        os.write(self.started[1], b".")
        os.close(self.started[1])
        offset = 0
        for record in run_cells(self.solution, cells):
            text = json.dumps(record).encode()
            offset += os.pwrite(self.results, _LENGTH.pack(len(text)) + text, offset)
            if offset > file_bytes // 4:
                return  # a new leaf goes on, with an empty file

    def _came_up(self) -> bool:
        """Whether the last leaf was locked; if not, the machine failed, not the solution."""
        try:
            return os.read(self.started[0], 2) == b"."
        except BlockingIOError:
            return False

    def _await(self, pid: int) -> tuple[int, int, float]:
        """Wait for a leaf; kill it when a cell has used its CPU seconds, or waited four times that.

        The CPU clock decides, so that a busy machine is no reason to fail. A leaf of several cells
        is looked at more often, to see which cell it is in.
        """
        limit, clock, status = self.settings["seconds"], cpu_clock(pid), ENDED
        written, used_before, since = -1, 0.0, time.monotonic()
        pause = limit / 4
        while True:
            signal.sigtimedwait(_CHILD, max(pause, 0.005))
            done, number, usage = os.wait4(pid, os.WNOHANG)
            if not done:
                used, now = time.clock_gettime(clock), time.monotonic()
                if (size := os.fstat(self.results).st_size) != written:
                    written, used_before, since = size, used if written >= 0 else 0.0, now
                    continue
                if used - used_before < limit and now - since < 4 * limit:
                    pause = min(limit / 4, limit - (used - used_before))
                    continue
                status = CPU_LIMIT if used - used_before >= limit else WALL_LIMIT
                os.kill(pid, signal.SIGKILL)
                _, number, usage = os.wait4(pid, 0)
            return status, number, usage.ru_utime + usage.ru_stime


def _records(results: int, most: int) -> list[bytes]:
    """The records in the results file, at most so many; the file is not trusted."""
    size = os.fstat(results).st_size
    texts: list[bytes] = []
    offset = 0
    while offset + _LENGTH.size <= size and len(texts) < most:
        (length,) = _LENGTH.unpack(os.pread(results, _LENGTH.size, offset))
        offset += _LENGTH.size
        if offset + length > size:
            break
        texts.append(os.pread(results, length, offset))
        offset += length
    return texts if offset == size else []


def _clean(scratch: str) -> None:
    """Empty the scratch folder, so that no leaf sees what another has written."""
    if not os.listdir(scratch):
        return
    import shutil

    for name in os.listdir(scratch):
        path = os.path.join(scratch, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)


def _write(replies: int, status: int, number: int, seconds: float, text: bytes) -> None:
    data = _HEADER.pack(status, number, seconds, len(text)) + text
    while data:
        data = data[os.write(replies, data) :]


if __name__ == "__main__":
    main()
