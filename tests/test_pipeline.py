"""A whole build: the rows of the method, the same however often it is killed or cut into parts."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.machine import machine_type
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder.shards import (
    read_rows,
)
from codedpo_plugin.stages import STAGES
from helpers.candidates import DOUBLE, HOPELESS, SIGN, make_recipe
from helpers.runs import rows_of

QUIET = Console(quiet=True)


def test_outcomes_and_returned_values_of_every_cell(built: Recipe) -> None:
    double, sign, _ = read_rows(built.output, "executions")
    assert double["outcomes"] == [
        ["passed", "passed", "passed", "passed", "failed", "passed"],
        ["passed", "passed", "passed", "passed", "failed", "passed"],
        ["failed", "passed", "failed", "passed", "passed", "passed"],
        ["error"] * 5 + ["passed"],
        ["passed", "passed", "passed", "passed", "failed", "passed"],
    ]
    assert double["returned"][2][:2] == ["[1,2,1,2]", "[]"]
    assert double["sealed"] == [True] * 5 + [False]
    assert double["errors"][3][0] == "NameError: name 'itemz' is not defined"
    assert sign["outcomes"][2] == ["error"] * 4
    assert sign["errors"][3][0] == "SystemExit: 0"


def test_pairs_follow_the_method(built: Recipe) -> None:
    double, sign, hopeless = read_rows(built.output, "pairs")
    assert double["best"] == 0
    assert double["credible_tests"] == [0, 1, 2, 3, 5]
    kinds = {pair["kind"]: pair for pair in double["pairs"]}
    assert (kinds["correctness"]["chosen_index"], kinds["correctness"]["rejected_index"]) == (0, 3)
    assert (kinds["efficiency"]["chosen_index"], kinds["efficiency"]["rejected_index"]) == (0, 1)
    assert kinds["efficiency"]["rejected_seconds"] > 1.1 * kinds["efficiency"]["chosen_seconds"]
    assert sign["pairs"][0]["rejected_index"] == 2
    assert hopeless["pairs"] == []
    assert hopeless["no_correctness"] == "too few credible tests"


def test_parts_together_are_the_whole(built: Recipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN, HOPELESS])
    pipeline.build(recipe, (2, 2), QUIET)
    assert not (recipe.output / "dataset").exists()
    pipeline.build(recipe, (1, 2), QUIET)
    assert (recipe.output / "dataset" / "README.md").exists()
    assert rows_of(recipe) == rows_of(built)


def test_killed_at_random_moments_and_resumed_it_ends_the_same(
    built: Recipe, tmp_path: Path
) -> None:
    problems = [DOUBLE, SIGN, HOPELESS]
    recipe = make_recipe(tmp_path, problems, "shard_size=1")
    command = [sys.executable, "-m", "codedpo_plugin.cli", "build", str(tmp_path / "recipe.yaml")]
    command += ["--set", "shard_size=1", "--set", "execute.seconds=0.5", "--set", "workers=2"]
    moments = random.Random(5)
    for _ in range(3):
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                process.wait(timeout=moments.uniform(0.8, 2.5))
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert rows_of(recipe) == rows_of(built)
    assert not list(recipe.output.rglob("*.tmp"))


def test_a_build_killed_while_it_writes_the_dataset_is_resumed(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE])
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = recipe.output / f".dataset.{socket.gethostname()}.{ended.pid}.tmp"
    left.mkdir(parents=True)
    (left / "README.md").touch()
    pipeline.build(recipe, (1, 1), QUIET)
    assert (recipe.output / "dataset" / "README.md").stat().st_size
    assert not left.exists()


def test_no_process_outlives_a_killed_build(tmp_path: Path) -> None:
    hang = {**DOUBLE, "solutions": ["while True: pass"] * 2}
    make_recipe(tmp_path, [hang])
    command = [sys.executable, "-m", "codedpo_plugin.cli", "execute", str(tmp_path / "recipe.yaml")]
    command += ["--set", "execute.seconds=30"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        family = _wait_for(lambda: _family(process.pid, at_least=4))
        os.kill(process.pid, signal.SIGKILL)
    _wait_for(lambda: not any(_alive(pid) for pid in family))


def _wait_for(condition: Any) -> Any:
    """The first true result of a condition, within a minute."""
    deadline = time.monotonic() + 60
    while not (result := condition()):
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.02)
    return result


def _alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _family(root: int, at_least: int) -> set[int]:
    """All descendants of a process, once there are more than `at_least`."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family - {root} if len(family) > at_least else set()


def test_the_report_names_the_machines_that_solutions_were_timed_on(built: Recipe) -> None:
    report = json.loads((built.output / "report.json").read_text())
    assert report["timed_on"] == {machine_type(): 2}


def test_solutions_too_long_to_run_are_not_run_and_never_rejected(tmp_path: Path) -> None:
    long = DOUBLE["solutions"][0] + "\n#" + "x" * 2_000_000
    rows = [
        DOUBLE | {"solutions": [long, *DOUBLE["solutions"][:1], "def double(items):\n  return 1"]}
    ]
    recipe = make_recipe(tmp_path, rows)
    pipeline.run_stages(STAGES, recipe, (1, 1), QUIET)
    executions = next(read_rows(recipe.output, "executions"))
    assert set(executions["outcomes"][0]) == {"not_run"}
    assert "longer than 100,000 characters" in executions["errors"][0][0]
    (pair,) = next(read_rows(recipe.output, "pairs"))["pairs"]
    assert (pair["chosen_index"], pair["rejected_index"]) == (1, 2)
