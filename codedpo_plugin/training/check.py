"""Check: what would fail, or quietly go wrong, in a training run, said before it is launched."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from codedpo_plugin.errors import InputError
from codedpo_plugin.training import data, pitfalls, stack_schemas, token_lengths
from codedpo_plugin.training import recipe as training
from codedpo_plugin.training.recipe import TrainingRecipe

_MARKS = {"error": "[bold red]error[/]", "warning": "[yellow]warning[/]", "ok": "[green]ok[/]"}


@dataclass(frozen=True)
class Finding:
    """One thing that a check has to say."""

    level: Literal["error", "warning", "ok"]
    about: str
    message: str


def run(
    paths: list[Path], overrides: list[str] | None, gpus: int, target: Path | None, console: Console
) -> None:
    """Check a recipe; with no errors, write it merged to `target`, and say what to type next.

    Raises:
        InputError: something is wrong.
    """
    recipe = training.load(paths, overrides)
    found = check(recipe, gpus, console)
    if errors := sum(finding.level == "error" for finding in found):
        raise InputError(f"{errors} to mend before launching")
    if target:
        training.write(recipe, target)
    elif len(paths) > 1 or overrides:
        return
    console.print(f"\nnext     {_command(recipe, target or paths[0], gpus)}", markup=False)


def _command(recipe: TrainingRecipe, path: Path, gpus: int) -> str:
    if recipe.stack == "axolotl":
        return f"axolotl train {path}"
    if recipe.stack == "llamafactory":
        return f"llamafactory-cli train {path}"
    if gpus == 1 or "accelerate_config" in recipe.keys:
        return f"trl {recipe.method} --config {path}"
    if recipe.keys.get("use_cpu"):  # `accelerate launch --cpu` would train on one process
        return f"torchrun --nproc_per_node {gpus} -m trl.scripts.{recipe.method} --config {path}"
    several = f"--accelerate_config recipes/accelerate/ddp.yaml --num_processes {gpus}"
    return f"trl {recipe.method} --config {path} {several}"


def check(recipe: TrainingRecipe, gpus: int, console: Console) -> list[Finding]:
    """Print what was found as it is found; returns all of it."""
    console.print(f"{recipe.method} with {recipe.stack}: {recipe.place}", markup=False)
    found = []
    table = Table(box=None, show_header=False)
    for finding in _findings(recipe, gpus, console):
        found.append(finding)
        table.add_row(_MARKS[finding.level], finding.about, escape(finding.message))
    console.print(table)
    return found


def _findings(recipe: TrainingRecipe, gpus: int, console: Console) -> Iterator[Finding]:
    """All checks; those that need data or tokenizer are left where there is none."""
    yield from _keys(recipe, gpus)
    yield from _output(recipe)
    try:
        splits = data.load(recipe)
    except InputError as error:
        yield Finding("error", "data", str(error))
        return
    rows = splits["train"]
    counts = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
    yield Finding("ok", "data", f"{counts} rows; columns {', '.join(rows.column_names)}")
    for level, message in pitfalls.of_rows(recipe, rows, gpus):
        yield Finding(level, "data", message)
    yield from _batch(recipe, len(rows), gpus)
    yield from _tokens(recipe, rows, console)


def _keys(recipe: TrainingRecipe, gpus: int) -> Iterator[Finding]:
    for level, trap in pitfalls.of_keys(recipe, gpus):
        yield Finding(level, "keys", trap)
    if not stack_schemas.installed(recipe):
        message = f"not checked: {recipe.stack} is not installed in this environment"
        yield Finding("warning", "keys", message)
        return
    wrong = list(stack_schemas.problems(recipe))
    for message in wrong:
        yield Finding("error", "keys", message)
    if not wrong:
        yield Finding("ok", "keys", f"all {len(recipe.keys)} are known to {recipe.stack}")


def _output(recipe: TrainingRecipe) -> Iterator[Finding]:
    folder = Path(str(recipe["output"] or ""))
    if recipe["output"] is None:
        yield Finding("warning", "output", "no output_dir: the stack's own default is used")
    elif kept := sorted(folder.glob("checkpoint-*")):
        message = (
            f"{folder} holds checkpoints of an earlier run, which will be mixed up or overwritten: "
            f"choose another, or --set resume_from_checkpoint={kept[-1]}"
        )
        yield Finding("warning", "output", message)


def _batch(recipe: TrainingRecipe, rows: int, gpus: int) -> Iterator[Finding]:
    """Per-device batch x accumulation x GPUs, steps of an epoch and in all."""
    try:
        device, accumulation, epochs = (
            recipe.number(name) for name in ("per_device", "accumulation", "epochs")
        )
        max_steps = int(recipe.number("max_steps"))
    except InputError as error:
        yield Finding("error", "batch", str(error))
        return
    effective = int(device * accumulation * gpus)
    per_epoch = max(1, math.ceil(rows / effective))
    total = max_steps if max_steps > 0 else math.ceil(per_epoch * epochs)
    arithmetic = f"{device:g} x {accumulation:g} x {gpus} GPU{'s' * (gpus > 1)} = {effective}"
    steps = f"{per_epoch:,} steps an epoch, {total:,} in all"
    level: Literal["ok", "warning"] = "ok"
    if rows < effective:
        level, steps = "warning", f"{steps}: a batch is more than all {rows} rows"
    elif total < 30:
        level, steps = "warning", f"{steps}: too few for warm-up and a schedule to matter"
    yield Finding(level, "batch", f"{arithmetic} rows a step; {steps}")


def _tokens(recipe: TrainingRecipe, rows: Any, console: Console) -> Iterator[Finding]:
    if not recipe["model"]:
        return
    tokenizer = _tokenizer(str(recipe["model"]), recipe.keys.get("trust_remote_code", False))
    if isinstance(tokenizer, Finding):
        yield tokenizer
        return
    columns = rows.column_names
    if "prompt" not in columns or not {"chosen", "completion"} & set(columns):
        yield Finding("warning", "tokens", "not counted: rows without prompt and completion")
        return
    wanted = rows.select_columns([c for c in columns if c in _TEXTS])
    if recipe.stack == "llamafactory":
        yield from _named_template(recipe, tokenizer)
        if not isinstance(wanted[0]["prompt"], str):
            yield Finding("warning", "tokens", "not counted: rows in the form of sharegpt")
            return
        if tokenizer.chat_template:
            wanted = wanted.map(token_lengths.as_messages, load_from_cache_file=False)
    conversational = not isinstance(wanted[0]["prompt"], str)
    if conversational and not tokenizer.chat_template:
        message = (
            f"{recipe['model']} has no chat template, and the rows are messages: build the dataset "
            "with --set export.format=standard, or save a template with the tokenizer"
        )
        yield Finding("error", "template", message)
        return
    limit = int(recipe.number("max_length"))
    progress = token_lengths.with_progress(wanted, "tokens", console)
    measured = token_lengths.measure(progress, tokenizer, limit)
    if recipe.stack != "llamafactory":
        yield from _about_template(recipe, measured, conversational, tokenizer)
    yield from _about_lengths(recipe, measured, limit)


def _named_template(recipe: TrainingRecipe, tokenizer: Any) -> Iterator[Finding]:
    """LLaMA-Factory's template goes by name: held against the tokenizer's own on one exchange."""
    if not stack_schemas.installed(recipe):
        return
    from llamafactory.data.template import TEMPLATES

    name = recipe.keys.get("template") or "empty"
    if name not in TEMPLATES or not tokenizer.chat_template:
        return
    exchange = [{"role": "user", "content": "1 + 1"}, {"role": "assistant", "content": "2"}]
    prompt, answer = TEMPLATES[name].encode_oneturn(tokenizer, exchange)
    theirs = tokenizer.decode(prompt + answer).strip()
    own = tokenizer.apply_chat_template(exchange, tokenize=False).strip()
    if theirs == own:
        yield Finding("ok", "template", f"{name} is the model's own")
    else:
        message = f"template: {name} gives {theirs!r}, the model's own is {own!r}"
        yield Finding("warning", "template", message)


_TEXTS = ("prompt", "chosen", "rejected", "completion")


def _tokenizer(model: str, trust: bool) -> Any:
    """The model's tokenizer, or the finding that there is none."""
    from transformers import AutoTokenizer

    if model.startswith((".", "/")) and not Path(model).is_dir():
        return Finding("error", "model", f"no folder {model}")
    try:
        return AutoTokenizer.from_pretrained(model, trust_remote_code=trust)
    except Exception as error:  # missing files, no network, wrong name: no common base
        first = str(error).strip().split("\n")[0]
        return Finding("warning", "tokens", f"not counted: {model} cannot be loaded: {first}")


