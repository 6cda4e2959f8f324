"""Export: write the pairs as a dataset that TRL, Axolotl, LLaMA-Factory and `datasets` load.

    dataset/
      README.md                    dataset card: `load_dataset(FOLDER, CONFIG)` reads its head
      dpo/train.jsonl test.jsonl   both kinds of pairs (the default config)
      correctness/ efficiency/     each kind alone
      kto/                         prompt, completion, label
      sft/                         prompt, completion: the chosen solutions
      pairs.png                    the plot on the card
      axolotl.yaml                 `datasets:` entry for a recipe
      llamafactory/                string rows and dataset_info.json

Every version of `datasets` that the three stacks pin can read JSONL. Rows are in random order: KTO
in TRL pairs neighbours, and mixtures take the first rows.
"""

import glob
import hashlib
import json
import math
import os
import shutil
import socket
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from rich.console import Console

from codedpo_plugin.dataset import card
from codedpo_plugin.dataset.shuffle import shuffle_lines
from codedpo_plugin.dataset.stack_files import write_stack_files
from codedpo_plugin.errors import InputError
from codedpo_plugin.machine import is_alive
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder import files as storage
from codedpo_plugin.run_folder.candidates import read_manifest
from codedpo_plugin.run_folder.progress import Progress
from codedpo_plugin.run_folder.shard_keys import is_finished
from codedpo_plugin.run_folder.shards import Row, read_merged, writing
from codedpo_plugin.stages import CANDIDATES, DATASET, PAIRS

CONFIGS = ("dpo", "correctness", "efficiency", "kto", "sft")
SPLITS = ("train", "test")


@dataclass
class Counts:
    """Numbers of rows written and of pairs dropped."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(config, split) -> rows"""
    dropped: Counter[str] = field(default_factory=Counter)
    """reason -> selected pairs that were not written"""


def export(recipe: Recipe, console: Console | None = None) -> Counts:
    """Write `RUN/dataset`, replacing an earlier one when the new one is complete.

    Raises:
        InputError: pairs are not finished, there are none, or `export.text` is `response` and the
            candidates have no responses.
    """
    shards = finished_shards(recipe)
    folder = recipe.output / DATASET.folder
    with writing(folder), storage.new_folder(folder, _temporary(recipe.output)) as new:
        counts = _write_all(new, shards, recipe, console or Console(quiet=True))
        write_stack_files(new, folder, recipe, counts.rows)
        card.write_card(new, recipe, counts.rows)
    return counts


def _temporary(run: Path) -> Path:
    """A path of this process's own, as two parts that end together may both write the dataset.
    Removes what killed processes of this machine have left.
    """
    head = f".{DATASET.folder}.{socket.gethostname()}."
    for left in run.glob(f"{glob.escape(head)}*.tmp") if storage.is_local(run) else ():
        if not is_alive(int(left.suffixes[-2][1:])):
            shutil.rmtree(left)
    return run / f"{head}{os.getpid()}.tmp"


def _write_all(folder: Path, shards: int, recipe: Recipe, console: Console) -> Counts:
    """Write the rows of all configs, in random order."""
    threshold = least_confidence(recipe, shards)
    with _Writer(folder) as writer, Progress(console, "export", 0, None) as progress:
        done = 0
        for index in range(shards):
            for row in read_merged(recipe.output, (CANDIDATES, PAIRS), index):
                kept = [pair for pair in row["pairs"] if pair["confidence"] >= threshold]
                writer.counts.dropped["below the target precision"] += len(row["pairs"]) - len(kept)
                _write_problem(row | {"pairs": kept}, recipe, writer)
                done += 1
            progress.update(done)
    writer.counts.dropped += Counter()  # without zeros
    if not writer.counts.rows:
        raise InputError(
            f"{recipe.output}: no problem gave a pair{_what_to_lower(recipe)}; "
            "`codedpo show TASK_ID` shows why for one"
        )
    for file in folder.rglob("*.jsonl"):
        shuffle_lines(file, recipe.export.seed)
    return writer.counts


def least_confidence(recipe: Recipe, shards: int) -> float:
    """The lowest threshold at which the pairs are expected to reach `pairs.target_precision`; 0
    without a target, infinite if none does.
    """
    if recipe.pairs.target_precision is None:
        return 0.0
    found = array("d")
    for index in range(shards):
        for row in read_merged(recipe.output, (PAIRS,), index, ["pairs"]):
            found.extend(pair["confidence"] for pair in row["pairs"])
    descending = np.sort(np.array(found))[::-1]
    expected = np.cumsum(descending) / np.arange(1, len(descending) + 1)
    enough = np.flatnonzero(expected >= recipe.pairs.target_precision)
    return float(descending[enough[-1]]) if len(enough) else math.inf


