"""The cases of loops over literals, parametrized tests, and calls of a function of asserts."""

import ast
import copy
import itertools
from collections.abc import Callable, Iterator, Sequence

from codedpo_plugin.parsing.assert_forms import Substitution
from codedpo_plugin.parsing.syntax import names_bound_within

MOST_CASES = 50

Lookup = Callable[[str], ast.expr | None]
"""Name -> the expression that it was last assigned."""
Binding = tuple[ast.expr, ast.expr]
"""Target and value of an assignment."""
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_REPEATS = (ast.For, ast.While, ast.comprehension, ast.Lambda, ast.FunctionDef, ast.ClassDef)


def loop_cases(node: ast.For, lookup: Lookup) -> list[list[Binding]] | None:
    """The bindings of each pass of a loop over literals; None if it is none, or too long."""
    leaves = (ast.Break, ast.Continue, ast.Return)
    if node.orelse or any(isinstance(part, leaves) for part in ast.walk(node)):
        return None
    elements = _elements(node.iter, lookup)
    if elements is None or len(elements) > MOST_CASES:
        return None
    return [[(node.target, element)] for element in elements]


def parametrized(function: _Function, lookup: Lookup) -> list[list[Binding]] | None:
    """The bindings of each case of a test, one empty list for a plain test; None if the values
    cannot be read.
    """
    stacked: list[list[list[Binding]]] = []
    for decorator in function.decorator_list:
        name = ast.unparse(decorator.func) if isinstance(decorator, ast.Call) else ""
        if name.endswith("parametrize"):
            cases = _mark_cases(decorator, lookup)
        elif name.endswith("parameterized.expand") or name == "parameterized":
            cases = _expand_cases(decorator, function, lookup)
        else:
            continue
        if cases is None:
            return None
        stacked.append(cases)
    combined = itertools.islice(itertools.product(*stacked), MOST_CASES)
    return [[binding for case in cases for binding in case] for cases in combined]


def call_bindings(function: _Function, call: ast.Call) -> list[Binding] | None:
    """The parameters of a call of a function, with defaults; None if they cannot be matched."""
    spec = function.args
    parameters = [argument.arg for argument in [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]]
    starred = any(isinstance(argument, ast.Starred) for argument in call.args)
    if spec.vararg or spec.kwarg or starred or len(call.args) > len(spec.posonlyargs + spec.args):
        return None
    values: dict[str, ast.expr] = {}
    positional = [argument.arg for argument in [*spec.posonlyargs, *spec.args]]
    if spec.defaults:
        values.update(zip(positional[-len(spec.defaults) :], spec.defaults, strict=True))
    values |= {
        argument.arg: default
        for argument, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
        if default
    }
    values.update(zip(positional, call.args, strict=False))
    values |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    if set(values) != set(parameters) or any(keyword.arg is None for keyword in call.keywords):
        return None
    return [(ast.Name(name, ast.Store()), values[name]) for name in parameters]


def bound_body(
    body: Sequence[ast.stmt], bindings: list[Binding], entry_point: str | None
) -> list[ast.stmt]:
    """A copy of the statements after the bindings.

    Values take the place of their names where that cannot make a difference; other values are
    assigned before.
    """
    statements = [copy.deepcopy(node) for node in body]
    assigned: list[ast.stmt] = []
    for name, value in _unpacked(bindings):
        if isinstance(name, ast.Name) and may_replace(statements, name.id, value, entry_point):
            replace = Substitution({name.id: value})
            statements = [replace.visit(node) for node in statements]
        else:
            assigned.append(ast.Assign([copy.deepcopy(name)], copy.deepcopy(value)))
    return [*assigned, *statements]


