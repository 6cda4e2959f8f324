"""How many rounds are taken, and which programs take part in them: given samples, no clock."""

import numpy as np
import pytest

from codedpo_plugin.recipe import Timing
from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.timing.measurement import measure
from codedpo_plugin.timing.speed_ratio import compare, exceeds_ratio


class FakeSandbox:
    """Offers a race with given samples; records which programs ran in each batch of rounds."""

    def __init__(self, samples: np.ndarray) -> None:
        self.samples, self.taken = samples, 0
        self.ran: list[list[bool]] = []

    def race(self, *_: object, **__: object) -> "FakeSandbox":
        return self

    def rounds(self, count: int, running: list[bool] | None = None) -> list[list[float | None]]:
        runs = running or [True] * self.samples.shape[1]
        self.ran.append(runs)
        some = self.samples[self.taken : self.taken + count]
        self.taken += count
        return [[float(x) if runs[i] and x else None for i, x in enumerate(line)] for line in some]

    def end(self) -> None: ...


def noisy(*seconds: float, rounds: int = 40) -> np.ndarray:
    """Samples of programs of these mean times, with 2 % noise."""
    noise = np.random.default_rng(0).normal(0, 0.02, (rounds, len(seconds)))
    return np.array(seconds) * np.exp(noise)


def measured(samples: np.ndarray, copies: int = 0) -> tuple[np.ndarray, FakeSandbox]:
    """The result of `measure` on these samples, and the rounds that it asked for."""
    sandbox = FakeSandbox(samples)
    names = ["f"] * samples.shape[1]
    return measure(names, ["f()"], sandbox, Timing(), 1.1, copies), sandbox  # type: ignore[arg-type]


def test_a_program_far_behind_is_dropped_with_figures_that_make_a_pair() -> None:
    samples, sandbox = measured(noisy(1e-3, 1.2e-3, 50e-3))
    assert np.isfinite(samples).sum(axis=0).tolist() == [10, 10, 3]
    assert sandbox.ran[1:] == [[True, True, False]] * 2
    ratio, error = compare(samples)
    assert np.exp(ratio) == pytest.approx([1, 1.2, 50], rel=0.05)
    assert exceeds_ratio(ratio[2], error[2], 1.1)


def test_close_programs_run_until_the_difference_is_clear() -> None:
    samples, _ = measured(noisy(1e-3, 1.1e-3, 3.9e-3))
    assert np.isfinite(samples).sum(axis=0).tolist() == [10, 10, 10]
    samples, _ = measured(
        noisy(1e-3, 1.1e-3)
    )  # so near to the minimum ratio, ten rounds are too few
    assert len(samples) > 10
    assert np.isfinite(samples).all()


def test_single_slow_rounds_drop_no_program() -> None:
    given = noisy(1e-3, 1.2e-3)
    given[[0, 2], 1] *= 100
    samples, _ = measured(given)
    assert np.isfinite(samples).all()


def test_a_program_that_failed_is_excluded_and_not_run_again() -> None:
    given = noisy(1e-3, 2e-3, 2e-3, 50e-3)
    given[1, 1] = given[6, 2] = 0
    samples, sandbox = measured(given)
    assert np.isfinite(samples).sum(axis=0).tolist() == [10, 0, 0, 3]
    assert sandbox.ran == [[True] * 4, [True, False, True, False], [True, False, True, False]]


def test_programs_dropped_behind_one_that_failed_are_excluded() -> None:
    given = noisy(1e-3, 3.9e-3, 5e-3)
    given[7, 0] = 0
    samples, _ = measured(given)
    assert np.isfinite(samples).sum(axis=0).tolist() == [0, 10, 0]


def test_a_control_copy_is_dropped_with_the_first_and_decides_nothing() -> None:
    samples, _ = measured(noisy(50e-3, 1e-3, 50e-3), copies=1)
    assert np.isfinite(samples).sum(axis=0).tolist() == [3, 10, 3]
    samples, _ = measured(noisy(1e-3, 1.02e-3, 1.3e-3), copies=1)
    assert np.isfinite(samples).sum(axis=0).tolist() == [10, 10, 10]


def test_a_first_run_that_imports_is_not_counted() -> None:
    lazy = "import time\ndef f():\n    while time.thread_time() < 0.1: pass\n    return 1"
    plain = "import time\ndef f():\n    while time.thread_time() < 0: pass\n    return 1"
    with Sandbox(Limits(seconds=0.5)) as sandbox:
        samples = measure([lazy, plain], ["f()"], sandbox, Timing(), 1.1)
    assert np.isfinite(samples).all()  # the lazy one was not dropped as slow
    assert compare(samples)[0].max() < np.log(4)
