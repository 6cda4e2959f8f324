"""Axolotl 0.19: recipes for `axolotl train`."""

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from codedpo_plugin.errors import InputError
from codedpo_plugin.training import data
from codedpo_plugin.training.axolotl_section import section_of
from codedpo_plugin.training.findings import Finding, Level
from codedpo_plugin.training.stacks.base import (
    CommonKeys,
    Key,
    Keys,
    MemoryAdvice,
    TrainingRecipe,
)

PLUGIN = "codedpo_plugin.axolotl.CodeDPOPlugin"

# Keys of an entry of `datasets` that Axolotl reads for `rl: dpo`.
_READ = {
    "path", "split", "type", "data_files", "revision", "field_messages", "field_chosen",
    "field_rejected",
}  # fmt: skip


class AxolotlRecipe(TrainingRecipe):
    """A recipe with `base_model` and `rl`."""

    stack = "axolotl"
    common = CommonKeys(
        model=Key("base_model"),
        max_length=Key("sequence_len", 512),
        batch_size=Key("micro_batch_size", 1),
        epochs=Key("num_epochs", 1),
        lora_rank=Key("lora_r", 8),
        output=Key("output_dir", "./model-out"),
    )
    advice = MemoryAdvice(
        one_gpu="one GPU",
        strategies={
            "ddp": "plain data parallelism (no key)",
            "zero2": "deepspeed: deepspeed_configs/zero2.json",
            "zero3": "deepspeed: deepspeed_configs/zero3.json",
            "fsdp2": "fsdp_version: 2",
            "zero3-offload": "deepspeed: deepspeed_configs/zero3_bf16_cpuoffload_all.json",
        },
        lora="adapter: lora",
        checkpointing_on="gradient_checkpointing: true",
        checkpointing_off="gradient_checkpointing: false",
    )

    @classmethod
    def recognizes(cls, keys: Keys) -> bool:
        return "base_model" in keys or "rl" in keys

    @staticmethod
    def method_in(keys: Keys) -> str:
        return str(keys.get("rl", "sft"))

    @property
    def lora(self) -> bool:
        return bool(self.keys.get("adapter"))

    @property
    def gradient_checkpointing(self) -> bool:
        return bool(self.keys.get("gradient_checkpointing"))

    def launch_command(self, path: Path, gpus: int) -> str:
        return f"axolotl train {path}"

    def splits(self) -> dict[str, Any]:
        if "codedpo" in self.keys:
            section = section_of(self.keys)
            if section.recipe and not section.folder.exists():
                raise InputError(f"codedpo.recipe: {section.folder} is built when training starts")
            return data.read(str(section.folder), section.config or self.method)
        entries = self.keys.get("datasets") or []
        if not entries:
            raise InputError("datasets: none given, nor a `codedpo` section")
        path = str(entries[0].get("path"))
        if Path(path).is_file():
            return data.read_files({"train": path})
        return data.read(path, entries[0].get("name"))

    def schema_errors(self) -> Iterator[str]:
        """Axolotl itself drops a key that it does not know."""
        schema = importlib.import_module("axolotl.utils.schemas.config").AxolotlInputConfig
        known = set(schema.model_fields) | {"codedpo"}
        yield from self.unknown_keys(set(self.keys) - known, known)
        values = {key: value for key, value in self.keys.items() if key in known}
        try:
            schema.model_validate({"datasets": [{"path": "codedpo"}]} | values)
        except ValidationError as error:
            for wrong in error.errors():
                key = ".".join(map(str, wrong["loc"])) or "keys that do not go together"
                yield f"{key}: {wrong['msg'].removeprefix('Value error, ')}"

    def key_pitfalls(self, gpus: int) -> Iterator[Finding]:
        """Plugins and datasets: what Axolotl only logs, or drops."""
        plugins = self.keys.get("plugins") or []
        if "codedpo" in self.keys and PLUGIN not in plugins:
            message = f"codedpo: nothing reads it without `plugins: [{PLUGIN}]`"
            yield Finding("error", "keys", message)
        for plugin in plugins:
            if importlib.util.find_spec(str(plugin).split(".")[0]) is None:
                message = f"plugins: {plugin} is not installed, and Axolotl continues without it"
                yield Finding("error", "keys", message)
        for entry in self.keys.get("datasets") or []:
            if self.keys.get("rl") == "dpo" and (dropped := sorted(set(entry) - _READ)):
                message = f"datasets: Axolotl drops {', '.join(dropped)} for rl: dpo"
                yield Finding("warning", "keys", message)
        prepared = Path(str(self.keys.get("dataset_prepared_path") or "last_run_prepared"))
        if "codedpo" not in self.keys and prepared.is_dir():
            message = (
                f"{prepared}: Axolotl reuses rows prepared earlier for any file of the same name: "
                "remove it, or run `axolotl preprocess`"
            )
            yield Finding("warning", "keys", message)

    def row_pitfalls(self, rows: Any, gpus: int) -> Iterator[Finding]:
        if "codedpo" in self.keys or isinstance(rows[0]["prompt"], str):
            return
        if not self.keys["datasets"][0].get("type") and not self.keys.get("skip_prepare_dataset"):
            message = "datasets: rows of messages need a `type`, or skip_prepare_dataset: true"
            yield Finding("error", "data", message)

    def string_pitfalls(self, tokenizer: Any) -> Iterator[Finding]:
        if tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id:
            message = (
                f"Axolotl writes {tokenizer.bos_token} twice before rows of strings: use messages"
            )
            yield Finding("warning", "tokens", message)

    @property
    def trimming(self) -> Level:
        """Axolotl's own template strategy keeps one character of a completion that is trimmed."""
        entries = self.keys.get("datasets") or [{}]
        return "error" if "chat_template" in str(entries[0].get("type")) else "warning"
