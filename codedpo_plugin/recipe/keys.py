"""Settings as a part of stage keys."""

from collections.abc import Iterable
from typing import Any

from codedpo_plugin.recipe.build import Recipe

_UNSET = {"prefill": None}
"""Keys that older recipes did not have, and the value that means the same as none."""


def key_settings(recipe: Recipe, sections: Iterable[str]) -> dict[str, Any]:
    """The settings that the output of a stage depends on, as they were for older run folders.

    A recipe that does not use a new key has the settings that it had before there was that key, so
    that finished output is not made again.
    """
    settings: dict[str, Any] = _as_before(recipe.model_dump(mode="json", include=set(sections)))
    return settings


def _as_before(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        name: _as_before(one)
        for name, one in value.items()
        if name not in _UNSET or one != _UNSET[name]
    }
