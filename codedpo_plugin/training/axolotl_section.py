"""The `codedpo:` section of an Axolotl recipe. It is usable where Axolotl is not installed."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from codedpo_plugin.errors import InputError, did_you_mean
from codedpo_plugin.stages import DATASET


class CodeDPOSection(BaseModel):
    """Where the preference data comes from: a finished dataset, or a build recipe."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    dataset: Path | None = None
    """A dataset folder that `codedpo build` wrote."""
    recipe: Path | None = None
    """A build recipe: built (or continued) before training, and reused as long as neither the
    recipe nor its candidates change."""
    config: Literal["dpo", "correctness", "efficiency", "kto"] | None = None
    """The configuration of the dataset; by default the one named as `rl`."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.dataset is None) == (self.recipe is None):
            raise ValueError("give one of `dataset` (a folder) and `recipe` (a build recipe)")
        return self

    @property
    def folder(self) -> Path:
        """The dataset folder."""
        if self.dataset is not None:
            return self.dataset
        from codedpo_plugin.recipe import load_recipe

        assert self.recipe is not None
        return load_recipe(self.recipe).output / DATASET.folder


class CodeDPOArgs(BaseModel):
    """What the plugin adds to Axolotl's own keys."""

    codedpo: CodeDPOSection | None = None


def section_of(cfg: Any) -> CodeDPOSection:
    """The checked `codedpo:` section of an Axolotl recipe.

    Raises:
        InputError: the section is missing or wrong, or there is no data for the method.
    """
    if cfg.get("rl") not in ("dpo", "kto"):
        raise InputError(f"rl: {cfg.get('rl')!r}; the codedpo plugin has data for dpo and kto")
    section = cfg.get("codedpo")
    if not section:
        raise InputError(
            "codedpo: the plugin is named in `plugins`, but there is no `codedpo` section: add one "
            "with `dataset: RUN/dataset` or `recipe: BUILD_RECIPE`"
        )
    values = section if isinstance(section, dict) else section.model_dump()
    try:
        return CodeDPOSection.model_validate(dict(values))
    except ValidationError as error:
        raise InputError("\n".join(map(_explained, error.errors()))) from None


def _explained(wrong: Any) -> str:
    """One line: the key, what is wrong with it, and the nearest valid key."""
    place = ".".join(map(str, ("codedpo", *wrong["loc"])))
    if wrong["type"] != "extra_forbidden":
        return f"{place}: {wrong['msg'].removeprefix('Value error, ')}"
    valid = list(CodeDPOSection.model_fields)
    hint = did_you_mean(str(wrong["loc"][-1]), valid) or f"; valid keys: {', '.join(valid)}"
    return f"{place}: unknown key{hint}"
