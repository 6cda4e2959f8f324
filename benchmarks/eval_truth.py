"""Verdicts of graded runs compared with the known labels of their samples.

    codedpo eval grade mbpp+ --samples SAMPLES --out RUN
    python benchmarks/eval_truth.py CANDIDATES.jsonl.gz RUN...

CANDIDATES holds `solutions` and `truth` (`base`, `plus`: lists of true, false or null). Prints how
many verdicts agree, and each one that does not, with the error of the program here.
"""

import argparse
import gzip
import json
from collections import Counter
from pathlib import Path

from codedpo_eval.reporting.report import load_rows


def main() -> None:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("candidates", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    arguments = parser.parse_args()
    truth = known(arguments.candidates)
    counts: Counter[tuple[str, str]] = Counter()
    for run in arguments.runs:
        for row in load_rows(run):
            for kind in ("base", "plus"):
                right = truth.get((row["task_id"], row["solution"], kind))
                if right is None:
                    continue
                same = right == (row[kind] == "pass")
                counts[kind, "same" if same else "other"] += 1
                if not same:
                    place = f"{row['task_id']} sample {row['sample']} of {run.name}, {kind}"
                    details = f"tests {row['failed_tests'][:5]}; {row['error']}"
                    print(f"{place}: {row[kind]} (truth {right}); {details}")
    for kind in ("base", "plus"):
        same, other = counts[kind, "same"], counts[kind, "other"]
        print(f"{kind}: {same:,} of {same + other:,} verdicts agree")


def known(candidates: Path) -> dict[tuple[str, str, str], bool | None]:
    """(task, solution, kind) -> whether it is right. What fails base tests fails both."""
    found = {}
    with gzip.open(candidates, "rt") as file:
        for row in map(json.loads, file):
            base, plus = row["truth"]["base"], row["truth"]["plus"]
            for solution, one, other in zip(row["solutions"], base, plus, strict=True):
                found[row["task_id"], solution, "base"] = one
                found[row["task_id"], solution, "plus"] = other if one else one
    return found


if __name__ == "__main__":
    main()
