"""Recipes: what a build does, as YAML that is checked before anything runs.

The smallest recipe names its input and its output; every other key has the default given in the
modules of this package, one for each group of sections::

    candidates: candidates.jsonl.gz
    output: runs/mine
"""

from codedpo_plugin.recipe.build import Recipe
from codedpo_plugin.recipe.executors import Ray, Slurm
from codedpo_plugin.recipe.loading import load_recipe
from codedpo_plugin.recipe.section import Location, Section
from codedpo_plugin.recipe.stages import Calibration, Execute, Export, Pairs, Probe, Score, Timing
from codedpo_plugin.recipe.synthesis import (
    Dataset,
    Decontaminate,
    Generate,
    Prices,
    Problems,
    Sampling,
    Seeds,
    Solutions,
    Tests,
)

__all__ = [
    "Calibration",
    "Dataset",
    "Decontaminate",
    "Execute",
    "Export",
    "Generate",
    "Location",
    "Pairs",
    "Prices",
    "Probe",
    "Problems",
    "Ray",
    "Recipe",
    "Sampling",
    "Score",
    "Section",
    "Seeds",
    "Slurm",
    "Solutions",
    "Tests",
    "Timing",
    "load_recipe",
]
