"""Test classes as plain functions: `self.x` becomes a variable, `setUp` comes before each test."""

import ast
import copy

from codedpo_plugin.parsing.syntax import names_bound

_SETUPS = ("setUpClass", "setup_class", "setUp", "setup", "setup_method")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_test_class(node: ast.ClassDef) -> bool:
    """Whether a class has test methods."""
    return any(isinstance(part, _Function) and is_test_name(part.name) for part in node.body)


def is_test_name(name: str) -> bool:
    return name.lower().startswith("test")


def flattened(node: ast.ClassDef) -> list[ast.stmt]:
    """The class as statements: its attributes and helper methods, what its `setUp` does, and its
    tests as functions without `self`.
    """
    helpers: list[ast.stmt] = []
    setups: dict[str, list[ast.stmt]] = {}
    tests: list[ast.stmt] = []
    attributes = [part for part in node.body if not isinstance(part, _Function | ast.ClassDef)]
    plain = {name for part in attributes for name in names_bound(part)}
    for part in copy.deepcopy(node.body):
        if not isinstance(part, _Function):
            helpers.append(_Attributes(node.name, node.name, plain).visit(part))
            continue
        name = part.name
        function = _without_self(part, node.name)
        if name in _SETUPS:
            setups[name] = function.body
        elif is_test_name(name):
            function.decorator_list = [*node.decorator_list, *function.decorator_list]
            tests.append(function)
        elif not name.startswith(("tearDown", "teardown")):
            helpers.append(function)
    before = [statement for kind in _SETUPS for statement in setups.get(kind, [])]
    return [*helpers, *before, *tests]


def _without_self(method: _Function, owner: str) -> _Function:
    """A method as a function; helpers get the name that `self.helper` is replaced by."""
    names = [ast.unparse(decorator) for decorator in method.decorator_list]
    arguments = method.args.posonlyargs or method.args.args
    own = owner
    if "staticmethod" not in names and arguments:
        own = arguments.pop(0).arg
    method.decorator_list = [
        decorator
        for decorator, name in zip(method.decorator_list, names, strict=True)
        if name not in ("staticmethod", "classmethod")
    ]
    is_fixture = any("fixture" in name for name in names)
    if not is_test_name(method.name) and not is_fixture:
        method.name = f"self_{method.name}"
    rename = _Attributes(own, owner, set())
    method.body = [rename.visit(statement) for statement in method.body]
    return method


class _Attributes(ast.NodeTransformer):
    """`self.x` as `self_x`; and in the class body, `x` too."""

    def __init__(self, own: str, owner: str, plain: set[str]) -> None:
        self.owners, self.plain = {own, owner}, plain

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id in self.owners:
            return ast.copy_location(ast.Name(f"self_{node.attr}", node.ctx), node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Name(f"self_{node.id}", node.ctx) if node.id in self.plain else node
