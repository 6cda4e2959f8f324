"""DPO on one GPU: our recipe beside TRL's defaults, and each choice between them.

    python benchmarks/gpu_dpo.py --model 1.5b --length 2048            # full training
    python benchmarks/gpu_dpo.py --model 7b --length 2048 --lora
    python benchmarks/gpu_dpo.py --model tiny --length 128 --steps 3   # any CPU: does it run?

Real architectures with random weights, on made-up pairs of code-like lengths: nothing is
downloaded. Every rung trains the same pairs, in a process of its own, and goes on from the choices
of the rung above. Printed: tokens (without padding) per second of training steps, the first two
left out; the same with the pass of the reference before training shared out over two epochs; the
share of the GPU's bfloat16 peak (6 FLOP per parameter and token of full training, 4 of LoRA, and
attention; passes of the reference are not counted as work); peak memory; losses, whose means must
agree.
"""

import argparse
import dataclasses
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

from codedpo_plugin.shapes import KNOWN, Shape

SHAPES = {
    "tiny": Shape(2, 64, 128, 2, 2, 512),
    "1.5b": KNOWN["Qwen/Qwen2.5-Coder-1.5B-Instruct"],
    "7b": KNOWN["Qwen/Qwen2.5-Coder-7B-Instruct"],
}
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16, NVIDIA's data sheets

# What each rung adds; the first is what `trl dpo` does unless told otherwise.
LADDER: list[tuple[str, dict[str, Any]]] = [
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
    ("no checkpointing", {"gradient_checkpointing": False}),
]
WARM_UP = 2


@dataclasses.dataclass(frozen=True)
class Work:
    """What every rung does."""

    model: str
    length: int
    batch: int
    steps: int
    lora: bool
    attention: str


def pairs(work: Work) -> list[dict[str, Any]]:
    """Made-up pairs: byte tokens, log-normal lengths about a third of `length`, none above it."""
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
    """The architecture, float32 and random, where TRL would have it."""
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


def train(work: Work, rung: int) -> dict[str, float]:
    """Train on a rung of the ladder; figures of it."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from tiny import tiny
    from transformers import TrainerCallback
    from trl import DPOConfig, DPOTrainer

    chosen: dict[str, Any] = {}
    for _, added in LADDER[: rung + 1]:
        chosen |= added
    rows = Dataset.from_list(pairs(work))
    if "length_column_name" not in chosen:
        rows = rows.remove_columns("length")
    gpu = torch.cuda.is_available()
    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if gpu:
                torch.cuda.synchronize()
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        settings = DPOConfig(
            output_dir=folder, max_length=work.length, per_device_train_batch_size=work.batch,
            max_steps=work.steps, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 1.0],
            logging_steps=1, save_strategy="no", report_to="none", bf16=gpu, use_cpu=not gpu,
            seed=0, **chosen,
        )  # fmt: skip
        lora = LoraConfig(r=32, lora_alpha=64, target_modules="all-linear") if work.lora else None
        started = time.perf_counter()
        trainer = DPOTrainer(
            model_of(work), args=settings, train_dataset=rows, processing_class=tiny()[1],
            peft_config=lora, callbacks=[Clock()],
            ref_model=None if work.lora or rung else model_of(work),
        )  # fmt: skip
        precompute = time.perf_counter() - started
        trainer.train()
        if gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter())
    return figures(work, trainer.state.log_history, times, precompute if rung else 0.0)


def figures(
    work: Work, history: list[dict[str, float]], times: list[float], before: float
) -> dict[str, float]:
    """Rates after the warm-up steps, from what the trainer logged and the clock."""
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
    """Model FLOP of a trained token: 2 forward, 2 for activations' gradients, 2 for weights'."""
    shape = SHAPES[work.model]
    looked_up = 0 if shape.tied else shape.vocabulary * shape.hidden  # the embedding: no product
    # Scores and sums over a causal context: 2 x hidden x sequence a layer, three times; sequences
    # have about a third of `length`.
    attention = 3 * 2 * shape.layers * shape.hidden * work.length / 3
    return (4 if work.lora else 6) * (shape.parameters - looked_up) + attention


def main() -> None:
    """Run every rung in a process of its own and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=SHAPES, default="1.5b")
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=22)
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--rung", type=int, help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    rung = options.pop("rung")
    work = Work(**options)
    if rung is not None:
        print(json.dumps(train(work, rung)))
        return
    print(f"{_machine()}; {work}")
    base = None
    for number, (name, _) in enumerate(LADDER):
        command = [sys.executable, *sys.argv, "--rung", str(number)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{name:24} failed: {done.stderr.strip().splitlines()[-1][:120]}")
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
