"""Code in answers, in the forms that models write."""

import re

import pytest

from codedpo_plugin.parsing.extraction import code_of, program_of
from helpers.real_data import SLICES, rows

F = "def f(x):\n    return x + 1"
WRONG = "def f(x):\n    return x - 1"
G = "def g(x):\n    return x"
DOCTEST = 'def f(x):\n    """Adds one.\n\n    >>> f(1)\n    2\n    """\n    return x + 1'
INDENTED = F.replace("\n", "\n   ")


def fenced(code: str, language: str = "python", fence: str = "```") -> str:
    return f"{fence}{language}\n{code}\n{fence}"


FENCES = {
    "prose around": f"Sure!\n{fenced(F)}\nThis adds one.",
    "no language": fenced(F, ""),
    "tildes": fenced(F, "py", "~~~"),
    "capital": fenced(F, "Python"),
    "python3": fenced(F, "python3"),
    "attributes": fenced(F, 'python title="f.py" linenums="1"'),
    "braces": fenced(F, "{.python}"),
    "blank before language": f"``` python\n{F}\n```",
    "four backticks": fenced(F, "python", "````"),
    "nested in markdown": fenced(fenced(F), "markdown", "````"),
    "nested without language": fenced(f"Text\n{fenced(F)}\n", "", "````"),
    "in a list": f"1. Do this:\n\n   ```python\n   {INDENTED}\n   ```",
    "in a bullet": f"- ```python\n  {F.replace(chr(10), chr(10) + '  ')}\n  ```",
    "in a quote": "> " + fenced(F).replace("\n", "\n> "),
    "deeply indented": "Step:\n\n" + re.sub("^", "        ", fenced(F), flags=re.MULTILINE),
    "fence at the margin, code indented": fenced(re.sub("^", "    ", F, flags=re.MULTILINE)),
    "crlf": fenced(F).replace("\n", "\r\n"),
    "carriage returns": fenced(F).replace("\n", "\r"),
    "byte order mark": "\ufeff" + fenced(F),
    "byte order mark in the fence": fenced("\ufeff" + F),
    "not closed": f"```python\n{F}",
    "closed in the line": f"```python\n{F}```\n",
    "closed with blanks": f"```python\n{F}\n```   \nDone.",
    "opened after text": f"The code is: ```python\n{F}\n```",
    "bold heading": f"**Solution**\n{fenced(F)}",
    "heading and rule": f"# Answer\n\n---\n\n{fenced(F)}\n\n---\n",
    "table before": f"| a | b |\n|---|---|\n| 1 | 2 |\n\n{fenced(F)}",
    "html pre": f"<pre><code>{F}</code></pre>",
    "html pre alone": f"<pre>\n{F}\n</pre>",
    "details": f"<details>\n<summary>Code</summary>\n\n{fenced(F)}\n\n</details>",
    "stray closing fence": f"{F}\n```\n",
    "stray closing fence and prose": f"{F}\n```\n\nThis adds one.\n",
    "other languages beside": f"{fenced('pip install x', 'bash')}\n{fenced(F)}\n{fenced('2', 'text')}",
    "wrong language named": fenced(F, "javascript"),
}
WITHOUT_FENCE = {
    "bare": F,
    "prose before": f"Here it is:\n\n{F}",
    "prose around": f"Here it is:\n\n{F}\n\nIt adds one to x.",
    "long prose after": F + "\n\n" + "\n".join(f"Line {n} of the explanation." for n in range(300)),
    "tags": f"[BEGIN]\n{F}\n[DONE]\n",
    "code tags": f"[PYTHON]\n{F}\n[/PYTHON]",
    "one-word heading": f"Solution\n\n{F}\n\nDone",
}
SEVERAL = {
    "the last of two tries": f"{fenced(WRONG)}\nBetter:\n{fenced(F)}",
    "the last of two tries, crlf": f"{fenced(WRONG)}\nBetter:\n{fenced(F)}\n".replace("\n", "\r\n"),
    "usage after": f"{fenced(F)}\nUse:\n{fenced('print(f(1))')}",
    "another function before": f"{fenced(G)}\nand\n{fenced(F)}",
    "tests that import it": f"{fenced(F)}\nTests:\n{fenced('from solution import f' + chr(10) + 'assert f(1) == 2')}",
    "bound to itself": f"{fenced(F)}\nCheck:\n{fenced('f = f' + chr(10) + 'assert f(1) == 2')}",
    "a cut try after": f"{fenced(F)}\nOr:\n```python\ndef f(x):\n    return (x +",
    "a signature only": f"{fenced('def f(x):')}\n{fenced(F)}",
}
THINKING = {
    "closed": f"<think>\n{fenced(G)}\n</think>\n{fenced(F)}",
    "in one line": f"<think>I add one.</think>\n{fenced(F)}",
    "opened by the prompt": f"first I...\n```python\n{G}\n```</think>\n{fenced(F)}",
    "other tag": f"<reasoning>\n{fenced(WRONG)}\n</reasoning>\n\n{fenced(F)}",
    "twice": f"<think>a</think>\n<think>b</think>\n{fenced(F)}",
    "in the middle": f"Let me see.\n<think>\n{fenced(WRONG)}\n</think>\n{fenced(F)}",
}
EXAMPLES = {
    "print and assert": fenced(f"{F}\n\nprint(f(1))\nassert f(1) == 2"),
    "main guard": fenced(f"{F}\n\nif __name__ == '__main__':\n    f(2)"),
    "loop": fenced(f"{F}\n\nfor x in [1, 2]:\n    print(x, f(x))"),
    "unittest.main": fenced(f"{F}\n\nunittest.main()"),
    "cut after the examples": fenced(f"{F}\n\nprint(f(1))\nprint(f(1),\n     2]"),
    "cut function after": f"```python\n{F}\n\n\ndef h(y):\n    return (y +",
    "prose in the fence": fenced(f"Here is the function:\n{F}\nIt adds one."),
    "interpreter session": fenced(">>> def f(x):\n...     return x + 1\n...\n>>> f(1)\n2"),
}
ALL = {
    f"{kind}: {name}": text
    for kind, texts in {
        "fence": FENCES, "no fence": WITHOUT_FENCE, "several": SEVERAL, "thinking": THINKING,
        "examples": EXAMPLES,
    }.items()
    for name, text in texts.items()
}  # fmt: skip


