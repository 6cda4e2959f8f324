"""Files that let LLaMA-Factory and Axolotl load a dataset."""

import json
from collections.abc import Collection
from pathlib import Path

from codedpo_plugin.recipe import Recipe


def write_stack_files(
    new: Path, final: Path, recipe: Recipe, written: Collection[tuple[str, str]]
) -> None:
    """Write LLaMA-Factory's dataset_info.json and an entry for an Axolotl recipe.

    Args:
        new: the folder that is being written.
        final: where it will be.
        recipe: of the build.
        written: (config, split) of the files with rows.
    """
    columns = {
        "dpo": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
        "kto": {"prompt": "prompt", "response": "completion", "kto_tag": "label"},
        "sft": {"prompt": "prompt", "response": "completion"},
    }
    info = {}
    for config, split in written:
        if config in columns:
            name = f"codedpo_{config}" if split == "train" else f"codedpo_{config}_{split}"
            ranking = {"ranking": True} if config == "dpo" else {}
            file = {"file_name": f"{config}_{split}.jsonl"}
            info[name] = file | ranking | {"columns": columns[config]}
    (new / "llamafactory" / "dataset_info.json").write_text(json.dumps(info, indent=2) + "\n")
    conversational = recipe.export.format == "conversational"
    template = _AXOLOTL_CHAT if conversational else _AXOLOTL_STRINGS
    (new / "axolotl.yaml").write_text(template.format(path=final / "dpo" / "train.jsonl"))


_AXOLOTL_CHAT = """\
# Paste into an Axolotl recipe (DPO). Axolotl caches prepared data by path, not by content: after a
# new build, delete `dataset_prepared_path`, or run `axolotl preprocess`.
rl: dpo
datasets:
  - path: {path}
    split: train
    type: chat_template.default
    field_messages: prompt
    field_chosen: chosen
    field_rejected: rejected
"""

_AXOLOTL_STRINGS = """\
# Paste into an Axolotl recipe (DPO); without a `type`, rows are strings: prompt, chosen, rejected.
# Axolotl caches prepared data by path, not by content: after a new build, delete
# `dataset_prepared_path`, or run `axolotl preprocess`.
rl: dpo
datasets:
  - path: {path}
    split: train
"""