def may_replace(
    statements: Sequence[ast.stmt], name: str, value: ast.expr, entry_point: str | None
) -> bool:
    """Whether a value can take the place of a name in the statements."""
    tree = ast.Module(list(statements), [])
    if name in names_bound_within(tree):
        return False
    if isinstance(value, ast.Name):
        return value.id == entry_point
    if not is_literal(value):
        return False
    if is_immutable(value):
        return True
    uses = [part for part in ast.walk(tree) if isinstance(part, ast.Name) and part.id == name]
    if any(isinstance(part, _REPEATS) for part in ast.walk(tree)):
        return False
    return len(uses) <= 1 or _only_distinct_items(tree, name, value, len(uses))


def simplified(node: ast.stmt) -> ast.stmt:
    """`{'x': 1}['x']` as `1`, and `f(*(1, 2))` as `f(1, 2)`."""
    return _Simplified().visit(node)  # type: ignore[no-any-return]


def is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


def is_immutable(node: ast.expr) -> bool:
    """Whether a literal has no mutable part."""
    mutable = (ast.List, ast.Dict, ast.Set, ast.Call)
    return is_literal(node) and not any(isinstance(part, mutable) for part in ast.walk(node))


def _only_distinct_items(tree: ast.AST, name: str, value: ast.expr, uses: int) -> bool:
    """Whether a display is only read by items, each mutable one once."""
    keys: list[str] = []
    for part in ast.walk(tree):
        if not isinstance(part, ast.Subscript) or not isinstance(part.value, ast.Name):
            continue
        if part.value.id == name and isinstance(part.ctx, ast.Load):
            item = _item(value, part.slice)
            if item is None:
                return False
            keys.append(ast.unparse(part.slice) if not is_immutable(item) else f"#{len(keys)}")
    return len(keys) == uses == len(set(keys))


def _item(display: ast.expr, key: ast.expr) -> ast.expr | None:
    """`display[key]`, both literal."""
    if not is_literal(display) or not is_literal(key):
        return None
    wanted = ast.literal_eval(key)
    if isinstance(display, ast.Dict):
        pairs = zip(display.keys, display.values, strict=True)
        found = [value for own, value in pairs if own and ast.literal_eval(own) == wanted]
        return found[-1] if found else None
    if isinstance(display, ast.List | ast.Tuple) and isinstance(wanted, int):
        in_range = -len(display.elts) <= wanted < len(display.elts)
        return display.elts[wanted] if in_range else None
    return None


class _Simplified(ast.NodeTransformer):
    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        item = _item(node.value, node.slice) if isinstance(node.ctx, ast.Load) else None
        return item if item is not None else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        node.args = [part for argument in node.args for part in _spread(argument)]
        return node


def _spread(argument: ast.expr) -> list[ast.expr]:
    if isinstance(argument, ast.Starred) and isinstance(argument.value, ast.List | ast.Tuple):
        return [part for inner in argument.value.elts for part in _spread(inner)]
    return [argument]


def _unpacked(bindings: list[Binding]) -> Iterator[Binding]:
    """`a, b = 1, 2` as two bindings."""
    for target, value in bindings:
        if (
            isinstance(target, ast.Tuple | ast.List)
            and isinstance(value, ast.Tuple | ast.List)
            and len(target.elts) == len(value.elts)
            and not any(isinstance(part, ast.Starred) for part in [*target.elts, *value.elts])
        ):
            yield from _unpacked(list(zip(target.elts, value.elts, strict=True)))
        else:
            yield target, value


def unpacked_assign(node: ast.Assign) -> list[ast.stmt]:
    """`a, b = 1, 2` as two statements; other assignments as they are."""
    node = _Simplified().visit(node)
    if len(node.targets) > 1 or not is_literal(node.value):
        return [node]
    pairs = list(_unpacked([(node.targets[0], node.value)]))
    return [ast.Assign([target], value) for target, value in pairs] if len(pairs) > 1 else [node]


