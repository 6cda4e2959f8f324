"""Extract tests from responses, each as an independent snippet."""

import ast
import copy
from typing import TypeGuard

from codedpo_plugin.parsing.code_blocks import python_blocks
from codedpo_plugin.parsing.syntax import names_bound, names_used, parsed

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def snippets_of(text: str, entry_point: str | None) -> list[str]:
    """Every test in a response as a snippet of its own, each once.

    `assert` statements, at the top level or in functions named `test...`, after the statements that
    they need. A solution that the model wrote along with its tests is left out, and so are tests
    that do not use `entry_point`.
    """
    # All blocks together: later ones may need what earlier ones import.
    body = [node for block in python_blocks(text) for node in _statements(block.code)]
    return list(dict.fromkeys(split_tests(body, [], entry_point)))


def calls_of(text: str, entry_point: str) -> list[str]:
    """Every call of the entry point on literal arguments in a response, each once."""
    calls: dict[str, None] = {}
    for block in python_blocks(text):
        for node in ast.walk(parsed(block.code) or ast.Module([], [])):
            if is_call(node, entry_point) and names_used(node) <= {entry_point}:
                calls[ast.unparse(node)] = None
    return list(calls)


def _statements(block: str) -> list[ast.stmt]:
    tree = parsed(block)
    return tree.body if tree else []


def split_tests(body: list[ast.stmt], setup: list[ast.stmt], entry_point: str | None) -> list[str]:
    """Snippets of a list of statements; those of `setup` come before them."""
    found = []
    setup = list(setup)
    for node in body:
        if entry_point and entry_point in names_bound(node):
            continue
        if isinstance(node, _Function) and node.name.startswith("test"):
            if not _parameters(node):
                found += split_tests(node.body, setup, entry_point)
        elif isinstance(node, ast.Assert) or _asserts_inside(node):
            snippet = _snippet(node, setup, entry_point)
            if snippet:
                found.append(snippet)
        elif not isinstance(node, ast.Return | ast.Pass) and not _is_main(node):
            setup.append(node)
    return found


def _snippet(test: ast.stmt, setup: list[ast.stmt], entry_point: str | None) -> str | None:
    """One test with what it needs; None if it does not use the entry point."""
    test = copy.deepcopy(test)
    if isinstance(test, ast.Assert):
        test.msg = None
    needed = [copy.deepcopy(node) for node in _needed(test, setup)]
    statements = _inlined([*needed, test])
    used = {name for node in statements for name in names_used(node)}
    if entry_point and entry_point not in used:
        return None
    return "\n".join(ast.unparse(ast.fix_missing_locations(node)) for node in statements)


def _needed(test: ast.stmt, setup: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of the setup that bind, or may change, names that the test uses."""
    wanted, needed = names_used(test), []
    for node in reversed(setup):
        touched = names_bound(node)
        if isinstance(node, ast.Expr):  # items.append(3)
            touched = names_used(node) - _called(node)
        if touched & wanted:
            needed.append(node)
            wanted = wanted | names_used(node)
    return needed[::-1]


def _inlined(statements: list[ast.stmt]) -> list[ast.stmt]:
    """`x = f(1)` and `assert x == 2` as `assert f(1) == 2`, which `split_test` can split."""
    while len(statements) > 1:
        assign, test = statements[-2], statements[-1]
        if not isinstance(assign, ast.Assign) or not isinstance(test, ast.Assert):
            break
        name = assign.targets[0]
        if len(assign.targets) > 1 or not isinstance(name, ast.Name) or _uses(test, name.id) != 1:
            break
        if (names_used(test) - {name.id}) & names_used(assign.value) - _called(assign.value):
            break  # the call might change what the test reads afterwards
        statements = [*statements[:-2], _Inline(name.id, assign.value).visit(test)]
    return statements


def _called(node: ast.AST) -> set[str]:
    """Names of functions that are called in a node."""
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return {call.id for call in calls if isinstance(call, ast.Name)}


def _uses(node: ast.AST, name: str) -> int:
    return sum(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node))


class _Inline(ast.NodeTransformer):
    def __init__(self, name: str, value: ast.expr) -> None:
        self.name, self.value = name, value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.value if node.id == self.name else node


def is_call(node: ast.AST, name: str) -> TypeGuard[ast.Call]:
    """Whether a node calls a function of this name."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _asserts_inside(node: ast.stmt) -> bool:
    """Whether a compound statement (a loop, a `with`, a `try`) asserts something."""
    if isinstance(node, _Function | ast.ClassDef):
        return False
    return any(isinstance(part, ast.Assert) for part in ast.walk(node)) and not _is_main(node)


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _parameters(node: _Function) -> bool:
    return bool(node.args.args or node.args.kwonlyargs or node.decorator_list)
