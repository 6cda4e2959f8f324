"""evalplus itself: as grader, for leaderboards that require its verdicts, and as extractor.

Pitfalls of its command are avoided: a result file of earlier samples, which it would read instead
of grading, is removed; tasks without a sample, which it refuses, get an empty one; and it reads the
benchmark's file that was given here.
"""

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from codedpo_eval.benchmarks.registry import Benchmark
from codedpo_eval.generation.samples import Samples
from codedpo_eval.grading import grade
from codedpo_eval.verdict import Verdict
from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.run_folder.shards import Row, replacing

_DATASETS = {"humaneval": "HUMANEVAL_OVERRIDE_PATH", "mbpp": "MBPP_OVERRIDE_PATH"}


def run(
    benchmark: Benchmark,
    found: Samples,
    out: Path,
    python: Path,
    workers: int | None,
    console: Console,
) -> list[Row]:
    """Grade samples with the evalplus of an interpreter; writes and returns verdicts like `grade`.

    Raises:
        InputError: the benchmark is not one of evalplus's, or the interpreter has no evalplus.
        InfrastructureError: evalplus failed.
    """
    dataset = benchmark.name.removesuffix("+")
    if dataset not in _DATASETS:
        raise InputError(f"--grader evalplus: it has {' and '.join(_DATASETS)}, not {dataset}")
    version = _version(python)
    folder = out / "evalplus"
    file = folder / "samples.jsonl"
    for stale in folder.glob("samples*eval_results.json*"):
        stale.unlink()
    _write(file, found)
    command = [str(python), "-m", "evalplus.evaluate", "--dataset", dataset, "--samples", str(file)]
    command += [] if benchmark.plus else ["--base_only"]
    command += ["--parallel", str(workers)] if workers else []
    console.print(f"evalplus {version}: {' '.join(command)}", markup=False)
    named = {_DATASETS[dataset]: str(benchmark.path.resolve())}
    ended = subprocess.run(command, env=os.environ | named, check=False, stdin=subprocess.DEVNULL)
    results = next(iter(folder.glob("samples*eval_results.json")), None)
    if ended.returncode or results is None:
        raise InfrastructureError(f"evalplus ended with status {ended.returncode}; see above")
    rows = _verdicts(json.loads(results.read_text()), found, version)
    grade.write(out, rows)
    return rows


def sanitizer() -> Callable[[str, str | None], str]:
    """evalplus's `sanitize`: (text, entry point) -> program. It parses code, and runs none.

    Raises:
        InputError: evalplus is not installed here.
    """
    try:
        from evalplus.sanitize import sanitize
    except ImportError as error:
        raise InputError(f"--extract evalplus: {error}; pip install 'codedpo[evalplus]'") from None
    return cast(Callable[[str, str | None], str], sanitize)


def _version(python: Path) -> str:
    script = "import importlib.metadata; print(importlib.metadata.version('evalplus'))"
    try:
        ended = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"--evalplus-python {python}: {error.strerror}") from None
    if ended.returncode:
        raise InputError(
            f"--grader evalplus: {python} has no evalplus; pip install 'codedpo[evalplus]', or "
            "name the interpreter of an environment with evalplus with --evalplus-python"
        )
    return ended.stdout.strip()


def _write(file: Path, found: Samples) -> None:
    rows = [{"task_id": row["task_id"], "solution": row["solution"]} for row in found.rows]
    rows += [{"task_id": task_id, "solution": ""} for task_id in found.missing]
    with replacing(file) as target:
        for row in rows:
            target.write(json.dumps(row).encode() + b"\n")


def _verdicts(results: dict[str, Any], found: Samples, version: str) -> list[Row]:
    """A row for each sample, from evalplus's results, which keep the order within a task."""
    waiting = defaultdict(list, {task_id: list(some) for task_id, some in results["eval"].items()})
    rows = []
    for row in found.rows:
        judged = waiting[row["task_id"]].pop(0)
        base, plus = judged["base_status"], judged["plus_status"]
        joint = base if base != "pass" else plus
        verdict = Verdict(base, None if plus is None else joint, sealed=False)
        rows.append(
            {"task_id": row["task_id"], "sample": row["sample"], "key": f"evalplus {version}"}
            | vars(verdict)
            | {"retried": False}
        )
    return rows
