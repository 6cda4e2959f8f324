"""Whether the sandbox's outcomes are those of a plain `python -c` of the same cell.

    python benchmarks/agree_with_python.py RUN [--cells 2000] [--seed 0] [--seconds 5]

Draws random cells of a finished run, runs each as `python -c "SOLUTION; TEST"` with an empty stdin
(no sandbox: only for candidates that you trust), and lists every difference. `not_run` cells are
counted apart: they were not run on purpose.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from codedpo_plugin.shards import read_rows

Cell = dict[str, Any]


def main() -> None:
    """Draw, run, compare, list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5.0, help="wall limit of one cell")
    arguments = parser.parse_args()
    cells = random.Random(arguments.seed).sample(list(all_cells(arguments.run)), arguments.cells)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        plain = list(pool.map(lambda cell: plain_outcome(cell, arguments.seconds), cells))
    agreed: Counter[str] = Counter()
    for cell, outcome in zip(cells, plain, strict=True):
        same = outcome == cell["outcome"]
        agreed["not run" if cell["outcome"] == "not_run" else "same" if same else "different"] += 1
        if not same:
            where = f"{cell['task_id']} solution {cell['i']} test {cell['j']}"
            print(f"{where}: sandbox {cell['outcome']} ({cell['error']}), python {outcome}")
            print(f"    {cell['test'][:150]!r}")
    print(dict(agreed), "passed in both:", sum(c["outcome"] == "passed" for c in cells))


def all_cells(run: Path) -> Iterator[Cell]:
    """Every cell of a run, with its sources and outcome."""
    rows = zip(read_rows(run, "candidates"), read_rows(run, "executions"), strict=True)
    for problem, executions in rows:
        for i, line in enumerate(executions["outcomes"]):
            for j, outcome in enumerate(line):
                yield {
                    "task_id": problem["task_id"],
                    "i": i,
                    "j": j,
                    "solution": problem["solutions"][i],
                    "test": problem["tests"][j],
                    "outcome": outcome,
                    "error": executions["errors"][i][j],
                }


def plain_outcome(cell: Cell, seconds: float) -> str:
    """The outcome of one cell in a fresh interpreter, in the sandbox's words."""
    program = f"{cell['solution']}\n{cell['test']}\nimport os as _o; _o._exit(77)\n"
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "TZ": "UTC"}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            done = subprocess.run(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                cwd=scratch,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return "timeout"
    if done.returncode == 77:
        return "passed"
    if done.returncode < 0:
        return "crashed"
    last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    names = {"AssertionError": "failed", "MemoryError": "memory"}
    return names.get(last.partition(":")[0], "error" if last else "crashed")


if __name__ == "__main__":
    main()
