"""`codedpo check` on TRL recipes: what it must report before anything is launched."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from helpers.paths import RECIPES

pytest.importorskip("trl", reason="pip install 'codedpo[train]'")

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.training import check
from codedpo_plugin.training import recipe as training
from helpers.random_model import tiny

DPO = RECIPES / "trl" / "dpo.yaml"


@pytest.fixture
def settings(built: Recipe, random_model: Path) -> list[str]:
    """Overrides with which dpo.yaml has no errors."""
    return [
        f"model_name_or_path={random_model}", f"dataset_name={built.output / 'dataset'}",
        "eval_strategy=null", "eval_steps=null",
    ]  # fmt: skip


@pytest.fixture
def report(settings: list[str]) -> Callable[..., str]:
    """A function: overrides -> `level about: message` of every finding."""

    def run(*overrides: str, gpus: int = 1) -> str:
        recipe = training.load([DPO], [*settings, "use_cpu=true", *overrides])
        found = check.check(recipe, gpus, Console(quiet=True))
        return "\n".join(f"{f.level} {f.about}: {f.message}" for f in found)

    return run


def test_a_correct_recipe_has_no_errors(report: Callable[..., str]) -> None:
    found = report()
    assert "error" not in found
    assert "ok keys" in found
    assert "ok template" in found
    assert "every row fits" in found


def test_the_newest_checkpoint_of_an_earlier_run_is_named(
    report: Callable[..., str], tmp_path: Path
) -> None:
    for step in (200, 1000):
        (tmp_path / f"checkpoint-{step}").mkdir()
    found = report(f"output_dir={tmp_path}")
    assert f"resume_from_checkpoint={tmp_path}/checkpoint-1000" in found


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lerning_rate=1", "did you mean 'learning_rate'"),
        ("rpo_alpha=1.0", "loss_weights"),
        ("warmup_ratio=0.1", "warmup_steps: 0.1"),
        ("multi_gpu=true", "on the command line, --multi_gpu"),
        ("learning_rate=fast", "'fast' is not a number"),
        ("per_device_train_batch_size=1.5", "not a whole number"),
        ("save_strategy=no", "in quotes"),
        ("lr_scheduler_type=linar", "'linar' is not one of"),
        ("loss_weights=[1.0]", "1 weights for loss_type"),
        ("sync_ref_model=true", "not with sync_ref_model"),
        ("load_best_model_at_end=true", "strategy"),
        ("loss_type=[exo_pair, sft]", "label_smoothing above 0"),
        ("model_init_kwargs={use_kernels: true}", "needs the package kernels"),
        ("lora_target_modules=[q_proj, lm_head]", "refuses lm_head"),
        ("activation_offloading=true", "needs a GPU"),
    ],
)
def test_a_wrong_key_or_value_is_named(
    override: str, message: str, report: Callable[..., str]
) -> None:
    found = report(override)
    assert "error keys" in found
    assert message in found


def test_keys_of_accelerate_launch_are_known(report: Callable[..., str]) -> None:
    found = report("num_processes=4", "accelerate_config=zero2", "env.A=1", gpus=4)
    assert "error" not in found
    assert "num_processes" not in found


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("padding_free=true", "rows are padded"),
        ("dtype=bfloat16", "rounds most updates away"),
        ("ddp_backend=gloo", "accelerate launch ... -m trl.scripts.dpo"),
        ("num_processes=8", "num_processes is 8, but --gpus is 1"),
    ],
)
def test_what_goes_wrong_quietly_is_a_warning(
    override: str, message: str, report: Callable[..., str]
) -> None:
    found = report(override)
    assert "warning keys" in found
    assert message in found
    assert "error" not in found


def test_adapters_may_be_bfloat16(report: Callable[..., str]) -> None:
    assert "rounds" not in report("dtype=bfloat16", "use_peft=true")


def test_lengths_are_grouped_only_by_a_column_that_is_kept(report: Callable[..., str]) -> None:
    found = report("train_sampling_strategy=group_by_length")
    assert "no column 'length'" in found
    assert "remove_unused_columns: false" in found


def test_the_configuration_of_accelerate_is_read(
    report: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "zero3.yaml"
    path.write_text(
        "distributed_type: DEEPSPEED\nnum_processes: 2\ndeepspeed_config: {zero_stage: 3}\n"
    )
    found = report(f"accelerate_config={path}", gpus=2)
    assert "use_cpu: silently switches off the DeepSpeed" in found
    assert "are one batch, which ZeRO-3 fails on" in found
    path.write_text("distributed_type: MULTI_CPU\n")
    assert "one process for MULTI_CPU" in report(f"accelerate_config={path}")


def test_the_next_command_starts_as_many_ranks_as_were_checked(
    settings: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "train.yaml"

    def command(*more: str, gpus: int) -> str:
        console = Console(file=io.StringIO(), width=200)
        check.run([DPO], [*settings, *more], gpus, out, console)
        return console.file.getvalue().split("next     ")[1].strip()

    assert command(gpus=1) == f"trl dpo --config {out}"
    assert command(gpus=2).endswith("recipes/accelerate/ddp.yaml --num_processes 2")
    assert command("use_cpu=true", gpus=2).startswith(
        "torchrun --nproc_per_node 2 -m trl.scripts.dpo"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset_name=./none", "no folder ./none"),
        ("dataset_config=dpoo", "dpoo"),
        ("dataset_config=kto", "dpo needs columns"),
        ("dataset_train_split=trian", "no split 'trian'"),
        ("dataset_test_split=tset", ""),
    ],
)
def test_wrong_data_is_named(override: str, message: str, report: Callable[..., str]) -> None:
    found = report(override)
    assert ("error data" in found) == bool(message)
    assert message in found


def test_evaluation_without_a_test_split_is_an_error(report: Callable[..., str]) -> None:
    assert "there is no split 'tset'" in report("dataset_test_split=tset", "eval_strategy=steps")


def test_batch_arithmetic(report: Callable[..., str]) -> None:
    found = report("per_device_train_batch_size=2", "gradient_accumulation_steps=3", gpus=4)
    assert "2 x 3 x 4 GPUs = 24 rows a step; 1 steps an epoch" in found
    assert "larger than all" in found


def test_messages_need_a_template(report: Callable[..., str], tmp_path: Path) -> None:
    _, tokenizer = tiny()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    assert "export.format=standard" in report(f"model_name_or_path={tmp_path}")


def test_only_a_recipe_without_errors_is_written(settings: list[str], tmp_path: Path) -> None:
    out = tmp_path / "train.yaml"
    with pytest.raises(InputError, match="1 error to fix"):
        check.run([DPO], [*settings, "betta=1"], 1, out, Console(quiet=True))
    assert not out.exists()
    check.run([DPO], settings, 1, out, Console(quiet=True))
    assert training.load([out]).keys == training.load([DPO], settings).keys
