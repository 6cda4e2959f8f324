"""One step of TRL's trainers on a built dataset, with a tiny random model."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="pip install 'codedpo[train]'")

from codedpo_plugin.recipe import Recipe
from helpers.random_model import tiny


@pytest.fixture(scope="module")
def model() -> tuple[Any, Any]:
    return tiny()


@pytest.mark.parametrize("form", ["conversational", "standard"])
@pytest.mark.parametrize("kind", ["dpo", "kto", "sft"])
def test_one_step(
    built: Recipe, model: tuple[Any, Any], kind: str, form: str, tmp_path: Path
) -> None:
    import copy

    import trl
    from datasets import load_dataset

    from codedpo_plugin.dataset.export import export

    settings = built.export.model_copy(update={"format": form, "test_fraction": 0.0})
    export(built.model_copy(update={"export": settings}))
    data = load_dataset(str(built.output / "dataset"), kind, split="train", cache_dir=str(tmp_path))
    common = {
        "output_dir": str(tmp_path), "max_steps": 1, "per_device_train_batch_size": 2,
        "use_cpu": True, "bf16": False, "report_to": "none", "max_length": 512,
        "save_strategy": "no", "logging_steps": 1,
    }  # fmt: skip
    network, tokenizer = model
    if kind == "dpo":
        arguments = trl.DPOConfig(**common, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 1.0])
        trainer = trl.DPOTrainer(
            copy.deepcopy(network), copy.deepcopy(network), arguments, train_dataset=data,
            processing_class=tokenizer,
        )  # fmt: skip
    elif kind == "kto":
        trainer = trl.KTOTrainer(
            copy.deepcopy(network), copy.deepcopy(network), trl.KTOConfig(**common),
            train_dataset=data, processing_class=tokenizer,
        )  # fmt: skip
    else:
        trainer = trl.SFTTrainer(
            copy.deepcopy(network), trl.SFTConfig(**common), train_dataset=data,
            processing_class=tokenizer,
        )  # fmt: skip
    loss = trainer.train().training_loss
    assert 0 < loss < 20
