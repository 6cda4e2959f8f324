"""`codedpo check`: what would fail, or quietly go wrong, in a training run, before launch."""

import math
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from codedpo_plugin.errors import InputError
from codedpo_plugin.training import check_tokens, data, pitfalls
from codedpo_plugin.training import recipe as training
from codedpo_plugin.training.findings import Finding, Level
from codedpo_plugin.training.stacks.base import TrainingRecipe

_MARKS = {"error": "[bold red]error[/]", "warning": "[yellow]warning[/]", "ok": "[green]ok[/]"}


def run(
    paths: list[Path], overrides: list[str] | None, gpus: int, target: Path | None, console: Console
) -> None:
    """Check a recipe; if it has no errors, write it merged to `target` and print the next command.

    Raises:
        InputError: something is wrong.
    """
    recipe = training.load(paths, overrides)
    found = check(recipe, gpus, console)
    if errors := sum(finding.level == "error" for finding in found):
        raise InputError(f"{errors} error{'s' * (errors > 1)} to fix before launching")
    if target:
        training.write(recipe, target)
    elif len(paths) > 1 or overrides:
        return
    command = recipe.launch_command(target or paths[0], gpus)
    console.print(f"\nnext     {command}", markup=False)


def check(recipe: TrainingRecipe, gpus: int, console: Console) -> list[Finding]:
    """Run all checks, print what they found as a table, and return it."""
    console.print(f"{recipe.method} with {recipe.stack}: {recipe.place}", markup=False)
    found = []
    table = Table(box=None, show_header=False)
    for finding in _findings(recipe, gpus, console):
        found.append(finding)
        table.add_row(_MARKS[finding.level], finding.about, escape(finding.message))
    console.print(table)
    return found


def _findings(recipe: TrainingRecipe, gpus: int, console: Console) -> Iterator[Finding]:
    """All checks; those that need data or a tokenizer are skipped where there is none."""
    yield from pitfalls.of_keys(recipe, gpus)
    yield from _schema(recipe)
    yield from _output(recipe)
    try:
        splits = data.load(recipe)
    except InputError as error:
        yield Finding("error", "data", str(error))
        return
    rows = splits["train"]
    counts = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
    yield Finding("ok", "data", f"{counts} rows; columns {', '.join(rows.column_names)}")
    yield from pitfalls.of_rows(recipe, rows, gpus)
    yield from _batch(recipe, len(rows), gpus)
    yield from check_tokens.findings(recipe, rows, console)


def _schema(recipe: TrainingRecipe) -> Iterator[Finding]:
    if not recipe.installed:
        message = f"not checked: {recipe.stack} is not installed in this environment"
        yield Finding("warning", "keys", message)
        return
    errors = list(recipe.schema_errors())
    for message in errors:
        yield Finding("error", "keys", message)
    if not errors:
        yield Finding("ok", "keys", f"all {len(recipe.keys)} are known to {recipe.stack}")


def _output(recipe: TrainingRecipe) -> Iterator[Finding]:
    folder = recipe.value(recipe.common.output)
    if folder is None:
        yield Finding("warning", "output", "no output_dir: the stack's own default is used")
    elif old := list(Path(str(folder)).glob("checkpoint-*")):
        newest = max(old, key=_step)
        message = (
            f"{folder} has checkpoints of an earlier run, which will be mixed up or overwritten: "
            f"choose another, or --set resume_from_checkpoint={newest}"
        )
        yield Finding("warning", "output", message)


def _step(checkpoint: Path) -> int:
    """1000 of `checkpoint-1000`; -1 without a number."""
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _batch(recipe: TrainingRecipe, rows: int, gpus: int) -> Iterator[Finding]:
    """Batch per GPU x accumulation x GPUs; steps of an epoch and in all."""
    common = recipe.common
    try:
        device, accumulation, epochs = (
            recipe.number(key) for key in (common.batch_size, common.accumulation, common.epochs)
        )
        max_steps = int(recipe.number(common.max_steps))
    except InputError as error:
        yield Finding("error", "batch", str(error))
        return
    effective = int(device * accumulation * gpus)
    per_epoch = max(1, math.ceil(rows / effective))
    total = max_steps if max_steps > 0 else math.ceil(per_epoch * epochs)
    arithmetic = f"{device:g} x {accumulation:g} x {gpus} GPU{'s' * (gpus > 1)} = {effective}"
    steps = f"{per_epoch:,} steps an epoch, {total:,} in all"
    level: Level = "ok"
    if rows < effective:
        level, steps = "warning", f"{steps}: a batch is larger than all {rows} rows"
    elif total < 30:
        level, steps = "warning", f"{steps}: too few for warm-up and a schedule to matter"
    yield Finding(level, "batch", f"{arithmetic} rows a step; {steps}")
