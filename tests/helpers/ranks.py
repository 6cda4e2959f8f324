"""Ranks of one training on this machine's CPU, each with the environment that `accelerate launch` would set.

They are forked from a server that has imported the trainer once: with the launcher itself every rank imports it
again, which takes longer than everything else. `launched` runs the launcher itself: `make test-launch`.
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
"""Ranks that run longer are killed, and the test fails"""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["trl.trainer.dpo_trainer", "trl.scripts.dpo", "deepspeed"])


def losses(launch: list[str], config: Path, output: Path, nodes: int = 1) -> list[float]:
    """Losses by step of DPO with the recipe `config`, on the ranks that `accelerate launch` would start.

    Args:
        launch: arguments of `accelerate launch`, except those that differ between nodes.
        config: the recipe, whose `output_dir` is `output`.
        nodes: how many machines to simulate.
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
    """Like `losses`, with a real `accelerate launch` for each node."""
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
    """The environment of each rank, as `accelerate launch` on every node and then `torchrun` would set it."""
    from accelerate.commands import launch as launcher

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks: list[dict[str, str]] = []

    def torchrun(arguments: Any) -> None:
        local_ranks = int(arguments.nproc_per_node)
        for local in range(local_ranks):
            variables = {
                "RANK": int(arguments.node_rank) * local_ranks + local, "LOCAL_RANK": local,
                "WORLD_SIZE": local_ranks * nodes, "LOCAL_WORLD_SIZE": local_ranks, "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port, "OMP_NUM_THREADS": 1, "DS_ACCELERATOR": "cpu",
            }  # fmt: skip
            ranks.append(os.environ | {key: str(value) for key, value in variables.items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.distributed.run.run", torchrun)
        for node in range(nodes):
            more = ["--machine_rank", str(node), "--main_process_ip", "127.0.0.1"]
            more += ["--main_process_port", str(port)]
            arguments = [*launch, *more, "train.py"]
            launcher.launch_command(launcher.launch_command_parser().parse_args(arguments))
    return ranks


def _train(environment: dict[str, str], config: Path, log: Path) -> None:
    """Run `trl.scripts.dpo` as one rank."""
    os.environ.update(environment)
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["dpo.py", "--config", str(config)]
    if "ACCELERATE_USE_DEEPSPEED" in environment:
        from deepspeed import ops

        # DeepSpeed would compile this operator for minutes; without it, gloo is used.
        ops.__compatible_ops__["deepspeed_shm_comm"] = False
    from torch.nn.parallel import DistributedDataParallel
    from trl.scripts import dpo

    # torch can deadlock where the wrapper of the model is freed: the destructor of its gloo group
    # waits for a thread that waits for the GIL. So it is kept, and the process ends at once.
    kept, make = [], DistributedDataParallel.__init__

    def keep(self: Any, *args: Any, **kwargs: Any) -> None:
        kept.append(self)
        make(self, *args, **kwargs)

    DistributedDataParallel.__init__ = keep
    dpo.main(*dpo.make_parser().parse_args_and_config(fail_with_unknown_args=False))
    sys.stdout.flush()
    os._exit(0)