def _elements(node: ast.expr, lookup: Lookup, depth: int = 0) -> list[ast.expr] | None:
    """The elements of a display, of a name for one, or of `enumerate`, `zip`, `items` of such."""
    if isinstance(node, ast.Name) and depth < 5:
        value = lookup(node.id)
        return None if value is None else _elements(value, lookup, depth + 1)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return None if any(isinstance(part, ast.Starred) for part in node.elts) else node.elts
    if not isinstance(node, ast.Call) or depth > 5:
        return None
    inner = [_elements(argument, lookup, depth + 1) for argument in node.args]
    name = ast.unparse(node.func)
    if name == "zip" and inner and all(part is not None for part in inner):
        columns = [part for part in inner if part is not None]
        return [ast.Tuple(list(row), ast.Load()) for row in zip(*columns, strict=False)]
    if name == "enumerate" and inner and inner[0] is not None:
        start = [*node.args[1:], *(keyword.value for keyword in node.keywords)]
        if start and not (isinstance(start[0], ast.Constant) and isinstance(start[0].value, int)):
            return None
        first = start[0].value if start and isinstance(start[0], ast.Constant) else 0
        return [
            ast.Tuple([ast.Constant(number), element], ast.Load())
            for number, element in enumerate(inner[0], int(str(first)))
        ]
    if isinstance(node.func, ast.Attribute) and node.func.attr == "items" and not node.args:
        return _items(node.func.value, lookup)
    return None


def _items(node: ast.expr, lookup: Lookup) -> list[ast.expr] | None:
    value = lookup(node.id) if isinstance(node, ast.Name) else node
    if not isinstance(value, ast.Dict) or None in value.keys:
        return None
    pairs = zip(value.keys, value.values, strict=True)
    return [ast.Tuple([key, item], ast.Load()) for key, item in pairs if key]


def _mark_cases(decorator: ast.expr, lookup: Lookup) -> list[list[Binding]] | None:
    """Cases of `@pytest.mark.parametrize(names, values)`; ids and marks are ignored."""
    if not isinstance(decorator, ast.Call):
        return None
    named = {keyword.arg: keyword.value for keyword in decorator.keywords}
    given = [*decorator.args, *(named[key] for key in ("argnames", "argvalues") if key in named)]
    names = _names(given[0]) if len(given) >= 2 else None
    rows = _elements(given[1], lookup) if names else None
    if not names or rows is None:
        return None
    target = [ast.Name(name, ast.Store()) for name in names]
    cases: list[list[Binding]] = []
    for row in rows:
        values = _parameters(row)
        if values is None:
            continue
        if len(names) == 1:
            cases.append([(target[0], values[0] if values else row)])
        else:
            whole = ast.Tuple(values, ast.Load()) if values else row
            cases.append([(ast.Tuple(list(target), ast.Store()), whole)])
    return cases


def _parameters(row: ast.expr) -> list[ast.expr] | None:
    """The values of `pytest.param(...)`, none for another value; None for a case marked to fail or
    to be skipped.
    """
    if not isinstance(row, ast.Call) or not ast.unparse(row.func).endswith("param"):
        return []
    marks = " ".join(ast.unparse(keyword) for keyword in row.keywords if keyword.arg == "marks")
    return None if "xfail" in marks or "skip" in marks else row.args


def _names(node: ast.expr) -> list[str] | None:
    """`"a, b"` or `["a", "b"]` as names."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [name.strip() for name in node.value.split(",") if name.strip()]
    if isinstance(node, ast.List | ast.Tuple):
        found = [part.value for part in node.elts if isinstance(part, ast.Constant)]
        return [str(name) for name in found] if len(found) == len(node.elts) else None
    return None


def _expand_cases(
    decorator: ast.expr, function: _Function, lookup: Lookup
) -> list[list[Binding]] | None:
    """Cases of `@parameterized.expand([...])`, bound to the parameters by position."""
    if not isinstance(decorator, ast.Call) or not decorator.args:
        return None
    rows = _elements(decorator.args[0], lookup)
    names = [argument.arg for argument in function.args.args]
    cases: list[list[Binding]] = []
    for row in rows or []:
        values = row.elts if isinstance(row, ast.Tuple | ast.List) else [row]
        if len(values) != len(names):
            return None
        target = [ast.Name(name, ast.Store()) for name in names]
        cases.append(list(zip(target, values, strict=True)))
    return cases if rows is not None else None
