"""TRL 1.16: recipes for `trl dpo`, `trl kto` and `trl sft`."""

import argparse
import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from codedpo_plugin.errors import InputError
from codedpo_plugin.training import data
from codedpo_plugin.training.findings import Finding
from codedpo_plugin.training.stacks import trl_pitfalls
from codedpo_plugin.training.stacks.base import (
    CommonKeys,
    Key,
    Keys,
    MemoryAdvice,
    TrainingRecipe,
)

# TRL's recipes do not name the command they are for: the loss decides. Others are DPO's.
_METHOD_OF_LOSS = {
    "kto": "kto",
    "apo_zero_unpaired": "kto",
    "nll": "sft",
    "chunked_nll": "sft",
    "dft": "sft",
}


class TrlRecipe(TrainingRecipe):
    """A recipe with neither Axolotl's keys nor LLaMA-Factory's."""

    stack = "trl"
    common = CommonKeys(
        model=Key("model_name_or_path"),
        max_length=Key("max_length", 1024),
        batch_size=Key("per_device_train_batch_size", 8),
        epochs=Key("num_train_epochs", 3),
        lora_rank=Key("lora_r", 16),
        output=Key("output_dir"),
    )
    removed_keys: ClassVar = {
        "max_prompt_length": "TRL has no such limit since 0.29: `max_length` bounds both together",
        "max_completion_length": "TRL has no such limit since 0.29: `max_length` bounds both",
        "rpo_alpha": "write `loss_type: [sigmoid, sft]` and `loss_weights: [1.0, ALPHA]`",
        "warmup_ratio": "write `warmup_steps: 0.1`: below 1 it is a share of all steps",
        "logging_dir": "set TENSORBOARD_LOGGING_DIR in `env`",
        "use_liger_loss": "the fused head of TRL 1.15 replaces it, and is always on",
        "extends": "resolve it with `--write`",
    }
    advice = MemoryAdvice(
        one_gpu="recipes/accelerate/one-gpu.yaml",
        strategies={
            name: f"recipes/accelerate/{name}.yaml"
            for name in ("ddp", "zero2", "zero3", "fsdp2", "zero3-offload")
        },
        lora="train with LoRA (recipes/trl/lora.yaml)",
        checkpointing_on="gradient_checkpointing: true",
        checkpointing_off="gradient_checkpointing: false",
    )
    builds_logits = False  # the fused head of TRL 1.15 and later

    @classmethod
    def recognizes(cls, keys: Keys) -> bool:
        return True

    @staticmethod
    def method_in(keys: Keys) -> str:
        loss = keys.get("loss_type", "sigmoid")
        return _METHOD_OF_LOSS.get(loss, "dpo") if isinstance(loss, str) else "dpo"

    @property
    def lora(self) -> bool:
        return bool(self.keys.get("use_peft"))

    @property
    def gradient_checkpointing(self) -> bool:
        return bool(self.keys.get("gradient_checkpointing", True))

    @property
    def frozen_bytes(self) -> int:
        """TRL loads float32 weights unless `dtype` is given."""
        return 4 if self.keys.get("dtype") is None else 2

    def launch_command(self, path: Path, gpus: int) -> str:
        if gpus == 1 or "accelerate_config" in self.keys:
            return f"trl {self.method} --config {path}"
        if self.keys.get("use_cpu"):  # `accelerate launch --cpu` would train on one process
            return f"torchrun --nproc_per_node {gpus} -m trl.scripts.{self.method} --config {path}"
        several = f"--accelerate_config recipes/accelerate/ddp.yaml --num_processes {gpus}"
        return f"trl {self.method} --config {path} {several}"

    def splits(self) -> dict[str, Any]:
        if "datasets" in self.keys:
            return self._mixture()
        if "dataset_name" not in self.keys:
            raise InputError("dataset_name: none given; --set dataset_name=runs/NAME/dataset")
        splits = data.read(str(self.keys["dataset_name"]), self.keys.get("dataset_config"))
        train = self.keys.get("dataset_train_split", "train")
        if train not in splits:
            raise InputError(
                f"dataset_train_split: no split {train!r} (there: {', '.join(splits)})"
            )
        test = self.keys.get("dataset_test_split", "test")
        if test in splits:
            return {"train": splits[train], "test": splits[test]}
        if self.keys.get("eval_strategy", "no") not in ("no", False):
            raise InputError(
                f"eval_strategy: there is no split {test!r} to evaluate on: "
                "--set eval_strategy=null --set eval_steps=null, or build with a larger "
                "export.test_fraction"
            )
        return {"train": splits[train]}

    def _mixture(self) -> dict[str, Any]:
        """The rows of several datasets, mixed by TRL."""
        from trl import DatasetMixtureConfig, get_dataset

        names = ("datasets", "streaming", "test_split_size")
        try:
            mixture = {key: self.keys[key] for key in names if key in self.keys}
            return dict(get_dataset(DatasetMixtureConfig(**mixture)))
        except Exception as error:  # anything that the loaders of its parts raise
            raise InputError(f"datasets: {error}") from None

    def schema_errors(self) -> Iterator[str]:
        """TRL hands an unknown key to `accelerate launch`, which answers with a page of usage."""
        from accelerate.commands.launch import launch_command_parser

        parser = importlib.import_module(f"trl.scripts.{self.method}").make_parser()
        known = {action.dest for action in parser._actions}
        launch = {action.dest: action.nargs for action in launch_command_parser()._actions}
        unknown = set(self.keys) - known - {"env", "accelerate_config"}
        for key in sorted(unknown & launch.keys()):
            if launch[key] == 0:
                yield (
                    f"{key}: a switch of `accelerate launch`: give it on the command line, --{key}"
                )
        yield from self.unknown_keys(unknown - launch.keys(), known | launch.keys())
        values = {key: value for key, value in self.keys.items() if key in known}
        if error := _value_error(parser, values):
            yield error

    def key_pitfalls(self, gpus: int) -> Iterator[Finding]:
        yield from trl_pitfalls.of_losses(self)
        yield from trl_pitfalls.of_reference(self)
        yield from trl_pitfalls.of_model(self)
        yield from trl_pitfalls.of_launcher(self, gpus)

    def row_pitfalls(self, rows: Any, gpus: int) -> Iterator[Finding]:
        if images := {"image", "images"} & set(rows.column_names):
            message = f"column {min(images)}: TRL treats the rows as images; rename it"
            yield Finding("error", "data", message)
        yield from trl_pitfalls.of_grouping(self, rows)
        yield from trl_pitfalls.of_reference_batches(self, len(rows), gpus)


