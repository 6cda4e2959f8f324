"""Faults: nothing lost, nothing twice, no wrong verdict, and every message names the mend.

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
from conftest import DOUBLE, HOPELESS, SIGN, make_recipe
from rich.console import Console
from test_build import rows_of

from codedpo_plugin import run
from codedpo_plugin.recipe import Recipe, load_recipe
from codedpo_plugin.shards import Row
from faults.campaign import Build, flip_bits, jumping_clock, kill_at_random

STAGES = ("candidates", "executions", "probes", "scores", "timings", "pairs")


def rows(copies: int) -> list[Row]:
    """So many copies of each of three problems."""
    return [
        one | {"task_id": f"{one['task_id']}/{n}"}
        for n in range(copies)
        for one in (DOUBLE, SIGN, HOPELESS)
    ]


def begin(folder: Path, copies: int) -> tuple[Path, Recipe]:
    """A recipe file, with one problem to a shard, and what it says."""
    make_recipe(folder, rows(copies))
    file = folder / "recipe.yaml"
    file.write_text(file.read_text() + "execute: {seconds: 0.5}\nshard_size: 1\nworkers: 2\n")
    return file, load_recipe(file)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    file, recipe = begin(tmp_path_factory.mktemp("undisturbed"), 1)
    run.build(load_recipe(file, ["shard_size=3", "workers=1"]), (1, 1), Console(quiet=True))
    return recipe


def check(recipe: Recipe, undisturbed: Recipe, copies: int = 1) -> None:
    """Every problem is there once, with the verdicts of the undisturbed run; no file is left over."""
    found, wanted = rows_of(recipe), rows_of(undisturbed)
    for stage, undisturbed_rows in wanted.items():
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
    told = [(pair["task_id"], pair["chosen_index"], pair["rejected_index"]) for pair in pairs]
    assert len(set(told)) == len(told) == 2 * copies
    assert not list(recipe.output.rglob("*.tmp"))


def test_a_few_kills(tmp_path: Path, undisturbed: Recipe) -> None:
    file, recipe = begin(tmp_path, 1)
    killed = kill_at_random(Build(file), 3, seed=1)
    assert killed["workers"] + killed["parent"] == 3
    check(recipe, undisturbed)


def test_damaged_shards_are_found_and_made_again(tmp_path: Path, undisturbed: Recipe) -> None:
    rng, recipe = random.Random(0), undisturbed
    shutil.copytree(recipe.output, tmp_path / "run")
    copy = recipe.model_copy(update={"output": tmp_path / "run"})
    for stage in ("candidates", "executions"):
        (shard,) = (copy.output / stage).glob("*.parquet")
        before = shard.read_bytes()
        while shard.read_bytes() == before:
            flip_bits(shard, rng)
    file = tmp_path / "recipe.yaml"
    text = (copy.output / "recipe.yaml").read_text()
    file.write_text(text.replace(str(recipe.output), str(copy.output)))
    Build(file).until_done(tries=6)
    check(copy, undisturbed)


@pytest.mark.faults
def test_fifty_kills(tmp_path: Path, undisturbed: Recipe) -> None:
    file, recipe = begin(tmp_path, 8)
    started = time.monotonic()
    killed = kill_at_random(Build(file), 50, seed=0)
    check(recipe, undisturbed, 8)
    print(f"\n{killed}, {time.monotonic() - started:.0f} s")


@pytest.mark.faults
@pytest.mark.parametrize("stage", STAGES)
def test_one_flipped_bit_anywhere_in_a_shard(
    tmp_path: Path, undisturbed: Recipe, stage: str
) -> None:
    rng = random.Random(stage)
    file, recipe = begin(tmp_path, 1)
    Build(file).until_done()
    for _ in range(3):
        flip_bits(rng.choice(sorted((recipe.output / stage).glob("*.parquet"))), rng)
        Build(file).until_done(tries=6)
        check(recipe, undisturbed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own."""
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
    file, _ = begin(tmp_path, 1)
    file.write_text(file.read_text().replace(str(tmp_path / "run"), str(small_disk / "run")))
    build = Build(file)
    for size in range(20, 140, 20):  # KiB: full at one point after another
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
    file, _ = begin(tmp_path, 1)
    file.write_text(file.read_text().replace(str(tmp_path / "run"), str(small_disk / "run")))
    remount(small_disk, "size=50m")
    build = Build(file)
    process = build.start()
    while not list(small_disk.glob("run/executions/*.parquet")):
        time.sleep(0.02)
    while remount(small_disk, "ro"):  # refused while a file is open for writing
        assert process.poll() is None
    assert not build.end(process)
    assert "cannot be written; mend the folder's permissions" in build.messages[-1]
    remount(small_disk, "rw")
    build.until_done(1)
    check(load_recipe(file), undisturbed)


@pytest.mark.faults
def test_solutions_are_not_blamed_for_a_full_scratch_folder(
    small_disk: Path, tmp_path: Path, undisturbed: Recipe
) -> None:
    file, recipe = begin(tmp_path, 1)
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
    file, recipe = begin(tmp_path, 1)
    Build(file, environment).until_done(1)
    check(recipe, undisturbed)
