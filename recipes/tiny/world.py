"""A small world of Python exercises, for a model small enough to be trained on one core.

An exercise is a composition: two measures of a list, a way to combine them, and usually a change of
the result. Each part has programs that are right and fast, right and slow, and subtly wrong; a whole
program picks one of them for each part at random. A model trained on many of these writes like a
beginner: about half of its programs are right, many are needlessly slow, and its tests have errors.
A hash of its name puts each composition into one of four sets: `pretrain`, `train`, `dev`, `heldout`.

The first program of a part defines what is right; there is no other definition.

    python recipes/tiny/world.py runs/tiny/data     # train.jsonl, dev.jsonl, heldout.jsonl
"""

import functools
import hashlib
import itertools
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

ENTRY_POINT = "f"
OPENINGS = {"solutions": "Program of ", "tests": "Tests of "}
"""The first words of prompts, as in solution.txt and test.txt: they say which role is asked for."""
LARGEST_VALUE = 60
"""Compositions with values outside 0..60 on usual inputs are skipped, as each number is one token."""


@dataclass(frozen=True)
class Part:
    """A measure of the list `xs`, or an operation on the measures `a` and `b`."""

    words: str
    """The description. K stands for a number from 2 to 4, in words and programs; V stands for the
    name of a measure in programs."""
    fast: tuple[str, ...]
    slow: tuple[str, ...]
    wrong: tuple[str, ...]
    slips: float
    """Share of wrong programs among those that the model is trained on."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The values of K; a single dummy number for parts without K."""
        return (2, 3, 4) if "K" in self.words else (0,)


MEASURES = {
    "max": Part(
        "largest item",
        ("V = max(xs)",),
        ("V = [x for x in xs if all([x >= y for y in xs])][0]", "V = sorted(xs)[-1]"),
        ("V = max(xs[1:] or xs)", "V = xs[-1]"),
        0.15,
    ),
    "min": Part(
        "smallest item",
        ("V = min(xs)",),
        ("V = [x for x in xs if all([x <= y for y in xs])][0]", "V = sorted(xs)[0]"),
        ("V = min(xs[1:] or xs)", "V = xs[0]"),
        0.2,
    ),
    "first": Part("first item", ("V = xs[0]",), ("V = xs[::-1][-1]",), ("V = xs[1:2][0]",), 0.1),
    "last": Part("last item", ("V = xs[-1]",), ("V = xs[::-1][0]",), ("V = xs[-2:][0]",), 0.15),
    "distinct": Part(
        "number of distinct items",
        ("V = len(set(xs))",),
        (
            "V = len([x for i, x in enumerate(xs) if x not in xs[:i]])",
            "V = 0\nfor i in range(len(xs)):\n    if xs[:i].count(xs[i]) == 0:\n        V = V + 1",
        ),
        ("V = len(xs)", "V = len([x for x in xs if xs.count(x) == 1])"),
        0.3,
    ),
    "count": Part(
        "how often K occurs",
        ("V = xs.count(K)",),
        ("V = len([x for x in xs if x == K])", "V = sum([xs[:i + 1][-1] == K for i in range(len(xs))])"),
        ("V = xs[1:].count(K)", "V = len([x for x in xs if x >= K])"),
        0.15,
    ),
    "above": Part(
        "number of items above K",
        ("V = len([x for x in xs if x > K])",),
        ("V = sum([sorted(xs)[i] > K for i in range(len(xs))])",),
        ("V = len([x for x in xs if x >= K])", "V = len([x for x in xs if x < K])"),
        0.3,
    ),
    "even": Part(
        "number of even items",
        ("V = len([x for x in xs if x % 2 == 0])",),
        ("V = sum([xs[i:][0] % 2 == 0 for i in range(len(xs))])",),
        ("V = len([x for x in xs if x % 2])", "V = len([x for x in xs if x and x % 2 == 0])"),
        0.2,
    ),
    "sum": Part(
        "sum of all items",
        ("V = sum(xs)",),
        ("V = 0\nfor x in xs:\n    V = V + x", "V = sum([sum(xs[i:i + 1]) for i in range(len(xs))])"),
        ("V = sum(xs[1:])", "V = sum(set(xs))"),
        0.2,
    ),
}  # fmt: skip

