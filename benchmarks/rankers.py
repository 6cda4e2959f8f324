"""Rankers and confidence on simulated problems: time, memory, and a common wrong behaviour.

    python benchmarks/rankers.py [--problems 100000]

First ranks problems of 15 solutions x 15 tests (and 30 mutated inputs), from rows as in shards, one
at a time. Then prints the pairs of the paper's rule and of the default where most wrong solutions
share one behaviour, which wrong tests expect too.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from codedpo_plugin.pairing.selection import SELECTIONS, Problem
from codedpo_plugin.ranking.pass_matrix import PassMatrix
from codedpo_plugin.ranking.rank import score
from codedpo_plugin.ranking.rankers import RANKERS
from codedpo_plugin.recipe import Pairs, Recipe

N, M, P = 15, 15, 30


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=100_000)
    arguments = parser.parse_args()
    print_speed(arguments.problems)
    print_common_wrong()


def print_speed(problems: int) -> None:
    """CPU seconds and growth of peak memory of ranking this many problems."""
    recipe = Recipe(candidates=[Path("none")], output=Path("none"))
    rows = [row_of(number) for number in range(50)]
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for _ in score((rows[number % 50] for number in range(problems)), recipe):
        pass
    seconds = time.process_time() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{problems:,} problems ranked by {recipe.ranker}: {seconds:.1f} CPU seconds, ", end="")
    print(f"{seconds / problems * 1e6:.0f} us each, {grown:.1f} MiB more memory")


def row_of(number: int) -> dict[str, Any]:
    """Executions and probes of one simulated problem."""
    rng = np.random.default_rng(number)
    passes, values = simulated(rng, right=0.4, common=0.3)
    texts = [[f"[{value}]" for value in line] for line in values.tolist()]
    return {
        "task_id": str(number),
        "outcomes": [["passed" if cell else "failed" for cell in line] for line in passes],
        "returned": [line[:M] for line in texts],
        "errors": [[None] * M for _ in texts],
        "probed": [line[M:] for line in texts],
        "probe_errors": [[None] * P for _ in texts],
        "programs": list(range(N)),
    }


def simulated(
    rng: np.random.Generator, right: float, common: float
) -> tuple[np.ndarray, np.ndarray]:
    """Passes [N, M] and returned values [N, M + P] of one problem; the first solutions are right.

    Of the wrong solutions, a share `common` returns 1 where right ones return 0; each other one
    returns a value of its own on half of the inputs. Six of ten tests expect the right value, and
    the others the common wrong one, if there is one.
    """
    good = round(right * N)
    shared = good + round(common * (N - good))
    values = np.zeros((N, M + P), dtype=int)
    values[good:shared] = 1
    for solution in range(shared, N):
        off = rng.random(M + P) < 0.5
        values[solution, off] = 10 + solution
    expected = np.where(rng.random(M) < 0.6, 0, 1 if common else -1)
    return values[:, :M] == expected, values


def print_common_wrong(problems: int = 400) -> None:
    """By share of right solutions: right and wrong pairs per 100 problems."""
    print("\n90 % of the wrong solutions behave the same, and 40 % of the tests expect it:")
    print("pairs per 100 problems")
    print("solutions right | paper: right wrong | default: right wrong")
    for right in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8):
        counts = [rates(right, 0.9, paper, problems) for paper in (True, False)]
        print(f"{right:15.0%} | " + " | ".join(f"{good:12.0f} {bad:5.0f}" for good, bad in counts))


def rates(right: float, common: float, paper: bool, problems: int) -> tuple[float, float]:
    """Right and wrong correctness pairs per 100 problems."""
    ranker, selection = ("self_validation", "worst") if paper else ("agreement", "near_miss")
    pairs = Pairs(min_confidence=0.0 if paper else 0.5, per_problem=1)
    counts = [0, 0]
    for problem in drawn(right, common, ranker, problems):
        for choice in SELECTIONS[selection](problem, pairs)[0]:
            good = round(right * N)
            counts[not (choice.chosen < good <= choice.rejected)] += 1
    return counts[0] / problems * 100, counts[1] / problems * 100


def drawn(right: float, common: float, ranker: str, problems: int) -> Iterator[Problem]:
    """Simulated problems, ranked."""
    for number in range(problems):
        passes, values = simulated(np.random.default_rng(number), right, common)
        matrix = PassMatrix(str(number), passes, values, np.arange(N))
        scores = RANKERS[ranker](matrix).solutions
        order = sorted(range(N), key=lambda index: -scores[index])
        if passes[order[0]].any():
            yield Problem(matrix, scores, order, [100] * N)


if __name__ == "__main__":
    main()
