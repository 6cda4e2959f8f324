"""The trusted side of the sandbox: starts the zygote, sends requests, reads replies."""

import contextlib
import json
import marshal
import os
import select
import signal
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from codedpo_plugin.errors import InfrastructureError
from codedpo_plugin.sandbox import cells as records

_HEADER = struct.Struct("<BIIidI")  # status, program, cell, wait status, CPU seconds, length
_ENDED, _CPU_LIMIT, _WALL_LIMIT, _NOT_RUN, _BAD_SOURCE = range(5)
_TRIES = 3  # of one request, when the machine (not the solution) failed
_BUDGET = 10  # CPU limits of a cell that a program may use in one request
_SLACK = 60.0  # seconds beyond all limits before the zygote counts as dead

Cell = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """What one cell may use."""

    seconds: float = 1.0
    """CPU seconds; waiting is bounded by four times this and a second."""
    memory_mb: int = 1024
    """Address space in MiB."""
    file_mb: int = 4
    """Size of any file it writes, in MiB."""
    strikes: int = 2
    """Time-outs of a solution after which its other cells are not run."""
    share: Literal["proved", "solution", "nothing"] = "proved"
    """Cells that share a process: those proved unable to disturb each other (see `purity`), those
    of a solution, whatever they do to each other (as other systems have it), or none."""


class Reply(NamedTuple):
    """What happened in one cell."""

    outcome: str
    """`ended` (see `record`), `error`, `failed`, `timeout`, `memory`, `crashed` or `not_run`."""
    seconds: float = 0.0
    """CPU seconds used."""
    error: str | None = None
    """`Type: message` of the error, or how the process died."""
    record: dict[str, Any] | None = None
    """What a leaf that ended well sent: `values` or `done`; untrusted."""


class _Died(Exception):
    """The zygote is gone, or does not answer."""


