"""The registry of stages: cheap to import, in order, and every name in it resolves."""

import pkgutil
import subprocess
import sys

import pytest

from codedpo_plugin.recipe import Recipe
from codedpo_plugin.stages import CANDIDATES, DATASET, ROW_STAGES, SYNTHESIS, Stage

ALL = (*SYNTHESIS.values(), *ROW_STAGES, DATASET)


def test_importing_it_loads_no_stage() -> None:
    code = (
        "import sys, codedpo_plugin.stages\n"
        "print(*(name for name in sys.modules if name.startswith(('codedpo_plugin.', 'pyarrow'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["codedpo_plugin.stages"]


@pytest.mark.parametrize("stage", ALL, ids=lambda stage: stage.name)
def test_function_schema_and_sections_exist(stage: Stage) -> None:
    assert callable(stage.load())
    assert set(stage.sections) <= set(Recipe.model_fields)
    if stage in ROW_STAGES:
        assert pkgutil.resolve_name(stage.schema)


def test_a_stage_reads_earlier_ones_only() -> None:
    for position, stage in enumerate(ALL):
        assert set(stage.reads) <= set(ALL[:position])
    assert len({stage.folder for stage in ALL}) == len(ALL)


def test_rows_depend_on_candidates_alone() -> None:
    assert all(set(stage.reads) <= set(ROW_STAGES) for stage in ROW_STAGES if stage != CANDIDATES)
