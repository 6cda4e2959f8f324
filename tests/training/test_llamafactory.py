"""The recipes in LLaMA-Factory itself, on the dataset_info.json of a build: `make test-llamafactory`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from codedpo_plugin.recipe import Recipe
from codedpo_plugin.training import check, curves
from codedpo_plugin.training import recipe as training
from helpers.paths import HELPERS, RECIPES

pytest.importorskip("llamafactory", reason="make test-llamafactory")

OWN_RECIPES = RECIPES / "llamafactory"
SIZES = {
    "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "max_steps": 2,
    "bf16": False, "use_cpu": True, "cutoff_len": 512, "logging_steps": 1, "plot_loss": False,
    "template": "chatml", "eval_strategy": "no",
}  # fmt: skip


@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_recipe_trains_on_a_built_dataset(
    built: Recipe, method: str, tuning: str, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    script = HELPERS / "random_model.py"
    subprocess.run([sys.executable, script, model], check=True)
    recipe = training.load([OWN_RECIPES / f"{method}.yaml"])
    mine = {
        "model_name_or_path": str(model), "dataset_dir": str(built.output / "dataset/llamafactory"),
        "output_dir": str(tmp_path / "out"), "finetuning_type": tuning,
    }  # fmt: skip
    keys = {k: v for k, v in (recipe.keys | SIZES | mine).items() if not k.startswith("eval_d")}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(keys))
    done = subprocess.run(
        [Path(sys.executable).parent / "llamafactory-cli", "train", tmp_path / "train.yaml"],
        env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    state = json.loads((tmp_path / "out" / "trainer_state.json").read_text())
    losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert len(losses) == 2
    assert all(0 < loss < 20 for loss in losses)
    assert {"rewards/chosen", "rewards/rejected"} <= set(curves.read(tmp_path / "out").series)


def test_check_compares_the_named_template_with_the_models(built: Recipe, tmp_path: Path) -> None:
    model = tmp_path / "model"
    script = HELPERS / "random_model.py"
    subprocess.run([sys.executable, script, model], check=True)
    sets = [
        f"model_name_or_path={model}", f"dataset_dir={built.output / 'dataset' / 'llamafactory'}",
        "eval_dataset=null",
    ]  # fmt: skip

    def report(*more: str) -> str:
        recipe = training.load([OWN_RECIPES / "dpo.yaml"], [*sets, *more])
        found = check.check(recipe, 1, Console(quiet=True))
        return "\n".join(f"{finding.level} {finding.message}" for finding in found)

    assert "ok chatml is the model's own" in report("template=chatml")
    assert "warning template: qwen gives" in report("template=qwen")
    assert "error template: LLaMA-Factory knows no 'qwn'; did you mean 'qwen'" in report(
        "template=qwn"
    )
    assert "did you mean 'cutoff_len'" in report("template=chatml", "cutof_len=9")
