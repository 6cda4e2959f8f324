"""Axolotl plugin: a built dataset, or a build recipe, as training data of `rl: dpo` and `rl: kto`.

    plugins: [codedpo_plugin.axolotl.CodeDPOPlugin]
    codedpo:
      recipe: recipes/build/mine.yaml     # or dataset: runs/mine/dataset
    rl: dpo

Rows reach TRL as messages, and only TRL applies the chat template: Axolotl's own strategies cut
code that ends in white space, and double the begin-of-text token of some tokenizers. Axolotl's
cache of prepared data, whose key is the path, is not used: a build is reused if its content is the
same.
"""

import hashlib
import math
from pathlib import Path
from typing import Any

from axolotl.common.datasets import TrainDatasetMeta
from axolotl.integrations.base import BasePlugin

from codedpo_plugin.errors import InputError
from codedpo_plugin.stages import DATASET
from codedpo_plugin.training.axolotl_section import CodeDPOSection, section_of
from codedpo_plugin.training.data import COLUMNS


class CodeDPOPlugin(BasePlugin):  # type: ignore[misc]
    """Named in `plugins:`; its section is `codedpo:`."""

    def register(self, cfg: Any) -> None:
        """Check the section before Axolotl validates the recipe.

        Raises:
            InputError: Axolotl prints it and stops (it would only log an ImportError).
        """
        section_of(cfg)
        if cfg.get("datasets"):
            raise InputError("datasets: the codedpo plugin provides the data; remove this key")
        cfg["datasets"] = [{"path": "codedpo"}]  # never read: Axolotl's schema requires one

    def get_input_args(self) -> str:
        """The class that adds `codedpo:` to Axolotl's schema."""
        return "codedpo_plugin.training.axolotl_section.CodeDPOArgs"

    def load_datasets(self, cfg: Any, preprocess: bool = False) -> Any:
        """The rows to train on, and those of the test split if the recipe evaluates.

        Runs on every rank: the first to arrive builds, the others wait.
        """
        section = section_of(cfg)
        splits = load(section, cfg["rl"])
        train = splits["train"]
        evaluates = cfg.get("eval_steps") or cfg.get("evals_per_epoch") or cfg.get("eval_strategy")
        steps = math.ceil(len(train) * (cfg.get("num_epochs") or 1) / (cfg.get("batch_size") or 1))
        return TrainDatasetMeta(
            train_dataset=train,
            eval_dataset=splits.get("test") if evaluates else None,
            total_num_steps=cfg.get("max_steps") or steps,
        )


def load(section: CodeDPOSection, method: str) -> dict[str, Any]:
    """Split name -> rows; the dataset is built first if necessary.

    Raises:
        InputError: there is no such dataset, or it lacks columns of the method.
    """
    from codedpo_plugin.training import data

    if section.recipe is not None:
        build_once(section.recipe)
    splits = data.read(str(section.folder), section.config or method)
    columns = COLUMNS[method]
    for rows in splits.values():
        if missing := set(columns) - set(rows.column_names):
            raise InputError(
                f"codedpo.config: no column {', '.join(missing)}; rl: {method} needs it"
            )
    return {name: rows.select_columns(list(columns)) for name, rows in splits.items()}


def build_once(path: Path) -> None:
    """Build, unless the dataset was built from the same recipe and the same candidates.

    A recipe that samples is always built again: the build itself skips what is finished.
    """
    from filelock import FileLock
    from rich.console import Console

    from codedpo_plugin import pipeline
    from codedpo_plugin.recipe import load_recipe

    recipe = load_recipe(path)
    recipe.output.mkdir(parents=True, exist_ok=True)
    key_file = recipe.output / "dataset.key"
    with FileLock(recipe.output / ".build.lock"):
        key = _content_key(recipe)
        same = key_file.exists() and key_file.read_text() == key
        if same and not recipe.generates and (recipe.output / DATASET.folder).is_dir():
            return
        pipeline.build(recipe, (1, 1), Console(stderr=True))
        key_file.write_text(key)


def _content_key(recipe: Any) -> str:
    """A hash of the recipe's settings and of the content of the candidate files."""
    from codedpo_plugin import __version__
    from codedpo_plugin.run_folder.shards import key_of

    digests = []
    for path in recipe.candidates:
        try:
            with open(path, "rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; `candidates` names it") from None
    settings = recipe.model_dump(mode="json", exclude={"candidates", "workers"})
    return key_of(__version__, settings, digests)
