"""The workload of `engine.py`: solutions and single-assert tests from HumanEval or the example."""

import ast
import contextlib
import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from designs import Popen_plain, Row, arguments_and_value, ask

SOLUTIONS, TESTS = 15, 15


def humaneval_rows(path: Path) -> list[Row]:
    """Solutions and tests for each problem that has enough of both."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt") as file:
        problems = [json.loads(line) for line in file]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(humaneval_row, problems))
    return [row for row in rows if row]


def humaneval_row(problem: Row) -> Row | None:
    """One problem; None if it is slow, or has too few arguments or places to change."""
    rng = random.Random(problem["task_id"])
    name, canonical = problem["entry_point"], problem["prompt"] + problem["canonical_solution"]
    arguments = list(dict.fromkeys(literal_arguments(problem["test"])))
    for _ in range(100 if arguments else 0):
        arguments.append(changed(rng.choice(arguments), rng))
    calls = [f"{name}{text}" for text in dict.fromkeys(arguments)]
    command = [sys.executable, "-I", "-c", ANSWERS, canonical, *calls]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    values = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else []
    tests = [f"assert {call} == {v}" for call, v in zip(calls, values, strict=False) if v]
    if len(tests) < TESTS:
        return None
    row = {"task_id": problem["task_id"], "entry_point": name, "tests": tests[:TESTS]}
    row = with_native(row | {"solutions": [canonical, *mutants(canonical, rng)]}, SOLUTIONS)
    whole = len(row["solutions"]) == SOLUTIONS and row["solutions"][0] == canonical
    return row if whole else None


ANSWERS = """
import ast, json, signal, sys
def answer(call):
    try:
        signal.setitimer(signal.ITIMER_PROF, 0.02)
        text = repr(eval(call, namespace))
        return text if len(text) < 1000 and repr(ast.literal_eval(text)) == text else None
    except Exception:
        return None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
signal.signal(signal.SIGPROF, lambda *_: 1 / 0)
namespace = {"__name__": "__main__"}
exec(sys.argv[1], namespace)
print("\\n" + json.dumps([answer(call) for call in sys.argv[2:]]))
"""


def with_native(row: Row, most: int) -> Row:
    """The row with `native` verdicts, and the first solutions that are fast on all tests."""
    with Popen_plain() as process:
        for mode in ("solution", "cell"):  # once quickly, once as it is defined
            codes = ask(process, mode, [row])
            fast = [(s, c) for s, c in zip(row["solutions"], codes, strict=True) if 3 not in c]
            row = row | {"solutions": [s for s, _ in fast][:most]}
    return row | {"native": [c for _, c in fast][:most]}


def literal_arguments(test: str) -> Iterator[str]:
    """Source of the arguments of each `candidate(literals)`."""
    for node in ast.walk(ast.parse(test)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "candidate":
            with contextlib.suppress(ValueError):
                values = [ast.literal_eval(argument) for argument in node.args]
                text = f"({', '.join(map(repr, values))})"
                if len(text) < 500 and not node.keywords:
                    yield text


def changed(arguments: str, rng: random.Random) -> str:
    """Arguments with one value a little different."""
    tree = ast.parse(f"f{arguments}", mode="eval")
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Constant | ast.List)]
    if not nodes:
        return arguments
    node = rng.choice(nodes)
    if isinstance(node, ast.List):
        node.elts = rng.choice([node.elts[1:], node.elts[:-1], node.elts + node.elts[:1]])
    elif isinstance(node.value, str):
        text = node.value
        node.value = rng.choice([text[1:], text[:-1], text[::-1], text + text[:1]])
    elif type(node.value) in (int, float):
        node.value += rng.choice([1, 2, 3, 5])  # type: ignore[operator]
    return ast.unparse(tree)[1:]


def mutants(source: str, rng: random.Random) -> list[str]:
    """Programs with one change each, then with two; more than are needed, as some never end."""
    count = len(list(ast.walk(ast.parse(source))))
    nodes = list(ast.walk(ast.parse(source)))
    singles = [[(i, edit)] for i in range(count) for edit in edits(nodes[i])]
    if not singles:
        return []
    rng.shuffle(singles)
    doubles = [rng.choice(singles) + rng.choice(singles) for _ in range(150)]
    texts = dict.fromkeys(mutated(source, changes) for changes in singles[:20] + doubles)
    return list(texts)[: 2 * SOLUTIONS]


def edits(node: ast.AST) -> list[tuple[str, Any]]:
    """Attributes that can change, with another value."""
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        return [("op", new()) for new in others(node.op)]
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return [("ops", [new()]) for new in others(node.ops[0])]
    if isinstance(node, ast.Return) and node.value:
        return [("value", ast.List([node.value], ast.Load())), ("value", ast.Constant(None))]
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        return [("value", not node.value)]
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return [("value", node.value + 1), ("value", node.value - 1)]
    if isinstance(node, ast.Constant) and type(node.value) is str and "\n" not in node.value:
        return [("value", node.value + "x")]
    return []


KINDS: list[list[Callable[[], ast.AST]]] = [
    [ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod],
    [ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE],
    [ast.And, ast.Or],
    [ast.In, ast.NotIn],
    [ast.Is, ast.IsNot],
]


def others(operator: ast.AST) -> list[Callable[[], ast.AST]]:
    """Operators of the same kind."""
    kind = next((kind for kind in KINDS if type(operator) in kind), [])
    return [other for other in kind if other is not type(operator)]


def mutated(source: str, changes: list[tuple[int, tuple[str, Any]]]) -> str:
    """The program with these nodes (numbered as `ast.walk` meets them) changed."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    for index, (attribute, value) in changes:
        setattr(nodes[index], attribute, value)
    return ast.unparse(tree)


