"""A build as Slurm array jobs, through datatrove.

    execute, probe, rank  -> time (own options: one machine type)  -> pairs, dataset, report

Each job waits until the one before has ended, also where tasks of it failed: what could be made
goes on, and the last job says what is missing. The same command submits what is left.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.recipe import Recipe, Slurm
from codedpo_plugin.run_folder.files import is_local


class Part:
    """What one task does: some stages on its part of the shards."""

    def __init__(self, stages: Sequence[str], recipe: Recipe) -> None:
        self.stages, self.recipe = tuple(stages), recipe

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Called by datatrove; `data` is what a step before it gave: nothing."""
        pipeline.stages(self.stages, self.recipe, (rank + 1, world_size), Console())


class Last(Part):
    """The task that is done once, after all others."""

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Select the pairs, and write dataset and report."""
        super().__call__(data, 0, 1)
        pipeline.finish(self.recipe, {}, Console())


def submit(recipe: Recipe, console: Console) -> None:
    """Write and submit the jobs of a run whose candidates are there.

    Raises:
        InputError: the recipe has no `slurm`, or datatrove or `sbatch` is missing.
        InfrastructureError: `sbatch` refused.
    """
    if recipe.slurm is None:
        raise InputError("--executor slurm: the recipe needs `slurm`, with at least a `partition`")
    shards = pipeline.prepare(recipe, console)["shards"]
    parts = min(recipe.slurm.parts, shards)
    steps = [
        ("execute", Part(("execute", "probe", "rank"), recipe), parts, recipe.slurm.options),
        ("time", Part(("time",), recipe), parts, recipe.slurm.options | recipe.slurm.timing),
        ("pairs", Last(("pairs",), recipe), 1, recipe.slurm.options),
    ]
    # Slurm itself writes there: it must be a disk.
    logs = recipe.output / "slurm" if is_local(recipe.output) else Path("slurm", recipe.output.name)
    before = None
    for name, work, tasks, options in steps:
        before = _job(name, work, tasks, options, before, logs, recipe.slurm)
        _launch(before)
        console.print(f"{name:>8}  job {before.job_id}, {tasks} tasks", markup=False)
    console.print(f"logs     {logs}\nnext     codedpo status {recipe.output}", markup=False)


def _job(
    name: str,
    work: Part,
    tasks: int,
    options: dict[str, str],
    before: Any,
    logs: Path,
    settings: Slurm,
) -> Any:
    """A datatrove executor for one job."""
    try:
        from datatrove.executor import SlurmPipelineExecutor
    except ImportError:
        raise InputError("--executor slurm needs datatrove: pip install 'codedpo[slurm]'") from None

    job = SlurmPipelineExecutor(
        [work],
        tasks=tasks,
        time=settings.time,
        partition=settings.partition,
        cpus_per_task=settings.cpus,
        mem_per_cpu_gb=settings.memory_gb,
        workers=settings.at_once,
        job_name=f"codedpo-{name}",
        qos=settings.qos,
        env_command=settings.setup or f'export PATH="{Path(sys.executable).parent}:$PATH"',
        sbatch_args=options,
        srun_args={"cpus-per-task": settings.cpus},  # since Slurm 22.05 not taken from sbatch
        logging_dir=str((logs / name).absolute()),
        skip_completed=False,  # the shards themselves say what is done
        depends=before,
        run_on_dependency_fail=True,
    )
    job.launch_merge_stats = _nothing  # these steps keep no statistics of datatrove's kind
    return job


def _nothing() -> None:
    pass


def _launch(job: Any) -> None:
    try:
        job.run()
    except FileNotFoundError:
        raise InputError("--executor slurm: there is no `sbatch` on this machine") from None
    except subprocess.CalledProcessError as error:
        raise InfrastructureError(
            f"sbatch refused {job.job_name}: exit {error.returncode}"
        ) from None
