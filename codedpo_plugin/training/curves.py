"""`codedpo curves`: logs of training runs as a plot, a table and warnings.

TRL, Axolotl and LLaMA-Factory all write the Hugging Face trainer's `trainer_state.json`, with the
same metric names. `rewards/chosen` is beta times the change of the log-probability since the start.
The motivating figure of CodeDPO (section 1) shows chosen and rejected: under SFT both rise, under
DPO they diverge. To log both under SFT, train DPO with the SFT term alone (recipes/trl/sft.yaml).
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from codedpo_plugin.errors import InputError

Series = list[tuple[int, float]]

LOWEST_CHOSEN_REWARD = -1.0
"""Below this mean chosen reward there is a warning: at beta 0.1, it is ten nats less likely."""
LARGEST_MARGIN = 10.0
"""Above this mean margin there is a warning: the loss has no gradient left."""


@dataclass(frozen=True)
class Run:
    """The log of one training run: metric -> (step, value), as the trainer names them."""

    name: str
    series: dict[str, Series]

    def last(self, metric: str) -> float | None:
        """The last value on the test split, where there is one; else the mean of the last fifth."""
        if held_out := self.series.get(f"eval_{metric}"):
            return held_out[-1][1]
        values = [value for _, value in self.series.get(metric, [])]
        end = values[-max(1, len(values) // 5) :]
        return sum(end) / len(end) if end else None


def read(path: Path) -> Run:
    """The log of a run folder (its newest `trainer_state.json`), or of one such file.

    Raises:
        InputError: there is none, or it has no steps.
    """
    file = path if path.is_file() else _newest(path)
    try:
        history = json.loads(file.read_text(encoding="utf-8"))["log_history"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: not a trainer's log: {error}") from None
    series: dict[str, Series] = {}
    for entry in history:
        for metric, value in entry.items():
            if isinstance(value, int | float) and metric not in ("step", "epoch"):
                series.setdefault(metric, []).append((int(entry["step"]), float(value)))
    if "loss" not in series:
        raise InputError(f"{file}: no step has been logged yet; set logging_steps lower")
    return Run(str(path), series)


def _newest(folder: Path) -> Path:
    found = [*folder.glob("trainer_state.json"), *folder.glob("checkpoint-*/trainer_state.json")]
    if not found:
        raise InputError(
            f"{folder}: no trainer_state.json, there or in checkpoint-*; trainers write it with "
            "each checkpoint (save_strategy)"
        )
    return max(found, key=lambda file: file.stat().st_mtime)


def warnings(run: Run) -> Iterator[str]:
    """Reasons to stop a run or to change its settings."""
    if any(not math.isfinite(value) for _, value in run.series["loss"]):
        yield "the loss is not a number: lower the learning rate, check bf16"
    chosen, margin = run.last("rewards/chosen"), run.last("rewards/margins")
    if chosen is not None and chosen < LOWEST_CHOSEN_REWARD:
        yield (
            f"chosen answers are becoming unlikely (reward {chosen:.2f}): over-optimisation; raise "
            "beta or the SFT weight, lower the learning rate, or use an earlier checkpoint"
        )
    if margin is not None and margin > LARGEST_MARGIN:
        yield f"the margin has exploded ({margin:.1f}): fewer epochs, or a higher beta"
    if margin is not None and abs(margin) < 0.01 and _steps(run) >= 20:
        yield (f"chosen and rejected do not diverge (margin {margin:.4f}): raise the learning rate")
    held_out = run.series.get("eval_loss", [])
    if len(held_out) > 1:
        step, best = min(held_out, key=lambda point: point[1])
        if held_out[-1][1] > best + 0.02 * abs(best):
            yield (
                f"the loss on the test split rises: {best:.3f} at step {step}, "
                f"{held_out[-1][1]:.3f} now: the run is overfitting"
            )


def _steps(run: Run) -> int:
    return run.series["loss"][-1][0]


_TABLE_COLUMNS = {
    "loss": "loss", "rewards/chosen": "chosen", "rewards/rejected": "rejected",
    "rewards/margins": "margin", "rewards/accuracies": "accuracy",
}  # fmt: skip


def show(paths: list[Path], target: Path | None, console: Console) -> None:
    """Print a table and warnings, and plot all runs in one PNG (by default in the first folder).

    Raises:
        InputError: a run has no log.
    """
    from codedpo_plugin.training.curve_plots import training_curves

    runs = [read(path) for path in paths]
    table = Table("run", "steps", *_TABLE_COLUMNS.values(), box=None, header_style="bold")
    for run in runs:
        values = [run.last(metric) for metric in _TABLE_COLUMNS]
        cells = ["" if value is None else f"{value:.3f}" for value in values]
        table.add_row(run.name, str(_steps(run)), *cells)
    console.print(table)
    for run in runs:
        for warning in warnings(run):
            console.print(f"[yellow]warning[/] {run.name}: {warning}")
    first = paths[0] if paths[0].is_dir() else paths[0].parent
    out = target or first / "curves.png"
    training_curves({run.name: run.series for run in runs}, out)
    console.print(f"\nplot     {out}", markup=False)
