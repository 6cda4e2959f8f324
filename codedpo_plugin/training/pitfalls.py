"""Traps: keys and rows that are right by themselves and fail late, or quietly go wrong, together.

Each was met in TRL 1.16, Axolotl 0.19 or LLaMA-Factory 0.9.5. What the stacks' own classes refuse
is in `known_keys`; here is what they say once the model is loaded, or never.
"""

import importlib.util
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import yaml

from codedpo_plugin.training.recipe import TrainingRecipe

Said = tuple[Literal["error", "warning"], str]


def of_keys(recipe: TrainingRecipe, gpus: int) -> Iterator[Said]:
    """What is wrong with the keys of a recipe, taken together."""
    if not recipe["model"]:
        message = (
            f"{recipe.key('model')}: no model given; add a file of recipes/*/models or --set it"
        )
        yield "error", message
    if recipe.stack == "trl":
        yield from _losses(recipe)
        yield from _reference(recipe)
        yield from _trl(recipe)
        yield from _launcher(recipe, gpus)
    elif recipe.stack == "axolotl":
        yield from _axolotl(recipe.keys)
    elif recipe.keys.get("max_samples") == -1:
        yield (
            "error",
            "max_samples: LLaMA-Factory takes -1 for a slice; leave the key out for all rows",
        )


def of_rows(recipe: TrainingRecipe, rows: Any, gpus: int) -> Iterator[Said]:
    """What is wrong with the rows of a recipe's training split."""
    if recipe.stack == "trl" and (pictures := {"image", "images"} & set(rows.column_names)):
        yield "error", f"column {min(pictures)}: TRL takes the rows for pictures; rename it"
    if recipe.method == "kto" and "completion" in rows.column_names:
        yield from _neighbours(rows["prompt"])
    if recipe.stack == "trl":
        yield from _grouping(recipe, rows)
        yield from _reference_batches(recipe, len(rows), gpus)
    if recipe.stack == "axolotl" and "codedpo" not in recipe.keys:
        yield from _untyped(recipe.keys["datasets"][0], recipe.keys, rows)


def _losses(recipe: TrainingRecipe) -> Iterator[Said]:
    """Losses and what they ask for; TRL says so once the model is loaded."""
    keys = recipe.keys
    losses = keys.get("loss_type", "sigmoid")
    names = losses if isinstance(losses, list) else [losses]
    weights = keys.get("loss_weights")
    if weights is not None and len(weights) != len(names):
        yield "error", f"loss_weights: {len(weights)} weights for loss_type {losses}"
    if "exo_pair" in names and not keys.get("label_smoothing"):
        yield "error", "loss_type: exo_pair needs label_smoothing above 0, for instance 0.001"
    if keys.get("use_weighting") and {"aot", "aot_unpaired"} & set(names):
        yield "error", "use_weighting: not with aot or aot_unpaired, which sort the rows"
    if losses == "kto":
        if recipe.number("per_device") < 2:
            yield (
                "error",
                "per_device_train_batch_size: KTO compares neighbours and needs at least 2",
            )
        if keys.get("train_sampling_strategy", "sequential") != "sequential":
            yield "error", "train_sampling_strategy: KTO compares neighbours: sequential, or no key"


def _reference(recipe: TrainingRecipe) -> Iterator[Said]:
    keys = recipe.keys
    if recipe["precompute"] and (keys.get("sync_ref_model") or keys.get("dataset_streaming")):
        yield "error", "precompute_ref_log_probs: not with sync_ref_model or dataset_streaming"
    if keys.get("sync_ref_model") and recipe["lora"]:
        yield "error", "sync_ref_model: not with LoRA, whose reference is the model without adapter"


def _trl(recipe: TrainingRecipe) -> Iterator[Said]:
    keys = recipe.keys
    if keys.get("padding_free"):
        yield "warning", "padding_free: switched off in TRL's DPO since 1.0; rows are padded"
    for key, wanted, package in (
        ("use_liger_kernel", keys.get("use_liger_kernel"), "liger_kernel"),
        ("use_kernels", (keys.get("model_init_kwargs") or {}).get("use_kernels"), "kernels"),
    ):
        if wanted and importlib.util.find_spec(package) is None:
            yield "error", f"{key}: needs the package {package}, which is not installed"
    targets = keys.get("lora_target_modules") or []
    if "lm_head" in ([targets] if isinstance(targets, str) else targets):
        yield "error", "lora_target_modules: TRL refuses lm_head: its fused head reads the weights"
    if str(keys.get("dtype")) in ("bfloat16", "float16") and not recipe["lora"]:
        yield (
            "warning",
            f"dtype: with {keys['dtype']} weights and no float32 copy, full training at "
            f"{recipe.keys.get('learning_rate', 1e-6)} rounds most updates away; leave it out",
        )
    if keys.get("use_cpu") and keys.get("activation_offloading"):
        yield "error", "activation_offloading: needs a GPU, and use_cpu is set"
    if keys.get("ddp_backend"):
        command = f"accelerate launch ... -m trl.scripts.{recipe.method} --config FILE"
        yield "warning", f"ddp_backend: `trl {recipe.method}` ends at once with it; use `{command}`"


