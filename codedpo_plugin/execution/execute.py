"""Execute: run every solution of a problem against every test, each in its own process.

Reads candidates, adds:

| column | type | meaning |
|---|---|---|
| `outcomes` | N lists of M str | see `OUTCOMES` |
| `returned` | N lists of M str or null | what the calls under test returned, if it is split |
| `errors` | N lists of M str or null | `Type: message` raised, or how the process died |
| `sealed` | M bool | whether the verdict was given outside the solution's process |
| `cpu_seconds` | float | CPU time of all runs of the problem |

A returned value is its canonical encoding (`sandbox.encoding`), or its hash where that is long:
equal values have equal texts.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from codedpo_plugin.errors import InfrastructureError
from codedpo_plugin.parsing.assertions import Test, judge_here, split_test
from codedpo_plugin.parsing.programs import may_vary
from codedpo_plugin.sandbox.client import Cell, Limits, Reply, Sandbox
from codedpo_plugin.sandbox.encoding import canonical
from codedpo_plugin.sandbox.self_check import tried

if TYPE_CHECKING:  # what drives a sandbox stays small
    import pyarrow as pa

    from codedpo_plugin.recipe import Recipe
    from codedpo_plugin.run_folder.shards import Row

OUTCOMES = {
    "passed": "the test held",
    "failed": "the assertion was false, or an AssertionError was raised",
    "error": "any other exception, SystemExit and SyntaxError among them",
    "timeout": "used its CPU time, or waited for too long",
    "memory": "ran out of its memory",
    "crashed": "the process died, or ended before the test did",
    "flaky": "differs between two runs: it depends on chance, time or the order of a set",
    "not_run": "too long, not worth running after repeated time-outs, or ended by the machine",
}

_SHORT = 0.1  # of the CPU limit, at first
_LONG = 1000  # characters of values that are not kept to compare
MAX_RETURNED = 200  # characters of a returned value that are kept; longer ones become a hash


def schema(_: "Recipe | None" = None) -> "pa.Schema":
    """Columns of the stage's shards."""
    import pyarrow as pa

    text, grid = pa.string(), pa.list_(pa.list_(pa.string()))
    columns = [("task_id", text), ("outcomes", grid), ("returned", grid), ("errors", grid)]
    return pa.schema([*columns, ("sealed", pa.list_(pa.bool_())), ("cpu_seconds", pa.float64())])


def execute(rows: "Iterable[Row]", recipe: "Recipe") -> "Iterator[Row]":
    """Run candidates, one row at a time; a sandbox lives as long as the iteration.

    Raises:
        InfrastructureError: the sandbox lacks a layer that `execute.require` demands.
    """
    settings = recipe.execute
    limits = Limits(settings.seconds, settings.memory_mb, max_timeouts=settings.strikes)
    with Sandbox(limits) as sandbox, Sandbox(limits, seed=1) as other:
        require(settings.require, sandbox)
        for row in rows:
            yield execute_problem(row, sandbox, settings.max_chars, other)


def require(names: list[str], sandbox: Sandbox) -> None:
    """Refuse to go on without the sandbox layers, or tried properties, that a recipe demands."""
    states = sandbox.layers
    if not states.keys() >= set(names):
        states = states | tried(sandbox)
    for name in names:
        state = states.get(name, f"no such layer or property; there are {', '.join(states)}")
        if state != "on":
            raise InfrastructureError(f"execute.require: {name} is off on this machine: {state}")


class Verdict(NamedTuple):
    """One cell of the pass matrix."""

    outcome: str
    """A key of `OUTCOMES`."""
    seconds: float = 0.0
    """CPU seconds used."""
    error: str | None = None
    """`Type: message` of what was raised, or how the process died."""
    returned: str | None = None
    """What the calls under test returned."""


