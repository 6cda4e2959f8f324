"""Keys and rows that are valid by themselves and fail late, or quietly go wrong, together.

Each was met in TRL 1.16, Axolotl 0.19 or LLaMA-Factory 0.9.5. Those of one stack are in its module
in `stacks/`, and so are the keys that it refuses; here are those of all.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from codedpo_plugin.training.findings import Finding
from codedpo_plugin.training.stacks.base import TrainingRecipe


def of_keys(recipe: TrainingRecipe, gpus: int) -> Iterator[Finding]:
    """What is wrong with the keys of a recipe, taken together."""
    if not recipe.model:
        name = recipe.common.model.name
        message = f"{name}: no model given; add a file of recipes/*/models or --set it"
        yield Finding("error", "keys", message)
    yield from recipe.key_pitfalls(gpus)


def of_rows(recipe: TrainingRecipe, rows: Any, gpus: int) -> Iterator[Finding]:
    """What is wrong with the rows of a recipe's training split."""
    if recipe.method == "kto" and "completion" in rows.column_names:
        yield from _neighbours(list(rows["prompt"]))
    yield from recipe.row_pitfalls(rows, gpus)


def _neighbours(prompts: Sequence[Any]) -> Iterator[Finding]:
    """KTO estimates its KL term from neighbouring rows, which must have different prompts."""
    same = sum(left == right for left, right in pairwise(prompts))
    if same > max(2, len(prompts) / 2):
        message = (
            f"KTO compares neighbouring rows, and {same:,} of {len(prompts):,} rows follow one of "
            "the same prompt: shuffle them"
        )
        yield Finding("warning", "data", message)
