"""Ranks of one training on this machine's CPU, each with the environment that `accelerate launch` gives it.

They are forked from a server that has imported the trainer once: the launcher itself would have every rank
import it again, which takes longer than all else. `launched` runs the launcher itself: `make test-launch`.
"""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_SECONDS = 600
"""After which ranks are killed, and the test fails."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["trl.trainer.dpo_trainer", "trl.scripts.dpo", "deepspeed"])


def losses(launch: list[str], config: Path, output: Path, nodes: int = 1) -> list[float]:
    """Losses by step of DPO with the recipe `config`, on the ranks that `accelerate launch` would start.

    Args:
        launch: its arguments, but for those that differ between nodes.
        config: the recipe, whose `output_dir` is `output`.
        nodes: how many machines to play.
    """
    log = output.parent / "ranks.log"
    ranks: list[Any] = [
        _forks.Process(target=_train, args=(environment, config, log), daemon=True)
        for environment in environments(launch, nodes)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(_SECONDS)
    codes = [rank.exitcode for rank in ranks]
    for rank in ranks:
        rank.kill()
    assert set(codes) == {0}, f"{codes}\n{log.read_text()[-3000:]}"
    return logged(output)


def launched(launch: list[str], config: Path, output: Path, nodes: int = 1) -> list[float]:
    """As `losses`, by a real `accelerate launch` for each node."""
    launchers = []
    for node in range(nodes):
        more = ["--machine_rank", str(node), "--main_process_ip", "127.0.0.1"]
        more += ["--main_process_port", "29574", "-m", "trl.scripts.dpo", "--config", str(config)]
        launchers.append(
            subprocess.Popen(
                [sys.executable, "-m", "accelerate.commands.launch", *launch, *more],
                env=os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"},
                stdout=open(output.parent / f"node{node}.log", "w"), stderr=subprocess.STDOUT,
            )
        )  # fmt: skip
    codes = [launcher.wait() for launcher in launchers]
    assert codes == [0] * nodes, (output.parent / "node0.log").read_text()[-3000:]
    return logged(output)


def logged(output: Path) -> list[float]:
    """Losses by step in the newest checkpoint of a run."""
    *_, state = sorted(output.glob("checkpoint-*/trainer_state.json"))
    history = json.loads(state.read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


def environments(launch: list[str], nodes: int = 1) -> list[dict[str, str]]:
    """What `accelerate launch` on every node, and then `torchrun`, put into the environment of each rank."""
    from accelerate.commands import launch as launcher

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found: list[dict[str, str]] = []

    def torchrun(arguments: Any) -> None:
        here = int(arguments.nproc_per_node)
        for local in range(here):
            place = {
                "RANK": int(arguments.node_rank) * here + local, "LOCAL_RANK": local,
                "WORLD_SIZE": here * nodes, "LOCAL_WORLD_SIZE": here, "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port, "OMP_NUM_THREADS": 1, "DS_ACCELERATOR": "cpu",
            }  # fmt: skip
            found.append(os.environ | {key: str(value) for key, value in place.items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.distributed.run.run", torchrun)
        for node in range(nodes):
            more = ["--machine_rank", str(node), "--main_process_ip", "127.0.0.1"]
            more += ["--main_process_port", str(port)]
            arguments = [*launch, *more, "train.py"]
            launcher.launch_command(launcher.launch_command_parser().parse_args(arguments))
    return found


def _train(environment: dict[str, str], config: Path, log: Path) -> None:
    """One rank, from the start of `trl.scripts.dpo` to its end."""
    os.environ.update(environment)
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["dpo.py", "--config", str(config)]
    if "ACCELERATE_USE_DEEPSPEED" in environment:
        from deepspeed import ops

        # An operator that DeepSpeed would compile first, for minutes; without it, gloo does the work.
        ops.__compatible_ops__["deepspeed_shm_comm"] = False
    from trl.scripts import dpo

    dpo.main(*dpo.make_parser().parse_args_and_config(fail_with_unknown_args=False))
