"""Speed: what is measured, when it counts as a difference, and on which inputs."""

from pathlib import Path

import numpy as np
import pytest
from conftest import DOUBLE, make_recipe
from rich.console import Console

from codedpo_plugin import build, run
from codedpo_plugin.assertions import enlarged
from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.shards import read_rows
from codedpo_plugin.timing import compare, decided, enlarge, worth_a_pair


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
    run.stages(build.STAGES, recipe, (1, 1), Console(quiet=True))
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
