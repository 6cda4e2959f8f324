"""Memory that training needs on each GPU.

Bytes per parameter in full training (mixed precision with Adam):

    DDP      float32 weights 4, gradients 4, moments 8; 2 for the bfloat16 copies of a pass
    ZeRO-2   bfloat16 weights 2; gradients 2, float32 weights 4 and moments 8 over N GPUs
    ZeRO-3   all 16 over N; one layer gathered at a time, and the next
    FSDP2    float32 weights 4, gradients 4 and moments 8 over N; gathered in the same way
    offload  all 16 in main memory; two layers on the GPU

LoRA keeps the frozen weights as loaded, and 16 bytes for each adapter parameter. A reference model
is one more copy of the weights, unless its log-probabilities are precomputed or the policy is an
adapter. Activations follow Korthikanti et al. (2022, section 4), with attention that stores no
scores and the model's own feed-forward width: those of all layers or, with checkpointing, of one
layer and the inputs of the others. Tokens are those of a batch, chosen and rejected. Logits count
10 bytes each where the stack builds them (TRL 1.15 and later does not). The rest (fragmentation,
library buffers) is taken as a tenth of the GPU. These are estimates, not measurements.
"""

from dataclasses import dataclass

from codedpo_plugin.errors import InputError
from codedpo_plugin.training.model_shapes import Shape, shape_of
from codedpo_plugin.training.stacks.base import TrainingRecipe

GIB = 2**30
STRATEGIES = ("ddp", "zero2", "zero3", "fsdp2", "zero3-offload")
"""Ways to share a model between GPUs, the fastest first."""
USES = ("weights", "grads", "Adam", "reference", "acts", "logits")


@dataclass(frozen=True)
class Setting:
    """What memory depends on."""

    shape: Shape
    lora_rank: int | None
    batch: int
    """Rows on one GPU at a time"""
    length: int
    """Tokens of the longest row"""
    sides: int
    """Sequences of a row: 2 for DPO"""
    checkpointing: bool
    reference: bool
    """Whether a reference model is in memory beside the policy"""
    logits: bool
    """Whether the stack builds the whole logits tensor"""
    frozen_bytes: int = 2
    """Of each frozen weight under LoRA"""

    @property
    def tokens(self) -> int:
        """Tokens of a batch on one GPU, at most."""
        return self.batch * self.length * self.sides

    @property
    def trained(self) -> int:
        """Parameters that have gradients; LoRA has r (in + out) for each linear layer."""
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
    common = recipe.common
    if not recipe.model:
        raise InputError(f"{recipe.place}: {common.model.name}: no model given")
    full = recipe.method != "sft" and not recipe.lora
    return Setting(
        shape=shape_of(recipe.model),
        lora_rank=int(recipe.number(common.lora_rank)) if recipe.lora else None,
        batch=int(recipe.number(common.batch_size)),
        length=recipe.max_length,
        sides={"dpo": 2, "kto": 2, "sft": 1}[recipe.method],  # KTO: a second row for its KL term
        checkpointing=recipe.gradient_checkpointing,
        reference=full and not recipe.precomputes_reference,
        logits=recipe.builds_logits,
        frozen_bytes=recipe.frozen_bytes,
    )


def by_use(setting: Setting, strategy: str, gpus: int) -> dict[str, float]:
    """GiB on each GPU for each of `USES`, under one of `STRATEGIES`."""
    shape = setting.shape
    sharded = strategy in ("zero3", "fsdp2", "zero3-offload")
    states = _trained_states(setting.trained, strategy, gpus)
    if setting.lora_rank is not None:
        states["weights"] += setting.frozen_bytes * shape.parameters / (gpus if sharded else 1)
    states["reference"] = 0.0
    if setting.reference:
        copy = 4 if strategy in ("ddp", "fsdp2") else 2
        states["reference"] = copy * shape.parameters / (gpus if sharded else 1)
    if strategy == "zero3-offload":
        states = dict.fromkeys(states, 0.0)
    if sharded:
        states["weights"] += 4 * 2 * shape.largest  # two pieces, weights and gradients
    return {use: size / GIB for use, size in (states | _pass_bytes(setting)).items()}


def total(setting: Setting, strategy: str, gpus: int) -> float:
    """GiB on each GPU, for all uses."""
    return sum(by_use(setting, strategy, gpus).values())


def _trained_states(trained: int, strategy: str, gpus: int) -> dict[str, float]:
    """Bytes on each GPU of trained weights, their gradients and Adam's states."""
    if strategy == "ddp":
        return {"weights": 6 * trained, "grads": 4 * trained, "Adam": 8 * trained}
    if strategy == "zero2":
        return {"weights": 2 * trained, "grads": 2 * trained / gpus, "Adam": 12 * trained / gpus}
    weights, gradients, moments = (2, 2, 12) if strategy.startswith("zero3") else (4, 4, 8)
    share = trained / gpus
    return {"weights": weights * share, "grads": gradients * share, "Adam": moments * share}


def _pass_bytes(setting: Setting) -> dict[str, float]:
    """Bytes that live during one forward and backward pass."""
    s, tokens = setting.shape, setting.tokens
    # Norms, query, key, value, output, residuals: 18 x hidden; of each feed-forward matrix the
    # input or output is stored, in 2 bytes.
    layer = tokens * (18 * s.hidden + 2 * (4 if s.gated else 2) * s.inner)
    inputs = tokens * 2 * s.hidden * s.layers
    activations = layer + inputs if setting.checkpointing else layer * s.layers
    logits = 10 * tokens * s.vocabulary if setting.logits else 4 * tokens * s.hidden
    return {"acts": activations, "logits": logits}
