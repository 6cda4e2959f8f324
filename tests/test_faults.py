"""Fault injection: no row is lost or doubled, no verdict is wrong, and every message names a fix.

A short version runs with the suite, the long one by `make test-faults`.
"""

import json
import os
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.recipe import Recipe, load_recipe
from codedpo_plugin.run_folder.shards import Row
from codedpo_plugin.stages import ROW_STAGES
from helpers.candidates import DOUBLE, HOPELESS, SIGN, make_recipe
from helpers.faults import DAMAGES, Build, damage, jumping_clock, kill_at_random, trial
from helpers.runs import rows_of

FOLDERS = tuple(stage.folder for stage in ROW_STAGES)


def rows(copies: int) -> list[Row]:
    """`copies` of each of three problems."""
    return [
        one | {"task_id": f"{one['task_id']}/{n}"}
        for n in range(copies)
        for one in (DOUBLE, SIGN, HOPELESS)
    ]


def new_recipe(folder: Path, copies: int) -> tuple[Path, Recipe]:
    """A recipe file with one problem per shard, and the recipe."""
    make_recipe(folder, rows(copies))
    file = folder / "recipe.yaml"
    file.write_text(file.read_text() + "execute: {seconds: 0.5}\nshard_size: 1\nworkers: 2\n")
    return file, load_recipe(file)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    file, recipe = new_recipe(tmp_path_factory.mktemp("undisturbed"), 1)
    pipeline.build(load_recipe(file, ["shard_size=3", "workers=1"]), (1, 1), Console(quiet=True))
    return recipe


def check(recipe: Recipe, undisturbed: Recipe, copies: int = 1) -> None:
    """Every problem occurs once, with the verdicts of the undisturbed run; no file is left over."""
    found = rows_of(recipe)
    for stage, undisturbed_rows in rows_of(undisturbed).items():
        names = Counter(row["task_id"] for row in found[stage])
        assert names == Counter(row["task_id"] for row in rows(copies)), stage
        for row in found[stage]:
            same = next(
                other
                for other in undisturbed_rows
                if other["task_id"].rpartition("/")[0] == row["task_id"].rpartition("/")[0]
            )
            assert row | {"task_id": ""} == same | {"task_id": ""}
    pairs = [
        json.loads(line)
        for file in (recipe.output / "dataset" / "correctness").glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    indices = [(pair["task_id"], pair["chosen_index"], pair["rejected_index"]) for pair in pairs]
    assert len(set(indices)) == len(indices) == 2 * copies
    assert not list(recipe.output.rglob("*.tmp"))


def test_a_few_kills(tmp_path: Path, undisturbed: Recipe) -> None:
    file, recipe = new_recipe(tmp_path, 1)
    killed = kill_at_random(Build(file), 3, seed=1)
    assert killed["workers"] + killed["parent"] == 3
    check(recipe, undisturbed)


def test_damaged_shards_are_found_and_made_again(tmp_path: Path, undisturbed: Recipe) -> None:
    rng, recipe = random.Random(0), undisturbed
    shutil.copytree(recipe.output, tmp_path / "run")
    copy = recipe.model_copy(update={"output": tmp_path / "run"})
    for stage in ("candidates", "executions"):
        (shard,) = (copy.output / stage).glob("*.parquet")
        damage(shard, rng)
    file = tmp_path / "recipe.yaml"
    text = (copy.output / "recipe.yaml").read_text()
    file.write_text(text.replace(str(recipe.output), str(copy.output)))
    Build(file).until_done(tries=6)
    check(copy, undisturbed)


@pytest.mark.faults
def test_fifty_kills(tmp_path: Path, undisturbed: Recipe) -> None:
    file, recipe = new_recipe(tmp_path, 8)
    started = time.monotonic()
    killed = kill_at_random(Build(file), 50, seed=0)
    check(recipe, undisturbed, 8)
    print(f"\n{killed}, {time.monotonic() - started:.0f} s")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe]:
    """A finished build with one problem per shard, to be damaged and repaired repeatedly."""
    file, recipe = new_recipe(tmp_path_factory.mktemp("finished"), 1)
    Build(file).until_done(1)
    return file, recipe


@pytest.mark.faults
@pytest.mark.parametrize("stage", FOLDERS)
def test_no_damage_anywhere_in_a_shard_goes_unnoticed(
    tmp_path: Path, undisturbed: Recipe, stage: str
) -> None:
    (shard,) = (undisturbed.output / stage).glob("*.parquet")
    found = trial(shard, tmp_path / shard.name, random.Random(stage), 400)
    print(f"\n{stage}, {shard.stat().st_size:,} bytes: {found}")
    assert sum(found.values()) == 400 * len(DAMAGES)
    assert all("noticed" in how for how in found)


