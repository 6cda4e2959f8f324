"""Twenty problems of HumanEval, reworded by hand, each with its own solution."""

from typing import NamedTuple


class Reworded(NamedTuple):
    task_id: str
    text: str
    entry_point: str
    program: str
    call: str
    """A call as one of its tests would make it."""


REWORDED = [
    Reworded("HumanEval/0", "Sensors report readings. Tell if some pair of readings differs by less "
             "than a tolerance.", "any_pair_near",
             "def any_pair_near(readings, tolerance):\n    s = sorted(readings)\n"
             "    return any(b - a < tolerance for a, b in zip(s, s[1:]))", "any_pair_near([1.5, 9.0], 0.1)"),
    Reworded("HumanEval/1", "A text holds balanced brackets and blanks. Cut it into its outermost "
             "bracketed parts, blanks removed.", "outer_parts",
             "def outer_parts(text):\n    parts, depth, part = [], 0, ''\n    for c in text:\n"
             "        if c == '(':\n            depth += 1\n            part += c\n        elif c == ')':\n"
             "            depth -= 1\n            part += c\n            if depth == 0:\n"
             "                parts.append(part)\n                part = ''\n    return parts",
             "outer_parts('() (())')"),
    Reworded("HumanEval/3", "An account starts empty; a list holds what is paid in and out. Say if it is "
             "ever overdrawn.", "overdrawn",
             "from itertools import accumulate\ndef overdrawn(moves):\n"
             "    return any(s < 0 for s in accumulate(moves))", "overdrawn([1, 2, -4])"),
    Reworded("HumanEval/4", "How far, on average, do values lie from their average?", "mean_distance",
             "def mean_distance(values):\n    m = sum(values) / len(values)\n"
             "    return sum(abs(v - m) for v in values) / len(values)", "mean_distance([1.0, 2.0])"),
    Reworded("HumanEval/5", "Put a separator between neighbours of a sequence of integers.", "with_separator",
             "def with_separator(xs, sep):\n    out = []\n    for i, x in enumerate(xs):\n        if i:\n"
             "            out.append(sep)\n        out.append(x)\n    return out", "with_separator([1, 2], 9)"),
    Reworded("HumanEval/7", "Keep the words in which a pattern occurs.", "words_with",
             "def words_with(words, pattern):\n    return list(filter(lambda w: pattern in w, words))",
             "words_with(['ab', 'c'], 'a')"),
    Reworded("HumanEval/9", "At each position, what is the record so far?", "records",
             "from itertools import accumulate\ndef records(xs):\n    return list(accumulate(xs, max))",
             "records([1, 3, 2])"),
    Reworded("HumanEval/11", "Two rows of bits as texts of equal length: where they differ write 1, "
             "else 0.", "differing",
             "def differing(p, q):\n    return ''.join('01'[x != y] for x, y in zip(p, q))",
             "differing('01', '11')"),
    Reworded("HumanEval/12", "Which of the words has the most letters? The earliest of several; nothing "
             "if there are no words.", "longest_word",
             "def longest_word(words):\n    return max(words, key=len) if words else None",
             "longest_word(['a', 'bb'])"),
    Reworded("HumanEval/14", "List the beginnings of a word, shortest first, up to the word itself.",
             "beginnings",
             "def beginnings(word):\n    return [word[:k + 1] for k in range(len(word))]",
             "beginnings('abc')"),
    Reworded("HumanEval/16", "How large is the alphabet of a text, if capitals and small letters are "
             "the same?", "alphabet_size",
             "def alphabet_size(text):\n    return len(set(text.lower()))", "alphabet_size('aAb')"),
    Reworded("HumanEval/20", "Of some numbers, give the two nearest neighbours, the smaller first.",
             "nearest_two",
             "def nearest_two(numbers):\n    s = sorted(numbers)\n"
             "    return min(zip(s, s[1:]), key=lambda p: p[1] - p[0])", "nearest_two([1.0, 2.0, 5.0])"),
    Reworded("HumanEval/21", "Stretch values linearly so that the least becomes 0 and the greatest 1.",
             "stretched",
             "def stretched(values):\n    low, high = min(values), max(values)\n"
             "    return [(v - low) / (high - low) for v in values]", "stretched([2.0, 49.9])"),
    Reworded("HumanEval/26", "Drop every integer that is there more than once, all its copies.", "singles",
             "from collections import Counter\ndef singles(xs):\n    c = Counter(xs)\n"
             "    return [x for x in xs if c[x] < 2]", "singles([1, 2, 2])"),
    Reworded("HumanEval/27", "Capitals become small letters and the other way round.", "swapped",
             "def swapped(text):\n    return ''.join(c.lower() if c.isupper() else c.upper() for c in text)",
             "swapped('Ab')"),
    Reworded("HumanEval/34", "Each item once, in rising order.", "rising",
             "def rising(items):\n    return sorted(dict.fromkeys(items))", "rising([3, 1, 3])"),
    Reworded("HumanEval/42", "Every entry grows by one.", "grown",
             "def grown(entries):\n    return list(map(lambda e: e + 1, entries))", "grown([1, 2])"),
    Reworded("HumanEval/48", "Is a text its own mirror image?", "mirror_image",
             "def mirror_image(text):\n    return list(text) == list(reversed(text))", "mirror_image('aba')"),
    Reworded("HumanEval/58", "What do both collections hold? Each once, in order of size.", "shared",
             "def shared(one, other):\n    return sorted({x for x in one if x in other})",
             "shared([1, 2], [2])"),
    Reworded("HumanEval/55", "Rabbits: one pair in the first month and in the second, then as many as in "
             "the two months before together. How many in month n?", "rabbits",
             "def rabbits(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a",
             "rabbits(10)"),
]  # fmt: skip
