"""Every attack of `cases.py`, on the harness as it is used: nothing forged, leaked, hurt or left.

Three times: as the current user with all layers, the same without the C part of the sandbox, and as
an ordinary user to whom the kernel refuses namespaces. The harness is a process of its own
(`harness.py`), so that its death can be observed.
"""

import contextlib
import importlib.util
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from helpers.attacks.cases import (
    ALSO_HONEST,
    CASES,
    HONEST,
    NEIGHBOUR,
    NEIGHBOUR_TESTS,
    TEST,
    Case,
    fill,
)
from helpers.attacks.programs import (
    CALLS,
    CHANGES_A_NAME,
    HONEST_BUT_ODD,
    KEEPS_STATE,
    LEAVES_A_NAME,
    NUMPY,
    READS_A_NAME,
)
from helpers.paths import HELPERS, ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only rlimits hold off Linux")


SECRET = "s3cr3t-5518-token"
NOBODY = 65534
MOST_SECONDS = 300.0  # that an attack may delay the harness; on a busy machine too
NATIVE = "codedpo_plugin.sandbox._runner"
MOST_MB = 300  # that an attack may cost the harness


@dataclass(frozen=True)
class User:
    """Who runs the harness, with which interpreter."""

    python: str
    uid: int | None
    namespaces: bool
    pure_python: bool = False


def current() -> User:
    return User(sys.executable, None, namespaces=True)


def pure_python() -> User:
    return replace(current(), pure_python=True)


def ordinary() -> User:
    """An ordinary user, if there is an interpreter that this user can run."""
    uid = NOBODY if os.getuid() == 0 else None
    troubles = []
    for python in dict.fromkeys([sys.executable, shutil.which("python3", path="/usr/bin")]):
        user = User(str(python), uid, namespaces=False)
        trouble = why_not(user)
        if not trouble:
            return user
        troubles.append(f"{python}: {trouble}")
    pytest.skip(f"an ordinary user can run no interpreter here: {troubles}")


def why_not(user: User) -> str:
    """Why this user cannot run the harness; nothing if it can."""
    command = [user.python, "-c", "import codedpo_plugin.execution.execute"]
    try:
        probe = subprocess.run(command, **as_user(user, "/"), capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return probe.stderr.strip()[-200:] or ("" if not probe.returncode else "it fails")


def as_user(user: User, folder: str) -> dict[str, Any]:
    """Arguments of Popen for this user; the environment holds a secret and marks its processes."""
    packages = [str(Path(module.__file__ or "").parents[1]) for module in (pytest, _pyarrow())]
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(ROOT), *packages])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": folder,
        "CODEDPO_SECRET": SECRET,
    }
    other = {"user": user.uid, "group": user.uid, "extra_groups": []} if user.uid else {}
    return {"env": environment, "cwd": "/", **other}


def _pyarrow() -> Any:
    import pyarrow

    return pyarrow


