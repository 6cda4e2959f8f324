"""A build as Slurm array jobs, through datatrove.

    execute, probe, rank  -> time (own options: one machine type)  -> pairs, dataset, report

Each job waits until the previous one has ended, even if some of its tasks failed: the shards that
were made go on to the next stage, and the last job reports what is missing. The same command
submits what is left.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.recipe import Slurm
from codedpo_plugin.run_folder.files import is_local


@dataclass(frozen=True)
class Job:
    """An array job."""

    name: str
    work: Callable[[Any, int, int], None]
    """Called in each task with (nothing, index of the task, number of tasks)."""
    tasks: int
    options: dict[str, str]
    """Of `sbatch`."""


def submit(jobs: Sequence[Job], settings: Slurm, output: Path, console: Console) -> None:
    """Write and submit jobs, each of which waits for the previous one.

    Raises:
        InputError: datatrove or `sbatch` is missing.
        InfrastructureError: `sbatch` refused.
    """
    # Slurm itself writes the logs: they need a local path.
    logs = output / "slurm" if is_local(output) else Path("slurm", output.name)
    before = None
    for job in jobs:
        before = _executor(job, before, logs, settings)
        _launch(before)
        console.print(f"{job.name:>8}  job {before.job_id}, {job.tasks} tasks", markup=False)
    console.print(f"logs     {logs}\nnext     codedpo status {output}", markup=False)


def _executor(job: Job, before: Any, logs: Path, settings: Slurm) -> Any:
    """A datatrove executor for one job."""
    try:
        from datatrove.executor import SlurmPipelineExecutor
    except ImportError:
        raise InputError("--executor slurm needs datatrove: pip install 'codedpo[slurm]'") from None

    executor = SlurmPipelineExecutor(
        [job.work],
        tasks=job.tasks,
        time=settings.time,
        partition=settings.partition,
        cpus_per_task=settings.cpus,
        mem_per_cpu_gb=settings.memory_gb,
        workers=settings.at_once,
        job_name=f"codedpo-{job.name}",
        qos=settings.qos,
        env_command=settings.setup or f'export PATH="{Path(sys.executable).parent}:$PATH"',
        sbatch_args=job.options,
        srun_args={"cpus-per-task": settings.cpus},  # since Slurm 22.05 not taken from sbatch
        logging_dir=str((logs / job.name).absolute()),
        skip_completed=False,  # the shards record what is done
        depends=before,
        run_on_dependency_fail=True,
    )
    executor.launch_merge_stats = _nothing  # these steps keep no datatrove statistics
    return executor


def _nothing() -> None:
    pass


def _launch(executor: Any) -> None:
    try:
        executor.run()
    except FileNotFoundError:
        raise InputError("--executor slurm: there is no `sbatch` on this machine") from None
    except subprocess.CalledProcessError as error:
        raise InfrastructureError(
            f"sbatch refused {executor.job_name}: exit {error.returncode}"
        ) from None
