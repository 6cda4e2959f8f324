"""Syntax trees of Python: which names a piece of code binds and uses."""

import ast
import builtins
import warnings
from typing import TypeGuard


def parsed(source: str) -> ast.Module | None:
    """The syntax tree, or None; without warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def names_bound(statement: ast.AST) -> set[str]:
    """Names that a statement binds in its own scope."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    return names_bound_within(statement)


def names_bound_within(tree: ast.AST) -> set[str]:
    """Names that are bound anywhere in a tree."""
    return {name for node in ast.walk(tree) for name in _bound(node)}


def names_used(node: ast.AST) -> set[str]:
    """Names that are read anywhere in a node, except builtins."""
    used = {
        part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)
    }
    return {name for name in used if not hasattr(builtins, name)}


def is_call(node: ast.AST, name: str) -> TypeGuard[ast.Call]:
    """Whether a node calls a function of this name."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _bound(node: ast.AST) -> set[str]:
    """Names that the node itself binds."""
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Store) else set()
    if isinstance(node, ast.arg):
        return {node.arg}
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return {node.name} if node.name else set()
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return set()