class Harness:
    """A harness under attack, and everything that the attacks aim at."""

    def __init__(self, user: User, *, share: str = "proved", seconds: float = 0.2) -> None:
        self.user = user
        self.options = {
            "namespaces": user.namespaces,
            "pure_python": user.pure_python,
            "share": share,
            "seconds": seconds,
        }
        self.folder = Path(tempfile.mkdtemp(prefix="adversarial-"))
        self.canary, self.temporary = self.folder / "canary", self.folder / "tmp"
        self._lay_out()
        self.listeners = Listeners()
        self.others = {int(entry.name) for entry in Path("/proc").glob("[0-9]*")}
        self._start()

    def _lay_out(self) -> None:
        self.folder.chmod(0o755)
        for path in (self.canary, self.temporary, self.canary / "folder"):
            path.mkdir()
            path.chmod(0o777)
        for name, mode in (("secret", 0o600), ("open", 0o644), ("canary/file", 0o666)):
            path = self.folder / name
            path.write_text(SECRET)
            path.chmod(mode)
            if self.user.uid and mode == 0o600:
                os.chown(path, self.user.uid, self.user.uid)
        (self.canary / "folder" / "inside").write_text("kept")

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [self.user.python, str(HELPERS / "attacks" / "harness.py"), json.dumps(self.options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            **as_user(self.user, str(self.temporary)),
        )
        hello = self._answer(300)
        self.layers: dict[str, str] = hello["layers"]
        assert hello["native"] == (
            importlib.util.find_spec(NATIVE) is not None and not self.user.pure_python
        )

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.process.kill()
            raise AssertionError(f"the harness gave no answer within {seconds} s")
        line = self.process.stdout.readline()
        assert line, "the harness is dead"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self, solutions: list[str], tests: list[str]) -> dict[str, Any]:
        """What the harness returns for a problem."""
        if self.process.poll() is not None:
            self._start()
        places = {
            "canary": self.canary,
            "secret": self.folder / "secret",
            "open": self.folder / "open",
            "tester": self.process.pid,
            **self.listeners.places,
        }
        row = {
            "task_id": "t",
            "entry_point": "f",
            "solutions": [fill(text, places) for text in solutions],
            "tests": [fill(text, places) for text in tests],
        }
        assert self.process.stdin
        self.process.stdin.write(json.dumps(row).encode() + b"\n")
        self.process.stdin.flush()
        answer = self._answer(2 * MOST_SECONDS)
        answer["effects"] = self.effects()
        answer["left"] = self.left_processes(answer["trusted"])
        return answer

    def effects(self) -> list[str]:
        """What has changed in the canary folder, and which ports were connected to."""
        found = {
            str(path.relative_to(self.canary)): (path.lstat().st_mode, path.lstat().st_mtime_ns)
            for path in sorted(self.canary.rglob("*"))
        }
        before, self._found = getattr(self, "_found", found), found
        content = [(self.canary / n).read_text() for n in ("file", "folder/inside")]
        changes = [] if content == [SECRET, "kept"] else [f"content is {content}"]
        changes += [f"{name} changed" for name, _ in set(before.items()) ^ set(found.items())]
        if not {"file", "folder", "folder/inside"} >= found.keys():
            changes.append(f"found {sorted(found)}")
        return changes + self.listeners.calls()

    def left_processes(self, trusted: list[int]) -> list[str]:
        """Processes of the harness, in any session, except itself and the trusted ones."""
        deadline = time.monotonic() + 30  # the kernel of a busy machine takes its time
        mine = {self.process.pid, *trusted}
        while left := processes_of(str(self.temporary), mine, self.others | mine):
            if time.monotonic() > deadline:
                return left
            time.sleep(0.01)
        return []

    def close(self) -> list[str]:
        """End the harness; what it has left in its temporary folder."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)
        left = [path.name for path in self.temporary.iterdir()]
        self.listeners.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return left


class Listeners:
    """Sockets to which nothing should ever connect."""

    def __init__(self) -> None:
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX)
        name = f"adversarial-{os.getpid()}-{self.tcp.getsockname()[1]}"
        self.unix.bind(f"\0{name}")
        self.unix.listen()
        self.sockets = {"TCP": self.tcp, "UDP": self.udp, "abstract socket": self.unix}
        self.places = {
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "abstract": name,
        }

    def calls(self) -> list[str]:
        """Sockets with a connection or message."""
        waiting = select.select(list(self.sockets.values()), [], [], 0)[0]
        return [f"somebody called by {name}" for name, s in self.sockets.items() if s in waiting]

    def close(self) -> None:
        for one in self.sockets.values():
            one.close()


def processes_of(marker: str, sessions: set[int], known: set[int]) -> list[str]:
    """Unknown processes that are in one of the sessions, or have the marker in the environment."""
    left = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in known:
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            state, session = fields[0], int(fields[3])
            marked = session in sessions or marker in _environment(entry)
            if marked and state not in "ZX":
                left.append(f"{entry.name} {state} {(entry / 'cmdline').read_text()[:50]}")
    return left


def _environment(entry: Path) -> str:
    with contextlib.suppress(OSError):
        return (entry / "environ").read_text(errors="replace")
    return ""


class Campaign:
    """All chosen cases, run one after the other in the background."""

    def __init__(self, harness: Harness, cases: list[Case]) -> None:
        self.harness = harness
        self.pool = ThreadPoolExecutor(1)
        self.results: dict[str, Future[dict[str, Any]]] = {
            case.name: self.pool.submit(self._run, case) for case in cases
        }

    def _run(self, case: Case) -> dict[str, Any]:
        first, last = NEIGHBOUR_TESTS
        tests = [first, *case.tests, last]
        return self.harness.run([HONEST, case.solution, ALSO_HONEST], tests)


@pytest.fixture(scope="module")
def campaigns(request: pytest.FixtureRequest) -> Iterator[dict[str, Campaign]]:
    """A campaign per user: the chosen tests of all users run side by side."""
    chosen: dict[str, list[Case]] = {}
    for item in request.session.items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "case" in params and "user" in params:
            chosen.setdefault(params["user"], []).append(params["case"])
    made = {}
    for name, cases in chosen.items():
        with contextlib.suppress(pytest.skip.Exception):
            made[name] = Campaign(Harness(USERS[name]()), cases)
    yield made
    for campaign in made.values():
        campaign.pool.shutdown(cancel_futures=True)
        assert not campaign.harness.close()


USERS = {"current": current, "pure Python": pure_python, "ordinary": ordinary}


def holds(test: str) -> bool:
    """Whether the honest solution passes a (harmless) test."""
    namespace: dict[str, Any] = {}
    exec(HONEST, namespace)
    try:
        exec(test, namespace)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("user", USERS)
def test_attack(campaigns: dict[str, Campaign], user: str, case: Case) -> None:
    if user not in campaigns:
        USERS[user]()  # skips, and says why
    campaign = campaigns[user]
    if case.reads_files and campaign.harness.layers["landlock"] != "on":
        pytest.skip(f"reading is confined by Landlock: {campaign.harness.layers['landlock']}")
    answer = campaign.results[case.name].result()
    assert answer["broke"] is None
    outcomes = answer["result"]["outcomes"]
    first, last = NEIGHBOUR_TESTS
    for test, *verdicts in zip([first, *case.tests, last], outcomes[0], outcomes[2], strict=True):
        if test in (first, last, TEST) or (case.attacks == NEIGHBOUR and holds(test)):
            assert verdicts == ["passed", "passed"], answer
    assert case.honest or "passed" not in outcomes[1][1:-1], answer
    assert case.honest or case.solution == HONEST or "passed" not in outcomes[1], answer
    assert answer["result"]["returned"][0][0] == answer["result"]["returned"][2][0] == "6"
    assert SECRET not in json.dumps(answer)
    assert not answer["effects"]
    assert not answer["left"]
    assert answer["seconds"] < MOST_SECONDS
    assert answer["grown_mb"] < MOST_MB


def test_the_ordinary_user_has_no_namespaces(campaigns: dict[str, Campaign]) -> None:
    if "ordinary" not in campaigns:
        pytest.skip("see test_attack")
    layers = campaigns["ordinary"].harness.layers
    assert layers["namespaces"] != "on"
    assert layers["seccomp"] == "on"


@pytest.fixture(scope="module", params=USERS)
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    harness = Harness(USERS[request.param](), seconds=2.0)
    yield harness
    assert not harness.close()


@pytest.mark.parametrize("name", HONEST_BUT_ODD)
def test_an_odd_program_keeps_its_verdict(harness: Harness, name: str) -> None:
    solution, *tests = HONEST_BUT_ODD[name]
    answer = harness.run([solution], tests)
    assert answer["result"]["outcomes"] == [["passed"] * len(tests)], answer


def test_numpy_keeps_its_verdict(harness: Harness) -> None:
    solution, *tests = NUMPY
    answer = harness.run(["import numpy", solution], ["pass", *tests])
    if answer["result"]["outcomes"][0][0] != "passed":
        pytest.skip(f"no numpy in the sandbox: {answer['result']['errors'][0][0]}")
    assert answer["result"]["outcomes"][1] == ["passed"] * (1 + len(tests)), answer


@pytest.fixture(scope="module")
def state() -> dict[str, tuple[Any, ...]]:
    """What programs that keep state give in shared workers, and with a worker for each cell."""
    tests = [f"assert {call} == 1" for call in CALLS]
    both = []
    for share in ("proved", "nothing"):
        harness = Harness(current(), share=share, seconds=4.0)
        answer = harness.run([HONEST, *KEEPS_STATE.values(), ALSO_HONEST], tests)
        assert answer["broke"] is None
        both.append(answer["result"])
        harness.close()
    return {
        name: tuple([one[key][n] for key in ("outcomes", "returned", "errors")] for one in both)
        for n, name in enumerate(["honest", *KEEPS_STATE, "also honest"])
    }


@pytest.mark.parametrize("name", ["honest", *KEEPS_STATE, "also honest"])
def test_state_never_reaches_another_test(state: dict[str, tuple[Any, ...]], name: str) -> None:
    shared, alone = state[name]
    assert shared == alone
    if name in KEEPS_STATE and alone[1][0] is not None:
        assert alone[1][0] == alone[1][1] == alone[1][3], "the same call, another value"


@pytest.mark.parametrize("name", LEAVES_A_NAME)
def test_names_of_a_test_are_gone_after_it(harness: Harness, name: str) -> None:
    test, left = LEAVES_A_NAME[name]
    tells = f"try: {left}\nexcept NameError: pass\nelse: raise ValueError('is there')"
    answer = harness.run([READS_A_NAME], [test, tells, "assert f(1) == (0, 2)"])
    expected = {"when it fails": "failed", "when it raises": "error"}.get(name, "passed")
    assert answer["result"]["outcomes"] == [[expected, "passed", "passed"]], answer


@pytest.mark.parametrize("name", CHANGES_A_NAME)
def test_a_test_may_change_what_the_solution_sees(harness: Harness, name: str) -> None:
    tests = ["assert f(0) == (0, 1)", CHANGES_A_NAME[name], "assert f(1) == (0, 2)"]
    answer = harness.run([READS_A_NAME], tests)
    assert answer["result"]["outcomes"] == [["passed"] * 3], answer