@pytest.mark.parametrize("text", ALL.values(), ids=ALL)
def test_the_program_in_an_answer(text: str) -> None:
    assert code_of(text, "f") == F


@pytest.mark.parametrize(
    "code",
    [
        DOCTEST,
        "def f(s):\n    return s.split('\t')",
        "def f():\n\treturn 1",
        "def f():\n    return '''a  \nb'''",
        "def f(s):\n    return '\u0085' in s or '\u2028' in s",
        "def f(s):\n    return '''\n```\n''' + s + '''\n```\n'''",
        "import re\n\ndef f(s):\n    return re.sub(r'<think>.*?</think>', '', s)",
        "def f(s):\n    if '</think>' in s:\n        return s.split('</think>')[-1]\n    return s",
        "def f(s):\n    return '<think>' + s",
        'def f():\n    """\n    </think>\n    """\n    return 1',
        "primes = []\n\ndef fill(n):\n    primes.extend(range(2, n))\n\nfill(9)\n\ndef f(n):\n    return primes[n]",
        "import sys\nsys.setrecursionlimit(9999)\n\ndef f(n):\n    return n and f(n - 1)",
        "T = {}\nT.update({'a': 1})\n\ndef f(c):\n    return T[c]",
        "OPS = {}\n\ndef register(n, g):\n    OPS[n] = g\n\nregister('+', lambda a, b: a + b)\n\ndef f(o, a, b):\n    return OPS[o](a, b)",
        "f = lambda x: x + 1",
        "from functools import lru_cache\n\n@lru_cache(None)\ndef f(n):\n    return n",
        "class f:\n    def g(self):\n        return 1",
        "async def f():\n    return 1",
        "def f(x):\n\n\n    # a comment\n\n    return x   # another",
    ],
)
def test_code_is_not_changed(code: str) -> None:
    program = program_of(f"Here:\n{fenced(code)}\nDone.", "f")
    assert program == (code, "")


@pytest.mark.parametrize(
    "text",
    [
        f"<think>unfinished\n{fenced(F)}",
        "```python\ndef f(x):\n    return (x +",
        fenced("def f(x):\n    if len(x) === 0:\n        return 1"),
        "I cannot help with that.",
        "`def f(x):`",
        "",
    ],
)
def test_an_answer_without_a_program(text: str) -> None:
    assert code_of(text, "f") is None


@pytest.mark.parametrize(
    "text",
    [
        "<think>a</think>\n" * 9000,
        "<think>\n" * 15000,
        "</think>\n" * 15000,
        "```python\n" + "</think>\n" * 9000 + "```",
        "```python\n(\n```\n" * 3000,
        "x = (\n" * 9000,
        "if x:\n" * 15000,
        "(" * 100_000,
        "`" * 100_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_model_that_repeats_itself_costs_neither_an_error_nor_minutes(text: str) -> None:
    assert code_of(text, "f") is None


def test_what_is_left_out_is_known() -> None:
    program = program_of(fenced(f"{F}\n\nprint(f(1))"), "f")
    assert program
    assert (program.code, program.left_out) == (F, "print(f(1))")


def test_blocks_that_need_each_other_are_joined() -> None:
    base, f = "import math\nBASE = 2", "def f(x):\n    return math.log(x, BASE)"
    assert code_of(f"{fenced(base)}\nthen\n{fenced(f)}", "f") == f"{base}\n\n{f}"
    uses_g = "def f(x):\n    return g(x) + 1"
    assert code_of(f"{fenced(uses_g)}\nwhere\n{fenced(G)}", "f") == f"{uses_g}\n\n{G}"


def test_another_name_is_still_a_program() -> None:
    assert code_of(fenced(G), "f") == G


def test_real_answers_give_their_programs() -> None:
    missing = []
    for row in rows(SLICES / "humaneval_answers_qwen0.5b.jsonl.gz"):
        name = re.findall(r"^def (\w+)\(", row["prompt"][-1]["content"], re.MULTILINE)[-1]
        code = code_of(row["response"], name) or ""
        if f"def {name}(" not in code:
            missing.append(row["task_id"])
    assert not missing


def test_real_samples_give_their_programs() -> None:
    samples = [
        row
        for row in rows(SLICES / "mbpp_answers_qwen0.5b.jsonl.gz")
        if row["role"] == "solutions" and row["finish_reason"] == "stop"
    ]
    without = [row for row in samples if code_of(row["text"], row["entry_point"]) is None]
    assert len(samples) == 897
    assert len(without) == 16  # each read: none parses


def test_a_line_of_any_length_is_read() -> None:
    numbers = ", ".join(map(str, range(20_000)))
    assert code_of(fenced(f"x = [{numbers}]\n{F}")) == f"x = [{numbers}]\n{F}"
