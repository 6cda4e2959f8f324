"""Tests of LiveCodeBench: read from its rows, run with a program, judged out of its process.

A program is run as Python would run it: real file descriptors 0 and 1, `__name__` is `__main__`,
and each test in a process of its own (`harness`). The benchmark's own grader moves the program into
a function and replaces `sys.stdin`, so it fails some right programs: those that write to
`sys.stdout.buffer`, count in a `global`, or read `open(0)` or a second line of `sys.stdin.buffer`.
The imports that it adds, its rules of comparison and its order of tests are kept.
"""

import base64
import binascii
import hashlib
import json
import pickletools
import zlib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

from codedpo_eval.benchmarks.livecodebench import harness
from codedpo_eval.benchmarks.livecodebench.harness import stripped_lines
from codedpo_eval.verdict import PASS, Verdict
from codedpo_plugin.errors import InputError
from codedpo_plugin.sandbox.client import Cell, Reply, Sandbox
from codedpo_plugin.sandbox.encoding import decode

_HARNESS = Path(harness.__file__).read_text()
PRELUDE = f"{_HARNESS}\nexec(_HEADER, {{}})\n"  # modules are imported before programs are forked
_FIRST = 4  # tests that are run before the others: most wrong programs fail one
_MOST = 32  # tests in one request
_DECOMPRESSED = 2 << 30  # limit on the bytes of a problem's tests


class Test(NamedTuple):
    """One test."""

    input: str
    """Text for stdin; or the arguments, one JSON value a line."""
    output: str
    """Text on stdout; or the value, as JSON."""


def read_tests(row: dict[str, Any]) -> list[Test]:
    """Public, then private tests of a problem. Nothing is unpickled; see `_pickled_text`.

    Raises:
        InputError: they are not in the format of the benchmark.
    """
    try:
        columns = [row["public_test_cases"], row["private_test_cases"]]
        lists = [_loads(column) if isinstance(column, str) else column for column in columns]
        return [Test(str(test["input"]), str(test["output"])) for tests in lists for test in tests]
    except (ValueError, TypeError, KeyError, zlib.error) as error:
        raise InputError(
            f"question_id {row.get('question_id')}: its tests cannot be read: {error!r}"[:300]
        ) from None


def grade(row: dict[str, Any], program: str, tests: list[Test], sandbox: Sandbox) -> Verdict:
    """Run a program's tests in order until one fails, as the benchmark does."""
    name = json.loads(row["metadata"] or "{}").get("func_name")
    source = f"{_HARNESS}\n_SOURCE = {program!r}\n"
    done, seconds = 0, 0.0
    while some := tests[done : done + (_FIRST if not done else _MOST)]:
        # Each test has its own time limit; all tests together have none.
        budget = sandbox.limits.seconds * (len(some) + 1)
        cells = [_cell(test, name) for test in some]
        (replies,) = sandbox.run_all([source], cells, budget=budget)
        for test, reply in zip(some, replies, strict=True):
            seconds += reply.seconds
            status, error = judge(test, reply, name)
            if status != PASS:
                return Verdict(status, failed_tests=(done,), seconds=seconds, error=error)
            done += 1
    return Verdict(PASS, seconds=seconds)


def _cell(test: Test, name: str | None) -> Cell:
    if name:
        return {"calls": [f"value_of(_SOURCE, {name!r}, {test.input!r})"]}
    return {"calls": [f"stdout_of(_SOURCE, {test.input!r})"]}


_STATUS = {"failed": "error", "not_run": "crashed"}


def judge(test: Test, reply: Reply, name: str | None) -> tuple[str, str | None]:
    """Status and error of a test from what its process sent; only this uses expected outputs."""
    if reply.record is None:
        # An AssertionError was raised by the program itself; `not_run`: no process could run it.
        return _STATUS.get(reply.outcome, reply.outcome), reply.error
    try:
        (text,) = reply.record["values"]
        value = decode(text)
    except (KeyError, ValueError):
        return "crashed", "its process did not send one output"
    held = same_value(value, test.output) if name else same_output(value, test.output)
    return (PASS, None) if held else ("fail", f"wrong answer: {str(value)[:100]!r}")


def same_value(value: Any, expected: str) -> bool:
    """Whether a method returned the expected value; a tuple at the top level counts as a list."""
    return bool(value == json.loads(expected))


def same_output(printed: Any, expected: str) -> bool:
    """Whether a program printed the expected lines, without surrounding spaces; lines that differ
    are compared as exact decimal numbers.
    """
    lines = stripped_lines(expected)
    if isinstance(printed, tuple):  # too long to be sent
        return printed == ("sha256", hashlib.sha256("\n".join(lines).encode()).hexdigest())
    if not isinstance(printed, str):
        return False
    own = stripped_lines(printed)
    return len(own) == len(lines) and all(map(_same_line, own, lines))


def _same_line(own: str, expected: str) -> bool:
    if own == expected:
        return True
    try:
        return [*map(Decimal, own.split())] == [*map(Decimal, expected.split())]
    except InvalidOperation:
        return False


def _loads(text: str) -> Any:
    """Tests of a column: JSON, or JSON that is pickled, compressed, and encoded in base64."""
    if text.lstrip().startswith("["):
        return json.loads(text)
    try:
        compressed = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"neither JSON nor base64 ({error})") from None
    decompressor = zlib.decompressobj()
    pickled = decompressor.decompress(compressed, _DECOMPRESSED)
    if decompressor.unconsumed_tail:
        raise ValueError(f"more than {_DECOMPRESSED >> 30} GiB of tests")
    return json.loads(_pickled_text(pickled))


_TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")
_AROUND = ("PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP")


def _pickled_text(pickled: bytes) -> str:
    """The string in a pickle of one string. The pickle is parsed and never loaded, since
    loading can run arbitrary code.
    """
    texts = []
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name in _TEXTS:
            texts.append(str(argument))
        elif operation.name not in _AROUND:
            raise ValueError(f"a pickle of a string was expected; this one has {operation.name}")
    if len(texts) != 1:
        raise ValueError(f"a pickle of one string was expected; this one has {len(texts)}")
    return texts[0]
