"""Shapes of causal language models: what the memory estimates need from a `config.json`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codedpo_plugin.errors import InputError


@dataclass(frozen=True)
class Shape:
    """A dense transformer."""

    layers: int
    hidden: int
    inner: int
    """Width of the feed-forward layer"""
    heads: int
    kv_heads: int
    vocabulary: int
    gated: bool = True
    """Three feed-forward matrices (SwiGLU) rather than two"""
    tied: bool = False
    """One matrix for embedding and head"""

    @property
    def parameters(self) -> int:
        """Weights of all matrices, without biases and norms (under 0.1 %)."""
        head = self.hidden // self.heads
        attention = 2 * self.hidden**2 + 2 * self.hidden * head * self.kv_heads
        feed_forward = (3 if self.gated else 2) * self.hidden * self.inner
        embeddings = (1 if self.tied else 2) * self.vocabulary * self.hidden
        return self.layers * (attention + feed_forward) + embeddings

    @property
    def largest(self) -> int:
        """Weights of the largest piece that sharding gathers at a time: a layer, or the head."""
        layer = (self.parameters - self.vocabulary * self.hidden * (2 - self.tied)) // self.layers
        return max(layer, self.vocabulary * self.hidden)


_CODELLAMA = Shape(32, 4096, 11008, 32, 32, 32000)
_DEEPSEEK = Shape(32, 4096, 11008, 32, 32, 32256)

# From the models' config.json, so that recipes can be planned without a network.
KNOWN = {
    "microsoft/phi-2": Shape(32, 2560, 10240, 32, 32, 51200, gated=False),
    "deepseek-ai/deepseek-coder-1.3b-base": Shape(24, 2048, 5504, 16, 16, 32256),
    "deepseek-ai/deepseek-coder-6.7b-base": _DEEPSEEK,
    "bigcode/starcoder2-7b": Shape(32, 4608, 18432, 36, 4, 49152, gated=False, tied=True),
    "ise-uiuc/Magicoder-CL-7B": _CODELLAMA,
    "ise-uiuc/Magicoder-S-CL-7B": _CODELLAMA,
    "ise-uiuc/Magicoder-DS-6.7B": _DEEPSEEK,
    "ise-uiuc/Magicoder-S-DS-6.7B": _DEEPSEEK,
    "Qwen/Qwen2.5-Coder-0.5B-Instruct": Shape(24, 896, 4864, 14, 2, 151936, tied=True),
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": Shape(28, 1536, 8960, 12, 2, 151936, tied=True),
    "Qwen/Qwen2.5-Coder-3B-Instruct": Shape(36, 2048, 11008, 16, 2, 151936, tied=True),
    "Qwen/Qwen2.5-Coder-7B-Instruct": Shape(28, 3584, 18944, 28, 4, 152064),
    "Qwen/Qwen2.5-Coder-14B-Instruct": Shape(48, 5120, 13824, 40, 8, 152064),
    "Qwen/Qwen2.5-Coder-32B-Instruct": Shape(64, 5120, 27648, 40, 8, 152064),
}

_UNGATED = ("phi", "starcoder2", "gpt2", "gpt_neox", "gptj", "codegen", "gpt_bigcode")


def shape_of(model: str) -> Shape:
    """The shape of a model: one of `KNOWN`, in a folder, or on the hub (only config.json is read).

    Raises:
        InputError: there is no config.json, or the model is not dense (mixture of experts).
    """
    if model in KNOWN:
        return KNOWN[model]
    path = Path(model) / "config.json"
    if not path.exists():
        path = _download(model)
    return read(json.loads(path.read_text(encoding="utf-8")), model)


def read(config: dict[str, Any], model: str) -> Shape:
    """The shape in a `config.json`.

    Raises:
        InputError: a key is missing, or the model is a mixture of experts.
    """
    if any("expert" in key for key in config):
        raise InputError(f"{model}: a mixture of experts, which `plan` cannot count")
    kind = str(config.get("model_type"))
    try:
        return Shape(
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            inner=config["intermediate_size"],
            heads=config["num_attention_heads"],
            kv_heads=config.get("num_key_value_heads") or config["num_attention_heads"],
            vocabulary=config["vocab_size"],
            gated=kind not in _UNGATED,
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except KeyError as error:
        raise InputError(f"{model}: config.json ({kind}) has no {error}") from None


def _download(model: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(model, "config.json"))
    except Exception as error:  # errors of different hub versions have no common base
        first = str(error).strip().split("\n")[0]
        raise InputError(f"{model}: no config.json, locally or on the hub: {first}") from None
