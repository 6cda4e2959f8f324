"""The trusted side of the sandbox: starts the zygote, sends requests, reads replies.

`Sandbox` is the entry point; `Recovery` finds out why a cell got no reply.
"""

import contextlib
import json
import os
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from codedpo_plugin.errors import InfrastructureError
from codedpo_plugin.sandbox import protocol
from codedpo_plugin.sandbox.zygote_handle import Died, Interpreter, Zygote

_TRIES = 3  # of one cell, when the machine (not the solution) may have failed
PAUSE = 2.0  # seconds that the machine is given to recover, up to _TRIES times
_BUDGET = 10  # CPU limits of one cell that a program may use in one request
_REPLY_MARGIN = 60.0  # seconds beyond all limits after which the zygote counts as dead

Cell = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """What one cell may use."""

    seconds: float = 1.0
    """CPU seconds; the wall-clock limit follows from it, see `protocol.wall_limit`."""
    memory_mb: int = 1024
    """Address space in MiB."""
    file_mb: int = 4
    """Size of any file it writes, in MiB."""
    max_timeouts: int = 2
    """Time-outs of a solution after which its remaining cells are not run."""
    share: Literal["proved", "solution", "nothing"] = "proved"
    """Cells that share a process: those proved unable to affect each other (see `purity`), all
    cells of a solution, even if they affect each other (as in other systems), or none."""


class Reply(NamedTuple):
    """What happened in one cell."""

    outcome: str
    """`ended` (see `record`), `error`, `failed`, `timeout`, `memory`, `crashed` or `not_run`."""
    seconds: float = 0.0
    """CPU seconds used."""
    error: str | None = None
    """`Type: message` of the error, or how the process died."""
    record: dict[str, Any] | None = None
    """What a worker that ended normally sent: `values`, `done` or `whole`; untrusted."""


class Loss(Enum):
    """Why there is no reply for a cell."""

    KILLED = "killed from outside, for example by a machine that is out of memory"
    CRASHED = "crashed the fork server that compiles it"
    MEMORY = "used up the memory of the whole sandbox (its cgroup)"


Table = list[list[Reply | None]]  # [programs][cells]; None: there was no reply


UNCONFINED = (
    "solutions run with your rights: they can use the network, start processes and change files. "
    "Run only code that you trust, or use a virtual machine."
)


