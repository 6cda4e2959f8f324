"""Static properties of programs."""

import pytest

from codedpo_plugin.parsing.programs import keeps_state, may_vary, normalised


def test_layout_comments_and_docstrings_do_not_matter() -> None:
    one = "def f(x):\n    '''Doc.'''\n    # why\n    return (x+1)\n"
    other = "def f(x):\n\n\n  return x + 1"
    assert normalised(one) == normalised(other)
    assert normalised(one) != normalised("def f(x):\n    return x + 2")


def test_text_that_is_not_python_is_compared_by_words() -> None:
    assert normalised("def f(:  \n x") == normalised("def f(: x")


@pytest.mark.parametrize(
    "source",
    [
        "memo = {}\ndef f(n):\n    memo[n] = n\n    return memo[n]",
        "def f(n, memo={}):\n    memo[n] = n\n    return n",
        "def f(n, *, seen=[]):\n    seen.append(n)\n    return n",
        "count = 0\ndef f(n):\n    global count\n    count += 1",
        "def f(n):\n    f.last = n\n    return n",
        "cache = {}\ndef f(n):\n    return cache.setdefault(n, n)",
    ],
)
def test_state_that_outlives_a_call_is_detected(source: str) -> None:
    assert keeps_state(source)


@pytest.mark.parametrize(
    "source",
    [
        "ROMAN = {'I': 1}\ndef f(s):\n    return sum(ROMAN[c] for c in s)",
        "def f(n):\n    memo = {}\n    def g(k):\n        memo[k] = k\n        return k\n    return g(n)",
        "def f(items):\n    items.sort()\n    items[0] = 1\n    return items",
        "import functools\n@functools.lru_cache\ndef f(n):\n    return n",
        "def f(n, memo=None):\n    memo = memo or {}\n    memo[n] = 1\n    return n",
    ],
)
def test_state_of_a_single_call_is_allowed(source: str) -> None:
    assert not keeps_state(source)


@pytest.mark.parametrize(
    ("source", "varies"),
    [
        ("import random\ndef f():\n    return random.random()", True),
        ("from time import time\ndef f():\n    return time()", True),
        ("def f(words):\n    return list(set(words))", True),
        ("def f(words):\n    return [w for w in {'a', 'b'}]", True),
        ("def f(words):\n    return sorted(words)", False),
        ("def f(:", False),
    ],
)
def test_programs_that_may_vary_are_detected(source: str, varies: bool) -> None:
    assert may_vary(source) is varies
