"""Datasets of LLaMA-Factory, read without it."""

import json
from pathlib import Path
from typing import Any

import pytest

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.training import data
from codedpo_plugin.training import recipe as training
from codedpo_plugin.training.stacks.base import TrainingRecipe
from helpers.paths import RECIPES

pytest.importorskip("datasets", reason="pip install 'codedpo[train]'")


def llamafactory(built: Recipe, tmp_path: Path, **keys: Any) -> TrainingRecipe:
    folder = built.output / "dataset" / "llamafactory"
    values = {"dataset_dir": str(folder)} | keys
    sets = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    return training.load([RECIPES / "llamafactory" / "dpo.yaml"], ["eval_dataset=null", *sets])


def test_llamafactory_data_is_found_by_its_list(built: Recipe, tmp_path: Path) -> None:
    rows = data.load(llamafactory(built, tmp_path))["train"]
    assert {"prompt", "chosen", "rejected"} <= set(rows.column_names)
    with pytest.raises(InputError, match="did you mean 'codedpo_dpo'"):
        data.load(llamafactory(built, tmp_path, dataset="codedpo_dp"))
    with pytest.raises(InputError, match="not a ranking dataset"):
        data.load(llamafactory(built, tmp_path, dataset="codedpo_kto"))


@pytest.mark.parametrize(
    ("form", "row", "message"),
    [
        ({"formatting": "openai"}, {}, "a system prompt into every row"),
        ({"formatting": "sharegpt"}, {"chosen": [{"value": "c"}]}, "drops lists"),
        ({}, {"prompt": [{"role": "user", "content": "p"}]}, "drops rows of messages"),
        ({"ranking": False, "columns": {"prompt": "prompt", "response": "chosen", "kto_tag": "rejected"}},
         {"rejected": "true"}, "must be true or false"),
        ({"file_name": None, "script_url": "x"}, {}, "neither file_name nor hf_hub_url"),
    ],
)  # fmt: skip
def test_rows_that_llamafactory_would_misread(
    form: dict[str, Any], row: dict[str, Any], message: str, built: Recipe, tmp_path: Path
) -> None:
    columns = {name: name for name in ("prompt", "chosen", "rejected")}
    entry = {"file_name": "rows.jsonl", "ranking": True, "columns": columns} | form
    info = {"mine": {key: value for key, value in entry.items() if value is not None}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    values = {"prompt": "p", "chosen": "c", "rejected": "r"} | row
    (tmp_path / "rows.jsonl").write_text(json.dumps(values))
    keys = {"dataset_dir": str(tmp_path), "dataset": "mine"} | (
        {} if entry["ranking"] else {"stage": "kto"}
    )
    with pytest.raises(InputError, match=message):
        data.load(llamafactory(built, tmp_path, **keys))
