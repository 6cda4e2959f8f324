"""A model of a few hundred thousand parameters that memorises prompts and completions."""

import random
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"]


def train(
    folder: Path, pairs: list[tuple[str, str]], *, steps: int = 300, width: int = 96, seed: int = 0
) -> Path:
    """Train on (prompt, completion) texts in chat format, and save in the standard format.

    Where a prompt has several completions, the model learns to write each of them.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    torch.set_num_threads(1)  # more would only compete for the cores
    chance = random.Random(seed)
    tokenizer = make_tokenizer([text for pair in pairs for text in pair])
    rows = [encode(prompt, completion, tokenizer) for prompt, completion in pairs]
    rows.sort(key=lambda row: len(row[0]))
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        max_position_embeddings=1024, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(steps):
        start = chance.randrange(
            -4, len(rows) - 4
        )  # neighbours have similar length: little padding
        batch = rows[max(0, start) : start + 8]
        loss = model(**collate(batch, tokenizer.pad_token_id)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.generation_config.do_sample = True  # else `transformers serve` ignores the temperature
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer(texts: list[str]) -> Any:
    """Byte-level BPE, trained on the texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=1000, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", chat_template=TEMPLATE
    )


def encode(prompt: str, completion: str, tokenizer: Any) -> tuple[list[int], list[int]]:
    """(tokens, labels): only the completion counts in the loss."""
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
    )
    context = tokenizer(text, add_special_tokens=False)["input_ids"]
    target = tokenizer(completion, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return context + target, [-100] * len(context) + target


def collate(batch: list[tuple[list[int], list[int]]], pad: int) -> dict[str, Any]:
    import torch

    width = max(len(tokens) for tokens, _ in batch)
    tokens = [row + [pad] * (width - len(row)) for row, _ in batch]
    labels = [row + [-100] * (width - len(row)) for _, row in batch]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row, _ in batch]
    return {
        "input_ids": torch.tensor(tokens), "labels": torch.tensor(labels),
        "attention_mask": torch.tensor(mask),
    }  # fmt: skip