@pytest.mark.faults
@pytest.mark.parametrize("stage", FOLDERS)
def test_a_damaged_shard_is_named_and_made_again(
    finished: tuple[Path, Recipe], undisturbed: Recipe, stage: str
) -> None:
    file, recipe = finished
    rng = random.Random(stage)
    for how, read_by in (*((how, "the report") for how in DAMAGES), ("pages", "the next stage")):
        build = Build(file)
        shard = rng.choice(sorted((recipe.output / stage).glob("*.parquet")))
        damage(shard, rng, how)
        for name in FOLDERS[FOLDERS.index(stage) + 1 :] if read_by == "the next stage" else ():
            shutil.rmtree(recipe.output / name)
        build.until_done(2)
        # Damage visible in the footer, except of the first stage, is repaired by the run that finds it.
        assert len(build.messages) == (how == "pages" or stage == "candidates")
        assert all(str(shard) in message for message in build.messages)
        check(recipe, undisturbed)


@pytest.mark.faults
@pytest.mark.parametrize("how", ["anywhere", "cut"])
def test_a_damaged_dataset_is_written_again(finished: tuple[Path, Recipe], how: str) -> None:
    file, recipe = finished
    Build(file).until_done(1)
    names = [path for path in sorted((recipe.output / "dataset").rglob("*")) if path.is_file()]
    before = {path: path.read_bytes() for path in names}
    for path in names:
        damage(path, random.Random(f"{path.name} {how}"), how)
    Build(file).until_done(1)
    assert {path: path.read_bytes() for path in names} == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on its own small disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and not remount(folder, "size=100k", new=True)
    if not mounted:
        pytest.skip("needs root and mounts")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str, new: bool = False) -> int:
    how = ["-t", "tmpfs", "-o", options] if new else ["-o", f"remount,{options}"]
    return subprocess.run(["mount", *how, "tmpfs", str(folder)], check=False).returncode


@pytest.mark.faults
def test_a_full_disk(small_disk: Path, tmp_path: Path, undisturbed: Recipe) -> None:
    file, _ = new_recipe(tmp_path, 1)
    file.write_text(file.read_text().replace(str(tmp_path / "run"), str(small_disk / "run")))
    build = Build(file)
    for size in range(20, 140, 20):  # KiB: full at ever later points
        remount(small_disk, f"size={size}k")
        assert not build.end(build.start())
        assert "the disk is full; free some space" in build.messages[-1]
    remount(small_disk, "size=50m")
    build.until_done(1)
    check(load_recipe(file), undisturbed)


@pytest.mark.faults
def test_a_disk_that_becomes_read_only(
    small_disk: Path, tmp_path: Path, undisturbed: Recipe
) -> None:
    file, _ = new_recipe(tmp_path, 1)
    file.write_text(file.read_text().replace(str(tmp_path / "run"), str(small_disk / "run")))
    remount(small_disk, "size=50m")
    build = Build(file)
    process = build.start()
    while not list(small_disk.glob("run/executions/*.parquet")):
        time.sleep(0.02)
    while remount(small_disk, "ro"):  # refused while a file is open for writing
        assert process.poll() is None
    assert not build.end(process)
    assert "cannot be written; fix the folder's permissions" in build.messages[-1]
    remount(small_disk, "rw")
    build.until_done(1)
    check(load_recipe(file), undisturbed)


@pytest.mark.faults
def test_solutions_are_not_blamed_for_a_full_scratch_folder(
    small_disk: Path, tmp_path: Path, undisturbed: Recipe
) -> None:
    file, recipe = new_recipe(tmp_path, 1)
    build = Build(file, {"TMPDIR": str(small_disk)})
    remount(small_disk, "size=10m")
    assert not build.end(build.start())
    assert "are free for the files of solutions" in build.messages[-1]
    assert not list(recipe.output.glob("executions/*.parquet"))
    remount(small_disk, "size=200m")
    build.until_done(1)
    check(recipe, undisturbed)


@pytest.mark.faults
def test_a_clock_that_jumps_by_a_year(tmp_path: Path, undisturbed: Recipe) -> None:
    try:
        environment = jumping_clock(tmp_path)
    except FileNotFoundError:
        pytest.skip("needs a C compiler")
    file, recipe = new_recipe(tmp_path, 1)
    Build(file, environment).until_done(1)
    check(recipe, undisturbed)