def example_rows(path: Path) -> list[Row]:
    """The examples' fast solutions and their tests of the simple form."""
    with open(path) as file:
        rows = [json.loads(line) for line in file]
    return [row for row in map(example_row, rows) if row]


def example_row(row: Row) -> Row | None:
    kept = {"task_id": row["task_id"], "entry_point": row["entry_point"]}
    kept["tests"] = [test for test in dict.fromkeys(row["tests"]) if is_simple(test)][:TESTS]
    kept["solutions"] = [s for s in dict.fromkeys(row["solutions"]) if compiles(s)]
    kept = with_native(kept, SOLUTIONS)
    return kept if kept["tests"] and kept["solutions"] else None


def is_simple(test: str) -> bool:
    try:
        return bool(arguments_and_value(test))
    except (ValueError, SyntaxError):
        return False


def compiles(source: str) -> bool:
    with contextlib.suppress(SyntaxError, ValueError):
        return bool(compile(source, "<solution>", "exec"))
    return False


def portion(rows: list[Row], cells: int, grouping: str, rng: random.Random) -> list[Row]:
    """About `cells` random cells: whole problems, whole solutions, or single cells."""
    if grouping == "problem":
        pieces = rng.sample(rows, len(rows))
    else:
        lines = [(row, i) for row in rows for i in range(len(row["solutions"]))]
        pieces = [line_of(row, i) for row, i in rng.sample(lines, min(cells, len(lines)))]
        if grouping == "cell":
            pieces = [cell_of(row, rng.randrange(len(row["tests"]))) for row in pieces]
    chosen: list[Row] = []
    while pieces and cells > 0:
        chosen.append(pieces.pop())
        cells -= len(chosen[-1]["solutions"]) * len(chosen[-1]["tests"])
    return chosen


def line_of(row: Row, i: int) -> Row:
    return row | {"solutions": [row["solutions"][i]], "native": [row["native"][i]]}


def cell_of(row: Row, j: int) -> Row:
    return row | {"tests": [row["tests"][j]], "native": [[row["native"][0][j]]]}


def natives(rows: list[Row]) -> list[int]:
    return [code for row in rows for line in row["native"] for code in line]
