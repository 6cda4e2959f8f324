"""The program in an answer. Nothing is run here: texts are only parsed."""

import ast
from typing import NamedTuple

from codedpo_plugin.parsing.code_blocks import python_blocks
from codedpo_plugin.parsing.syntax import names_bound, names_bound_within, names_used, parsed

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_RUNNERS = ("unittest.main", "doctest.testmod", "pytest.main")


class Program(NamedTuple):
    """A program, and what of its text is not part of it."""

    code: str
    left_out: str
    """Statements at its top level that only show or check it; empty for most."""


def code_of(text: str, entry_point: str | None = None) -> str | None:
    """The code of `program_of`, or None."""
    program = program_of(text, entry_point)
    return program.code if program else None


def program_of(text: str, entry_point: str | None = None) -> Program | None:
    """The program in an answer; None if there is none that parses.

    Of several blocks, the last that defines `entry_point` (or else any function or class), together
    with the other blocks that define names it needs. Prints, asserts, calls of the entry point and
    `if __name__ == "__main__"` at the top level are left out; everything else stays as it is.
    """
    blocks = python_blocks(text)
    chosen = _defining(blocks, entry_point)
    if chosen is None:
        return None
    needed = _needed(blocks, chosen)
    return _without_examples("\n\n".join(blocks[index] for index in needed), entry_point)


def _defining(blocks: list[str], entry_point: str | None) -> int | None:
    """The last block with a definition of the entry point; or a value for it; or any definition."""
    trees = [parsed(block) or ast.Module([], []) for block in blocks]
    for test in (_defines, _assigns, _defines_anything):
        for index in range(len(blocks) - 1, -1, -1):
            if any(test(node, entry_point) for node in trees[index].body):
                return index
    return None


def _defines(node: ast.stmt, name: str | None) -> bool:
    return isinstance(node, _DEFINITIONS) and node.name == name


def _assigns(node: ast.stmt, name: str | None) -> bool:
    """Whether a statement gives the name a value; an import or `f = f` only takes one."""
    if name is None or isinstance(node, ast.Import | ast.ImportFrom):
        return False
    return name in names_bound(node) and name not in names_used(node)


def _defines_anything(node: ast.stmt, _: str | None) -> bool:
    return isinstance(node, _DEFINITIONS)


def _needed(blocks: list[str], chosen: int) -> list[int]:
    """The chosen block and those that define names it needs, in the order of the text."""
    trees = [parsed(block) or ast.Module([], []) for block in blocks]
    bound = [{name for node in tree.body for name in names_bound(node)} for tree in trees]
    needed = {chosen}
    while True:
        used = {name for index in needed for name in names_used(trees[index])}
        known = {name for index in needed for name in names_bound_within(trees[index])}
        more = [
            index
            for index in range(len(blocks))
            if index not in needed and bound[index] & (used - known)
            and not bound[index] & bound[chosen]
        ]  # fmt: skip
        if not more:
            return sorted(needed)
        # The nearest one before, or else the first after: of several tries the last is meant.
        needed.add(max((i for i in more if i < chosen), default=more[0]))


# -- examples -------------------------------------------------------------------------------------


def _without_examples(source: str, entry_point: str | None) -> Program:
    """The program without statements that only show or check it."""
    tree = parsed(source)
    if tree is None:
        return Program(source, "")
    shows = _showing(tree, entry_point)
    examples = [node for node in tree.body if _is_example(node, shows)]
    if not examples:
        return Program(source, "")
    lines = source.split("\n")
    kept = {n for node in tree.body if node not in examples for n in _lines(node)}
    gone = {n for node in examples for n in _lines(node)} - kept
    code = "\n".join(line for n, line in enumerate(lines, 1) if n not in gone).strip("\n")
    left_out = "\n".join(lines[n - 1] for n in sorted(gone))
    return Program(code, left_out) if parsed(code) is not None else Program(source, "")


def _showing(tree: ast.Module, entry_point: str | None) -> set[str]:
    """Names whose calls only show or check the program: `print`, the entry point, and functions
    that call these or assert.
    """
    shows = {"print", entry_point or "print"}
    functions = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != entry_point
    ]
    while True:
        more = {f.name for f in functions if _asserts(f) or _called(f) & shows} - shows
        if not more:
            return shows
        shows |= more


def _is_example(node: ast.stmt, shows: set[str]) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
        return True
    if isinstance(node, ast.For | ast.While | ast.With | ast.If):
        return all(_is_example(part, shows) for part in node.body)
    if isinstance(node, ast.Try):
        return all(_is_example(part, shows) for part in node.body)
    if not isinstance(node, ast.Expr):
        return False
    runs_tests = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in _RUNNERS
    return runs_tests or bool(_called(node) & shows)


def _asserts(function: ast.AST) -> bool:
    return any(isinstance(part, ast.Assert) for part in ast.walk(function))


def _called(node: ast.AST) -> set[str]:
    """Names of functions, or of classes whose methods are called: `f(1)`, `Solution().f(1)`."""
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return {call.id for call in calls if isinstance(call, ast.Name)}


def _lines(node: ast.stmt) -> range:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    return range(first, (node.end_lineno or node.lineno) + 1)
