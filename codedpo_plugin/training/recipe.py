"""Training recipes: the YAML of TRL, Axolotl or LLaMA-Factory, read so that it can be checked.

A recipe is the stack's own file, with two additions that no stack has: several files (a method, a
model, LoRA) are merged, later ones overriding earlier ones, and `extends: FILE` names a base file.
A key set to null in a later file is removed. `write` makes the one plain file that the stack reads.
"""

from pathlib import Path
from typing import Any

import yaml

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe.overrides import parse_override
from codedpo_plugin.training.stacks.axolotl import AxolotlRecipe
from codedpo_plugin.training.stacks.base import TrainingRecipe
from codedpo_plugin.training.stacks.llamafactory import LlamaFactoryRecipe
from codedpo_plugin.training.stacks.trl import TrlRecipe

# The first that recognizes a file has it. TRL is last: no key marks its recipes.
STACKS: tuple[type[TrainingRecipe], ...] = (AxolotlRecipe, LlamaFactoryRecipe, TrlRecipe)


def load(paths: list[Path], overrides: list[str] | None = None) -> TrainingRecipe:
    """Merge the files of a training recipe, apply `key.sub=value` overrides, and find the stack.

    Raises:
        InputError: a file cannot be read, it is a build recipe, or its method has no datasets.
    """
    keys: dict[str, Any] = {}
    for path in paths:
        keys = _merged(keys, _read(path))
    for override in overrides or []:
        keys = _merged(keys, _section_of(override))
    place = " + ".join(map(str, paths))
    if "candidates" in keys:
        raise InputError(f"{place}: this is a build recipe; `codedpo build` checks it")
    stack = next(stack for stack in STACKS if stack.recognizes(keys))
    return stack.from_keys(place, keys)


def write(recipe: TrainingRecipe, path: Path) -> None:
    """Write the merged recipe as the one file that the stack reads."""
    text = yaml.safe_dump(recipe.keys, sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# {recipe.place}, merged by `codedpo check`\n{text}", encoding="utf-8")


def _read(path: Path, extending: tuple[Path, ...] = ()) -> dict[str, Any]:
    """One file, merged over the file that it extends."""
    if path in extending:
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
    return _merged(_read(path.parent / base, (*extending, path)), keys) if base else keys


def _merged(base: dict[str, Any], overriding: dict[str, Any]) -> dict[str, Any]:
    """Keys of both; those of `overriding` win, sections are merged, null removes a key."""
    merged = dict(base)
    for key, value in overriding.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged


def _section_of(override: str) -> dict[str, Any]:
    """{key: {sub: value}} of `key.sub=value`."""
    keys, value = parse_override(override)
    for part in reversed(keys):
        value = {part: value}
    return dict(value)
