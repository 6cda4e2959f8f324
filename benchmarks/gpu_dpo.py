"""DPO on one GPU: our recipe against TRL's defaults, and each setting in between.

    python benchmarks/gpu_dpo.py --model 1.5b --length 2048            # full training
    python benchmarks/gpu_dpo.py --model 7b --length 2048 --lora
    python benchmarks/gpu_dpo.py --model tiny --length 128 --steps 3   # any CPU: does it run?

Real architectures with random weights, on synthetic pairs of code-like lengths: nothing is
downloaded. Every configuration trains on the same pairs in a process of its own. The first has
TRL's defaults, and each of the next adds one setting to those before it (Liger's layers only where
liger-kernel is installed); the last two are the defaults without bfloat16 and without the fused
head. Printed: tokens (without padding) per second of training steps, without the first two; the
same with the reference's forward pass before training spread over two epochs; the share of the
GPU's bfloat16 peak (6 FLOP per parameter and token in full training, 4 with LoRA, and attention;
forward passes of the reference do not count); peak memory; losses, whose means must agree.
"""

import argparse
import dataclasses
import importlib.util
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from codedpo_plugin.training.model_shapes import KNOWN, Shape

SHAPES = {
    "tiny": Shape(2, 64, 128, 2, 2, 512),
    "1.5b": KNOWN["Qwen/Qwen2.5-Coder-1.5B-Instruct"],
    "7b": KNOWN["Qwen/Qwen2.5-Coder-7B-Instruct"],
}
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16, NVIDIA's data sheets

# What each configuration adds to the one before it.
ADDED: list[tuple[str, dict[str, Any]]] = [
    ("TRL's defaults", {}),
    ("reference precomputed", {"precompute_ref_log_probs": True, "precompute_ref_batch_size": 16}),
    (
        "lengths grouped",
        {
            "train_sampling_strategy": "group_by_length",
            "length_column_name": "length",
            "remove_unused_columns": False,
        },
    ),
    ("Liger's layers", {"use_liger_kernel": True}),
    ("no checkpointing", {"gradient_checkpointing": False}),
]
# The defaults without something that they include.
WITHOUT: list[tuple[str, dict[str, Any]]] = [
    ("defaults, float32", {"bf16": False}),
    ("defaults, whole logits", {}),
]
NAMES = [name for name, _ in ADDED + WITHOUT]
WARM_UP = 2


@dataclasses.dataclass(frozen=True)
class Work:
    """What every configuration trains on."""

    model: str
    length: int
    batch: int
    steps: int
    lora: bool
    attention: str


