"""Put one test together: what it needs of the statements before it, and whether it is one."""

import ast
import copy
from typing import NamedTuple

from codedpo_plugin.parsing.assert_forms import Substitution
from codedpo_plugin.parsing.case_expansion import may_replace, simplified
from codedpo_plugin.parsing.syntax import names_bound, names_bound_within, names_used

_LONGEST = 50_000  # characters of a snippet
_MOST_NEEDED = 50  # statements that a test needs
_INSPECTS = ("callable", "hasattr", "isinstance", "type", "id", "print", "repr", "str", "getattr")
_FILES = ("open", "Path", "tmp_path", "tempfile")
_ASYNC = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class LeftOut(Exception):
    """A test cannot be a snippet; the message names the kind of reason."""


class Part(NamedTuple):
    """A statement that tests after it may need."""

    node: ast.stmt
    bound: set[str]
    used: set[str]
    size: int
    """Nodes of the tree."""

    @classmethod
    def of(cls, node: ast.stmt) -> "Part":
        """Names are collected once: an answer may have thousands of statements."""
        used, size = names_used(node), sum(1 for _ in ast.walk(node))
        if isinstance(node, ast.Expr):  # items.append(3)
            return cls(node, used - _called(node), used, size)
        return cls(node, names_bound(node) | _changed(node), used, size)


def snippet(test: ast.stmt, setup: list[Part], entry_point: str | None) -> str:
    """One test with what it needs.

    Raises:
        LeftOut: it does not check a call of the entry point, or cannot run by itself.
    """
    test = copy.deepcopy(test)
    if isinstance(test, ast.Assert):
        test.msg = None
        if isinstance(test.test, ast.Tuple) and test.test.elts:
            raise LeftOut("always true")
    needed = _needed(test, setup, entry_point)
    if len(needed) > _MOST_NEEDED or sum(part.size for part in needed) > _LONGEST // 3:
        raise LeftOut("too long")
    before = [copy.deepcopy(part.node) for part in needed]
    statements = [simplified(node) for node in _inlined([*before, test], entry_point)]
    _check(statements, entry_point)
    text = "\n".join(ast.unparse(ast.fix_missing_locations(node)) for node in statements)
    if len(text) > _LONGEST:
        raise LeftOut("too long")
    return text


def _check(statements: list[ast.stmt], entry_point: str | None) -> None:
    """Raises LeftOut for statements that are no test."""
    if entry_point and not _reaches(statements, entry_point):
        raise LeftOut("no call of the entry point")
    used = {name for node in statements for name in names_used(node)}
    every = {
        part.id for node in statements for part in ast.walk(node) if isinstance(part, ast.Name)
    }
    bound = {name for node in statements for name in names_bound_within(node)}
    if every & set(_FILES) - bound:
        raise LeftOut("needs a file")
    if "pytest" in used or "self" in used - bound:
        raise LeftOut("feature of a test framework")
    unknown = used - bound - {entry_point or ""}
    if isinstance(statements[-1], ast.Try) and unknown:  # a NameError could be what is caught
        raise LeftOut("undefined name")
    if any(isinstance(part, _ASYNC) for node in statements for part in ast.walk(node)):
        raise LeftOut("asynchronous")


def _reaches(statements: list[ast.stmt], entry_point: str) -> bool:
    """Whether the statements call the entry point, or something that does."""
    reaching = {entry_point}
    definitions = [node for node in statements if isinstance(node, _Definition)]
    for _ in range(len(definitions)):
        more = {node.name for node in definitions if names_used(node) & reaching}
        if more <= reaching:
            break
        reaching |= more
    others = [node for node in statements if not isinstance(node, _Definition)]
    for node in others:
        if isinstance(node, ast.Assign) and names_used(node.value) & reaching:
            reaching |= names_bound(node)
    return any(
        isinstance(part, ast.Call) and _calls_any(part, reaching)
        for node in others
        for part in ast.walk(node)
    )


def _calls_any(call: ast.Call, names: set[str]) -> bool:
    function = call.func
    while isinstance(function, ast.Attribute | ast.Subscript | ast.Call):
        function = function.func if isinstance(function, ast.Call) else function.value
    name = function.id if isinstance(function, ast.Name) else ""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    passed = {part.id for part in given if isinstance(part, ast.Name)}
    return name in names or (bool(passed & names) and name not in _INSPECTS)


