"""Precision of the pairs of a run, on candidates with known correctness.

    python benchmarks/pair_truth.py RUN CANDIDATES [--truth base]

CANDIDATES has a column `truth`: an object of lists, one bool (or null) per solution, which builds
do not read. Prints shares with 95 % Wilson intervals.
"""

import argparse
import gzip
import json
from collections import Counter
from pathlib import Path

from codedpo_plugin.run_folder.shards import read_rows
from codedpo_plugin.statistics import wilson_interval


def main() -> None:
    """Count, by kind of pair, which sides are right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("candidates", type=Path)
    parser.add_argument("--truth", default="base", help="which list of `truth`")
    arguments = parser.parse_args()
    with gzip.open(arguments.candidates, "rt") as file:
        truth = {row["task_id"]: row["truth"][arguments.truth] for row in map(json.loads, file)}
    counts: Counter[tuple[str, str]] = Counter()
    for row in read_rows(arguments.run, "pairs"):
        right = truth[row["task_id"]]
        for pair in row["pairs"]:
            sides = right[pair["chosen_index"]], right[pair["rejected_index"]]
            if None not in sides:
                count(counts, pair["kind"], *sides, mixed=len({*right} - {None}) == 2)
    for (kind, what), number in sorted(counts.items()):
        total = counts[kind, "pairs"]
        mixed = counts[kind, "pairs of problems that have right and wrong solutions"]
        of = mixed if what.startswith("mixed") else total
        print(f"{kind:12} {what:55} {number:5} {number / of:6.1%}  {interval(number, of)}")


def count(
    counts: Counter[tuple[str, str]], kind: str, chosen: bool, rejected: bool, mixed: bool
) -> None:
    """Add one pair. `mixed`: the problem has right and wrong solutions, so a right pair exists."""
    counts[kind, "pairs"] += 1
    counts[kind, "chosen right"] += chosen
    counts[kind, "rejected wrong"] += not rejected
    counts[kind, "chosen right and rejected wrong"] += chosen and not rejected
    counts[kind, "both right"] += chosen and rejected
    counts[kind, "inverted: chosen wrong, rejected right"] += rejected and not chosen
    counts[kind, "pairs of problems that have right and wrong solutions"] += mixed
    counts[kind, "mixed: chosen right and rejected wrong"] += mixed and chosen and not rejected


def interval(number: int, of: int) -> str:
    """95 % interval of a share."""
    low, high = wilson_interval(number, of) if of else (0.0, 1.0)
    return f"[{low:.1%}, {high:.1%}]"


if __name__ == "__main__":
    main()
