"""What the installed stack knows: which keys of a training recipe it reads, and takes as they are.

TRL hands a key that it does not know to `accelerate launch`, whose answer to a typo is a page of
usage; Axolotl drops it; so recipes are held against the stack's own classes here.
"""

import argparse
import dataclasses
import importlib
import importlib.util
import warnings
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from codedpo_plugin.errors import did_you_mean
from codedpo_plugin.training.recipe import TrainingRecipe

_REMOVED = {
    "trl": {
        "max_prompt_length": "TRL has no such limit since 0.29: `max_length` bounds both together",
        "max_completion_length": "TRL has no such limit since 0.29: `max_length` bounds both",
        "rpo_alpha": "write `loss_type: [sigmoid, sft]` and `loss_weights: [1.0, ALPHA]`",
        "warmup_ratio": "write `warmup_steps: 0.1`: below 1 it is a share of all steps",
        "logging_dir": "set TENSORBOARD_LOGGING_DIR in `env`",
        "use_liger_loss": "the fused head of TRL 1.15 replaces it, and is always on",
        "extends": "resolve it with `--write`",
    }
}
_PACKAGES = {"trl": "trl", "axolotl": "axolotl", "llamafactory": "llamafactory"}


def problems(recipe: TrainingRecipe) -> Iterator[str]:
    """One message for each key or value that the stack would refuse, or silently ignore."""
    yield from {"trl": _trl, "axolotl": _axolotl, "llamafactory": _llamafactory}[recipe.stack](
        recipe
    )


def installed(recipe: TrainingRecipe) -> bool:
    """Whether the recipe's stack can be imported here."""
    return importlib.util.find_spec(_PACKAGES[recipe.stack]) is not None


def _trl(recipe: TrainingRecipe) -> Iterator[str]:
    from accelerate.commands.launch import launch_command_parser

    script = importlib.import_module(f"trl.scripts.{recipe.method}")
    parser = script.make_parser()
    known = {action.dest for action in parser._actions}
    launch = {action.dest: action.nargs for action in launch_command_parser()._actions}
    unknown = set(recipe.keys) - known - {"env", "accelerate_config"}
    for key in sorted(unknown & launch.keys()):
        if launch[key] == 0:
            yield f"{key}: a switch of `accelerate launch`: give it on the command line, --{key}"
    yield from _unknown(recipe, unknown - launch.keys(), known | launch.keys())
    if error := _refused(parser, {key: recipe.keys[key] for key in recipe.keys if key in known}):
        yield error


def _refused(parser: Any, values: dict[str, Any]) -> str | None:
    """What the parser and the stack's own checks say against the values, if anything.

    The machine that trains may not be this one: neither a GPU nor other ranks are asked for.
    """
    actions = {action.dest: action for action in parser._actions}
    for key, value in values.items():
        if error := _bad_value(actions[key], value):
            return f"{key}: {error}"
    elsewhere = {"use_cpu": True, "tf32": None, "ddp_backend": None}
    parser.set_defaults_with_config(**(values | elsewhere))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser.parse_args_into_dataclasses(args=[], return_remaining_strings=True)
    except SystemExit:
        return "the values are refused: see the message above"
    except Exception as error:  # whatever a `__post_init__` of the stack raises
        return str(error)
    return None


def _bad_value(action: argparse.Action, value: Any) -> str | None:
    """argparse checks only text, and no choices, in what a file gives: so it is done here."""
    several = action.nargs in ("+", "*")
    if isinstance(value, list) and not several and action.type is not None:
        return f"one value is wanted, not the list {value!r}"
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


def _axolotl(recipe: TrainingRecipe) -> Iterator[str]:
    module = importlib.import_module("axolotl.utils.schemas.config")
    known = set(module.AxolotlInputConfig.model_fields) | {"codedpo"}
    yield from _unknown(recipe, set(recipe.keys) - known, known)
    placeholder = {} if "datasets" in recipe.keys else {"datasets": [{"path": "codedpo"}]}
    try:
        module.AxolotlInputConfig.model_validate(
            {key: recipe.keys[key] for key in recipe.keys if key in known} | placeholder
        )
    except ValidationError as error:
        for wrong in error.errors():
            key = ".".join(map(str, wrong["loc"])) or "keys that do not go together"
            yield f"{key}: {wrong['msg'].removeprefix('Value error, ')}"


def _llamafactory(recipe: TrainingRecipe) -> Iterator[str]:
    module = importlib.import_module("llamafactory.hparams.parser")
    known = {field.name for kind in module._TRAIN_ARGS for field in dataclasses.fields(kind)}
    yield from _unknown(recipe, set(recipe.keys) - known, known)
    templates = importlib.import_module("llamafactory.data.template").TEMPLATES
    template = recipe.keys.get("template")
    if template and template not in templates:
        yield f"template: LLaMA-Factory knows no {template!r}{did_you_mean(template, templates)}"


def _unknown(recipe: TrainingRecipe, unknown: set[str], known: set[str]) -> Iterator[str]:
    removed = _REMOVED.get(recipe.stack, {})
    for key in sorted(unknown):
        mend = f": {removed[key]}" if key in removed else did_you_mean(key, known)
        yield f"{key}: unknown to the installed {_PACKAGES[recipe.stack]}{mend}"
