"""Tests in responses, as independent snippets."""

from collections import Counter

import pytest

from codedpo_plugin.parsing.snippets import calls_of, snippets_of
from helpers.real_data import SLICES, rows

F = "def f(x):\n    return x + 1"


@pytest.mark.parametrize(
    ("text", "tests"),
    [
        ("assert f(1) == 2\nassert f(2) == 3", ["assert f(1) == 2", "assert f(2) == 3"]),
        ("```python\nassert f(1) == 2, 'one'\nassert f( 1 ) == 2\n```", ["assert f(1) == 2"]),
        (f"```python\n{F}\n\nassert f(1) == 3\n```", ["assert f(1) == 3"]),
        ("```python\ndef test_one():\n    x = 1\n    assert f(x) == 2\n    assert f(-x) == 0\n```",
         ["assert f(1) == 2", "assert f(-1) == 0"]),
        ("```python\nimport math\nassert f(math.pi) > 4\nassert f(0) == 1\n```",
         ["import math\nassert f(math.pi) > 4", "assert f(0) == 1"]),
        ("```python\nout = f(1)\nassert out == 2\n```", ["assert f(1) == 2"]),
        ("```python\nx = [1]\ny = f(x)\nassert y is not x and x == [1]\n```",
         ["x = [1]\ny = f(x)\nassert y is not x and x == [1]"]),
        ("```python\nfor n in range(3):\n    assert f(n) == n + 1\n```",
         ["for n in range(3):\n    assert f(n) == n + 1"]),
        ("assert True\nassert g(1) == 1", []),
        ("assert f(1) == 2\nassert f(2) ==", ["assert f(1) == 2"]),
        ("- `assert f(1) == 2`", ["assert f(1) == 2"]),
        ("```python\ndef test(fixture):\n    assert f(fixture)\n```", []),
    ],
)  # fmt: skip
def test_every_test_is_a_snippet_of_its_own(text: str, tests: list[str]) -> None:
    assert snippets_of(text, "f") == tests


ONE, TWO = "assert f(1) == 2", "assert f(2) == 3"
RAISES = "try:\n    f(None)\nexcept ValueError:\n    pass\nelse:\n    raise AssertionError"
FORMS = {
    "unittest": (
        "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n"
        "        self.assertEqual(f(1), 2)\n    def test_b(self):\n        self.assertEqual(f(2), 3)",
        [ONE, TWO],
    ),
    "unittest, setUp": (
        "class T(unittest.TestCase):\n    def setUp(self):\n        self.x = 1\n"
        "    def test_a(self):\n        self.assertEqual(f(self.x), 2)",
        [ONE],
    ),
    "unittest, raises": (
        "class T(unittest.TestCase):\n    def test_a(self):\n"
        "        with self.assertRaises(ValueError):\n            f(None)",
        [RAISES],
    ),
    "pytest class": ("class TestF:\n    def test_a(self):\n        assert f(1) == 2", [ONE]),
    "pytest.raises": (
        "import pytest\ndef test_a():\n    with pytest.raises(ValueError):\n        f(None)",
        [RAISES],
    ),
    "parametrize": (
        "@pytest.mark.parametrize('x, y', [(1, 2), (2, 3)])\ndef test_a(x, y):\n    assert f(x) == y",
        [ONE, TWO],
    ),
    "check, called": (
        "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(2) == 3\n\ncheck(f)",
        [ONE, TWO],
    ),
    "check": ("def check(candidate):\n    assert candidate(1) == 2", [ONE]),
    "called function": ("def run():\n    assert f(1) == 2\n\nrun()", [ONE]),
    "main guard": ("if __name__ == '__main__':\n    assert f(1) == 2", [ONE]),
    "doctest": (">>> f(1)\n2\n>>> f(2)\n3", [ONE, TWO]),
    "cases": ("for x, y in [(1, 2), (2, 3)]:\n    assert f(x) == y", [ONE, TWO]),
    "printed": ("print(f(1))  # 2\nprint(f(2))  # Output: 3", [ONE, TWO]),
    "comparison": ("f(1) == 2", [ONE]),
    "imported": ("from solution import f\nassert f(1) == 2", [ONE]),
    "prose between": ("assert f(1) == 2\nLarger inputs:\nassert f(2) == 3", [ONE, TWO]),
    "helper method": (
        "class T(unittest.TestCase):\n    def same(self, a, b):\n        self.assertEqual(f(a), b)\n"
        "    def test_a(self):\n        self.same(1, 2)\n        self.same(b=3, a=2)",
        [ONE, TWO],
    ),
    "class attribute": (
        "class TestF:\n    CASES = [(1, 2), (2, 3)]\n    def test_a(self):\n"
        "        for x, y in self.CASES:\n            assert f(x) == y",
        [ONE, TWO],
    ),
    "stacked parametrize": (
        "@pytest.mark.parametrize('x', [1, 2])\n@pytest.mark.parametrize('y', [pytest.param(3, id='a')])\n"
        "def test_a(x, y):\n    assert f(x, y) == x + 1",
        ["assert f(1, 3) == 1 + 1", "assert f(2, 3) == 2 + 1"],
    ),
    "cases in dicts": (
        "cases = [{'in': [1], 'out': 2}, {'in': [2], 'out': 3}]\nfor case in cases:\n"
        "    given, wanted = case['in'], case['out']\n    got = f(*given)\n    assert got == wanted, case",
        [ONE, TWO],
    ),
    "fixture": (
        "@pytest.fixture\ndef one():\n    return 1\n\ndef test_a(one):\n    assert f(one) == 2",
        [ONE],
    ),
    "approx": (
        "def test_a():\n    assert f(1) == pytest.approx(2, abs=0.1)",
        ["assert abs(f(1) - 2) <= 0.1"],
    ),
    "unittest, almost": (
        "class T:\n    def test_a(self):\n        self.assertAlmostEqual(f(1), 2, places=3)",
        ["assert round(abs(f(1) - 2), 3) == 0"],
    ),
    "caught assert": (
        "try:\n    assert f(1) == 2\n    print('ok')\nexcept AssertionError as e:\n    print(e)",
        [ONE],
    ),
    "expected exception": (
        "try:\n    f(None)\n    assert False, 'no error'\nexcept ValueError:\n    pass",
        [RAISES],
    ),
    "message in a tuple": ("assert (f(1) == 2, 'message')", [ONE]),
    "raise": ("if f(1) != 2:\n    raise AssertionError('wrong')", [ONE]),
    "in a docstring": (
        'def f(x):\n    """Next.\n\n    >>> f(1)\n    2\n    """\n    return x',
        [ONE],
    ),
    "in a test": ("def test_a():\n    from solution import f\n    assert f(1) == 2", [ONE]),
    "qualified": ("import solution\nassert solution.f(1) == 2", [ONE]),
    "indented by mistake": ("assert f(1) == 2\n   assert f(2) == 3", [ONE, TWO]),
    "called with values": (
        "def same(x, y):\n    assert f(x) == y\n\nsame(1, 2)\nsame(2, y=3)",
        [ONE, TWO],
    ),
    "literals": (
        "assert f(1) == 2 + 0 * 1e-300 * 123456789012345678901234567890",
        ["assert f(1) == 2 + 0 * 1e-300 * 123456789012345678901234567890"],
    ),
    "return within": (
        "def test_a():\n    if f(1) == 5:\n        return\n    assert f(1) == 2",
        ["def test_a():\n    if f(1) == 5:\n        return\n    assert f(1) == 2\ntest_a()"],
    ),
    "never run": ("def helper():\n    return f(1)", []),
}


