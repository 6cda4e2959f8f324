"""When a returned value is right: evalplus's rules (0.3.1, eval/__init__.py), in our own words.

The second half of the rules, `agreement.py`, is also run in the sandbox.
"""

from typing import Any, NamedTuple

from codedpo_eval.benchmarks.evalplus.comparison import SPECIAL, agree
from codedpo_plugin.sandbox.encoding import decode

# What evalplus compares as sets (its eval/_special_oracle.py): MBPP tasks 2, 7, 111, 140, 232, 249,
# 579 and 769; and where it looks only whether something was found.
COMPARED_AS_SETS = frozenset(
    "similar_elements find_char_long common_in_nested_lists extract_singly larg_nnum "
    "intersection_array find_dissimilar Diff".split()
)
COMPARED_AS_FOUND = frozenset("check_str text_match_three text_starta_endb".split())


class Rule(NamedTuple):
    """How the value of one test is judged."""

    special: str
    """Name of a rule of its own, `set` or `found`; empty for none."""
    atol: float
    literal: bool = True
    """Whether the same value is always right."""


def oracles(family: str, entry_point: str, atol: float, expected: list[str]) -> list[Rule]:
    """Rules of the tests of one process: once a value is of floats, later ones are compared with a
    tolerance, too.
    """
    special = _special(family, entry_point)
    rules = []
    for text in expected:
        odd = special == "find_zero" or "NaN" in text or '{"object"' in text
        rules.append(Rule(special, atol, not odd))
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
    """Whether an encoded value is a float, or a list or tuple of floats alone, or such an array."""
    plain = not text.startswith(('{"tuple":', '{"ndarray":'))
    if (plain and ('"' in text or text[0] in "tfn")) or not set(text) & set(".eIN"):
        return False  # at a glance
    value = decode(text)
    if isinstance(value, list | tuple) and value:
        return all(isinstance(item, float) for item in value)
    kind = str(getattr(value, "dtype", ""))
    return isinstance(value, float) or kind in ("float32", "float64")


def agrees(rule: Rule, arguments: list[Any], text: str, expected: str) -> bool:
    """Whether an encoded value is right; what cannot be compared is not."""
    try:
        return bool(agree(rule.special, rule.atol, arguments, decode(text), decode(expected)))
    except Exception:
        return False
