"""Two rounds with a tiny model that samples in process, killed in between and resumed: `make test-launch`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import ROOT

pytest.importorskip("trl", reason="pip install 'codedpo[train]'")

from codedpo_plugin.sampling import Sample
from codedpo_plugin.synthesis.problems import parse_problem
from helpers.exercises import EXERCISES
from helpers.trained_writer import make

pytestmark = pytest.mark.launch

BUILD = """
problems: {problems}
output: unused
sampling: {{backend: transformers, temperature: 1.0, max_tokens: 96}}
generate: {{solutions: {{n: 12}}, tests: {{n: 4}}}}
score: {{rankers: {{self_validation: {{}}}}}}
pairs: {{selection: worst, min_confidence: 0, efficiency: false}}
export: {{test_fraction: 0}}
decontaminate: {{benchmarks: []}}
workers: 1
"""
SIZES = (
    "use_cpu=true bf16=false max_steps=4 max_length=512 per_device_train_batch_size=2 "
    "gradient_accumulation_steps=1 eval_strategy=null eval_steps=null logging_steps=1 save_steps=2"
)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that writes solutions and tests of the exercises, some of them wrong."""
    seeds = [{"code": f"def seed{number}(): ..."} for number in range(len(EXERCISES))]
    return make(tmp_path_factory.mktemp("writer"), seeds)


@pytest.fixture
def start(writer: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """A function that starts rounds.sh with the tiny model, in a process group of its own."""
    problems, tasks = tmp_path / "problems.jsonl", tmp_path / "tasks.jsonl"
    with open(problems, "w") as rows, open(tasks, "w") as judged:
        for number, exercise in enumerate(EXERCISES):
            row: Any = parse_problem(Sample(exercise.problem(), "stop"))
            row = {"task_id": f"own/{number}", **row}
            rows.write(
                json.dumps({key: row[key] for key in ("task_id", "prompt", "entry_point")}) + "\n"
            )
            judged.write(json.dumps(row | {"tests": list(exercise.tests)}) + "\n")
    build = tmp_path / "build.yaml"
    build.write_text(BUILD.format(problems=problems))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MODEL": str(writer), "BUILD": str(build), "ROUNDS": "2", "OUT": str(tmp_path / "out"),
        "SETTINGS": " ".join(f"--set {setting}" for setting in SIZES.split()),
        "EVAL": f"codedpo eval run {tasks} --backend transformers --max-tokens 64 --workers 1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip

    def run(**more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", ROOT / "recipes" / "rounds.sh"], env=environment | more, cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    return run


def output_of(process: subprocess.Popen[str], until: str | None = None, times: int = 1) -> str:
    """What a run prints; at the n-th line with the text `until`, it is killed with its children."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        times -= until is not None and until in line
        if not times:
            os.killpg(process.pid, signal.SIGKILL)
            times = -1
    process.wait()
    return "".join(lines)


def model_of(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def test_killed_rounds_resume(start: Any, writer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = output_of(start(), until="== training from")
    assert first.count("== evaluating") == 1, first[-3000:]
    rows = (out / "1" / "build" / "dataset" / "dpo" / "train.jsonl").read_text()
    second = output_of(start(), until="== round 2 of 2")
    assert "== evaluating" not in second.partition("== training")[0], second[-3000:]
    assert "== samples of" not in second
    assert (out / "1" / "build" / "dataset" / "dpo" / "train.jsonl").read_text() == rows
    once = model_of(out / "1")
    last = start()
    text = output_of(last)
    assert last.returncode == 0, text[-3000:]
    assert f"== samples of {out / '1' / 'model'}" in text
    assert f"== training from {out / '1' / 'model'}" in text
    assert model_of(out / "1") == once != model_of(out / "2")
    reports = [json.loads((out / n / "eval" / "report.json").read_text()) for n in "012"]
    assert all(report["benchmark"]["name"] == "tasks" for report in reports)
    assert (out / "curves.png").exists()
    assert (out / "compare").is_dir()


def test_with_the_reference_kept_each_round_trains_the_first_model(
    start: Any, writer: Path, tmp_path: Path
) -> None:
    process = start(REFERENCE="kept", EVAL="")
    text = output_of(process)
    assert process.returncode == 0, text[-3000:]
    assert text.count(f"== training from {writer}") == 2
    assert f"== samples of {tmp_path / 'out' / '1' / 'model'}" in text
    assert not (tmp_path / "out" / "compare").exists()


def test_an_interrupted_training_resumes_from_its_checkpoint(start: Any, tmp_path: Path) -> None:
    settings = " ".join(f"--set {s}" for s in SIZES.replace("max_steps=4", "max_steps=8").split())
    more = {"EVAL": "", "ROUNDS": "1", "SETTINGS": settings}
    output_of(start(**more), until="'loss'", times=6)
    model = tmp_path / "out" / "1" / "model"
    assert not (model / "model.safetensors").exists()
    process = start(**more)
    text = output_of(process)
    assert process.returncode == 0, text[-3000:]
    assert text.count("'loss'") in (4, 6)  # of eight steps, those after checkpoint 4 or 2
    state = json.loads((model / "checkpoint-8" / "trainer_state.json").read_text())
    assert [row["step"] for row in state["log_history"] if "loss" in row] == list(range(1, 9))