def execute_problem(
    row: "Row", sandbox: Sandbox, max_chars: int, other: Sandbox | None = None
) -> "Row":
    """Fill the pass matrix of one problem. Equal solutions, and equal tests, run once.

    With an `other` sandbox, of another seed, solutions that may depend on chance are run there too,
    and cells that differ are `flaky`: a test that is passed by luck earns no credit.
    """
    tests = {source: split_test(source, row["entry_point"]) for source in row["tests"]}
    runnable = [test for test in tests.values() if len(test.source) <= max_chars]
    programs = [text for text in dict.fromkeys(row["solutions"]) if len(text) <= max_chars]
    verdicts = _run_all(programs, runnable, sandbox)
    varying = [n for n, program in enumerate(programs) if other and may_vary(program)]
    if other and varying:
        again = _run_all([programs[n] for n in varying], runnable, other)
        for n, line in zip(varying, again, strict=True):
            verdicts[n] = list(map(_agreed, verdicts[n], line))
    matrix = {
        program: {test.source: verdict for test, verdict in zip(runnable, line, strict=True)}
        for program, line in zip(programs, verdicts, strict=True)
    }
    too_long = Verdict("not_run", error=f"longer than {max_chars:,} characters")
    grid = [
        [matrix.get(solution, {}).get(test, too_long) for test in row["tests"]]
        for solution in row["solutions"]
    ]
    return {
        "task_id": row["task_id"],
        "outcomes": [[verdict.outcome for verdict in line] for line in grid],
        "returned": [[verdict.returned for verdict in line] for line in grid],
        "errors": [[verdict.error for verdict in line] for line in grid],
        "sealed": [tests[source].judged_outside for source in row["tests"]],
        "cpu_seconds": sum(v.seconds for line in matrix.values() for v in line.values()),
    }


def _run_all(programs: list[str], tests: list[Test], sandbox: Sandbox) -> list[list[Verdict]]:
    """Verdicts [programs][tests]: first under a short limit, since hangs cost more than all else;
    then, under the full one, what is left of the programs that could still pass the most tests.
    """
    judge = _Judge(sandbox)
    short, full = sandbox.limits.seconds * _SHORT, sandbox.limits.seconds
    verdicts = [[Verdict("not_run")] * len(tests) for _ in programs]

    def fill(some_programs: list[int], some_tests: list[int], seconds: float) -> None:
        those = [tests[n] for n in some_tests]
        replies = _replies([programs[n] for n in some_programs], those, sandbox, seconds)
        for index, line in zip(some_programs, replies, strict=True):
            for n, reply in zip(some_tests, line, strict=True):
                verdicts[index][n] = judge.verdict(tests[n], reply)
            _hear_messages(programs[index], tests, verdicts[index], some_tests, sandbox, seconds)

    fill(list(range(len(programs))), list(range(len(tests))), short)
    # Tests on which every program hangs are the tests' fault: they must not cost the others theirs.
    blamed: set[int] = set()
    while hanging := _hanging_tests(verdicts) - blamed:
        blamed |= hanging
        for index, line in enumerate(verdicts):
            left = [n for n, v in enumerate(line) if v.outcome == "not_run" and n not in blamed]
            if left:
                fill([index], left, short)
    passed = [sum(verdict.outcome == "passed" for verdict in line) for line in verdicts]
    best = passed.index(max(passed)) if passed else 0
    for n in sorted(blamed):  # unless they are just heavy: the best program will tell
        fill([best], [n], full)
        if verdicts[best][n].outcome != "timeout":
            blamed.discard(n)
    for index, line in enumerate(verdicts):
        unsettled = [n for n, v in enumerate(line) if v.outcome in ("timeout", "not_run")]
        left = [n for n in unsettled if n not in blamed]
        if left and passed[index] + len(left) >= max(passed):
            # One cell first: a program that hangs there too has had its chance.
            fill([index], left[:1], full)
            if left[1:] and line[left[0]].outcome in ("passed", "failed"):
                fill([index], left[1:], full)
    return verdicts


def _hear_messages(
    program: str,
    tests: list[Test],
    line: list[Verdict],
    some: list[int],
    sandbox: Sandbox,
    seconds: float,
) -> None:
    """Where an assertion is false and the test's message may raise, run the whole test: what it
    raises instead of AssertionError is the outcome.
    """
    failed = [n for n in some if tests[n].message and line[n].outcome == "failed"]
    snippets: list[Cell] = [{"snippet": tests[n].source} for n in failed]
    if failed:
        (replies,) = sandbox.run_all([program], snippets, seconds)
        for n, reply in zip(failed, replies, strict=True):
            if reply.record is None and reply.outcome != "not_run":
                line[n] = line[n]._replace(outcome=reply.outcome, error=reply.error)


