"""The zygote: a small interpreter that locks itself, and forks a row process per request.

Run as a program by `codedpo_plugin.sandbox.client`, never imported. Three kinds of process:

- The *zygote* imports what solutions commonly need, gives up its rights, and then only forks. It
  never reads a request, so it stays small (a fork costs time per touched page) and clean.
- A *row process* reads some requests (programs and cells), compiles them, forks a leaf per cell (or
  for all cells that cannot disturb each other, see `purity.py`), kills it at its limit, and
  replies as leaves end.
- A *leaf* runs untrusted code, and dies. See `cells.py`.

Leaves are run by `leaves.py`, or by `_leaf.c`, which does the same at less cost.
"""

import contextlib
import gc
import importlib
import itertools
import json
import marshal
import os
import resource
import signal
import sys
import time
import types
from collections.abc import Callable, Iterable
from typing import Any

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))
from codedpo_plugin.sandbox import lockdown, purity, race
from codedpo_plugin.sandbox.cells import Cell, define, run_cell
from codedpo_plugin.sandbox.process_tools import read_exactly
from codedpo_plugin.sandbox.protocol import (
    ENDED,
    ERROR,
    FORK_SERVER_CRASHED,
    LENGTH,
    NOT_RUN,
    pack,
)
from codedpo_plugin.sandbox.runner import (
    CHILD,
    Job,
    Leaves,
    NativeLeaves,
    write,
)

native: Any
try:
    native = importlib.import_module("codedpo_plugin.sandbox._runner")
except ImportError:  # there was no compiler
    native = None

_REQUESTS = 16  # that one row process carries out ...
_COMPILE_SECONDS = 2  # CPU time, at most, to compile a program or a cell
_COMPILE_BYTES = 256 << 20  # that a row process may grow by
_MANY = 50  # ... unless one needs so many leaves: their forks are cheapest from a fresh process

_PRELOAD = (
    "bisect", "collections", "copy", "datetime", "functools", "heapq", "itertools", "math",
    "operator", "random", "re", "string", "typing",
)  # fmt: skip

# Imported by a row process whose programs name them: in each leaf it would cost more than the fork.
_ON_DEMAND = frozenset(
    "array base64 calendar cmath csv dataclasses decimal difflib fractions hashlib inspect json "
    "numbers pprint statistics struct textwrap traceback unicodedata urllib.parse uuid zlib "
    "zoneinfo".split()
)


def main() -> None:
    """Lock down, report the layers, and serve until the request pipe closes."""
    settings = json.loads(sys.argv[1])
    requests, replies = settings["requests"], settings["replies"]
    sys.path[:] = [p for p in sys.path[1:] if p] + settings["path"]
    for name in [name for name in sys.modules if name.startswith("codedpo_plugin")]:
        del sys.modules[name]  # it is no part of what a solution sees
    for name in _PRELOAD:
        __import__(name)
    exec(settings["prelude"], {"__name__": "__prelude__"})
    sys.modules["random"].seed(settings["seed"])
    results = os.memfd_create("results") if lockdown.LINUX else _temporary_file()
    os.chdir(settings["scratch"])
    settings["row_bytes"] = _COMPILE_BYTES + _address_space()
    use_native = native is not None and settings["native"]
    if use_native:
        maps = os.open("/proc/self/maps", os.O_RDONLY)
        memory, settings["memory"] = os.memfd_create("zygote"), os.memfd_create("row")
    layers = lockdown.lock_process(settings["scratch"], settings["path"])
    lockdown.die_with_parent(settings["parent"])
    hello = {"layers": layers, "native": use_native}
    write(replies, [pack(record=json.dumps(hello).encode())])
    sys.argv = [""]
    _warm_up()
    gc.collect()
    gc.freeze()
    if use_native:
        native.settle(memory, maps)
        os.close(maps)
        os.close(memory)
    _serve(requests, replies, results, settings)


_WARM_UP = """
from typing import Any, Dict, List, Optional, Tuple
def f(numbers: List[int], text: str = "") -> Dict[str, Any]:
    found: Optional[Tuple[int, ...]] = tuple(sorted(n for n in numbers if n % 2))
    try:
        return {"a": found, "b": [text.upper(), str(numbers[0]), len(numbers) / 2]}
    except IndexError:
        return {}
"""


def _warm_up() -> None:
    """Run a program, so that leaves do not each write to the pages that a first run writes to."""
    program = compile(_WARM_UP, "<solution>", "exec")
    cells = [Cell({"calls": [call]}) for call in ("f([3, 1, 2], 'x')", "f([])", "f(None)")]
    main = sys.modules["__main__"]
    for _ in range(20):
        module, _broken = define(program)
        for cell in cells:
            run_cell(cell, module.__dict__)
    sys.modules["__main__"] = main


def _address_space() -> int:
    """Bytes, as RLIMIT_AS counts them."""
    if not lockdown.LINUX:
        return 1 << 40
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _temporary_file() -> int:
    import tempfile

    descriptor, path = tempfile.mkstemp()
    os.unlink(path)
    return descriptor


def _serve(requests: int, replies: int, results: int, settings: dict[str, Any]) -> None:
    """Fork a row process for each few requests; it reads them itself."""
    import select

    me = os.getpid()
    while select.select([requests], [], []):
        pid = lockdown.fork()
        if pid == 0:
            lockdown.die_with_parent(me)
            try:
                _rows(requests, replies, results, settings)
            except (OSError, MemoryError):  # the machine can do that too
                os._exit(2)
            except BaseException:
                os._exit(FORK_SERVER_CRASHED)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status:  # the pipe has closed, or the row process broke: its request is lost with it
            crashed = os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL
            os._exit(
                FORK_SERVER_CRASHED
                if crashed or os.waitstatus_to_exitcode(status) == FORK_SERVER_CRASHED
                else 0
            )


