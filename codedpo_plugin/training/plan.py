"""`codedpo plan`: whether a training recipe fits the GPUs, and what to change if it does not."""

from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from codedpo_plugin.errors import InputError
from codedpo_plugin.training.memory import STRATEGIES, USES, Setting, by_use, setting_of, total
from codedpo_plugin.training.stacks.base import MemoryAdvice, TrainingRecipe

# Memory in GiB, as the driver reports it.
GPUS = {
    "rtx4090": 24, "a10": 22, "l4": 22, "l40s": 44, "a100-40gb": 40, "a100": 80, "h100": 80,
    "h200": 140, "b200": 178, "mi300x": 192,
}  # fmt: skip
_USABLE = 0.9


def plan(recipe: TrainingRecipe, gpu: str, gpus: int, console: Console) -> None:
    """Print memory by strategy, and what fits or what to change.

    Raises:
        InputError: the GPU is not known, or the model's shape cannot be found.
    """
    size = gpu_size(gpu)
    setting = setting_of(recipe)
    tuning = f"LoRA rank {setting.lora_rank}" if setting.lora_rank else "full"
    console.print(
        f"{recipe.model}: {setting.shape.parameters / 1e9:.2f} billion parameters, {tuning}, "
        f"{recipe.method}; {setting.batch} x {setting.length:,} tokens on each of {gpus} {gpu} "
        f"({size:g} GiB, {_USABLE:.0%} to use). GiB on each:",
        markup=False,
    )
    console.print(_table(setting, size * _USABLE, gpus))
    console.print(advise(recipe, size * _USABLE, gpus), markup=False)


def gpu_size(gpu: str) -> float:
    """GiB of a GPU by its name, or of a size given as `80gb`.

    Raises:
        InputError: it is neither.
    """
    name = gpu.lower()
    if name in GPUS:
        return GPUS[name]
    if name.removesuffix("gb").isdigit():
        return float(name.removesuffix("gb"))
    raise InputError(f"--gpu {gpu}: not known; one of {', '.join(GPUS)}, or a size such as 48gb")


def _table(setting: Setting, available: float, gpus: int) -> Table:
    table = Table("", *USES, "total", "", box=None, header_style="bold")
    for strategy in STRATEGIES if gpus > 1 else ("ddp", "zero3-offload"):
        need = by_use(setting, strategy, gpus)
        need_total = sum(need.values())
        verdict = "[green]fits[/]" if need_total <= available else "[red]no[/]"
        name = "one GPU" if gpus == 1 and strategy == "ddp" else strategy
        table.add_row(name, *(f"{need[use]:.1f}" for use in USES), f"{need_total:.1f}", verdict)
    return table


def advise(recipe: TrainingRecipe, available: float, gpus: int) -> str:
    """One line: the fastest strategy that fits `available` GiB, after as few changes as possible.

    Raises:
        InputError: as `setting_of`.
    """
    setting, advice = setting_of(recipe), recipe.advice
    for new in smaller_settings(setting, recipe.can_precompute_reference):
        for strategy in STRATEGIES[:-1] if gpus > 1 else STRATEGIES[:1]:
            need = total(new, strategy, gpus)
            if need > available:
                continue
            option = advice.one_gpu if gpus == 1 else advice.strategies[strategy]
            if new != setting:
                changes = _changes(setting, new, advice)
                return f"change: {changes}; then use {option} ({need:.0f} GiB)"
            fastest = total(replace(new, checkpointing=False), strategy, gpus)
            faster = f"; {advice.checkpointing_off} fits too ({fastest:.0f} GiB), and is faster"
            if not setting.checkpointing or fastest > available:
                faster = ""
            return f"use {option} ({need:.0f} GiB){faster}"
    if total(setting, "zero3-offload", gpus) <= available:
        option = advice.strategies["zero3-offload"]
        return f"only {option} fits, and is slow: more or larger GPUs are better"
    return "nothing fits: use more or larger GPUs, a smaller model, or a shorter max_length"


def smaller_settings(setting: Setting, can_precompute_reference: bool) -> Iterator[Setting]:
    """The setting, and those that need less: what costs least in speed and quality first."""
    yield setting
    for rank in dict.fromkeys((setting.lora_rank, setting.lora_rank or 32)):
        for checkpointing in dict.fromkeys((setting.checkpointing, True)):
            batch = setting.batch
            while batch:
                reference = setting.reference and rank is None and not can_precompute_reference
                yield replace(
                    setting, lora_rank=rank, checkpointing=checkpointing, batch=batch,
                    reference=reference, frozen_bytes=2,
                )  # fmt: skip
                batch //= 2


def _changes(old: Setting, new: Setting, advice: MemoryAdvice) -> str:
    """What to change in a recipe, in the stack's own terms."""
    changes = []
    if old.lora_rank != new.lora_rank:
        changes.append(advice.lora)
    elif old.reference and not new.reference:
        changes.append("precompute_ref_log_probs: true")
    if old.checkpointing != new.checkpointing:
        changes.append(advice.checkpointing_on)
    if old.batch != new.batch:
        changes.append(f"a batch of {new.batch} on each GPU (accumulate more)")
    return ", ".join(changes)