def pairs(work: Work) -> list[dict[str, Any]]:
    """Synthetic pairs: byte tokens, log-normal lengths around `length` / 3, none above `length`."""
    draw = random.Random(0)
    rows = []
    for _ in range(work.batch * work.steps):
        sizes = [int(draw.lognormvariate(0, 0.6) * work.length / 6) for _ in range(3)]
        prompt, chosen, rejected = (
            "".join(draw.choices("abcdefgh _(=):\n", k=min(max(size, 8), work.length // 2 - 2)))
            for size in sizes
        )
        longer = len(prompt) + max(len(chosen), len(rejected))
        rows.append({"prompt": prompt, "chosen": chosen, "rejected": rejected, "length": longer})
    return rows


def model_of(work: Work) -> Any:
    """The architecture with random weights: float32, or bfloat16 under LoRA, as TRL loads it."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    shape = SHAPES[work.model]
    config = Qwen2Config(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.inner,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, tie_word_embeddings=shape.tied,
        max_position_embeddings=max(4096, work.length), bos_token_id=None, eos_token_id=0,
        attn_implementation=work.attention,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Qwen2ForCausalLM(config)
    return model.to(torch.bfloat16) if work.lora else model


def settings_of(number: int) -> dict[str, Any]:
    """Settings of a configuration: what it and those before it add, or how the defaults change."""
    if number >= len(ADDED):
        return WITHOUT[number - len(ADDED)][1]
    liger = importlib.util.find_spec("liger_kernel") is not None
    chosen: dict[str, Any] = {}
    for _, added in ADDED[: number + 1]:
        if liger or "use_liger_kernel" not in added:
            chosen |= added
    return chosen


def whole_logits(model: Any, outputs: tuple[str, ...] = ("log_probs",)) -> None:
    """Replaces TRL's fused head: float32 logits of all tokens, as TRL computed them before 1.15."""
    import torch
    from trl.trainer.utils import FusedCausalLMOutput

    forward = model.forward

    def scored(*args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        logits = forward(*args, **(kwargs | {"use_cache": False})).logits[:, :-1].float()
        labels = labels[:, 1:]
        mask = labels != -100
        log_probs = logits.log_softmax(-1)
        chosen = log_probs.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        with torch.no_grad():
            entropy = -(log_probs.exp() * log_probs).sum(-1)
            mean, top = logits.mean(-1), logits.argmax(-1) == labels
        fields = {"log_probs": chosen, "entropy": entropy, "mean_logits": mean, "is_top1": top}
        kept = {name: fields[name].masked_fill(~mask, 0) for name in outputs}
        return FusedCausalLMOutput(**kept, label_mask=mask)

    model.forward = scored


class Clock:
    """When each training step began, and when training ended, in seconds."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def tick(self) -> None:
        """Wait for the GPU, and note the time."""
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    def callback(self) -> Any:
        """A callback of the trainer that ticks at the start of each step."""
        from transformers import TrainerCallback

        clock = self

        class OnStep(TrainerCallback):  # type: ignore[misc]
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                clock.tick()

        return OnStep()


def make_trainer(work: Work, number: int, folder: str, clock: Clock) -> tuple[Any, float]:
    """TRL's trainer for a configuration, and the seconds in which it precomputed the reference."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer
    from trl.trainer import dpo_trainer

    from helpers.random_model import tiny

    chosen = settings_of(number)
    if NAMES[number] == "defaults, whole logits":
        dpo_trainer.add_fused_lm_head = whole_logits
    dataset = Dataset.from_list(pairs(work))
    if "length_column_name" not in chosen:
        dataset = dataset.remove_columns("length")
    gpu = torch.cuda.is_available()
    settings = DPOConfig(
        output_dir=folder, max_length=work.length, per_device_train_batch_size=work.batch,
        max_steps=work.steps, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 1.0],
        logging_steps=1, save_strategy="no", report_to="none", use_cpu=not gpu, seed=0,
        **({"bf16": gpu} | chosen),
    )  # fmt: skip
    lora = LoraConfig(r=32, lora_alpha=64, target_modules="all-linear") if work.lora else None
    precomputes = chosen.get("precompute_ref_log_probs", False)
    model = model_of(work)
    reference = None if work.lora or precomputes else model_of(work)
    started = time.perf_counter()
    trainer = DPOTrainer(
        model, args=settings, train_dataset=dataset, processing_class=tiny()[1],
        peft_config=lora, callbacks=[clock.callback()], ref_model=reference,
    )  # fmt: skip
    return trainer, time.perf_counter() - started if precomputes else 0.0


def train(work: Work, number: int) -> dict[str, float]:
    """Train one configuration, and return its measurements."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer, precompute = make_trainer(work, number, folder, clock)
        trainer.train()
        clock.tick()
    return measurements(work, trainer.state.log_history, clock.times, precompute)


def measurements(
    work: Work, history: list[dict[str, float]], times: list[float], before: float
) -> dict[str, float]:
    """Rates after the warm-up steps, from the trainer's log and the times of the steps."""
    import torch

    logged = [entry for entry in history if "loss" in entry]
    tokens = logged[-1]["num_tokens"] - logged[WARM_UP - 1]["num_tokens"]
    seconds = times[-1] - times[WARM_UP]
    share = before * tokens / logged[-1]["num_tokens"] / 2
    found = {
        "tokens/s": tokens / seconds,
        "with reference": tokens / (seconds + share),
        "first loss": logged[0]["loss"],
        "mean loss": sum(entry["loss"] for entry in logged) / len(logged),
    }
    if torch.cuda.is_available():
        found["GiB"] = torch.cuda.max_memory_allocated() / 2**30
        name = torch.cuda.get_device_name()
        peak = next((flops for key, flops in PEAK.items() if key in name), None)
        if peak:
            found["MFU"] = tokens / seconds * flop_per_token(work) / peak
    return found


def flop_per_token(work: Work) -> float:
    """Model FLOP of a trained token: 2 forward, 2 for gradients of activations, 2 of weights."""
    shape = SHAPES[work.model]
    looked_up = 0 if shape.tied else shape.vocabulary * shape.hidden  # embeddings: no product
    # Scores and sums over a causal context: 2 x hidden x sequence a layer, three times; sequences
    # have about a third of `length`.
    attention = 3 * 2 * shape.layers * shape.hidden * work.length / 3
    return (4 if work.lora else 6) * (shape.parameters - looked_up) + attention


def main() -> None:
    """Run every configuration in a process of its own and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=SHAPES, default="1.5b")
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=22)
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    only = options.pop("only")
    work = Work(**options)
    if only is not None:
        print(json.dumps(train(work, only)))
        return
    print(f"{_machine()}; {work}")
    base = None
    for number, name in enumerate(NAMES):
        if 0 < number < len(ADDED) and settings_of(number) == settings_of(number - 1):
            print(f"{name:24} skipped: liger-kernel is not installed")
            continue
        command = [sys.executable, *sys.argv, "--only", str(number)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "Error" in line]
            print(f"{name:24} failed: {(errors or [done.returncode])[-1]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        base = base or found["with reference"]
        cells = "  ".join(f"{key} {value:,.4g}" for key, value in found.items())
        print(f"{name:24} {found['with reference'] / base:.2f} x  {cells}", flush=True)


def _machine() -> str:
    import torch
    import trl

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    return f"{name or 'CPU'}, torch {torch.__version__}, TRL {trl.__version__}"


if __name__ == "__main__":
    main()
