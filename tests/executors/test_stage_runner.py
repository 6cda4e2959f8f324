"""Running a stage makes what is missing or out of date, and nothing else."""

import os
from pathlib import Path

import pytest
from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder.shards import (
    read_rows,
    shard_path,
)
from codedpo_plugin.stages import STAGES
from helpers.candidates import DOUBLE, HOPELESS, SIGN, make_recipe

QUIET = Console(quiet=True)


def test_a_finished_build_does_nothing_again(built: Recipe) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.output.rglob("*.parquet")}
    pipeline.run_stages(STAGES, built, (1, 1), QUIET)
    assert {path: path.stat().st_mtime_ns for path in built.output.rglob("*.parquet")} == before


def test_a_changed_setting_redoes_only_what_depends_on_it(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE])
    pipeline.run_stages(STAGES, recipe, (1, 1), QUIET)
    stages = ("executions", "scores", "timings", "pairs")
    before = {stage: shard_path(recipe.output, stage, 0).stat().st_mtime_ns for stage in stages}
    changed = make_recipe(tmp_path, [DOUBLE], "score.rankers={passed_count: {}}")
    os.utime(tmp_path / "candidates.jsonl")  # the same candidates, rewritten
    pipeline.run_stages(STAGES, changed, (1, 1), QUIET)
    redone = {
        stage: shard_path(recipe.output, stage, 0).stat().st_mtime_ns != before[stage]
        for stage in stages
    }
    assert redone == {"executions": False, "scores": True, "timings": True, "pairs": True}


def test_changed_candidates_redo_only_their_shards(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, HOPELESS, SIGN])
    pipeline.run_stages(["execute"], recipe, (1, 1), QUIET)
    first, second = (shard_path(recipe.output, "executions", n) for n in (0, 1))
    before = first.stat().st_mtime_ns, second.stat().st_mtime_ns
    make_recipe(tmp_path, [DOUBLE, HOPELESS, SIGN | {"prompt": "another"}])
    pipeline.run_stages(["execute"], recipe, (1, 1), QUIET)
    after = first.stat().st_mtime_ns, second.stat().st_mtime_ns
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)


def test_fewer_candidates_leave_no_old_shards_behind(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, HOPELESS, SIGN])
    pipeline.run_stages(["execute"], recipe, (1, 1), QUIET)
    make_recipe(tmp_path, [SIGN])
    pipeline.run_stages(["execute"], recipe, (1, 1), QUIET)
    for stage in ("candidates", "executions"):
        assert [row["task_id"] for row in read_rows(recipe.output, stage)] == ["sign/1"]


def test_a_stage_whose_input_is_missing_says_which(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE])
    with pytest.raises(InputError, match="run the earlier stages first"):
        pipeline.run_stages(["rank"], recipe, (1, 1), QUIET)


def test_a_damaged_shard_is_made_again(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE])
    pipeline.run_stages(["execute"], recipe, (1, 1), QUIET)
    shard = shard_path(recipe.output, "executions", 0)
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    pipeline.run_stages(["execute"], recipe, (1, 1), QUIET)
    assert next(read_rows(recipe.output, "executions"))["task_id"] == "double"


def test_a_shard_whose_input_is_damaged_is_not_retried(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN, HOPELESS], "workers=2")
    pipeline.run_stages(["execute"], recipe, (1, 1), QUIET)
    shard = shard_path(recipe.output, "executions", 1)
    whole = bytearray(shard.read_bytes())
    whole[9] ^= 4
    shard.write_bytes(whole)
    with pytest.raises(InfrastructureError, match=r"(?s)1 of 2 shards.*executions/00001\.parquet"):
        pipeline.run_stages(["probe"], recipe, (1, 1), QUIET)
    pipeline.run_stages(["execute", "probe"], recipe, (1, 1), QUIET)
    assert len(list(read_rows(recipe.output, "probes"))) == 3
