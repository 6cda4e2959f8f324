"""CPU time of grading, beside evalplus in the same run, on reference solutions.

    python benchmarks/eval.py humaneval+ --data HumanEvalPlus.jsonl.gz --evalplus PYTHON \
        [--every 1] [--busy 0] [--wrong] [--rounds 1]

Both grade the same samples, one after the other, with one worker: every k-th task of the file, a
reference solution each (and with `--wrong` one that returns nothing). Ground truth is made before,
by each in its own way, and not counted. What starting the two costs (with the report) is measured
by running each again, when all verdicts are known. CPU seconds are those of all processes, as the
kernel counts them; `--busy` keeps so many cores busy meanwhile.
"""

import argparse
import contextlib
import gzip
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def main() -> None:
    """Run both; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmark", choices=["humaneval", "humaneval+", "mbpp", "mbpp+"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--evalplus", type=Path, required=True, help="interpreter with evalplus")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--wrong", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, samples, tasks = prepared(folder, arguments)
        ours = our_command(arguments, data, samples, folder)
        theirs = their_command(arguments, samples)
        environment = os.environ | {
            "XDG_CACHE_HOME": str(folder / "cache"),
            "HUMANEVAL_OVERRIDE_PATH": str(data),
            "MBPP_OVERRIDE_PATH": str(data),
        }
        measured(ours, environment)  # ground truth, once
        measured(theirs, environment)
        head = ("grader", "CPU s / solution", "CPU s to start", "CPU s in all", "right")
        table = Table(*head, box=None)
        for _ in range(arguments.rounds):
            clean(folder)
            with busy(arguments.busy):
                lines = {
                    "codedpo": (measured(ours, environment), our_score(folder)),
                    "evalplus": (measured(theirs, environment), their_score(folder)),
                }
            starts = {  # all is known now
                "codedpo": measured(ours, environment),
                "evalplus": measured(theirs, environment),
            }
            grading = {}
            for grader, (seconds, right) in lines.items():
                grading[grader] = (seconds - starts[grader]) / count(samples)
                table.add_row(
                    grader,
                    f"{grading[grader]:.4f}",
                    f"{starts[grader]:.1f}",
                    f"{seconds:.1f}",
                    f"{right} of {tasks}",
                )
            ratios = (
                grading["evalplus"] / grading["codedpo"],
                starts["evalplus"] / starts["codedpo"],
            )
            whole = lines["evalplus"][0] / lines["codedpo"][0]
            table.add_row("ratio", *(f"{ratio:.2f}" for ratio in (*ratios, whole)))
    console = Console()
    console.print(f"{arguments.benchmark}, {arguments.busy} busy loops; {platform.platform()}, "
                  f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    console.print(table)


def prepared(folder: Path, arguments: argparse.Namespace) -> tuple[Path, Path, int]:
    """A file of some tasks, and samples of these."""
    packed = arguments.data.suffix == ".gz"
    with gzip.open(arguments.data, "rt") if packed else open(arguments.data) as file:
        rows = [json.loads(line) for line in file][:: arguments.every]
    data, samples = folder / "data.jsonl", folder / "samples.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with open(samples, "w") as file:
        for row in rows:
            right = row["prompt"] + row["canonical_solution"]
            wrong = f"def {row['entry_point']}(*_):\n    return None\n"
            for solution in [right, wrong] if arguments.wrong else [right]:
                file.write(json.dumps({"task_id": row["task_id"], "solution": solution}) + "\n")
    return data, samples, len(rows)


def our_command(
    arguments: argparse.Namespace, data: Path, samples: Path, folder: Path
) -> list[str]:
    """Grade with codedpo."""
    options = ["--data", str(data), "--samples", str(samples), "--out", str(folder / "run")]
    command = [sys.executable, "-m", "codedpo_plugin.cli", "eval", "grade", arguments.benchmark]
    return [*command, *options, "--workers", "1"]


def their_command(arguments: argparse.Namespace, samples: Path) -> list[str]:
    """Grade with evalplus."""
    name = arguments.benchmark
    command = [str(arguments.evalplus), "-m", "evalplus.evaluate", "--dataset"]
    command += [name.removesuffix("+"), "--samples", str(samples), "--parallel", "1"]
    return command if name.endswith("+") else [*command, "--base_only"]


def measured(command: list[str], environment: dict[str, str]) -> float:
    """CPU seconds of a command and all its children."""
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, **pipes) as process:
        assert process.stdout
        told = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{told.decode()[-3000:]}")
    return usage.ru_utime + usage.ru_stime


def clean(folder: Path) -> None:
    """Forget verdicts, not ground truth."""
    for name in ("run/verdicts.jsonl", "samples_eval_results.json"):
        (folder / name).unlink(missing_ok=True)


def our_score(folder: Path) -> int:
    """Right samples, base and plus tests."""
    lines = (folder / "run" / "verdicts.jsonl").read_text().splitlines()
    return sum(right(json.loads(line), "base", "plus") for line in lines)


def their_score(folder: Path) -> int:
    """The same of evalplus."""
    found = json.loads((folder / "samples_eval_results.json").read_text())["eval"].values()
    return sum(right(row, "base_status", "plus_status") for rows in found for row in rows)


def right(row: dict[str, Any], base: str, plus: str) -> bool:
    """Whether all that was run is passed."""
    return row[base] == "pass" and row[plus] in ("pass", None)


def count(samples: Path) -> int:
    """Samples in a file."""
    return len(samples.read_text().splitlines())


@contextlib.contextmanager
def busy(cores: int) -> Iterator[None]:
    """Keep cores busy."""
    loops = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(cores)]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.join()


def _spin() -> None:
    while True:
        pass


if __name__ == "__main__":
    main()
