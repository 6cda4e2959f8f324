"""Estimates of speed ratios, and when a difference counts."""

import numpy as np
import pytest

from codedpo_plugin.timing.speed_ratio import compare, exceeds_ratio, is_significant


def test_drift_of_the_whole_machine_cancels_out() -> None:
    chance = np.random.default_rng(0)
    drift = np.exp(chance.normal(0, 0.5, (20, 1)))  # every round faster or slower as a whole
    noise = np.exp(chance.normal(0, 0.01, (20, 3)))
    ratio, error = compare(1e-3 * np.array([1.0, 1.25, 2.0]) * drift * noise)
    assert np.exp(ratio) == pytest.approx([1.0, 1.25, 2.0], rel=0.02)
    assert [is_significant(*pair) for pair in zip(ratio, error, strict=True)] == [False, True, True]


def test_noise_alone_makes_no_difference() -> None:
    chance = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        ratio, error = compare(np.exp(chance.normal(0, 0.1, (10, 2))))
        wrong += exceeds_ratio(ratio.max(), error[ratio.argmax()], 1.1)
    assert wrong <= 3
