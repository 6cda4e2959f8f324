"""The recipes for TRL, run as a user runs them, with only sizes overridden."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.paths import RECIPES

pytest.importorskip("trl", reason="pip install 'codedpo[train]'")

from codedpo_plugin.recipe import Recipe
from codedpo_plugin.training import pitfalls
from codedpo_plugin.training import recipe as training

SIZES = {
    "max_steps": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1,
    "per_device_eval_batch_size": 2, "max_length": 512,
    "use_cpu": True, "bf16": False, "logging_steps": 1, "save_steps": 2,
    "eval_strategy": None, "eval_steps": None,
}  # fmt: skip


def written(folder: Path, names: list[str], built: Recipe, model: Path, **keys: Any) -> Path:
    """Recipes merged as `codedpo check --write` does, with sizes for a CPU."""
    here = {
        "model_name_or_path": str(model), "dataset_name": str(built.output / "dataset"),
        "output_dir": str(folder / "out"),
    }  # fmt: skip
    values = SIZES | here | keys
    recipe = training.load(
        [RECIPES / "trl" / name for name in names],
        [f"{key}={json.dumps(value)}" for key, value in values.items()],
    )
    training.write(recipe, folder / "train.yaml")
    return folder / "train.yaml"


def history(folder: Path) -> list[dict[str, float]]:
    """What was logged at each step."""
    (state,) = (folder / "out").glob("checkpoint-2/trainer_state.json")
    return [row for row in json.loads(state.read_text())["log_history"] if "loss" in row]


@pytest.mark.parametrize(
    "names",
    [["dpo.yaml"], ["dpo-paper.yaml"], ["kto.yaml"], ["sft.yaml"], ["dpo.yaml", "lora.yaml"]],
    ids=lambda names: "+".join(names),
)
def test_two_steps(names: list[str], built: Recipe, random_model: Path, tmp_path: Path) -> None:
    import importlib

    path = written(tmp_path, names, built, random_model)
    method = training.load([path]).method
    script = importlib.import_module(f"trl.scripts.{method}")
    script.main(*script.make_parser().parse_args_and_config(["--config", str(path)]))
    logged = history(tmp_path)
    assert len(logged) == 2
    assert all(0 < row["loss"] < 20 for row in logged)
    assert ("logps/chosen" in logged[0]) == (method != "sft")
    weights = "adapter_model" if "lora.yaml" in names else "model"
    assert (tmp_path / "out" / f"{weights}.safetensors").exists()


@pytest.mark.parametrize("path", sorted((RECIPES / "trl" / "models").glob("*.yaml")), ids=str)
def test_a_model_file_names_a_model_and_keeps_the_batch(path: Path) -> None:
    recipe = training.load([RECIPES / "trl" / "dpo.yaml", path])
    assert str(recipe.model).count("/") == 1
    assert (
        recipe.keys["per_device_train_batch_size"] * recipe.keys["gradient_accumulation_steps"] * 8
        == 128
    )
    assert recipe.keys["beta"] == 0.1


@pytest.mark.parametrize("path", sorted((RECIPES / "trl" / "models").glob("*.yaml")), ids=str)
def test_every_model_works_with_kto_and_lora(path: Path) -> None:
    recipe = training.load([RECIPES / "trl" / "kto.yaml", path, RECIPES / "trl" / "lora.yaml"])
    assert not list(recipe.schema_errors())
    assert not list(pitfalls.of_keys(recipe, 8))


@pytest.mark.parametrize("path", sorted((RECIPES / "accelerate").glob("*.yaml")), ids=str)
def test_accelerate_reads_its_configurations(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config: Any = load_config_from_file(str(path))
    written = yaml.safe_load(path.read_text())
    assert config.num_processes == written["num_processes"]
    assert config.distributed_type == written["distributed_type"]
