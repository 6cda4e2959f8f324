"""Solutions and tests in a fresh interpreter, without any protection."""

import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
from typing import Any


def plain_outcome(cell: dict[str, Any], seconds: float) -> str:
    """The outcome of one cell in a fresh interpreter, in the sandbox's words.

    `cell` has `solution` and `test`. `seconds` is CPU time, so that a busy machine ends nothing that
    would have finished; a cell that waits is given ten times as long.
    """
    limit = math.ceil(seconds)
    program = f"{cell['solution']}\n{cell['test']}\nimport os as _o; _o._exit(77)\n"
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "TZ": "UTC"}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            done = subprocess.run(
                [sys.executable, "-s", "-P", "-c", program],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=10 * seconds,
                cwd=scratch,
                env=environment,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit)),
            )
        except subprocess.TimeoutExpired:
            return "timeout"
    if done.returncode == 77:
        return "passed"
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return "timeout"
    if done.returncode < 0:
        return "crashed"
    last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    names = {"AssertionError": "failed", "MemoryError": "memory"}
    return names.get(last.partition(":")[0], "error" if last else "crashed")
