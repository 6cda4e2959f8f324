"""Inside a worker process: run solutions with their tests, and report what happened.

A worker process runs one cell of the pass matrix, or several cells that cannot affect each other
(see `purity.py`). A solution may forge anything it sends back, so it sends no verdict that matters:
for a split test it sends the values of the calls, which are judged elsewhere (see
`codedpo_plugin.execution.judge`).

This file is imported by the zygote: it must need nothing but the standard library and this package.
"""

import marshal
import sys
import types
from collections.abc import Callable
from typing import Any

from codedpo_plugin.sandbox import encoding
from codedpo_plugin.sandbox.protocol import DONE, ERROR, FALSE, PLAIN_CALLS, VALUES, WHOLE

_RECURSION_LIMIT = sys.getrecursionlimit()


class Cell:
    """What is run after a solution, compiled.

    `request` has one of: `calls` (expressions; with `names` that must exist, and `foreign` ones:
    where these exist too, the assertion cannot be judged elsewhere), `snippet` (source),
    `assertion` (an expression, with `values`: encoded values for `_r0`, `_r1`, ... and `names`), or
    `arguments` (marshalled, for one call of the function called `function`; with `digest`, a hash
    of what it returns is sent: for values that are too large).
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self.calls = [_compiled(call, "eval") for call in request.get("calls", ())]
        self.names = request.get("names", ())
        self.foreign = request.get("foreign", ())
        self.values = request.get("values", ())
        self.assertion = _compiled(request["assertion"], "eval") if "assertion" in request else None
        self.snippet = _compiled(request["snippet"], "exec") if "snippet" in request else None
        self.binds: frozenset[str] = frozenset()
        """Names to remove after the snippet, so that others can follow it in this worker."""
        self.function = request.get("function", "")
        self.arguments: bytes | None = request.get("arguments")
        self.digest = request.get("digest", False)

    @property
    def plain_calls(self) -> tuple[types.CodeType, ...] | None:
        """The calls, if evaluating them is all there is to do, and they are few."""
        codes = tuple(call for call in self.calls if isinstance(call, types.CodeType))
        all_compiled = 0 < len(codes) == len(self.calls) <= PLAIN_CALLS
        return codes if all_compiled and not (self.names or self.foreign) else None


def define(program: types.CodeType | types.ModuleType) -> tuple[types.ModuleType, bytes]:
    """The `__main__` module of a program, run unless it has been; a record if it raised."""
    if isinstance(program, types.ModuleType):
        sys.modules["__main__"] = program
        return program, b""
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    return module, _guarded(_define, program, module.__dict__)


def run_cell(cell: Cell, namespace: dict[str, Any]) -> bytes:
    """Run a cell in a program's namespace; its record."""
    return _guarded(run, cell, namespace)


def allow_frames(harness: int) -> None:
    """Let a solution recurse as deep as it could by itself: raise the limit by the frames on the
    stack now, and the `harness` frames that are still to come.
    """
    frame: types.FrameType | None = sys._getframe(1)
    while frame:
        harness, frame = harness + 1, frame.f_back
    sys.setrecursionlimit(_RECURSION_LIMIT + harness)


def _guarded(run: Callable[..., bytes], *arguments: Any) -> bytes:
    """What `run` returns, or the record of what it raised, including SystemExit."""
    try:
        return run(*arguments)
    except BaseException as error:
        return error_record(error)


def error_record(error: BaseException) -> bytes:
    """The record of an exception."""
    return ERROR + f"{_name(error)}\n{_message(error)}".encode("utf-8", "replace")


def _define(solution: types.CodeType, namespace: dict[str, Any]) -> bytes:
    exec(solution, namespace)
    return b""


def run(cell: Cell, namespace: dict[str, Any]) -> bytes:
    """Run a cell in a program's namespace; its record, or whatever it raises."""
    if cell.arguments is not None:
        return _called(cell, cell.arguments, namespace)
    if cell.calls or cell.foreign:
        values = [eval(_checked(call), namespace) for call in cell.calls]
        for name in (*cell.names, *cell.foreign):
            eval(name, namespace)
        if cell.foreign:
            return WHOLE
        return values_record(values)
    if cell.assertion:
        for number, text in enumerate(cell.values):
            namespace[f"_r{number}"] = encoding.decode(text)
        for name in cell.names:
            namespace[name] = __import__(name)
        return DONE if eval(_checked(cell.assertion), namespace) else FALSE
    try:
        exec(_checked(cell.snippet), namespace)
    finally:
        for name in cell.binds:
            namespace.pop(name, None)
    return DONE


def _called(cell: Cell, arguments: bytes, namespace: dict[str, Any]) -> bytes:
    if cell.function not in namespace:
        raise NameError(f"name {cell.function!r} is not defined")
    value = namespace[cell.function](*marshal.loads(arguments))
    return values_record([encoding.digest(value) if cell.digest else value])


def values_record(values: list[Any]) -> bytes:
    """The record of what calls returned."""
    return VALUES + "\n".join(map(encoding.encode, values)).encode()


def _compiled(source: str, mode: str) -> types.CodeType | Exception:
    """Code, or the error to raise in the worker."""
    try:
        return compile(source, "<test>", mode, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        return error.with_traceback(None)


def _checked(code: types.CodeType | Exception | None) -> types.CodeType:
    if isinstance(code, types.CodeType):
        return code
    raise code or ValueError("nothing to run")


def _name(error: BaseException) -> str:
    """The error's type; a subclass of AssertionError counts as one, as it does for `assert`."""
    return "AssertionError" if isinstance(error, AssertionError) else type(error).__name__[:100]


def _message(error: BaseException) -> str:
    try:
        return str(error)[:200]
    except BaseException:
        return ""
