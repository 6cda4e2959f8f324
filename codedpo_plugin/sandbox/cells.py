"""Inside a leaf: run one solution with one test, and say what happened.

A leaf is a process that lives for one cell of the pass matrix. Everything it sends back may have
been made up by the solution, so it sends no verdict that matters: for a split test, the values of
the calls, which are judged elsewhere (see `codedpo_plugin.assertions`).

This file is imported by the zygote: it must need nothing but the standard library and its folder.
"""

import sys
import types
from typing import Any

import encoding  # the zygote puts this folder on the path

_HARNESS_FRAMES = 4  # on the stack when a solution starts; `python -c` has none


def run_cell(solution: Any, cell: dict[str, Any]) -> dict[str, Any]:
    """Run a compiled solution, then one cell in its namespace.

    `cell` has one of: `calls` (expressions; with `names` that must exist), `snippet` (source), or
    `claim` (an expression, with `values`: encoded values for `_r0`, `_r1`, ... and `names`).

    Returns:
        `{"values": [encoded, ...]}`, `{"done": True}`, or `{"error": type name, "message": str}`.
    """
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.setrecursionlimit(sys.getrecursionlimit() + _HARNESS_FRAMES)
    try:
        exec(solution, module.__dict__)
        return _run(cell, module.__dict__)
    except BaseException as error:  # SystemExit and KeyboardInterrupt are the solution's too
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
