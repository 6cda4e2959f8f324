"""`--set key=value`: the same for build and training recipes; errors name the option."""

from pathlib import Path
from typing import Any

import pytest

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import load_recipe
from codedpo_plugin.recipe.overrides import parse_override
from codedpo_plugin.training import recipe as training
from helpers.paths import RECIPES

WRONG = {
    "pairs.ties": "expected key=value",
    "pairs..ties=1": "expected key=value",
    "pairs.ties=[": r"--set pairs.ties=\[: '\[' is not valid YAML",
    "pairs.ties={a: b": "--set pairs.ties=.* is not valid YAML",
    "pairs.ties=2024-13-01": "--set pairs.ties=2024-13-01: .* is not valid YAML",
}


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("a.b=1.5", (["a", "b"], 1.5)),
        ("a=[x, y]", (["a"], ["x", "y"])),
        ("a=b=c", (["a"], "b=c")),
        ("a=", (["a"], None)),
    ],
)
def test_values_are_yaml(override: str, value: Any) -> None:
    assert parse_override(override) == value


@pytest.mark.parametrize("override", WRONG)
def test_a_wrong_override_names_the_option_in_both_kinds_of_recipe(override: str) -> None:
    with pytest.raises(InputError, match=WRONG[override]):
        load_recipe(RECIPES / "build" / "default.yaml", [override])
    with pytest.raises(InputError, match=WRONG[override]):
        training.load([Path(RECIPES / "trl" / "dpo.yaml")], [override])
