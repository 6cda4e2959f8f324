"""Races: programs that hang, cheat or are taken out end, and the others go on."""

from codedpo_plugin.sandbox.client import Limits, Sandbox
from helpers.candidates import DOUBLE


def test_a_solution_that_hangs_when_timed_is_excluded() -> None:
    counts = "import time\ndef double(items):\n    return [x for x in items for _ in range(2)] if time.thread_time() < 0.05 else double(items)"
    with Sandbox(Limits(seconds=0.5)) as sandbox:
        programs = [DOUBLE["solutions"][0], counts]
        race = sandbox.race(programs, ["double([1, 2])"], sample_seconds=0.001, seconds=0.3)
        rounds = race.rounds(3)
        race.end()
        assert all(fast is not None for fast, _ in rounds)
        assert sandbox.run("def f(): return 1", [{"calls": ["f()"], "names": []}])[0].record


def test_a_solution_that_writes_fake_clock_readings_is_excluded() -> None:
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


def test_a_solution_excluded_from_rounds_never_returns_and_the_others_go_on() -> None:
    programs = [f"def f():\n    return sum(range({n}))" for n in (100, 200, 300)]
    with Sandbox(Limits(seconds=0.5)) as sandbox:
        race = sandbox.race(programs, ["f()"], sample_seconds=0.001, seconds=0.5)
        assert all(all(line) for line in race.rounds(2))
        shown = [[bool(x) for x in line] for line in race.rounds(2, [True, False, True])]
        assert shown == [[True, False, True]] * 2
        assert [bool(x) for x in race.rounds(1)[0]] == [True, False, True]  # it does not come back
        race.end()
        assert sandbox.run("def f(): return 1", [{"calls": ["f()"], "names": []}])[0].record
