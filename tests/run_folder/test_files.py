"""Candidates, run and dataset in an object store: the same rows, and nothing is renamed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codedpo_plugin.errors import InputError, StorageError
from codedpo_plugin.recipe import Recipe, load_recipe
from codedpo_plugin.run_folder import files
from codedpo_plugin.run_folder.shards import replacing
from helpers.candidates import DOUBLE, HOPELESS, SIGN, make_recipe
from helpers.paths import HELPERS
from helpers.runs import rows_of

REMOTE = HELPERS / "remote"


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `codedpo` with the tests' object store registered."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "codedpo_plugin.cli", *arguments],
        env=os.environ | {"PYTHONPATH": f"{REMOTE}:{os.environ.get('PYTHONPATH', '')}"},
        cwd="/",  # the store's root
        capture_output=True,
        text=True,
    )


def test_a_build_in_an_object_store(built: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("upath")
    local = make_recipe(tmp_path, [DOUBLE, SIGN, HOPELESS])
    file = tmp_path / "recipe.yaml"
    there = f"nonatomic://{str(tmp_path).lstrip('/')}"
    text = file.read_text().replace(str(tmp_path), there)
    file.write_text(text + "execute: {seconds: 0.5}\nshard_size: 2\nworkers: 1\n")
    done = command("build", str(file))
    assert done.returncode == 0, done.stderr
    assert rows_of(local) == rows_of(built)
    ours, theirs = (
        {path.relative_to(run) for path in (run / "dataset").rglob("*")}
        for run in (local.output, built.output)
    )
    assert ours == theirs
    assert not list(tmp_path.rglob("renames.txt")), "renames in an object store are not atomic"
    assert not list(tmp_path.rglob("upload-*"))
    again = command("build", str(file), "--set", "pairs.efficiency=false")
    assert again.returncode == 0, again.stderr
    assert not (local.output / "dataset" / "efficiency" / "train.jsonl").exists()
    status = command("status", f"{there}/run").stdout
    assert "All is done" in status


def test_a_block_that_fails_leaves_the_object_as_it_was() -> None:
    upath = pytest.importorskip("upath")
    path = files.location("memory://here/there/file")
    assert isinstance(path, upath.UPath)
    with replacing(path) as file:
        file.write(b"old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"new")
            raise OSError(5, "input/output error")

    with pytest.raises(StorageError, match="check the disk and its mount"):
        fail()
    assert path.read_bytes() == b"old"


def test_a_replaced_folder_loses_its_old_files() -> None:
    pytest.importorskip("upath")
    folder = files.location("memory://bucket/dataset")
    for names in (("README.md", "a/x"), ("README.md", "b/y")):
        with files.new_folder(folder, Path("unused")) as new:
            for name in names:
                (new / name).parent.mkdir(exist_ok=True)
                (new / name).write_text(names[1])
    found = {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert found == {"README.md": "b/y", "y": "b/y"}


def test_an_address_that_nothing_reads_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("upath")
    make_recipe(tmp_path, [DOUBLE])
    with pytest.raises(InputError, match="nosuch://"):
        load_recipe(tmp_path / "recipe.yaml", ["output=nosuch://bucket/run"])


def test_addresses_survive_the_recipe_in_the_run_folder() -> None:
    pytest.importorskip("upath")
    recipe = Recipe.model_validate({"candidates": "memory://b/c.jsonl", "output": "memory://b/run"})
    plain = json.loads(json.dumps(recipe.model_dump(mode="json")))
    assert (plain["candidates"], plain["output"]) == (["memory://b/c.jsonl"], "memory://b/run")
    assert Recipe.model_validate(plain) == recipe
