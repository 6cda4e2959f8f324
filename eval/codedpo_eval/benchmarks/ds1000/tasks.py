"""DS-1000 (Lai et al. 2022, arXiv 2211.11501; simplified format, xlang-ai/DS-1000).

A row has `prompt`, `reference_code`, `metadata` and `code_context`: source that defines
`test_execution(solution)` and sometimes `test_string(solution)`, which raise where a solution is
wrong. As in the benchmark's own `test_ds1000.py`, a solution passes if neither raises.

Programs run in an environment of their own (`environment`), in the project's sandbox: no network,
one scratch folder, limits on CPU time and memory. *The tests run in the solution's process*, since
results are data frames, plots and models: a verdict is never `sealed`. A solution that exits early
or prints does not pass, but an adversarial one can: it may read the expected value from the stack,
or replace `assert_frame_equal`.

Some problems cannot be graded in an environment: they need a library that is not installed
(TensorFlow and PyTorch are not among the pinned ones) or the network (`seaborn.load_dataset`).
Their verdict is `ungraded` for every solution.
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
from codedpo_plugin.parsing.code_blocks import without_thought
from codedpo_plugin.sandbox.client import Limits, Reply, Sandbox

setup = ds1000_env.setup

STOPS = ["</code>", "# SOLUTION END"]
SYSTEM = (
    "Write a short code following the given format and indentation. Place the executable code "
    "between <code> and </code> tags, without any other non-executable things."
)
SECONDS = 60.0
"""CPU seconds of a test at the default of `--seconds`, with which they scale; the benchmark allows
120 seconds of wall time."""
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
            f"{place}: {', '.join(wrong)} missing or of another type; expected a row of DS-1000 in "
            f"the simplified format. The row has: {', '.join(map(str, row))}"
        )
    task_id = f"ds1000/{row['metadata']['problem_id']}"
    return Task(task_id, row["prompt"], None, row["reference_code"], json.dumps(row))


def prompt_and_stops(task: Task, style: str) -> tuple[Prompt, list[str]]:
    """The benchmark's own prompts: the text to continue; for chat models with its instruction."""
    if style == "chat":
        system, user = (
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": task.prompt},
        )
        return [system, user], STOPS
    return task.prompt, STOPS


def program(task: Task, response: str, style: str) -> str:
    """The benchmark's own post-processing, after thinking is stripped."""
    code = without_thought(response).split("</code>")[0].replace("```python", "")
    return code.split("```")[0].split("\nEND SOLUTION")[0].replace("<code>", "")


def subsets(task: Task) -> dict[str, str]:
    """Properties that scores are broken down by."""
    metadata = task.row["metadata"]
    return {
        "library": metadata["library"],
        "perturbation": metadata.get("perturbation_type") or "unknown",
    }


def options(python: str | None = None) -> tuple[tuple[str, str], ...]:
    """Further settings that decide verdicts: the environment, by default that of `setup`.

    Raises:
        InputError: there is none, or libraries are missing.
    """
    environment = ds1000_env.find(python)
    found = {"python": environment.python, "environment": environment.sha256}
    if environment.differences:
        found["not as pinned"] = ", ".join(environment.differences)
    return tuple(found.items())


@contextmanager
def grader(benchmark: Benchmark, settings: GradeSettings) -> Iterator[Grader]:
    """Run solutions with the benchmark's tests, in the environment that `options` found.

    Raises:
        InputError: there is no environment.
    """
    environment = ds1000_env.find(dict(settings.options).get("python"))
    absent = _absent(environment, benchmark)
    seconds = SECONDS * settings.seconds / GradeSettings.seconds  # twice as many when retried
    limits = Limits(seconds, settings.memory_mb, _FILE_MB, share="nothing")
    with Sandbox(limits, interpreter=environment.interpreter()) as sandbox:

        def grade(task: Task, programs: list[str]) -> list[Verdict]:
            row = task.row
            if reason := why_ungraded(row, absent):
                return [Verdict(UNGRADED, error=reason)] * len(programs)
            return [_verdict(row["code_context"], one, sandbox) for one in programs]

        yield grade


def why_ungraded(row: dict[str, Any], absent: frozenset[str]) -> str | None:
    """Why a problem cannot be graded, or None; `absent`: modules that are not installed."""
    source = f"{row['code_context']}\n{row['reference_code']}"
    if missing := sorted(absent & _imported(source)):
        return f"needs {', '.join(missing)}"
    return "needs the network" if _NETWORK.search(source) else None


def _absent(environment: Environment, benchmark: Benchmark) -> frozenset[str]:
    """Modules that tests or references import and that are not installed."""
    names: set[str] = set()
    for task in benchmark.tasks:
        row = task.row
        names |= _imported(f"{row['code_context']}\n{row['reference_code']}")
    return frozenset(ds1000_env.missing_modules(environment, sorted(names)))


@functools.lru_cache(maxsize=2048)
def _imported(source: str) -> frozenset[str]:
    """Top-level names of imports, also within strings: the context contains a program as text."""
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
