"""Lengths and speed ratios of exported pairs."""

import json

import pytest

from codedpo_plugin.dataset import pair_plots
from codedpo_plugin.dataset.pair_statistics import Sample, read_pairs
from helpers.written_runs import exported, pair


def test_strings_and_messages_are_counted_and_plotted(tmp_path):
    dpo = tmp_path / "dpo"
    dpo.mkdir()
    rows = [
        exported(pair("correctness", 0, 1)),
        exported(pair("correctness", 0, 1), rejected="zz"),
        exported(pair("efficiency", 0, 1, (0.5, 1.0))),
    ]
    (dpo / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    numbers = read_pairs(dpo)
    assert numbers.chosen.values == [10, 10]
    assert numbers.rejected.values == [30, 2]
    assert numbers.shorter_chosen == 1
    assert numbers.ratios.values == [2]
    pair_plots.write_png(dpo, tmp_path / "pairs.png")
    assert (tmp_path / "pairs.png").read_bytes().startswith(b"\x89PNG")


def test_samples_are_bounded_and_uniform():
    sample = Sample()
    for number in range(50_000):
        sample.add(number)
    assert len(sample.values) == 5000
    assert sum(sample.values) / 5000 == pytest.approx(25_000, rel=0.03)