def _hanging_tests(verdicts: list[list[Verdict]]) -> set[int]:
    """Tests on which all programs that ran them, and two at least, timed out."""
    hanging = set()
    for n, column in enumerate(zip(*verdicts, strict=True)):
        ran = [verdict.outcome for verdict in column if verdict.outcome != "not_run"]
        if len(ran) > 1 and set(ran) == {"timeout"}:
            hanging.add(n)
    return hanging


def _replies(
    programs: list[str], tests: list[Test], sandbox: Sandbox, seconds: float
) -> list[list[Reply]]:
    """Replies [programs][tests]; tests that turn out to need the solution's names are run whole."""
    replies = sandbox.run_all(programs, [_cell(test) for test in tests], seconds)
    for program, line in zip(programs, replies, strict=True):
        whole = [n for n, reply in enumerate(line) if tests[n].foreign and _needs_whole(reply)]
        if whole:
            snippets: list[Cell] = [{"snippet": tests[n].source} for n in whole]
            (again,) = sandbox.run_all([program], snippets, seconds)
            for n, reply in zip(whole, again, strict=True):
                line[n] = reply
    return replies


def _needs_whole(reply: Reply) -> bool:
    return reply.record is not None and "whole" in reply.record


def _agreed(verdict: Verdict, again: Verdict) -> Verdict:
    """The verdict, unless a second run gave another one."""
    unfinished = {"timeout", "not_run", "flaky"} & {verdict.outcome, again.outcome}
    same = (verdict.outcome, verdict.returned) == (again.outcome, again.returned)
    if same or unfinished:
        return verdict
    return verdict._replace(outcome="flaky", returned=None, error=f"or else {again.outcome}")


def _cell(test: Test) -> Cell:
    if test.calls or test.foreign:
        names = {"names": list(test.names), "foreign": list(test.foreign)}
        return {"calls": list(test.calls)} | names
    return {"snippet": test.source}


class _Judge:
    """Turns what a leaf sent into a verdict; equal values for a test are judged once."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.known: dict[tuple[str, str], Verdict] = {}

    def verdict(self, test: Test, reply: Reply) -> Verdict:
        """The outcome of a cell, given what its leaf sent or how it ended."""
        if reply.record is None:
            return Verdict(reply.outcome, reply.seconds, reply.error)
        if not test.judged_outside:
            good = reply.record.get("done") is True
            return Verdict("passed" if good else "crashed", reply.seconds)
        values = reply.record.get("values", [])
        if len(values) != len(test.calls):
            return Verdict("crashed", reply.seconds, "sent something else than its values")
        text = "\0".join(values)
        key = (test.source, text if len(text) < _LONG else _digest(text))
        known = self.known.get(key)
        if not known:
            known = self.known[key] = self._judged(test, values)
        return Verdict(known.outcome, reply.seconds, known.error, known.returned)

    def _judged(self, test: Test, values: list[str]) -> Verdict:
        try:
            returned = returned_text(values)
            held = judge_here(test, values[0])
        except (ValueError, RecursionError) as error:
            return Verdict("error", error=f"{type(error).__name__}: {error}")
        if held is None:
            assertion = {"assertion": test.assertion, "values": values, "names": list(test.names)}
            (reply,) = self.sandbox.run("", [assertion])
            if reply.record is None:
                return Verdict(reply.outcome, error=reply.error, returned=returned)
            held = reply.record.get("done") is True
        return Verdict("passed" if held else "failed", returned=returned)


def returned_text(values: list[str]) -> str | None:
    """Canonical text of what calls returned; None where it cannot be compared.

    Raises:
        ValueError: a value is not one that `encode` makes.
    """
    text = "; ".join(map(canonical, values))
    if '{"object":' in text:
        return None
    if len(text) > MAX_RETURNED:
        return f"sha256:{_digest(text)} ({len(text)} characters)"
    return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
