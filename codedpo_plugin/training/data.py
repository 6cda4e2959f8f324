"""The datasets that training recipes name."""

from pathlib import Path
from typing import Any

from codedpo_plugin.errors import InputError
from codedpo_plugin.training.stacks.base import TrainingRecipe

COLUMNS = {
    "dpo": ("prompt", "chosen", "rejected"),
    "kto": ("prompt", "completion", "label"),
    "sft": ("prompt", "completion"),
}


def load(recipe: TrainingRecipe) -> dict[str, Any]:
    """Split name -> rows, loaded as the recipe's stack loads them, columns named as in `COLUMNS`.

    Raises:
        InputError: the data is missing, cannot be read, or has other columns.
    """
    import datasets

    datasets.disable_progress_bars()
    splits = recipe.splits()
    for name, rows in splits.items():
        _check_columns(recipe, name, rows)
    return splits


def read(name: str, config: str | None) -> dict[str, Any]:
    """Split name -> rows of a folder, or of a dataset on the hub.

    Raises:
        InputError: there is no such folder or dataset, or it cannot be read.
    """
    from datasets import load_dataset

    if _is_path(name) and not Path(name).exists():
        raise InputError(f"dataset: no folder {name}; `codedpo build` writes RUN/dataset")
    try:
        return dict(load_dataset(name, config))
    except Exception as error:  # errors of the hub and of the builders have no common base
        raise InputError(f"dataset: {name} ({config or 'default'}): {error}") from None


def read_files(files: dict[str, str]) -> dict[str, Any]:
    """Split name -> rows of a JSON or JSONL file for each split.

    Raises:
        InputError: a file is missing, or cannot be read.
    """
    from datasets import load_dataset

    for path in files.values():
        if not Path(path).exists():
            raise InputError(f"dataset: no file {path}")
    try:
        return dict(load_dataset("json", data_files=files))
    except Exception as error:  # as above
        raise InputError(f"dataset: {', '.join(files.values())}: {error}") from None


def _is_path(name: str) -> bool:
    """Whether a name can only be a path: names on the hub are `owner/name`."""
    return name.startswith((".", "/", "~")) or name.count("/") != 1 or name.startswith("runs/")


def _check_columns(recipe: TrainingRecipe, split: str, rows: Any) -> None:
    columns = set(rows.column_names)
    required = set(COLUMNS[recipe.method])
    if required <= columns or (recipe.method == "kto" and {"chosen", "rejected"} <= columns):
        return
    if recipe.method == "sft" and columns & {"messages", "text"}:
        return
    raise InputError(
        f"dataset, {split}: {recipe.method} needs columns {', '.join(sorted(required))}; there are "
        f"{', '.join(sorted(columns))}. The configurations of a built dataset are dpo, kto and sft"
    )