def _about_strings(
    recipe: TrainingRecipe, measured: token_lengths.Lengths, tokenizer: Any
) -> Iterator[Finding]:
    yield Finding("ok", "template", "rows are strings: no template is applied")
    if measured.merged:
        message = (
            f"in {measured.merged:,} of {len(measured.prompt):,} rows the prompt's last token "
            "melts into the completion's first: end prompts with a new line"
        )
        yield Finding("warning", "tokens", message)
    if recipe.stack == "axolotl" and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id:
        message = f"Axolotl writes {tokenizer.bos_token} twice before rows of strings: use messages"
        yield Finding("warning", "tokens", message)


def _about_template(
    recipe: TrainingRecipe, measured: token_lengths.Lengths, conversational: bool, tokenizer: Any
) -> Iterator[Finding]:
    rows = len(measured.prompt)
    if not conversational:
        yield from _about_strings(recipe, measured, tokenizer)
        return
    if measured.trimmed:
        message = (
            f"the chat template changes a completion in {measured.trimmed:,} of {rows:,} rows "
            "(trims it, or adds to it): build with --set export.text=fenced"
        )
        level: Literal["error", "warning"] = "error" if _axolotl_cuts(recipe) else "warning"
        yield Finding(level, "template", message)
    if measured.endless:
        message = "the chat template ends an answer with no token: the model learns no end"
        yield Finding("warning", "template", message)
    if not measured.trimmed and not measured.endless:
        yield Finding("ok", "template", "renders every completion word for word, and ends it")


