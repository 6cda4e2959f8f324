"""Reading candidates: errors name file, line and fix; empty problems are counted."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder.candidates import ingest, read_manifest
from codedpo_plugin.run_folder.shards import read_rows, read_shard, shard_path
from helpers.candidates import DOUBLE, HOPELESS, SIGN, make_recipe, write_jsonl


def recipe_on(file: Path, *more: Path) -> Recipe:
    return Recipe(candidates=[file, *more], output=file.parent / "run", shard_size=2)


def test_rows_are_cut_into_shards_and_other_columns_kept(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE | {"truth": [1]}, SIGN, HOPELESS])
    manifest = ingest(recipe)
    assert (manifest["problems"], manifest["shards"]) == (3, 2)
    rows = list(read_rows(recipe.output, "candidates"))
    assert [row["task_id"] for row in rows] == ["double", "sign/1", "hopeless"]
    assert rows[0]["solutions"] == DOUBLE["solutions"]
    assert json.loads(rows[0]["extra"]) == {"truth": [1]}


def test_gzip_and_parquet_read_the_same(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([DOUBLE, SIGN]), tmp_path / "c.parquet")
    write_jsonl(tmp_path / "c.jsonl.gz", [DOUBLE, SIGN])
    shards = []
    for name in ("c.parquet", "c.jsonl.gz"):
        recipe = Recipe(candidates=[tmp_path / name], output=tmp_path / name[2:], shard_size=2)
        ingest(recipe)
        shards.append(read_shard(shard_path(recipe.output, "candidates", 0)))
    assert shards[0] == shards[1]


def test_problems_without_solutions_or_tests_are_listed(tmp_path: Path) -> None:
    rows = [DOUBLE, SIGN | {"solutions": []}, HOPELESS | {"tests": []}]
    manifest = ingest(make_recipe(tmp_path, rows))
    assert manifest["problems"] == 1
    assert manifest["skipped"] == {"no solutions": 1, "no tests": 1}
    listed = (tmp_path / "run" / "candidates" / "skipped.jsonl").read_text().splitlines()
    first, second = map(json.loads, listed)
    assert (first["task_id"], second["task_id"]) == ("sign/1", "hopeless")
    assert first["place"].endswith("line 2")


def test_too_many_tests_are_cut_and_counted(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE | {"tests": ["assert True"] * 10_000}])
    assert ingest(recipe)["tests_cut"] == 9_500


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solutions": None}, "line 2: column `solutions` must be a list of texts"),
        ({"tests": ["assert True", 3]}, "line 2: column `tests` must be a list of texts"),
        ({"task_id": 7}, "line 2: column `task_id` must be text"),
        ({"task_id": "double"}, r"line 2: task_id 'double' is also at .*line 1"),
        ({"responses": ["only one"]}, "line 2: 1 responses for 5 solutions"),
    ],
)
def test_a_wrong_column_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ingest(make_recipe(tmp_path, [DOUBLE, SIGN | change]))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1: column `tests` is missing"):
        ingest(make_recipe(tmp_path, [{k: v for k, v in SIGN.items() if k != "tests"}]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"task_id": "caf\xe9"}', "line 2: not UTF-8 at byte 17"),
        (b'{"task_id": ', "line 2: not a JSON object"),
        (b"[1, 2]", "line 2: expected an object of columns"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    file = tmp_path / "c.jsonl"
    file.write_bytes(json.dumps(DOUBLE).encode() + b"\n" + line + b"\n")
    with pytest.raises(InputError, match=message):
        ingest(recipe_on(file))


def test_a_truncated_gzip_is_an_error_and_not_a_short_dataset(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "c.jsonl.gz", [DOUBLE | {"task_id": str(n)} for n in range(500)])
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(InputError, match="damaged or cut short"):
        ingest(recipe_on(file))
    assert read_manifest(tmp_path / "run") is None


def test_a_missing_file_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        ingest(recipe_on(tmp_path / "nothing.jsonl"))
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputError, match="no problem here has both"):
        ingest(recipe_on(tmp_path / "empty.jsonl"))


def test_an_unwritable_run_folder_is_named(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "c.jsonl", [DOUBLE])
    (tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(InfrastructureError, match="run/candidates"):
        ingest(recipe_on(file))


def test_lone_surrogates_do_not_stop_a_build(tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl.gz"
    text = json.dumps(DOUBLE | {"prompt": "bad \ud800 text"}) + "\n"
    file.write_bytes(gzip.compress(text.encode()))
    recipe = recipe_on(file)
    ingest(recipe)
    assert next(read_rows(recipe.output, "candidates"))["prompt"] == "bad ? text"


def test_a_missing_shard_is_made_again(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN, HOPELESS])
    ingest(recipe)
    shard = shard_path(recipe.output, "candidates", 1)
    shard.unlink()
    ingest(recipe)
    assert [row["task_id"] for row in read_shard(shard)] == ["hopeless"]


def test_a_damaged_manifest_of_candidates_is_written_again(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN, HOPELESS])
    manifest = ingest(recipe)
    file = recipe.output / "candidates" / "manifest.json"
    whole = file.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        assert read_manifest(recipe.output) in (None, manifest)
    assert ingest(recipe) == manifest
    assert file.read_bytes() == whole
