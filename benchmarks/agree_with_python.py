"""Whether the sandbox's outcomes are those of a fresh interpreter per cell.

    python benchmarks/agree_with_python.py CANDIDATES... [--cells 5000] [--seed 0] [--seconds 20]

Draws random cells (a solution with a test) from candidate files, equally many from each. Runs each
in the sandbox, by itself, and as `python -s -P -c "SOLUTION; TEST"` with an empty stdin and a
scrubbed environment: like `python -I`, but with the hash seed of the sandbox. That has no
protection: use only candidates that you trust. Lists every difference.
"""

import argparse
import os
import random
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from codedpo_plugin.execution.execute import execute_problem
from codedpo_plugin.run_folder.candidates import read_file
from codedpo_plugin.sandbox.client import Limits, Sandbox

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from helpers.plain_python import plain_outcome

_AT_ONCE = 250  # cells between two lines of progress

Cell = dict[str, Any]


def main() -> None:
    """Draw, run, compare, list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("candidates", type=Path, nargs="+")
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0, help="wall limit of one cell")
    arguments = parser.parse_args()
    rng, count = random.Random(arguments.seed), arguments.cells // len(arguments.candidates)
    cells = [cell for path in arguments.candidates for cell in drawn(path, count, rng)]
    rng.shuffle(cells)
    kinds: Counter[tuple[str, str]] = Counter()
    with (
        Sandbox(Limits()) as sandbox,
        Sandbox(Limits(), seed=1) as other,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for start in range(0, len(cells), _AT_ONCE):
            some = cells[start : start + _AT_ONCE]
            plain = pool.map(lambda cell: plain_outcome(cell, arguments.seconds), some)
            found = [sandboxed(cell, sandbox, other) for cell in some]
            for cell, (here, error), there in zip(some, found, plain, strict=True):
                kinds[here, there] += 1
                if here != there:
                    print(f"{cell['task_id']}: sandbox {here} ({error}), fresh interpreter {there}")
                    print(f"    {cell['test'][:150]!r}")
            print(f"{kinds.total():,} cells", flush=True)
    for (here, there), number in sorted(kinds.items()):
        print(f"{number:6,} {here}" + f", in a fresh interpreter {there}" * (here != there))


def drawn(path: Path, count: int, rng: random.Random) -> list[Cell]:
    """Random cells of a file."""
    rows = [row for _, row in read_file(path) if row["tests"]]
    return [
        {
            "task_id": row["task_id"],
            "entry_point": row["entry_point"],
            "solution": rng.choice(row["solutions"]),
            "test": rng.choice(row["tests"]),
        }
        for row in rng.choices(rows, k=count)
    ]


def sandboxed(cell: Cell, sandbox: Sandbox, other: Sandbox) -> tuple[str, str | None]:
    """The outcome and error of one cell in the sandbox."""
    row = cell | {"solutions": [cell["solution"]], "tests": [cell["test"]]}
    done = execute_problem(row, sandbox, 100_000, other)
    return done["outcomes"][0][0], done["errors"][0][0]


if __name__ == "__main__":
    main()
