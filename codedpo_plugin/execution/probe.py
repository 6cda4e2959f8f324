"""Probe: run the solutions on mutated inputs of the tests, and find equal programs.

Reads candidates and executions, adds:

| column | type | meaning |
|---|---|---|
| `probes` | P str | mutated calls, of unknown result (see `parsing.input_mutation`) |
| `probe_tests` | P int | the test that each is made from |
| `probed` | N lists of P str or null | what they returned; null if unknown |
| `probe_errors` | N lists of P str or null | type of the exception, or how the process ended |
| `programs` | N int | equal for programs that differ only in comments and layout |

Solutions that passed no test, or timed out, are not run: they cannot become the best.
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa

from codedpo_plugin.execution.judge import returned_text
from codedpo_plugin.parsing.assertions import split_test
from codedpo_plugin.parsing.input_mutation import mutated_calls
from codedpo_plugin.parsing.programs import normalised
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder.shards import Row
from codedpo_plugin.sandbox.client import Limits, Reply, Sandbox
from codedpo_plugin.sandbox.self_check import require

SCHEMA = pa.schema(
    [
        ("task_id", pa.string()),
        ("probes", pa.list_(pa.string())),
        ("probe_tests", pa.list_(pa.int64())),
        ("probed", pa.list_(pa.list_(pa.string()))),
        ("probe_errors", pa.list_(pa.list_(pa.string()))),
        ("programs", pa.list_(pa.int64())),
    ]
)

_SECONDS = 0.1  # CPU time of one call
_LOST = {"timeout", "memory", "crashed", "flaky"}


def probe(rows: Iterable[Row], recipe: Recipe) -> Iterator[Row]:
    """Probe executed candidates, one row at a time; one sandbox serves the whole iteration."""
    settings = recipe.execute
    limits = Limits(
        min(_SECONDS, settings.seconds), settings.memory_mb, max_timeouts=settings.strikes
    )
    with Sandbox(limits) as sandbox:
        require(settings.require, sandbox)
        for row in rows:
            yield probe_problem(row, sandbox, recipe.probe.per_test, recipe.probe.most)


def probe_problem(row: Row, sandbox: Sandbox, per_test: int, most: int) -> Row:
    """Run one problem's solutions on its mutated inputs; identical solutions run once."""
    probes = _mutated_inputs(row, per_test, most)
    worth = [
        solution
        for solution, outcomes in zip(row["solutions"], row["outcomes"], strict=True)
        if "passed" in outcomes and not _LOST & set(outcomes)
    ]
    programs = list(dict.fromkeys(worth)) if probes else []
    replies = sandbox.run_all(programs, [{"calls": [call], "names": []} for call in probes])
    found = {
        program: [_found(reply) for reply in line]
        for program, line in zip(programs, replies, strict=True)
    }
    lines = [found.get(solution, [(None, None)] * len(probes)) for solution in row["solutions"]]
    texts = [normalised(solution) for solution in row["solutions"]]
    return {
        "task_id": row["task_id"],
        "probes": list(probes),
        "probe_tests": list(probes.values()),
        "probed": [[value for value, _ in line] for line in lines],
        "probe_errors": [[error for _, error in line] for line in lines],
        "programs": [texts.index(text) for text in texts],
    }


def _mutated_inputs(row: Row, per_test: int, most: int) -> dict[str, int]:
    """Mutated call -> the test that it is made from."""
    seen: set[str] = set()
    found: dict[str, int] = {}
    for position, source in enumerate(row["tests"]):
        test = split_test(source, row["entry_point"])
        if not test.judged_outside or len(test.calls) != 1:
            continue
        seen.add(test.calls[0])
        for call in mutated_calls(test.calls[0], per_test):
            found.setdefault(call, position)
    fresh = [(call, position) for call, position in found.items() if call not in seen]
    return dict(fresh[:most])


def _found(reply: Reply) -> tuple[str | None, str | None]:
    """What a call returned, or how it failed; neither if it was not run."""
    if reply.record is None:
        ended = (reply.error or "").partition(":")[0] if reply.outcome == "error" else reply.outcome
        return None, ended if reply.outcome != "not_run" else None
    values = reply.record.get("values", [])
    try:
        text = returned_text(values) if len(values) == 1 else None
    except (ValueError, RecursionError):
        text = None
    return text, None if text is not None else "no comparable value"
