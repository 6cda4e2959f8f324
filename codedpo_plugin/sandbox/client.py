"""The trusted side of the sandbox: starts the zygote, sends requests, reads replies."""

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
_PAUSE = 2.0  # seconds that a machine has to recover, so many times
_BUDGET = 10  # CPU limits of a cell that a program may use in one request
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


class _Lost(Enum):
    """Why a request had no reply for a cell."""

    KILLED = "ended from outside, as by a machine that is out of memory"
    BROKE = "broke the process that compiles it and starts its leaf"
    SPENT = "used up the memory of the whole sandbox (its cgroup)"


_Table = list[list[Reply | None]]  # [programs][cells]


UNCONFINED = (
    "the solutions that are run can reach the network, start processes and change files, as you "
    "can: run only what you trust, or in a virtual machine."
)


class Sandbox:
    """A zygote and the pipes to it; not for use by several threads.

    Raises:
        InfrastructureError: it cannot be started, or fails again and again.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        pin_to: int | None = None,
        seed: int = 0,
        interpreter: Interpreter | None = None,
    ) -> None:
        """`pin_to`: a core to run on; `seed`: of `random` and of hashes, in every process;
        `interpreter`: this one, with nothing more imported, if none is given.
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
        limits = {"seconds": seconds or self.limits.seconds}
        limits |= {"budget": budget} if budget else {}
        table, _ = self._try(programs, cells, limits)
        alone = _Alone(lambda program, cells: self._try([program], cells, limits, careful=True))
        for program, line in zip(programs, table, strict=True):
            missing = [cell for cell, reply in zip(cells, line, strict=True) if reply is None]
            found = iter(alone.run(program, missing))
            line[:] = [reply or next(found) for reply in line]
        return [[reply for reply in line if reply] for line in table]

    def _try(
        self,
        programs: list[str],
        cells: list[Cell],
        limits: dict[str, float],
        careful: bool = False,
    ) -> tuple[_Table, _Lost]:
        """Send a request: what comes back, and what has become of that which does not."""
        table: _Table = [[None] * len(cells) for _ in programs]
        request = {
            "programs": programs,
            "cells": cells,
            "careful": careful,
            **limits,
        }
        times_full, lost = self.zygote.times_full(), _Lost.KILLED
        try:
            self.zygote.send(request)
            frames = self.zygote.read(_timeout(limits["seconds"]), len(programs) * len(cells))
            for status, program, cell, number, used, text in frames:
                table[program][cell] = _interpret(status, number, used, text)
        except Died:
            lost = _Lost.BROKE if self.zygote.kill() else _Lost.KILLED
        spent = self.zygote.times_full() > times_full
        if not self.zygote.alive:
            self._restart()
        return table, _Lost.SPENT if spent else lost

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
            self.zygote.send(request)
        except Died as died:
            self._restart()
            raise InfrastructureError(f"the sandbox died while timing: {died}") from None
        return Race(self, len(solutions), seconds)

    def _start(self) -> None:
        """Start the zygote, or another one."""
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
        """CPU seconds of one repetition of all calls: `count` rounds x solutions; None: broke.

        `running`: whether each solution runs on; one that does not leaves for good, and is None
        from there on. All run on if it is not given.
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
        """Stop all the leaves."""
        with contextlib.suppress(Died):
            self._sandbox.zygote.write(protocol.ROUNDS.pack(0))


_HARMLESS, _HARMLESS_CELL = "def f():\n    return 1", Cell(calls=["1"])


class _Alone:
    """Runs cells that had no reply in company: alone they can blame, and hurt, nobody else.

    What a solution can do by itself becomes an outcome. What the machine can do too (a SIGKILL that
    the sandbox did not send, as when memory runs out) does not: a program that is known to be
    harmless is run. While that ends too, the machine is to blame: it has some time to recover, then
    all stops. If not, the machine works; the cell is tried again, and is `not_run` if it happens
    each time. So a solution that has itself killed, or needs more memory than there is, stops
    nothing but itself.
    """

    def __init__(self, run: Callable[[str, list[Cell]], tuple[_Table, _Lost]]) -> None:
        """`run`: one program with some cells."""
        self._run = run
        self._failures: Counter[str] = Counter()  # by program: then each cell has one try
        self._unbearable: set[str] = set()  # programs and cells that cannot even be compiled

    def run(self, program: str, cells: list[Cell]) -> list[Reply]:
        """A reply per cell.

        Raises:
            InfrastructureError: the machine ends what is harmless, too.
        """
        line: list[Reply | None] = [None] * len(cells)
        if cells and not {program, *map(repr, cells)} & self._unbearable:
            (line,), lost = self._run(program, cells)
            if None in line and lost is _Lost.BROKE:
                self._find_unbearable(program, cells[line.index(None)])
        return [reply or self._one(program, cell) for reply, cell in zip(line, cells, strict=True)]

    def _one(self, program: str, cell: Cell) -> Reply:
        while not self._unbearable & {program, repr(cell)}:
            (((reply,),), lost) = self._run(program, [cell])
            if reply:
                return reply
            self._failures[program] += 1
            last = self._failures[program] >= _TRIES
            if lost is _Lost.SPENT:
                return Reply("memory", error=lost.value)
            if lost is _Lost.BROKE and (last or self._find_unbearable(program, cell)):
                break
            if lost is _Lost.KILLED:
                self._wait_for_machine()
                if last:
                    return Reply("not_run", error=f"{lost.value}, {_TRIES} times")
        return Reply("crashed", error=_Lost.BROKE.value)

    def _find_unbearable(self, program: str, cell: Cell) -> bool:
        """Whether the program breaks the sandbox with a harmless cell, or the cell without it."""
        for text, with_program, with_cell in (
            (program, program, _HARMLESS_CELL),
            (repr(cell), _HARMLESS, cell),
        ):
            ((reply,),), lost = self._run(with_program, [with_cell])
            if reply is None and lost is _Lost.BROKE:
                self._unbearable.add(text)
                return True
        return False

    def _wait_for_machine(self) -> None:
        """Return when a harmless program is left to end by itself."""
        for _ in range(_TRIES):
            ((reply,),), _lost = self._run(_HARMLESS, [_HARMLESS_CELL])
            if reply:
                return
            time.sleep(_PAUSE)
        raise InfrastructureError(
            "this machine ends the sandbox's processes, most likely for want of memory (`dmesg` "
            "says): use fewer `workers`, or less `execute.memory_mb`"
        )


def _timeout(seconds: float) -> float:
    """Seconds until the next reply at the latest, with a CPU limit of `seconds` per cell."""
    return protocol.wall_limit(seconds, seconds) + _REPLY_MARGIN


def _signal_name(number: int) -> str:
    known = {one.value: one.name for one in signal.Signals}
    return known.get(number, f"signal {number}")


def _interpret(status: int, number: int, seconds: float, text: bytes) -> Reply | None:
    """Turn a reply of the row process into an outcome; the text is not trusted. None for a SIGKILL
    that the row process did not send.
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
        return Reply("crashed", seconds, "sent what no test sends")
    name, _, message = text[1:].decode("utf-8", "replace").partition("\n")
    outcome = {"AssertionError": "failed", "MemoryError": "memory"}.get(name, "error")
    return Reply(outcome, seconds, f"{name}: {message}"[:300] if message else name[:300])
