"""Rewrite the checks of test frameworks to plain statements, which need no framework.

`self.assertEqual(a, b)` becomes `assert a == b`; `with pytest.raises(E): f()` becomes a `try`
whose `else` raises `AssertionError`; `x == pytest.approx(y)` compares an absolute difference. A
`try` that catches its own asserts is replaced by its body.
"""

import ast
import copy

_EXPRESSIONS = {
    "equal": "A == B", "equals": "A == B", "sequenceequal": "A == B", "listequal": "A == B",
    "tupleequal": "A == B", "setequal": "A == B", "dictequal": "A == B",
    "multilineequal": "A == B", "arrayequal": "A == B", "notequal": "A != B", "notequals": "A != B",
    "true": "A", "false": "not A", "is": "A is B", "isnot": "A is not B", "isnone": "A is None",
    "isnotnone": "A is not None", "in": "A in B", "notin": "A not in B",
    "isinstance": "isinstance(A, B)", "notisinstance": "not isinstance(A, B)",
    "greater": "A > B", "greaterequal": "A >= B", "less": "A < B", "lessequal": "A <= B",
    "almostequal": "round(abs(A - B), P) == 0", "almostequals": "round(abs(A - B), P) == 0",
    "notalmostequal": "round(abs(A - B), P) != 0", "within": "abs(A - B) <= P",
    "countequal": "sorted(A, key=repr) == sorted(B, key=repr)",
}  # fmt: skip
_FIRST = ("first", "expr", "obj", "member", "a")
_SECOND = ("second", "expr2", "cls", "container", "b")
_CATCHES_ALL = ("Exception", "BaseException", "AssertionError")


class PlainForms(ast.NodeTransformer):
    """Rewrites every check in a tree that has a plain form, in place."""

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        self.generic_visit(node)
        if not isinstance(node.value, ast.Call):
            return node
        plain = _raising_call(node.value) or _assertion(node.value)
        return ast.copy_location(plain, node) if plain else node

    def visit_With(self, node: ast.With) -> ast.stmt | list[ast.stmt]:
        self.generic_visit(node)
        first = node.items[0].context_expr
        if not isinstance(first, ast.Call):
            return node
        if _name(first.func) == "subTest" and len(node.items) == 1:
            return node.body
        exception, match = _raised(first)
        if exception is None or len(node.items) > 1:
            return node
        return ast.copy_location(_raises(exception, node.body, match), node)

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        self.generic_visit(node)
        test, node.msg = node.test, None  # nothing reads it, and it would keep names in use
        if isinstance(test, ast.Tuple) and len(test.elts) == 2 and _is_text(test.elts[1]):
            node.test = test.elts[0]  # assert (x, "message") is always true
        return node

    def visit_If(self, node: ast.If) -> ast.stmt:
        self.generic_visit(node)
        if len(node.body) == 1 and not node.orelse and _fails(node.body[0]):
            return ast.copy_location(ast.Assert(_negated(node.test), None), node)
        return node

    def visit_Try(self, node: ast.Try) -> ast.stmt | list[ast.stmt]:
        self.generic_visit(node)
        if len(node.body) > 1 and _fails(node.body[-1]) and not node.orelse:
            node.body, node.orelse = node.body[:-1], [_failure()]
            return node
        asserts = any(asserts_within(part) for part in node.body)
        if asserts and any(_catches_asserts(handler) for handler in node.handlers):
            return [*node.body, *node.orelse, *node.finalbody]
        in_handlers = [part for handler in node.handlers for part in handler.body]
        if asserts or node.orelse or not any(asserts_within(part) for part in in_handlers):
            return node
        if any(_fails(part) for part in in_handlers):  # it must not raise
            return [*node.body, *node.finalbody]
        node.orelse = [_failure()]
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        sides = [node.left, *node.comparators]
        if len(sides) != 2 or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            return node
        for value, other in (sides, sides[::-1]):
            if isinstance(other, ast.Call) and _name(other.func) == "approx" and other.args:
                close = _close(value, other)
                return close if isinstance(node.ops[0], ast.Eq) else _negated(close)
        return node


def asserts_within(node: ast.AST) -> bool:
    """Whether a node asserts something, or raises `AssertionError`."""
    return any(isinstance(part, ast.Assert) or _is_failure(part) for part in ast.walk(node))


def filled(template: str, **parts: ast.expr) -> ast.expr:
    """An expression with names replaced by other expressions."""
    return Substitution(parts).visit(ast.parse(template, mode="eval").body)  # type: ignore[no-any-return]


