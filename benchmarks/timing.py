"""Error rates of the timing protocol: wrong decisions, none, and false pairs.

    python benchmarks/timing.py [--trials 60] [--ratios 1 1.1 1.25 2] [--markdown FILE]

Pairs of programs with a known true ratio, as one does the same work more often: ratios 1.0 (a
control), 1.1, 1.25 and 2, at about 30 us, 300 us and 3 ms per call; three kinds of work (a loop of
integers, building and sorting lists, counting in a dict). Each trial is one race in a fresh sandbox
process, with the stopping rule of a build; on an idle machine, and with a busy loop on every other
core. `wrong`: a decision in the wrong direction; `undecided`: none after 40 rounds; `a pair`:
significant and at least 1.1, which for equal programs is a false positive.
"""

import argparse
import contextlib
import multiprocessing
import os
import platform
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from codedpo_plugin.recipe import Timing
from codedpo_plugin.reporting.render import Rows, markdown_table
from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.timing.measurement import measure
from codedpo_plugin.timing.speed_ratio import compare, exceeds_ratio, is_significant

KERNELS = {
    "loop": "x = 0\n for i in range({n}):\n  x += i * i % 7\n return x",
    "lists": "x = []\n for i in range({n}):\n  x = sorted([i % 5, i % 3, i])\n return x",
    "dict": "x = {{}}\n for i in range({n}):\n  x[i % 97] = x.get(i % 97, 0) + 1\n return x",
}
SECONDS = (30e-6, 300e-6, 3e-3)
RATIOS = [1.0, 1.1, 1.25, 2.0]


def main() -> None:
    """Run all trials, idle and loaded; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=60, help="per row of the table")
    parser.add_argument("--ratios", type=float, nargs="+", default=RATIOS)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    lines = []
    with Sandbox(Limits(seconds=5.0), pin_to=0) as sandbox:
        repeats = {
            (kernel, seconds): calibrated(kernel, seconds, sandbox)
            for kernel in KERNELS
            for seconds in SECONDS
        }
        for load in ("idle", "other cores busy"):
            with busy_cores() if load != "idle" else contextlib.nullcontext():
                for seconds in SECONDS:
                    for ratio in arguments.ratios:
                        found = trials(seconds, ratio, arguments.trials, repeats, sandbox)
                        lines.append((load, f"{seconds * 1e6:g}", f"{ratio:g}", *found))
    head = ("machine", "us per call", "true ratio", "wrong", "undecided", "a pair", "rounds")
    table = Table(*head)
    for line in lines:
        table.add_row(*line)
    Console().print(table)
    if arguments.markdown:
        arguments.markdown.write_text(markdown(head, lines, arguments))


def program(kernel: str, n: int) -> str:
    """A solution `f` that does n units of work."""
    return "def f():\n " + KERNELS[kernel].format(n=n)


def calibrated(kernel: str, seconds: float, sandbox: Sandbox) -> int:
    """Units of work that take about this many seconds."""
    n = 1000
    race = sandbox.race([program(kernel, n)], ["f()"], sample_seconds=0.01, seconds=5.0)
    took = float(np.median([line[0] for line in race.rounds(9)]))
    race.end()
    return max(20, round(n * seconds / took))


def trials(
    seconds: float,
    ratio: float,
    count: int,
    repeats: dict[tuple[str, float], int],
    sandbox: Sandbox,
) -> tuple[str, str, str, str]:
    """Shares of wrong decisions, of none and of pairs, and mean number of rounds."""
    wrong = undecided = pairs = rounds = 0
    for trial in range(count):
        kernel = list(KERNELS)[trial % len(KERNELS)]
        n = repeats[kernel, seconds]
        programs = [program(kernel, n), program(kernel, round(n * ratio))]
        order = random.Random(trial).sample([0, 1], 2)
        samples = measure([programs[i] for i in order], ["f()"], sandbox, Timing(), 1.1)
        log_ratio, error = compare(samples)
        slow = int(np.argmax(log_ratio))
        significant = is_significant(log_ratio[slow], error[slow])
        undecided += not significant
        wrong += significant and ratio > 1 and order[slow] == 0
        pairs += exceeds_ratio(log_ratio[slow], error[slow], 1.1)
        rounds += len(samples)
    wrong_share = f"{wrong / count:.1%}" if ratio > 1 else ""
    return wrong_share, f"{undecided / count:.1%}", f"{pairs / count:.1%}", f"{rounds / count:.1f}"


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """A busy loop on every core but the first."""
    loops = []
    for core in sorted(os.sched_getaffinity(0))[1:]:
        loop = multiprocessing.get_context("spawn").Process(target=spin, args=(core,), daemon=True)
        loop.start()
        loops.append(loop)
    yield
    for loop in loops:
        loop.kill()
        loop.join()


def spin(core: int) -> None:
    """Keep one core busy."""
    os.sched_setaffinity(0, {core})
    while True:
        sum(range(10_000))


def markdown(
    head: tuple[str, ...], lines: list[tuple[str, ...]], arguments: argparse.Namespace
) -> str:
    """The table with the command and the machine."""
    table = markdown_table(Rows(head, lines))
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    command = f"python benchmarks/timing.py --trials {arguments.trials}"
    if arguments.ratios != RATIOS:
        command += " --ratios " + " ".join(f"{ratio:g}" for ratio in arguments.ratios)
    return f"`{command}` on {machine}.\n\n{table}\n"


if __name__ == "__main__":
    main()
