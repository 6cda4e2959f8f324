r"""pass@1 on HumanEval by our grader and by bigcode-evaluation-harness, on the same samples.

    python benchmarks/bigcode.py --data HumanEvalPlus.jsonl.gz --bigcode CHECKOUT \
        --bigcode-python PYTHON

Two samples of each problem: the canonical solution, and the same again or (half of the problems)
one that returns nothing or raises. So pass@1 is 0.75. The harness runs them without a sandbox.
"""

import argparse
import gzip
import json
import tempfile
from pathlib import Path

from codedpo_plugin.cli import main as codedpo

WRONG = ("    return None\n", "    raise ValueError\n")


def main() -> None:
    """Grade with both; the report of the run shows both scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="HumanEvalPlus.jsonl.gz")
    parser.add_argument("--bigcode", required=True, help="checkout of the harness")
    parser.add_argument("--bigcode-python", required=True, help="Python with its requirements")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples, run = Path(folder) / "samples.jsonl", Path(folder) / "run"
        samples.write_text("".join(map(two_samples, enumerate(gzip.open(given.data)))))
        data = ["--data", str(given.data)]
        command(["grade", "humaneval", *data, "--samples", str(samples), "--out", str(run)])
        harness = ["--bigcode", given.bigcode, "--bigcode-python", given.bigcode_python]
        command(["export", str(run), "--to", "bigcode", *data, *harness])


def two_samples(numbered: tuple[int, bytes]) -> str:
    """Two lines for a problem."""
    number, line = numbered
    row = json.loads(line)
    right = row["prompt"] + row["canonical_solution"]
    second = row["prompt"] + WRONG[number % 4] if number % 4 < 2 else right
    rows = [{"task_id": row["task_id"], "solution": one} for one in (right, second)]
    return "".join(json.dumps(one) + "\n" for one in rows)


def command(arguments: list[str]) -> None:
    """Run a command of `codedpo eval`, which ends with SystemExit."""
    try:
        codedpo(["eval", *arguments])
    except SystemExit as ended:
        if ended.code:
            raise


if __name__ == "__main__":
    main()
