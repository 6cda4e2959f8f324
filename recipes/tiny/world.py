"""A small world of Python exercises, for a model small enough to be trained on one core.

An exercise is a composition: two or three steps that turn a list into a list, then an ending. Each
part has programs that are right and fast, right and slow, and subtly wrong; a program of the whole
picks one of each at random. So a model that has read many of them writes like any young coder: it
gets about half of them right, is slow without need, and errs in its tests. Compositions are in one
of four sets, by a hash of their names: `pretrain`, `train`, `dev`, `heldout`.

What a part does is what its first program does: there is no second definition of right.
"""

import functools
import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

ENTRY_POINT = "f"
LONGEST_VALUE = 40
"""Compositions that leave 0..40 on usual inputs are no exercises: each number is one token."""


@dataclass(frozen=True)
class Part:
    """A step (its programs change `xs`) or an ending (they return)."""

    words: str
    """What the exercise says. K stands for a number from 2 to 4, in words and programs."""
    fast: tuple[str, ...]
    slow: tuple[str, ...]
    wrong: tuple[str, ...]
    slips: float
    """Share of wrong programs among those that the model learns from."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """What K may be; a single number where there is no K."""
        return (2, 3, 4) if "K" in self.words else (0,)


STEPS = {
    "even": Part(
        "keep even items",
        ("xs = [x for x in xs if x % 2 == 0]",),
        ("ys = []\nfor x in xs:\n    if x % 2 == 0:\n        ys = ys + [x]\nxs = ys",),
        ("xs = [x for x in xs if x % 2]", "xs = [x for x in xs if x and x % 2 == 0]"),
        0.15,
    ),
    "above": Part(
        "keep items above K",
        ("xs = [x for x in xs if x > K]",),
        ("ys = []\nfor x in xs:\n    if x > K:\n        ys = ys + [x]\nxs = ys",),
        ("xs = [x for x in xs if x >= K]", "xs = [x for x in xs if x < K]"),
        0.35,
    ),
    "below": Part(
        "keep items up to K",
        ("xs = [x for x in xs if x <= K]",),
        ("ys = []\nfor x in xs:\n    if x <= K:\n        ys = ys + [x]\nxs = ys",),
        ("xs = [x for x in xs if x < K]",),
        0.4,
    ),
    "add": Part(
        "add K to each",
        ("xs = [x + K for x in xs]",),
        ("ys = []\nfor x in xs:\n    ys = ys + [x + K]\nxs = ys",),
        ("xs = [x * K for x in xs]", "xs = xs + [K]"),
        0.1,
    ),
    "reverse": Part(
        "reverse",
        ("xs = xs[::-1]",),
        (
            "ys = []\nfor x in xs:\n    ys = [x] + ys\nxs = ys",
            "xs = [xs[-i - 1] for i in range(len(xs))]",
        ),
        ("xs = sorted(xs)[::-1]", "xs = [xs[-i] for i in range(len(xs))]"),
        0.15,
    ),
    "sort": Part(
        "sort upwards",
        ("xs = sorted(xs)",),
        ("ys = []\nzs = xs[:]\nwhile zs:\n    ys.append(min(zs))\n    zs.remove(min(zs))\nxs = ys",),
        ("xs = sorted(xs)[::-1]", "xs = sorted(set(xs))"),
        0.2,
    ),
    "down": Part(
        "sort downwards",
        ("xs = sorted(xs)[::-1]",),
        ("ys = []\nzs = xs[:]\nwhile zs:\n    ys.append(max(zs))\n    zs.remove(max(zs))\nxs = ys",),
        ("xs = sorted(xs)", "xs = xs[::-1]"),
        0.3,
    ),
    "unique": Part(
        "drop repeated items",
        ("xs = list(dict.fromkeys(xs))",),
        (
            "xs = [x for i, x in enumerate(xs) if x not in xs[:i]]",
            "ys = []\nfor x in xs:\n    if ys.count(x) == 0:\n        ys = ys + [x]\nxs = ys",
        ),
        ("xs = list(set(xs))", "xs = [x for x in xs if xs.count(x) == 1]"),
        0.35,
    ),
    "totals": Part(
        "take running totals",
        ("t = 0\nys = []\nfor x in xs:\n    t = t + x\n    ys.append(t)\nxs = ys",),
        ("xs = [sum(xs[:i + 1]) for i in range(len(xs))]",),
        ("xs = [sum(xs[:i]) for i in range(len(xs))]", "xs = [sum(xs[i:]) for i in range(len(xs))]"),
        0.25,
    ),
    "second": Part(
        "keep every second item",
        ("xs = xs[::2]",),
        ("xs = [x for i, x in enumerate(xs) if i % 2 == 0]",),
        ("xs = xs[1::2]", "xs = xs[2::2]"),
        0.3,
    ),
}  # fmt: skip

ENDINGS = {
    "list": Part("return the list", ("return xs",), (), (), 0.0),
    "max": Part(
        "return the largest or 0",
        ("return max(xs, default=0)",),
        ("return (sorted(xs) or [0])[-1]",),
        ("return (xs or [0])[-1]",),
        0.15,
    ),
    "min": Part(
        "return the smallest or 0",
        ("return min(xs, default=0)",),
        ("return sorted(xs or [0])[0]",),
        ("return (xs or [0])[0]",),
        0.15,
    ),
    "length": Part(
        "return the length",
        ("return len(xs)",),
        ("return sum([1 for x in xs])",),
        ("return len(set(xs))",),
        0.1,
    ),
    "distinct": Part(
        "return the number of distinct items",
        ("return len(set(xs))",),
        ("return len([x for i, x in enumerate(xs) if x not in xs[:i]])",),
        ("return len(xs)", "return len([x for x in xs if xs.count(x) == 1])"),
        0.25,
    ),
    "last": Part(
        "return the last item or 0",
        ("return xs[-1] if xs else 0",),
        (),
        ("return xs[0] if xs else 0",),
        0.1,
    ),
}  # fmt: skip

PARTS = STEPS | ENDINGS
SLOW = 0.6
"""Share of slow programs among the right ones, where a part has slow ones."""


@dataclass(frozen=True)
class Exercise:
    """A composition with its numbers."""

    names: tuple[str, ...]
    """Of its parts; the last one is an ending."""
    numbers: tuple[int, ...]
    """K of each."""

    @property
    def task_id(self) -> str:
        """`even-above3-sum`"""
        return "-".join(f"{name}{k or ''}" for name, k in self.parts)

    @property
    def prompt(self) -> str:
        """What the exercise says, in a line."""
        return "f(xs): " + ", ".join(filled(PARTS[name].words, k) for name, k in self.parts)

    @property
    def parts(self) -> list[tuple[str, int]]:
        """(name, K)"""
        return list(zip(self.names, self.numbers, strict=True))

    def right(self) -> list[str]:
        """The fast right program of every part."""
        return [filled(PARTS[name].fast[0], k) for name, k in self.parts]


def filled(text: str, k: int) -> str:
    """Words or programs of a part with its number."""
    return text.replace("K", str(k))


def program(bodies: list[str]) -> str:
    """A whole program of those of its parts."""
    lines = [f"    {line}" for body in bodies for line in body.split("\n")]
    return "\n".join([f"def {ENTRY_POINT}(xs):", *lines]) + "\n"


def written(exercise: Exercise, chance: random.Random) -> str:
    """A program as the model learns them: right or wrong, fast or slow, part by part."""
    return program([_body(PARTS[name], k, chance) for name, k in exercise.parts])


def _body(part: Part, k: int, chance: random.Random) -> str:
    if chance.random() < part.slips:
        return filled(chance.choice(part.wrong), k)
    slow = part.slow and chance.random() < SLOW
    return filled(chance.choice(part.slow if slow else part.fast), k)


# -- what programs return ---------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def _compiled(body: str) -> CodeType:
    return compile(program([body, "return xs"]), "part", "exec")


def value_of(body: str, xs: list[int]) -> list[int] | int:
    """What the program of a part makes of a list: a list, or the end's value."""
    names: dict[str, object] = {}
    exec(_compiled(body), names)
    result: list[int] | int = names[ENTRY_POINT](list(xs))  # type: ignore[operator]
    return int(result) if isinstance(result, bool) else result


