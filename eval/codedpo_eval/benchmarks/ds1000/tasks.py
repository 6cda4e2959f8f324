"""DS-1000 (Lai et al. 2022, arXiv 2211.11501; simplified format, xlang-ai/DS-1000).

A row has `prompt`, `reference_code`, `metadata` and `code_context`: source that defines
`test_execution(solution)` and sometimes `test_string(solution)`, which raise where a solution is
wrong. As in the benchmark's own `test_ds1000.py`, a solution passes if neither raises.

The programs run in an environment of their own (`ds1000_env`), in the project's sandbox: no
network, one scratch folder, limits on CPU time and memory. *The tests run in the solution's
process*, since results are data frames, plots and models: a verdict is never `sealed`. A solution
that exits early or prints does not pass, but one that sets out to can: it may read the expected
value from the stack, or replace `assert_frame_equal`.

Some problems cannot be graded in an environment: they need a library that is not there (TensorFlow
and PyTorch are not among the pinned ones) or the network (`seaborn.load_dataset`). Their verdict is
`ungraded`, whatever the solution.
"""

import functools
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from codedpo_eval.benchmarks.ds1000 import environment as ds1000_env
from codedpo_eval.benchmarks.ds1000.environment import Environment
from codedpo_eval.benchmarks.registry import Benchmark, Grader, Located, Prompt, Task
from codedpo_eval.verdict import PASS, UNGRADED, GradeSettings, Verdict
from codedpo_plugin.errors import InputError
from codedpo_plugin.parsing.extraction import without_thought
from codedpo_plugin.sandbox.client import Limits, Reply, Sandbox

setup = ds1000_env.setup

STOPS = ["</code>", "# SOLUTION END"]
SYSTEM = (
    "Write a short code following the given format and indentation. Place the executable code "
    "between <code> and </code> tags, without any other non-executable things."
)
SECONDS = (
    60.0  # of CPU, unless `--seconds` asks for more or less; the benchmark has 120 by the clock
)
_FILE_MB = 64

_IMPORT = re.compile(r"^\s*(?:import|from)\s+(\w+)", re.MULTILINE)
_NETWORK = re.compile(r"\b(?:sns|seaborn)\.load_dataset\(|\bfetch_\w+\(")


def tasks(rows: Iterable[Located]) -> list[Task]:
    """The tasks, `ds1000/0` and so on by the benchmark's own `problem_id`.

    Raises:
        InputError: a row is not of the simplified format.
    """
    return [_task(place, row) for place, row in rows]


def _task(place: str, row: dict[str, Any]) -> Task:
    texts = ("prompt", "reference_code", "code_context")
    wrong = [column for column in texts if not isinstance(row.get(column), str)]
    metadata = row.get("metadata")
    if not isinstance(metadata, dict) or "library" not in metadata or "problem_id" not in metadata:
        wrong.append("metadata")
    if wrong:
        raise InputError(
            f"{place}: {', '.join(wrong)} missing or of another type; a row of DS-1000 in the "
            f"simplified format was expected. The row has: {', '.join(map(str, row))}"
        )
    task_id = f"ds1000/{row['metadata']['problem_id']}"
    return Task(task_id, row["prompt"], None, row["reference_code"], json.dumps(row))


def ask(task: Task, style: str) -> tuple[Prompt, list[str]]:
    """The benchmark's own prompts: the text to go on from, or with its line for chat models."""
    if style == "chat":
        system, user = (
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": task.prompt},
        )
        return [system, user], STOPS
    return task.prompt, STOPS


def program(task: Task, response: str, style: str) -> str:
    """The benchmark's own post-processing, after thinking is taken away."""
    code = without_thought(response).split("</code>")[0].replace("```python", "")
    return code.split("```")[0].split("\nEND SOLUTION")[0].replace("<code>", "")


def subsets(task: Task) -> dict[str, str]:
    """What scores are broken down by."""
    metadata = task.row["metadata"]
    return {
        "library": metadata["library"],
        "perturbation": metadata.get("perturbation_type") or "unknown",
    }


def options(python: str | None = None) -> tuple[tuple[str, str], ...]:
    """What decides verdicts besides: the environment, of `codedpo eval setup ds1000` or another.

    Raises:
        InputError: there is none, or it lacks libraries.
    """
    environment = ds1000_env.find(python)
    told = {"python": environment.python, "environment": environment.sha256}
    if environment.differences:
        told["not as pinned"] = ", ".join(environment.differences)
    return tuple(told.items())


@contextmanager
def grader(benchmark: Benchmark, settings: GradeSettings) -> Iterator[Grader]:
    """Runs solutions with the benchmark's tests, in the environment that `options` found.

    Raises:
        InputError: the environment is not there.
    """
    environment = ds1000_env.find(dict(settings.options).get("python"))
    absent = _absent(environment, benchmark)
    seconds = SECONDS * settings.seconds / GradeSettings.seconds  # more when it is run again alone
    limits = Limits(seconds, settings.memory_mb, _FILE_MB, share="nothing")
    with Sandbox(limits, interpreter=environment.interpreter()) as sandbox:

        def grade(task: Task, programs: list[str]) -> list[Verdict]:
            row = task.row
            if reason := why_ungraded(row, absent):
                return [Verdict(UNGRADED, error=reason)] * len(programs)
            return [_verdict(row["code_context"], one, sandbox) for one in programs]

        yield grade


def why_ungraded(row: dict[str, Any], absent: frozenset[str]) -> str | None:
    """Why no solution of a problem can be graded; `absent`: modules that are not installed."""
    source = f"{row['code_context']}\n{row['reference_code']}"
    if missing := sorted(absent & _imported(source)):
        return f"needs {', '.join(missing)}"
    return "needs the network" if _NETWORK.search(source) else None


def _absent(environment: Environment, benchmark: Benchmark) -> frozenset[str]:
    """Modules that tests or references import, and the environment lacks."""
    names: set[str] = set()
    for task in benchmark.tasks:
        row = task.row
        names |= _imported(f"{row['code_context']}\n{row['reference_code']}")
    return frozenset(ds1000_env.lacks_module(environment, sorted(names)))


@functools.lru_cache(maxsize=2048)
def _imported(source: str) -> frozenset[str]:
    """Top-level names of imports, also of those in strings: the context holds a program as text."""
    return frozenset(_IMPORT.findall(source))


def _verdict(context: str, solution: str, sandbox: Sandbox) -> Verdict:
    test = f"test_execution({solution!r})\n"
    if "test_string(" in context:
        test += f"test_string({solution!r})\n"
    reply = sandbox.run(context, [{"snippet": test}])[0]
    return Verdict(_status(reply), seconds=reply.seconds, sealed=False, error=reply.error)


def _status(reply: Reply) -> str:
    if reply.outcome == "ended":
        return PASS if reply.record and reply.record.get("done") is True else "crashed"
    return {"failed": "fail", "not_run": "crashed"}.get(reply.outcome, reply.outcome)
