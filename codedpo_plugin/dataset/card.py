"""The dataset card: front matter that `datasets` reads, the method, counts, and a plot."""

import hashlib
from collections import Counter
from pathlib import Path

import yaml

from codedpo_plugin import __version__
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.reporting.render import Rows, markdown_table
from codedpo_plugin.run_folder import manifests

_MEANINGS = {
    "dpo": "correctness and efficiency pairs (default)",
    "correctness": "a solution that is likely right against one that is likely wrong",
    "efficiency": "fast against slow, both passing all credible tests",
    "kto": "single completions with a label",
    "sft": "chosen completions",
}


def write_card(folder: Path, recipe: Recipe, rows: Counter[tuple[str, str]]) -> None:
    """Write `README.md` and `pairs.png` into a dataset folder."""
    from codedpo_plugin.dataset import pair_plots  # imports matplotlib, which is slow

    pair_plots.write_png(folder / "dpo", folder / "pairs.png")
    chunks = {config: _chunk_size(folder / config) for config in _MEANINGS}
    (folder / "README.md").write_text(card_text(recipe, rows, chunks), encoding="utf-8")


def _chunk_size(folder: Path) -> int:
    """Bytes that `datasets` reads at a time: 10 to 26 MiB, determined by a hash of the rows.

    The cache of `datasets` identifies a folder by its base name and its card alone. Without this,
    it would return the first dataset loaded, instead of one built again or by another run.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return (10 << 20) + int.from_bytes(digest.digest()[:3])


def card_text(recipe: Recipe, rows: Counter[tuple[str, str]], chunks: dict[str, int]) -> str:
    """The card. Configs and splits without rows are left out: `datasets` refuses empty files."""
    from huggingface_hub import DatasetCard, DatasetCardData

    configs = []
    for config in _MEANINGS:
        splits = [split for split in ("train", "test") if rows[config, split]]
        if splits:
            files = [{"split": split, "path": f"{config}/{split}.jsonl"} for split in splits]
            default = {"default": True} if config == "dpo" else {}
            read = {"data_files": files, "chunksize": chunks[config]}
            configs.append({"config_name": config} | read | default)
    data = DatasetCardData(
        pretty_name=f"codedpo: {recipe.output.name}",
        tags=["codedpo", "preference", "dpo", "code"],
        configs=configs,
    )
    return str(DatasetCard(f"---\n{data.to_yaml()}\n---\n\n{_body(recipe, rows)}"))


def _body(recipe: Recipe, rows: Counter[tuple[str, str]]) -> str:
    counts = [
        (f"`{config}`", meaning, *(f"{rows[config, split]:,}" for split in ("train", "test")))
        for config, meaning in _MEANINGS.items()
    ]
    table = markdown_table(Rows(("config", "rows", "train", "test"), counts))
    settings = yaml.safe_dump(
        recipe.model_dump(mode="json", include={"execute", "score", "timing", "pairs", "export"}),
        sort_keys=False,
    )
    return f"""\
# {recipe.output.name}

Preference pairs for a code model, made from its own samples and verified by running them, with
[codedpo](https://arxiv.org/abs/2410.05605) {__version__}. Every solution of a problem was run
against every test; solutions and tests were ranked by each other (`{recipe.ranker}`). *Correctness*
pairs set the best solution against one that fails (selection `{recipe.pairs.selection}`).
*Efficiency* pairs set a fast solution against a slow one, timed on the tests that the best
solution passes. No ground truth was used: pairs can be wrong.
{manifests.origin(recipe.output)}

{table}

Splits are by problem. `chosen_index` and `rejected_index` are positions in the problem's samples;
`chosen_seconds` and `rejected_seconds` (efficiency pairs) are CPU time of one pass over the
credible tests; scores compare only within a problem. `confidence` is the estimated probability that
a pair is right: chosen right and rejected wrong, or, in efficiency pairs, both right and chosen
faster. Filter on it for fewer pairs of higher precision.

![lengths and speed ratios](pairs.png)

```python
from datasets import load_dataset

dataset = load_dataset("PATH_OR_NAME", "dpo")
```

<details><summary>Settings</summary>

```yaml
{settings}```

</details>
"""
