"""The shape of the two packages: no circle of imports, no crowded folder."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from helpers.paths import ROOT

PACKAGES = {"codedpo_plugin": ROOT, "codedpo_eval": ROOT / "eval"}
MODULES = {
    ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
    for name, root in PACKAGES.items()
    for path in (root / name).rglob("*.py")
}


def imports(path: Path) -> Iterator[str]:
    """Modules of the two packages that a module imports, in functions too; not those for types."""
    tree = ast.parse(path.read_text())
    for_types = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in for_types:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield module if module in MODULES else str(node.module)


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: set(imports(path)) & MODULES.keys() for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_no_folder_is_crowded() -> None:
    folders = {path.parent for path in MODULES.values()}
    crowded = [folder for folder in folders if len(list(folder.glob("*.py"))) > 20]
    assert not crowded
