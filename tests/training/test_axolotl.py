"""The plugin and the recipes in Axolotl itself: `make test-axolotl`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.training import check, curves
from codedpo_plugin.training import recipe as training
from codedpo_plugin.training.stacks.base import TrainingRecipe
from helpers.paths import HELPERS, RECIPES

pytest.importorskip("axolotl", reason="make test-axolotl")

from axolotl.common.datasets import TrainDatasetMeta
from axolotl.integrations.base import BasePlugin

from codedpo_plugin.axolotl import CodeDPOPlugin, build_once

OWN_RECIPES = RECIPES / "axolotl"
SIZES = {
    "micro_batch_size": 2, "gradient_accumulation_steps": 1, "max_steps": 2, "bf16": False,
    "sequence_len": 512, "gradient_checkpointing": False, "logging_steps": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    script = HELPERS / "random_model.py"
    subprocess.run([sys.executable, script, folder], check=True)
    return folder


def axolotl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The `axolotl` command of this environment."""
    folder = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}", "AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    return subprocess.run(
        [f"{folder}/axolotl", *arguments], env=environment, capture_output=True, text=True
    )


def recipe_file(folder: Path, name: str, **keys: Any) -> Path:
    """One of our recipes, with sizes and these keys overridden."""
    recipe = training.load([OWN_RECIPES / name])
    path = folder / name
    path.write_text(yaml.safe_dump(recipe.keys | SIZES | keys))
    return path


def history(output: Path) -> list[dict[str, Any]]:
    (state,) = output.glob("checkpoint-2/trainer_state.json")
    return list(json.loads(state.read_text())["log_history"])


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_recipe_trains_on_a_built_dataset(
    built: Recipe, model: Path, method: str, tmp_path: Path
) -> None:
    path = recipe_file(
        tmp_path, f"{method}.yaml", base_model=str(model), output_dir=str(tmp_path / "out"),
        codedpo={"dataset": str(built.output / "dataset")},
    )  # fmt: skip
    done = axolotl("train", str(path))
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [entry["loss"] for entry in history(tmp_path / "out") if "loss" in entry]
    assert len(losses) == 2
    assert all(0 < loss < 20 for loss in losses)
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert {"rewards/chosen", "rewards/rejected"} <= set(curves.read(tmp_path / "out").series)


def test_a_recipe_is_built_and_then_reused(built: Recipe, model: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "build.yaml"
    output = tmp_path / "run"
    recipe.write_text(f"candidates: {built.candidates[0]}\noutput: {output}\n")
    path = recipe_file(
        tmp_path, "dpo.yaml", base_model=str(model), output_dir=str(tmp_path / "out"),
        codedpo={"recipe": str(recipe)},
    )  # fmt: skip
    done = axolotl("preprocess", str(path))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (output / "dataset" / "dpo" / "train.jsonl").exists()
    before = (output / "report.json").stat().st_mtime_ns
    build_once(recipe)
    assert (output / "report.json").stat().st_mtime_ns == before
    shutil.rmtree(output / "dataset")
    build_once(recipe)
    assert (output / "dataset" / "dpo" / "train.jsonl").exists()
    before = (output / "report.json").stat().st_mtime_ns
    rows = built.candidates[0].read_text()
    recipe.write_text(f"candidates: {tmp_path / 'other.jsonl'}\noutput: {output}\n")
    (tmp_path / "other.jsonl").write_text(rows.replace("hopeless", "hapless"))
    build_once(recipe)
    assert (output / "report.json").stat().st_mtime_ns > before


def test_the_plugin_returns_messages_of_both_splits(built: Recipe) -> None:
    plugin = CodeDPOPlugin()
    assert isinstance(plugin, BasePlugin)
    cfg = {
        "rl": "dpo", "codedpo": {"dataset": str(built.output / "dataset")}, "batch_size": 2,
        "num_epochs": 3,
    }  # fmt: skip
    plugin.register(cfg)
    meta = plugin.load_datasets(cfg)
    assert isinstance(meta, TrainDatasetMeta)
    assert set(meta.train_dataset.column_names) == {"prompt", "chosen", "rejected"}
    assert meta.train_dataset[0]["chosen"][0]["role"] == "assistant"
    assert meta.total_num_steps == -(-len(meta.train_dataset) * 3 // 2)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"rl": "dpo"}, "no `codedpo` section"),
        ({"rl": "orpo", "codedpo": {"dataset": "x"}}, "dpo and kto"),
        (
            {"rl": "dpo", "codedpo": {"datasset": "x"}},
            "codedpo.datasset: unknown key; did you mean 'dataset'",
        ),
        ({"rl": "dpo", "codedpo": {"dataset": "x"}, "datasets": [{"path": "y"}]}, "remove"),
    ],
)
def test_a_wrong_section_stops_the_run(cfg: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CodeDPOPlugin().register(cfg)


def test_the_user_sees_what_is_wrong_with_a_section(model: Path, tmp_path: Path) -> None:
    path = recipe_file(tmp_path, "dpo.yaml", base_model=str(model), codedpo={"datasset": "x"})
    done = axolotl("train", str(path))
    assert done.returncode != 0
    assert "did you mean 'dataset'" in done.stdout + done.stderr


def test_axolotl_has_the_codedpo_command(tmp_path: Path) -> None:
    done = axolotl("codedpo", "build", str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert "no such recipe" in done.stderr


def test_check_knows_axolotls_keys(built: Recipe, model: Path) -> None:
    sets = [f"base_model={model}", f"codedpo.dataset={built.output / 'dataset'}"]
    recipe = training.load([OWN_RECIPES / "kto.yaml"], sets)
    assert not errors(recipe)
    recipe = training.load(
        [OWN_RECIPES / "kto.yaml"], [*sets, "sequence_length=9", "remove_unused_columns=null"]
    )
    first, second = errors(recipe)
    assert "did you mean 'sequence_len'" in first
    assert "remove_unused_columns" in second


def errors(recipe: TrainingRecipe) -> list[str]:
    found = check.check(recipe, 1, Console(quiet=True))
    return [finding.message for finding in found if finding.level == "error"]
