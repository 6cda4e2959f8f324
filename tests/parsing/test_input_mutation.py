"""Mutated inputs: calls like those of the tests, with one argument changed."""

from typing import Any

import pytest

from codedpo_plugin.parsing.input_mutation import enlarged, mutated_calls


@pytest.mark.parametrize(
    "call", ["f([3, 1, 2], 'abc', k=4)", "f({'a': 1}, (2, 3.5), {1, 2})", "f(True, -3, None)"]
)
def test_mutated_calls_keep_types_and_differ(call: str) -> None:
    mutated = mutated_calls(call, 4)
    assert len(mutated) == len({call, *mutated}) - 1 == 4
    assert mutated == mutated_calls(call, 4)
    types = [[type(value) for value in arguments(text)] for text in (call, *mutated)]
    assert all(some == types[0] for some in types)


def arguments(call: str) -> list[Any]:
    """The values that a call passes."""
    return list(eval(call, {"f": lambda *a, **k: [*a, *k.values()]}))


@pytest.mark.parametrize("call", ["f()", "f(x)", "f(open('y'))", "f(", "f([])", "1 + 1"])
def test_a_call_without_literal_arguments_is_not_mutated(call: str) -> None:
    assert mutated_calls(call, 3) == []


def test_literal_sequences_are_enlarged_and_nothing_else() -> None:
    assert (
        enlarged("f([1, 2], 'ab', 3, k=(1, 2))", 20)
        == "f([1, 2] * 20, 'ab' * 20, 3, k=(1, 2) * 20)"
    )
    assert enlarged("f([1], 'a', {1: 2}, x)", 20) is None
