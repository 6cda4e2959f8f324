"""Mutated inputs: further calls, made from those of the tests, on which solutions can differ.

A mutated call has no expected value. It is a call of a test with one argument slightly changed:
another item, one item fewer, the next number. Types, signs and alphabets are kept, so that most
mutated inputs are inputs that the problem allows. For timing, a call can also be enlarged.
"""

import ast
import copy
import random
from collections.abc import Callable
from typing import Any

_TRIES = 8  # attempts per mutated call to find one that differs from all before it
_MAX_CHARS = 2000  # of a mutated call


def mutated_calls(call: str, count: int) -> list[str]:
    """Up to `count` calls that differ from `call` in one argument; none unless all are literals.

    The same call always gives the same mutated calls.
    """
    try:
        tree = ast.parse(call, mode="eval").body
        if not isinstance(tree, ast.Call):
            return []
        slots = [*tree.args, *(keyword.value for keyword in tree.keywords)]
        values = [ast.literal_eval(slot) for slot in slots]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return []
    chance = random.Random(call)
    found = {ast.unparse(tree): None}
    for _ in range(count * _TRIES if values else 0):
        changed = _with_one_changed(tree, values, chance)
        if len(changed) <= _MAX_CHARS:
            found.setdefault(changed)
        if len(found) > count:
            break
    return list(found)[1:]


def enlarged(call: str, times: int) -> str | None:
    """The call with its longer literal arguments repeated; None if there are none.

    Lists, tuples and strings of at least two items: `f([1, 2], "ab", 3)` becomes
    `f([1, 2] * 20, "ab" * 20, 3)`.
    """
    try:
        tree = ast.parse(call, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(tree, ast.Call):
        return None
    before = ast.unparse(tree)
    tree.args = [_repeated(argument, times) for argument in tree.args]
    for keyword in tree.keywords:
        keyword.value = _repeated(keyword.value, times)
    after = ast.unparse(tree)
    return after if after != before else None


def _repeated(argument: ast.expr, times: int) -> ast.expr:
    sequence = isinstance(argument, ast.List | ast.Tuple) and len(argument.elts) > 1
    text = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    if sequence or (text and len(argument.value) > 1):  # type: ignore[attr-defined]
        return ast.BinOp(argument, ast.Mult(), ast.Constant(times))
    return argument


def _with_one_changed(tree: ast.Call, values: list[Any], chance: random.Random) -> str:
    """The call with one of its argument values changed."""
    which = chance.randrange(len(values))
    changed = ast.Constant(_changed(values[which], chance))
    call = copy.deepcopy(tree)
    if which < len(call.args):
        call.args[which] = changed
    else:
        call.keywords[which - len(call.args)].value = changed
    return ast.unparse(call)  # of a constant, its repr: lists and dicts too


def _changed(value: Any, chance: random.Random) -> Any:
    """Another value of the same type; None and what has nothing to change are returned as is."""
    change = _CHANGES.get(type(value))
    return change(value, chance) if change else value


def _number(value: Any, chance: random.Random) -> Any:
    """A neighbour, or about twice or half as much; positive numbers stay positive."""
    other = chance.choice([value + 1, value - 1, value * 2, value + 2, value // 2, value * 3 + 1])
    return type(value)(other) if (other > 0) == (value > 0) else value + 1


def _text(value: str, chance: random.Random) -> str:
    return "".join(_sequence(list(value), chance, lambda item, chance: chance.choice(value)))


def _list(value: list[Any], chance: random.Random) -> list[Any]:
    return _sequence(list(value), chance, _changed)


def _tuple(value: tuple[Any, ...], chance: random.Random) -> tuple[Any, ...]:
    """Of the same length, which often has a meaning for tuples."""
    if not value:
        return value
    which = chance.randrange(len(value))
    return (*value[:which], _changed(value[which], chance), *value[which + 1 :])


def _set(value: set[Any], chance: random.Random) -> set[Any]:
    return set(_sequence(sorted(value, key=repr), chance, _changed))


def _dict(value: dict[Any, Any], chance: random.Random) -> dict[Any, Any]:
    if not value:
        return value
    key = chance.choice(list(value))
    if len(value) > 1 and chance.random() < 0.3:
        return {other: item for other, item in value.items() if other != key}
    return {**value, key: _changed(value[key], chance)}


def _sequence(
    items: list[Any], chance: random.Random, change: Callable[[Any, random.Random], Any]
) -> list[Any]:
    """One item removed, duplicated, changed, or swapped with another."""
    if not items:
        return items
    which = chance.randrange(len(items))
    action = chance.choice(["drop", "double", "change", "change", "swap"])
    if action == "drop" and len(items) > 1:
        del items[which]
    elif action == "double":
        items.insert(chance.randrange(len(items) + 1), items[which])
    elif action == "swap":
        other = chance.randrange(len(items))
        items[which], items[other] = items[other], items[which]
    else:
        items[which] = change(items[which], chance)
    return items


_CHANGES: dict[type, Callable[[Any, random.Random], Any]] = {
    bool: lambda value, _: not value,
    int: _number,
    float: _number,
    str: _text,
    list: _list,
    tuple: _tuple,
    set: _set,
    dict: _dict,
}
