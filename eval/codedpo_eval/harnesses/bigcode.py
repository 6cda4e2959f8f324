"""bigcode-evaluation-harness: its generations file, its command, its metrics read back.

The harness is not on PyPI, so it is run from a checkout, by a Python that has its requirements.
It reads (commit 8fc5bae, 2025-07) a JSON list, in the order of its dataset, of lists of complete
programs. It does not report what is missing, so this is ensured here:

- `--n_samples` is always given: without it, only the first program of each problem is graded.
- Problems have no names in the file, so all are written, in the dataset's order.
- It loads `openai_humaneval` from the working folder if there is one. It is written there, so that
  nothing is downloaded and both graders use the same tests.

It runs programs without a sandbox, and its time limits (3 seconds for HumanEval, 16 programs at a
time) are wall time: on a busy machine right programs fail.
"""

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_eval import subprocess_output
from codedpo_eval.benchmarks.registry import Benchmark
from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.run_folder.shards import Row, replacing

TASKS = {"humaneval": "humaneval", "humaneval+": "humanevalplus", "mbpp+": "mbppplus"}
NAME = "bigcode-evaluation-harness"


@dataclass(frozen=True)
class Job:
    """A grading by the harness, in a folder of its own."""

    folder: Path
    task: str
    """The harness's name of it."""
    n_samples: int
    """Largest number of samples of a problem."""

    @property
    def generations(self) -> Path:
        """The file that it grades."""
        return self.folder / f"generations_{self.task}.json"

    @property
    def metrics(self) -> Path:
        """The file that it writes."""
        return self.folder / f"metrics_{self.task}.json"

    def command(self, checkout: Path, python: str = "python") -> list[str]:
        """The command that grades; to be run in `folder`."""
        return [
            *(python, str(checkout / "main.py"), "--tasks", self.task),
            *("--load_generations_path", self.generations.name),
            *("--n_samples", str(self.n_samples), "--allow_code_execution"),
            *("--metric_output_path", self.metrics.name),
        ]


def write(rows: list[Row], benchmark: Benchmark, folder: Path) -> Job:
    """Write the programs of a run in the harness's format.

    Args:
        rows: samples, with `task_id` and `solution`.
        benchmark: with all its tasks; one without a sample gets an empty program, which fails.

    Raises:
        InputError: the harness does not have this benchmark.
    """
    if benchmark.name not in TASKS:
        raise InputError(
            f"{benchmark.name}: {NAME} has no task with the same problems; "
            f"it has {', '.join(TASKS)}"
        )
    programs: dict[str, list[str]] = {task.task_id: [] for task in benchmark.tasks}
    for row in rows:
        programs[row["task_id"]].append(row["solution"])
    ordered = [programs[task_id] or [""] for task_id in sorted(programs, key=_number)]
    job = Job(folder.absolute(), TASKS[benchmark.name], max(map(len, ordered)))
    with replacing(job.generations) as file:
        file.write(json.dumps(ordered).encode())
    if job.task == "humaneval":
        _write_dataset(benchmark, folder / "openai_humaneval" / "test.jsonl")
    return job


def _number(task_id: str) -> int:
    """Datasets are ordered by the number in the id: HumanEval/9 comes before HumanEval/10."""
    return int(task_id.rpartition("/")[2])


def _write_dataset(benchmark: Benchmark, path: Path) -> None:
    columns = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
    tasks = sorted(benchmark.tasks, key=lambda task: _number(task.task_id))
    with replacing(path) as file:
        for task in tasks:
            row = task.row
            file.write(json.dumps({name: row[name] for name in columns}).encode() + b"\n")


def run(job: Job, checkout: Path, python: str | None, console: Console) -> dict[str, Any]:
    """Grade with the harness, and read its metrics; see `facts`.

    Raises:
        InputError: there is no such checkout.
        InfrastructureError: it failed; the message contains the end of its output.
    """
    checkout = checkout.absolute()
    if not (checkout / "main.py").is_file() or not (checkout / "bigcode_eval").is_dir():
        raise InputError(f"--bigcode {checkout}: not a checkout of {NAME}")
    command = job.command(checkout, python or sys.executable)
    job.metrics.unlink(missing_ok=True)
    subprocess_output.run(
        command,
        f"{NAME}, without a sandbox: {shlex.join(command)}",
        console,
        folder=job.folder,
        environment={"PYTHONPATH": str(checkout), "TOKENIZERS_PARALLELISM": "false"},
    )
    if not job.metrics.is_file():
        raise InfrastructureError(f"{NAME} did not write {job.metrics}")
    return facts(job, checkout, command)


def facts(job: Job, checkout: Path, command: list[str]) -> dict[str, Any]:
    """What a report records: `grader`, `commit`, `task`, `n_samples`, `pass_at_k`, `command`.

    Raises:
        InputError: the metrics are not of this task or number of samples.
    """
    found = json.loads(job.metrics.read_text())
    used = found.get("config", {}).get("n_samples")
    if job.task not in found or used != job.n_samples:
        raise InputError(
            f"{job.metrics}: not of {job.task} with {job.n_samples} samples "
            f"(tasks: {', '.join(sorted(set(found) - {'config'}))}; n_samples: {used})"
        )
    return {
        "grader": NAME,
        "commit": _commit(checkout),
        "task": job.task,
        "n_samples": job.n_samples,
        "pass_at_k": found[job.task],
        "command": shlex.join(command),
    }


def _commit(checkout: Path) -> str | None:
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
