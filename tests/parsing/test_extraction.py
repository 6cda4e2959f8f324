"""Code in responses, in the forms that models write."""

import pytest

from codedpo_plugin.parsing.extraction import code_of

F = "def f(x):\n    return x + 1"
G = "def g(x):\n    return x"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"Sure!\n```python\n{F}\n```\nThis adds one.", F),
        (f"```\n{F}\n```", F),
        (f"~~~py\n{F}\n~~~", F),
        (F, F),
        (f"Here it is:\n\n{F}\n\nIt adds one to x.", F),
        (f"```python\n{G}\n```\nBetter:\n```python\n{F}\n```\nRun it:\n```bash\npython f.py\n```", F),
        (f"```python\n{F}\n```\nUse:\n```python\nprint(f(1))\n```", F),
        (f"<think>\n```python\n{G}\n```\n</think>\n```python\n{F}\n```", F),
        (f"first I...\n```python\n{G}\n```</think>\n```python\n{F}\n```", F),
        (f"<think>unfinished\n```python\n{F}\n```", None),
        (f"```python\n{F}\n\n\ndef h(y):\n    return (y +", F),
        (f"```python\n{F}", F),
        ("```python\ndef f(x):\n    return (x +", None),
        (f"1. Do this:\n\n   ```python\n   {F.replace(chr(10), chr(10) + '   ')}\n   ```", F),
        (f"```python\n{F}\n\nprint(f(1))\nassert f(1) == 2\n\nif __name__ == '__main__':\n    f(2)\n```", F),
        ("I cannot help with that.", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_program_in_a_response(text: str, code: str | None) -> None:
    assert code_of(text, "f") == code


def test_blocks_that_need_each_other_are_joined() -> None:
    text = "```python\nimport math\nBASE = 2\n```\nthen\n```python\ndef f(x):\n    return math.log(x, BASE)\n```"
    assert code_of(text, "f") == "import math\nBASE = 2\n\ndef f(x):\n    return math.log(x, BASE)"


def test_another_name_is_still_a_program() -> None:
    assert code_of(f"```python\n{G}\n```", "f") == G
