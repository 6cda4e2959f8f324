"""CPU time of grading compared with evalplus, on reference solutions.

    python benchmarks/eval.py humaneval+ --data HumanEvalPlus.jsonl.gz --evalplus PYTHON \
        [--every 1] [--busy 0] [--wrong] [--rounds 1]

Both grade the same samples, one after the other, with one worker: the reference solution of every
k-th task of the file, and with `--wrong` also a program that returns nothing. Reference outputs are
computed before, by each in its own way, and not counted. The cost of starting (and of the report)
is measured by running each again when all verdicts are known. CPU seconds are those of all
processes, as the kernel counts them; `--busy N` keeps N cores busy meanwhile.
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
    """Run both, and print a table."""
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
        table = compared(Path(name), arguments)
    console = Console()
    console.print(f"{arguments.benchmark}, {arguments.busy} busy loops; {platform.platform()}, "
                  f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    console.print(table)


def compared(folder: Path, arguments: argparse.Namespace) -> Table:
    """Grade with both in every round; CPU seconds of each, and their ratio."""
    data, samples, tasks = prepared(folder, arguments)
    commands = {
        "codedpo": our_command(arguments, data, samples, folder),
        "evalplus": their_command(arguments, samples),
    }
    environment = os.environ | {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HUMANEVAL_OVERRIDE_PATH": str(data),
        "MBPP_OVERRIDE_PATH": str(data),
    }
    scores = {"codedpo": our_score, "evalplus": their_score}
    for command in commands.values():  # reference outputs, once
        measured(command, environment)
    table = Table("grader", "CPU s / solution", "CPU s to start", "CPU s in all", "right", box=None)
    for _ in range(arguments.rounds):
        clean(folder)
        with busy(arguments.busy):
            total = {name: measured(command, environment) for name, command in commands.items()}
        right_ones = {name: score(folder) for name, score in scores.items()}
        # All verdicts are known now.
        start = {name: measured(command, environment) for name, command in commands.items()}
        grading = {name: (total[name] - start[name]) / count(samples) for name in commands}
        for name in commands:
            table.add_row(
                *(name, f"{grading[name]:.4f}", f"{start[name]:.1f}", f"{total[name]:.1f}"),
                f"{right_ones[name]} of {tasks}",
            )
        ratios = (one["evalplus"] / one["codedpo"] for one in (grading, start, total))
        table.add_row("ratio", *(f"{ratio:.2f}" for ratio in ratios))
    return table


def prepared(folder: Path, arguments: argparse.Namespace) -> tuple[Path, Path, int]:
    """A file of every k-th task, a file of samples, and the number of tasks."""
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
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{output.decode()[-3000:]}")
    return usage.ru_utime + usage.ru_stime


def clean(folder: Path) -> None:
    """Remove verdicts, not reference outputs."""
    for name in ("run/verdicts.jsonl", "samples_eval_results.json"):
        (folder / name).unlink(missing_ok=True)


def our_score(folder: Path) -> int:
    """Number of samples that pass base and plus tests."""
    lines = (folder / "run" / "verdicts.jsonl").read_text().splitlines()
    return sum(right(json.loads(line), "base", "plus") for line in lines)


def their_score(folder: Path) -> int:
    """The same of evalplus."""
    found = json.loads((folder / "samples_eval_results.json").read_text())["eval"].values()
    return sum(right(row, "base_status", "plus_status") for rows in found for row in rows)


def right(row: dict[str, Any], base: str, plus: str) -> bool:
    """Whether all tests that were run passed."""
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
