"""A small release of LiveCodeBench: rows in its format, and programs with known verdicts."""

import base64
import json
import pickle
import zlib
from typing import Any


def packed(tests: list[dict[str, str]]) -> str:
    """Private tests as the benchmark packs them."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def row(
    question_id: str, tests: list[tuple[str, str]], func_name: str | None = None, **other: str
) -> dict[str, Any]:
    """A row; its first test is public."""
    kind = "functional" if func_name else "stdin"
    cases = [{"input": i, "output": o, "testtype": kind} for i, o in tests]
    return {
        "question_title": question_id,
        "question_content": f"Question {question_id}.",
        "platform": "leetcode" if func_name else "atcoder",
        "question_id": question_id,
        "contest_id": "c1",
        "contest_date": "2024-05-01T00:00:00",
        "starter_code": f"class Solution:\n    def {func_name}(self" if func_name else "",
        "difficulty": "easy",
        "public_test_cases": json.dumps(cases[:1]),
        "private_test_cases": packed(cases[1:]),
        "metadata": json.dumps({"func_name": func_name} if func_name else {}),
    } | other


ROWS = [
    row("sum", [("2\n1 2\n", "3\n"), ("3\n1 2 3\n", "6"), ("1\n-5\n", "-5\n")]),
    row("half", [("1\n", "0.5\n"), ("3\n", "1.50\n")], contest_date="2024-08-01T00:00:00"),
    row("words", [("b a\n", "a\nb\n"), ("z\n", "z\n")], difficulty="hard"),
    row(
        "pairs",
        [("[1,2]\n3", "[[1,3],[2,3]]"), ("[]\n1", "[]")],
        "pairs",
        contest_date="2024-06-15T00:00:00",
    ),
    row("is_even", [("2", "true"), ("3", "false")], "isEven", difficulty="medium"),
]

# question, program, whether it is right
PROGRAMS = [
    ("sum", "n = int(input())\nprint(sum(map(int, input().split())))", True),
    ("sum", "input()\nprint(*[sum(map(int, input().split()))], end='  \\n\\n')", True),
    (
        "sum",
        "import sys\nd = sys.stdin.read().split()\nprint(sum(map(int, d[1:])))\nsys.exit(0)",
        True,
    ),
    (
        "sum",
        "def main():\n    input()\n    print(sum(map(int, input().split())))\nif __name__ == '__main__':\n    main()",
        True,
    ),
    ("sum", "input()\nprint(reduce(lambda a, b: a + b, map(int, input().split())))", True),
    (
        "sum",
        "import sys\nd = sys.stdin.read().split()\nprint(float(sum(map(int, d[1:]))))",
        True,
    ),  # 3.0 is 3
    (
        "sum",
        "import threading\ndef main():\n    input()\n    print(sum(map(int, input().split())))\nt = threading.Thread(target=main)\nt.start()\nt.join()",
        True,
    ),
    ("sum", "n = int(input())\nprint(sum(map(int, input().split())))\nexit()", True),
    ("sum", "n = int(input())\nprint(3)", False),
    ("sum", "n = int(input())\nprint(sum(map(int, input().split())), 0)", False),
    ("sum", "print(sum(map(int, input().split()))", False),  # does not parse
    ("sum", "import os\nprint(3)\nos._exit(0)", False),
    ("sum", "raise SystemExit", False),
    ("sum", "", False),
    ("sum", "while True:\n    pass", False),
    ("half", "print(int(input()) / 2)", True),
    ("half", "from decimal import Decimal\nprint(f'{Decimal(input()) / 2:.3f}')", True),
    ("half", "print(int(input()) / 2 + 1e-12)", False),  # numbers are compared exactly
    ("half", "print('half of', input())", False),
    ("words", "print('\\n'.join(sorted(input().split())))", True),
    ("words", "for w in sorted(input().split()):\n    print(' ', w)", True),
    ("words", "print(*sorted(input().split()))", False),  # one line too few
    (
        "pairs",
        "class Solution:\n    def pairs(self, a: List[int], b: int):\n        return [[x, b] for x in a]",
        True,
    ),
    (
        "pairs",
        "class Solution:\n    def pairs(self, a, b):\n        return tuple([x, b] for x in a)",
        True,
    ),
    (
        "pairs",
        "class Solution:\n    def pairs(self, a, b):\n        return [(x, b) for x in a]",
        False,
    ),
    ("pairs", "def pairs(a, b):\n    return [list(p) for p in product(a, [b])]", True),
    ("pairs", "class Solution:\n    def pairs(self, a):\n        return []", False),
    ("pairs", "class Solution:\n    pass", False),
    ("is_even", "class Solution:\n    def isEven(self, n):\n        return n % 2 == 0", True),
    ("is_even", "class Solution:\n    def isEven(self, n):\n        return 1 - n % 2", True),
    (
        "is_even",
        "class Solution:\n    def isEven(self, n):\n        print('noise')\n        return n % 2 == 1",
        False,
    ),
    (
        "is_even",
        "class Solution:\n    def isEven(self, n):\n        return 'true' if n % 2 == 0 else 'false'",
        False,
    ),
]

# The benchmark's own grader fails these; Python, given the input, prints what is expected.
ONLY_OURS = [
    (
        "sum",
        "import sys\nsys.stdin.readline()\nn = sum(map(int, input().split()))\nsys.stdout.buffer.write(b'%d\\n' % n)",
    ),
    (
        "sum",
        "total = 0\ndef add(x):\n    global total\n    total += x\ninput()\nfor x in input().split():\n    add(int(x))\nprint(total)",
    ),
    (
        "sum",
        "import sys\nread = sys.stdin.buffer.readline\nread()\nprint(sum(map(int, read().split())))",
    ),
    ("sum", "d = open(0).read().split()\nprint(sum(map(int, d[1:])))"),
    (
        "sum",
        "n = int(input())\nimport sys\ninput = sys.stdin.readline\nprint(sum(map(int, input().split())))",
    ),
]

# The benchmark's own grader passes these, which forge their verdict.
FORGED = [
    (
        "pairs",
        "class Any:\n    def __eq__(self, other):\n        return True\nclass Solution:\n    def pairs(self, a, b):\n        return Any()",
    ),
    (
        "pairs",
        "import sys\nclass Solution:\n    def pairs(self, a, b):\n        return sys._getframe(1).f_locals['gt_out']",
    ),
]