COMBINATIONS = {
    "plus": Part("added", ("a = a + b",), (), ("a = a - b",), 0.05),
    "apart": Part("their distance", ("a = abs(a - b)",), (), ("a = a - b", "a = b - a"), 0.2),
    "times": Part("multiplied", ("a = a * b",), (), ("a = a + b",), 0.1),
    "larger": Part("the larger one", ("a = max(a, b)",), (), ("a = min(a, b)", "a = b"), 0.2),
}

CHANGES = {
    "double": Part("doubled", ("a = a * 2",), (), ("a = a + 2", "a = a ** 2"), 0.1),
    "more": Part("K more", ("a = a + K",), (), ("a = a * K",), 0.1),
    "rest": Part("remainder by K", ("a = a % K",), (), ("a = a // K",), 0.2),
    "most": Part("at most K", ("a = min(a, K)",), (), ("a = max(a, K)", "a = K"), 0.2),
}

PARTS = MEASURES | COMBINATIONS | CHANGES
SLOW = 0.6
"""Share of slow programs among the right ones, where a part has slow ones."""


@dataclass(frozen=True)
class Exercise:
    """A composition with its numbers."""

    names: tuple[str, ...]
    """Names of its parts, in order of execution."""
    numbers: tuple[int, ...]
    """K of each."""

    @property
    def task_id(self) -> str:
        """`max-count3-plus-double`"""
        return "-".join(f"{name}{k or ''}" for name, k in self._parts)

    @property
    def prompt(self) -> str:
        """What the exercise says, in a line."""
        return f"{ENTRY_POINT}(xs): {', '.join(self.words)}"

    @property
    def words(self) -> list[str]:
        """Of each part."""
        return [PARTS[name].words.replace("K", str(k)) for name, k in self._parts]

    @property
    def right(self) -> list[str]:
        """The fast right program of each part."""
        return [self.filled(PARTS[name].fast[0], at) for at, name in enumerate(self.names)]

    def filled(self, text: str, at: int) -> str:
        """A program of the part at this place, with its number and the name of its measure."""
        return text.replace("K", str(self.numbers[at])).replace("V", "ab"[at] if at < 2 else "")

    @property
    def _parts(self) -> list[tuple[str, int]]:
        return list(zip(self.names, self.numbers, strict=True))


def program(bodies: list[str]) -> str:
    """A whole program of those of its parts."""
    lines = [f"    {line}" for body in [*bodies, "return a"] for line in body.split("\n")]
    return "\n".join([f"def {ENTRY_POINT}(xs):", *lines]) + "\n"


def written(exercise: Exercise, chance: random.Random) -> str:
    """A program for pretraining: each part right or wrong, fast or slow at random."""
    picked = [_picked(PARTS[name], chance) for name in exercise.names]
    return program([exercise.filled(text, at) for at, text in enumerate(picked)])


def _picked(part: Part, chance: random.Random) -> str:
    if chance.random() < part.slips:
        return chance.choice(part.wrong)
    slow = part.slow and chance.random() < SLOW
    return chance.choice(part.slow if slow else part.fast)


# -- tests --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Errors:
    """Errors of the tests that the model is pretrained on."""

    rate: float = 0.15
    """Share of tests with an error."""
    misread: float = 0.3
    """Share of these in which a part follows one of its wrong programs; in the others a value is off
    by one or two."""


def inputs(chance: random.Random) -> list[int]:
    """A random input list."""
    return [chance.randrange(7) for _ in range(chance.choice((4, 5)))]


def trace(bodies: list[str], xs: list[int]) -> list[int]:
    """The value after each part: `a`, `b`, then `a` after each operation."""
    names: dict[str, object] = {"xs": xs}
    return [_step(body, names, at) for at, body in enumerate(bodies)]


def _step(body: str, names: dict[str, object], at: int) -> int:
    name = "b" if at == 1 else "a"
    exec(_compiled(body), names)
    names[name] = int(names[name])  # type: ignore[call-overload]
    return names[name]  # type: ignore[return-value]


@functools.lru_cache(maxsize=4096)
def _compiled(body: str) -> CodeType:
    return compile(body, "part", "exec")


def test_of(exercise: Exercise, chance: random.Random, errors: Errors) -> str:
    """A test for pretraining, right or wrong."""
    xs, bodies = inputs(chance), exercise.right
    wrong_at = chance.randrange(len(bodies)) if chance.random() < errors.rate else None
    misread = chance.random() < errors.misread
    names: dict[str, object] = {"xs": xs}
    values = []
    for at, body in enumerate(bodies):
        if at == wrong_at and misread:
            body = exercise.filled(chance.choice(PARTS[exercise.names[at]].wrong), at)
        value = _step(body, names, at)
        if at == wrong_at and not misread:
            value = max(0, value + chance.choice((-2, -1, 1, 2)))
            names["b" if at == 1 else "a"] = value
        values.append(value)
    return said(exercise, xs, values)


