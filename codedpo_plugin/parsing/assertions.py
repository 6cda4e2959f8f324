"""Split a test into the call, which runs with the solution, and the assertion, which does not.

`assert f([1, 2]) == 3` becomes the call `f([1, 2])` and the assertion `_r0 == 3`. The process that
runs the solution evaluates the call and returns the value; the assertion is evaluated in another
process. The expected value therefore never enters the solution's process, which can neither read it
nor report a pass by itself, and the returned value is known, for ranking by agreement.

Tests of any other form run whole in the solution's process, and `Test.judged_outside` is false.
"""

import ast
import builtins
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from codedpo_plugin.sandbox.encoding import decode, encode

# Modules that an assertion may use, if the solution (or test) imports them under their own names.
JUDGE_MODULES = ("collections", "datetime", "decimal", "fractions", "itertools", "math", "re")

# Inside these, a call might be evaluated never, or more than once.
_CONDITIONAL = (ast.Lambda, ast.IfExp, ast.comprehension, ast.ListComp, ast.SetComp, ast.DictComp,
                ast.GeneratorExp, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)  # fmt: skip

_UNUSUAL = re.compile(r"\n.|:=|\\\n|\r|\f")  # several lines, or assignments in between

_MAX_HERE = 20_000  # characters of a value: even a thousand colliding hashes take milliseconds


@dataclass(frozen=True)
class Test:
    """One test, split where its form allows."""

    source: str
    calls: tuple[str, ...] = ()
    """Expressions that call the entry point; empty if the test cannot be split."""
    assertion: str = ""
    """An expression over `_r0`, `_r1`, ..., the values of the calls: true if the test passes."""
    names: tuple[str, ...] = ()
    """Modules that the assertion uses; the solution must have them too, else it is a NameError."""
    foreign: tuple[str, ...] = ()
    """Other names that the assertion uses. Usually nothing defines them, and the test is a
    NameError. Where the solution defines them, the test must be run whole."""
    holds: Callable[[Any], bool] | None = field(default=None, repr=False, compare=False)
    """The assertion as a function, if it is as simple as `_r0 == literal`."""
    expected: str | None = field(default=None, repr=False, compare=False)
    """An encoded value that makes the assertion true, if it is `_r0 == literal`."""
    message: bool = False
    """Whether the message could raise: Python evaluates it when the assertion is false."""

    __test__ = False  # not a test class of pytest

    @property
    def judged_outside(self) -> bool:
        """Whether the assertion is evaluated outside the process that ran the solution."""
        return bool(self.calls) and not self.foreign


def split_test(source: str, entry_point: str | None) -> Test:
    """Split a test snippet; one that cannot be split, or does not parse, is kept whole."""
    whole = Test(source)
    if not entry_point:
        return whole
    try:
        body = ast.parse(source).body
        if len(body) != 1 or not isinstance(body[0], ast.Assert):
            return whole
        message = not isinstance(body[0].msg, ast.Constant | None)
        if common := _common(source, body[0].test, entry_point, message):
            return common
        splitter = _Splitter(entry_point)
        assertion = splitter.visit(body[0].test)
        names = splitter.assertion_names(assertion)
        if splitter.conditional or names is None:
            return whole
        modules = tuple(sorted(names.intersection(JUDGE_MODULES)))
        foreign = tuple(sorted(names.difference(JUDGE_MODULES)))
        if (foreign and _may_skip(assertion)) or not (splitter.calls or foreign):
            return whole
        calls = tuple(splitter.calls)
        holds = _simple(assertion)
        return Test(source, calls, ast.unparse(assertion), modules, foreign, holds, None, message)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return whole


