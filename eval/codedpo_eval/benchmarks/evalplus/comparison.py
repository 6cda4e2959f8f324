"""Whether a value agrees with the expected one; raises whatever comparing the two raises.

This file is also run as a program in the sandbox, to compare long values there, so it imports
nothing but numpy.
"""

import math
from typing import Any


def agree(special: str, atol: float, arguments: list[Any], value: Any, expected: Any) -> bool:
    """Whether a value is right.

    Args:
        special: the rule: `set`, `found`, `find_zero`, a key of `SPECIAL`, or empty.
        atol: absolute tolerance; 0 for none.
        arguments: of the call.
        value: what the call returned.
        expected: what the reference solution returned.
    """
    if special == "find_zero":
        total = sum(c * math.pow(value, power) for power, c in enumerate(arguments[0]))
        return bool(abs(total) <= atol)
    if special == "found":
        return bool(
            value == expected if isinstance(value, bool) else expected == (value is not None)
        )
    if special == "set":
        same = set(value) == set(expected)
    else:
        same = bool(value == expected)
        if special in SPECIAL:
            same = same or SPECIAL[special](arguments, value, atol)
    if same or not atol:
        return same
    return type(value) is type(expected) and _close(value, expected, atol)


def _close(value: Any, expected: Any, atol: float) -> bool:
    import numpy as np

    if isinstance(expected, list | tuple) and len(value) != len(expected):
        return False
    return bool(np.allclose(value, expected, rtol=1e-7, atol=atol))


def _pyramid(arguments: list[Any], value: Any, atol: float) -> bool:
    """Mbpp/581: the height may be that of the pyramid; the reference takes the slant height."""
    edge, height = arguments
    slant = math.sqrt((edge / 2) ** 2 + height**2)
    return bool(abs(value - round(edge**2 + 2 * edge * slant)) <= atol)


def _digits(arguments: list[Any], value: Any, atol: float) -> bool:
    """Mbpp/558: digit by digit, the shorter number padded with zeros."""
    one, other = map(str, arguments)
    width = max(len(one), len(other))
    pairs = zip(one.zfill(width), other.zfill(width), strict=True)
    return bool(value == sum(abs(int(a) - int(b)) for a, b in pairs))


SPECIAL = {
    "are_equivalent": lambda arguments, value, atol: True,  # Mbpp/164: the task is ill-defined
    "sum_div": lambda arguments, value, atol: value == 0,  # Mbpp/295
    "surface_Area": _pyramid,
    "digit_distance_nums": _digits,
}