def _what_to_lower(recipe: Recipe) -> str:
    if recipe.pairs.target_precision is not None:
        return " of high enough confidence; lower pairs.target_precision or pairs.min_confidence"
    return ""


def finished_shards(recipe: Recipe) -> int:
    """The number of shards of a run whose pairs are all finished.

    Raises:
        InputError: some are missing.
    """
    manifest = read_manifest(recipe.output)
    shards = manifest["shards"] if manifest else 0
    missing = [i for i in range(shards) if not is_finished(PAIRS, recipe, i)]
    if not shards or missing:
        raise InputError(
            f"{recipe.output}: {len(missing) or 'all'} of {shards} shards have no pairs yet; "
            "run `codedpo build` (or the other parts of --shard) first"
        )
    return int(shards)


class _Writer:
    """The open files of a dataset being written, and their counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IO[str]] = {}
        self.counts = Counts()

    def write(self, config: str, split: str, row: Row) -> None:
        """Append one row to `CONFIG/SPLIT.jsonl`."""
        self.counts.rows[config, split] += 1
        self._line(f"{config}/{split}.jsonl", row)

    def write_llamafactory(self, config: str, split: str, row: Row) -> None:
        """Append one row of strings to `llamafactory/CONFIG_SPLIT.jsonl`."""
        self._line(f"llamafactory/{config}_{split}.jsonl", row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def _line(self, name: str, row: Row) -> None:
        if name not in self._files:
            path = self._folder / name
            path.parent.mkdir(exist_ok=True)
            self._files[name] = open(path, "w", encoding="utf-8", newline="\n")
        self._files[name].write(json.dumps(row, ensure_ascii=False) + "\n")


def _write_problem(row: Row, recipe: Recipe, writer: _Writer) -> None:
    """Write the rows of one problem to every config."""
    split = split_of(row["task_id"], recipe.export.seed, recipe.export.test_fraction)
    prompt = row["prompt"]
    labels: dict[int, bool] = {}
    best: dict[int, None] = {}
    for pair in row["pairs"]:
        chosen, rejected = (
            _text(row, pair[f"{side}_index"], recipe) for side in ("chosen", "rejected")
        )
        if chosen.split() == rejected.split():
            writer.counts.dropped["the two texts are the same"] += 1
            continue
        texts = {
            "prompt": _prompt(prompt, recipe),
            "chosen": _completion(chosen, recipe),
            "rejected": _completion(rejected, recipe),
        }
        full = texts | {"task_id": row["task_id"]} | pair
        writer.write("dpo", split, full)
        writer.write(pair["kind"], split, full)
        plain = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        writer.write_llamafactory("dpo", split, plain)
        labels.setdefault(pair["rejected_index"], False)
        labels[pair["chosen_index"]] = True
        best[pair["chosen_index"]] = None
    for index, label in labels.items():
        text = _text(row, index, recipe)
        completion = {"prompt": _prompt(prompt, recipe), "completion": _completion(text, recipe)}
        about = {"task_id": row["task_id"], "solution_index": index}
        writer.write("kto", split, completion | {"label": label} | about)
        plain = {"prompt": prompt, "completion": text}
        writer.write_llamafactory("kto", split, plain | {"label": label})
        if index in best:
            writer.write("sft", split, completion | about)
            writer.write_llamafactory("sft", split, plain)


def split_of(task_id: str, seed: int, test_fraction: float) -> str:
    """`train` or `test`, independent of the other problems of the dataset."""
    digest = hashlib.sha256(f"{seed}/{task_id}".encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") < test_fraction * 2**64 else "train"


def _text(row: Row, index: int, recipe: Recipe) -> str:
    """The text of a solution in the form that `export.text` names."""
    form: str = recipe.export.text
    if form == "auto":
        bare = "code" if recipe.export.format == "standard" else "fenced"
        form = "response" if row["responses"] else bare
    if form == "response":
        if not row["responses"]:
            raise InputError(f"export.text: response, but {row['task_id']} has no `responses`")
        return str(row["responses"][index])
    code = row["solutions"][index].strip("\n")
    return f"```python\n{code}\n```" if form == "fenced" else f"{code}\n"


def _prompt(prompt: str, recipe: Recipe) -> Any:
    """A message list, or a string that ends with a newline: no token spans it and the answer."""
    if recipe.export.format == "conversational":
        return [{"role": "user", "content": prompt}]
    return prompt if prompt.endswith("\n") else prompt + "\n"


def _completion(text: str, recipe: Recipe) -> Any:
    if recipe.export.format == "conversational":
        return [{"role": "assistant", "content": text}]
    return text
