"""Speed: what is measured, when it counts as a difference, and on which inputs."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from codedpo_plugin import pipeline, stages
from codedpo_plugin.parsing.assertions import enlarged
from codedpo_plugin.recipe import Timing
from codedpo_plugin.run_folder.shards import read_rows
from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.timing.time_solutions import compare, decided, enlarge, measure, worth_a_pair
from helpers.candidates import DOUBLE, make_recipe


class FakeSandbox:
    """Offers a race whose samples are given; remembers who ran in each batch of rounds."""

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
    """Samples of programs that take so long, 2 % apart."""
    noise = np.random.default_rng(0).normal(0, 0.02, (rounds, len(seconds)))
    return np.array(seconds) * np.exp(noise)


def measured(samples: np.ndarray, twins: int = 0) -> tuple[np.ndarray, FakeSandbox]:
    """What `measure` makes of these samples, and what it asked for."""
    sandbox = FakeSandbox(samples)
    names = ["f"] * samples.shape[1]
    return measure(names, ["f()"], sandbox, Timing(), 1.1, twins), sandbox  # type: ignore[arg-type]


def test_drift_of_the_whole_machine_does_not_matter() -> None:
    chance = np.random.default_rng(0)
    drift = np.exp(chance.normal(0, 0.5, (20, 1)))  # every round faster or slower as a whole
    noise = np.exp(chance.normal(0, 0.01, (20, 3)))
    ratio, error = compare(1e-3 * np.array([1.0, 1.25, 2.0]) * drift * noise)
    assert np.exp(ratio) == pytest.approx([1.0, 1.25, 2.0], rel=0.02)
    assert [decided(*pair) for pair in zip(ratio, error, strict=True)] == [False, True, True]


def test_noise_alone_is_no_difference() -> None:
    chance = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        ratio, error = compare(np.exp(chance.normal(0, 0.1, (10, 2))))
        wrong += worth_a_pair(ratio.max(), error[ratio.argmax()], 1.1)
    assert wrong <= 3


def test_literal_sequences_are_enlarged_and_nothing_else() -> None:
    assert (
        enlarged("f([1, 2], 'ab', 3, k=(1, 2))", 20)
        == "f([1, 2] * 20, 'ab' * 20, 3, k=(1, 2) * 20)"
    )
    assert enlarged("f([1], 'a', {1: 2}, x)", 20) is None


def test_arguments_grow_only_where_all_solutions_agree() -> None:
    right = "def f(x):\n    return sum(x)"
    differs = "def f(x):\n    return sum(x) if len(x) < 10 else 0"
    with Sandbox(Limits(seconds=0.5)) as sandbox:
        assert enlarge(["f([1, 2])"], [right, right + "\n"], sandbox) == ["f([1, 2] * 20)"]
        assert enlarge(["f([1, 2])"], [right, differs], sandbox) == ["f([1, 2])"]


def test_solutions_that_keep_state_are_not_timed(tmp_path: Path) -> None:
    cached = "seen = {}\ndef double(items):\n    k = tuple(items)\n    seen[k] = [x for x in items for _ in 'ab']\n    return seen[k]"
    recipe = make_recipe(tmp_path, [DOUBLE | {"solutions": [cached, *DOUBLE["solutions"]]}])
    pipeline.run_stages(stages.STAGES, recipe, (1, 1), Console(quiet=True))
    (timings,) = read_rows(recipe.output, "timings")
    assert timings["timed"] == [1, 2]  # the fifth is the first one with a comment
    assert timings["twin_log_ratio"] is not None
    assert timings["log_ratio"][1] > 3 * timings["standard_error"][1]


def test_a_solution_that_hangs_when_timed_is_left_out(tmp_path: Path) -> None:
    counts = "import time\ndef double(items):\n    return [x for x in items for _ in range(2)] if time.thread_time() < 0.05 else double(items)"
    with Sandbox(Limits(seconds=0.5)) as sandbox:
        programs = [DOUBLE["solutions"][0], counts]
        race = sandbox.race(programs, ["double([1, 2])"], sample_seconds=0.001, seconds=0.3)
        rounds = race.rounds(3)
        race.end()
        assert all(fast is not None for fast, _ in rounds)
        assert sandbox.run("def f(): return 1", [{"calls": ["f()"], "names": []}])[0].record


def test_a_solution_that_answers_for_its_clock_is_left_out() -> None:
    cheat = (
        "import os\ndef f(x):\n    for fd in range(3, 64):\n        try: os.write(fd, b'.')\n"
        "        except OSError: pass\n    return sum(range(x))"
    )
    honest = "def f(x):\n    return sum(range(x))"
    with Sandbox(Limits(seconds=0.5)) as sandbox:
        race = sandbox.race([honest, cheat], ["f(100)"], sample_seconds=0.001, seconds=0.5)
        rounds = race.rounds(4)
        race.end()
    assert all(line[0] for line in rounds)
    assert rounds[-1][1] is None


def test_one_far_behind_leaves_with_figures_that_make_a_pair() -> None:
    samples, sandbox = measured(noisy(1e-3, 1.2e-3, 50e-3))
    assert np.isfinite(samples).sum(axis=0).tolist() == [10, 10, 3]
    assert sandbox.ran[1:] == [[True, True, False]] * 2
    ratio, error = compare(samples)
    assert np.exp(ratio) == pytest.approx([1, 1.2, 50], rel=0.05)
    assert worth_a_pair(ratio[2], error[2], 1.1)


def test_close_ones_run_until_it_is_settled() -> None:
    samples, _ = measured(noisy(1e-3, 1.1e-3, 3.9e-3))
    assert np.isfinite(samples).sum(axis=0).tolist() == [10, 10, 10]
    samples, _ = measured(noisy(1e-3, 1.1e-3))  # so near to the least ratio, ten do not settle it
    assert len(samples) > 10
    assert np.isfinite(samples).all()


def test_one_slow_round_makes_nobody_leave() -> None:
    given = noisy(1e-3, 1.2e-3)
    given[[0, 2], 1] *= 100
    samples, _ = measured(given)
    assert np.isfinite(samples).all()


def test_one_that_broke_is_left_out_and_does_not_run_on() -> None:
    given = noisy(1e-3, 2e-3, 2e-3, 50e-3)
    given[1, 1] = given[6, 2] = 0
    samples, sandbox = measured(given)
    assert np.isfinite(samples).sum(axis=0).tolist() == [10, 0, 0, 3]
    assert sandbox.ran == [[True] * 4, [True, False, True, False], [True, False, True, False]]


def test_those_far_behind_one_that_broke_have_no_figures() -> None:
    given = noisy(1e-3, 3.9e-3, 5e-3)
    given[7, 0] = 0
    samples, _ = measured(given)
    assert np.isfinite(samples).sum(axis=0).tolist() == [0, 10, 0]


def test_a_copy_leaves_with_the_first_and_has_no_say() -> None:
    samples, _ = measured(noisy(50e-3, 1e-3, 50e-3), twins=1)
    assert np.isfinite(samples).sum(axis=0).tolist() == [3, 10, 3]
    samples, _ = measured(noisy(1e-3, 1.02e-3, 1.3e-3), twins=1)
    assert np.isfinite(samples).sum(axis=0).tolist() == [10, 10, 10]


def test_a_far_slower_solution_makes_a_pair(tmp_path: Path) -> None:
    slow = "def double(items):\n    for _ in range(20000): pass\n    return [x for x in items for _ in 'ab']"
    recipe = make_recipe(tmp_path, [DOUBLE | {"solutions": [slow, *DOUBLE["solutions"]]}])
    pipeline.run_stages(stages.STAGES, recipe, (1, 1), Console(quiet=True))
    (timings,) = read_rows(recipe.output, "timings")
    slowest = timings["timed"].index(0)
    assert timings["rounds"] >= recipe.timing.min_rounds
    assert timings["log_ratio"][slowest] > np.log(4)
    assert slowest != 0 or timings["twin_log_ratio"] is None
    (pairs,) = read_rows(recipe.output, "pairs")
    assert 0 in [pair["rejected_index"] for pair in pairs["pairs"] if pair["kind"] == "efficiency"]


def test_a_solution_that_does_not_run_on_ends_and_the_others_do() -> None:
    programs = [f"def f():\n    return sum(range({n}))" for n in (100, 200, 300)]
    with Sandbox(Limits(seconds=0.5)) as sandbox:
        race = sandbox.race(programs, ["f()"], sample_seconds=0.001, seconds=0.5)
        assert all(all(line) for line in race.rounds(2))
        shown = [[bool(x) for x in line] for line in race.rounds(2, [True, False, True])]
        assert shown == [[True, False, True]] * 2
        assert [bool(x) for x in race.rounds(1)[0]] == [True, False, True]  # it left for good
        race.end()
        assert sandbox.run("def f(): return 1", [{"calls": ["f()"], "names": []}])[0].record


def test_a_first_run_that_is_long_for_its_import_is_no_measure() -> None:
    lazy = "import time\ndef f():\n    while time.thread_time() < 0.1: pass\n    return 1"
    plain = "import time\ndef f():\n    while time.thread_time() < 0: pass\n    return 1"
    with Sandbox(Limits(seconds=0.5)) as sandbox:
        samples = measure([lazy, plain], ["f()"], sandbox, Timing(), 1.1)
    assert np.isfinite(samples).all()  # the lazy one did not leave as a slow one
    assert compare(samples)[0].max() < np.log(4)
