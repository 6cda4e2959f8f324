"""Training recipes: the YAML of TRL, Axolotl or LLaMA-Factory, read so that it can be checked.

A recipe is the stack's own file. Two things are added, for none of the stacks has them: several
files are merged, the later winning (a method, a model, LoRA), and `extends: FILE` takes another
file as the base. A key set to null in a later file is removed. `write` makes the one plain file
that the stack reads.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from codedpo_plugin.command_line import parse_override
from codedpo_plugin.errors import InputError

Stack = Literal["trl", "axolotl", "llamafactory"]
Method = Literal["dpo", "kto", "sft"]

# What the checks ask for -> the stack's key and its default.
_NAMES: dict[Stack, dict[str, tuple[str, Any]]] = {
    "trl": {
        "model": ("model_name_or_path", None),
        "max_length": ("max_length", 1024),
        "per_device": ("per_device_train_batch_size", 8),
        "accumulation": ("gradient_accumulation_steps", 1),
        "epochs": ("num_train_epochs", 3),
        "max_steps": ("max_steps", -1),
        "checkpointing": ("gradient_checkpointing", True),
        "lora": ("use_peft", False),
        "lora_r": ("lora_r", 16),
        "precompute": ("precompute_ref_log_probs", False),
        "output": ("output_dir", None),
    },
    "axolotl": {
        "model": ("base_model", None),
        "max_length": ("sequence_len", 512),
        "per_device": ("micro_batch_size", 1),
        "accumulation": ("gradient_accumulation_steps", 1),
        "epochs": ("num_epochs", 1),
        "max_steps": ("max_steps", -1),
        "checkpointing": ("gradient_checkpointing", False),
        "lora": ("adapter", False),
        "lora_r": ("lora_r", 8),
        "precompute": ("precompute_ref_log_probs", False),
        "output": ("output_dir", "./model-out"),
    },
    "llamafactory": {
        "model": ("model_name_or_path", None),
        "max_length": ("cutoff_len", 2048),
        "per_device": ("per_device_train_batch_size", 8),
        "accumulation": ("gradient_accumulation_steps", 1),
        "epochs": ("num_train_epochs", 3),
        "max_steps": ("max_steps", -1),
        "checkpointing": ("disable_gradient_checkpointing", False),
        "lora": ("finetuning_type", "lora"),
        "lora_r": ("lora_rank", 8),
        "precompute": ("precompute_ref_log_probs", False),
        "output": ("output_dir", None),
    },
}

_LOSSES: dict[str, Method] = {
    "kto": "kto",
    "apo_zero_unpaired": "kto",
    "nll": "sft",
    "chunked_nll": "sft",
    "dft": "sft",
}


@dataclass(frozen=True)
class TrainingRecipe:
    """What one training run is told."""

    place: str
    """The files it came from, for messages."""
    keys: dict[str, Any]
    stack: Stack
    method: Method

    def __getitem__(self, name: str) -> Any:
        """A value by the name that the checks use, whatever the stack calls it."""
        key, default = _NAMES[self.stack][name]
        value = self.keys.get(key, default)
        if self.stack == "llamafactory" and name == "lora":
            return value == "lora"
        if self.stack == "llamafactory" and name == "checkpointing":
            return not value
        return value

    def key(self, name: str) -> str:
        """What the stack calls it."""
        return _NAMES[self.stack][name][0]

    def number(self, name: str) -> float:
        """A value that must be a number (YAML reads `5e-6`, without a dot, as text).

        Raises:
            InputError: it is not one.
        """
        try:
            return float(self[name])
        except (TypeError, ValueError):
            raise InputError(
                f"{self.place}: {self.key(name)}: {self[name]!r} is not a number"
            ) from None


def load(paths: list[Path], overrides: list[str] | None = None) -> TrainingRecipe:
    """Merge the files of a training recipe, apply `key.sub=value` overrides, and find its stack.

    Raises:
        InputError: a file cannot be read, or no stack has recipes of this kind.
    """
    keys: dict[str, Any] = {}
    for path in paths:
        keys = _merged(keys, _read(path))
    for override in overrides or []:
        keys = _merged(keys, _parsed(override))
    place = " + ".join(map(str, paths))
    stack = _stack(keys, place)
    return TrainingRecipe(place, keys, stack, _method(keys, stack, place))


def write(recipe: TrainingRecipe, path: Path) -> None:
    """Write the merged recipe as the one file that the stack reads."""
    text = yaml.safe_dump(recipe.keys, sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# {recipe.place}, merged by `codedpo check`\n{text}", encoding="utf-8")


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """One file, on top of the file that it extends."""
    if path in above:
        raise InputError(f"{path}: extends itself")
    try:
        keys = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(keys, dict):
        raise InputError(f"{path}: a recipe is a mapping of keys, this is a {type(keys).__name__}")
    base = keys.pop("extends", None)
    return _merged(_read(path.parent / base, (*above, path)), keys) if base else keys


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Keys of both, `above` winning; sections are merged, null removes."""
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged


def _parsed(override: str) -> dict[str, Any]:
    """{key: {sub: value}} of `key.sub=value`."""
    keys, value = parse_override(override)
    for part in reversed(keys):
        value = {part: value}
    return dict(value)


def _stack(keys: dict[str, Any], place: str) -> Stack:
    if "candidates" in keys:
        raise InputError(f"{place}: this is a build recipe; `codedpo build` checks it")
    if "base_model" in keys or "rl" in keys:
        return "axolotl"
    return "llamafactory" if "stage" in keys or "dataset_dir" in keys else "trl"


def _method(keys: dict[str, Any], stack: Stack, place: str) -> Method:
    """DPO, KTO or SFT. TRL's recipes do not say which command they are for: the loss does."""
    if stack == "trl":
        loss = keys.get("loss_type", "sigmoid")
        return _LOSSES.get(loss, "dpo") if isinstance(loss, str) else "dpo"
    name = keys.get("rl", "sft") if stack == "axolotl" else keys.get("stage", "sft")
    if name not in ("dpo", "kto", "sft"):
        raise InputError(f"{place}: {name!r}: datasets of codedpo are for dpo, kto and sft")
    return name  # type: ignore[no-any-return]
