"""A whole build: read the candidates, run the stages, export, report, say what to type next."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from codedpo_plugin import stages as pipeline
from codedpo_plugin.errors import InputError
from codedpo_plugin.executors.local import Pool
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder import candidates
from codedpo_plugin.run_folder.progress import State
from codedpo_plugin.run_folder.shards import Row, remove_leftovers, replacing
from codedpo_plugin.sandbox.client import Sandbox

if TYPE_CHECKING:
    from codedpo_plugin.executors.ray import RayPool

FIRST_HALF = ("seeds", "problems", "generate")
ROLES = ("solutions", "tests")


def build(recipe: Recipe, part: tuple[int, int], console: Console, executor: str = "local") -> None:
    """Run all stages on a part of the shards; export and report when no part is missing.

    Args:
        recipe: what to build.
        part: (i, n): every n-th shard, from the i-th.
        console: shows progress and results.
        executor: `local`, `slurm` (jobs are submitted, and nothing is waited for) or `ray`.

    Raises:
        InputError, InfrastructureError: finished shards are kept.
    """
    seconds = first_half(FIRST_HALF, recipe, part, console) if recipe.generates else {}
    if executor == "slurm":
        from codedpo_plugin.executors import slurm

        slurm.submit(recipe, console)
        return
    prepare(recipe, console)
    with _pool(executor, recipe, console) as pool:
        seconds |= run_stages(tuple(pipeline.STAGES), recipe, pool, part)
    if part[1] > 1:
        from codedpo_plugin.dataset import export

        try:
            export.finished_shards(recipe)
        except InputError as error:
            console.print(f"this part is done. {error}", markup=False)
            return
    finish(recipe, seconds, console)


def _pool(executor: str, recipe: Recipe, console: Console) -> "Pool | RayPool":
    if executor == "ray":
        from codedpo_plugin.executors.ray import RayPool

        return RayPool(recipe, console)
    return Pool(recipe.workers, console)


def first_half(
    names: Iterable[str], recipe: Recipe, part: tuple[int, int], console: Console
) -> dict[str, float]:
    """Make candidates from seeds or problems; returns wall seconds by stage.

    Raises:
        InputError, InfrastructureError: what a model wrote is in the cache.
    """
    from codedpo_plugin.run_folder import manifests
    from codedpo_plugin.synthesis import generate, problems, seeds

    if part[1] > 1:
        if manifests.of(recipe.output, generate.STAGE) is None:
            raise InputError(
                f"{recipe.output}: candidates are not made in parts; run `codedpo seeds`, "
                "`codedpo problems` and `codedpo generate` once, before the parts"
            )
        return {}
    modules = {"seeds": seeds, "problems": problems, "generate": generate}
    seconds = {}
    for name in names:
        started = time.monotonic()
        modules[name].run(recipe, console)
        seconds[name] = time.monotonic() - started
    return seconds


def stages(
    names: Iterable[str], recipe: Recipe, part: tuple[int, int], console: Console
) -> dict[str, float]:
    """Run some stages on a part of the shards; returns wall seconds by stage."""
    prepare(recipe, console)
    with Pool(recipe.workers, console) as pool:
        return run_stages(tuple(names), recipe, pool, part)


def prepare(recipe: Recipe, console: Console) -> dict[str, Any]:
    """Cut the candidates into shards, and put the recipe beside them; returns the manifest."""
    manifest = candidates.ingest(recipe, console)
    with replacing(recipe.output / "recipe.yaml") as file:
        file.write(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).encode())
    return manifest


def run_stages(
    names: Sequence[str], recipe: Recipe, pool: pipeline.Shards, part: tuple[int, int]
) -> dict[str, float]:
    """Run some stages on a part of the shards, in a pool; returns wall seconds by stage."""
    for name in names:
        State(recipe.output, name, part).tell()  # waiting: what an earlier run told is no more true
    return {name: pipeline.run_stage(name, recipe, pool, part) for name in names}


def finish(recipe: Recipe, seconds: dict[str, float], console: Console) -> None:
    """Write dataset and report, print the tables and the next command."""
    from codedpo_plugin.dataset import export, hub
    from codedpo_plugin.pairing import more_samples
    from codedpo_plugin.reporting import page, tables
    from codedpo_plugin.reporting import summary as report

    dataset = recipe.output / export.FOLDER
    with State(recipe.output, export.FOLDER, (1, 1)):
        remove_leftovers(recipe.output)
        more = recipe.output / "more.jsonl"  # first: it is wanted most where no pair was found
        unsettled = more_samples.write_more(_settled(recipe), more, *_asked(recipe))
        counts = export.export(recipe, console)
        with Sandbox() as sandbox:
            layers = sandbox.layers
        summary = report.summarise(recipe, counts, seconds, layers, console)
        path = page.write(recipe, summary)
    tables.print_tables(summary, console)
    console.print(f"\nreport   {path}\ndataset  {dataset}", markup=False)
    if unsettled:
        console.print(f"more     {more}: {unsettled:,} problems that more samples would settle")
    if recipe.export.push_to_hub:
        address = hub.push(dataset, recipe.export.push_to_hub, private=recipe.export.private)
        console.print(f"pushed   {address}", markup=False)
    console.print(
        f"next     trl dpo --model_name_or_path MODEL --dataset_name {dataset} "
        "--loss_type sigmoid sft --loss_weights 1.0 1.0 --output_dir OUT",
        markup=False,
    )


def _settled(recipe: Recipe) -> Iterator[Row]:
    """What `settle.write_more` reads, of all problems."""
    columns = ("task_id", "settle") if recipe.generates else ("task_id", "settle", *ROLES)
    manifest = candidates.read_manifest(recipe.output) or {"shards": 0}
    for index in range(manifest["shards"]):
        yield from pipeline.read_merged(recipe.output, ("candidates", "pairs"), index, columns)


def _asked(recipe: Recipe) -> tuple[dict[str, int] | None, dict[str, dict[str, int]]]:
    """How often the model was asked for each role, of all problems and where it was more often."""
    if not recipe.generates:
        return None, {}
    from codedpo_plugin.synthesis import generate

    of_all = {role: getattr(recipe.generate, role).n for role in ROLES}
    return of_all, generate.raised(recipe.generate.more)
