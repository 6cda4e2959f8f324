"""Recipes that start from the sources of the standard library."""

import json
from pathlib import Path
from typing import Any

from codedpo_plugin.recipe import Recipe, load_recipe
from helpers.exercises import EXERCISES
from helpers.servers import Writer

LIBRARY = Path(json.__file__).parents[1]  # the standard library's own sources
SEEDS = {"folders": [str(LIBRARY)], "min_lines": 3, "max_lines": 6, "limit": len(EXERCISES)}


def recipe_on(folder: Path, server: Writer, *overrides: str, **keys: Any) -> Recipe:
    file = folder / "recipe.yaml"
    settings = {
        "output": str(folder / "run"),
        "seeds": SEEDS,
        "sampling": {"model": "stub", "base_url": server.url},
        "generate": {"solutions": {"n": 6}, "tests": {"n": 2}},
        "execute": {"seconds": 0.5},
        "pairs": {"selection": "worst", "min_confidence": 0},  # six samples are little evidence
        "workers": 1,
    } | keys
    file.write_text(
        json.dumps({name: value for name, value in settings.items() if value is not None})
    )
    return load_recipe(file, list(overrides))
