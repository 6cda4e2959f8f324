"""One step of TRL's trainers on what a build wrote, with a tiny model made here from its config."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="pip install 'codedpo[train]'")

from codedpo_plugin.recipe import Recipe

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A random two-layer model and a byte-level tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: n for n, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", chat_template=TEMPLATE
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=1024,
        eos_token_id=0, pad_token_id=1, bos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config), fast


@pytest.mark.parametrize("form", ["conversational", "standard"])
@pytest.mark.parametrize("kind", ["dpo", "kto", "sft"])
def test_one_step(
    built: Recipe, tiny: tuple[Any, Any], kind: str, form: str, tmp_path: Path
) -> None:
    import copy

    import trl
    from datasets import load_dataset

    from codedpo_plugin.export import export

    settings = built.export.model_copy(update={"format": form, "test_fraction": 0.0})
    export(built.model_copy(update={"export": settings}))
    data = load_dataset(str(built.output / "dataset"), kind, split="train", cache_dir=str(tmp_path))
    common = {
        "output_dir": str(tmp_path), "max_steps": 1, "per_device_train_batch_size": 2,
        "use_cpu": True, "bf16": False, "report_to": "none", "max_length": 512,
        "save_strategy": "no", "logging_steps": 1,
    }  # fmt: skip
    model, tokenizer = tiny
    if kind == "dpo":
        arguments = trl.DPOConfig(**common, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 1.0])
        trainer = trl.DPOTrainer(
            copy.deepcopy(model), copy.deepcopy(model), arguments, train_dataset=data,
            processing_class=tokenizer,
        )  # fmt: skip
    elif kind == "kto":
        trainer = trl.KTOTrainer(
            copy.deepcopy(model), copy.deepcopy(model), trl.KTOConfig(**common),
            train_dataset=data, processing_class=tokenizer,
        )  # fmt: skip
    else:
        trainer = trl.SFTTrainer(
            copy.deepcopy(model), trl.SFTConfig(**common), train_dataset=data,
            processing_class=tokenizer,
        )  # fmt: skip
    loss = trainer.train().training_loss
    assert 0 < loss < 20
