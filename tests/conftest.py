"""Fixtures of the whole suite."""

from collections.abc import Iterator

import pytest

from codedpo_plugin.recipe import Recipe
from helpers.candidates import DOUBLE, HOPELESS, SIGN, make_recipe


@pytest.fixture(scope="session", autouse=True)
def cores_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Locks of cores apart from those of other builds on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("locks")))
        yield


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A finished run of the tiny candidates."""
    from rich.console import Console

    from codedpo_plugin import pipeline

    folder = tmp_path_factory.mktemp("built")
    recipe = make_recipe(folder, [DOUBLE, SIGN, HOPELESS])
    pipeline.build(recipe, (1, 1), Console(quiet=True))
    return recipe
