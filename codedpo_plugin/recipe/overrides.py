"""`--set key=value`, for recipes of builds and of training."""

from typing import Any

import yaml

from codedpo_plugin.errors import InputError


def parse_override(override: str) -> tuple[list[str], Any]:
    """(["key", "sub"], value) of `key.sub=value`; the value is YAML.

    Raises:
        InputError: names the option.
    """
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise InputError(f"--set {override}: expected key=value, for instance pairs.ties=shortest")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2024-13-01
        reason = getattr(error, "problem", None) or str(error)
        raise InputError(f"--set {override}: {text!r} is not valid YAML: {reason}") from None
    return key.split("."), value
