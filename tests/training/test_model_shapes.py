"""Parameters of models, from their shapes."""

import json
from pathlib import Path

import pytest

from codedpo_plugin.errors import InputError
from codedpo_plugin.training import model_shapes
from codedpo_plugin.training import recipe as training
from helpers.paths import RECIPES


# Parameters of the shapes, against the models' published sizes.
@pytest.mark.parametrize(
    ("model", "billions"),
    [
        ("microsoft/phi-2", 2.78),
        ("deepseek-ai/deepseek-coder-1.3b-base", 1.35),
        ("deepseek-ai/deepseek-coder-6.7b-base", 6.74),
        ("bigcode/starcoder2-7b", 7.17),
        ("ise-uiuc/Magicoder-CL-7B", 6.74),
        ("Qwen/Qwen2.5-Coder-0.5B-Instruct", 0.49),
        ("Qwen/Qwen2.5-Coder-1.5B-Instruct", 1.54),
        ("Qwen/Qwen2.5-Coder-3B-Instruct", 3.09),
        ("Qwen/Qwen2.5-Coder-7B-Instruct", 7.62),
        ("Qwen/Qwen2.5-Coder-14B-Instruct", 14.77),
        ("Qwen/Qwen2.5-Coder-32B-Instruct", 32.76),
    ],
)
def test_parameters_are_those_published(model: str, billions: float) -> None:
    assert model_shapes.shape_of(model).parameters / 1e9 == pytest.approx(billions, abs=0.011)


def test_every_model_file_can_be_planned() -> None:
    for path in (RECIPES / "trl" / "models").glob("*.yaml"):
        recipe = training.load([RECIPES / "trl" / "dpo.yaml", path])
        assert recipe.model in model_shapes.KNOWN


def test_shape_of_a_saved_config(tmp_path: Path) -> None:
    config = {
        "model_type": "qwen2", "num_hidden_layers": 2, "hidden_size": 8, "intermediate_size": 16,
        "num_attention_heads": 2, "vocab_size": 10, "tie_word_embeddings": True,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert model_shapes.shape_of(str(tmp_path)).parameters == 2 * (4 * 64 + 3 * 128) + 80
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_experts": 8}))
    with pytest.raises(InputError, match="mixture"):
        model_shapes.shape_of(str(tmp_path))
