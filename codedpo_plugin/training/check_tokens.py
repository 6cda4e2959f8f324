"""Checks that need the model's tokenizer: its chat template, and token lengths of the rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_plugin.training import token_lengths
from codedpo_plugin.training.findings import Finding, Level
from codedpo_plugin.training.stacks.base import TrainingRecipe

_TEXT_COLUMNS = ("prompt", "chosen", "rejected", "completion")


def findings(recipe: TrainingRecipe, rows: Any, console: Console) -> Iterator[Finding]:
    """What template and `max_length` do to the rows of the training split."""
    if not recipe.model:
        return
    tokenizer = _tokenizer(recipe.model, recipe.keys.get("trust_remote_code", False))
    if isinstance(tokenizer, Finding):
        yield tokenizer
        return
    columns = rows.column_names
    if "prompt" not in columns or not {"chosen", "completion"} & set(columns):
        yield Finding("warning", "tokens", "not counted: rows without prompt and completion")
        return
    texts = rows.select_columns([column for column in columns if column in _TEXT_COLUMNS])
    strings = isinstance(texts[0]["prompt"], str)
    yield from recipe.template_pitfalls(tokenizer)
    if recipe.applies_template:
        if not strings:
            yield Finding("warning", "tokens", "not counted: rows in the form of sharegpt")
            return
        if tokenizer.chat_template:
            texts = texts.map(token_lengths.as_messages, load_from_cache_file=False)
    elif not strings and not tokenizer.chat_template:
        message = (
            f"{recipe.model} has no chat template, and the rows are messages: build the dataset "
            "with --set export.format=standard, or save a template with the tokenizer"
        )
        yield Finding("error", "template", message)
        return
    progress = token_lengths.with_progress(texts, "tokens", console)
    measured = token_lengths.measure(progress, tokenizer, recipe.max_length)
    if not recipe.applies_template:
        about_rows = _about_strings if strings else _about_messages
        yield from about_rows(recipe, measured, tokenizer)
    yield from _about_lengths(recipe, measured)


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
            "merges with the completion's first: end prompts with a new line"
        )
        yield Finding("warning", "tokens", message)
    yield from recipe.string_pitfalls(tokenizer)


def _about_messages(
    recipe: TrainingRecipe, measured: token_lengths.Lengths, tokenizer: Any
) -> Iterator[Finding]:
    if measured.trimmed:
        message = (
            f"the chat template changes a completion in {measured.trimmed:,} of "
            f"{len(measured.prompt):,} rows (trims it, or adds to it): build with "
            "--set export.text=fenced"
        )
        yield Finding(recipe.trimming, "template", message)
    if measured.endless:
        message = (
            "the chat template puts no token after an answer: the model does not learn to stop"
        )
        yield Finding("warning", "template", message)
    if not measured.trimmed and not measured.endless:
        message = "renders every completion word for word, with an end token"
        yield Finding("ok", "template", message)


def _about_lengths(recipe: TrainingRecipe, measured: token_lengths.Lengths) -> Iterator[Finding]:
    rows = len(measured.prompt)
    prompt = sum(measured.prompt) / rows
    sides = ", ".join(
        f"{side} {sum(tokens) / rows - prompt:,.0f}" for side, tokens in measured.sides.items()
    )
    about = (
        f"mean prompt {prompt:,.0f}, {sides}; rows (prompt + longer side) "
        f"median {measured.longest(0.5):,}, 99 % {measured.longest(0.99):,}, "
        f"longest {measured.longest(1.0):,}"
    )
    yield Finding("ok", "tokens", about)
    limit = f"{recipe.common.max_length.name} {recipe.max_length:,}"
    for count, effect in (
        (measured.dropped, "rows are dropped: the prompt alone fills it"),
        (measured.cut, "rows are cut, losing the end and the end token"),
        (measured.identical, "pairs are the same tokens once cut: drop them, or raise it"),
    ):
        if count:
            error = count > rows / 2 or effect.startswith("pairs")
            level: Level = "error" if error else "warning"
            message = f"{limit}: {count:,} of {rows:,} ({count / rows:.1%}) {effect}"
            yield Finding(level, "tokens", message)
    if not (measured.dropped or measured.cut):
        yield Finding("ok", "tokens", f"{limit}: every row fits")
