"""The pipeline: resumable, the same rows however often it is killed, one clear error for bad input."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.errors import DamageError, InfrastructureError, InputError, StorageError
from codedpo_plugin.executors.local import Pool
from codedpo_plugin.machine import machine_type
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder import candidates
from codedpo_plugin.run_folder.shards import (
    read_rows,
    read_shard,
    shard_key,
    shard_path,
    write_shard,
)
from codedpo_plugin.stages import STAGES
from helpers.candidates import DOUBLE, HOPELESS, SIGN, make_recipe
from helpers.runs import rows_of

QUIET = Console(quiet=True)


def test_outcomes_and_returned_values_of_every_cell(built: Recipe) -> None:
    double, sign, _ = read_rows(built.output, "executions")
    assert double["outcomes"] == [
        ["passed", "passed", "passed", "passed", "failed", "passed"],
        ["passed", "passed", "passed", "passed", "failed", "passed"],
        ["failed", "passed", "failed", "passed", "passed", "passed"],
        ["error"] * 5 + ["passed"],
        ["passed", "passed", "passed", "passed", "failed", "passed"],
    ]
    assert double["returned"][2][:2] == ["[1,2,1,2]", "[]"]
    assert double["sealed"] == [True] * 5 + [False]
    assert double["errors"][3][0] == "NameError: name 'itemz' is not defined"
    assert sign["outcomes"][2] == ["error"] * 4
    assert sign["errors"][3][0] == "SystemExit: 0"


def test_pairs_follow_the_method(built: Recipe) -> None:
    double, sign, hopeless = read_rows(built.output, "pairs")
    assert double["best"] == 0
    assert double["credible_tests"] == [0, 1, 2, 3, 5]
    kinds = {pair["kind"]: pair for pair in double["pairs"]}
    assert (kinds["correctness"]["chosen_index"], kinds["correctness"]["rejected_index"]) == (0, 3)
    assert (kinds["efficiency"]["chosen_index"], kinds["efficiency"]["rejected_index"]) == (0, 1)
    assert kinds["efficiency"]["rejected_seconds"] > 1.1 * kinds["efficiency"]["chosen_seconds"]
    assert sign["pairs"][0]["rejected_index"] == 2
    assert hopeless["pairs"] == []
    assert hopeless["no_correctness"] == "too few credible tests"


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
    os.utime(tmp_path / "candidates.jsonl")  # the same candidates, written again
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


def test_parts_together_are_the_whole(built: Recipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN, HOPELESS])
    pipeline.build(recipe, (2, 2), QUIET)
    assert not (recipe.output / "dataset").exists()
    pipeline.build(recipe, (1, 2), QUIET)
    assert (recipe.output / "dataset" / "README.md").exists()
    assert rows_of(recipe) == rows_of(built)


def test_killed_at_random_moments_and_resumed_it_ends_the_same(
    built: Recipe, tmp_path: Path
) -> None:
    problems = [DOUBLE, SIGN, HOPELESS]
    recipe = make_recipe(tmp_path, problems, "shard_size=1")
    command = [sys.executable, "-m", "codedpo_plugin.cli", "build", str(tmp_path / "recipe.yaml")]
    command += ["--set", "shard_size=1", "--set", "execute.seconds=0.5", "--set", "workers=2"]
    moments = random.Random(5)
    for _ in range(3):
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                process.wait(timeout=moments.uniform(0.8, 2.5))
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert rows_of(recipe) == rows_of(built)
    assert not list(recipe.output.rglob("*.tmp"))


def test_nothing_outlives_a_killed_build(tmp_path: Path) -> None:
    hang = {**DOUBLE, "solutions": ["while True: pass"] * 2}
    make_recipe(tmp_path, [hang])
    command = [sys.executable, "-m", "codedpo_plugin.cli", "execute", str(tmp_path / "recipe.yaml")]
    command += ["--set", "execute.seconds=30"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        family = _wait_for(lambda: _family(process.pid, at_least=4))
        os.kill(process.pid, signal.SIGKILL)
    _wait_for(lambda: not any(_alive(pid) for pid in family))


def _wait_for(condition: Any) -> Any:
    """The first true result of a condition, within a minute."""
    deadline = time.monotonic() + 60
    while not (result := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return result


def _alive(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _family(root: int, at_least: int) -> set[int]:
    """All descendants of a process, once there are enough."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family - {root} if len(family) > at_least else set()


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


