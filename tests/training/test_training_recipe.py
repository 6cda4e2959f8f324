"""Training recipes: files merged, the stack and method recognised, the result written."""

from pathlib import Path

import pytest

from codedpo_plugin.errors import InputError
from codedpo_plugin.training import recipe as training
from helpers.paths import RECIPES


def test_later_files_win_null_removes_and_extends_is_below(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("beta: 0.1\nmax_length: 512\nenv: {A: 1}\n")
    mine, model = tmp_path / "mine.yaml", tmp_path / "model.yaml"
    mine.write_text("extends: base.yaml\nbeta: null\nenv: {B: 2}\n")
    model.write_text("max_length: 64\n")
    recipe = training.load([mine, model], ["env.A=3", "learning_rate=1.0e-3"])
    assert recipe.keys == {"max_length": 64, "env": {"A": 3, "B": 2}, "learning_rate": 1e-3}
    training.write(recipe, tmp_path / "out" / "train.yaml")
    assert training.load([tmp_path / "out" / "train.yaml"]).keys == recipe.keys


def test_a_recipe_that_extends_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(InputError, match="extends itself"):
        training.load([tmp_path / "a.yaml"])


@pytest.mark.parametrize(
    ("name", "stack", "method"),
    [
        ("trl/dpo.yaml", "trl", "dpo"),
        ("trl/kto.yaml", "trl", "kto"),
        ("trl/sft.yaml", "trl", "sft"),
        ("axolotl/kto.yaml", "axolotl", "kto"),
        ("llamafactory/dpo.yaml", "llamafactory", "dpo"),
    ],
)
def test_stack_and_method_are_recognised_by_the_keys(name: str, stack: str, method: str) -> None:
    recipe = training.load([RECIPES / name])
    assert (recipe.stack, recipe.method) == (stack, method)
    assert recipe.max_length == 2048


def test_a_method_without_datasets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "orpo.yaml").write_text("base_model: m\nrl: orpo\n")
    with pytest.raises(InputError, match="'orpo': datasets of codedpo are for dpo, kto and sft"):
        training.load([tmp_path / "orpo.yaml"])


def test_the_stacks_answer_the_same_questions_each_from_its_own_keys(tmp_path: Path) -> None:
    texts = {
        "trl": "model_name_or_path: m\nmax_length: 9\nuse_peft: true\ngradient_checkpointing: false\n",
        "axolotl": "base_model: m\nsequence_len: 9\nadapter: lora\n",
        "llamafactory": (
            "stage: sft\nmodel_name_or_path: m\ncutoff_len: 9\nfinetuning_type: lora\n"
            "disable_gradient_checkpointing: true\n"
        ),
    }
    for stack, text in texts.items():
        path = tmp_path / f"{stack}.yaml"
        path.write_text(text)
        recipe = training.load([path])
        assert recipe.stack == stack
        assert (recipe.model, recipe.max_length) == ("m", 9)
        assert (recipe.lora, recipe.gradient_checkpointing) == (True, False)
        assert str(path) in recipe.launch_command(path, 1)


def test_a_number_that_is_none_is_named(tmp_path: Path) -> None:
    recipe = training.load([RECIPES / "axolotl" / "dpo.yaml"], ["sequence_len=long"])
    with pytest.raises(InputError, match="sequence_len: 'long' is not a number"):
        _ = recipe.max_length


def test_a_build_recipe_is_no_training_recipe() -> None:
    with pytest.raises(InputError, match="codedpo build"):
        training.load([RECIPES / "build" / "paper.yaml"])