def trace(bodies: list[str], xs: list[int]) -> list[list[int] | int]:
    """The list after each part, and the value."""
    found: list[list[int] | int] = []
    for body in bodies:
        xs = value_of(body, xs)  # type: ignore[assignment]
        found.append(xs)
    return found


def inputs(chance: random.Random) -> list[int]:
    """A list as tests have it."""
    return [chance.randrange(7) for _ in range(4)]


# -- tests --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Errors:
    """How the tests that the model learns from go wrong."""

    rate: float = 0.1
    """Share of tests with an error."""
    misread: float = 0.25
    """Share of these in which a part is taken for what one of its wrong programs does; in the
    others a number is wrong, missing or in another's place."""


def test_of(exercise: Exercise, chance: random.Random, errors: Errors) -> str:
    """A test as the model learns them, right or wrong."""
    xs = inputs(chance)
    bodies = exercise.right()
    wrong_at = chance.randrange(len(bodies)) if chance.random() < errors.rate else None
    misread = chance.random() < errors.misread
    values: list[list[int] | int] = []
    now: list[int] | int = xs
    for index, body in enumerate(bodies):
        choices = PARTS[exercise.names[index]].wrong
        if index == wrong_at and misread and choices:
            body = filled(chance.choice(choices), exercise.numbers[index])
        now = value_of(body, now)  # type: ignore[arg-type]
        if index == wrong_at and not misread:
            now = _slip(now, chance)
        values.append(now)
    return said(exercise, xs, values)


