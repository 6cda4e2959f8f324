"""Tests in responses, as independent snippets."""

from collections import Counter

import pytest

from codedpo_plugin.parsing.snippets import calls_of, snippets_of

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
    "never run": ("def helper():\n    return f(1)", []),
}


@pytest.mark.parametrize(("text", "tests"), FORMS.values(), ids=FORMS)
def test_forms_in_which_models_write_tests(text: str, tests: list[str]) -> None:
    assert snippets_of(f"Tests:\n```python\n{text}\n```", "f") == tests


def test_what_is_left_out_is_counted_by_kind() -> None:
    left_out = Counter[str]()
    text = "```python\ndef test_a(tmp_path):\n    assert f(tmp_path)\n\nassert g(1) == 2\n```"
    assert snippets_of(text, "f", left_out) == []
    assert left_out.total() == 2


def test_calls_are_extracted_without_expected_values() -> None:
    text = "```python\nf(1)\nprint(f([1, 2]))\nassert f('a') == 3\nf(x)\nf(1)\n```"
    assert calls_of(text, "f") == ["f(1)", "f([1, 2])", "f('a')"]
