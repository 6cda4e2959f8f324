"""The summary of a run written by hand."""

import pytest

from helpers.written_runs import LAYERS, SECONDS


def test_summary_counts_problems_and_pairs(summary):
    assert summary["problems"] == {
        "read": 4,
        "skipped": {"no tests": 1},
        "with_pair": 2,
        "with_correctness": 2,
        "no_correctness": {"all solutions pass": 1},
        "with_efficiency": 1,
        "no_efficiency": {"no decided difference": 2},
        "tests_cut": 7,
    }
    assert summary["pairs"] == {
        "correctness": {"train": 1, "test": 1},
        "efficiency": {"train": 1, "test": 0},
    }
    assert summary["dropped"] == {"the two texts are the same": 2}


def test_summary_counts_cells(summary):
    cells = summary["cells"]
    assert {name: n for name, n in cells["outcomes"].items() if n} == {
        "passed": 14,
        "failed": 2,
        "error": 1,
        "timeout": 1,
        "not_run": 2,
    }
    assert cells["total"] == 20
    assert sum(cells["by_test"]["sealed"].values()) == 12
    assert cells["by_test"]["unsealed"]["timeout"] == 1
    assert cells["error_types"] == {"ValueError": 1}
    assert cells["cpu_seconds"] == pytest.approx(6)
    assert cells["per_cpu_second"] == pytest.approx(18 / 6)


def test_summary_of_ties_lengths_and_speed(summary):
    assert summary["ties_at_top"]["share"] == pytest.approx(2 / 3)
    assert summary["ties_at_top"]["problems_by_size"] == {
        "1": 1,
        "2": 2,
        "3-4": 0,
        "5-8": 0,
        "9+": 0,
    }
    assert sum(summary["samples"]["scores"]) == 8
    assert summary["lengths"] == {
        "chosen_median": 10,
        "rejected_median": 30,
        "shorter_is_chosen": 1.0,
    }
    assert summary["speed"]["quartiles"] == pytest.approx([4, 4, 4])
    assert summary["wall_seconds"] == SECONDS
    assert summary["sandbox"] == LAYERS
