"""Recipes of Axolotl, checked without it."""

from pathlib import Path

import pytest

pytest.importorskip("datasets", reason="pip install 'codedpo[train]'")

from datasets import Dataset

from codedpo_plugin.training import pitfalls, token_lengths
from codedpo_plugin.training import recipe as training


def test_pitfalls_are_found_in_keys_and_rows(tmp_path: Path) -> None:
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
