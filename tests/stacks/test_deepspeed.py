"""ZeRO-2 and ZeRO-3 on two CPU ranks train as plain data parallelism does: `make test-deepspeed`."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from codedpo_plugin import training
from codedpo_plugin.recipe import Recipe

pytest.importorskip("deepspeed", reason="make test-deepspeed")

import ranks

RECIPES = Path(__file__).parents[2] / "recipes"
SIZES = {
    "max_steps": 3, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1,
    "max_length": 512, "bf16": False, "logging_steps": 1, "save_steps": 3, "learning_rate": 0.01,
    "warmup_steps": 0, "ddp_backend": "gloo", "precompute_ref_batch_size": 2,
}  # fmt: skip


def losses(folder: Path, model: Path, data: Path, launch: list[str]) -> list[float]:
    """Losses of three steps of dpo.yaml on two ranks."""
    recipe = training.load(
        [RECIPES / "trl" / "dpo.yaml"], ["eval_strategy=null", "eval_steps=null"]
    )
    here = {"model_name_or_path": model, "dataset_name": data, "output_dir": folder / "out"}
    keys = recipe.keys | SIZES | {key: str(path) for key, path in here.items()}
    if launch[0] != "accelerate.commands.launch":
        keys["use_cpu"] = True
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(keys))
    return ranks.losses(launch, path, folder / "out", DS_ACCELERATOR="cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    script = Path(__file__).parents[1] / "tiny.py"
    subprocess.run([sys.executable, script, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def data(built: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of a build, eight times: ZeRO-3 fails on reference passes of a single batch."""
    folder = tmp_path_factory.mktemp("data")
    rows = (built.output / "dataset" / "dpo" / "train.jsonl").read_text()
    (folder / "train.jsonl").write_text(rows * 8)
    return folder


@pytest.fixture(scope="module")
def plain(data: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    launch = ["torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29572"]
    return losses(tmp_path_factory.mktemp("ddp"), model, data, launch)


@pytest.mark.parametrize("name", ["zero2", "zero3"])
def test_zero_trains_as_ddp_does(
    name: str, data: Path, model: Path, plain: list[float], tmp_path: Path
) -> None:
    config = yaml.safe_load((RECIPES / "accelerate" / f"{name}.yaml").read_text())
    config |= {"num_processes": 2, "mixed_precision": "no"}
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    launch = ["accelerate.commands.launch", "--config_file", str(path)]
    launch += ["--main_process_port", "29573"]
    found = losses(tmp_path, model, data, launch)
    assert found == pytest.approx(plain, rel=1e-3)
    assert found[-1] < found[0]
