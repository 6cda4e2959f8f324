"""Training on several CPU ranks in processes of their own."""

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil

_SECONDS = 300  # after which ranks that have not saved a model are killed


def losses(launch: list[str], config: Path, output: Path, **environment: str) -> list[float]:
    """Losses by step of `trl dpo`, started by a launcher module and its arguments.

    With gloo, about one run in six never ends after the model is saved: torch waits for ever while
    its groups are taken down. So the ranks are given ten seconds to end once it is.
    """
    command = [sys.executable, "-m", *launch, "-m", "trl.scripts.dpo", "--config", str(config)]
    process = subprocess.Popen(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout
    said = []
    stop = threading.Timer(_SECONDS, _kill, [process])
    stop.start()
    for line in process.stdout:
        said.append(line)
        if "Model saved to" in line:
            break
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    stop.cancel()
    _kill(process)
    states = sorted(output.glob("checkpoint-*/trainer_state.json"))
    assert states, "".join(said)[-3000:]
    history = json.loads(states[-1].read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


def _kill(process: subprocess.Popen[str]) -> None:
    """End a launcher and its ranks, each of which leads a session of its own."""
    with suppress(psutil.Error):
        launcher = psutil.Process(process.pid)
        for each in [*launcher.children(recursive=True), launcher]:
            with suppress(psutil.Error):
                each.kill()