class Substitution(ast.NodeTransformer):
    """Replaces names that are read by copies of expressions."""

    def __init__(self, values: dict[str, ast.expr]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.values and isinstance(node.ctx, ast.Load):
            return copy.deepcopy(self.values[node.id])
        return node


def _name(function: ast.expr) -> str:
    """`assertEqual` of `self.assertEqual` and `assertEqual`."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _assertion(call: ast.Call) -> ast.Assert | None:
    """`self.assertEqual(a, b)` as an assert; None if it is no such call, or not known."""
    name = _name(call.func)
    kind = name.removeprefix("assert").replace("_", "").lower()
    if (
        not name.startswith("assert")
        or kind not in _EXPRESSIONS
        or "testing" in ast.unparse(call.func)
    ):
        return None
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    args = list(call.args)
    for names in (_FIRST, _SECOND):
        args += [named[key] for key in names if key in named]
    if "almost" in kind:
        places = named.get("places") or (args[2] if len(args) > 2 else ast.Constant(7))
        if "delta" in named:
            kind, places = "within", named["delta"]
        named["P"] = places
    template = _EXPRESSIONS[kind]
    if len(args) < (2 if "B" in template else 1) or any(isinstance(a, ast.Starred) for a in args):
        return None
    parts = dict(zip("AB", args, strict=False))
    return ast.Assert(
        filled(template, **parts, **({"P": named["P"]} if "P" in named else {})), None
    )


def _raised(call: ast.Call) -> tuple[ast.expr | None, ast.expr | None]:
    """(exception, pattern) of `pytest.raises(E, match=...)`, `self.assertRaises(E)` and so on."""
    name = _name(call.func)
    if name not in ("raises", "assertRaises", "assertRaisesRegex") or not call.args:
        return None, None
    match = next((keyword.value for keyword in call.keywords if keyword.arg == "match"), None)
    if name == "assertRaisesRegex" and len(call.args) > 1:
        match = call.args[1]
    return call.args[0], match


def _raising_call(call: ast.Call) -> ast.Try | None:
    """`self.assertRaises(E, f, x)` as a `try`."""
    exception, match = _raised(call)
    arguments = call.args[2:] if _name(call.func) == "assertRaisesRegex" else call.args[1:]
    if exception is None or not arguments:
        return None
    function, *rest = arguments
    if isinstance(function, ast.Lambda) and not rest:
        return _raises(exception, [ast.Expr(function.body)], match)
    keywords = [keyword for keyword in call.keywords if keyword.arg != "match"]
    return _raises(exception, [ast.Expr(ast.Call(function, rest, keywords))], match)


def _raises(exception: ast.expr, body: list[ast.stmt], match: ast.expr | None) -> ast.Try:
    handler = ast.ExceptHandler(exception, None, [ast.Pass()])
    if match is not None:
        test = filled("re.search(PATTERN, str(error))", PATTERN=match)
        handler = ast.ExceptHandler(
            exception, "error", [ast.Import([ast.alias("re")]), ast.Assert(test, None)]
        )
    return ast.Try(body, [handler], [_failure()], [])


def _failure() -> ast.stmt:
    return ast.Raise(ast.Name("AssertionError", ast.Load()), None)


def _is_failure(node: ast.AST) -> bool:
    return isinstance(node, ast.Raise) and "AssertionError" in ast.unparse(node.exc or node)


def _fails(node: ast.stmt) -> bool:
    """Whether a statement always fails a test: `assert False`, `self.fail()`."""
    if isinstance(node, ast.Assert):
        return isinstance(node.test, ast.Constant) and not node.test.value
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func) in ("self.fail", "pytest.fail")
    return _is_failure(node)


def _catches_asserts(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or any(
        isinstance(part, ast.Name) and part.id in _CATCHES_ALL for part in ast.walk(handler.type)
    )


def _close(value: ast.expr, approx: ast.Call) -> ast.expr:
    """`value == pytest.approx(expected)` with pytest's tolerances."""
    named = {keyword.arg: keyword.value for keyword in approx.keywords}
    for name, given in zip(("rel", "abs"), approx.args[1:], strict=False):
        named.setdefault(name, given)
    relative, absolute = named.get("rel"), named.get("abs", ast.Constant(1e-12))
    tolerance = filled(
        "max(R * abs(Y), A)" if relative is not None or "abs" not in named else "A",
        R=relative or ast.Constant(1e-6), A=absolute,
    )  # fmt: skip
    expected = approx.args[0]
    if isinstance(expected, ast.List | ast.Tuple):
        each = filled("abs(x - y) <= T", T=filled(ast.unparse(tolerance), Y=_y()))
        return filled("all(E for x, y in zip(X, Y, strict=True))", E=each, X=value, Y=expected)
    return filled("abs(X - Y) <= T", X=value, Y=expected,
                  T=Substitution({"Y": expected}).visit(tolerance))  # fmt: skip


def _y() -> ast.expr:
    return ast.Name("y", ast.Load())


def _negated(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        for one, other in ((ast.Eq, ast.NotEq), (ast.In, ast.NotIn), (ast.Is, ast.IsNot)):
            if isinstance(test.ops[0], one):
                return ast.Compare(test.left, [other()], test.comparators)
            if isinstance(test.ops[0], other):
                return ast.Compare(test.left, [one()], test.comparators)
    return ast.UnaryOp(ast.Not(), test)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
