"""Execute: run every solution of a problem against every test, each in its own process.

Reads candidates, adds:

| column | type | meaning |
|---|---|---|
| `outcomes` | N lists of M str | see `outcomes.OUTCOMES` |
| `returned` | N lists of M str or null | what the calls under test returned, if the test is split |
| `errors` | N lists of M str or null | `Type: message` raised, or how the process died |
| `sealed` | M bool | whether the verdict was given outside the solution's process |
| `cpu_seconds` | float | CPU time of all runs of the problem |

A returned value is its canonical encoding (`sandbox.encoding`), or a hash of it if that is long:
equal values have equal texts.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from codedpo_plugin.execution.outcomes import Verdict
from codedpo_plugin.execution.schedule import run_cells
from codedpo_plugin.parsing.assertions import Test, split_test
from codedpo_plugin.parsing.programs import may_vary
from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.sandbox.self_check import require

if TYPE_CHECKING:  # what drives a sandbox stays small
    import pyarrow as pa

    from codedpo_plugin.recipe import Recipe
    from codedpo_plugin.run_folder.shards import Row


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


def execute_problem(
    row: "Row", sandbox: Sandbox, max_chars: int, other: Sandbox | None = None
) -> "Row":
    """Fill the pass matrix of one problem. Equal solutions, and equal tests, run once.

    Args:
        row: candidates of one problem.
        sandbox: runs them.
        max_chars: solutions and tests that are longer are `not_run`.
        other: a sandbox with another seed, if solutions that may depend on chance should run twice:
            cells that differ are `flaky`, as a test passed by luck earns no credit.
    """
    tests = {source: split_test(source, row["entry_point"]) for source in row["tests"]}
    runnable = [test for test in tests.values() if len(test.source) <= max_chars]
    programs = [text for text in dict.fromkeys(row["solutions"]) if len(text) <= max_chars]
    verdicts = run_cells(programs, runnable, sandbox)
    if other:
        _mark_flaky(verdicts, programs, runnable, other)
    known = {
        (program, test.source): verdict
        for program, line in zip(programs, verdicts, strict=True)
        for test, verdict in zip(runnable, line, strict=True)
    }
    too_long = Verdict("not_run", error=f"longer than {max_chars:,} characters")
    grid = [
        [known.get((solution, test), too_long) for test in row["tests"]]
        for solution in row["solutions"]
    ]
    return {
        "task_id": row["task_id"],
        "outcomes": [[verdict.outcome for verdict in line] for line in grid],
        "returned": [[verdict.returned for verdict in line] for line in grid],
        "errors": [[verdict.error for verdict in line] for line in grid],
        "sealed": [tests[source].judged_outside for source in row["tests"]],
        "cpu_seconds": sum(verdict.seconds for verdict in known.values()),
    }


def _mark_flaky(
    verdicts: list[list[Verdict]], programs: list[str], tests: list[Test], other: Sandbox
) -> None:
    """Run programs that may depend on chance again, and mark the cells that differ."""
    varying = [n for n, program in enumerate(programs) if may_vary(program)]
    if not varying:
        return
    again = run_cells([programs[n] for n in varying], tests, other)
    for n, line in zip(varying, again, strict=True):
        verdicts[n] = list(map(_agreed, verdicts[n], line))


def _agreed(verdict: Verdict, again: Verdict) -> Verdict:
    """The verdict, unless a second run gave another one."""
    unfinished = {"timeout", "not_run", "flaky"} & {verdict.outcome, again.outcome}
    same = (verdict.outcome, verdict.returned) == (again.outcome, again.returned)
    if same or unfinished:
        return verdict
    return verdict._replace(outcome="flaky", returned=None, error=f"or else {again.outcome}")
