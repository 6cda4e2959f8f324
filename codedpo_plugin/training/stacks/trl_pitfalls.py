"""Keys and rows that TRL accepts, and that fail once the model is loaded or quietly go wrong."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from codedpo_plugin.training.findings import Finding
from codedpo_plugin.training.stacks.base import TrainingRecipe


def _error(message: str) -> Finding:
    return Finding("error", "keys", message)


def _warning(message: str) -> Finding:
    return Finding("warning", "keys", message)


def of_losses(recipe: TrainingRecipe) -> Iterator[Finding]:
    """Losses, and the keys that they require."""
    keys = recipe.keys
    losses = keys.get("loss_type", "sigmoid")
    names = losses if isinstance(losses, list) else [losses]
    weights = keys.get("loss_weights")
    if weights is not None and len(weights) != len(names):
        yield _error(f"loss_weights: {len(weights)} weights for loss_type {losses}")
    if "exo_pair" in names and not keys.get("label_smoothing"):
        yield _error("loss_type: exo_pair needs label_smoothing above 0, for instance 0.001")
    if keys.get("use_weighting") and {"aot", "aot_unpaired"} & set(names):
        yield _error("use_weighting: not with aot or aot_unpaired, which sort the rows")
    if losses == "kto":
        if recipe.number(recipe.common.batch_size) < 2:
            yield _error(
                "per_device_train_batch_size: KTO compares neighbouring rows, so at least 2"
            )
        if keys.get("train_sampling_strategy", "sequential") != "sequential":
            yield _error(
                "train_sampling_strategy: KTO compares neighbouring rows: sequential, or no key"
            )


def of_reference(recipe: TrainingRecipe) -> Iterator[Finding]:
    """How the reference model's log-probabilities are computed."""
    keys = recipe.keys
    moving = keys.get("sync_ref_model")
    if recipe.precomputes_reference and (moving or keys.get("dataset_streaming")):
        yield _error("precompute_ref_log_probs: not with sync_ref_model or dataset_streaming")
    if moving and recipe.lora:
        yield _error("sync_ref_model: not with LoRA, whose reference is the model without adapter")


def of_model(recipe: TrainingRecipe) -> Iterator[Finding]:
    """Kernels, adapters, number types and devices."""
    keys = recipe.keys
    if keys.get("padding_free"):
        yield _warning("padding_free: switched off in TRL's DPO since 1.0; rows are padded")
    for key, enabled, package in (
        ("use_liger_kernel", keys.get("use_liger_kernel"), "liger_kernel"),
        ("use_kernels", (keys.get("model_init_kwargs") or {}).get("use_kernels"), "kernels"),
    ):
        if enabled and importlib.util.find_spec(package) is None:
            yield _error(f"{key}: needs the package {package}, which is not installed")
    targets = keys.get("lora_target_modules") or []
    if "lm_head" in ([targets] if isinstance(targets, str) else targets):
        yield _error(
            "lora_target_modules: TRL refuses lm_head, whose weights its fused head reads directly"
        )
    if str(keys.get("dtype")) in ("bfloat16", "float16") and not recipe.lora:
        yield _warning(
            f"dtype: with {keys['dtype']} weights and no float32 copy, full training at "
            f"{keys.get('learning_rate', 1e-6)} rounds most updates away; leave it out"
        )
    if keys.get("use_cpu") and keys.get("activation_offloading"):
        yield _error("activation_offloading: needs a GPU, and use_cpu is set")


def of_launcher(recipe: TrainingRecipe, gpus: int) -> Iterator[Finding]:
    """Keys that accelerate reads, against the number of GPUs."""
    if recipe.keys.get("ddp_backend"):
        command = f"accelerate launch ... -m trl.scripts.{recipe.method} --config FILE"
        yield _warning(f"ddp_backend: `trl {recipe.method}` exits at once with it; use `{command}`")
    config, name = _accelerate_config(recipe), recipe.keys.get("accelerate_config")
    kind = config.get("distributed_type")
    if kind == "MULTI_CPU":
        yield _error(f"{name}: accelerate starts one process for MULTI_CPU; use torchrun")
    if kind == "DEEPSPEED" and recipe.keys.get("use_cpu"):
        yield _error(f"use_cpu: silently switches off the DeepSpeed of {name}; remove it")
    ranks = recipe.keys.get("num_processes", config.get("num_processes", gpus))
    if ranks != gpus:
        yield _warning(f"num_processes is {ranks}, but --gpus is {gpus}")


def of_grouping(recipe: TrainingRecipe, rows: Any) -> Iterator[Finding]:
    """Batches grouped by length: the rows must have their lengths, and keep them."""
    if recipe.keys.get("train_sampling_strategy") not in ("group_by_length", "batch_rebalance"):
        return
    column = recipe.keys.get("length_column_name", "length")
    if column not in rows.column_names:
        message = f"train_sampling_strategy: the rows have no column {column!r} to group by"
        yield Finding("error", "data", message)
    if recipe.keys.get("remove_unused_columns", True):
        message = f"train_sampling_strategy: set remove_unused_columns: false, or {column} is lost"
        yield Finding("error", "data", message)


def of_reference_batches(recipe: TrainingRecipe, rows: int, gpus: int) -> Iterator[Finding]:
    """ZeRO-3 fails (`pop from an empty deque`) where the reference sees a single batch."""
    stage = (_accelerate_config(recipe).get("deepspeed_config") or {}).get("zero_stage")
    size = recipe.keys.get("precompute_ref_batch_size") or recipe.number(recipe.common.batch_size)
    if recipe.precomputes_reference and stage == 3 and rows <= size * gpus:
        message = f"precompute_ref_batch_size: {rows} rows are one batch, which ZeRO-3 fails on"
        yield Finding("error", "data", message)


def _accelerate_config(recipe: TrainingRecipe) -> dict[str, Any]:
    """The accelerate configuration that the recipe names, if it is a file."""
    path = Path(str(recipe.keys.get("accelerate_config", "")))
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.is_file() else {}
