"""A whole build: make candidates, run the stages on them, write dataset and report."""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.executors.local import Pool
from codedpo_plugin.executors.stage_runner import ShardPool, run_stage
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder import candidates, manifests
from codedpo_plugin.run_folder.progress import State
from codedpo_plugin.run_folder.shards import Row, read_merged, remove_leftovers, replacing
from codedpo_plugin.sandbox.client import Sandbox
from codedpo_plugin.stages import CANDIDATES, DATASET, GENERATE, PAIRS, STAGES, SYNTHESIS
from codedpo_plugin.synthesis.candidate_requests import ROLES, requested_counts

if TYPE_CHECKING:
    from codedpo_plugin.executors.ray import RayPool
    from codedpo_plugin.executors.slurm import Job


def build(recipe: Recipe, part: tuple[int, int], console: Console, executor: str = "local") -> None:
    """Run all stages on a part of the shards; export and report when no part is missing.

    Args:
        recipe: what to build.
        part: (i, n): every n-th shard, from the i-th.
        console: shows progress and results.
        executor: `local`, `slurm` (submits jobs and returns) or `ray`.

    Raises:
        InputError, InfrastructureError: finished shards are kept.
    """
    seconds = synthesize(SYNTHESIS, recipe, part, console) if recipe.generates else {}
    if executor == "slurm":
        _submit(recipe, console)
        return
    prepare(recipe, console)
    with _pool(executor, recipe, console) as pool:
        seconds |= _run_in(pool, tuple(STAGES), recipe, part)
    if part[1] > 1:
        from codedpo_plugin.dataset import export

        try:
            export.finished_shards(recipe)
        except InputError as error:
            console.print(f"this part is done. {error}", markup=False)
            return
    finish(recipe, seconds, console)


# -- candidate synthesis --------------------------------------------------------------------------


def synthesize(
    names: Iterable[str], recipe: Recipe, part: tuple[int, int], console: Console
) -> dict[str, float]:
    """Make candidates from seeds or problems; returns wall seconds by stage.

    Raises:
        InputError, InfrastructureError: what a model has written is kept in the cache.
    """
    if part[1] > 1:
        if manifests.load(recipe.output, GENERATE) is None:
            raise InputError(
                f"{recipe.output}: candidates are not made in parts; run `codedpo seeds`, "
                "`codedpo problems` and `codedpo generate` once, before the parts"
            )
        return {}
    seconds = {}
    for name in names:
        started = time.monotonic()
        SYNTHESIS[name].load()(recipe, console)
        seconds[name] = time.monotonic() - started
    return seconds


# -- stages, shard by shard -----------------------------------------------------------------------


def prepare(recipe: Recipe, console: Console) -> dict[str, Any]:
    """Cut the candidates into shards, and save the recipe beside them; returns the manifest."""
    manifest = candidates.ingest(recipe, console)
    with replacing(recipe.output / "recipe.yaml") as file:
        file.write(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).encode())
    return manifest


def run_stages(
    names: Iterable[str], recipe: Recipe, part: tuple[int, int], console: Console
) -> dict[str, float]:
    """Run some stages on a part of the shards; returns wall seconds by stage."""
    prepare(recipe, console)
    with Pool(recipe.workers, console) as pool:
        return _run_in(pool, tuple(names), recipe, part)


def _pool(executor: str, recipe: Recipe, console: Console) -> "Pool | RayPool":
    if executor == "ray":
        from codedpo_plugin.executors.ray import RayPool

        return RayPool(recipe, console)
    return Pool(recipe.workers, console)


def _run_in(
    pool: ShardPool, names: Sequence[str], recipe: Recipe, part: tuple[int, int]
) -> dict[str, float]:
    for name in names:
        State(recipe.output, name, part).update()  # `waiting`, not the state of an earlier run
    return {name: run_stage(name, recipe, pool, part) for name in names}


# -- stages as Slurm jobs -------------------------------------------------------------------------


