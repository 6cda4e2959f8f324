"""State files of a run in progress, and `codedpo status`."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.executors.local import Pool
from codedpo_plugin.executors.stage_runner import run_stage
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.reporting.status import Summary, status, summarise
from codedpo_plugin.run_folder import candidates
from codedpo_plugin.run_folder.progress import State
from codedpo_plugin.stages import STAGES
from helpers.candidates import DOUBLE, HOPELESS, SIGN, make_recipe
from helpers.runs import status_of

QUIET = Console(quiet=True)
NOBODY = 2**22  # beyond the largest process id of Linux


def stage_of(recipe: Recipe, stage: str) -> Summary:
    summary = summarise(recipe.output, stage, candidates.read_manifest(recipe.output))
    assert summary is not None
    return summary


def test_a_finished_run(built: Recipe) -> None:
    text = status_of(built.output)
    assert "candidates done 2 3" in text
    for stage in STAGES:
        assert f"{stage} done 2 3" in text
    assert text.endswith(f"All is done: {built.output / 'dataset'}")


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run here"):
        status(tmp_path, QUIET)


def test_a_running_stage_as_another_process_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN, HOPELESS], "shard_size=1")
    pipeline.prepare(recipe, QUIET)
    seen: list[Summary] = []
    now = time.monotonic

    class Looking:
        """A pool that makes one shard, reads the status, and makes the others."""

        def run(
            self, work: Any, shards: Any, label: str, done: int, total: int, state: Any, _: Any
        ) -> None:
            state.made(shards[0])
            monkeypatch.setattr(time, "monotonic", lambda: now() + 2.0)
            state.update(running=[1, 2])
            seen.append(stage_of(recipe, label))

    for stage in STAGES:
        State(recipe.output, stage, (1, 1)).update()
    run_stage("execute", recipe, Looking())
    assert (seen[0].phase, seen[0].shards_done, seen[0].shards, seen[0].running) == (
        "running",
        1,
        3,
        2,
    )
    assert (seen[0].problems_done, seen[0].problems) == (1, 3)
    assert seen[0].rate == pytest.approx(0.5, rel=0.2)
    assert seen[0].seconds_left == pytest.approx(4, rel=0.2)
    assert stage_of(recipe, "probe").phase == "waiting"


def test_parts_of_a_stage_are_summed_and_earlier_cuts_forgotten(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN, HOPELESS], "shard_size=1", "execute.seconds=0.3")
    pipeline.run_stages(["execute"], recipe, (1, 1), QUIET)
    assert stage_of(recipe, "execute").phase == "done"
    pipeline.run_stages(["execute"], recipe, (1, 2), QUIET)
    half = stage_of(recipe, "execute")
    assert (half.phase, half.shards_done, half.shards) == ("waiting", 2, 3)
    pipeline.run_stages(["execute"], recipe, (2, 2), QUIET)
    assert stage_of(recipe, "execute").shards_done == 3


class _FailSecond:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, shard: int, tick: Any) -> None:
        with open(self.folder / f"tried-{shard}", "a") as file:
            file.write("x")
        if shard == 1:
            raise InfrastructureError("the sandbox does not start")


def test_a_failing_shard_is_tried_again_then_reported_with_the_command(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN, HOPELESS], "shard_size=1")
    pipeline.prepare(recipe, QUIET)

    def make() -> None:
        with State(recipe.output, "execute", (1, 1)) as state, Pool(1, QUIET) as pool:
            state.plan(range(3), range(3), lambda _: 1)
            pool.run(_FailSecond(tmp_path), range(3), "execute", 0, 3, state)

    with pytest.raises(InfrastructureError, match="1 of 3 shards failed"):
        make()
    assert [len((tmp_path / f"tried-{n}").read_text()) for n in range(3)] == [1, 3, 1]
    text = status_of(recipe.output)
    assert "execute failed 2 of 3 1 2 of 3" in text
    assert "execute: shard 1 failed: the sandbox does not start" in text
    assert text.endswith(f"codedpo build {recipe.output / 'recipe.yaml'}")


@pytest.mark.parametrize("host", [socket.gethostname(), "another machine"])
def test_a_killed_run_is_called_stopped(tmp_path: Path, host: str) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE])
    pipeline.prepare(recipe, QUIET)
    State(recipe.output, "execute", (1, 1)).update(phase="running")
    file = recipe.output / "state" / "execute.1-of-1.json"
    silent = json.loads(file.read_text()) | {"host": host, "pid": NOBODY, "updated": 0.0}
    file.write_text(json.dumps(silent))
    assert stage_of(recipe, "execute").phase == "stopped"
    file.write_text(json.dumps(silent | {"pid": os.getpid(), "updated": 9e9}))
    assert (stage_of(recipe, "execute").phase == "running") == (host == socket.gethostname())


def test_the_recipe_in_the_run_folder_continues_the_run(tmp_path: Path) -> None:
    from codedpo_plugin.recipe import load_recipe

    recipe = make_recipe(tmp_path, [DOUBLE], "execute.seconds=0.25")
    pipeline.run_stages(["execute"], recipe, (1, 1), QUIET)
    shard = recipe.output / "executions" / "00000.parquet"
    before = shard.stat().st_mtime_ns
    pipeline.run_stages(["execute"], load_recipe(recipe.output / "recipe.yaml"), (1, 1), QUIET)
    assert shard.stat().st_mtime_ns == before
