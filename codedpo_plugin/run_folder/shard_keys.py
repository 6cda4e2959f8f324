"""Which shards of a stage are finished: a shard is, if its key is the one that it should have."""

from typing import TYPE_CHECKING

from codedpo_plugin.run_folder.shards import key_of, shard_key, shard_path
from codedpo_plugin.stages import Stage

if TYPE_CHECKING:
    from codedpo_plugin.recipe import Recipe


def is_finished(stage: Stage, recipe: "Recipe", index: int) -> bool:
    """Whether a shard exists and was made from the present shards with these settings."""
    key = shard_key(shard_path(recipe.output, stage.folder, index))
    return key is not None and key == wanted_key(stage, recipe, index)


def wanted_key(stage: Stage, recipe: "Recipe", index: int) -> str | None:
    """The key that a shard should have; None while a shard that it is made from is missing."""
    settings = [getattr(recipe, section).model_dump(mode="json") for section in stage.sections]
    sources = [shard_key(shard_path(recipe.output, one.folder, index)) for one in stage.reads]
    if None in sources:
        return None
    ranker = recipe.ranker if "pairs" in stage.sections else None
    return key_of(stage.folder, stage.version, settings, ranker, sources)
