"""What untrusted code can do in the sandbox: nothing that counts. Each test attacks one property."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codedpo_plugin.execution.execute import execute_problem
from codedpo_plugin.sandbox.client import Limits, Reply, Sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only rlimits hold off Linux")

HONEST = "def f(x):\n    return x + 1\n"
CALL = {"calls": ["f(1)"], "names": []}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(seconds=0.3, memory_mb=512)) as sandbox:
        yield sandbox


def outcome(sandbox: Sandbox, solution: str, test: str = "assert f(1) == 2") -> str:
    """The outcome of one cell."""
    row = {"task_id": "t", "entry_point": "f", "solutions": [solution], "tests": [test]}
    result: str = execute_problem(row, sandbox, 100_000)["outcomes"][0][0]
    return result


@pytest.mark.parametrize(
    ("solution", "expected"),
    [
        (HONEST, "passed"),
        ("def f(x):\n    return x", "failed"),
        ("def f(x):\n    return y", "error"),
        ("def f(x):\n    return input()", "error"),
        ("def f(x):", "error"),
        ("def f(x):\n    return 1 / 0\0", "error"),
        ("def f(x):\n    while True: pass", "timeout"),
        ("import time\ndef f(x):\n    time.sleep(60)", "timeout"),
        ("def f(x):\n    return [0] * 10**9", "memory"),
        ("def f(x):\n    return f(x)", "error"),
        ("import ctypes\ndef f(x):\n    ctypes.string_at(0)", "crashed"),
        ("def f(x):\n    print('noise' * 100_000)\n    return x + 1", "passed"),
    ],
)  # fmt: skip
def test_outcomes(sandbox: Sandbox, solution: str, expected: str) -> None:
    assert outcome(sandbox, solution) == expected


FORGERIES = {
    "equal to everything": "class A:\n def __eq__(s, o): return True\ndef f(x): return A()",
    "an int equal to everything": "class A(int):\n def __eq__(s, o): return True\ndef f(x): return A(0)",
    "exits early and well": "import os\ndef f(x): os._exit(0)",
    "SystemExit": "import sys\ndef f(x): sys.exit(0)",
    "exits at import": "raise SystemExit(0)",
    "looks for the expected value on the stack": (
        "import sys\ndef f(x):\n frame = sys._getframe()\n while frame:\n"
        "  for v in list(frame.f_locals.values()) + list(frame.f_globals.values()):\n"
        "   if v == 918274: return v\n  frame = frame.f_back"
    ),
    "writes a verdict into every descriptor": (
        "import os\ndef f(x):\n for fd in range(3, 256):\n  try: os.pwrite(fd, b'\\x0e\\0\\0\\0{\"done\": true}', 0)\n"
        "  except OSError: pass\n os._exit(0)"
    ),
    "claims to be done": "import cells\ndef f(x): return 2",
    "breaks the encoder": "import json\njson.dumps = lambda *a, **k: '2'\ndef f(x): return 0",
    "patches assert's error": "import builtins\nbuiltins.AssertionError = ValueError\ndef f(x): return 0",
    "returns nothing at all": "def f(x):\n raise StopIteration",
    "kills its parent": "import os\ndef f(x):\n os.kill(os.getppid(), 9)\n return 0",
    "swallows the time-out": (
        "import signal\nfor s in range(1, 65):\n try: signal.signal(s, signal.SIG_IGN)\n"
        " except (OSError, ValueError): pass\ndef f(x):\n while True:\n  try:\n   while True: pass\n"
        "  except BaseException: pass"
    ),
}


@pytest.mark.parametrize("attack", FORGERIES)
def test_no_verdict_is_forged_and_no_neighbour_is_hurt(sandbox: Sandbox, attack: str) -> None:
    row = {
        "task_id": "t",
        "entry_point": "f",
        "solutions": [HONEST, FORGERIES[attack], HONEST + "\n"],
        "tests": ["assert f(918273) == 918274", "assert f(5) == 6"],
    }
    outcomes = execute_problem(row, sandbox, 100_000)["outcomes"]
    assert outcomes[0] == outcomes[2] == ["passed", "passed"]
    assert "passed" not in outcomes[1]


EFFECTS = {
    "reads a file of the user": "open({path!r}).read()",
    "overwrites a file": "open({path!r}, 'w').write('gone')",
    "deletes a file": "import os; os.unlink({path!r})",
    "renames a file": "import os; os.rename({path!r}, {path!r} + 'x')",
    "changes a mode": "import os; os.chmod({path!r}, 0)",
    "opens a socket": "import socket; socket.socket()",
    "runs a program": "import subprocess; subprocess.run(['/bin/true'])",
    "forks": "import os; os.fork()",
    "reads its parent's memory": "import os; open(f'/proc/{{os.getppid()}}/mem', 'rb')",
    "lists the user's processes": "import os; os.listdir('/proc/1')",
    "writes a large file": "open('big', 'wb').write(bytes(2**27))",
}


@pytest.mark.parametrize("effect", EFFECTS)
def test_no_effect_outside(sandbox: Sandbox, effect: str, tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_text("content")
    os.chmod(tmp_path, 0o777)
    os.chmod(file, 0o666)
    (reply,) = sandbox.run(EFFECTS[effect].format(path=str(file)), [{"snippet": "pass"}])
    assert reply.outcome in ("error", "crashed"), reply
    assert file.read_text() == "content"


def test_the_environment_is_scrubbed(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    with Sandbox(sandbox.limits) as fresh:
        (reply,) = fresh.run("import os", [{"calls": ["'HF_TOKEN' in os.environ"], "names": []}])
    assert reply.record == {"values": ["false"]}


def test_a_test_sees_nothing_of_another(sandbox: Sandbox) -> None:
    leaky = "seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)"
    replies = sandbox.run(leaky, [CALL] * 3)
    assert [reply.record for reply in replies] == [{"values": ["1"]}] * 3
    writer = "import os\ndef f(x):\n    n = len(os.listdir('.'))\n    open('mark', 'w').close()\n    return n"
    replies = sandbox.run(writer, [CALL] * 2)
    assert [reply.record for reply in replies] == [{"values": ["0"]}] * 2


def test_results_are_the_same_every_time(sandbox: Sandbox) -> None:
    lucky = "import random, os\ndef f(x):\n    return [random.random(), hash('a'), list({'b', 'c', 'd'})]"
    first, second = sandbox.run(lucky, [CALL, CALL])
    assert first.record == second.record


def test_after_two_timeouts_the_rest_is_not_run(sandbox: Sandbox) -> None:
    replies = sandbox.run("def f(x):\n    while x: pass\n    return 0", [CALL] * 5)
    assert [reply.outcome for reply in replies] == ["timeout", "timeout"] + ["not_run"] * 3


def test_a_hang_on_one_input_costs_that_cell_alone(sandbox: Sandbox) -> None:
    cells = [{"calls": [f"f({n})"], "names": []} for n in range(4)]
    replies = sandbox.run("def f(x):\n    while x == 2: pass\n    return x", cells)
    assert [reply.outcome for reply in replies] == ["ended", "ended", "timeout", "ended"]


def test_a_cell_may_have_any_number_of_calls(sandbox: Sandbox) -> None:
    for count in (1, 8, 9, 300):
        (reply,) = sandbox.run(HONEST, [{"calls": [f"f({n})" for n in range(count)]}])
        assert reply.record == {"values": [str(n + 1) for n in range(count)]}


def test_sharing_a_process_changes_no_verdict(sandbox: Sandbox) -> None:
    """A solution gives the same in a shared worker and with a worker for each test."""
    body = (
        "def f(x):\n    if x == 3: raise KeyError(x)\n    if x == 5: return 'a' * 900_000\n"
        "    if x == 6: return f(x)\n    if x == 7: return bytes(10**10)\n    return [x] * 3\n"
    )
    cells = [{"calls": [f"f({n})"], "names": []} for n in range(12)]
    shared = sandbox.run(body, cells)
    alone = sandbox.run(f"state = []\n{body}", cells)
    assert [(r.outcome, r.record, r.error) for r in shared] == [
        (r.outcome, r.record, r.error) for r in alone
    ]


def test_a_dead_zygote_is_replaced_and_nothing_is_lost() -> None:
    with Sandbox(Limits(seconds=0.3)) as sandbox:
        os.kill(sandbox.zygote.pid, signal.SIGKILL)
        assert sandbox.run(HONEST, [CALL]) == [_ended("2", sandbox.run(HONEST, [CALL])[0])]


def _ended(value: str, like: Reply) -> Reply:
    return Reply("ended", pytest.approx(like.seconds, abs=1.0), None, {"values": [value]})


def test_nothing_is_left_behind() -> None:
    sandbox = Sandbox(Limits(seconds=0.3))
    zygote, scratch = sandbox.zygote.pid, Path(sandbox.zygote.scratch.path)
    sandbox.run("open('left', 'w').close()\nwhile True: pass", [{"snippet": "pass"}])
    sandbox.close()
    assert not scratch.exists()
    assert not Path(f"/proc/{zygote}").exists()


def test_a_program_that_is_slow_everywhere_is_left_after_ten_limits(sandbox: Sandbox) -> None:
    slow = "import time\ndef f(x):\n    end = time.thread_time() + 0.2\n    while time.thread_time() < end: pass"
    outcomes = [reply.outcome for reply in sandbox.run(slow, [CALL] * 30)]
    assert outcomes == sorted(outcomes)  # ended, then not_run
    assert 10 < outcomes.count("ended") < 20
