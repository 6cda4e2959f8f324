"""Probes: further inputs, made from those of the tests, on which solutions can agree or differ.

A probe has no expected value. It is a call like that of a test, with one argument changed a
little: another item, one item less, the next number. Kinds of values stay what they were, signs
and alphabets too, so that most probes are inputs the problem allows.
"""

import ast
import copy
import random
from collections.abc import Callable
from typing import Any

_TRIES = 8  # at a change that differs from the call and from the probes before it
_MAX_CHARS = 2000  # of a probe


def probes_of(call: str, count: int) -> list[str]:
    """Up to `count` probes of a call, the same for the same call; none for one of other than
    literal arguments.
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
    """Another value of the same kind; None and what has nothing to change stay as they are."""
    change = _CHANGES.get(type(value))
    return change(value, chance) if change else value


def _number(value: Any, chance: random.Random) -> Any:
    """A neighbour, or about the double or half; positive numbers stay positive."""
    other = chance.choice([value + 1, value - 1, value * 2, value + 2, value // 2, value * 3 + 1])
    return type(value)(other) if (other > 0) == (value > 0) else value + 1


def _text(value: str, chance: random.Random) -> str:
    return "".join(_sequence(list(value), chance, lambda item, chance: chance.choice(value)))


def _list(value: list[Any], chance: random.Random) -> list[Any]:
    return _sequence(list(value), chance, _changed)


def _tuple(value: tuple[Any, ...], chance: random.Random) -> tuple[Any, ...]:
    """Of the same length: that of a tuple often has a meaning."""
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
    """One item less, twice, changed, or swapped with another."""
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
