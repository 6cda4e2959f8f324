"""Find the tests in statements: asserts, functions and classes of tests, loops over cases."""

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from codedpo_plugin.parsing.assert_forms import PlainForms, asserts_within
from codedpo_plugin.parsing.case_expansion import (
    Binding,
    bound_body,
    call_bindings,
    loop_cases,
    parametrized,
    unpacked_assign,
)
from codedpo_plugin.parsing.class_forms import flattened, is_test_class, is_test_name
from codedpo_plugin.parsing.snippet_parts import LeftOut, Part, snippet
from codedpo_plugin.parsing.syntax import is_call, names_bound

MOST_SNIPPETS = 200
_MOST_STATEMENTS = 5_000  # visited in one answer, with each case of a loop counted
_MOST_CHARACTERS = 400_000  # of all snippets of an answer
_DEEPEST = 5  # calls of functions of asserts within such functions

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_CANDIDATES = ("candidate", "func", "function", "fn", "f", "solution", "method")
_RUNNERS = ("unittest.main", "pytest.main", "doctest.testmod")


class SnippetFinder:
    """Walks statements as they would run, and collects the tests."""

    def __init__(self, entry_point: str | None, left_out: Counter[str]) -> None:
        self.entry_point, self.left_out = entry_point, left_out
        self.found: dict[str, None] = {}
        self.visited = 0
        self.characters = 0
        self.asserting: set[str] = set()
        """Names of functions that assert, or call one that does."""

    def find(self, body: Sequence[ast.stmt], setup: Sequence[ast.stmt]) -> None:
        """Add the snippets of statements; those of `setup` come before them."""
        scope = [Part.of(node) for node in self._prepared(setup)]
        self._walk(self._prepared(body), scope, 0)

    def _prepared(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        """The statements in plain forms."""
        modules = {name for node in body for name in _other_modules(node)}
        plain: list[ast.stmt] = []
        for node in body:
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
        self._learn(body)
        for node in body:
            self.visited += 1
            if self._is_full():
                self.left_out["over the limit of an answer"] += 1
                return
            if self._gives_entry_point(node) or _runs_all(node):
                continue
            if isinstance(node, ast.ClassDef) and is_test_class(node):
                waiting[node.name] = node
            elif isinstance(node, _Function) and node.name in self.asserting:
                waiting[node.name] = node
                scope.append(Part.of(node))
            elif _is_main(node):
                self._walk(getattr(node, "body", []), scope, depth)
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

    def _is_full(self) -> bool:
        return (
            len(self.found) >= MOST_SNIPPETS
            or self.visited > _MOST_STATEMENTS
            or self.characters > _MOST_CHARACTERS
        )

    def _learn(self, body: Sequence[ast.stmt]) -> None:
        """Note which functions assert."""
        functions = [node for node in body if isinstance(node, _Function)]
        for _ in functions:
            more = {node.name for node in functions if self._asserts(node)} - self.asserting
            if not more:
                break
            self.asserting |= more

    def _asserts(self, node: ast.stmt) -> bool:
        """Whether a statement asserts, or calls a function that does."""
        return asserts_within(node) or any(
            isinstance(part, ast.Call)
            and (_name(part.func).startswith("assert") or _name(part.func) in self.asserting)
            for part in ast.walk(node)
        )

    def _statement(self, node: ast.stmt, scope: list[Part], depth: int) -> None:
        """One statement that is a test, has tests, or may be needed by later ones."""
        if isinstance(node, ast.Expr):
            node = _comparison(node)
        if isinstance(node, ast.For) and self._asserts(node):
            self._loop(node, scope, depth)
        elif isinstance(node, ast.Assert) or self._is_check(node):
            self._test(node, scope)
        elif isinstance(node, ast.Assign):
            scope += [Part.of(part) for part in unpacked_assign(node)]
        elif _prints(node):
            if any(is_call(part, self.entry_point or "") for part in ast.walk(node)):
                self.left_out["no expected value"] += 1
        elif not isinstance(node, ast.Return | ast.Pass):
            scope.append(Part.of(node))

    def _is_check(self, node: ast.stmt) -> bool:
        """Whether a statement fails where a test fails, without being a plain assert."""
        definition = isinstance(node, _Function | ast.ClassDef)
        kept_value = isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)
        return not definition and not kept_value and self._asserts(node)

    def _test(self, node: ast.stmt, scope: list[Part]) -> None:
        try:
            text = snippet(node, scope, self.entry_point)
            self.characters += len(text) if text not in self.found else 0
            self.found[text] = None
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
            self.visited += len(body)
            if self._is_full():
                self.left_out["over the limit of an answer"] += 1
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
        return (function, call) if function and function.name in self.asserting else None

    def _called(self, function: _Function, call: ast.Call, scope: list[Part], depth: int) -> None:
        """Tests of a function that is called with these arguments."""
        bindings = call_bindings(function, call)
        if bindings is None or depth >= _DEEPEST or not _can_unpack(function):
            if function.decorator_list or _is_generator(function):
                self.left_out["decorated function or generator"] += 1
            else:
                self._test(ast.Expr(call), scope)
        else:
            self._cases(function.body, [bindings], scope, depth + 1)

    def _function(self, function: _Function, scope: list[Part], depth: int) -> None:
        """Tests of a function that nothing in the answer calls, as a test runner would call it."""
        decorators = " ".join(
            ast.unparse(part.func if isinstance(part, ast.Call) else part)
            for part in function.decorator_list
        )
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
        elif not decorators and not _is_generator(function):
            arguments = [value for _, value in bindings]
            self._test(ast.Expr(ast.Call(_load(function.name), arguments, [])), scope)
        else:
            self.left_out["decorated function or generator"] += 1

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
        named = parameter in (*_CANDIDATES, self.entry_point) or function.name.startswith("check")
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
    parts = [value]
    while isinstance(first := parts[0], ast.BoolOp | ast.UnaryOp):
        parts.pop(0)
        parts += first.values if isinstance(first, ast.BoolOp) else [first.operand]
    compares = all(isinstance(part, ast.Compare) for part in parts)
    return ast.copy_location(ast.Assert(value, None), node) if compares else node


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _runs_all(node: ast.stmt) -> bool:
    """Whether a statement is `unittest.main()` or the like."""
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func) in _RUNNERS


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


def _is_generator(function: _Function) -> bool:
    return any(isinstance(part, ast.Yield | ast.YieldFrom) for part in ast.walk(function))


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
