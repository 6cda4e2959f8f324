"""The `codedpo:` section of an Axolotl recipe. Apart from the plugin, for it needs no Axolotl."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator


class CodeDPOSection(BaseModel):
    """Where the preference data comes from: a finished dataset, or a build recipe."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    dataset: Path | None = None
    """A dataset folder that `codedpo build` wrote."""
    recipe: Path | None = None
    """A build recipe: built (or gone on with) before training, and taken as it is while neither
    the recipe nor its candidates change."""
    config: Literal["dpo", "correctness", "efficiency", "kto"] | None = None
    """The configuration of the dataset; by default the one of `rl`."""

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
        return load_recipe(self.recipe).output / "dataset"


class CodeDPOArgs(BaseModel):
    """What the plugin adds to Axolotl's own keys."""

    codedpo: CodeDPOSection | None = None
