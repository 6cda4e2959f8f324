"""Tests in responses, as independent snippets."""

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
        ("- `assert f(1) == 2`", []),
        ("```python\ndef test(fixture):\n    assert f(fixture)\n```", []),
    ],
)  # fmt: skip
def test_every_test_is_a_snippet_of_its_own(text: str, tests: list[str]) -> None:
    assert snippets_of(text, "f") == tests


def test_calls_are_extracted_without_expected_values() -> None:
    text = "```python\nf(1)\nprint(f([1, 2]))\nassert f('a') == 3\nf(x)\nf(1)\n```"
    assert calls_of(text, "f") == ["f(1)", "f([1, 2])", "f('a')"]
