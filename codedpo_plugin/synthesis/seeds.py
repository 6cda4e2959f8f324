"""Seeds: functions in source code that a model can derive problems from.

Reads sources, writes `RUN/seeds/seeds.jsonl`:

| column | type | meaning |
|---|---|---|
| `seed_id` | str | hash of `code` |
| `name` | str | name of the function |
| `code` | str | the function, after the imports that it uses |
| `path`, `line`, `repository`, `license` | | its origin |
"""

import ast
import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.parsing.syntax import names_bound, names_bound_within, names_used, parsed
from codedpo_plugin.recipe import Recipe, Seeds
from codedpo_plugin.run_folder import manifests
from codedpo_plugin.run_folder.shards import Row, key_of
from codedpo_plugin.stages import SEEDS
from codedpo_plugin.synthesis.near_duplicates import Seen
from codedpo_plugin.synthesis.secrets import found_in
from codedpo_plugin.synthesis.sources import Source, permitted, read_sources

_MODULE = {"__file__", "__name__", "__doc__"}


def run(recipe: Recipe, console: Console) -> None:
    """Write the seeds, unless they are finished.

    Raises:
        InputError: a source is missing, or nothing in the sources can be used.
    """
    settings = recipe.seeds
    if settings is None:
        return
    key = key_of(SEEDS.folder, SEEDS.version, settings.model_dump(mode="json"))
    if manifests.finished(recipe.output, SEEDS, key):
        return
    tally = manifests.Tally()
    rows = itertools.islice(tally.keep(_watched(settings, tally, console)), settings.limit)
    manifests.write(recipe.output, SEEDS, _with_licenses(rows, tally), tally, key)
    manifests.print_tally(console, "seeds", tally)
    if not tally.kept:
        raise InputError(
            f"{recipe.output / SEEDS.folder}: no function in the sources can be a seed"
        )


def _watched(settings: Seeds, tally: manifests.Tally, console: Console) -> Iterator[Row | str]:
    """The seeds; shows now and then how many there are and how fast they are found."""
    wanted = f" of {settings.limit:,}" if settings.limit else ""
    shown = started = time.monotonic()
    with console.status("seeds: reading sources") as status:
        for seed in find_seeds(settings):
            yield seed
            if (now := time.monotonic()) - shown > (0.2 if console.is_terminal else 15):
                shown, seen = now, tally.kept + tally.dropped.total()
                rate = seen / (now - started)
                line = f"seeds: {tally.kept:,}{wanted} kept; {seen:,} read, {rate:,.0f} a second"
                status.update(line) if console.is_terminal else console.print(line)


def _with_licenses(rows: Iterable[Row], tally: manifests.Tally) -> Iterator[Row]:
    counts = tally.notes.setdefault("licenses", Counter())
    for row in rows:
        counts[row["license"] or "unknown"] += 1
        yield row


def find_seeds(settings: Seeds) -> Iterator[Row | str]:
    """Seeds in the order of the sources; a string instead says why something was dropped."""
    seen = Seen(settings.near_duplicates)
    allowed = {name.lower() for name in settings.allow}
    for source in read_sources(settings):
        if isinstance(source, str):
            yield source
        elif allowed and not permitted(source.license, allowed):
            yield f"file: licence {source.license or 'unknown'}"
        else:
            for seed in functions(source, settings):
                similar = isinstance(seed, dict) and seen.add(seed["seed_id"], seed["code"])
                yield "near-duplicate" if similar else seed


def functions(source: Source, settings: Seeds) -> Iterator[Row | str]:
    """The functions at the top level of a file: each a seed, or why it is not one."""
    tree = parsed(source.text)
    if tree is None:
        yield "file: does not parse"
        return
    lines = source.text.split("\n")
    outer = {name: node for node in tree.body for name in names_bound(node)}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            why_not = _why_not(node, lines, outer, settings)
            yield why_not or _seed(node, _text_of(node, lines), source, outer)


def _text_of(node: ast.FunctionDef, lines: list[str]) -> str:
    return "\n".join(lines[node.lineno - 1 : node.end_lineno])


def _why_not(
    node: ast.FunctionDef, lines: list[str], outer: dict[str, ast.stmt], settings: Seeds
) -> str | None:
    if node.name.startswith(("test", "_test")):
        return "a test"
    if not ast.get_docstring(node):
        return "no docstring"
    if not _parameters(node):
        return "no arguments"
    if not any(isinstance(part, ast.Return) and part.value for part in ast.walk(node)):
        return "no return"
    if not settings.min_lines <= _code_lines(node) <= settings.max_lines:
        return "too short or too long"
    if _undefined(node, outer):
        return "undefined names"
    return found_in(_text_of(node, lines))


def _seed(node: ast.FunctionDef, code: str, source: Source, outer: dict[str, ast.stmt]) -> Row:
    used = names_used(node)
    imports = {
        ast.unparse(outer[name]): None
        for name in sorted(used)
        if isinstance(outer.get(name), ast.Import | ast.ImportFrom)
    }
    code = "\n".join([*imports, "", code] if imports else [code])
    return {
        "seed_id": hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()[:12],
        "name": node.name,
        "code": code,
        "path": source.path,
        "line": node.lineno,
        "repository": source.repository,
        "license": source.license,
    }


def _code_lines(node: ast.FunctionDef) -> int:
    """Lines where a statement or expression starts, except those of the docstring."""
    starts = {
        part.lineno
        for statement in node.body[1:]
        for part in ast.walk(statement)
        if isinstance(part, ast.stmt | ast.expr)
    }
    return len(starts) + 1


def _parameters(node: ast.FunctionDef) -> int:
    spec = node.args
    return len([*spec.posonlyargs, *spec.args, *spec.kwonlyargs]) + bool(spec.vararg)


def _undefined(node: ast.FunctionDef, outer: dict[str, ast.stmt]) -> set[str]:
    """Names that neither the function nor its file binds; none with `import *`."""
    stars = any(
        isinstance(part, ast.ImportFrom) and part.names[0].name == "*" for part in outer.values()
    )
    return set() if stars else names_used(node) - names_bound_within(node) - set(outer) - _MODULE
