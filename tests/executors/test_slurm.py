"""A build as Slurm jobs: what is submitted, and what the tasks do when run as processes."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder.shards import shard_path
from helpers.candidates import DOUBLE, HOPELESS, SIGN, make_recipe
from helpers.paths import HELPERS
from helpers.runs import rows_of, status_of

QUIET = Console(quiet=True)
SLURM = (
    "slurm={partition: cpu, parts: 2, cpus: 2, options: {account: us}, timing: {constraint: ice}}"
)


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The jobs that a stand-in for Slurm has received and run."""
    pytest.importorskip("datatrove")
    log = tmp_path / "jobs.jsonl"
    folder = HELPERS / "cluster"
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_STANDIN_LOG", str(log))
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


def test_jobs_depend_on_each_other_and_make_what_a_local_build_makes(
    built: Recipe, tmp_path: Path, jobs: Any
) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN, HOPELESS], SLURM)
    pipeline.build(recipe, (1, 1), QUIET, "slurm")
    execute, timing, pairs = jobs()
    for job in (execute, timing, pairs):
        assert set(job["codes"]) == {0}
        directives = job["directives"]
        assert (directives["partition"], directives["account"]) == ("cpu", "us")
        assert (directives["cpus-per-task"], directives["mem-per-cpu"]) == ("2", "2G")
        assert "srun --cpus-per-task=2 -l -n 1 launch_pickled_pipeline" in job["script"]
    assert [job["directives"]["array"] for job in jobs()] == ["0-1", "0-1", "0-0"]
    assert "--dependency=afterany:100" in timing["options"]
    assert "--dependency=afterany:101" in pairs["options"]
    assert timing["directives"]["constraint"] == "ice"
    assert "constraint" not in execute["directives"]
    assert rows_of(recipe) == rows_of(built)
    assert status_of(recipe.output).endswith(f"All is done: {recipe.output / 'dataset'}")


def test_a_failed_task_stops_no_other_and_the_run_can_be_resumed(tmp_path: Path, jobs: Any) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN], SLURM, "shard_size=1")
    broken = shard_path(recipe.output, "executions", 1)
    broken.mkdir(parents=True)  # so that the shard cannot be written
    pipeline.build(recipe, (1, 1), QUIET, "slurm")
    execute, timing, pairs = jobs()
    assert (execute["codes"], timing["codes"], pairs["codes"]) == ([0, 1], [0, 1], [1])
    assert shard_path(recipe.output, "timings", 0).exists()
    text = status_of(recipe.output)
    assert "execute failed" in text
    assert str(broken) in text
    broken.rmdir()
    pipeline.build(recipe, (1, 1), QUIET)
    assert (recipe.output / "dataset" / "README.md").exists()


def test_missing_settings_and_programs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE])
    with pytest.raises(InputError, match="needs `slurm`, with at least a `partition`"):
        pipeline.build(recipe, (1, 1), QUIET, "slurm")
    pytest.importorskip("datatrove")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="there is no `sbatch` on this machine"):
        pipeline.build(make_recipe(tmp_path, [DOUBLE], SLURM), (1, 1), QUIET, "slurm")
