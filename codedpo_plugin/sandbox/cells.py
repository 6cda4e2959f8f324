"""Inside a leaf: run one solution with its tests, and say what happened.

A leaf is a process that lives for one cell of the pass matrix, or for several cells of a solution
that can keep no state between them (see `purity.py`). Everything it sends back may have
been made up by the solution, so it sends no verdict that matters: for a split test, the values of
the calls, which are judged elsewhere (see `codedpo_plugin.assertions`).

This file is imported by the zygote: it must need nothing but the standard library and this package.
"""

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from codedpo_plugin.sandbox import encoding

_HARNESS_FRAMES = 6  # on the stack when a solution starts; `python -c` has none


def run_cells(solution: Any, cells: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Run a compiled solution once, then each cell in its namespace.

    A cell has one of: `calls` (expressions; with `names` that must exist), `snippet` (source), or
    `claim` (an expression, with `values`: encoded values for `_r0`, `_r1`, ... and `names`).

    Yields for each `{"values": [encoded, ...]}`, `{"done": bool}`, or `{"error": type name,
    "message": str}`.
    """
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.setrecursionlimit(sys.getrecursionlimit() + _HARNESS_FRAMES)
    broken = _guarded(exec, solution, module.__dict__)
    for cell in cells:
        yield broken or _guarded(_run, cell, module.__dict__)


def _guarded(run: Callable[..., Any], *arguments: Any) -> Any:
    """What `run` returns, or a record of what it raised: SystemExit is the solution's error too."""
    try:
        return run(*arguments)
    except BaseException as error:
        return {"error": _name(error), "message": _message(error)}


def _run(cell: dict[str, Any], namespace: dict[str, Any]) -> dict[str, Any]:
    if "calls" in cell:
        values = [eval(_compile(call, "eval"), namespace) for call in cell["calls"]]
        for name in cell["names"]:
            eval(name, namespace)
        return {"values": [encoding.encode(value) for value in values]}
    if "claim" in cell:
        for number, text in enumerate(cell["values"]):
            namespace[f"_r{number}"] = encoding.decode(text)
        for name in cell["names"]:
            namespace[name] = __import__(name)
        return {"done": bool(eval(_compile(cell["claim"], "eval"), namespace))}
    exec(_compile(cell["snippet"], "exec"), namespace)
    return {"done": True}


def _compile(source: str, mode: str) -> Any:
    return compile(source, "<test>", mode, dont_inherit=True)


def _name(error: BaseException) -> str:
    """The error's type; a subclass of AssertionError counts as one, as it does for `assert`."""
    return "AssertionError" if isinstance(error, AssertionError) else type(error).__name__[:100]


def _message(error: BaseException) -> str:
    try:
        return str(error)[:200]
    except BaseException:
        return ""
