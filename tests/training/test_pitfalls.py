"""Keys and rows that are valid by themselves and go wrong together: read without the stacks."""

from pathlib import Path

import pytest

pytest.importorskip("datasets", reason="pip install 'codedpo[train]'")

from datasets import Dataset

from codedpo_plugin.training import pitfalls, token_lengths
from codedpo_plugin.training import recipe as training
from helpers.paths import RECIPES


def test_rows_that_a_stack_would_misread() -> None:
    kto = training.load([RECIPES / "trl" / "kto.yaml"])
    rows = {
        "prompt": [f"p{n // 4}" for n in range(12)],
        "completion": ["c"] * 12,
        "images": [1] * 12,
    }
    said = [finding.message for finding in pitfalls.of_rows(kto, Dataset.from_dict(rows), 1)]
    assert "column images: TRL takes the rows for images; rename it" in said
    assert any("9 of 12 rows follow one of the same prompt" in message for message in said)
    rows |= {"prompt": [f"p{n % 4}" for n in range(12)]}
    said = [finding.message for finding in pitfalls.of_rows(kto, Dataset.from_dict(rows), 1)]
    assert not any("same prompt" in message for message in said)


def test_pitfalls_of_axolotl(tmp_path: Path) -> None:
    """Read from the keys: no Axolotl is needed."""
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    path = tmp_path / "axolotl.yaml"
    path.write_text(
        "base_model: m\nrl: dpo\nplugins: [no_such_package.Plugin]\n"
        f"datasets: [{{path: x, ds_type: json}}]\ndataset_prepared_path: {prepared}\n"
    )
    recipe = training.load([path])
    keys, dropped, stale = (finding.message for finding in pitfalls.of_keys(recipe, 1))
    assert "no_such_package.Plugin is not installed" in keys
    assert "drops ds_type" in dropped
    assert "axolotl preprocess" in stale
    row = token_lengths.as_messages({"prompt": "p", "chosen": "c", "rejected": "r"})
    (untyped,) = pitfalls.of_rows(recipe, Dataset.from_list([row]), 1)
    assert "need a `type`" in untyped.message
    recipe = training.load([path], ["datasets=null", "plugins=null", "codedpo.dataset=x"])
    (unread,) = pitfalls.of_keys(recipe, 1)
    assert "nothing reads it without `plugins:" in unread.message