def _rows(requests: int, replies: int, results: int, settings: dict[str, Any]) -> None:
    """Read and carry out some requests; then a new process, that nothing has piled up in."""
    signal.pthread_sigmask(signal.SIG_BLOCK, CHILD)
    lockdown.limit(resource.RLIMIT_AS, settings["row_bytes"], resource.RLIM_INFINITY)
    native_leaves = native and settings["native"]
    leaves = (
        NativeLeaves(native, results, replies, settings)
        if native_leaves
        else Leaves(results, replies, settings)
    )
    for _ in range(_REQUESTS):
        size = LENGTH.unpack(read_exactly(requests, LENGTH.size))[0]
        request = marshal.loads(read_exactly(requests, size))
        if "race" in request:
            race.serve(request, requests, lambda text: write(replies, [pack(record=text)]))
            return
        leaves.settings = settings | request
        if _carry_out(request, leaves, settings["share"]) > _MANY:
            return


def _carry_out(request: dict[str, Any], leaves: Leaves | NativeLeaves, share: str) -> int:
    """Run every program of a request with every cell; how many needed a leaf of their own."""
    row = _Row(leaves)
    programs = [_limited(_compiled, source) for source in request["programs"]]
    cells = [_limited(Cell, cell) for cell in request["cells"]]
    pure = [n for n, cell in enumerate(cells) if _is_pure(cell)]
    together: list[Job] = []
    for index, program in enumerate(programs):
        if isinstance(program, bytes):
            row.reply([(index, n) for n in range(len(cells))], ENDED, program)
        elif share == "proved" and purity.is_pure(program):
            names = purity.all_names(program)
            together += [(index, n) for n in pure if names.isdisjoint(cells[n].binds)]
    row.run(programs, cells, together, len(together))
    shared = set(together)
    alone = [
        (index, n)
        for index, program in enumerate(programs)
        if isinstance(program, types.CodeType)
        for n in range(len(cells))
        if (index, n) not in shared
    ]
    if share == "solution":
        for _, group in itertools.groupby(alone, key=lambda job: job[0]):
            jobs = list(group)
            row.run(programs, cells, jobs, len(jobs))
    elif alone:
        _import_what_is_named(programs[index] for index in {index for index, _ in alone})
        row.run_alone(programs, cells, alone)
    return len(alone)


def _import_what_is_named(programs: Iterable[types.CodeType]) -> None:
    """Import modules of the standard library that programs name, most likely to import them."""
    for name in _ON_DEMAND & set[str]().union(*map(purity.all_names, programs)):
        with contextlib.suppress(Exception):
            __import__(name)


def _is_pure(cell: Cell) -> bool:
    """Whether a cell leaves nothing behind, where the program keeps no state."""
    if purity.is_pure_snippet(cell.snippet):
        cell.binds = purity.bound_names(cell.snippet)
        return True
    return cell.arguments is not None or purity.are_pure_calls(cell.calls)


def _limited(compiled: Callable[[Any], Any], source: Any) -> Any:
    """Compile, or be ended by the kernel: a few lines of `finally` can make gigabytes of code."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    lockdown.limit(resource.RLIMIT_CPU, int(time.process_time()) + _COMPILE_SECONDS, hard)
    done = compiled(source)
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
    return done


def _compiled(source: str) -> types.CodeType | bytes:
    """Code, or the record of why there is none."""
    try:
        return compile(source, "<solution>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        text = f"{type(error).__name__}\n{error}"[:300]
        return ERROR + text.encode("utf-8", "replace")


class _Row:
    """Carries out the jobs of one request: pairs of a program and a cell."""

    def __init__(self, leaves: Leaves | NativeLeaves) -> None:
        self.leaves, self.settings = leaves, leaves.settings
        self.timeouts = [0] * len(self.settings["programs"])
        self.spent = [0.0] * len(self.settings["programs"])

    def run_alone(self, programs: list[Any], cells: list[Cell], jobs: list[Job]) -> None:
        """Run a leaf per job. Programs that are harmless to define are defined here, once: a fork
        is cheaper than to do it in each leaf.
        """
        for index in dict.fromkeys(index for index, _ in jobs):
            if not purity.is_inert(programs[index]):
                continue
            programs[index], broken = define(programs[index])
            if broken:
                self.reply([job for job in jobs if job[0] == index], ENDED, broken)
                jobs = [job for job in jobs if job[0] != index]
        gc.freeze()
        self.run(programs, cells, jobs, 1)

    def run(self, programs: list[Any], cells: list[Cell], jobs: list[Job], at_once: int) -> None:
        """Run jobs, so many in one leaf; a program with too many time-outs is left then."""
        while jobs:
            done, struck = self.leaves.run(programs, cells, jobs, at_once, self.spent)
            if struck:
                self.timeouts[jobs[done - 1][0]] += 1
            jobs = jobs[done:]
            if any(map(self._is_out, jobs)):
                self.reply([job for job in jobs if self._is_out(job)], NOT_RUN)
                jobs = [job for job in jobs if not self._is_out(job)]

    def reply(self, jobs: list[Job], status: int, text: bytes = b"") -> None:
        """The same reply to jobs that need no leaf."""
        write(self.settings["replies"], [pack(status, *job, record=text) for job in jobs])

    def _is_out(self, job: Job) -> bool:
        """Whether the job's program has had its time-outs, or its CPU time, in this request."""
        late = self.timeouts[job[0]] >= int(self.settings["max_timeouts"])
        return late or self.spent[job[0]] > float(self.settings["budget"])


if __name__ == "__main__":
    main()