@pytest.mark.parametrize(("text", "tests"), FORMS.values(), ids=FORMS)
def test_forms_in_which_models_write_tests(text: str, tests: list[str]) -> None:
    assert snippets_of(f"Tests:\n```python\n{text}\n```", "f") == tests


@pytest.mark.parametrize("form", FORMS)
def test_every_snippet_checks_the_solution(form: str) -> None:
    for snippet in snippets_of(f"```python\n{FORMS[form][0]}\n```", "f"):
        exec(snippet, {"f": right})
        with pytest.raises(Exception):  # noqa: B017, PT011
            exec(snippet, {"f": lambda *_: WRONG})


WRONG = object()


def right(x: int | None, *more: int) -> int:
    if x is None:
        raise ValueError("no number")
    return x + 1


LEFT_OUT = {
    "def test_a(tmp_path):\n    assert f(tmp_path)": "fixture",
    "assert g(1) == 2": "no call of the entry point",
    "assert callable(f)": "no call of the entry point",
    "assert f": "no call of the entry point",
    "assert f(open('x').read()) == 2": "needs a file",
    "async def test_a():\n    assert await f(1) == 2": "asynchronous",
    "def test_a():\n    yield\n    if f(1):\n        yield\n    assert f(1) == 2":
        "decorated function or generator",
    "@pytest.mark.skip\ndef test_a():\n    assert f(1) == 2": "skipped",
    "@pytest.mark.parametrize('x', values())\ndef test_a(x):\n    assert f(x)":
        "parametrized by values that are no literals",
    "assert f(1), f(2), f(3) ==": "does not parse",
    "print(f(1))": "no expected value",
    "with raises(Unknown):\n    f(1)": "undefined name",
    "assert (f(1) == 2, f(2) == 3)": "always true",
}  # fmt: skip


@pytest.mark.parametrize("text", LEFT_OUT)
def test_what_is_left_out_is_counted_by_kind(text: str) -> None:
    left_out = Counter[str]()
    assert snippets_of(f"```python\n{text}\n```", "f", left_out) == []
    assert left_out == {LEFT_OUT[text]: 1}


def test_an_answer_has_a_limit() -> None:
    left_out = Counter[str]()
    text = "\n".join(f"assert f({n}) == {n}" for n in range(1_000))
    assert len(snippets_of(text, "f", left_out)) == 200
    assert left_out == {"over the limit of an answer": 1}


def test_real_answers() -> None:
    """The others hold the function only."""
    answers = [
        row for row in rows(SLICES / "mbpp_answers_qwen0.5b.jsonl.gz") if row["role"] == "tests"
    ]
    usable = [row for row in answers if snippets_of(row["text"], row["entry_point"])]
    assert (len(usable), len(answers)) == (70, 240)


def test_calls_are_extracted_without_expected_values() -> None:
    text = "```python\nf(1)\nprint(f([1, 2]))\nassert f('a') == 3\nf(x)\nf(1)\n```"
    assert calls_of(text, "f") == ["f(1)", "f([1, 2])", "f('a')"]
