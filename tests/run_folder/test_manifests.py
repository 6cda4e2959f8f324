"""Manifests of the stages that make candidates."""

import json
from pathlib import Path

import pytest

from codedpo_plugin.run_folder import manifests
from codedpo_plugin.stages import PROBLEMS

OLD_ENDING = ", but for what the server did not give"


def written(run: Path, key: str, *, complete: bool, kept: int = 1) -> None:
    tally = manifests.Tally()
    rows = tally.keep([{"task_id": "a"}] * kept)
    manifests.write(run, PROBLEMS, rows, tally, key, complete=complete)


@pytest.mark.parametrize("complete", [True, False])
def test_a_stage_that_lacks_samples_is_not_finished(tmp_path: Path, complete: bool) -> None:
    written(tmp_path, "abc", complete=complete)
    assert manifests.finished(tmp_path, PROBLEMS, "abc") is complete
    assert not manifests.finished(tmp_path, PROBLEMS, "other")
    assert manifests.read(tmp_path, PROBLEMS) == [{"task_id": "a"}]


def test_a_stage_that_kept_nothing_is_not_finished(tmp_path: Path) -> None:
    written(tmp_path, "abc", complete=True, kept=0)
    assert not manifests.finished(tmp_path, PROBLEMS, "abc")
    assert manifests.stage_key(tmp_path, PROBLEMS) is None


@pytest.mark.parametrize(("ending", "complete"), [("", True), (OLD_ENDING, False)])
def test_manifests_of_earlier_versions_mean_the_same(
    tmp_path: Path, ending: str, complete: bool
) -> None:
    """Those had no field `complete`: an ending of the key said it."""
    file = tmp_path / PROBLEMS.folder / "manifest.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"key": f"abc{ending}", "kept": 1, "dropped": {}}))
    assert manifests.finished(tmp_path, PROBLEMS, "abc") is complete
    assert manifests.stage_key(tmp_path, PROBLEMS) == f"abc{ending}"
    written(tmp_path, "abc", complete=complete)
    assert manifests.stage_key(tmp_path, PROBLEMS) == f"abc{ending}"
