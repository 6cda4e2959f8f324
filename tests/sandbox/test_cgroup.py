"""Limits of a whole sandbox. Few machines let a user divide a cgroup: run this as root on one that does."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codedpo_plugin.sandbox import cgroup
from codedpo_plugin.sandbox.client import Limits, Sandbox

HONEST = "def f(x):\n    return x + 1\n"
CALL = {"calls": ["f(1)"]}


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox whose cgroup has less memory than a worker's address space."""
    monkeypatch.setattr(cgroup, "MARGIN", -(400 << 20))
    with Sandbox(Limits(seconds=2.0, memory_mb=512)) as small:
        if small.layers["cgroup"] != "on":
            pytest.skip(f"cgroup is {small.layers['cgroup']}")
        yield small


def test_a_solution_that_fills_the_cgroup_is_out_of_memory(divided: Sandbox) -> None:
    hungry = "def f(x):\n    return len(bytearray(300_000_000))\n"
    replies = divided.run_all([HONEST, hungry, f"{HONEST}\n"], [CALL], 10.0)
    assert [line[0].outcome for line in replies] == ["ended", "memory", "ended"]


def test_nothing_is_left_of_a_cgroup(divided: Sandbox) -> None:
    folder = divided.zygote.cgroup.folder
    assert folder
    assert str(divided.zygote.pid) in (folder / "cgroup.procs").read_text().split()
    divided.close()
    assert not folder.exists()
    folder.mkdir()
    os.utime(folder, (time.time() - 3600,) * 2)
    cgroup.sweep(folder.parent)
    assert not folder.exists()


def test_limits_are_written_where_they_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a folder that looks like a cgroup."""
    monkeypatch.setattr(cgroup, "own_cgroup", lambda: tmp_path / "mine")
    (tmp_path / "mine").mkdir()
    for folder, controllers in ((tmp_path / "mine", ""), (tmp_path, "cpu memory pids")):
        (folder / "cgroup.subtree_control").write_text(controllers)
    made = cgroup.Cgroup(1 << 30)
    assert made.state == "on"
    assert made.folder
    assert made.folder.parent == tmp_path
    assert int((made.folder / "memory.max").read_text()) == (1 << 30) + cgroup.MARGIN
    (tmp_path / "cgroup.subtree_control").write_text("cpu")
    assert cgroup.Cgroup(1 << 30).state.startswith("off: no cgroup v2 with memory and pids")