def _value_error(parser: Any, values: Keys) -> str | None:
    """What the parser and the configuration classes say against the values, if anything.

    The machine that trains may not be this one, so neither a GPU nor other ranks are required.
    """
    actions = {action.dest: action for action in parser._actions}
    for key, value in values.items():
        if error := _type_error(actions[key], value):
            return f"{key}: {error}"
    elsewhere = {"use_cpu": True, "tf32": None, "ddp_backend": None}
    parser.set_defaults_with_config(**(values | elsewhere))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser.parse_args_into_dataclasses(args=[], return_remaining_strings=True)
    except SystemExit:
        return "the values are refused: see the message above"
    except Exception as error:  # whatever a `__post_init__` of TRL raises
        return str(error)
    return None


def _type_error(action: argparse.Action, value: Any) -> str | None:
    """argparse checks neither types nor choices of values from a file, so this does."""
    several = action.nargs in ("+", "*")
    if isinstance(value, list) and not several and action.type is not None:
        return f"one value is expected, not the list {value!r}"
    for item in value if isinstance(value, list) else [value]:
        if action.choices and item not in action.choices:
            quoted = "; YAML reads a bare `no` as false: write 'no' in quotes" * (item is False)
            return f"{item!r} is not one of {', '.join(map(str, action.choices))}{quoted}"
        if action.type in (int, float):
            try:
                number = float(item)
            except (TypeError, ValueError):
                return f"{item!r} is not a number"
            if action.type is int and number != int(number):
                return f"{item!r} is not a whole number"
    return None
