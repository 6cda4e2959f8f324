"""The data that a training recipe names, loaded as its stack loads it."""

import json
from pathlib import Path
from typing import Any

from codedpo_plugin.errors import InputError, did_you_mean
from codedpo_plugin.training.recipe import TrainingRecipe

COLUMNS = {
    "dpo": ("prompt", "chosen", "rejected"),
    "kto": ("prompt", "completion", "label"),
    "sft": ("prompt", "completion"),
}


def load(recipe: TrainingRecipe) -> dict[str, Any]:
    """Split name -> dataset, its columns named as in `COLUMNS`.

    Raises:
        InputError: the data is missing, cannot be read, or has other columns.
    """
    import datasets

    datasets.disable_progress_bars()
    splits = {"trl": _trl, "axolotl": _axolotl, "llamafactory": _llamafactory}[recipe.stack](recipe)
    for name, rows in splits.items():
        _check_columns(recipe, name, rows)
    return splits


def _trl(recipe: TrainingRecipe) -> dict[str, Any]:
    keys = recipe.keys
    if "datasets" in keys:
        from trl import DatasetMixtureConfig, get_dataset

        names = ("datasets", "streaming", "test_split_size")
        try:
            mixture = DatasetMixtureConfig(**{key: keys[key] for key in names if key in keys})
            return dict(get_dataset(mixture))
        except Exception as error:  # anything that the members' own loaders raise
            raise InputError(f"datasets: {error}") from None
    if "dataset_name" not in keys:
        raise InputError("dataset_name: none given; --set dataset_name=runs/NAME/dataset")
    splits = read(str(keys["dataset_name"]), keys.get("dataset_config"))
    wanted = keys.get("dataset_train_split", "train")
    if wanted not in splits:
        raise InputError(f"dataset_train_split: no split {wanted!r} (there: {', '.join(splits)})")
    test = keys.get("dataset_test_split", "test")
    used = {"train": splits[wanted]}
    if test in splits:
        used["test"] = splits[test]
    elif keys.get("eval_strategy", "no") not in ("no", False):
        raise InputError(
            f"eval_strategy: there is no split {test!r} to evaluate on: --set eval_strategy=null "
            "--set eval_steps=null, or build with a larger export.test_fraction"
        )
    return used


def _axolotl(recipe: TrainingRecipe) -> dict[str, Any]:
    keys = recipe.keys
    if "codedpo" in keys:
        from codedpo_plugin.training.axolotl_section import section_of

        section = section_of(keys)
        if section.recipe and not section.folder.exists():
            raise InputError(f"codedpo.recipe: {section.folder} is built when training starts")
        return read(str(section.folder), section.config or recipe.method)
    entries = keys.get("datasets") or []
    if not entries:
        raise InputError("datasets: none given, nor a `codedpo` section")
    path = str(entries[0].get("path"))
    if Path(path).is_file():
        return _files({"train": path})
    return read(path, entries[0].get("name"))


def _llamafactory(recipe: TrainingRecipe) -> dict[str, Any]:
    folder = Path(recipe.keys.get("dataset_dir", "data"))
    info_path = folder / "dataset_info.json"
    try:
        info = json.loads(info_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"dataset_dir: {info_path}: {error}") from None
    splits = {}
    for split, key in (("train", "dataset"), ("test", "eval_dataset")):
        if key in recipe.keys:
            name = str(recipe.keys[key]).split(",")[0].strip()
            splits[split] = _listed(info, name, folder, key, recipe.method)
    if "train" not in splits:
        raise InputError(f"dataset: none given; {info_path} lists {', '.join(info)}")
    return splits


def _listed(info: dict[str, Any], name: str, folder: Path, key: str, method: str) -> Any:
    """The rows of one entry of dataset_info.json, columns renamed to ours."""
    if name not in info:
        hint = did_you_mean(name, info) or f"; there: {', '.join(info)}"
        raise InputError(f"{key}: {name!r} is not in dataset_info.json{hint}")
    entry = info[name]
    if bool(entry.get("ranking")) != (method == "dpo"):
        raise InputError(
            f"{key}: {name!r} is {'' if entry.get('ranking') else 'not '}a ranking dataset, "
            f"and `stage` is {method}"
        )
    names = {"response": "completion", "kto_tag": "label", "messages": "prompt"}
    columns = {theirs: names.get(our, our) for our, theirs in entry.get("columns", {}).items()}
    if "file_name" in entry:
        rows = _files({"train": str(folder / entry["file_name"])})["train"]
    elif "hf_hub_url" in entry:
        rows = read(entry["hf_hub_url"], entry.get("subset"))[entry.get("split", "train")]
    else:
        raise InputError(
            f"{key}: {name!r} has neither file_name nor hf_hub_url; others are not read"
        )
    renamed = {old: new for old, new in columns.items() if old in rows.column_names and old != new}
    rows = rows.rename_columns(renamed)
    if misread := _misread(entry, rows[0]):
        raise InputError(f"{key}: {name!r}: {misread}")
    return rows


def _misread(entry: dict[str, Any], row: dict[str, Any]) -> str | None:
    """What LLaMA-Factory would make of rows that its converters are not for; it does not say so."""
    form = entry.get("formatting", "alpaca")
    if form == "openai":
        return "`openai` writes a system prompt into every row: use `sharegpt` with `tags`"
    sides = [row[side] for side in ("chosen", "rejected") if side in row]
    if form == "sharegpt" and any(isinstance(side, list) for side in sides):
        return "`sharegpt` takes chosen and rejected as one message, and drops every row of lists"
    if form == "alpaca" and not all(isinstance(text, str) for text in (row["prompt"], *sides)):
        return "`alpaca` takes strings, and drops every row of messages"
    if "kto_tag" in entry.get("columns", {}) and not isinstance(row.get("label"), bool):
        return "kto_tag must be true or false"
    return None


def read(name: str, config: str | None) -> dict[str, Any]:
    """`datasets.load_dataset`, with errors that say what to mend."""
    from datasets import load_dataset

    if _is_path(name) and not Path(name).exists():
        raise InputError(f"dataset: no folder {name}; `codedpo build` writes RUN/dataset")
    try:
        return dict(load_dataset(name, config))
    except Exception as error:  # the hub's errors and the builders' have no common base
        raise InputError(f"dataset: {name} ({config or 'default'}): {error}") from None


def _files(files: dict[str, str]) -> dict[str, Any]:
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
    have = set(rows.column_names)
    wanted = set(COLUMNS[recipe.method])
    if wanted <= have or (recipe.method == "kto" and {"chosen", "rejected"} <= have):
        return
    if recipe.method == "sft" and have & {"messages", "text"}:
        return
    raise InputError(
        f"dataset, {split}: {recipe.method} needs columns {', '.join(sorted(wanted))}; there are "
        f"{', '.join(sorted(have))}. The configurations of a built dataset are dpo, kto and sft"
    )
