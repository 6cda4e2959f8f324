"""Plan: the memory that a training recipe needs on each GPU, and what to change if it is too much.

Bytes per parameter in full training (mixed precision with Adam):

    DDP      float32 weights 4, gradients 4, moments 8; 2 for the bfloat16 copies of a pass
    ZeRO-2   bfloat16 weights 2; gradients 2, float32 weights 4 and moments 8 over N GPUs
    ZeRO-3   all 16 over N; one layer gathered at a time, and the next
    FSDP2    float32 weights 4, gradients 4 and moments 8 over N; gathered alike
    offload  the parts lie in main memory; two layers on the GPU

LoRA holds the frozen weights as loaded, and 16 bytes for each adapter parameter. A reference model
is one more copy of the weights, unless its log-probabilities are computed beforehand or the policy
is an adapter. Activations are those of Korthikanti et al. (2022, section 4) with attention that
keeps no scores and the model's own feed-forward width: of all layers, or with checkpointing of one,
and the input of each other. Tokens are those of a batch, chosen and rejected. Logits are counted at
10 bytes each where the stack builds them (TRL 1.15 and later does not). What is left out, fragments
and buffers of the libraries, is taken as a tenth of the GPU. An estimate: not measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from codedpo_plugin.errors import InputError
from codedpo_plugin.training.model_shapes import Shape, shape_of
from codedpo_plugin.training.recipe import Stack, TrainingRecipe

GIB = 2**30

# Memory in GiB, as the driver reports it.
GPUS = {
    "rtx4090": 24, "a10": 22, "l4": 22, "l40s": 44, "a100-40gb": 40, "a100": 80, "h100": 80,
    "h200": 140, "b200": 178, "mi300x": 192,
}  # fmt: skip
STRATEGIES = ("ddp", "zero2", "zero3", "fsdp2", "zero3-offload")
_USABLE = 0.9


@dataclass(frozen=True)
class Setting:
    """What memory depends on."""

    shape: Shape
    lora_rank: int | None
    batch: int
    """Rows on one GPU at a time"""
    length: int
    sides: int
    """Sequences of a row: 2 for DPO"""
    checkpointing: bool
    reference: bool
    """A reference model is held beside the policy"""
    logits: bool
    """The stack builds the whole logits tensor"""
    frozen_bytes: int = 2
    """Of each frozen weight under LoRA: TRL loads float32 unless told `dtype`"""
    stack: Stack = "trl"

    @property
    def tokens(self) -> int:
        return self.batch * self.length * self.sides

    @property
    def trained(self) -> int:
        """Parameters that have gradients: of LoRA on all linear layers, r (in + out) for each."""
        if self.lora_rank is None:
            return self.shape.parameters
        s = self.shape
        kv = s.hidden // s.heads * s.kv_heads
        attention = 2 * (2 * s.hidden) + 2 * (s.hidden + kv)
        feed_forward = (3 if s.gated else 2) * (s.hidden + s.inner)
        return s.layers * self.lora_rank * (attention + feed_forward)


def setting_of(recipe: TrainingRecipe) -> Setting:
    """What a recipe says about memory.

    Raises:
        InputError: it names no model, or one whose shape cannot be found.
    """
    if not recipe["model"]:
        raise InputError(f"{recipe.place}: {recipe.key('model')}: no model given")
    lora = bool(recipe["lora"])
    return Setting(
        shape=shape_of(str(recipe["model"])),
        lora_rank=int(recipe.number("lora_r")) if lora else None,
        batch=int(recipe.number("per_device")),
        length=int(recipe.number("max_length")),
        sides={"dpo": 2, "kto": 2, "sft": 1}[recipe.method],  # KTO: a second row for its KL term
        checkpointing=bool(recipe["checkpointing"]),
        reference=recipe.method != "sft" and not lora and not recipe["precompute"],
        logits=recipe.stack != "trl",
        frozen_bytes=4 if recipe.stack == "trl" and recipe.keys.get("dtype") is None else 2,
        stack=recipe.stack,
    )


def memory(setting: Setting, strategy: str, gpus: int) -> dict[str, float]:
    """GiB on each GPU by use, for one of `STRATEGIES`."""
    shape, trained = setting.shape, setting.trained
    frozen = 0 if setting.lora_rank is None else shape.parameters
    sharded = strategy in ("zero3", "fsdp2", "zero3-offload")
    states: dict[str, float]
    if strategy == "ddp":
        states = {"weights": 4 * trained, "grads": 4 * trained, "Adam": 8 * trained}
        states["weights"] += 2 * trained
    elif strategy == "zero2":
        states = {"weights": 2 * trained, "grads": 2 * trained / gpus}
        states["Adam"] = 12 * trained / gpus
    else:
        weights, gradients, moments = (2, 2, 12) if strategy.startswith("zero3") else (4, 4, 8)
        states = {
            "weights": weights * trained / gpus,
            "grads": gradients * trained / gpus,
            "Adam": moments * trained / gpus,
        }
    states["weights"] += setting.frozen_bytes * frozen / (gpus if sharded else 1)
    copy = 4 if strategy in ("ddp", "fsdp2") else 2
    states["reference"] = copy * shape.parameters / (gpus if sharded else 1)
    if not setting.reference:
        states["reference"] = 0
    if strategy == "zero3-offload":
        states = dict.fromkeys(states, 0.0)
    if sharded:
        states["weights"] += 4 * 2 * shape.largest  # two pieces, weights and gradients
    return {use: size / GIB for use, size in (states | _passing(setting)).items()}


def _passing(setting: Setting) -> dict[str, float]:
    """Bytes that live during one forward and backward pass."""
    s, tokens = setting.shape, setting.tokens
    # Norms, query, key, value, output, residuals: 18 x hidden; each feed-forward matrix has its
    # input or output kept, in 2 bytes.
    layer = tokens * (18 * s.hidden + 2 * (4 if s.gated else 2) * s.inner)
    kept = tokens * 2 * s.hidden * s.layers
    activations = layer + kept if setting.checkpointing else layer * s.layers
    logits = 10 * tokens * s.vocabulary if setting.logits else 4 * tokens * s.hidden
    return {"acts": activations, "logits": logits}


def changed(setting: Setting) -> Iterator[Setting]:
    """The setting, and those that need less: what costs least in speed and quality first."""
    yield setting
    for rank in dict.fromkeys((setting.lora_rank, setting.lora_rank or 32)):
        for checkpointing in dict.fromkeys((setting.checkpointing, True)):
            batch = setting.batch
            while batch:
                kept = setting.reference and rank is None and setting.stack == "llamafactory"
                yield replace(
                    setting, lora_rank=rank, checkpointing=checkpointing, batch=batch,
                    reference=kept, frozen_bytes=2,
                )  # fmt: skip
                batch //= 2


# How each stack is told: to shard, to train adapters, to keep fewer activations or all.
_WAYS: dict[Stack, dict[str, str]] = {
    "trl": dict.fromkeys(STRATEGIES, "recipes/accelerate/{}.yaml") | {
        "one-gpu": "recipes/accelerate/one-gpu.yaml",
        "lora": "train with LoRA (recipes/trl/lora.yaml)",
        "checkpointing": "gradient_checkpointing: true", "all": "gradient_checkpointing: false",
    },
    "axolotl": dict.fromkeys(STRATEGIES, "deepspeed: deepspeed_configs/{}.json") | {
        "one-gpu": "one GPU", "ddp": "no key: plain data parallelism", "fsdp2": "fsdp_version: 2",
        "zero3-offload": "deepspeed: deepspeed_configs/zero3_bf16_cpuoffload_all.json",
        "lora": "adapter: lora",
        "checkpointing": "gradient_checkpointing: true", "all": "gradient_checkpointing: false",
    },
    "llamafactory": {
        "one-gpu": "one GPU", "ddp": "no key: plain data parallelism",
        "zero2": "deepspeed: examples/deepspeed/ds_z2_config.json",
        "zero3": "deepspeed: examples/deepspeed/ds_z3_config.json",
        "fsdp2": "examples/accelerate/fsdp2_config.yaml",
        "zero3-offload": "deepspeed: examples/deepspeed/ds_z3_offload_config.json",
        "lora": "finetuning_type: lora",
        "checkpointing": "disable_gradient_checkpointing: false",
        "all": "disable_gradient_checkpointing: true",
    },
}  # fmt: skip


def _difference(old: Setting, new: Setting) -> str:
    """What to change in a recipe, in its own terms."""
    said, ways = [], _WAYS[new.stack]
    if old.lora_rank != new.lora_rank:
        said.append(ways["lora"])
    elif old.reference and not new.reference:
        said.append("precompute_ref_log_probs: true")
    if old.checkpointing != new.checkpointing:
        said.append(ways["checkpointing"])
    if old.batch != new.batch:
        said.append(f"a batch of {new.batch} on each GPU (accumulate more)")
    return ", ".join(said)


def plan(recipe: TrainingRecipe, gpu: str, gpus: int, console: Console) -> None:
    """Print memory by strategy, and what fits or what to change.

    Raises:
        InputError: the GPU is not known, or the model's shape cannot be found.
    """
    room = _room(gpu)
    setting = setting_of(recipe)
    tuning = f"LoRA rank {setting.lora_rank}" if setting.lora_rank else "full"
    console.print(
        f"{recipe['model']}: {setting.shape.parameters / 1e9:.2f} billion parameters, {tuning}, "
        f"{recipe.method}; {setting.batch} x {setting.length:,} tokens on each of {gpus} {gpu} "
        f"({room:g} GiB, {_USABLE:.0%} to use). GiB on each:",
        markup=False,
    )
    uses = ("weights", "grads", "Adam", "reference", "acts", "logits")
    table = Table("", *uses, "total", "", box=None, header_style="bold")
    for strategy in STRATEGIES if gpus > 1 else ("ddp", "zero3-offload"):
        need = memory(setting, strategy, gpus)
        need_total = sum(need.values())
        verdict = "[green]fits[/]" if need_total <= room * _USABLE else "[red]no[/]"
        name = "one GPU" if gpus == 1 and strategy == "ddp" else strategy
        table.add_row(name, *(f"{need[use]:.1f}" for use in uses), f"{need_total:.1f}", verdict)
    console.print(table)
    console.print(advice(setting, room * _USABLE, gpus), markup=False)


def advice(setting: Setting, room: float, gpus: int) -> str:
    """One line: the fastest way that fits `room` GiB, after as few changes as need be."""
    strategies = STRATEGIES[:-1] if gpus > 1 else STRATEGIES[:1]
    ways = _WAYS[setting.stack]
    for new in changed(setting):
        for strategy in strategies:
            need = total(new, strategy, gpus)
            if need > room:
                continue
            name = "one-gpu" if gpus == 1 else strategy
            said = f"{ways[name].format(name)} ({need:.0f} GiB)"
            if new != setting:
                return f"change: {_difference(setting, new)}; then take {said}"
            free = total(replace(new, checkpointing=False), strategy, gpus)
            loose = f"; {ways['all']} fits too ({free:.0f} GiB), and is faster"
            return f"take {said}{loose if setting.checkpointing and free <= room else ''}"
    if total(setting, "zero3-offload", gpus) <= room:
        way = ways["zero3-offload"].format("zero3-offload")
        return f"only {way} fits, and is slow: better more or larger GPUs"
    return "nothing fits: take more or larger GPUs, a smaller model, or a shorter max_length"


def total(setting: Setting, strategy: str, gpus: int) -> float:
    """GiB on each GPU."""
    return sum(memory(setting, strategy, gpus).values())


def _room(gpu: str) -> float:
    """GiB of a GPU by its name, or of a size given as `80gb`."""
    name = gpu.lower()
    if name in GPUS:
        return GPUS[name]
    if name.removesuffix("gb").isdigit():
        return float(name.removesuffix("gb"))
    raise InputError(f"--gpu {gpu}: not known; one of {', '.join(GPUS)}, or a size such as 48gb")