class Part:
    """Some stages on one part of the shards: what a task of a Slurm job does."""

    def __init__(self, names: Sequence[str], recipe: Recipe) -> None:
        self.names, self.recipe = tuple(names), recipe

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Called by datatrove; `data` is the output of a previous step: there is none."""
        run_stages(self.names, self.recipe, (rank + 1, world_size), Console())


class Last(Part):
    """The task that runs once, after all others: also writes dataset and report."""

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Select the pairs, and write dataset and report."""
        super().__call__(data, 0, 1)
        finish(self.recipe, {}, Console())


def slurm_jobs(recipe: Recipe, shards: int) -> "list[Job]":
    """One job for each group of consecutive stages that do, or do not, measure time.

    The job that measures time has options of its own: its nodes should be of one machine type. The
    last job is a single task, which also writes dataset and report.
    """
    from codedpo_plugin.executors.slurm import Job

    assert recipe.slurm is not None
    parts, options = min(recipe.slurm.parts, shards), recipe.slurm.options
    groups = itertools.groupby(STAGES.values(), lambda stage: stage.measures_time)
    jobs = []
    for measures, stages in groups:
        names = [stage.name for stage in stages]
        extra = recipe.slurm.timing if measures else {}
        jobs.append(Job(names[0], Part(names, recipe), parts, options | extra))
    jobs[-1] = Job(names[0], Last(names, recipe), 1, options)
    return jobs


def _submit(recipe: Recipe, console: Console) -> None:
    from codedpo_plugin.executors import slurm

    if recipe.slurm is None:
        raise InputError("--executor slurm: the recipe needs `slurm`, with at least a `partition`")
    shards = prepare(recipe, console)["shards"]
    slurm.submit(slurm_jobs(recipe, shards), recipe.slurm, recipe.output, console)


# -- dataset and report ---------------------------------------------------------------------------


def finish(recipe: Recipe, seconds: dict[str, float], console: Console) -> None:
    """Write dataset and report, print the tables and the next command."""
    from codedpo_plugin.dataset import export, hub
    from codedpo_plugin.pairing import more_samples
    from codedpo_plugin.reporting import page, tables
    from codedpo_plugin.reporting import summary as report

    dataset = recipe.output / DATASET.folder
    with State(recipe.output, DATASET.name, (1, 1)):
        remove_leftovers(recipe.output)
        more = recipe.output / "more.jsonl"  # first: needed most if no pair was found
        lacking = more_samples.write_more(_rows_to_extend(recipe), more, *_requested(recipe))
        counts = export.export(recipe, console)
        with Sandbox() as sandbox:
            layers = sandbox.layers
        summary = report.summarise(recipe, counts, seconds, layers, console)
        path = page.write(recipe, summary)
    tables.print_tables(summary, console)
    console.print(f"\nreport   {path}\ndataset  {dataset}", markup=False)
    if lacking:
        console.print(f"more     {more}: {lacking:,} problems that need more samples")
    if recipe.export.push_to_hub:
        address = hub.push(dataset, recipe.export.push_to_hub, private=recipe.export.private)
        console.print(f"pushed   {address}", markup=False)
    console.print(
        f"next     trl dpo --model_name_or_path MODEL --dataset_name {dataset} "
        "--loss_type sigmoid sft --loss_weights 1.0 1.0 --output_dir OUT",
        markup=False,
    )


def _rows_to_extend(recipe: Recipe) -> Iterator[Row]:
    """The input of `more_samples.write_more`, of all problems."""
    columns = ("task_id", "settle") if recipe.generates else ("task_id", "settle", *ROLES)
    manifest = candidates.read_manifest(recipe.output) or {"shards": 0}
    for index in range(manifest["shards"]):
        yield from read_merged(recipe.output, (CANDIDATES, PAIRS), index, columns)


def _requested(recipe: Recipe) -> tuple[dict[str, int] | None, dict[str, dict[str, int]]]:
    """Responses requested for each role: of every problem, and of those with more than that."""
    if not recipe.generates:
        return None, {}
    of_all = {role: getattr(recipe.generate, role).n for role in ROLES}
    return of_all, requested_counts(recipe.generate.more)