def _launcher(recipe: TrainingRecipe, gpus: int) -> Iterator[Said]:
    config, name = _accelerate(recipe), recipe.keys.get("accelerate_config")
    kind = config.get("distributed_type")
    if kind == "MULTI_CPU":
        yield "error", f"{name}: accelerate starts one process for MULTI_CPU; use torchrun"
    if kind == "DEEPSPEED" and recipe.keys.get("use_cpu"):
        yield "error", f"use_cpu: switches off the DeepSpeed of {name} without a word; remove it"
    ranks = recipe.keys.get("num_processes", config.get("num_processes", gpus))
    if ranks != gpus:
        yield "warning", f"num_processes is {ranks}, and --gpus {gpus}: which is it?"


def _accelerate(recipe: TrainingRecipe) -> dict[str, Any]:
    """The accelerate configuration that the recipe names, if it is a file."""
    path = Path(str(recipe.keys.get("accelerate_config", "")))
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.is_file() else {}


def _grouping(recipe: TrainingRecipe, rows: Any) -> Iterator[Said]:
    if recipe.keys.get("train_sampling_strategy") not in ("group_by_length", "batch_rebalance"):
        return
    column = recipe.keys.get("length_column_name", "length")
    if column not in rows.column_names:
        yield "error", f"train_sampling_strategy: the rows have no column {column!r} to go by"
    if recipe.keys.get("remove_unused_columns", True):
        message = f"train_sampling_strategy: set remove_unused_columns: false, or {column} is lost"
        yield "error", message


def _reference_batches(recipe: TrainingRecipe, rows: int, gpus: int) -> Iterator[Said]:
    stage = (_accelerate(recipe).get("deepspeed_config") or {}).get("zero_stage")
    size = recipe.keys.get("precompute_ref_batch_size") or recipe.number("per_device")
    if recipe["precompute"] and stage == 3 and rows <= size * gpus:
        message = f"precompute_ref_batch_size: {rows} rows are one batch, which ZeRO-3 fails on"
        yield "error", message


def _neighbours(prompts: Any) -> Iterator[Said]:
    """KTO takes its KL term from neighbouring rows: another prompt's completion, if shuffled."""
    prompts = list(prompts)
    same = sum(left == right for left, right in pairwise(prompts))
    if same > max(2, len(prompts) / 2):
        message = f"{same:,} of {len(prompts):,} rows follow one of the same prompt: shuffle them"
        yield "warning", f"KTO compares neighbours, and {message}"


_KEPT = {
    "path", "split", "type", "data_files", "revision", "field_messages", "field_chosen",
    "field_rejected",
}  # fmt: skip


def _axolotl(keys: dict[str, Any]) -> Iterator[Said]:
    """Plugins and data sets; what Axolotl only logs, or drops."""
    plugins = keys.get("plugins") or []
    ours = "codedpo_plugin.axolotl.CodeDPOPlugin"
    if "codedpo" in keys and ours not in plugins:
        yield "error", f"codedpo: nothing reads it without `plugins: [{ours}]`"
    for plugin in plugins:
        if importlib.util.find_spec(str(plugin).split(".")[0]) is None:
            yield "error", f"plugins: {plugin} is not installed, and Axolotl goes on without it"
    for entry in keys.get("datasets") or []:
        if keys.get("rl") == "dpo" and (lost := sorted(set(entry) - _KEPT)):
            yield "warning", f"datasets: Axolotl drops {', '.join(lost)} for rl: dpo"
    prepared = Path(str(keys.get("dataset_prepared_path") or "last_run_prepared"))
    if "codedpo" not in keys and prepared.is_dir():
        yield (
            "warning",
            f"{prepared}: rows prepared before are taken for any file of the same name: remove "
            "it, or run `axolotl preprocess`",
        )


def _untyped(entry: dict[str, Any], keys: dict[str, Any], rows: Any) -> Iterator[Said]:
    strings = isinstance(rows[0]["prompt"], str)
    if not strings and not entry.get("type") and not keys.get("skip_prepare_dataset"):
        yield "error", "datasets: rows of messages need a `type`, or skip_prepare_dataset: true"
