"""From source code to the dataset: every stage, with a server that knows the exercises by heart."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai", reason="pip install 'codedpo[sample]'")

from exercises import EXERCISES
from rich.console import Console
from servers import Writer, serving
from tiny_writer import lessons

from codedpo_plugin import front, run
from codedpo_plugin.recipe import Recipe, Seeds, load_recipe
from codedpo_plugin.seeds import find_seeds
from codedpo_plugin.shards import Row, read_rows

QUIET = Console(quiet=True)
LIBRARY = Path(json.__file__).parents[1]  # the standard library's own sources
SEEDS = {"folders": [str(LIBRARY)], "min_lines": 3, "max_lines": 6, "limit": len(EXERCISES)}


@pytest.fixture(scope="module")
def seeds() -> list[Row]:
    found = (row for row in find_seeds(Seeds.model_validate(SEEDS)) if isinstance(row, dict))
    return [next(found) for _ in EXERCISES]


@pytest.fixture(scope="module")
def server(seeds: list[Row]) -> Iterator[Writer]:
    writer = Writer(lessons(seeds))
    with serving(writer):
        yield writer


def recipe_on(folder: Path, server: Writer, *overrides: str, **keys: Any) -> Recipe:
    file = folder / "recipe.yaml"
    settings = {
        "output": str(folder / "run"),
        "seeds": SEEDS,
        "sampling": {"model": "stub", "base_url": server.url},
        "generate": {"solutions": {"n": 6}, "tests": {"n": 2}},
        "execute": {"seconds": 0.5},
        "pairs": {"selection": "worst", "min_confidence": 0},  # six samples are little evidence
        "workers": 1,
    } | keys
    file.write_text(
        json.dumps({name: value for name, value in settings.items() if value is not None})
    )
    return load_recipe(file, list(overrides))


def rows_in(recipe: Recipe, stage: str, file: str) -> list[Row]:
    return front.read(recipe.output, stage, file, stage)


def test_a_folder_and_an_endpoint_are_enough(tmp_path: Path, server: Writer) -> None:
    recipe = recipe_on(tmp_path, server)
    run.build(recipe, (1, 1), QUIET)
    candidates = list(read_rows(recipe.output, "candidates"))
    assert [row["entry_point"] for row in candidates] == [
        "twice",
        "sign",
        "mirrored",
        "squares",
        "vowels",
        "gap",
    ]
    assert json.loads(candidates[0]["extra"])["license"] == "psf-2.0"
    assert {len(row["solutions"]) for row in candidates} == {6}
    assert candidates[1]["tests"] == list(EXERCISES[1].tests)
    pairs = [pair for row in read_rows(recipe.output, "pairs") for pair in row["pairs"]]
    assert len([pair for pair in pairs if pair["kind"] == "correctness"]) >= 4
    first = json.loads(
        (recipe.output / "dataset" / "dpo" / "train.jsonl").read_text().splitlines()[0]
    )
    assert first["prompt"][0]["content"].startswith("Solve this exercise")
    report = json.loads((recipe.output / "report.json").read_text())
    assert report["first_half"]["seeds"]["kept"] == len(EXERCISES)
    assert report["first_half"]["seeds"]["dropped"]["no docstring"] > 0
    asked = server.served
    run.build(recipe, (1, 1), QUIET)
    assert server.served == asked
