"""Manifests of candidate synthesis (seeds -> problems -> candidates).

Each stage writes its rows as JSONL in `RUN/FOLDER` and, when these are complete, a manifest beside
them: the key of what they were made from, how many were kept, and why the others were dropped. A
stage with the expected key is finished. What a model has written is in the cache
(`RUN/samples.sqlite`), so a stage that was stopped requests nothing twice.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.run_folder.shards import Row, replacing
from codedpo_plugin.stages import GENERATE, PROBLEMS, SEEDS, SYNTHESIS, Stage

# Part of the keys of stages that read an incomplete one: changing it would redo them.
_INCOMPLETE = ", but for what the server did not give"


@dataclass
class Tally:
    """How many rows a stage has read and kept, and why it dropped the others."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    notes: dict[str, Any] = field(default_factory=dict)
    """Further figures for the report."""

    def keep(self, rows: Iterable[Row | str]) -> Iterable[Row]:
        """The rows, counted; a text among them is the reason why a row was dropped."""
        for row in rows:
            if isinstance(row, str):
                self.dropped[row] += 1
            else:
                self.kept += 1
                yield row


def finished(run: Path, stage: Stage, key: str) -> bool:
    """Whether a stage is complete and was made from the present input with these settings."""
    made = load(run, stage) or {}
    return bool(made.get("key") == key and made.get("complete"))


def load(run: Path, stage: Stage) -> dict[str, Any] | None:
    """The manifest of a stage; None before it has one."""
    try:
        made: dict[str, Any] = json.loads((run / stage.folder / "manifest.json").read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    if "complete" not in made:  # of a version that had it as an ending of the key
        key = made.get("key") or ""
        made["complete"] = not key.endswith(_INCOMPLETE)
        made["key"] = key.removesuffix(_INCOMPLETE) or None
    return made


def write(
    run: Path, stage: Stage, rows: Iterable[Row], tally: Tally, key: str, *, complete: bool = True
) -> None:
    """Write the rows of a stage, then its manifest.

    Args:
        run: the run folder.
        stage: the stage.
        rows: its output.
        tally: filled in while `rows` is read.
        key: a hash of what it was made from.
        complete: False where samples are missing; the stage is then run again.
    """
    (run / stage.folder / "manifest.json").unlink(missing_ok=True)
    with replacing(stage.path(run)) as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=True).encode() + b"\n")
    made = {
        "key": key if tally.kept else None,  # where nothing was kept, it is tried again
        "complete": complete,
        "kept": tally.kept,
        "dropped": dict(tally.dropped.most_common()),
        **tally.notes,
    }
    with replacing(run / stage.folder / "manifest.json") as out:
        out.write(json.dumps(made, indent=1).encode())


def summary(run: Path) -> dict[str, Any]:
    """The manifests that exist, by folder, for the report."""
    made = {stage.folder: load(run, stage) for stage in SYNTHESIS.values()}
    return {
        stage: {name: value for name, value in one.items() if name not in ("key", "complete")}
        for stage, one in made.items()
        if one
    }


def origin(run: Path) -> str:
    """A few sentences on where the problems come from and who wrote the candidates; may be
    empty."""
    made = summary(run)
    sentences = []
    if licenses := made.get(SEEDS.folder, {}).get("licenses"):
        listed = ", ".join(f"{name} ({count:,})" for name, count in licenses.items())
        sentences.append(f"Problems were made from functions under these licences: {listed}.")
    generated = made.get(GENERATE.folder, {})
    if usage := generated.get("usage"):
        sentences.append(f"Written by {', '.join(dict.fromkeys(one['model'] for one in usage))}.")
        dropped = len(generated.get("contaminated", []))
        dropped += len(made.get(PROBLEMS.folder, {}).get("contaminated", []))
        names = generated.get("benchmarks")
        sentences.append(
            f"Decontaminated against {', '.join(names)}: {dropped:,} problems dropped."
            if names
            else "Not decontaminated against any benchmark."
        )
    return " ".join(sentences)


def read(run: Path, stage: Stage) -> list[Row]:
    """The rows of a finished stage.

    Raises:
        InputError: it has not been run.
    """
    if load(run, stage) is None:
        raise InputError(
            f"{run}: has no {stage.folder} yet; run `codedpo {stage.name}`, or `codedpo build`"
        )
    with open(stage.path(run), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def stage_key(run: Path, stage: Stage) -> str | None:
    """What the output of a finished stage was made from, for the keys of stages that read it."""
    made = load(run, stage) or {}
    if not made.get("key"):
        return None
    return str(made["key"]) if made["complete"] else f"{made['key']}{_INCOMPLETE}"


def print_tally(console: Console, label: str, tally: Tally) -> None:
    """Print one line: how many rows were kept, and why the others were dropped."""
    reasons = ", ".join(f"{why} {n:,}" for why, n in tally.dropped.most_common())
    dropped = f"; dropped: {reasons}" if reasons else ""
    console.print(f"{label}: {tally.kept:,} kept{dropped}", markup=False)
