"""A tiny set of candidates, and recipes for it."""

import gzip
import json
from pathlib import Path
from typing import Any

from codedpo_plugin.recipe import Recipe, load_recipe

DOUBLE = {
    "task_id": "double",
    "prompt": "Write a function `double(items)` that returns each item twice.",
    "entry_point": "double",
    "solutions": [
        "def double(items):\n    return [x for x in items for _ in range(2)]",
        "def double(items):\n    out = []\n    for x in items:\n        out = out + [x, x]\n    return out",
        "def double(items):\n    return items + items",
        "def double(items):\n    return itemz",
        "def double(items):\n    # a comment\n    return [x for x in items for _ in range(2)]",
    ],
    "tests": [
        "assert double([1, 2]) == [1, 1, 2, 2]",
        "assert double([]) == []",
        "assert double(list(range(400))) == [n // 2 for n in range(800)]",
        "assert double([7]) == [7, 7]",
        "assert double([1, 2]) == [1, 2, 1, 2]",
        "assert True",
    ],
}

SIGN = {
    "task_id": "sign/1",
    "prompt": "def sign(n):\n    '''-1, 0 or 1'''",
    "entry_point": "sign",
    "solutions": [
        "def sign(n):\n    return (n > 0) - (n < 0)",
        "def sign(n):\n    return 1 if n > 0 else -1",
        "def sign(n:\n    return 0",
        "import sys\ndef sign(n):\n    sys.exit(0)",
        "def sign(n):\n    print(n)\n    return 0 if not n else n // abs(n)",
    ],
    "tests": [
        "assert sign(5) == 1",
        "assert sign(-5) == -1",
        "assert sign(0) == 0",
        "x = sign(3)\nassert x == 1",
    ],
}

HOPELESS = {
    "task_id": "hopeless",
    "prompt": "Nobody solves this.",
    "entry_point": "f",
    "solutions": ["def f():\n    return 1", "def f():\n    return 2"],
    "tests": ["assert f() == 3", "assert f() == 4"],
}


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSONL, compressed if the name says so."""
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


PAPER = """
score: {rankers: {self_validation: {}}}
pairs: {selection: worst, min_confidence: 0}
"""


def make_recipe(folder: Path, rows: list[dict[str, Any]], *overrides: str) -> Recipe:
    """A recipe for these candidates, with a run folder beside them. It uses the paper's rule: so few
    solutions are not enough evidence for the default one.
    """
    candidates = write_jsonl(folder / "candidates.jsonl", rows)
    file = folder / "recipe.yaml"
    file.write_text(f"candidates: {candidates}\noutput: {folder / 'run'}\n{PAPER}")
    return load_recipe(file, ["execute.seconds=0.5", "workers=1", "shard_size=2", *overrides])
