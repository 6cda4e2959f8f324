"""dpo.yaml gives the same losses on one rank and on two, under each of our files for accelerate."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.paths import RECIPES

pytest.importorskip("trl", reason="pip install 'codedpo[train]'")

from codedpo_plugin.recipe import Recipe
from codedpo_plugin.training import recipe as training
from helpers import ranks

SIZES = {
    "max_steps": 3, "per_device_train_batch_size": 1, "max_length": 512, "bf16": False,
    "logging_steps": 1, "save_steps": 3, "learning_rate": 0.01, "warmup_steps": 0,
    "precompute_ref_batch_size": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(built: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of a build, eight times: ZeRO-3 fails if the reference sees a single batch."""
    folder = tmp_path_factory.mktemp("data")
    rows = (built.output / "dataset" / "dpo" / "train.jsonl").read_text()
    (folder / "train.jsonl").write_text(rows * 8)
    return folder


def trained(
    folder: Path, name: str, model: Path, data: Path, count: int, start: Any = ranks.losses
) -> list[float]:
    """Losses of three steps on `count` ranks under one of our files for accelerate."""
    config = yaml.safe_load((RECIPES / "accelerate" / f"{name}.yaml").read_text())
    config |= {"num_processes": count, "mixed_precision": "no"}
    (folder / "accelerate.yaml").write_text(yaml.safe_dump(config))
    keys = SIZES | {
        "model_name_or_path": str(model), "dataset_name": str(data), "output_dir": str(folder / "out"),
        "gradient_accumulation_steps": 2 // count, "eval_strategy": None, "eval_steps": None,
    }  # fmt: skip
    # On a CPU, `use_cpu` would switch DeepSpeed off, and gloo must be named.
    keys |= {"use_cpu": True} if name == "ddp" else {"ddp_backend": "gloo"}
    recipe = training.load(
        [RECIPES / "trl" / "dpo.yaml"],
        [f"{key}={yaml.safe_dump(value)}" for key, value in keys.items()],
    )
    training.write(recipe, folder / "train.yaml")
    launch = ["--config_file", str(folder / "accelerate.yaml")]
    losses: list[float] = start(
        launch, folder / "train.yaml", folder / "out", config["num_machines"]
    )
    return losses


@pytest.fixture(scope="module")
def one_rank(
    random_model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[float]:
    """Losses on one rank."""
    losses = trained(tmp_path_factory.mktemp("one-rank"), "ddp", random_model, data, 1)
    assert losses[-1] < losses[0] - 0.01
    return losses


@pytest.mark.parametrize("name", ["ddp", "zero2", "zero3", "two-nodes"])
def test_two_ranks_have_the_losses_of_one(
    name: str, one_rank: list[float], random_model: Path, data: Path, tmp_path: Path
) -> None:
    if name != "ddp":
        pytest.importorskip("deepspeed", reason="pip install 'codedpo[deepspeed]'")
    assert trained(tmp_path, name, random_model, data, 2) == pytest.approx(one_rank, rel=1e-3)
    assert (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.launch
@pytest.mark.parametrize("name", ["two-nodes", "zero3-offload"])
def test_launched_ranks_have_the_losses_of_one(
    name: str, one_rank: list[float], random_model: Path, data: Path, tmp_path: Path
) -> None:
    """The first time, DeepSpeed compiles two operators for minutes (`~/.cache/torch_extensions`)."""
    pytest.importorskip("deepspeed", reason="pip install 'codedpo[deepspeed]'")
    losses = trained(tmp_path, name, random_model, data, 2, ranks.launched)
    assert losses == pytest.approx(one_rank, rel=1e-3)
