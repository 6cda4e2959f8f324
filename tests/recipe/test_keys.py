"""Stage keys: new keys of recipes leave those of older run folders as they were."""

from pathlib import Path

from codedpo_plugin.recipe import Recipe
from codedpo_plugin.recipe.keys import key_settings
from codedpo_plugin.run_folder.shards import key_of

KEYS = {"problems": {"file": "p.jsonl"}, "sampling": {"model": "m"}, "output": Path("r")}
SECTIONS = ("generate", "sampling", "shard_size")


def key(**changes: object) -> str:
    return key_of(key_settings(Recipe.model_validate(KEYS | changes), SECTIONS))


def test_a_recipe_without_new_keys_has_the_key_that_it_had() -> None:
    assert key() == "bf5543de785613f6eb37"  # of run folders that exist


def test_a_new_key_that_is_used_counts() -> None:
    assert key(generate={"tests": {"prefill": "assert "}}) != key()
    assert key(generate={"tests": {"prefill": None}}) == key()
