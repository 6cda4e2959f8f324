"""`codedpo plan`: memory by strategy, and its advice."""

import pytest
from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.training import memory, plan
from codedpo_plugin.training import recipe as training
from codedpo_plugin.training.stacks.base import TrainingRecipe
from helpers.paths import RECIPES

DPO = RECIPES / "trl" / "dpo.yaml"


def planned(*overrides: str, model: str = "qwen2.5-coder-7b") -> TrainingRecipe:
    path = RECIPES / "trl" / "models" / f"{model}.yaml"
    return training.load([DPO, path], list(overrides))


def test_memory_of_seven_billion_parameters() -> None:
    setting = memory.setting_of(planned())
    ddp = memory.by_use(setting, "ddp", 8)
    assert tuple(ddp) == memory.USES
    parameters = setting.shape.parameters / memory.GIB
    assert ddp["weights"] + ddp["grads"] + ddp["Adam"] == pytest.approx(18 * parameters)
    zero3 = memory.by_use(setting, "zero3", 8)
    assert zero3["Adam"] == pytest.approx(12 * parameters / 8)
    assert ddp["reference"] == 0
    copied = memory.setting_of(planned("precompute_ref_log_probs=false"))
    assert memory.by_use(copied, "ddp", 8)["reference"] == pytest.approx(4 * parameters)
    totals = [memory.total(setting, name, 8) for name in ("ddp", "zero2", "zero3")]
    assert totals == sorted(totals, reverse=True)


def test_advice_names_the_first_thing_that_fits() -> None:
    assert "one-gpu.yaml" in plan.advise(planned(model="qwen2.5-coder-1.5b"), 126, 1)
    assert "zero2.yaml" in plan.advise(planned(), 126, 8)
    assert "change: train with LoRA" in plan.advise(planned(), 72, 1)
    copied = planned("precompute_ref_log_probs=false", model="qwen2.5-coder-1.5b")
    assert "precompute_ref_log_probs: true" in plan.advise(copied, 36, 1)
    assert "nothing fits" in plan.advise(planned(), 2, 1)


def test_advice_is_in_the_terms_of_the_stack() -> None:
    axolotl = training.load([RECIPES / "axolotl" / "dpo.yaml"])
    assert "deepspeed: deepspeed_configs/zero2.json" in plan.advise(axolotl, 72, 8)
    full = training.load([RECIPES / "llamafactory" / "dpo.yaml"], ["finetuning_type=full"])
    assert "ds_z2_config.json" in plan.advise(full, 126, 8)
    assert plan.advise(full, 72, 1).startswith("change: finetuning_type: lora; then use one GPU")


def test_llamafactory_is_not_told_to_precompute_the_reference() -> None:
    """It cannot, so that a full training has the reference model in memory."""
    full = training.load([RECIPES / "llamafactory" / "dpo.yaml"], ["finetuning_type=full"])
    settings = list(plan.smaller_settings(memory.setting_of(full), full.can_precompute_reference))
    assert len(settings) > 2
    assert all(new.reference for new in settings if new.lora_rank is None)


def test_an_unknown_gpu_is_named_with_those_known() -> None:
    recipe = training.load([DPO, RECIPES / "trl" / "models" / "phi-2.yaml"])
    with pytest.raises(InputError, match="h200"):
        plan.plan(recipe, "h2000", 1, Console(quiet=True))
    plan.plan(recipe, "48gb", 1, Console(quiet=True))