def _changed(node: ast.stmt) -> set[str]:
    """Names of objects that a statement changes: `x[0] = 1`, and `x.add(1)` within a loop."""
    if isinstance(node, _Definition):
        return set()
    changed: list[ast.expr] = []
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript | ast.Attribute) and not isinstance(part.ctx, ast.Load):
            changed.append(part.value)
        elif isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
            function = part.value.func
            changed += [function.value] if isinstance(function, ast.Attribute) else []
    return {part.id for part in changed if isinstance(part, ast.Name)}


def _needed(test: ast.stmt, setup: list[Part], entry_point: str | None) -> list[Part]:
    """The statements of the setup that bind, or may change, names that the test uses."""
    tested, needed = names_used(test), list[Part]()
    if isinstance(test, ast.For):
        tested = tested - (names_bound(test.target) - names_used(test.iter))
    wanted = set(tested)
    for part in reversed(setup):
        if part.bound & wanted or (tested & wanted and _may_change(part, tested, entry_point)):
            needed.append(part)
            if _rebinds(part):
                wanted = wanted - part.bound
            wanted = wanted | part.used
    return needed[::-1]


def _rebinds(part: Part) -> bool:
    """Whether what its names were before makes no difference: `x = 1`."""
    return isinstance(
        part.node, ast.Assign | _Definition | ast.Import | ast.ImportFrom
    ) and not any(
        isinstance(target, ast.Subscript | ast.Attribute | ast.Starred)
        for target in getattr(part.node, "targets", [])
    )


def _may_change(part: Part, tested: set[str], entry_point: str | None) -> bool:
    """Whether it is `out = f(x)` where the test uses `x`."""
    if not isinstance(part.node, ast.Assign) or not isinstance(part.node.value, ast.Call):
        return False
    call = part.node.value
    given = {argument.id for argument in call.args if isinstance(argument, ast.Name)}
    return isinstance(call.func, ast.Name) and call.func.id == entry_point and bool(given & tested)


def _inlined(statements: list[ast.stmt], entry_point: str | None) -> list[ast.stmt]:
    """`x = f(1)` and `assert x == 2` as `assert f(1) == 2`, which `split_test` can split."""
    statements = _with_literals(statements, entry_point)
    while len(statements) > 1:
        assign, test = statements[-2], statements[-1]
        if not isinstance(assign, ast.Assign) or not isinstance(test, ast.Assert):
            break
        name = assign.targets[0]
        if len(assign.targets) > 1 or not isinstance(name, ast.Name) or _uses(test, name.id) != 1:
            break
        if name.id in names_bound_within(test) or _repeated(test, name.id):
            break
        if (names_used(test) - {name.id}) & names_used(assign.value) - _called(assign.value):
            break  # the call might change what the test reads afterwards
        statements = [*statements[:-2], Substitution({name.id: assign.value}).visit(test)]
    return statements


def _with_literals(statements: list[ast.stmt], entry_point: str | None) -> list[ast.stmt]:
    """Literals in place of their names, where that cannot make a difference."""
    index = len(statements) - 2
    while index >= 0:
        node, later = statements[index], statements[index + 1 :]
        if isinstance(node, ast.Assign) and isinstance(name := node.targets[0], ast.Name):
            alone = len(node.targets) == 1
            if alone and may_replace(later, name.id, node.value, entry_point):
                replace = Substitution({name.id: node.value})
                statements = [*statements[:index], *(replace.visit(part) for part in later)]
        index -= 1
    return statements


def _repeated(test: ast.stmt, name: str) -> bool:
    """Whether a name is used where it may be read never, or more than once."""
    repeats = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
    return any(isinstance(part, repeats) and _uses(part, name) for part in ast.walk(test))


def _called(node: ast.AST) -> set[str]:
    """Names of functions that are called in a node."""
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return {call.id for call in calls if isinstance(call, ast.Name)}


def _uses(node: ast.AST, name: str) -> int:
    return sum(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node))