class Sandbox:
    """A zygote and the pipes to it; not for use by several threads.

    Raises:
        InfrastructureError: it cannot be started, or fails again and again.
    """

    def __init__(
        self, limits: Limits | None = None, *, pin_to: int | None = None, seed: int = 0
    ) -> None:
        """`pin_to`: a core to run on; `seed`: of `random` and of hashes, in every process."""
        self.limits = limits or Limits()
        self.layers: dict[str, str] = {}
        self.native = False
        self._pin_to = pin_to
        self._seed = seed
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def run(self, program: str, cells: list[Cell]) -> list[Reply]:
        """Run one program with each cell (see `cells.Cell`): a reply per cell, in order."""
        return self.run_all([program], cells)[0]

    def run_all(
        self,
        programs: list[str],
        cells: list[Cell],
        seconds: float | None = None,
        budget: float | None = None,
    ) -> list[list[Reply]]:
        """Run every program with every cell; cells never see each other's effects.

        Args:
            programs: N sources.
            cells: M requests, see `cells.Cell`.
            seconds: CPU limit of one cell, if another than `limits.seconds`.
            budget: CPU seconds after which a program's other cells are not run, if other than
                ten times `limits.seconds`.

        Returns:
            N lists of M replies.
        """
        table: list[list[Reply | None]] = [[None] * len(cells) for _ in programs]
        whole = list(range(len(cells)))
        limits = {"seconds": seconds or self.limits.seconds}
        limits |= {"budget": budget} if budget else {}
        self._try(programs, cells, list(range(len(programs))), whole, table, limits)
        tries: Counter[int] = Counter()
        for index, line in enumerate(table):
            while missing := [cell for cell, reply in enumerate(line) if reply is None]:
                # What it takes down with it is run alone: then it can blame nobody else.
                self._try(programs, cells, [index], missing, table, limits, careful=True)
                if line[missing[0]] is None:
                    tries[index] += 1
                    if tries[index] >= _TRIES:
                        line[missing[0]] = Reply("crashed", error="broke its sandbox")
        return [[reply for reply in line if reply] for line in table]

    def _try(
        self,
        programs: list[str],
        cells: list[Cell],
        some_programs: list[int],
        some_cells: list[int],
        table: list[list[Reply | None]],
        limits: dict[str, float],
        careful: bool = False,
    ) -> None:
        """Send one request and fill in what comes back before the sandbox dies, if it dies."""
        request = {
            "programs": [programs[index] for index in some_programs],
            "cells": [cells[index] for index in some_cells],
            "careful": careful,
            **limits,
        }
        try:
            self._send(request)
            for _ in range(len(some_programs) * len(some_cells)):
                program, cell, reply = self._read_reply()
                table[some_programs[program]][some_cells[cell]] = reply
        except _Died:
            self._start()

    def race(
        self, solutions: list[str], calls: list[str], *, sample_seconds: float, seconds: float
    ) -> "Race":
        """Start measuring solutions against each other on the same calls; see `clocks`."""
        request = {
            "race": solutions,
            "calls": calls,
            "sample_seconds": sample_seconds,
            "seconds": seconds,
            "memory_bytes": self.limits.memory_mb << 20,
            "file_bytes": self.limits.file_mb << 20,
        }
        try:
            self._send(request)
        except _Died as died:
            self._start()
            raise InfrastructureError(f"the sandbox died while timing: {died}") from None
        return Race(self, seconds * len(solutions))

    # -- the zygote ---------------------------------------------------------------------------

    def _start(self) -> None:
        self.close()
        self._scratch = tempfile.mkdtemp(prefix="codedpo-")
        request_end, self._requests = os.pipe()
        self._replies, reply_end = os.pipe()
        self._received, self._taken = bytearray(), 0
        settings = {
            "requests": request_end,
            "replies": reply_end,
            "parent": os.getpid(),
            "path": _import_path(),
            "scratch": self._scratch,
            "seconds": self.limits.seconds,
            "memory_bytes": self.limits.memory_mb << 20,
            "file_bytes": self.limits.file_mb << 20,
            "strikes": self.limits.strikes,
            "budget": _BUDGET * self.limits.seconds,
            "share": self.limits.share,
            "native": not os.environ.get("CODEDPO_PURE_PYTHON"),
            "seed": self._seed,
        }
        program = str(Path(__file__).with_name("zygote.py"))
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-S", "-P", "-B", program, json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(request_end, reply_end),
            cwd=self._scratch,
            env=self._environment(),
            start_new_session=True,
        )
        os.close(request_end)
        os.close(reply_end)
        if self._pin_to is not None:
            os.sched_setaffinity(self._process.pid, {self._pin_to})
        try:
            hello = json.loads(self._read_frame()[-1])
        except _Died as died:
            raise InfrastructureError(f"the sandbox does not start ({died}): {program}") from None
        self.layers, self.native = hello["layers"], hello["native"]

    def _environment(self) -> dict[str, str]:
        places = {"TMPDIR": self._scratch, "HOME": self._scratch}
        return _ENVIRONMENT | places | {"PYTHONHASHSEED": str(self._seed)}

    def close(self) -> None:
        """End the zygote and everything below it."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._requests)
        os.close(self._replies)
        self._process = None
        # Not shutil.rmtree: a leaf can nest folders deeper than Python can recurse.
        subprocess.run(["rm", "-rf", self._scratch], check=False, stderr=subprocess.DEVNULL)

    def _send(self, request: dict[str, Any]) -> None:
        data = marshal.dumps(request)
        self._write(struct.pack("<I", len(data)) + data)

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._requests, data) :]
        except BrokenPipeError:
            raise _Died("its pipe is closed") from None

    def _read_reply(self) -> tuple[int, int, Reply]:
        status, program, cell, number, seconds, text = self._read_frame()
        return program, cell, _interpret(status, number, seconds, text)

    def _read_frame(self, wait: float = 0.0) -> tuple[int, int, int, int, float, bytes]:
        """The next reply; `wait`: seconds that it may take beyond the usual."""
        self._receive(_HEADER.size, wait)
        *head, length = _HEADER.unpack_from(self._received, self._taken)
        self._receive(_HEADER.size + length, wait)
        start = self._taken + _HEADER.size
        self._taken = start + length
        return (*head, bytes(self._received[start : self._taken]))

    def _receive(self, size: int, wait: float) -> None:
        """Have so many bytes from the zygote that are not taken yet."""
        if len(self._received) - self._taken >= size:
            return
        deadline = time.monotonic() + 4 * self.limits.seconds + _SLACK + wait
        del self._received[: self._taken]
        self._taken = 0
        while len(self._received) < size:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._replies], [], [], left)[0]:
                raise _Died("no answer")
            part = os.read(self._replies, 1 << 20)
            if not part:
                raise _Died("it ended")
            self._received += part


class Race:
    """Solutions that are being timed against each other."""

    def __init__(self, sandbox: Sandbox, wall_seconds: float) -> None:
        self._sandbox = sandbox
        self._wall_seconds = wall_seconds

    def rounds(self, count: int) -> list[list[float | None]]:
        """CPU seconds of one repetition of all calls: `count` rounds x solutions; None: broke."""
        sandbox = self._sandbox
        try:
            sandbox._write(struct.pack("<I", count))
            samples = sandbox._read_frame(self._wall_seconds * (count + 1))[-1]
        except _Died as died:
            sandbox._start()
            raise InfrastructureError(f"the sandbox died while timing: {died}") from None
        rounds: list[list[float | None]] = json.loads(samples)
        return rounds

    def end(self) -> None:
        """Stop all the leaves."""
        with contextlib.suppress(_Died):
            self._sandbox._write(struct.pack("<I", 0))


_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "LD_BIND_NOW": "1",  # or each leaf would look up the functions that it calls first
}


def _import_path() -> list[str]:
    """Folders of installed packages, which solutions may import."""
    paths = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return [path for path in dict.fromkeys(paths) if os.path.isdir(path)]


def _signal_name(number: int) -> str:
    known = {one.value: one.name for one in signal.Signals}
    return known.get(number, f"signal {number}")


def _interpret(status: int, number: int, seconds: float, text: bytes) -> Reply:
    """Turn a reply of the row process into an outcome; the text is not trusted."""
    kind = text[:1]
    if status == _ENDED and number == 0 and kind == records.VALUES:  # nearly always
        return Reply(
            "ended", seconds, None, {"values": text[1:].decode("utf-8", "replace").split("\n")}
        )
    if status == _NOT_RUN:
        return Reply("not_run")
    if status == _CPU_LIMIT:
        return Reply("timeout", seconds, "CPU limit")
    if status == _WALL_LIMIT:
        return Reply("timeout", seconds, "waited too long")
    if os.WIFSIGNALED(number):
        name = _signal_name(os.WTERMSIG(number))
        return Reply("timeout" if name == "SIGXCPU" else "crashed", seconds, f"killed by {name}")
    if not text:
        code = os.WEXITSTATUS(number)
        return Reply("crashed", seconds, f"exited with status {code} before the test had ended")
    if kind == records.WHOLE:
        return Reply("ended", seconds, None, {"whole": True})
    if kind in (records.DONE, records.FALSE):
        return Reply("ended", seconds, None, {"done": kind == records.DONE})
    if kind != records.ERROR:
        return Reply("crashed", seconds, "sent what no test sends")
    name, _, message = text[1:].decode("utf-8", "replace").partition("\n")
    outcome = {"AssertionError": "failed", "MemoryError": "memory"}.get(name, "error")
    return Reply(outcome, seconds, f"{name}: {message}"[:300] if message else name[:300])
