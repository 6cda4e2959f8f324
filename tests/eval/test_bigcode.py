"""bigcode-evaluation-harness: what it wants, a run of a stand-in, and its score read back."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from codedpo_eval.harnesses import bigcode, export
from codedpo_plugin.errors import InfrastructureError, InputError
from helpers.graded_runs import IDS, graded, humaneval


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_bigcode_gets_its_dataset_s_order_and_the_number_of_samples(tmp_path: Path):
    run = graded(tmp_path, humaneval("humaneval"))
    job = bigcode.write(run.rows, run.benchmark, tmp_path / "bc")
    assert read(job.generations) == [["a", "b"], [""], ["c", "d"]]  # 0, 2, 10
    command = job.command(Path("PATH"))
    assert command[command.index("--n_samples") + 1] == "2"
    lines = (tmp_path / "bc" / "openai_humaneval" / "test.jsonl").read_text().splitlines()
    assert [json.loads(line)["task_id"] for line in lines] == IDS
    generations, script = export.bigcode(run)
    assert read(generations) == read(job.generations)
    assert "--n_samples 2" in script.read_text()
    with pytest.raises(InputError, match="no task with the same problems"):
        bigcode.write(run.rows, humaneval("mbpp"), tmp_path)


MAIN = """
import argparse, json, os
parser = argparse.ArgumentParser()
for name in ("tasks", "load_generations_path", "metric_output_path"):
    parser.add_argument("--" + name)
parser.add_argument("--n_samples", type=int)
parser.add_argument("--allow_code_execution", action="store_true")
given = parser.parse_args()
generations = json.load(open(given.load_generations_path))
assert os.path.exists("openai_humaneval/test.jsonl")
score = sum("a" in one for one in generations) / len(generations)
json.dump({given.tasks: {"pass@1": score}, "config": vars(given)}, open(given.metric_output_path, "w"))
"""


def checkout(tmp_path: Path, program: str) -> Path:
    """In place of the harness: its command line, and a score of its own."""
    folder = tmp_path / "checkout"
    (folder / "bigcode_eval").mkdir(parents=True)
    (folder / "main.py").write_text(program)
    return folder


def test_bigcode_is_run_and_read_back(tmp_path: Path):
    run = graded(tmp_path, humaneval("humaneval"))
    job = bigcode.write(run.rows, run.benchmark, tmp_path / "bc")
    console = Console(quiet=True)
    found = bigcode.run(job, checkout(tmp_path, MAIN), sys.executable, console)
    assert found["pass_at_k"] == {"pass@1": pytest.approx(1 / 3)}
    assert (found["task"], found["n_samples"]) == ("humaneval", 2)
    assert "--n_samples 2" in found["command"]
    assert shlex.split(found["command"])[0] == sys.executable
    job.metrics.write_text(json.dumps({"humaneval": {}, "config": {"n_samples": 1}}))
    with pytest.raises(InputError, match="n_samples: 1"):
        bigcode.facts(job, tmp_path, [])


def test_bigcode_that_fails(tmp_path: Path):
    run = graded(tmp_path, humaneval("humaneval"))
    job = bigcode.write(run.rows, run.benchmark, tmp_path / "bc")
    job.metrics.write_text("{}")  # of an earlier run: must not be taken for this one's
    console = Console(quiet=True)
    with pytest.raises(InfrastructureError, match="no such module"):
        bigcode.run(job, checkout(tmp_path, "raise SystemExit('no such module')"), None, console)
    with pytest.raises(InputError, match="not a checkout"):
        bigcode.run(job, tmp_path, None, console)