def _common(source: str, assertion: ast.expr, entry_point: str, message: bool) -> Test | None:
    """A test of the most common form, one line `assert f(...) == literal`, split without a walk."""
    if not isinstance(assertion, ast.Compare) or not isinstance(assertion.left, ast.Call):
        return None
    call, value, compare = (
        assertion.left,
        assertion.comparators[0],
        _COMPARISONS.get(type(assertion.ops[0])),
    )
    named = isinstance(call.func, ast.Name) and call.func.id == entry_point
    plain = source.isascii() and source.count(entry_point) == 1 and not _UNUSUAL.search(source)
    if not (named and plain and compare in (operator.eq, operator.ne) and len(assertion.ops) == 1):
        return None
    try:
        literal = ast.literal_eval(value)
    except (ValueError, TypeError):  # not a literal, or a set of sets
        return None
    equal = compare is operator.eq
    symbol, text = ("==", encode(literal)) if equal else ("!=", None)
    return Test(
        source,
        calls=(source[call.col_offset : call.end_col_offset],),
        assertion=f"_r0 {symbol} {source[value.col_offset : value.end_col_offset]}",
        holds=lambda returned: bool(compare(returned, literal)),
        expected=text if text and "NaN" not in text and '{"object"' not in text else None,
        message=message,
    )


def judge_here(test: Test, value: str) -> bool | None:
    """Whether an encoded value makes a simple assertion true.

    None for any other assertion, and for a value so long that comparing it needs a time limit.

    Raises:
        ValueError: the value is not one that `encode` makes, or cannot be compared.
    """
    if value == test.expected:
        return True
    if test.holds is None or len(value) > _MAX_HERE:
        return None
    returned = decode(value)
    try:
        return test.holds(returned)
    except Exception as error:  # a signalling NaN, a view with unhashable items
        raise ValueError(f"cannot be compared: {error!r}"[:200]) from None


class _Splitter(ast.NodeTransformer):
    """Replaces the outermost calls of the entry point by names."""

    def __init__(self, entry_point: str) -> None:
        self.entry_point = entry_point
        self.calls: list[str] = []
        self.conditional = False

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == self.entry_point:
            self.conditional |= any(isinstance(part, ast.NamedExpr) for part in ast.walk(node))
            self.calls.append(ast.unparse(node))
            return ast.Name(f"_r{len(self.calls) - 1}", ast.Load())
        return self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        before = len(self.calls)
        node = super().generic_visit(node)
        unsure = isinstance(node, _CONDITIONAL) or (
            isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or)
        )
        self.conditional |= unsure and len(self.calls) > before
        return node

    def assertion_names(self, assertion: ast.expr) -> set[str] | None:
        """Names that the assertion needs, except builtins; None if they cannot be determined."""
        bound = {f"_r{n}" for n in range(len(self.calls))}
        bound |= {
            node.id
            for node in ast.walk(assertion)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        used = {node.id for node in ast.walk(assertion) if isinstance(node, ast.Name)} - bound
        outside = {name for name in used if not hasattr(builtins, name)}
        lambdas = any(isinstance(node, ast.Lambda | ast.NamedExpr) for node in ast.walk(assertion))
        return None if lambdas or self.entry_point in used else outside


def _may_skip(assertion: ast.expr) -> bool:
    """Whether a name in the assertion might not be evaluated."""
    chained = any(
        isinstance(node, ast.Compare) and len(node.ops) > 1 for node in ast.walk(assertion)
    )
    return chained or any(
        isinstance(node, (*_CONDITIONAL, ast.BoolOp)) for node in ast.walk(assertion)
    )


def _simple(assertion: ast.expr) -> Callable[[Any], bool] | None:
    """The assertion as a function of the value: `_r0`, `not _r0`, or compared with a literal."""
    if isinstance(assertion, ast.UnaryOp) and isinstance(assertion.op, ast.Not):
        return operator.not_ if _is_value(assertion.operand) else None
    if _is_value(assertion):
        return bool
    if not isinstance(assertion, ast.Compare) or len(assertion.ops) != 1:
        return None
    left, right, compare = (
        assertion.left,
        assertion.comparators[0],
        _COMPARISONS.get(type(assertion.ops[0])),
    )
    if _is_value(right) and compare is operator.eq:
        left, right = right, left
    if not _is_value(left) or compare is None:
        return None
    try:
        literal = ast.literal_eval(right)
    except (ValueError, TypeError):  # the latter for a set of sets
        return None
    if compare is operator.is_ and literal not in (True, False, None):
        return None
    return lambda value: bool(compare(value, literal))


def _is_value(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "_r0"


_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.is_,
}
