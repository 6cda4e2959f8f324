"""A tiny random model and a byte-level tokenizer, saved as a model folder.

python tests/helpers/random_model.py FOLDER
"""

import sys
from pathlib import Path
from typing import Any

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny() -> tuple[Any, Any]:
    """(model, tokenizer): two Llama layers of random weights, every byte a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    special = ["<|im_end|>", "<|pad|>", "<|im_start|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: n for n, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|pad|>",
        additional_special_tokens=special[2:], chat_template=CHATML,
    )  # fmt: skip
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=1024,
        eos_token_id=0, pad_token_id=1, bos_token_id=None,
    )  # fmt: skip
    set_seed(0)
    return LlamaForCausalLM(config), fast


def save(folder: Path) -> Path:
    """Write model and tokenizer as `from_pretrained` reads them."""
    for part in tiny():
        part.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    save(Path(sys.argv[1]))
