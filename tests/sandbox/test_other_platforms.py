"""Off Linux less is enforced, which is reported, and everything else works. Simulated by removing what
only Linux has: its name, its calls, and /proc.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import codedpo_plugin

PRETEND = """
import builtins, os, signal, sys, sysconfig, time
sysconfig.get_config_vars()  # of the interpreter that there is
sys.platform = "darwin"
for module, names in {
    os: "memfd_create pipe2 sched_setaffinity sched_getaffinity",
    signal: "sigtimedwait sigwaitinfo",
}.items():
    for name in names.split():
        delattr(module, name)

def without_proc(opened):
    def wrapped(path, *arguments, **options):
        if str(path).startswith(("/proc", "/sys")):
            raise FileNotFoundError(2, "No such file or directory", path)
        return opened(path, *arguments, **options)
    return wrapped

def own_clocks(clock, read=time.clock_gettime):
    if clock < 0:
        raise OSError(22, "Invalid argument")
    return read(clock)

builtins.open, os.open = without_proc(open), without_proc(os.open)
time.clock_gettime = own_clocks
"""

PROGRAM = """
import json, warnings
from rich.console import Console
from codedpo_plugin.doctor import doctor
from codedpo_plugin.execution.execute import execute_problem
from codedpo_plugin.sandbox.client import Limits, Sandbox
f = "def f(x):\\n "
row = {
    "task_id": "t",
    "entry_point": "f",
    "solutions": [f + "return x + 1", "s = []\\n" + f + "return x", f + "return y", f + "while x: pass",
                  "import os\\n" + f + "os.abort()", "import sys\\n" + f + "sys.exit()"],
    "tests": ["assert f(1) == 2", "x = f(3)\\nassert x == 4"],
}
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    with Sandbox(Limits(seconds=0.5)) as sandbox:
        done = execute_problem(row, sandbox, 1000)
        race = sandbox.race(row["solutions"][:2], ["f(1)"], sample_seconds=0.01, seconds=1.0)
        rounds = race.rounds(1)
        race.end()
        print(json.dumps({
            "outcomes": done["outcomes"], "layers": sandbox.layers, "rounds": rounds,
            "warned": [str(one.message) for one in warned],
        }))
doctor(Console(width=200))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What the program prints: its findings, and doctor's tables."""
    folder = tmp_path_factory.mktemp("elsewhere")
    package = folder / "codedpo_plugin"
    shutil.copytree(
        Path(codedpo_plugin.__file__).parent,
        package,
        ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.c"),
    )
    zygote = package / "sandbox" / "zygote.py"
    zygote.write_text(PRETEND + zygote.read_text())
    command = [sys.executable, "-c", PRETEND + PROGRAM]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    first, _, rest = done.stdout.partition("\n")
    return json.loads(first), rest


def test_verdicts_are_the_same(said: tuple[dict[str, Any], str]) -> None:
    kinds = ["passed", "failed", "error", "timeout", "crashed", "error"]
    assert said[0]["outcomes"] == [[kind] * 2 for kind in kinds]


def test_what_is_missing_is_said(said: tuple[dict[str, Any], str]) -> None:
    found, tables = said
    assert found["layers"]["seccomp"] == found["layers"]["cgroup"] == "off: needs Linux"
    assert "Run only code that you trust" in found["warned"][0]
    assert "WARNING" in tables
    assert "can network" in tables


def test_nothing_is_timed_by_a_clock_that_cannot_be_trusted(
    said: tuple[dict[str, Any], str],
) -> None:
    assert said[0]["rounds"] == [[None, None]]
