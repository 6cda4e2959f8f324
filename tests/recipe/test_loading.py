"""Recipes: two keys are enough; errors name file, line, key and the nearest valid key."""

from pathlib import Path

import pytest

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import load_recipe
from helpers.paths import RECIPES

BUILDS = sorted((RECIPES / "build").glob("*.yaml"))


def load(tmp_path: Path, text: str, *overrides: str) -> object:
    file = tmp_path / "r.yaml"
    file.write_text("candidates: c.jsonl\noutput: run\n" + text)
    return load_recipe(file, list(overrides))


@pytest.mark.parametrize("path", BUILDS, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path: Path) -> None:
    load_recipe(path)


def test_two_keys_are_enough(tmp_path: Path) -> None:
    load(tmp_path, "")
    recipe = load_recipe(tmp_path / "r.yaml")
    assert (recipe.ranker, recipe.pairs.selection) == ("agreement", "near_miss")
    assert recipe.candidates == [Path("c.jsonl")]


def test_every_key_can_be_overridden(tmp_path: Path) -> None:
    load(tmp_path, "")
    recipe = load_recipe(tmp_path / "r.yaml", ["pairs.ties=shortest", "execute.seconds=3"])
    assert (recipe.pairs.ties, recipe.execute.seconds) == ("shortest", 3.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pairs:\n  min_margn: 1\n", r"line 4: pairs.min_margn: unknown key; did you mean 'min_margin'"),
        ("pears: {}\n", r"line 3: pears: unknown key; did you mean 'pairs'"),
        ("execute:\n  seconds: fast\n", r"line 4: execute.seconds: Input should be a valid number"),
        ("execute:\n  seconds: -1\n", r"line 4: execute.seconds: .*greater than 0"),
        ("score:\n  rankers:\n    codt: {}\n", r"line 4: score.rankers: unknown ranker 'codt'; did you mean 'codet'"),
        ("score: {rankers: {codet: {siz: sqrt}}}\n", r"unknown parameter of ranker codet: 'siz'"),
        ("pairs: {ranker: b4}\n", r"pairs.ranker: 'b4' is not in score.rankers \(agreement\)"),
        ("pairs: [\n", "not valid YAML"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(tmp_path, text)


def test_missing_keys_and_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("output: run\n")
    with pytest.raises(
        InputError, match="one of `candidates`, `problems` and `seeds` is required; none is given"
    ):
        load_recipe(tmp_path / "r.yaml")
    with pytest.raises(InputError, match="no such recipe"):
        load_recipe(tmp_path / "other.yaml")
    with pytest.raises(InputError, match="expected key=value"):
        load_recipe(BUILDS[0], ["pairs.ties"])
