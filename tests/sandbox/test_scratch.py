"""Scratch folders of killed builds are deleted, others are not."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codedpo_plugin.sandbox import scratch

ABANDON = """
import os, signal
from codedpo_plugin.sandbox.client import Sandbox
sandbox = Sandbox()
print(sandbox.zygote.scratch.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_scratch_folders_of_killed_builds_are_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(scratch.tempfile, "tempdir", None)
    command = [sys.executable, "-c", ABANDON]
    dead = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.strip()
    living = scratch.Scratch()
    assert Path(dead).parent == Path(living.path).parent == tmp_path
    for folder in (dead, living.path):
        os.utime(folder, (time.time() - 3600,) * 2)
    scratch.Scratch().remove()
    assert [str(path) for path in tmp_path.iterdir()] == [living.path]
    living.remove()


def test_a_young_scratch_folder_is_never_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"{scratch.PREFIX}x").mkdir()
    scratch.sweep()
    assert list(tmp_path.iterdir())
