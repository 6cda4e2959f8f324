"""Measure solutions against each other: a persistent worker process each, timed from outside.

On a busy machine, single wall-clock runs order programs that differ by 25 % wrongly in a third of
cases. So every solution of a problem has a worker process of its own; a sample repeats the calls
until it takes `sample_seconds`; a round takes one sample of each solution, in random order; only
samples of one round are compared. The fork server reads the kernel's CPU clock of the worker, which
code in the worker cannot set. The caller computes the statistics, and decides which solutions need
not run any longer (`codedpo_plugin.timing.time_solutions`).

Caches of `functools` are cleared before every repetition; a solution that keeps state in another
way must not be timed like this.

This file is imported by the zygote: it must need nothing but the standard library and this package.
"""

import gc
import json
import os
import random
import select
import signal
import struct
import sys
import types
from collections.abc import Callable
from typing import Any

from codedpo_plugin.sandbox import lockdown
from codedpo_plugin.sandbox.process_tools import LINUX, cpu_seconds, fork, keep_only, read_exactly
from codedpo_plugin.sandbox.protocol import ROUNDS

MAX_REPEATS = 1 << 20
_REPEATS = struct.Struct("<I")  # command to a worker
_LONG = 10  # times `sample_seconds`: after a first sample that long, one repetition is enough


class _Racer:
    """A worker process that repeats the calls of one solution on command."""

    def __init__(self, pid: int, commands: int, answers: int) -> None:
        self.pid, self.commands, self.answers = pid, commands, answers
        self.repeats = 1

    def sample(self, wall_seconds: float) -> float | None:
        """CPU seconds of one repetition; None if the worker died or did not answer, or answered
        before it was asked, as a solution might do to seem fast.
        """
        if select.select([self.answers], [], [], 0)[0]:
            return None
        try:
            start = cpu_seconds(self.pid)
            os.write(self.commands, _REPEATS.pack(self.repeats))
            if not select.select([self.answers], [], [], wall_seconds)[0]:
                return None
            if os.read(self.answers, 1) != b".":
                return None
            return (cpu_seconds(self.pid) - start) / self.repeats
        except OSError:
            return None

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.commands)
        os.close(self.answers)


def serve(request: dict[str, Any], requests: int, reply: Callable[[bytes], None]) -> None:
    """Start a worker per solution, then run as many rounds as each command asks for.

    Each command is a number of rounds (`protocol.ROUNDS`), 0 to end, followed by a byte for each
    solution: 0 for one that no longer runs.

    Args:
        request: `race` (solutions) and `calls` (sources), `sample_seconds`, `seconds` (wall-clock
            limit of a sample), `memory_bytes`, `file_bytes`.
        requests: descriptor of the pipe with the commands.
        reply: sends a reply: a JSON list of rounds, each a list of CPU seconds per repetition, one
            per solution; null for one that failed, or no longer runs.
    """
    # Off Linux the clock of another process cannot be read: nothing is measured.
    started = [_start(source, request) if LINUX else None for source in request["race"]]
    racers = [racer and _warmed(racer, request) for racer in started]
    order = random.Random(0)
    while rounds := ROUNDS.unpack(read_exactly(requests, ROUNDS.size))[0]:
        running = read_exactly(requests, len(racers))
        racers = [_kept(racer, bool(runs)) for racer, runs in zip(racers, running, strict=True)]
        samples = [_round(racers, order, request) for _ in range(rounds)]
        reply(json.dumps(samples).encode())
    for racer in racers:
        _kept(racer, False)


def _kept(racer: _Racer | None, runs: bool) -> _Racer | None:
    """The worker, or None if it no longer runs: then it is stopped."""
    if racer and not runs:
        racer.stop()
    return racer if runs else None


def _round(
    racers: list[_Racer | None], order: random.Random, request: dict[str, Any]
) -> list[float | None]:
    """One sample of each worker, taken in random order."""
    samples: list[float | None] = [None] * len(racers)
    for index in order.sample(range(len(racers)), len(racers)):
        racer = racers[index]
        samples[index] = _sample(racer, request) if racer else None
    return samples


def _sample(racer: _Racer, request: dict[str, Any]) -> float | None:
    """A sample. If only the first was long, because of an import, one with more repeats."""
    seconds = racer.sample(request["seconds"])
    if seconds is not None and racer.repeats == 1 and seconds < request["sample_seconds"]:
        _find_repeats(racer, request)
        seconds = racer.sample(request["seconds"])
    return seconds


def _warmed(racer: _Racer, request: dict[str, Any]) -> _Racer | None:
    """Run a worker once to warm it up, and find the repeats that fill `sample_seconds`."""
    seconds = racer.sample(request["seconds"])
    if seconds is not None and seconds < _LONG * request["sample_seconds"]:
        seconds = _find_repeats(racer, request)
    return _kept(racer, seconds is not None)


def _find_repeats(racer: _Racer, request: dict[str, Any]) -> float | None:
    """Raise the repeats until a sample fills `sample_seconds`; that sample, or None on failure."""
    while (seconds := racer.sample(request["seconds"])) is not None:
        if seconds * racer.repeats >= request["sample_seconds"] or racer.repeats == MAX_REPEATS:
            break
        wanted = request["sample_seconds"] / max(seconds, 1e-7)
        racer.repeats = min(MAX_REPEATS, max(2 * racer.repeats, int(1.1 * wanted)))
    return seconds


def _start(source: str, request: dict[str, Any]) -> _Racer:
    commands, to_worker = os.pipe()
    from_worker, answers = os.pipe()
    me = os.getpid()
    pid = fork()
    if pid == 0:
        try:
            lockdown.die_with_parent(me)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            keep_only(commands, answers)
            lockdown.lock_worker(request["memory_bytes"], None, request["file_bytes"])
            _race(source, request["calls"], commands, answers)
        finally:
            os._exit(0)
    os.close(commands)
    os.close(answers)
    return _Racer(pid, to_worker, from_worker)


def _race(source: str, calls: list[str], commands: int, answers: int) -> None:
    """In the worker: define the solution, then repeat the calls as often as each command says."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    namespace = module.__dict__
    exec(compile(source, "<solution>", "exec", dont_inherit=True), namespace)
    codes = [compile(call, "<test>", "exec", dont_inherit=True) for call in calls]
    caches = [clear for value in namespace.values() if (clear := _cache_clear(value))]
    gc.disable()
    while command := os.read(commands, _REPEATS.size):
        for _ in range(_REPEATS.unpack(command)[0]):
            for clear in caches:
                clear()
            for code in codes:
                exec(code, namespace)
        os.write(answers, b".")


def _cache_clear(value: Any) -> Callable[[], None] | None:
    clear = getattr(value, "cache_clear", None)
    return clear if callable(clear) else None
