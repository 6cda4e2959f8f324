"""Logs of training runs: read, plotted and checked for warnings."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.training import curves


def logged(folder: Path, **metrics: list[float]) -> Path:
    """A run folder whose checkpoint has these values by step."""
    checkpoint = folder / "checkpoint-40"
    checkpoint.mkdir(parents=True)
    history = [
        {"step": 10 * (n + 1), "epoch": 0.1}
        | {k.replace("__", "/"): v[n] for k, v in metrics.items()}
        for n in range(len(next(iter(metrics.values()))))
    ]
    (checkpoint / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    return folder


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"rewards__chosen": [0.0, -0.5, -3.0], "rewards__margins": [0.0, 1.0, 2.0]}, "unlikely"),
        ({"rewards__chosen": [0.0, 0.1, 0.2], "rewards__margins": [0.0, 5.0, 15.0]}, "exploded"),
        (
            {"rewards__chosen": [0.0, 0.0, 0.0], "rewards__margins": [0.0, 0.0, 0.001]},
            "not diverge",
        ),
        ({"eval_loss": [0.7, 0.5, 0.6]}, "0.500 at step 20"),
        ({"loss": [0.7, 0.5, float("nan")]}, "not a number"),
    ],
)
def test_warnings(metrics: dict[str, list[float]], message: str, tmp_path: Path) -> None:
    run = curves.read(logged(tmp_path / "run", **({"loss": [0.7, 0.6, 0.5]} | metrics)))
    (warning,) = curves.warnings(run)
    assert message in warning


def test_a_healthy_run_is_drawn_without_warning(tmp_path: Path) -> None:
    run = logged(
        tmp_path / "run", loss=[0.7, 0.5, 0.4], rewards__chosen=[0.0, 0.2, 0.3],
        rewards__rejected=[0.0, -0.5, -0.9], rewards__margins=[0.0, 0.7, 1.2],
        logps__chosen=[-90.0, -88.0, -87.0], logps__rejected=[-95.0, -100.0, -104.0],
    )  # fmt: skip
    sft = logged(tmp_path / "sft", loss=[0.7, 0.5, 0.4])
    console = Console(file=io.StringIO(), width=120)
    curves.show([run, sft], None, console)
    assert "warning" not in console.file.getvalue()
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_a_log_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="save_strategy"):
        curves.read(tmp_path)
