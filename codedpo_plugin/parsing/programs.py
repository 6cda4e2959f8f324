"""Static properties of a program."""

import ast
import functools
from collections.abc import Iterator

_MUTATORS = frozenset(
    "add append appendleft clear discard extend insert pop popitem popleft remove reverse "
    "setdefault sort update".split()
)
_MUTABLE = (ast.List, ast.Dict, ast.Set, ast.Call, ast.ListComp, ast.DictComp, ast.SetComp)

_VARYING = frozenset(
    "choice datetime frozenset hash id monotonic now perf_counter randint random secrets set "
    "shuffle time today urandom uuid uuid4".split()
)
_Import = ast.Import | ast.ImportFrom

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@functools.lru_cache(maxsize=4096)
def normalised(source: str) -> str:
    """The program without comments, docstrings and layout; its words if it does not parse."""
    try:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | _Function) and _has_docstring(node):
                node.body = node.body[1:] or [ast.Pass()]
        return ast.unparse(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return " ".join(source.split())


def keeps_state(source: str) -> bool:
    """Whether a call may leave state behind that speeds up the next one.

    Looks for `global`, and for functions that change an object from outside: a module-level dict, a
    mutable default, an attribute of a function. Caches of `functools` do not count.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return any(_changes_outer_name(function) for function in _outermost_functions(tree))


def _outermost_functions(tree: ast.AST) -> Iterator[_Function]:
    """Functions that are not nested in a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _Function):
            yield node
        else:
            yield from _outermost_functions(node)


def may_vary(source: str) -> bool:
    """Whether two runs may differ: through randomness, time, identities, or the order of a set."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {alias.name for node in nodes if isinstance(node, _Import) for alias in node.names}
    sets = any(isinstance(node, ast.Set | ast.SetComp) for node in nodes)
    return sets or bool(names & _VARYING)


def _has_docstring(node: ast.Module | ast.ClassDef | _Function) -> bool:
    first = node.body[0] if node.body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _changes_outer_name(function: _Function) -> bool:
    own = _own_names(function)
    for node in ast.walk(function):
        if isinstance(node, ast.Global):
            return True
        name = _changed_name(node)
        if name and name not in own:
            return True
    return False


def _own_names(function: _Function) -> set[str]:
    """Names bound in a function and those nested in it, except mutable default arguments."""
    own = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            own.add(node.arg)
    spec = function.args
    positional = [*spec.posonlyargs, *spec.args]
    defaults = list(
        zip(positional[len(positional) - len(spec.defaults) :], spec.defaults, strict=True)
    )
    defaults += [(a, d) for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if d]
    return own - {argument.arg for argument, default in defaults if isinstance(default, _MUTABLE)}


def _changed_name(node: ast.AST) -> str | None:
    """`x` in `x[...] = `, `x.a = `, `del x[...]` and `x.append(...)`."""
    if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(
        node.ctx, ast.Store | ast.Del
    ):
        return node.value.id if isinstance(node.value, ast.Name) else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = node.func.value
        if node.func.attr in _MUTATORS and isinstance(owner, ast.Name):
            return owner.id
    return None
