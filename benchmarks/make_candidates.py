"""Candidates in any number, from the example set: 15 solutions x 15 tests a problem.

    python benchmarks/make_candidates.py OUT.jsonl.gz [--problems 100000] [--seed 0] [--hanging]

Problem n is one of the example's 44, its function renamed, with a draw of its solutions and tests,
each marked by a comment: ids, prompts, programs and tests are all distinct. Solutions that never
end or eat up the memory are left out, unless `--hanging`: one in twenty in the example, one in a
hundred in real samples, and they cost more than all others together.
"""

import argparse
import gzip
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "candidates.jsonl"
SOLUTIONS, TESTS = 15, 15
HANGING = {"hang", "memory"}

Row = dict[str, Any]


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--problems", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hanging", action="store_true")
    arguments = parser.parse_args()
    opened = gzip.open if arguments.out.suffix == ".gz" else open
    with opened(arguments.out, "wt", encoding="utf-8") as file:
        for row in rows(arguments.problems, arguments.seed, arguments.hanging):
            file.write(json.dumps(row) + "\n")


def rows(problems: int, seed: int = 0, hanging: bool = False) -> Iterator[Row]:
    """A number of problems; the first n are the same for every number."""
    templates = examples()
    for number in range(problems):
        yield _problem(templates[number % len(templates)], number, seed, hanging)


def examples() -> list[Row]:
    """The example's problems."""
    return [json.loads(line) for line in EXAMPLE.read_text(encoding="utf-8").splitlines()]


def _problem(template: Row, number: int, seed: int, hanging: bool) -> Row:
    rng = random.Random(f"{seed}/{number}")
    name = template["entry_point"]
    kinds = zip(template["solutions"], template["solution_kinds"], strict=True)
    usable = [text for text, kind in kinds if hanging or kind not in HANGING]

    def renamed(text: str, mark: str = "") -> str:
        return re.sub(rf"\b{name}\b", f"{name}_{number}", text) + mark

    return {
        "task_id": f"{template['task_id']}/{number}",
        "prompt": renamed(template["prompt"]),
        "entry_point": f"{name}_{number}",
        "solutions": [
            renamed(text, f"\n# sample {n}") for n, text in enumerate(_draw(usable, SOLUTIONS, rng))
        ],
        "tests": [
            renamed(text, f"  # {n}") for n, text in enumerate(_draw(template["tests"], TESTS, rng))
        ],
    }


def _draw(texts: list[str], count: int, rng: random.Random) -> list[str]:
    """A number of items, each as often as any other, or once more."""
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += rng.sample(texts, min(len(texts), count - len(drawn)))
    return drawn


if __name__ == "__main__":
    main()
