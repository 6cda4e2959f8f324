"""Exercises for a tiny model to memorise: its output at each step of a build."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Exercise:
    """What a model writes for one seed."""

    concepts: str
    text: str
    signature: str
    solutions: tuple[str, ...]
    tests: tuple[str, ...]

    def problem(self) -> str:
        return f"{self.text}\n\n```python\n{self.signature}\n```"


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


EXERCISES = [
    Exercise(
        "- doubling\n- lists",
        "Return a list that holds each of the items twice, in order.",
        "def twice(items: list) -> list:",
        (
            "def twice(items):\n    return [x for x in items for _ in range(2)]",
            "def twice(items):\n    out = []\n    for x in items:\n        out += [x, x]\n    return out",
            "def twice(items):\n    return items + items",
        ),
        ("assert twice([1, 2]) == [1, 1, 2, 2]", "assert twice([]) == []", "assert twice([7]) == [7, 7]"),
    ),
    Exercise(
        "- signs\n- comparison",
        "Return -1, 0 or 1, as the number is below, at or above zero.",
        "def sign(n: int) -> int:",
        (
            "def sign(n):\n    return (n > 0) - (n < 0)",
            "def sign(n):\n    return 1 if n > 0 else -1",
        ),
        ("assert sign(5) == 1", "assert sign(-5) == -1", "assert sign(0) == 0"),
    ),
    Exercise(
        "- strings\n- reversal",
        "Return whether the word reads the same from both ends.",
        "def mirrored(word: str) -> bool:",
        (
            "def mirrored(word):\n    return word == word[::-1]",
            "def mirrored(word):\n    return word[0] == word[-1]",
        ),
        ("assert mirrored('abba') == True", "assert mirrored('abca') == False", "assert mirrored('') == True"),
    ),
    Exercise(
        "- sums\n- squares",
        "Return the sum of the squares of the numbers.",
        "def squares(numbers: list) -> int:",
        (
            "def squares(numbers):\n    return sum(n * n for n in numbers)",
            "def squares(numbers):\n    return sum(numbers) ** 2",
        ),
        ("assert squares([1, 2]) == 5", "assert squares([3]) == 9", "assert squares([]) == 0"),
    ),
    Exercise(
        "- counting\n- vowels",
        "Return how many vowels are in the text, in small letters.",
        "def vowels(text: str) -> int:",
        (
            "def vowels(text):\n    return sum(c in 'aeiou' for c in text)",
            "def vowels(text):\n    return len(set(text) & set('aeiou'))",
        ),
        ("assert vowels('banana') == 3", "assert vowels('xyz') == 0", "assert vowels('aaee') == 4"),
    ),
    Exercise(
        "- largest\n- loops",
        "Return the largest gap between two neighbours in the list, 0 for a short list.",
        "def gap(values: list) -> int:",
        (
            "def gap(values):\n    return max((abs(a - b) for a, b in zip(values, values[1:])), default=0)",
            "def gap(values):\n    return max(values) - min(values) if values else 0",
        ),
        ("assert gap([1, 5, 2]) == 4", "assert gap([3]) == 0", "assert gap([1, 2, 3]) == 1"),
    ),
]  # fmt: skip
