"""What the machine does to the sandbox is never a verdict; what a solution does stays its own."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codedpo_plugin.errors import InfrastructureError
from codedpo_plugin.execution.execute import execute_problem
from codedpo_plugin.sandbox import client
from codedpo_plugin.sandbox.client import (
    HARMLESS,
    Cell,
    Limits,
    Loss,
    Recovery,
    Reply,
    Sandbox,
    Table,
)
from codedpo_plugin.sandbox.zygote_handle import Zygote

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

HONEST = "def f(x):\n    return x + 1\n"
SLOW = "def f(x):\n    for _ in range(3_000_000): pass\n    return x + 1\n"
KILLS_ITSELF = "import os\ndef f(x):\n    os.kill(os.getpid(), 9)\n"
CALL = {"calls": ["f(1)"]}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSE", 0.0)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(seconds=2.0, memory_mb=512)) as sandbox:
        yield sandbox


def below(pid: int) -> list[int]:
    """Processes below one, deepest last."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [p for child in map(int, children) for p in (child, *below(child))]


class Killer(threading.Thread):
    """Kills the process that it finds `depth` levels below a sandbox's zygote, `times` times."""

    def __init__(self, sandbox: Sandbox, depth: int, times: int) -> None:
        super().__init__(daemon=True)
        self.sandbox, self.depth, self.times = sandbox, depth, times
        self.ended = False

    def run(self) -> None:
        while self.times and not self.ended:
            found = [self.sandbox.zygote.pid, *below(self.sandbox.zygote.pid)]
            if len(found) > self.depth and _kill(found[self.depth]):
                self.times -= 1
                while self.depth and found[self.depth] in below(found[0]):
                    pass

    def __enter__(self) -> "Killer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True
        self.join()


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@linux
@pytest.mark.parametrize("depth", [0, 1, 2], ids=["zygote", "fork server", "worker"])
@pytest.mark.parametrize(
    "solution", [SLOW, f"state = []\n{SLOW}"], ids=["shared worker", "own worker"]
)
def test_a_killed_process_costs_no_verdict(sandbox: Sandbox, depth: int, solution: str) -> None:
    with Killer(sandbox, depth, times=2) as killer:
        killed_all = False
        while not killed_all:  # on a busy machine the killer may be late
            replies = sandbox.run(solution, [CALL] * 3)
            assert [reply.record for reply in replies] == [{"values": ["2"]}] * 3
            killed_all = not killer.times


def test_a_machine_that_kills_everything_is_reported(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(zygote: Zygote, request: dict[str, Any], send: Any = Zygote.send) -> None:
        os.kill(zygote.pid, signal.SIGKILL)
        send(zygote, request)

    monkeypatch.setattr(Zygote, "send", send)
    with pytest.raises(InfrastructureError, match="workers"):
        sandbox.run(HONEST, [CALL])


@linux
def test_a_solution_that_has_itself_killed_stops_nothing_but_itself(sandbox: Sandbox) -> None:
    zygote = sandbox.zygote.pid
    row = {
        "task_id": "t",
        "entry_point": "f",
        "solutions": [HONEST, KILLS_ITSELF, f"{HONEST}\n"],
        "tests": ["assert f(1) == 2", "assert f(2) == 3"],
    }
    done = execute_problem(row, sandbox, 100_000)
    assert done["outcomes"] == [["passed"] * 2, ["not_run"] * 2, ["passed"] * 2]
    assert "from outside" in done["errors"][1][0]
    assert sandbox.zygote.pid == zygote


def nested_finally(depth: int) -> str:
    """A short program whose code doubles with each level: 1.3 KB take 770 MB to compile."""
    source = "x = 1\n"
    for _ in range(depth):
        source = "try:\n f()\nfinally:\n" + "".join(f" {line}\n" for line in source.splitlines())
    return source


@linux
@pytest.mark.parametrize(("where", "depth"), [("solution", 22), ("test", 22), ("solution", 13)])
def test_what_cannot_be_compiled_costs_itself_alone(
    sandbox: Sandbox, where: str, depth: int
) -> None:
    """Because of its memory, or (many small functions) of its CPU time."""
    bomb = nested_finally(depth)
    if depth < 20:
        body = "".join(f" {line}\n" for line in bomb.splitlines())
        bomb = "".join(
            f"def g{n}():\n{body}" for n in range(300)
        )  # compiles for 7 s on a slow core
    row = {
        "task_id": "t",
        "entry_point": "f",
        "solutions": [HONEST, bomb if where == "solution" else f"{HONEST}\n", f"{HONEST}\n\n"],
        "tests": ["assert f(1) == 2", bomb if where == "test" else "assert f(2) == 3"],
    }
    outcomes = execute_problem(row, sandbox, len(bomb))["outcomes"]
    lost = {"crashed", "memory"}
    cells = {(i, j): outcomes[i][j] for i in range(3) for j in range(2)}
    bombs = {cell for cell in cells if cell[where == "test"] == 1}
    assert {cells[cell] for cell in bombs} <= lost
    assert {outcome for cell, outcome in cells.items() if cell not in bombs} == {"passed"}


def recovery(loss: Loss, *programs: str) -> Recovery:
    """One whose sandbox loses these programs."""

    def run(program: str, cells: list[Cell]) -> tuple[Table, Loss]:
        reply = None if program in programs else Reply("ended")
        return [[reply] * len(cells)], loss

    return Recovery(run)


def test_what_is_to_blame() -> None:
    assert recovery(Loss.KILLED, "p").run("p", [CALL])[0].outcome == "not_run"
    assert recovery(Loss.CRASHED, "p").run("p", [CALL])[0].outcome == "crashed"
    assert recovery(Loss.MEMORY, "p").run("p", [CALL])[0].outcome == "memory"
    assert recovery(Loss.MEMORY, "p").run("q", [CALL])[0].outcome == "ended"
    with pytest.raises(InfrastructureError):
        recovery(Loss.KILLED, "p", HARMLESS).run("p", [CALL])
