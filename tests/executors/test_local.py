"""The pool of worker processes: a killed worker loses nothing, and work that always fails is stopped."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from codedpo_plugin.errors import InfrastructureError, StorageError
from codedpo_plugin.executors.local import Pool

QUIET = Console(quiet=True)


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with Pool(2, QUIET) as pool:
        pool.run(_KillOnce(tmp_path), range(4), "test", 0, 4)
    assert sorted(path.name for path in tmp_path.glob("done-*")) == [f"done-{n}" for n in range(4)]


def test_a_shard_that_kills_every_worker_is_reported_and_the_others_are_kept(
    tmp_path: Path,
) -> None:
    with Pool(1, QUIET) as pool, pytest.raises(InfrastructureError, match="1 of 3 shards failed"):
        pool.run(_KillAlways(tmp_path), range(3), "test", 0, 3)
    assert sorted(path.name for path in tmp_path.glob("done-*")) == ["done-0", "done-2"]


def test_workers_that_are_killed_between_two_shards_are_replaced(tmp_path: Path) -> None:
    with Pool(2, QUIET) as pool:
        for attempt in range(10):
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()
            (tmp_path / "killed").touch()
            pool.run(_KillOnce(tmp_path), [2 * attempt, 2 * attempt + 1], "test", 0, 2)
    assert len(list(tmp_path.glob("done-*"))) == 20


class _KillOnce:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, shard: int, tick: Any) -> None:
        if shard == 1 and not (self.folder / "killed").exists():
            (self.folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (self.folder / f"done-{shard}").touch()


class _KillAlways(_KillOnce):
    def __call__(self, shard: int, tick: Any) -> None:
        if shard == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        (self.folder / f"done-{shard}").touch()


def test_a_full_disk_stops_the_work_at_once(tmp_path: Path) -> None:
    with Pool(1, QUIET) as pool, pytest.raises(StorageError, match="free some space"):
        pool.run(_FullDisk(tmp_path), range(9), "test", 0, 9)
    assert len(list(tmp_path.glob("tried-*"))) < 9


def test_if_all_shards_fail_not_all_are_attempted(tmp_path: Path) -> None:
    with (
        Pool(1, QUIET) as pool,
        pytest.raises(InfrastructureError, match="the work was stopped"),
    ):
        pool.run(_FailAlways(tmp_path), range(99), "test", 0, 99)
    assert len(list(tmp_path.glob("tried-*"))) < 99


class _FailAlways:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, shard: int, tick: Any) -> None:
        (self.folder / f"tried-{shard}").touch()
        raise InfrastructureError("a layer is off on this machine")


class _FullDisk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, shard: int, tick: Any) -> None:
        (self.folder / f"tried-{shard}").touch()
        raise StorageError("the disk is full; free some space")