class Sandbox:
    """A zygote and the pipes to it; not thread-safe.

    Raises:
        InfrastructureError: it cannot be started, or fails repeatedly.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        pin_to: int | None = None,
        seed: int = 0,
        interpreter: Interpreter | None = None,
    ) -> None:
        """Start it.

        Args:
            limits: defaults if not given.
            pin_to: number of the core to run on.
            seed: of `random` and of string hashes, in every process.
            interpreter: runs the solutions; by default this one, with nothing else imported.
        """
        self.limits = limits or Limits()
        self._interpreter = interpreter or Interpreter()
        self._pin_to = pin_to
        self._seed = seed
        self._start()
        if (state := self.layers["seccomp"]) != "on":
            warnings.warn(f"{UNCONFINED} seccomp is {state}; see `codedpo doctor`", stacklevel=2)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def run(self, program: str, cells: list[Cell]) -> list[Reply]:
        """Run one program with each cell (see `cells.Cell`); a reply per cell, in order."""
        return self.run_all([program], cells)[0]

    def run_all(
        self,
        programs: list[str],
        cells: list[Cell],
        seconds: float | None = None,
        budget: float | None = None,
    ) -> list[list[Reply]]:
        """Run every program with every cell; no cell sees the effects of another.

        Args:
            programs: N sources.
            cells: M requests, see `cells.Cell`.
            seconds: CPU limit of one cell; `limits.seconds` by default.
            budget: CPU seconds after which a program's remaining cells are not run; ten times
                `limits.seconds` by default.

        Returns:
            N lists of M replies.
        """
        limits = {"seconds": seconds or self.limits.seconds}
        limits |= {"budget": budget} if budget else {}
        table, _ = self._try(programs, cells, limits)
        recovery = Recovery(
            lambda program, cells: self._try([program], cells, limits, careful=True)
        )
        for program, line in zip(programs, table, strict=True):
            missing = [cell for cell, reply in zip(cells, line, strict=True) if reply is None]
            found = iter(recovery.run(program, missing))
            line[:] = [reply or next(found) for reply in line]
        return [[reply for reply in line if reply] for line in table]

    def _try(
        self,
        programs: list[str],
        cells: list[Cell],
        limits: dict[str, float],
        careful: bool = False,
    ) -> tuple[Table, Loss]:
        """Send a request; the replies, and why some are missing (if some are)."""
        table: Table = [[None] * len(cells) for _ in programs]
        request = {
            "programs": programs,
            "cells": cells,
            "careful": careful,
            **limits,
        }
        times_full, lost = self.zygote.times_full(), Loss.KILLED
        try:
            self.zygote.send(request)
            frames = self.zygote.read(_timeout(limits["seconds"]), len(programs) * len(cells))
            for status, program, cell, number, used, text in frames:
                table[program][cell] = _interpret(status, number, used, text)
        except Died:
            lost = Loss.CRASHED if self.zygote.kill() else Loss.KILLED
        spent = self.zygote.times_full() > times_full
        if not self.zygote.alive:
            self._restart()
        return table, Loss.MEMORY if spent else lost

    def race(
        self, solutions: list[str], calls: list[str], *, sample_seconds: float, seconds: float
    ) -> "Race":
        """Start measuring solutions against each other on the same calls; see `race`.

        Args:
            solutions: sources.
            calls: expressions that call what they define.
            sample_seconds: CPU seconds that one sample should take.
            seconds: wall-clock limit of one sample.

        Raises:
            InfrastructureError: the sandbox died.
        """
        request = {
            "race": solutions,
            "calls": calls,
            "sample_seconds": sample_seconds,
            "seconds": seconds,
            "memory_bytes": self.limits.memory_mb << 20,
            "file_bytes": self.limits.file_mb << 20,
        }
        try:
            self.zygote.send(request)
        except Died as died:
            self._restart()
            raise InfrastructureError(f"the sandbox died while timing: {died}") from None
        return Race(self, len(solutions), seconds)

    def _start(self) -> None:
        """Start a zygote."""
        limits = self.limits
        settings = {
            "seconds": limits.seconds,
            "memory_bytes": limits.memory_mb << 20,
            "file_bytes": limits.file_mb << 20,
            "max_timeouts": limits.max_timeouts,
            "budget": _BUDGET * limits.seconds,
            "share": limits.share,
            "native": not os.environ.get("CODEDPO_PURE_PYTHON"),
        }
        self.zygote = Zygote(
            settings,
            self._interpreter,
            start_seconds=_timeout(limits.seconds),
            pin_to=self._pin_to,
            seed=self._seed,
        )
        self.layers, self.native = self.zygote.layers, self.zygote.native

    def _restart(self) -> None:
        self.zygote.close()
        self._start()

    def close(self) -> None:
        """End the zygote and everything below it."""
        self.zygote.close()


class Race:
    """Solutions that are being timed against each other."""

    def __init__(self, sandbox: Sandbox, solutions: int, seconds: float) -> None:
        self._sandbox = sandbox
        self._solutions = solutions
        self._wall_seconds = seconds * solutions

    def rounds(self, count: int, running: Sequence[bool] | None = None) -> list[list[float | None]]:
        """Measure `count` rounds.

        Args:
            count: rounds.
            running: for each solution, whether it is still measured; one that is not leaves the
                race for good. All are by default.

        Returns:
            CPU seconds of one repetition of all calls, [rounds][solutions]; None for a solution
            that failed or has left.

        Raises:
            InfrastructureError: the sandbox died.
        """
        sandbox = self._sandbox
        runs = bytes(running if running is not None else [True] * self._solutions)
        try:
            sandbox.zygote.write(protocol.ROUNDS.pack(count) + runs)
            seconds = self._wall_seconds * (count + 1) + _timeout(sandbox.limits.seconds)
            (frame,) = sandbox.zygote.read(seconds)
        except Died as died:
            sandbox._restart()
            raise InfrastructureError(f"the sandbox died while timing: {died}") from None
        rounds: list[list[float | None]] = json.loads(frame[-1])
        return rounds

    def end(self) -> None:
        """Stop all worker processes."""
        with contextlib.suppress(Died):
            self._sandbox.zygote.write(protocol.ROUNDS.pack(0))


HARMLESS, _HARMLESS_CELL = "def f():\n    return 1", Cell(calls=["1"])


class Recovery:
    """Runs cells that got no reply again, by themselves, to find out what is to blame.

    What only a solution can cause becomes an outcome. What the machine can cause too (a SIGKILL
    that the sandbox did not send, as when memory runs out) does not: a program that is known to be
    harmless is run. If that gets no reply either, the machine is to blame: it is given some time to
    recover, then all stops. Otherwise the machine works; the cell is tried again, and is `not_run`
    if the same happens each time. So a solution that gets itself killed, or needs more memory than
    there is, affects only itself.
    """

    def __init__(self, run: Callable[[str, list[Cell]], tuple[Table, Loss]]) -> None:
        """`run` runs one program with some cells."""
        self._run = run
        self._failures: Counter[str] = Counter()  # by program; after _TRIES, each cell has one try
        self._fatal: set[str] = set()  # programs and cells that crash the fork server

    def run(self, program: str, cells: list[Cell]) -> list[Reply]:
        """A reply per cell.

        Raises:
            InfrastructureError: the machine kills harmless programs too.
        """
        line: list[Reply | None] = [None] * len(cells)
        if cells and not {program, *map(repr, cells)} & self._fatal:
            (line,), lost = self._run(program, cells)
            if None in line and lost is Loss.CRASHED:
                self._find_fatal(program, cells[line.index(None)])
        return [reply or self._one(program, cell) for reply, cell in zip(line, cells, strict=True)]

    def _one(self, program: str, cell: Cell) -> Reply:
        while not self._fatal & {program, repr(cell)}:
            (((reply,),), lost) = self._run(program, [cell])
            if reply:
                return reply
            self._failures[program] += 1
            last = self._failures[program] >= _TRIES
            if lost is Loss.MEMORY:
                return Reply("memory", error=lost.value)
            if lost is Loss.CRASHED and (last or self._find_fatal(program, cell)):
                break
            if lost is Loss.KILLED:
                self._wait_for_machine()
                if last:
                    return Reply("not_run", error=f"{lost.value}, {_TRIES} times")
        return Reply("crashed", error=Loss.CRASHED.value)

    def _find_fatal(self, program: str, cell: Cell) -> bool:
        """Whether one of the two, with a harmless counterpart, crashes the fork server."""
        for text, with_program, with_cell in (
            (program, program, _HARMLESS_CELL),
            (repr(cell), HARMLESS, cell),
        ):
            ((reply,),), lost = self._run(with_program, [with_cell])
            if reply is None and lost is Loss.CRASHED:
                self._fatal.add(text)
                return True
        return False

    def _wait_for_machine(self) -> None:
        """Return when a harmless program gets a reply."""
        for _ in range(_TRIES):
            ((reply,),), _lost = self._run(HARMLESS, [_HARMLESS_CELL])
            if reply:
                return
            time.sleep(PAUSE)
        raise InfrastructureError(
            "this machine kills the processes of the sandbox, most likely because it is out of "
            "memory (see `dmesg`): use fewer `workers`, or a lower `execute.memory_mb`"
        )


def _timeout(seconds: float) -> float:
    """Seconds until the next reply at the latest, with a CPU limit of `seconds` per cell."""
    return protocol.wall_limit(seconds, seconds) + _REPLY_MARGIN


def _signal_name(number: int) -> str:
    known = {one.value: one.name for one in signal.Signals}
    return known.get(number, f"signal {number}")


def _interpret(status: int, number: int, seconds: float, text: bytes) -> Reply | None:
    """The reply for a frame; its record is not trusted. None after a SIGKILL that the fork server
    did not send.
    """
    kind = text[:1]
    if status == protocol.ENDED and number == 0 and kind == protocol.VALUES:  # nearly always
        return Reply(
            "ended", seconds, None, {"values": text[1:].decode("utf-8", "replace").split("\n")}
        )
    if status == protocol.NOT_RUN:
        return Reply("not_run")
    if status == protocol.CPU_LIMIT:
        return Reply("timeout", seconds, "CPU limit")
    if status == protocol.WALL_LIMIT:
        return Reply("timeout", seconds, "waited too long")
    if os.WIFSIGNALED(number):
        name = _signal_name(os.WTERMSIG(number))
        if name == "SIGKILL":
            return None
        return Reply("timeout" if name == "SIGXCPU" else "crashed", seconds, f"killed by {name}")
    if not text:
        code = os.WEXITSTATUS(number)
        return Reply("crashed", seconds, f"exited with status {code} before the test had ended")
    if kind == protocol.WHOLE:
        return Reply("ended", seconds, None, {"whole": True})
    if kind in (protocol.DONE, protocol.FALSE):
        return Reply("ended", seconds, None, {"done": kind == protocol.DONE})
    if kind != protocol.ERROR:
        return Reply("crashed", seconds, "sent an invalid record")
    name, _, message = text[1:].decode("utf-8", "replace").partition("\n")
    outcome = {"AssertionError": "failed", "MemoryError": "memory"}.get(name, "error")
    return Reply(outcome, seconds, f"{name}: {message}"[:300] if message else name[:300])