def test_a_damaged_shard_is_made_again(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE])
    pipeline.run_stages(["execute"], recipe, (1, 1), QUIET)
    shard = shard_path(recipe.output, "executions", 0)
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    pipeline.run_stages(["execute"], recipe, (1, 1), QUIET)
    assert next(read_rows(recipe.output, "executions"))["task_id"] == "double"


def test_no_flipped_bit_of_a_shard_becomes_a_value(tmp_path: Path, built: Recipe) -> None:
    whole = shard_path(built.output, "executions", 0).read_bytes()
    shard = tmp_path / "00000.parquet"
    for position in range(0, len(whole), 11):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        for written in (damaged, damaged[:position]):
            shard.write_bytes(written)
            with pytest.raises(DamageError, match=r"00000\.parquet.*`codedpo build` again"):
                read_shard(shard)
            assert not shard.exists(), "or it would be read again and again"


def test_a_flipped_bit_of_a_footer_makes_no_key(tmp_path: Path, built: Recipe) -> None:
    whole = shard_path(built.output, "executions", 0).read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    shard = tmp_path / "00000.parquet"
    for position in range(1, footer, 11):
        damaged = bytearray(whole)
        damaged[-position] ^= 1 << position % 8
        shard.write_bytes(damaged)
        assert shard_key(shard) is None
        assert not shard.exists()


def test_other_readers_of_parquet_read_a_shard(built: Recipe) -> None:
    path = shard_path(built.output, "executions", 0)
    assert pq.read_table(path).to_pylist() == read_shard(path)


def test_a_shard_whose_input_is_damaged_is_not_tried_again(tmp_path: Path) -> None:
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


def test_a_damaged_manifest_of_candidates_is_written_again(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN, HOPELESS])
    manifest = candidates.ingest(recipe)
    file = recipe.output / "candidates" / "manifest.json"
    whole = file.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        assert candidates.read_manifest(recipe.output) in (None, manifest)
    assert candidates.ingest(recipe) == manifest
    assert file.read_bytes() == whole


def test_a_full_disk_stops_the_work_at_once(tmp_path: Path) -> None:
    with Pool(1, QUIET) as pool, pytest.raises(StorageError, match="free some space"):
        pool.run(_FullDisk(tmp_path), range(9), "test", 0, 9)
    assert len(list(tmp_path.glob("tried-*"))) < 9


def test_where_all_shards_fail_not_all_are_tried(tmp_path: Path) -> None:
    with Pool(1, QUIET) as pool, pytest.raises(InfrastructureError, match="the work was stopped"):
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


def test_the_report_names_the_machines_that_solutions_were_timed_on(built: Recipe) -> None:
    report = json.loads((built.output / "report.json").read_text())
    assert report["timed_on"] == {machine_type(): 2}


def test_a_stage_whose_input_is_missing_says_which(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE])
    with pytest.raises(InputError, match="run the earlier stages first"):
        pipeline.run_stages(["rank"], recipe, (1, 1), QUIET)


def test_a_full_disk_is_named_and_leaves_no_half_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "executions" / "00000.parquet"
    with pytest.raises(InfrastructureError, match="the disk is full; free some space"):
        write_shard(path, [], candidates.SCHEMA, "key")
    assert list(path.parent.iterdir()) == []


def test_solutions_too_long_to_run_are_not_run_and_never_rejected(tmp_path: Path) -> None:
    long = DOUBLE["solutions"][0] + "\n#" + "x" * 2_000_000
    rows = [
        DOUBLE | {"solutions": [long, *DOUBLE["solutions"][:1], "def double(items):\n  return 1"]}
    ]
    recipe = make_recipe(tmp_path, rows)
    pipeline.run_stages(STAGES, recipe, (1, 1), QUIET)
    executions = next(read_rows(recipe.output, "executions"))
    assert set(executions["outcomes"][0]) == {"not_run"}
    assert "longer than 100,000 characters" in executions["errors"][0][0]
    (pair,) = next(read_rows(recipe.output, "pairs"))["pairs"]
    assert (pair["chosen_index"], pair["rejected_index"]) == (1, 2)
