"""A whole build: read the candidates, run the stages, export, report, say what to type next."""

import itertools
import time
from collections.abc import Iterable

import yaml
from rich.console import Console

from codedpo_plugin import build as pipeline
from codedpo_plugin import candidates
from codedpo_plugin.errors import InputError
from codedpo_plugin.pool import Pool
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.sandbox.client import Sandbox
from codedpo_plugin.shards import remove_leftovers, replacing

FIRST_HALF = ("seeds", "problems", "generate")


def build(recipe: Recipe, part: tuple[int, int], console: Console) -> None:
    """Run all stages on a part of the shards; export and report when no part is missing.

    Raises:
        InputError, InfrastructureError: finished shards are kept.
    """
    seconds = first_half(FIRST_HALF, recipe, part, console) if recipe.generates else {}
    seconds |= stages(pipeline.STAGES, recipe, part, console)
    if part[1] > 1:
        from codedpo_plugin import export

        try:
            export.finished_shards(recipe)
        except InputError as error:
            console.print(f"this part is done. {error}", markup=False)
            return
    finish(recipe, seconds, console)


def first_half(
    names: Iterable[str], recipe: Recipe, part: tuple[int, int], console: Console
) -> dict[str, float]:
    """Make candidates from seeds or problems; returns wall seconds by stage.

    Raises:
        InputError, InfrastructureError: what a model wrote is in the cache.
    """
    from codedpo_plugin import generate, manifests, problems, seeds

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
    candidates.ingest(recipe)
    with replacing(recipe.output / "recipe.yaml") as file:
        file.write(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).encode())
    with Pool(recipe.workers, console) as pool:
        return {name: pipeline.run_stage(name, recipe, pool, part) for name in names}


def finish(recipe: Recipe, seconds: dict[str, float], console: Console) -> None:
    """Write dataset and report, print the tables and the next command."""
    from codedpo_plugin import export, hub, page, report, settle, tables

    remove_leftovers(recipe.output)
    counts = export.export(recipe)
    with Sandbox() as sandbox:
        layers = sandbox.layers
    summary = report.summarise(recipe, counts, seconds, layers)
    tables.print_tables(summary, console)
    path = page.write(recipe, summary)
    dataset = recipe.output / export.FOLDER
    console.print(f"\nreport   {path}\ndataset  {dataset}", markup=False)
    shards = range(export.finished_shards(recipe))
    merged = (pipeline.read_merged(recipe.output, ("candidates", "pairs"), i) for i in shards)
    more = recipe.output / "more.jsonl"
    asked, earlier = _asked(recipe)
    if problems := settle.write_more(itertools.chain.from_iterable(merged), more, asked, earlier):
        console.print(f"more     {more}: {problems:,} problems that more samples would settle")
    if recipe.export.push_to_hub:
        address = hub.push(dataset, recipe.export.push_to_hub, private=recipe.export.private)
        console.print(f"pushed   {address}", markup=False)
    console.print(
        f"next     trl dpo --model_name_or_path MODEL --dataset_name {dataset} "
        "--loss_type sigmoid sft --loss_weights 1.0 1.0 --output_dir OUT",
        markup=False,
    )


def _asked(recipe: Recipe) -> tuple[dict[str, int] | None, dict[str, dict[str, int]]]:
    """How often the model was asked for each role, of all problems and where it was more often."""
    if not recipe.generates:
        return None, {}
    from codedpo_plugin import generate

    of_all = {role: getattr(recipe.generate, role).n for role in ("solutions", "tests")}
    return of_all, generate.raised(recipe.generate.more)