def _axolotl_cuts(recipe: TrainingRecipe) -> bool:
    """Axolotl's own template strategy leaves one character of a completion that is trimmed."""
    entries = recipe.keys.get("datasets") or [{}]
    return recipe.stack == "axolotl" and "chat_template" in str(entries[0].get("type"))


def _about_lengths(
    recipe: TrainingRecipe, measured: token_lengths.Lengths, limit: int
) -> Iterator[Finding]:
    rows = len(measured.prompt)
    sides = ", ".join(
        f"{side} {sum(tokens) / rows - sum(measured.prompt) / rows:,.0f}"
        for side, tokens in measured.sides.items()
    )
    about = (
        f"mean prompt {sum(measured.prompt) / rows:,.0f}, {sides}; rows (prompt + longer side) "
        f"median {measured.longest(0.5):,}, 99 % {measured.longest(0.99):,}, "
        f"longest {measured.longest(1.0):,}"
    )
    yield Finding("ok", "tokens", about)
    name = f"{recipe.key('max_length')} {limit:,}"
    for count, what in (
        (measured.dropped, "rows are dropped: the prompt alone fills it"),
        (measured.cut, "rows are cut, losing the end and the end token"),
        (measured.identical, "pairs are the same tokens once cut: drop them, or raise it"),
    ):
        if count:
            bad = count > rows / 2 or what.startswith("pairs")
            level: Literal["error", "warning"] = "error" if bad else "warning"
            message = f"{name}: {count:,} of {rows:,} ({count / rows:.1%}) {what}"
            yield Finding(level, "tokens", message)
    if not (measured.dropped or measured.cut):
        yield Finding("ok", "tokens", f"{name}: every row fits")
