"""A core locked for timing has one owner, until that process ends or is killed."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from codedpo_plugin import machine
from codedpo_plugin.machine import machine_type, own_core, physical_cores, usable_cores

HOLD = """
import time
from codedpo_plugin.machine import own_core
with own_core() as core:
    print(core, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def private_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield
    os.sched_setaffinity(0, before)


def test_this_process_is_pinned_and_released() -> None:
    before = os.sched_getaffinity(0)
    with own_core() as core:
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before
    assert 1 <= physical_cores() <= usable_cores() == len(before)


@pytest.mark.skipif(physical_cores() < 2, reason="needs two cores")
def test_two_owners_get_two_cores() -> None:
    everything = os.sched_getaffinity(0)
    with own_core() as one:
        os.sched_setaffinity(0, everything)
        with own_core() as other:
            assert one != other


def test_a_killed_owner_releases_its_core() -> None:
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})  # the only one
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline().strip() == str(core)
        os.kill(owner.pid, signal.SIGKILL)
    with own_core() as ours:
        assert ours == core


def test_the_machine_type_is_known() -> None:
    assert machine_type().strip()
    assert machine_type() == machine_type()


def test_a_long_wait_warns_and_names_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    monkeypatch.setattr(machine, "SILENT_SECONDS", 0.0)
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        threading.Timer(0.5, owner.kill).start()
        with pytest.warns(UserWarning, match="timing solutions on all 1 cores"), own_core() as ours:
            assert ours == core
