"""Split a test into the call, which runs with the solution, and the claim, which does not.

`assert f([1, 2]) == 3` becomes the call `f([1, 2])` and the claim `_r0 == 3`. The solution's
process evaluates the call and sends back the value; the claim is judged elsewhere, on a genuine
value. So the expected value never enters the process that runs the solution, which can neither
read it nor declare itself right, and the returned value is known, for ranking by agreement.

Tests of any other form run whole, in the solution's process, and are marked as not sealed.
"""

import ast
import builtins
from dataclasses import dataclass, field
from typing import Any

from codedpo_plugin.sandbox.encoding import decode

# Modules that a claim may use, if the solution (or test) has imported them under their own names.
JUDGE_MODULES = ("collections", "datetime", "decimal", "fractions", "itertools", "math", "re")

# Below these, a call might not be evaluated at all, or more than once.
_CONDITIONAL = (ast.Lambda, ast.IfExp, ast.comprehension, ast.ListComp, ast.SetComp, ast.DictComp,
                ast.GeneratorExp, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)  # fmt: skip

_MISSING = object()
_MAX_HERE = 20_000  # characters of a value: a thousand hashes that collide take some milliseconds


@dataclass(frozen=True)
class Test:
    """One test, split where its form allows."""

    source: str
    calls: tuple[str, ...] = ()
    """Expressions that call the entry point; empty where the test cannot be split."""
    claim: str = ""
    """An expression over `_r0`, `_r1`, ..., the values of the calls: true if the test passes."""
    names: tuple[str, ...] = ()
    """Modules that the claim uses; the solution must have them too, else it is a NameError."""
    expected: Any = field(default=_MISSING, repr=False)
    """The literal in a claim of the form `_r0 == literal`."""

    __test__ = False  # not a test class of pytest

    @property
    def sealed(self) -> bool:
        """Whether the verdict is given outside the process that ran the solution."""
        return bool(self.calls)


def split_test(source: str, entry_point: str | None) -> Test:
    """Split a test snippet; one that cannot be split, or does not parse, is kept whole."""
    whole = Test(source)
    if not entry_point:
        return whole
    try:
        body = ast.parse(source).body
        if len(body) != 1 or not isinstance(body[0], ast.Assert):
            return whole
        splitter = _Splitter(entry_point)
        claim = splitter.visit(body[0].test)
        names = splitter.claim_names(claim)
        if not splitter.calls or splitter.conditional or names is None:
            return whole
        return Test(source, tuple(splitter.calls), ast.unparse(claim), names, _expected(claim))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return whole


def judge_here(test: Test, value: str) -> bool | None:
    """Whether an encoded value makes a `_r0 == literal` claim true; None for any other claim, and
    for a value so long that comparing it should have a time limit.

    Raises:
        ValueError: the value is not one that `encode` makes, or cannot be compared.
    """
    if test.expected is _MISSING or len(value) > _MAX_HERE:
        return None
    returned = decode(value)
    try:
        return bool(returned == test.expected)
    except Exception as error:  # a signalling NaN, a view with unhashable items
        raise ValueError(f"cannot be compared: {error!r}"[:200]) from None


def enlarged(call: str, times: int) -> str | None:
    """The call with its longer literal arguments repeated; None where there are none.

    Lists, tuples and strings of at least two items: `f([1, 2], "ab", 3)` becomes
    `f([1, 2] * 20, "ab" * 20, 3)`.
    """
    try:
        tree = ast.parse(call, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(tree, ast.Call):
        return None
    before = ast.unparse(tree)
    tree.args = [_repeated(argument, times) for argument in tree.args]
    for keyword in tree.keywords:
        keyword.value = _repeated(keyword.value, times)
    after = ast.unparse(tree)
    return after if after != before else None


def _repeated(argument: ast.expr, times: int) -> ast.expr:
    sequence = isinstance(argument, ast.List | ast.Tuple) and len(argument.elts) > 1
    text = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    if sequence or (text and len(argument.value) > 1):  # type: ignore[attr-defined]
        return ast.BinOp(argument, ast.Mult(), ast.Constant(times))
    return argument


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

    def claim_names(self, claim: ast.expr) -> tuple[str, ...] | None:
        """Modules that the claim needs; None where it needs names that only the solution has."""
        bound = {f"_r{n}" for n in range(len(self.calls))}
        bound |= {
            node.id
            for node in ast.walk(claim)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        used = {node.id for node in ast.walk(claim) if isinstance(node, ast.Name)} - bound
        outside = {name for name in used if not hasattr(builtins, name)}
        lambdas = any(isinstance(node, ast.Lambda | ast.NamedExpr) for node in ast.walk(claim))
        if lambdas or self.entry_point in used or not outside <= set(JUDGE_MODULES):
            return None
        return tuple(sorted(outside))


def _expected(claim: ast.expr) -> Any:
    """The literal of `_r0 == literal` or `literal == _r0`."""
    if not isinstance(claim, ast.Compare) or len(claim.ops) != 1:
        return _MISSING
    left, right = claim.left, claim.comparators[0]
    if isinstance(right, ast.Name):
        left, right = right, left
    if not isinstance(claim.ops[0], ast.Eq) or ast.unparse(left) != "_r0":
        return _MISSING
    try:
        return ast.literal_eval(right)
    except (ValueError, TypeError):  # the latter for a set of sets
        return _MISSING
