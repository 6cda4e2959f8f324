"""Extract tests from responses, each as an independent snippet."""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeGuard

from codedpo_plugin.parsing.assert_forms import PlainForms, asserts_within, calls_assert_method
from codedpo_plugin.parsing.case_expansion import (
    Binding,
    bound_body,
    call_bindings,
    loop_cases,
    parametrized,
    unpacked_assign,
)
from codedpo_plugin.parsing.class_forms import flattened, is_test_class, is_test_name
from codedpo_plugin.parsing.code_blocks import python_blocks, without_thought
from codedpo_plugin.parsing.shown_values import (
    doctests_as_asserts,
    session_sources,
    shown_as_asserts,
)
from codedpo_plugin.parsing.snippet_parts import LeftOut, Part, snippet
from codedpo_plugin.parsing.syntax import names_bound, names_used, parsed

MOST_SNIPPETS = 200
_MOST_STATEMENTS = 5_000  # visited in one answer, with each case of a loop counted
_DEEPEST = 5  # calls of functions of asserts within such functions

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_CANDIDATES = ("candidate", "func", "function", "fn", "f", "solution", "method")
_LISTED = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(`{0,3})(assert\s.+?)\1[\s.;,]*$", re.MULTILINE)
_ASSERT_LINE = re.compile(r"^\s*(?:assert\s|self\.assert)", re.MULTILINE)


def snippets_of(
    text: str, entry_point: str | None, left_out: Counter[str] | None = None
) -> list[str]:
    """Every test in a response as a snippet of its own, each once, at most `MOST_SNIPPETS`.

    A snippet raises if the test fails and needs no test framework. Wherever the form allows it is
    one line `assert f(...) == value`, else it begins with the statements that the test needs. The
    definition of the entry point is left out: the tests are for other solutions.

    `left_out` counts, by kind of reason, what looks like a test and gives no snippet.
    """
    left_out = Counter() if left_out is None else left_out
    finder = _Finder(entry_point, left_out)
    # All blocks together: later ones may need what earlier ones import.
    blocks = [block.code for block in python_blocks(text)]
    sessions = session_sources(text)
    body = [node for code in blocks for node in shown_as_asserts(code)]
    body = [node for node in body if not sessions or ast.unparse(node) not in sessions]
    finder.find([*body, *doctests_as_asserts(without_thought(text))], [])
    if not finder.found:
        finder.find([node for code in _listed(text) for node in code], [])
    lost = len(_ASSERT_LINE.findall(text)) - sum(len(_ASSERT_LINE.findall(code)) for code in blocks)
    if lost > 0:
        left_out["does not parse"] += lost
    return list(finder.found)


def split_tests(body: list[ast.stmt], setup: list[ast.stmt], entry_point: str | None) -> list[str]:
    """Snippets of a list of statements; those of `setup` come before them."""
    finder = _Finder(entry_point, Counter())
    finder.find(body, setup)
    return list(finder.found)


def calls_of(text: str, entry_point: str) -> list[str]:
    """Every call of the entry point on literal arguments in a response, each once."""
    calls: dict[str, None] = {}
    for block in python_blocks(text):
        for node in ast.walk(parsed(block.code) or ast.Module([], [])):
            if is_call(node, entry_point) and names_used(node) <= {entry_point}:
                calls[ast.unparse(node)] = None
    return list(calls)


def is_call(node: ast.AST, name: str) -> TypeGuard[ast.Call]:
    """Whether a node calls a function of this name."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _listed(text: str) -> Iterator[list[ast.stmt]]:
    """Asserts that are items of a list, with or without backticks."""
    for item in _LISTED.finditer(without_thought(text)):
        if tree := parsed(item[2]):
            yield tree.body


class _Finder:
    """Walks statements as they would run, and collects the tests."""

    def __init__(self, entry_point: str | None, left_out: Counter[str]) -> None:
        self.entry_point, self.left_out = entry_point, left_out
        self.found: dict[str, None] = {}
        self.visited = 0

    def find(self, body: Sequence[ast.stmt], setup: Sequence[ast.stmt]) -> None:
        """Add the snippets of statements; those of `setup` come before them."""
        scope = [Part.of(node) for node in self._prepared(setup)]
        self._walk(self._prepared(body), scope, 0)

    def _prepared(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        """The statements in plain forms, without the entry point's definition or import."""
        modules = {name for node in body for name in _other_modules(node)}
        plain: list[ast.stmt] = []
        for node in body:
            if self._gives_entry_point(node):
                continue
            try:
                tree = ast.Module([node], [])
                _Qualified(modules, self.entry_point).visit(tree)
                plain += PlainForms().visit(tree).body
            except RecursionError:
                self.left_out["nested too deeply"] += 1
        return plain

    def _gives_entry_point(self, node: ast.stmt) -> bool:
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            return (node.module or "").partition(".")[0] not in sys.stdlib_module_names
        compound = isinstance(node, ast.If | ast.For | ast.While | ast.With)
        return bool(self.entry_point) and not compound and self.entry_point in names_bound(node)

    def _walk(self, body: Sequence[ast.stmt], scope: list[Part], depth: int) -> None:
        """Tests of statements in one scope, which grows by what is no test.

        Functions and classes that nothing calls come last, as a test runner has it: they see all
        names of their module.
        """
        waiting: dict[str, _Function | ast.ClassDef] = {}
        for node in body:
            self.visited += 1
            if len(self.found) >= MOST_SNIPPETS or self.visited > _MOST_STATEMENTS:
                self.left_out["over the limit of an answer"] += 1
                return
            if isinstance(node, ast.ClassDef) and is_test_class(node):
                waiting[node.name] = node
            elif isinstance(node, _Function) and asserts_within(node):
                waiting[node.name] = node
                scope.append(Part.of(node))
            elif _is_main(node):
                self._walk(self._prepared(getattr(node, "body", [])), scope, depth)
            elif called := self._function_call(node, scope):
                waiting.pop(called[0].name, None)
                self._called(*called, scope, depth)
            else:
                self._statement(node, scope, depth)
        for definition in waiting.values():
            if isinstance(definition, ast.ClassDef):
                self._walk(flattened(definition), list(scope), depth)
            else:
                self._function(definition, scope, depth)

    def _statement(self, node: ast.stmt, scope: list[Part], depth: int) -> None:
        """One statement that is a test, has tests, or may be needed by later ones."""
        if isinstance(node, ast.Expr):
            node = _comparison(node)
        if isinstance(node, ast.For) and asserts_within(node):
            self._loop(node, scope, depth)
        elif isinstance(node, ast.Assert) or _is_check(node):
            self._test(node, scope)
        elif isinstance(node, ast.Assign):
            scope += [Part.of(part) for part in unpacked_assign(node)]
        elif _prints(node):
            if any(is_call(part, self.entry_point or "") for part in ast.walk(node)):
                self.left_out["no expected value"] += 1
        elif not isinstance(node, ast.Return | ast.Pass):
            scope.append(Part.of(node))

    def _test(self, node: ast.stmt, scope: list[Part]) -> None:
        try:
            self.found[snippet(node, scope, self.entry_point)] = None
        except LeftOut as reason:
            self.left_out[str(reason)] += 1
        except (RecursionError, ValueError, MemoryError):
            self.left_out["nested too deeply"] += 1

    def _loop(self, node: ast.For, scope: list[Part], depth: int) -> None:
        cases = loop_cases(node, lambda name: _value(scope, name))
        if cases is None:
            self._test(node, scope)
        else:
            self._cases(node.body, cases, scope, depth)
        scope.append(Part.of(node))  # later tests may use what it has counted

    def _cases(
        self, body: list[ast.stmt], cases: list[list[Binding]], scope: list[Part], depth: int
    ) -> None:
        for bindings in cases:
            if self.visited > _MOST_STATEMENTS:
                return
            self._walk(bound_body(body, bindings, self.entry_point), list(scope), depth)

    # -- functions of asserts ---------------------------------------------------------------------

    def _function_call(
        self, node: ast.stmt, scope: list[Part]
    ) -> tuple[_Function, ast.Call] | None:
        """The function of asserts that a statement calls, and the call."""
        call = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call):
            return None
        if ast.unparse(call.func) == "print" and len(call.args) == 1:  # print(test())
            call = call.args[0] if isinstance(call.args[0], ast.Call) else call
        function = _definition(scope, call.func)
        return (function, call) if function and asserts_within(function) else None

    def _called(self, function: _Function, call: ast.Call, scope: list[Part], depth: int) -> None:
        """Tests of a function that is called with these arguments."""
        bindings = call_bindings(function, call)
        if bindings is None or depth >= _DEEPEST or not _can_unpack(function):
            if function.decorator_list:
                self._function(function, scope, depth)
            else:
                self._test(ast.Expr(call), scope)
        else:
            self._cases(function.body, [bindings], scope, depth + 1)

    def _function(self, function: _Function, scope: list[Part], depth: int) -> None:
        """Tests of a function that nothing in the answer calls, as a test runner would call it."""
        decorators = " ".join(ast.unparse(part) for part in function.decorator_list)
        if "skip" in decorators or "xfail" in decorators:
            self.left_out["skipped"] += 1
            return
        cases = parametrized(function, lambda name: _value(scope, name))
        if cases is None:
            self.left_out["parametrized by values that are no literals"] += 1
            return
        given = {name for case in cases for target, _ in case for name in names_bound(target)}
        names = [argument.arg for argument in function.args.args + function.args.kwonlyargs]
        missing = [name for name in names if name not in given]
        bindings = self._values_for(missing, function, scope)
        if bindings is None:
            if is_test_name(function.name):
                self.left_out["fixture"] += 1
        elif _can_unpack(function):
            self._cases(function.body, [[*bindings, *case] for case in cases], scope, depth + 1)
        elif not decorators:
            arguments = [value for _, value in bindings]
            self._test(ast.Expr(ast.Call(_load(function.name), arguments, [])), scope)
        else:
            self.left_out["decorated function that cannot be unpacked"] += 1

    def _values_for(
        self, names: list[str], function: _Function, scope: list[Part]
    ) -> list[Binding] | None:
        """Values for parameters: the entry point for a candidate, and what fixtures return."""
        defaults = function.args.defaults
        by_default = [argument.arg for argument in function.args.args[-len(defaults) :]]
        bindings: list[Binding] = []
        for name in names:
            target = ast.Name(name, ast.Store())
            fixture = _definition(scope, _load(name))
            if fixture and "fixture" in " ".join(map(ast.unparse, fixture.decorator_list)):
                value = _returned(fixture)
                if value is None:
                    return None
                bindings.append((target, value))
            elif defaults and name in by_default:
                bindings.append((target, defaults[by_default.index(name)]))
            elif self.entry_point and len(names) == 1 and self._is_candidate(function, name):
                bindings.append((target, _load(self.entry_point)))
            else:
                return None
        return bindings

    def _is_candidate(self, function: _Function, parameter: str) -> bool:
        """Whether a parameter stands for the solution: it is called."""
        named = parameter in _CANDIDATES or function.name.startswith("check")
        return named and any(is_call(part, parameter) for part in ast.walk(function))


class _Qualified(ast.NodeTransformer):
    """`module.f` as `f`, where the module is the one that holds the solution."""

    def __init__(self, modules: set[str], entry_point: str | None) -> None:
        self.modules, self.entry_point = modules, entry_point

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        owner = node.value
        imported = isinstance(owner, ast.Name) and owner.id in self.modules
        if imported and node.attr == self.entry_point:
            return ast.copy_location(ast.Name(node.attr, node.ctx), node)
        return node


def _other_modules(node: ast.stmt) -> Iterator[str]:
    """Names of modules that a statement imports, of those that are not Python's own."""
    for alias in node.names if isinstance(node, ast.Import) else ():
        if alias.name.partition(".")[0] not in sys.stdlib_module_names:
            yield alias.asname or alias.name


def _comparison(node: ast.Expr) -> ast.stmt:
    """`f(1) == 2` and `print(f(1) == 2)` as an assert; other expressions as they are."""
    value = node.value
    if is_call(value, "print") and len(value.args) == 1:
        value = value.args[0]
    return ast.copy_location(ast.Assert(value, None), node) if _compares(value) else node


def _compares(value: ast.expr) -> bool:
    """Whether an expression is a comparison, or some joined by `and`, `or` and `not`."""
    if isinstance(value, ast.UnaryOp):
        return _compares(value.operand)
    if isinstance(value, ast.BoolOp):
        return all(map(_compares, value.values))
    return isinstance(value, ast.Compare)


def _is_check(node: ast.stmt) -> bool:
    """Whether a statement that is no plain assert fails where a test fails."""
    if isinstance(node, _Function | ast.ClassDef):
        return False
    return asserts_within(node) or calls_assert_method(node)


def _prints(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and is_call(node.value, "print")


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _can_unpack(function: _Function) -> bool:
    """Whether the body can run outside of the function: no `return` within, no `yield`."""
    if isinstance(function, ast.AsyncFunctionDef):
        return False
    inner = [part for node in function.body for part in ast.walk(node) if part is not node]
    leaves = (ast.Return, ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal)
    return not any(isinstance(part, leaves) for part in inner) and not any(
        isinstance(node, ast.Global | ast.Nonlocal) for node in function.body
    )


def _definition(scope: list[Part], name: ast.expr) -> _Function | None:
    """The last definition of a function."""
    if not isinstance(name, ast.Name):
        return None
    for part in reversed(scope):
        if name.id in part.bound and not isinstance(part.node, ast.Expr):
            return part.node if isinstance(part.node, _Function) else None
    return None


def _value(scope: list[Part], name: str) -> ast.expr | None:
    """What a name was assigned, if that is all that has touched it."""
    touching = [part.node for part in scope if name in part.bound]
    if len(touching) != 1 or not isinstance(touching[0], ast.Assign):
        return None
    targets = touching[0].targets
    return touching[0].value if isinstance(targets[0], ast.Name) and len(targets) == 1 else None


def _returned(fixture: _Function) -> ast.expr | None:
    """What a fixture returns, if that is all it does."""
    body = [node for node in fixture.body if not _is_docstring(node)]
    if len(body) != 1 or fixture.args.args:
        return None
    node = body[0]
    value = node.value if isinstance(node, ast.Return | ast.Expr) else None
    return value.value if isinstance(value, ast.Yield) else value


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())
