"""Settings as a part of stage keys."""

from collections.abc import Iterable
from typing import Any

from codedpo_plugin.recipe.build import Recipe

_UNSET = {"prefill": None}
"""Keys that older recipes did not have, and the value that means the same as none."""
_DEFAULTS = {"max_concurrency": (256, 64)}
"""Defaults that were raised without effect on the output, now and before."""


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
    found = {}
    for name, one in value.items():
        if name in _UNSET and one == _UNSET[name]:
            continue
        now, before = _DEFAULTS.get(name, (None, None))
        found[name] = before if now and one == now else _as_before(one)
    return found
