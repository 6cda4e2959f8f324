"""Training recipes merged, checked before launch, planned, and their logs read."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.training import axolotl_section, curves, memory, model_shapes
from codedpo_plugin.training import recipe as training
from helpers.paths import RECIPES

DPO = RECIPES / "trl" / "dpo.yaml"


def text_of(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_later_files_win_null_removes_and_extends_is_below(tmp_path: Path) -> None:
    text_of(tmp_path / "base.yaml", "beta: 0.1\nmax_length: 512\nenv: {A: 1}\n")
    text_of(tmp_path / "mine.yaml", "extends: base.yaml\nbeta: null\nenv: {B: 2}\n")
    other = text_of(tmp_path / "model.yaml", "max_length: 64\n")
    recipe = training.load([tmp_path / "mine.yaml", other], ["env.A=3", "learning_rate=1.0e-3"])
    assert recipe.keys == {"max_length": 64, "env": {"A": 3, "B": 2}, "learning_rate": 1e-3}
    training.write(recipe, tmp_path / "out" / "train.yaml")
    assert training.load([tmp_path / "out" / "train.yaml"]).keys == recipe.keys


def test_a_recipe_that_extends_itself_is_refused(tmp_path: Path) -> None:
    text_of(tmp_path / "a.yaml", "extends: b.yaml\n")
    text_of(tmp_path / "b.yaml", "extends: a.yaml\n")
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
def test_stack_and_method_are_seen_in_the_keys(name: str, stack: str, method: str) -> None:
    recipe = training.load([RECIPES / name])
    assert (recipe.stack, recipe.method) == (stack, method)
    assert recipe.number("max_length") == 2048


def test_a_build_recipe_is_no_training_recipe() -> None:
    with pytest.raises(InputError, match="codedpo build"):
        training.load([RECIPES / "build" / "paper.yaml"])


# What the shapes say, held against the models' published sizes.
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
        recipe = training.load([DPO, path])
        assert recipe["model"] in model_shapes.KNOWN


def planned(*overrides: str, model: str = "qwen2.5-coder-7b") -> memory.Setting:
    path = RECIPES / "trl" / "models" / f"{model}.yaml"
    return memory.setting_of(training.load([DPO, path], list(overrides)))


def test_memory_of_seven_billion_parameters() -> None:
    setting = planned()
    ddp = memory.memory(setting, "ddp", 8)
    parameters = setting.shape.parameters / memory.GIB
    assert ddp["weights"] + ddp["grads"] + ddp["Adam"] == pytest.approx(18 * parameters)
    zero3 = memory.memory(setting, "zero3", 8)
    assert zero3["Adam"] == pytest.approx(12 * parameters / 8)
    assert ddp["reference"] == 0
    kept = planned("precompute_ref_log_probs=false")
    assert memory.memory(kept, "ddp", 8)["reference"] == pytest.approx(4 * parameters)
    totals = [memory.total(setting, name, 8) for name in ("ddp", "zero2", "zero3")]
    assert totals == sorted(totals, reverse=True)


def test_advice_names_the_first_thing_that_fits() -> None:
    assert "one-gpu.yaml" in memory.advice(planned(model="qwen2.5-coder-1.5b"), 126, 1)
    assert "zero2.yaml" in memory.advice(planned(), 126, 8)
    assert "change: train with LoRA" in memory.advice(planned(), 72, 1)
    kept = planned("precompute_ref_log_probs=false", model="qwen2.5-coder-1.5b")
    assert "precompute_ref_log_probs: true" in memory.advice(kept, 36, 1)
    assert "nothing fits" in memory.advice(planned(), 2, 1)


def test_advice_is_in_the_words_of_the_stack() -> None:
    """LLaMA-Factory cannot compute the reference beforehand, and has its own names for the rest."""
    recipe = training.load([RECIPES / "llamafactory" / "dpo.yaml"], ["finetuning_type=full"])
    full = memory.setting_of(recipe)
    assert "ds_z2_config.json" in memory.advice(full, 126, 8)
    assert memory.advice(full, 72, 1).startswith("change: finetuning_type: lora; then take one GPU")
    assert not any(new.reference is False and new.lora_rank is None for new in memory.changed(full))
    axolotl = memory.setting_of(training.load([RECIPES / "axolotl" / "dpo.yaml"]))
    assert "deepspeed: deepspeed_configs/zero2.json" in memory.advice(axolotl, 72, 8)


def test_an_unknown_gpu_is_named_with_those_known() -> None:
    recipe = training.load([DPO, RECIPES / "trl" / "models" / "phi-2.yaml"])
    with pytest.raises(InputError, match="h200"):
        memory.plan(recipe, "h2000", 1, Console(quiet=True))
    memory.plan(recipe, "48gb", 1, Console(quiet=True))


def test_shape_of_a_saved_config(tmp_path: Path) -> None:
    config = {
        "model_type": "qwen2", "num_hidden_layers": 2, "hidden_size": 8, "intermediate_size": 16,
        "num_attention_heads": 2, "vocab_size": 10, "tie_word_embeddings": True,
    }  # fmt: skip
    text_of(tmp_path / "config.json", json.dumps(config))
    assert model_shapes.shape_of(str(tmp_path)).parameters == 2 * (4 * 64 + 3 * 128) + 80
    text_of(tmp_path / "config.json", json.dumps(config | {"num_experts": 8}))
    with pytest.raises(InputError, match="mixture"):
        model_shapes.shape_of(str(tmp_path))


def logged(folder: Path, **metrics: list[float]) -> Path:
    """A run folder whose checkpoint has these values by step."""
    checkpoint = folder / "checkpoint-40"
    checkpoint.mkdir(parents=True)
    history = [
        {"step": 10 * (n + 1), "epoch": 0.1}
        | {k.replace("__", "/"): v[n] for k, v in metrics.items()}
        for n in range(len(next(iter(metrics.values()))))
    ]
    text_of(checkpoint / "trainer_state.json", json.dumps({"log_history": history}))
    return folder


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"rewards__chosen": [0.0, -0.5, -3.0], "rewards__margins": [0.0, 1.0, 2.0]}, "unlikely"),
        ({"rewards__chosen": [0.0, 0.1, 0.2], "rewards__margins": [0.0, 5.0, 15.0]}, "exploded"),
        ({"rewards__chosen": [0.0, 0.0, 0.0], "rewards__margins": [0.0, 0.0, 0.001]}, "not part"),
        ({"eval_loss": [0.7, 0.5, 0.6]}, "0.500 at step 20"),
        ({"loss": [0.7, 0.5, float("nan")]}, "not a number"),
    ],
)
def test_warnings(metrics: dict[str, list[float]], said: str, tmp_path: Path) -> None:
    run = curves.read(logged(tmp_path / "run", **({"loss": [0.7, 0.6, 0.5]} | metrics)))
    (warning,) = curves.warnings(run)
    assert said in warning


def test_a_healthy_run_is_drawn_without_warning(tmp_path: Path) -> None:
    run = logged(
        tmp_path / "run", loss=[0.7, 0.5, 0.4], rewards__chosen=[0.0, 0.2, 0.3],
        rewards__rejected=[0.0, -0.5, -0.9], rewards__margins=[0.0, 0.7, 1.2],
        logps__chosen=[-90.0, -88.0, -87.0], logps__rejected=[-95.0, -100.0, -104.0],
    )  # fmt: skip
    sft = logged(tmp_path / "sft", loss=[0.7, 0.5, 0.4])
    with open(tmp_path / "said.txt", "w") as file:
        curves.show([run, sft], None, Console(file=file, width=120))
    assert "warning" not in (tmp_path / "said.txt").read_text()
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_a_log_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="save_strategy"):
        curves.read(tmp_path)


def llamafactory(built: Recipe, tmp_path: Path, **keys: Any) -> training.TrainingRecipe:
    folder = built.output / "dataset" / "llamafactory"
    values = {"dataset_dir": str(folder)} | keys
    sets = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    return training.load([RECIPES / "llamafactory" / "dpo.yaml"], ["eval_dataset=null", *sets])


def test_llamafactory_data_is_found_by_its_list(built: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="pip install 'codedpo[train]'")
    from codedpo_plugin.training import data

    rows = data.load(llamafactory(built, tmp_path))["train"]
    assert {"prompt", "chosen", "rejected"} <= set(rows.column_names)
    with pytest.raises(InputError, match="there: codedpo_dpo"):
        data.load(llamafactory(built, tmp_path, dataset="codedpo_dp"))
    with pytest.raises(InputError, match="not a ranking dataset"):
        data.load(llamafactory(built, tmp_path, dataset="codedpo_kto"))


@pytest.mark.parametrize(
    ("form", "row", "message"),
    [
        ({"formatting": "openai"}, {}, "a system prompt into every row"),
        ({"formatting": "sharegpt"}, {"chosen": [{"value": "c"}]}, "drops every row of lists"),
        ({}, {"prompt": [{"role": "user", "content": "p"}]}, "drops every row of messages"),
        ({"ranking": False, "columns": {"prompt": "prompt", "response": "chosen", "kto_tag": "rejected"}},
         {"rejected": "true"}, "must be true or false"),
        ({"file_name": None, "script_url": "x"}, {}, "neither file_name nor hf_hub_url"),
    ],
)  # fmt: skip
def test_rows_that_llamafactory_would_misread(
    form: dict[str, Any], row: dict[str, Any], message: str, built: Recipe, tmp_path: Path
) -> None:
    pytest.importorskip("datasets", reason="pip install 'codedpo[train]'")
    from codedpo_plugin.training import data

    columns = {name: name for name in ("prompt", "chosen", "rejected")}
    entry = {"file_name": "rows.jsonl", "ranking": True, "columns": columns} | form
    info = {"mine": {key: value for key, value in entry.items() if value is not None}}
    text_of(tmp_path / "dataset_info.json", json.dumps(info))
    text_of(
        tmp_path / "rows.jsonl", json.dumps({"prompt": "p", "chosen": "c", "rejected": "r"} | row)
    )
    keys = {"dataset_dir": str(tmp_path), "dataset": "mine"} | (
        {} if entry["ranking"] else {"stage": "kto"}
    )
    with pytest.raises(InputError, match=message):
        data.load(llamafactory(built, tmp_path, **keys))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"datasset": "x"}, "codedpo.datasset: unknown key; did you mean 'dataset'?"),
        ({"zzz": "x"}, "valid keys: dataset, recipe, config"),
        ({"dataset": "x", "recipe": "y"}, "codedpo: give one of"),
        ({"dataset": "x", "config": "dpoo"}, "codedpo.config: Input should be"),
    ],
)
def test_a_wrong_section_for_axolotl_is_named(section: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as raised:
        axolotl_section.section_of({"rl": "dpo", "codedpo": section})
    assert message in str(raised.value)
