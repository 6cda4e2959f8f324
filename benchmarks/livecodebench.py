"""Our verdicts compared with those of LiveCodeBench's own grader, on the tests' small release.

    python benchmarks/livecodebench.py --lcb CHECKOUT

CHECKOUT is a checkout of github.com/LiveCodeBench/LiveCodeBench; its grader needs numpy and tqdm.
It has no sandbox, but the programs of `tests/helpers/toy_livecodebench.py` are harmless.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from codedpo_eval.benchmarks.livecodebench import tests as lcb_tests
from codedpo_eval.verdict import PASS
from codedpo_plugin.sandbox.client import Limits, Sandbox

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from helpers import toy_livecodebench as toy

SECONDS = 6  # of a test, for both graders


def main() -> None:
    """Print each program on which the two differ, and counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lcb", required=True, help="checkout of LiveCodeBench")
    sys.path.insert(0, parser.parse_args().lcb)
    rows = {row["question_id"]: row for row in toy.ROWS}
    groups = {
        "known right or wrong": [(question, program) for question, program, _ in toy.PROGRAMS],
        "right, of unusual form": toy.ONLY_OURS,
        "forged": toy.FORGED,
    }
    with Sandbox(Limits(SECONDS, 4096, 64, max_timeouts=1, share="nothing")) as sandbox:
        for name, programs in groups.items():
            same = 0
            for question, program in programs:
                row = rows[question]
                own = lcb_tests.grade(row, program, lcb_tests.read_tests(row), sandbox).base == PASS
                theirs = official(row, program)
                same += own == theirs
                if own != theirs:
                    print(f"  ours {own}, theirs {theirs}: {question}: {program!r}")
            print(f"{name}: {same} of {len(programs)} the same")


def official(row: dict[str, Any], program: str) -> bool:
    """Whether the benchmark's own grader passes a program."""
    from lcb_runner.evaluation.compute_code_generation_metrics import check_correctness

    tests = lcb_tests.read_tests(row)
    content = {
        "inputs": [test.input for test in tests],
        "outputs": [test.output for test in tests],
        "fn_name": json.loads(row["metadata"]).get("func_name"),
    }
    sample = {"input_output": json.dumps(content)}
    try:
        results, _ = check_correctness(sample, program, timeout=SECONDS, debug=False)
    except IndexError:  # the process ended without a result, which the benchmark counts as failed
        return False
    return all(result > 0 for result in results)


if __name__ == "__main__":
    main()
