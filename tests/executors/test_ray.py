"""A build on a Ray cluster of two nodes, of which a worker and a node are killed: no row is lost or
doubled. Run by `make test-ray`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.errors import InputError
from helpers.candidates import DOUBLE, HOPELESS, SIGN, make_recipe
from helpers.paths import HELPERS
from helpers.runs import rows_of, status_of

QUIET = Console(quiet=True)
ROWS = [
    row | {"task_id": f"{row['task_id']}/{n}"} for n in range(4) for row in (DOUBLE, SIGN, HOPELESS)
]


@pytest.mark.ray
def test_without_a_cluster_the_error_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # no cluster's address is stored there
    recipe = make_recipe(tmp_path, [DOUBLE])
    with pytest.raises(InputError, match=r"ray\.address.*`ray start --head`"):
        pipeline.build(recipe, (1, 1), QUIET, "ray")


@pytest.mark.ray
def test_a_worker_and_a_node_are_killed_and_every_row_occurs_once(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "here").mkdir()
    local = make_recipe(tmp_path / "here", ROWS, "shard_size=1")
    pipeline.build(local, (1, 1), QUIET)
    recipe = make_recipe(tmp_path, ROWS)
    file = tmp_path / "recipe.yaml"
    file.write_text(file.read_text() + "execute: {seconds: 0.5}\nshard_size: 1\nworkers: 1\n")
    script = str(HELPERS / "cluster" / "two_nodes.py")
    space = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    subprocess.run([*space, sys.executable, script, str(file)], check=True)
    killed = json.loads((tmp_path / "killed.json").read_text())
    assert killed["build"] == 0
    assert killed["shards_then"] < len(ROWS), "the node was killed too late"
    assert rows_of(recipe) == rows_of(local)
    assert "All is done" in status_of(recipe.output)
