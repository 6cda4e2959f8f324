"""Where things lie in the repository."""

from pathlib import Path

HELPERS = Path(__file__).resolve().parent
ROOT = HELPERS.parents[1]
RECIPES = ROOT / "recipes"
