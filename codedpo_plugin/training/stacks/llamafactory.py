"""LLaMA-Factory 0.9.5: recipes for `llamafactory-cli train`."""

import dataclasses
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codedpo_plugin.errors import InputError, did_you_mean
from codedpo_plugin.training import data
from codedpo_plugin.training.findings import Finding
from codedpo_plugin.training.stacks.base import (
    CommonKeys,
    Key,
    Keys,
    MemoryAdvice,
    TrainingRecipe,
)


class LlamaFactoryRecipe(TrainingRecipe):
    """A recipe with `stage` and `dataset_dir`."""

    stack = "llamafactory"
    common = CommonKeys(
        model=Key("model_name_or_path"),
        max_length=Key("cutoff_len", 2048),
        batch_size=Key("per_device_train_batch_size", 8),
        epochs=Key("num_train_epochs", 3),
        lora_rank=Key("lora_rank", 8),
        output=Key("output_dir"),
    )
    advice = MemoryAdvice(
        one_gpu="one GPU",
        strategies={
            "ddp": "plain data parallelism (no key)",
            "zero2": "deepspeed: examples/deepspeed/ds_z2_config.json",
            "zero3": "deepspeed: examples/deepspeed/ds_z3_config.json",
            "fsdp2": "examples/accelerate/fsdp2_config.yaml",
            "zero3-offload": "deepspeed: examples/deepspeed/ds_z3_offload_config.json",
        },
        lora="finetuning_type: lora",
        checkpointing_on="disable_gradient_checkpointing: false",
        checkpointing_off="disable_gradient_checkpointing: true",
    )
    can_precompute_reference = False
    applies_template = True

    @classmethod
    def recognizes(cls, keys: Keys) -> bool:
        return "stage" in keys or "dataset_dir" in keys

    @staticmethod
    def method_in(keys: Keys) -> str:
        return str(keys.get("stage", "sft"))

    @property
    def lora(self) -> bool:
        return bool(self.keys.get("finetuning_type", "lora") == "lora")

    @property
    def gradient_checkpointing(self) -> bool:
        return not self.keys.get("disable_gradient_checkpointing", False)

    def launch_command(self, path: Path, gpus: int) -> str:
        return f"llamafactory-cli train {path}"

    def splits(self) -> dict[str, Any]:
        """The entries of dataset_info.json that `dataset` and `eval_dataset` name."""
        folder = Path(self.keys.get("dataset_dir", "data"))
        info_path = folder / "dataset_info.json"
        try:
            info = json.loads(info_path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"dataset_dir: {info_path}: {error}") from None
        splits = {}
        for split, key in (("train", "dataset"), ("test", "eval_dataset")):
            if key in self.keys:
                name = str(self.keys[key]).split(",")[0].strip()
                splits[split] = _entry_rows(info, key, name, folder, self.method)
        if "train" not in splits:
            raise InputError(f"dataset: none given; {info_path} lists {', '.join(info)}")
        return splits

    def schema_errors(self) -> Iterator[str]:
        classes = importlib.import_module("llamafactory.hparams.parser")._TRAIN_ARGS
        known = {field.name for kind in classes for field in dataclasses.fields(kind)}
        yield from self.unknown_keys(set(self.keys) - known, known)
        templates = importlib.import_module("llamafactory.data.template").TEMPLATES
        template = self.keys.get("template")
        if template and template not in templates:
            hint = did_you_mean(template, templates)
            yield f"template: LLaMA-Factory knows no {template!r}{hint}"

    def key_pitfalls(self, gpus: int) -> Iterator[Finding]:
        if self.keys.get("max_samples") == -1:
            message = "max_samples: LLaMA-Factory slices with -1; leave the key out for all rows"
            yield Finding("error", "keys", message)

    def template_pitfalls(self, tokenizer: Any) -> Iterator[Finding]:
        """The template that the recipe names, compared with the model's on one exchange."""
        if not self.installed:
            return
        templates = importlib.import_module("llamafactory.data.template").TEMPLATES
        name = self.keys.get("template") or "empty"
        if name not in templates or not tokenizer.chat_template:
            return
        exchange = [{"role": "user", "content": "1 + 1"}, {"role": "assistant", "content": "2"}]
        prompt, answer = templates[name].encode_oneturn(tokenizer, exchange)
        named = tokenizer.decode(prompt + answer).strip()
        own = tokenizer.apply_chat_template(exchange, tokenize=False).strip()
        if named == own:
            yield Finding("ok", "template", f"{name} is the model's own")
        else:
            message = f"template: {name} gives {named!r}, the model's own is {own!r}"
            yield Finding("warning", "template", message)


def _entry_rows(info: dict[str, Any], key: str, name: str, folder: Path, method: str) -> Any:
    """The rows of one entry of dataset_info.json, columns named as in `data.COLUMNS`."""
    if name not in info:
        hint = did_you_mean(name, info) or f"; there: {', '.join(info)}"
        raise InputError(f"{key}: {name!r} is not in dataset_info.json{hint}")
    entry = info[name]
    if bool(entry.get("ranking")) != (method == "dpo"):
        kind = "a ranking dataset" if entry.get("ranking") else "not a ranking dataset"
        raise InputError(f"{key}: {name!r} is {kind}, and `stage` is {method}")
    if "file_name" in entry:
        rows = data.read_files({"train": str(folder / entry["file_name"])})["train"]
    elif "hf_hub_url" in entry:
        rows = data.read(entry["hf_hub_url"], entry.get("subset"))[entry.get("split", "train")]
    else:
        raise InputError(
            f"{key}: {name!r} has neither file_name nor hf_hub_url; others are not read"
        )
    names = {"response": "completion", "kto_tag": "label", "messages": "prompt"}
    columns = {column: names.get(role, role) for role, column in entry.get("columns", {}).items()}
    renamed = {old: new for old, new in columns.items() if old in rows.column_names and old != new}
    rows = rows.rename_columns(renamed)
    if misread := _misread(entry, rows[0]):
        raise InputError(f"{key}: {name!r}: {misread}")
    return rows


def _misread(entry: dict[str, Any], row: dict[str, Any]) -> str | None:
    """What LLaMA-Factory makes of rows that its converters are not for; it does not say so."""
    form = entry.get("formatting", "alpaca")
    if form == "openai":
        return "`openai` writes a system prompt into every row: use `sharegpt` with `tags`"
    sides = [row[side] for side in ("chosen", "rejected") if side in row]
    if form == "sharegpt" and any(isinstance(side, list) for side in sides):
        return "`sharegpt` expects one message for each of chosen and rejected, and drops lists"
    if form == "alpaca" and not all(isinstance(text, str) for text in (row["prompt"], *sides)):
        return "`alpaca` expects strings, and drops rows of messages"
    if "kto_tag" in entry.get("columns", {}) and not isinstance(row.get("label"), bool):
        return "kto_tag must be true or false"
    return None
