"""Recall of decontamination on planted problems, and what else it reports as contaminated.

    python benchmarks/decontamination.py [BENCHMARKS_FOLDER]

Planted: 20 problems of HumanEval reworded by hand, with our own solutions (`reworded.py`), and the
reference solutions of 20 others with renamed functions and no statement. Not planted: all of MBPP,
problems and reference solutions; what is found there is listed for a human to judge.
"""

import ast
import builtins
import os
import platform
import sys
import time
from pathlib import Path

from reworded import REWORDED

from codedpo_plugin.run_folder.candidates import read_file
from codedpo_plugin.sandbox.client import Sandbox
from codedpo_plugin.synthesis import benchmark_problems
from codedpo_plugin.synthesis.decontamination import LIMITS, Tests, Texts

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "benchmarks"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    known = benchmark_problems.load(str(folder / "HumanEval.jsonl.gz"))
    texts, tests = Texts(known, 10), Tests(known)
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
    with Sandbox(LIMITS) as sandbox:
        found = 0
        for one in REWORDED:
            words = texts.overlap(one.text)
            run = tests.solved(
                [one.program], [f"assert {one.call} == 0"], one.entry_point, sandbox, 8
            )
            found += bool(words or (run and run["problem"] == one.task_id))
            if not run or words:
                print(f"  {one.task_id}: words {words}, run {run}")
        print(f"reworded: {found} of {len(REWORDED)} found")
        found = 0
        for name, program, test, task_id in renamed(folder):
            run = tests.solved([program], [test], name, sandbox, 8)
            found += bool(run and run["problem"] == task_id)
            if not run or run["problem"] != task_id:
                print(f"  {task_id}: run {run}")
        print(f"renamed: {found} of 20 found")
        started = time.perf_counter()
        others = list(mbpp(folder))
        by_words = [(text, hit) for text, *_ in others if (hit := texts.overlap(text))]
        by_run = []
        for text, name, program, own in others:
            if hit := tests.solved([program], own, name, sandbox, 8):
                by_run.append((text, hit["problem"]))
        seconds = time.perf_counter() - started
    print(
        f"MBPP: {len(by_words)} of {len(others)} by words, {len(by_run)} by running; "
        f"{seconds:.0f} s"
    )
    for text, hit in by_words:
        print(f"  words: {hit['problem']}: {text[:90]}")
    for text, problem in by_run:
        print(f"  run: {problem}: {text[:90]}")


def renamed(folder: Path) -> list[tuple[str, str, str, str]]:
    """(name, program, one of its tests, task) of 20 problems that were not reworded."""
    taken = {one.task_id for one in REWORDED}
    found = []
    for _, row in read_file(folder / "HumanEval.jsonl.gz"):
        known = benchmark_problems.problem_of("", 0, row)
        if row["task_id"] in taken or not known or len(known.tests) < 3 or len(found) == 20:
            continue
        tree = ast.parse(row["prompt"] + row["canonical_solution"])
        Rename(row["entry_point"]).visit(tree)
        test = known.tests[0].replace("candidate", "renamed")
        found.append(("renamed", ast.unparse(tree), test, row["task_id"]))
    return found


class Rename(ast.NodeTransformer):
    """Renames the function and its variables, and removes the docstring."""

    def __init__(self, function: str) -> None:
        self.names = {function: "renamed"}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        for part in ast.walk(node):
            stored = isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            name = part.arg if isinstance(part, ast.arg) else part.id if stored else None
            if name and not hasattr(builtins, name):
                self.names.setdefault(name, f"v{len(self.names)}")
        if ast.get_docstring(node):
            node.body = node.body[1:]
        node.name = self.names.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self.names.get(node.arg, node.arg), None
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.names.get(node.id, node.id)
        return node


def mbpp(folder: Path) -> list[tuple[str, str, str, list[str]]]:
    """(statement, function, reference solution, tests) of each problem."""
    found = []
    for number, (_, row) in enumerate(read_file(folder / "mbpp.jsonl.gz")):
        problem = benchmark_problems.problem_of("mbpp", number, row)
        if problem and problem.entry_point:
            program = row["code"].replace("\r\n", "\n")
            found.append((problem.text, problem.entry_point, program, list(problem.tests)))
    return found


if __name__ == "__main__":
    main()
