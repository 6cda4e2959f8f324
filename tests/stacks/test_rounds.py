"""Rounds of sampling, building and training, stopped and gone on with: part of `make test-deepspeed`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("deepspeed", reason="make test-deepspeed, where the long tests of TRL run")

from codedpo_plugin.recipe import Recipe

ROOT = Path(__file__).parents[2]


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\nset -e\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_rounds_go_on_where_they_stopped(built: Recipe, tmp_path: Path) -> None:
    model = tmp_path / "model"
    subprocess.run([sys.executable, ROOT / "tests" / "tiny.py", model], check=True)
    calls = tmp_path / "calls"
    sample = script(
        tmp_path / "sample", f'echo sample "$1" >> {calls}\ncp {built.candidates[0]} "$2"'
    )
    figures = f'echo evaluate "$1" >> {calls}\nmkdir -p "$2"'
    stopped = script(tmp_path / "stopped", f'{figures}\ncase "$1" in */1/*) exit 7;; esac')
    sizes = (
        "use_cpu=true bf16=false max_steps=1 max_length=512 per_device_train_batch_size=2 "
        "eval_strategy=null eval_steps=null logging_steps=1 save_steps=1"
    )
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MODEL": str(model), "SAMPLE": sample, "EVALUATE": stopped, "ROUNDS": "2",
        "OUT": str(tmp_path / "out"),
        "SETTINGS": " ".join(f"--set {setting}" for setting in sizes.split()),
    }  # fmt: skip
    command = ["bash", ROOT / "recipes" / "rounds.sh"]
    first = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert first.returncode == 7, first.stderr[-3000:]
    environment["EVALUATE"] = script(tmp_path / "evaluate", figures)
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (tmp_path / "out" / name / "model" for name in "12")
    said = calls.read_text().splitlines()
    assert said == [
        f"evaluate {model}", f"sample {model}", f"evaluate {one}", f"evaluate {one}",
        f"sample {one}", f"evaluate {two}",
    ]  # fmt: skip
    assert (two / "model.safetensors").exists()
    assert (tmp_path / "out" / "curves.png").exists()
