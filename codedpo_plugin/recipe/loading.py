"""Reads a recipe from YAML; every mistake is named with its file, line and key."""

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from codedpo_plugin.errors import InputError, did_you_mean
from codedpo_plugin.recipe.build import Recipe
from codedpo_plugin.recipe.overrides import parse_override
from codedpo_plugin.recipe.section import Section


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Read a YAML recipe, apply `key.sub=value` overrides, and check all of it.

    Raises:
        InputError: naming the file, the line and key, and the nearest valid key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such recipe") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    try:
        data = yaml.safe_load(text) or {}
        lines = _key_lines(yaml.compose(text))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: a recipe is a mapping of keys, not a {type(data).__name__}")
    for override in overrides or []:
        _apply(data, override)
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        raise InputError(_explain(path, error, lines)) from None
    if recipe.ranker not in recipe.score.rankers:
        known = ", ".join(recipe.score.rankers)
        raise InputError(
            f"{path}: pairs.ranker: {recipe.ranker!r} is not in score.rankers ({known})"
        )
    return recipe


def _apply(data: dict[str, Any], override: str) -> None:
    """Set one dotted key from `key.sub=value`."""
    (*parents, last), value = parse_override(override)
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise InputError(f"--set {override}: {parent} is not a section")
    data[last] = value


def _key_lines(node: yaml.Node | None, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    """Line (from 1) of every key in a composed YAML document."""
    lines: dict[tuple[str, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = (*prefix, str(key.value))
            lines[name] = key.start_mark.line + 1
            lines |= _key_lines(value, name)
    return lines


def _explain(path: Path, error: ValidationError, lines: dict[tuple[str, ...], int]) -> str:
    """One line per problem: file, line, key, what is wrong, and the nearest valid key."""
    messages = []
    for problem in error.errors():
        where = tuple(str(part) for part in problem["loc"])
        line = next(
            (lines[where[:n]] for n in range(len(where), 0, -1) if where[:n] in lines), None
        )
        place = f"{path}, line {line}" if line else str(path)
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown key{_nearest(where)}"
        elif problem["type"] == "missing":
            message = "this key is required"
        messages.append(": ".join(filter(None, (place, ".".join(where), message))))
    return "\n".join(messages)


def _nearest(where: tuple[str, ...]) -> str:
    """`; did you mean ...?` for an unknown key."""
    section: Any = Recipe
    for part in where[:-1]:
        section = section if part.isdigit() else _section_of(section.model_fields[part].annotation)
    valid = list(section.model_fields)
    return did_you_mean(where[-1], valid) or f"; valid keys: {', '.join(valid)}"


def _section_of(annotation: Any) -> Any:
    """The section in `Section`, `Section | None` or `list[Section]`."""
    inner = (_section_of(part) for part in get_args(annotation))
    return annotation if isinstance(annotation, type(Section)) else next(filter(None, inner), None)
