"""Extract tests from responses, each as an independent snippet."""

import ast
import re
from collections import Counter

from codedpo_plugin.parsing.code_blocks import python_blocks, without_thought
from codedpo_plugin.parsing.shown_values import (
    doctests_as_asserts,
    session_sources,
    shown_as_asserts,
)
from codedpo_plugin.parsing.snippet_finder import SnippetFinder
from codedpo_plugin.parsing.syntax import is_call, names_used, parsed

_ASSERT_LINE = re.compile(
    r"^[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)?`{0,3}((?:assert\b|self\.assert).*?)`{0,3}[ \t;,.]*$",
    re.MULTILINE,
)


def snippets_of(
    text: str, entry_point: str | None, left_out: Counter[str] | None = None
) -> list[str]:
    """Every test in a response as a snippet of its own, each once, at most
    `snippet_finder.MOST_SNIPPETS`.

    A snippet raises if the test fails and needs no test framework. Wherever the form allows it is
    one line `assert f(...) == value`, else it begins with the statements that the test needs. The
    definition of the entry point is left out: the tests are for other solutions.

    `left_out` counts, by kind of reason, what looks like a test and gives no snippet.
    """
    left_out = Counter() if left_out is None else left_out
    finder = SnippetFinder(entry_point, left_out)
    # All blocks together: later ones may need what earlier ones import.
    blocks = python_blocks(text)
    sessions = session_sources(text)
    body = [node for code in blocks for node in shown_as_asserts(code)]
    body = [node for node in body if not sessions or ast.unparse(node) not in sessions]
    stray, lost = _stray_asserts(text, blocks, entry_point)
    finder.find([*body, *doctests_as_asserts(without_thought(text)), *stray], [])
    if lost:
        left_out["does not parse"] += lost
    return list(finder.found)


def split_tests(body: list[ast.stmt], setup: list[ast.stmt], entry_point: str | None) -> list[str]:
    """Snippets of a list of statements; those of `setup` come before them."""
    finder = SnippetFinder(entry_point, Counter())
    finder.find(body, setup)
    return list(finder.found)


def calls_of(text: str, entry_point: str) -> list[str]:
    """Every call of the entry point on literal arguments in a response, each once."""
    calls: dict[str, None] = {}
    for block in python_blocks(text):
        for node in ast.walk(parsed(block) or ast.Module([], [])):
            if is_call(node, entry_point) and names_used(node) <= {entry_point}:
                calls[ast.unparse(node)] = None
    return list(calls)


def _stray_asserts(
    text: str, blocks: list[str], entry_point: str | None
) -> tuple[list[ast.stmt], int]:
    """Asserts outside of all blocks, such as items of a list or lines that are indented by mistake;
    and how many lines look like asserts but are none, or need names that are not known.
    """
    inside = Counter(line for code in blocks for line in _ASSERT_LINE.findall(code))
    found: list[ast.stmt] = []
    lost = 0
    for line, times in (Counter(_ASSERT_LINE.findall(without_thought(text))) - inside).items():
        tree = parsed(line)
        if tree and names_used(tree) <= {entry_point}:
            found += tree.body
        else:
            lost += times
    return found, lost
