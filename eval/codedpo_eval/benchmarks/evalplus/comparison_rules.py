"""When a returned value is right: the rules of evalplus (0.3.1, eval/__init__.py).

Which rule a test has is decided here; `comparison`, which applies it, is also run in the sandbox.
"""

from typing import Any, NamedTuple

from codedpo_eval.benchmarks.evalplus.comparison import SPECIAL, agree
from codedpo_plugin.sandbox.encoding import decode

# What evalplus compares as sets (its eval/_special_oracle.py): MBPP tasks 2, 7, 111, 140, 232, 249,
# 579 and 769; and those of which it checks only whether something was found.
COMPARED_AS_SETS = frozenset(
    "similar_elements find_char_long common_in_nested_lists extract_singly larg_nnum "
    "intersection_array find_dissimilar Diff".split()
)
COMPARED_AS_FOUND = frozenset("check_str text_match_three text_starta_endb".split())


class Rule(NamedTuple):
    """How the value that one test returned is judged."""

    special: str
    """Name of a rule for this task, `set` or `found`; empty for none."""
    atol: float
    literal: bool = True
    """Whether a value with the same encoding as the expected one is always right."""


def rules_of(family: str, entry_point: str, atol: float, expected: list[str]) -> list[Rule]:
    """The rules of the tests that share a process: from the first expected value of floats on,
    later values are compared with a tolerance too, as evalplus does.

    Args:
        family: `HumanEval` or `Mbpp`.
        entry_point: of the task.
        atol: absolute tolerance of the task.
        expected: encoded values, in the order of the tests.
    """
    special = _special(family, entry_point)
    rules = []
    for text in expected:
        inexact = special == "find_zero" or "NaN" in text or '{"object"' in text
        rules.append(Rule(special, atol, not inexact))
        if atol == 0 and _is_floats(text):
            atol = 1e-6
            rules[-1] = rules[-1]._replace(atol=atol)
    return rules


def _special(family: str, entry_point: str) -> str:
    if family == "HumanEval":
        return entry_point if entry_point == "find_zero" else ""
    if entry_point in COMPARED_AS_SETS:
        return "set"
    if entry_point in COMPARED_AS_FOUND:
        return "found"
    return entry_point if entry_point in SPECIAL else ""


def _is_floats(text: str) -> bool:
    """Whether an encoded value is a float, or a list, tuple or array of floats only."""
    plain = not text.startswith(('{"tuple":', '{"ndarray":'))
    if (plain and ('"' in text or text[0] in "tfn")) or not set(text) & set(".eIN"):
        return False  # decided without decoding
    value = decode(text)
    if isinstance(value, list | tuple) and value:
        return all(isinstance(item, float) for item in value)
    kind = str(getattr(value, "dtype", ""))
    return isinstance(value, float) or kind in ("float32", "float64")


def agrees(rule: Rule, arguments: list[Any], text: str, expected: str) -> bool:
    """Whether an encoded value is right; a value that cannot be compared is wrong."""
    try:
        return bool(agree(rule.special, rule.atol, arguments, decode(text), decode(expected)))
    except Exception:
        return False