def said(exercise: Exercise, xs: list[int], values: list[list[int] | int]) -> str:
    """The text of a test, with the lists on the way in a comment."""
    steps = zip(exercise.parts, values[:-1], strict=False)
    told = [f"{filled(PARTS[name].words, k)}:{_spaced(value)}" for (name, k), value in steps]
    return f"assert {ENTRY_POINT}({xs}) == (\n# {', '.join(told)}\n{values[-1]})\n"


def _spaced(value: list[int] | int) -> str:
    return "".join(f" {item}" for item in ([value] if isinstance(value, int) else value))


def _slip(value: list[int] | int, chance: random.Random) -> list[int] | int:
    """One number wrong, missing, or in another's place."""
    if isinstance(value, int):
        return max(0, value + chance.choice((-2, -1, 1, 2)))
    if not value:
        return [chance.randrange(7)]
    at, items = chance.randrange(len(value)), list(value)
    kind = chance.choice(("wrong", "missing", "swapped"))
    if kind == "missing" and len(items) > 1:
        del items[at]
    elif kind == "swapped" and len(set(items)) > 1:
        other = chance.choice([i for i in range(len(items)) if items[i] != items[at]])
        items[at], items[other] = items[other], items[at]
    else:
        items[at] = max(0, items[at] + chance.choice((-1, 1, 2)))
    return items


# -- exercises ------------------------------------------------------------------------------------

SETS = ("pretrain", "train", "dev", "heldout")


def set_of(names: tuple[str, ...]) -> str:
    """The set of a composition: two fifths are for pretraining, a fifth for each other. Those of a
    single step are all for pretraining."""
    draw = hashlib.sha256("-".join(names).encode()).digest()[0] / 256
    return SETS[max(0, int(draw * 5) - 1)] if len(names) > 2 else "pretrain"


@functools.lru_cache(maxsize=8)
def exercises(which: str) -> list[Exercise]:
    """All of a set with two steps or three, in an order that is random and always the same."""
    found = [one for count in (2, 3) for one in _all(count) if set_of(one.names) == which]
    random.Random(which).shuffle(found)
    return found


@functools.lru_cache(maxsize=8)
def _all(count: int) -> list[Exercise]:
    """Those of so many steps that have something to do: values not all alike, and not too large; of
    three steps, a third of them."""
    chance, found = random.Random(count), []
    for steps in itertools.permutations(STEPS, count):
        for ending in ENDINGS:
            names = (*steps, ending)
            exercise = Exercise(names, tuple(chance.choice(PARTS[name].numbers) for name in names))
            if (count < 3 or chance.random() < 0.33) and _is_sound(exercise, chance):
                found.append(exercise)
    return found


def _is_sound(exercise: Exercise, chance: random.Random) -> bool:
    traces = [trace(exercise.right(), inputs(chance)) for _ in range(8)]
    ends = [one[-1] for one in traces]
    empty = sum(not one[-2] for one in traces)
    numbers = itertools.chain.from_iterable(map(_numbers, itertools.chain.from_iterable(traces)))
    varied = len({str(end) for end in ends}) >= 4
    return varied and empty <= 1 and max(numbers, default=0) <= LONGEST_VALUE


def _numbers(value: list[int] | int) -> list[int]:
    return [value] if isinstance(value, int) else value


def reference_tests(exercise: Exercise, count: int = 40) -> list[str]:
    """Right tests on fixed inputs, small and empty ones among them."""
    chance = random.Random(exercise.task_id)
    lists = [[], [2], [3, 3]] + [inputs(chance) for _ in range(count - 3)]
    return [
        f"assert {ENTRY_POINT}({xs}) == {trace(exercise.right(), xs)[-1]}" for xs in lists
    ]


def lessons(errors: Errors, seed: int) -> Iterator[tuple[Exercise, str, str]]:
    """What the model learns from, without end: (exercise, role, text)."""
    chance = random.Random(seed)
    single, some = _all(1), exercises("pretrain") + exercises("train")
    while True:
        exercise = chance.choice(single if chance.random() < 0.2 else some)
        yield exercise, "solutions", written(exercise, chance)
        for _ in range(2):
            yield exercise, "tests", test_of(exercise, chance, errors)
