"""What may share a process; `test_attacks.py` runs programs that keep state against the rule."""

import pytest

from codedpo_plugin.sandbox import purity
from helpers.attacks.programs import KEEPS_STATE


def code(source: str, mode: str = "exec") -> object:
    return compile(source, "<test>", mode)


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    return x + 1",
        "import math\nfrom collections import Counter\ndef f(x: int) -> int:\n    return math.gcd(x, 2)",
        "LIMIT = 3\ndef f(x):\n    seen = set()\n    seen.add(x)\n    return len(seen) < LIMIT",
        "def f(x):\n    def g(y):\n        nonlocal x\n        x += y\n    g(1)\n    return x",
    ],
)
def test_functions_and_constants_are_pure(source: str) -> None:
    assert purity.is_pure(code(source))


@pytest.mark.parametrize(
    "name", ["global", "list", "default", "function attribute", "closure", "class attribute"]
)
def test_programs_that_keep_state_are_not(name: str) -> None:
    assert not purity.is_pure(code(KEEPS_STATE[name]))


def test_a_program_that_ends_at_once_may_be_run_in_advance() -> None:
    assert purity.is_inert(code("import math\ndef f(x):\n    print(x)"))
    assert not purity.is_inert(code("n = 9**9**9\ndef f(x):\n    return n"))
    assert not purity.is_inert(code("import os\ndef f(x):\n    return x"))


def test_calls_bind_no_names() -> None:
    assert purity.are_pure_calls([code("f([1, 2])", "eval")])
    assert not purity.are_pure_calls([code("(x := f(1))", "eval")])
    assert not purity.are_pure_calls([SyntaxError()])
    assert not purity.are_pure_calls([])


def test_names_that_a_test_binds_are_known() -> None:
    snippet = code("x, y = f(1), 2\nassert x == y")
    assert purity.is_pure_snippet(snippet)
    assert purity.bound_names(snippet) == {"x", "y"}
    assert not purity.is_pure_snippet(code("from math import *"))
