"""The zygote: a small interpreter that locks itself down, and forks a fork server per few requests.

`client` runs this file as a program; nothing imports it. Three kinds of process:

- The *zygote* imports what solutions commonly need, gives up its rights, and then only forks. It
  never reads a request, so it stays small (a fork costs time per touched page) and clean.
- A *fork server* (see `fork_server.py`) reads some requests (programs and cells), compiles them,
  and forks a worker process per cell, or for all cells that cannot affect each other (see
  `purity.py`). It kills workers at their limits, and replies when they end.
- A *worker process* (see `cells.py`) runs untrusted code, and ends.

Worker processes are started and watched by `runner.py`, or by `native/runner.c` at lower cost.
"""

import gc
import json
import os
import select
import signal
import sys
from typing import Any

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))
from codedpo_plugin.sandbox import fork_server, lockdown, runner
from codedpo_plugin.sandbox.cells import Cell, define, run_cell
from codedpo_plugin.sandbox.process_tools import LINUX, fork
from codedpo_plugin.sandbox.protocol import FORK_SERVER_CRASHED, pack

_PRELOAD = (
    "bisect", "collections", "copy", "datetime", "functools", "heapq", "itertools", "math",
    "operator", "random", "re", "string", "typing",
)  # fmt: skip


def main() -> None:
    """Lock down, report the layers, and serve until the request pipe closes.

    The settings are JSON, the only argument: descriptors (`requests`, `replies`), `parent` (pid),
    `path`, `prelude`, `scratch` and `seed` (see `zygote_handle.Zygote`), and limits (see
    `client.Sandbox`).
    """
    settings = json.loads(sys.argv[1])
    _import_for_solutions(settings)
    results = os.memfd_create("results") if LINUX else _temporary_file()
    os.chdir(settings["scratch"])
    settings["server_bytes"] = fork_server.memory_limit()
    settings["native"] = settings["native"] and runner.native is not None
    if settings["native"]:
        maps = os.open("/proc/self/maps", os.O_RDONLY)
        memory = os.memfd_create("zygote")
        settings["memory"] = os.memfd_create("fork server")
    layers = lockdown.lock_process(settings["scratch"], settings["path"])
    lockdown.die_with_parent(settings["parent"])
    hello = {"layers": layers, "native": settings["native"]}
    runner.write(settings["replies"], [pack(record=json.dumps(hello).encode())])
    sys.argv = [""]
    _warm_up()
    gc.collect()
    gc.freeze()
    if settings["native"]:
        runner.native.settle(memory, maps)
        os.close(maps)
        os.close(memory)
    _serve(results, settings)


def _import_for_solutions(settings: dict[str, Any]) -> None:
    """Import what solutions commonly need, and hide this package from them."""
    sys.path[:] = [p for p in sys.path[1:] if p] + settings["path"]
    for name in [name for name in sys.modules if name.startswith("codedpo_plugin")]:
        del sys.modules[name]
    for name in _PRELOAD:
        __import__(name)
    exec(settings["prelude"], {"__name__": "__prelude__"})
    sys.modules["random"].seed(settings["seed"])


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
    """Run a program, as only the first run writes to some memory pages: workers then share them."""
    program = compile(_WARM_UP, "<solution>", "exec")
    cells = [Cell({"calls": [call]}) for call in ("f([3, 1, 2], 'x')", "f([])", "f(None)")]
    main = sys.modules["__main__"]
    for _ in range(20):
        module, _broken = define(program)
        for cell in cells:
            run_cell(cell, module.__dict__)
    sys.modules["__main__"] = main


def _temporary_file() -> int:
    import tempfile

    descriptor, path = tempfile.mkstemp()
    os.unlink(path)
    return descriptor


def _serve(results: int, settings: dict[str, Any]) -> None:
    """Fork one fork server after the other while there are requests; they read them themselves."""
    me, requests = os.getpid(), settings["requests"]
    while select.select([requests], [], []):
        pid = fork()
        if pid == 0:
            lockdown.die_with_parent(me)
            try:
                fork_server.serve(requests, settings["replies"], results, settings)
            except (OSError, MemoryError):  # the machine can cause these too
                os._exit(2)
            except BaseException:
                os._exit(FORK_SERVER_CRASHED)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status:  # the pipe has closed, or the fork server crashed, and its request is lost
            os._exit(FORK_SERVER_CRASHED if _crashed(status) else 0)


def _crashed(status: int) -> bool:
    """Whether a fork server with this wait status crashed; a SIGKILL may come from outside."""
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) != signal.SIGKILL
    return os.waitstatus_to_exitcode(status) == FORK_SERVER_CRASHED


if __name__ == "__main__":
    main()
