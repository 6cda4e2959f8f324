"""The tiny model: a small BPE tokenizer and a Llama of half a million parameters, from scratch.

    python recipes/tiny/pretrain.py runs/tiny/base --seed 0

It learns to write programs and tests for the exercises in the sets `pretrain` and `train`, with the
errors and slow variants that `world.py` defines.
"""

import argparse
import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import world

END, PAD, TURN = "<end>", "<pad>", "<turn>"
TEMPLATE = (
    "{% for m in messages %}{{ m.content }}"
    "{{ '<turn>' if m.role == 'user' else '<end>' }}{% endfor %}"
)
PIECES = r"(?:, | )?[0-9]+|\n? *[^0-9\n,:]+|\n|,|:"
VOCABULARY = 640
SIZE = {"hidden_size": 80, "intermediate_size": 208, "num_hidden_layers": 4}
BATCH, STEPS, RATE = 24, 1200, 4e-3


def prompt_of(exercise: world.Exercise, role: str) -> str:
    """The prompt for an exercise."""
    return f"{world.OPENINGS[role]}{exercise.prompt}{TURN}"


def make_tokenizer() -> Any:
    """BPE within lines; a number is one piece, together with a preceding comma and space."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    alphabet = [chr(code) for code in range(32, 127)] + ["\n"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[END, PAD, TURN], initial_alphabet=alphabet,
        show_progress=False,
    )  # fmt: skip
    some = itertools.islice(world.lessons(world.Errors(), 0), 4000)
    texts = (text for one, role, said in some for text in (prompt_of(one, role), said))
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, chat_template=TEMPLATE,
        additional_special_tokens=[TURN], clean_up_tokenization_spaces=False,
    )  # fmt: skip


def make_model(tokenizer: Any, seed: int) -> Any:
    """A Llama with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        **SIZE, vocab_size=len(tokenizer), num_attention_heads=5, num_key_value_heads=5,
        max_position_embeddings=256, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def batches(tokenizer: Any, seed: int) -> Iterator[dict[str, Any]]:
    """Batches of texts of similar length; only completions contribute to the loss."""
    chance = random.Random(seed)
    lessons = world.lessons(world.Errors(), seed)
    while True:
        rows = []
        for exercise, role, text in itertools.islice(lessons, BATCH * 16):
            asked = tokenizer(prompt_of(exercise, role))["input_ids"]
            rows.append((asked, tokenizer(text)["input_ids"] + [tokenizer.eos_token_id]))
        rows.sort(key=lambda row: len(row[0]) + len(row[1]))
        groups = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        chance.shuffle(groups)
        yield from (collate(group, tokenizer.pad_token_id) for group in groups)


def collate(rows: list[tuple[list[int], list[int]]], pad: int) -> dict[str, Any]:
    """A batch of (asked, said) tokens."""
    import torch

    width = max(len(asked) + len(said) for asked, said in rows)
    padding = [width - len(asked) - len(said) for asked, said in rows]
    pairs = list(zip(rows, padding, strict=True))
    return {
        "input_ids": torch.tensor([a + s + [pad] * more for (a, s), more in pairs]),
        "labels": torch.tensor([[-100] * len(a) + s + [-100] * more for (a, s), more in pairs]),
        "attention_mask": torch.tensor([[1] * (width - more) + [0] * more for _, more in pairs]),
    }


def pretrain(folder: Path, seed: int, steps: int = STEPS) -> None:
    """Train, and save in the format of `from_pretrained`."""
    import torch

    tokenizer = make_tokenizer()
    model = make_model(tokenizer, seed)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 20, 1.0, (steps - step) / steps * 1.5)
    )
    started = time.monotonic()
    for step, batch in enumerate(itertools.islice(batches(tokenizer, seed), steps), 1):
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == steps:
            left = (time.monotonic() - started) * (steps / step - 1)
            print(f"pretraining: {step} of {steps}, loss {loss:.2f}, {left:.0f} s left", flush=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    pretrain(arguments.folder, arguments.seed, arguments.steps)


if __name__ == "__main__":
    main()
