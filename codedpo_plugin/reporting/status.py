"""The progress of a run, from the small files that its processes keep in `RUN/state`.

Any machine with access to the folder can read them during the run. Beside them only the manifest of
the candidates is opened, so the time does not depend on the number of problems.
"""

import json
import shlex
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from codedpo_plugin.errors import InputError
from codedpo_plugin.machine import is_alive
from codedpo_plugin.reporting.text import rough_duration
from codedpo_plugin.run_folder import candidates
from codedpo_plugin.run_folder.progress import FOLDER
from codedpo_plugin.stages import CANDIDATES, DATASET, STAGES

_STALE = 60.0  # seconds without an update after which a process counts as lost
_MAX_FAILURES = 5  # of a stage, in the output

Facts = dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """One stage, all its parts together."""

    stage: str
    phase: str
    """`waiting`, `running`, `done`, `failed`, `stopped` (its process ended unreported)."""
    shards: int
    shards_done: int
    running: int
    failed: dict[str, str]
    """Shard -> why."""
    problems: int
    problems_done: int
    rate: float | None
    """Problems per second, of all running processes together."""
    errors: list[str]
    """Errors that ended parts of it, except failed shards."""

    @property
    def seconds_left(self) -> float | None:
        """At the current rate."""
        left = self.problems - self.problems_done
        return left / self.rate if self.rate and left else None


def status(run: Path, console: Console) -> None:
    """Print the stages of a run, its failures, and the command that continues it.

    Raises:
        InputError: this is no run folder.
    """
    if not (run / FOLDER).is_dir():
        raise InputError(f"{run}: no run here, or it has not started; `codedpo build` starts one")
    manifest = candidates.read_manifest(run)
    stages = [summary for stage in STAGES if (summary := summarise(run, stage, manifest))]
    others = {name: _parts(run, name) for name in (CANDIDATES.name, DATASET.name)}
    console.print(_table(manifest, others, stages))
    phases = [stage.phase for stage in stages] + [_phase(one) for one in others[DATASET.name]]
    for stage in stages:
        for shard, why in list(stage.failed.items())[:_MAX_FAILURES]:
            console.print(f"{stage.stage}: shard {shard} failed: {why}", markup=False, style="red")
        for why in stage.errors[:_MAX_FAILURES]:
            console.print(f"{stage.stage}: {why}", markup=False, style="red")
    console.print(_next(run, phases), markup=False)


def summarise(run: Path, stage: str, manifest: Facts | None) -> Summary | None:
    """One stage, all its parts together; None before any has started."""
    parts = _parts(run, stage)
    if not parts or manifest is None:
        return None
    running = [one for one in parts if _phase(one) == "running"]
    rates = [one["made"] / one["seconds"] for one in running if one["made"] and one["seconds"]]
    phases = [_phase(one) for one in parts]
    if len(parts) < parts[0]["part"][1]:
        phases.append("waiting")
    order = ("running", "failed", "stopped", "waiting", "done")
    errors = [one["error"] for one in parts if one["error"] and not one["failed"]]
    return Summary(
        stage,
        next(phase for phase in order if phase in phases),
        manifest["shards"],
        sum(one["shards_done"] for one in parts),
        sum(len(one["running"]) for one in running),
        {shard: why for one in parts for shard, why in one["failed"].items()},
        manifest["problems"],
        sum(one["problems_done"] for one in parts),
        sum(rates) if rates else None,
        list(dict.fromkeys(errors)),
    )


def _parts(run: Path, stage: str) -> list[Facts]:
    """The state files of a stage's parts; of several divisions into parts, the latest."""
    found: list[Facts] = []
    for path in (run / FOLDER).glob(f"{stage}.*.json"):
        try:
            found.append(json.loads(path.read_bytes()))
        except (OSError, ValueError):
            continue
    if not found:
        return []
    parts = max(found, key=lambda one: float(one["updated"]))["part"][1]
    return sorted((one for one in found if one["part"][1] == parts), key=lambda one: one["part"])


def _phase(facts: Facts) -> str:
    """The phase of one part; `stopped` if its process ended without reporting it."""
    phase = str(facts["phase"])
    if phase != "running":
        return phase
    if facts["host"] == socket.gethostname():
        return phase if is_alive(facts["pid"]) else "stopped"
    return phase if abs(time.time() - facts["updated"]) < _STALE else "stopped"


def _table(
    manifest: Facts | None, others: dict[str, list[Facts]], stages: Sequence[Summary]
) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "", "shards", "running", "failed", "problems", "per second", "left"):
        table.add_column(name, justify="left" if name in ("stage", "") else "right")
    reading = others[CANDIDATES.name]
    if manifest:
        _add_candidates(table, "done", manifest)
    elif reading:
        _add_candidates(table, _phase(reading[-1]), reading[-1])
    for one in stages:
        table.add_row(
            one.stage,
            one.phase,
            _share(one.shards_done, one.shards),
            str(one.running or ""),
            str(len(one.failed) or ""),
            _share(one.problems_done, one.problems),
            "" if one.rate is None else f"{one.rate:,.1f}",
            "" if one.seconds_left is None else rough_duration(one.seconds_left),
        )
    for facts in others[DATASET.name]:
        table.add_row(DATASET.name, _phase(facts), "", "", "", "", "", "")
    return table


def _add_candidates(table: Table, phase: str, facts: Facts) -> None:
    shards, problems = f"{facts['shards']:,}", f"{facts['problems']:,}"
    table.add_row(CANDIDATES.name, phase, shards, "", "", problems, "", "")


def _share(done: int, total: int) -> str:
    return f"{total:,}" if done == total else f"{done:,} of {total:,}"


def _next(run: Path, phases: list[str]) -> str:
    """What to do next."""
    if "running" in phases:
        return "It is running."
    if set(phases) == {"done"} and len(phases) > len(STAGES):
        return f"All is done: {run / DATASET.folder}"
    command = shlex.join(["codedpo", "build", str(run / "recipe.yaml")])
    return f"Nothing is running. To continue, and retry what failed:\n  {command}"