test_of.__test__ = False  # type: ignore[attr-defined]  # no test of pytest


def said(exercise: Exercise, xs: list[int], values: list[int]) -> str:
    """The text of a test, with intermediate values in a comment."""
    told = [f"{words}: {value}" for words, value in zip(exercise.words, values, strict=True)]
    return f"assert {ENTRY_POINT}({xs}) == (\n# {', '.join(told)}\n{values[-1]})\n"


# -- exercises ----------------------------------------------------------------------------------

SETS = ("pretrain", "train", "dev", "heldout")


def set_of(names: tuple[str, ...]) -> str:
    """The set of a composition: two fifths are for pretraining, one fifth for each other set. All
    compositions with a single measure are for pretraining."""
    draw = hashlib.sha256("-".join(names).encode()).digest()[0] / 256
    return SETS[max(0, int(draw * 5) - 1)] if len(names) > 2 else "pretrain"


@functools.lru_cache(maxsize=8)
def exercises(which: str) -> tuple[Exercise, ...]:
    """All exercises of a set with two measures, in a fixed random order."""
    measures = list(itertools.permutations(MEASURES, 2))
    found = [(*two, how) for two in measures for how in COMBINATIONS]
    found += [(*names, change) for names in found for change in CHANGES]
    random.Random("order").shuffle(found)
    return tuple(_sound(names for names in found if set_of(names) == which))


@functools.lru_cache(maxsize=1)
def first_lessons() -> tuple[Exercise, ...]:
    """Exercises with a single measure."""
    return tuple(Exercise((name,), (k,)) for name, part in MEASURES.items() for k in part.numbers)


def _sound(compositions: Iterator[tuple[str, ...]]) -> Iterator[Exercise]:
    """Exercises whose values vary and are not too large."""
    for names in compositions:
        chance = random.Random("-".join(names))
        exercise = Exercise(names, tuple(chance.choice(PARTS[name].numbers) for name in names))
        traces = [trace(exercise.right, inputs(chance)) for _ in range(10)]
        varied = len({values[-1] for values in traces}) >= 3
        if varied and max(itertools.chain.from_iterable(traces)) <= LARGEST_VALUE:
            yield exercise


def lessons(errors: Errors, seed: int) -> Iterator[tuple[Exercise, str, str]]:
    """An endless stream of pretraining texts: (exercise, role, text)."""
    chance = random.Random(seed)
    some = exercises("pretrain") + exercises("train")
    while True:
        exercise = chance.choice(first_lessons() if chance.random() < 0.2 else some)
        yield exercise, "solutions", written(exercise, chance)
        yield exercise, "tests", test_of(exercise, chance, errors)


# -- files --------------------------------------------------------------------------------------


def reference_tests(exercise: Exercise, count: int = 20) -> list[str]:
    """Right tests on fixed inputs, including short lists."""
    chance = random.Random(exercise.task_id)
    lists = [[2], [3, 3], [0, 1]] + [inputs(chance) for _ in range(count - 3)]
    return [f"assert {ENTRY_POINT}({xs}) == {trace(exercise.right, xs)[-1]}" for xs in lists]


def rows(which: str, limit: int | None = None) -> Iterator[dict[str, object]]:
    """Problems to train on, or a benchmark with reference tests and solutions."""
    for exercise in exercises(which)[:limit]:
        row = {"task_id": exercise.task_id, "entry_point": ENTRY_POINT}
        if which == "train":
            yield row | {"prompt": exercise.prompt}
        else:
            right = {"reference": program(exercise.right), "tests": reference_tests(exercise)}
            yield row | {"prompt": OPENINGS["solutions"] + exercise.prompt} | right


SIZES = {"train": 190, "dev": 60, "heldout": 120}


def write(folder: Path, sizes: dict[str, int] = SIZES) -> None:
    """`train.jsonl`, `dev.jsonl` and `heldout.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    for which, size in sizes.items():
        lines = [json.dumps(row) + "\n" for row in rows(which, size)]
        (folder / f"{which}.jsonl").write_text("".join(lines))
        print(f"{folder / which}.jsonl: {len(lines)} exercises")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
