"""Whether cells that share a process, because they keep no state, give the results of cells alone.

    python benchmarks/sharing.py CANDIDATES... [--workers 2]

Runs every solution of candidate files on every test twice: as a build does, and with a process for
each cell. Lists every cell whose outcome or returned value differs. Which cells of a solution
are skipped after its time-outs (`not_run`) depends on the order, which is not the same: those are
only counted.
"""

import argparse
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.progress import track

from codedpo_plugin.execution.execute import execute_problem
from codedpo_plugin.recipe import Execute
from codedpo_plugin.run_folder.candidates import read_file
from codedpo_plugin.sandbox.client import Limits, Sandbox

_MAX_CHARS = Execute().max_chars
_sandboxes: list[Sandbox] = []  # of a worker: cells share processes, or do not


def main() -> None:
    """Run, compare, list."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("candidates", type=Path, nargs="+")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    rows = [row for path in arguments.candidates for _, row in read_file(path) if row["tests"]]
    kinds: Counter[tuple[str, str]] = Counter()
    with multiprocessing.Pool(arguments.workers, start) as pool:
        done = pool.imap_unordered(compared, rows)
        for outcomes, different in track(done, "problems", len(rows), transient=True):
            kinds += outcomes
            for line in different:
                print(line)
    for (shared, alone), number in sorted(kinds.items()):
        print(f"{number:9,} {shared}" + f", alone {alone}" * (shared != alone))
    both = {kind: number for kind, number in kinds.items() if "not_run" not in kind}
    differ = sum(number for (shared, alone), number in both.items() if shared != alone)
    print(f"{len(rows)} problems, {sum(both.values()):,} cells ran twice: {differ} outcomes differ")


def start() -> None:
    """Start a worker's sandboxes."""
    _sandboxes.extend([Sandbox(Limits(share="proved")), Sandbox(Limits(share="nothing"))])


def compared(row: dict[str, Any]) -> tuple[Counter[tuple[str, str]], list[str]]:
    """How often each pair of outcomes was seen in a problem, and the cells that differ."""
    shared, alone = (cells(row, sandbox) for sandbox in _sandboxes)
    pairs = list(zip(shared, alone, strict=True))
    kinds = Counter((one[0], other[0]) for one, other in pairs)
    different = [
        f"{row['task_id']}, cell {number}: {one}, alone {other}"
        for number, (one, other) in enumerate(pairs)
        if one[:2] != other[:2] and "not_run" not in (one[0], other[0])
    ]
    return kinds, different


def cells(row: dict[str, Any], sandbox: Sandbox) -> Iterator[tuple[str, str | None, str | None]]:
    """Outcome, returned value and error of every cell of a problem."""
    done = execute_problem(row, sandbox, _MAX_CHARS)
    for lines in zip(done["outcomes"], done["returned"], done["errors"], strict=True):
        yield from zip(*lines, strict=True)


if __name__ == "__main__":
    main()
