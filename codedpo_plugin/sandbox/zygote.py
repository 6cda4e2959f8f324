"""The zygote: a small interpreter that locks itself, and forks a row process per request.

Run as a program by `codedpo_plugin.sandbox.client`, never imported. Three kinds of process:

- The *zygote* imports what solutions commonly need, gives up its rights, and then only forks. It
  never reads a request, so it stays small (a fork costs time per touched page) and clean.
- A *row process* reads one request (a solution and its cells), compiles the solution, forks a
  leaf per cell, kills it at its limit, and writes one reply per cell.
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
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cells
import clocks
import lockdown
from leaf import cpu_clock, keep_only, read_exactly

_HEADER = struct.Struct("<Bidi")
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
    for name in ("cells", "clocks", "encoding", "leaf", "lockdown"):
        del sys.modules[name]  # a solution that imports such a name means another module
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
    started = os.pipe2(os.O_NONBLOCK)
    strikes = 0
    for cell in request["cells"]:
        if strikes >= settings["strikes"]:
            _write(replies, NOT_RUN, 0, 0.0, b"")
            continue
        status, number, seconds = _run_leaf(solution, cell, results, started[1], settings)
        if not _came_up(started[0]):
            os._exit(4)
        strikes += status in (CPU_LIMIT, WALL_LIMIT)
        _write(replies, status, number, seconds, os.pread(results, settings["file_bytes"], 0))
        _clean(settings["scratch"])


def _came_up(started: int) -> bool:
    """Whether the last leaf was locked and ran its cell; if not, the machine failed, not the cell."""
    try:
        return os.read(started, 2) == b"."
    except BlockingIOError:
        return False


def _run_leaf(
    solution: Any, cell: dict[str, Any], results: int, started: int, settings: dict[str, Any]
) -> tuple[int, int, float]:
    """Fork a leaf for one cell; (status, wait status, CPU seconds) when it is dead."""
    os.ftruncate(results, 0)
    me = os.getpid()
    pid = lockdown.fork()
    if pid == 0:
        try:
            lockdown.die_with_parent(me)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            keep_only(results, started)
            lockdown.lock_leaf(
                settings["memory_bytes"], int(settings["seconds"]) + 2, settings["file_bytes"]
            )
            os.write(started, b".")
            os.close(started)
            record = json.dumps(cells.run_cell(solution, cell)).encode()
            os.pwrite(results, record, 0)
        finally:
            os._exit(0)
    return await_leaf(pid, settings["seconds"])


def await_leaf(pid: int, seconds: float) -> tuple[int, int, float]:
    """Wait for a leaf, and kill it when it has used its CPU seconds, or waited four times that.

    The CPU clock decides, so that a busy machine is no reason to fail.
    """
    status = ENDED
    clock = cpu_clock(pid)
    end = time.monotonic() + 4 * seconds
    pause = seconds
    while True:
        signal.sigtimedwait([signal.SIGCHLD], max(pause, 0.005))
        done, number, usage = os.wait4(pid, os.WNOHANG)
        if done:
            break
        used = time.clock_gettime(clock)
        if used >= seconds or time.monotonic() >= end:
            status = CPU_LIMIT if used >= seconds else WALL_LIMIT
            os.kill(pid, signal.SIGKILL)
            _, number, usage = os.wait4(pid, 0)
            break
        pause = min(seconds - used, end - time.monotonic())
    return status, number, usage.ru_utime + usage.ru_stime


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
