"""The `codedpo` command. Heavy modules are imported by the commands that need them."""

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from codedpo_eval.cli import app as eval_app
from codedpo_plugin import __version__
from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.reporting.render import make_console

if TYPE_CHECKING:
    from codedpo_plugin.recipe import Recipe

app = typer.Typer(
    help="Execution-verified preference data for code models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(eval_app, name="eval")


def _location(text: str) -> Path:
    from codedpo_plugin.run_folder.files import location

    return location(text)


RecipePath = Annotated[
    Path, typer.Argument(help="Recipe (YAML).", metavar="RECIPE", parser=_location)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key: --set pairs.ties=shortest. May be repeated."),
]
Part = Annotated[
    str,
    typer.Option(
        "--shard", help="Run one part only: i/n takes every n-th shard, starting at the i-th."
    ),
]


class Executor(enum.Enum):
    """Where the shards are made."""

    local = "local"
    slurm = "slurm"
    ray = "ray"


@app.command()
def build(
    recipe: RecipePath,
    overrides: Overrides = None,
    shard: Part = "1/1",
    push_to_hub: Annotated[
        str | None, typer.Option(help="Push the dataset to this repository: owner/name.")
    ] = None,
    executor: Annotated[
        Executor, typer.Option(help="Use this machine, Slurm jobs, or a Ray cluster.")
    ] = Executor.local,
) -> None:
    """Run every stage, from candidates to dataset and report; resumes a stopped run."""
    from codedpo_plugin import pipeline

    if executor is not Executor.local and shard != "1/1":
        raise InputError(
            f"--shard {shard}: --executor {executor.value} distributes the shards itself"
        )
    extra = [f"export.push_to_hub={push_to_hub}"] if push_to_hub else []
    loaded = _load(recipe, [*(overrides or []), *extra])
    pipeline.build(loaded, _part(shard), make_console(), executor.value)


@app.command()
def seeds(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Find functions in source code to make problems from."""
    _synthesize("seeds", recipe, overrides)


@app.command()
def problems(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Have a model write problems based on the seeds."""
    _synthesize("problems", recipe, overrides)


@app.command()
def generate(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Sample solutions and tests for the problems from a model."""
    _synthesize("generate", recipe, overrides)


@app.command()
def execute(recipe: RecipePath, overrides: Overrides = None, shard: Part = "1/1") -> None:
    """Run every solution against every test."""
    _stage("execute", recipe, overrides, shard)


@app.command()
def probe(recipe: RecipePath, overrides: Overrides = None, shard: Part = "1/1") -> None:
    """Run the solutions on mutated inputs of the tests."""
    _stage("probe", recipe, overrides, shard)


@app.command()
def rank(recipe: RecipePath, overrides: Overrides = None, shard: Part = "1/1") -> None:
    """Rank solutions and tests."""
    _stage("rank", recipe, overrides, shard)


@app.command()
def time(recipe: RecipePath, overrides: Overrides = None, shard: Part = "1/1") -> None:
    """Time the solutions that pass all credible tests."""
    _stage("time", recipe, overrides, shard)


@app.command()
def pairs(recipe: RecipePath, overrides: Overrides = None, shard: Part = "1/1") -> None:
    """Select chosen and rejected solutions."""
    _stage("pairs", recipe, overrides, shard)


@app.command()
def export(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Write the dataset and the report from finished pairs."""
    from codedpo_plugin import pipeline

    pipeline.finish(_load(recipe, overrides), {}, make_console())


@app.command("rank-eval")
def rank_eval(
    recipe: RecipePath,
    overrides: Overrides = None,
    truth: Annotated[
        str | None, typer.Option(help="The list in the column `truth` to use, if it holds several.")
    ] = None,
    solutions: Annotated[
        int | None, typer.Option(min=2, help="Solutions to sample from each problem.")
    ] = None,
    tests: Annotated[int | None, typer.Option(min=1, help="Tests to sample.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Number of samples to draw.")] = 8,
    canary: Annotated[
        int, typer.Option(min=0, help="Problems to calibrate on; the others measure the result.")
    ] = 20,
) -> None:
    """Compare rankers and selections on candidates with ground truth (column `truth`)."""
    from codedpo_plugin.rank_eval import evaluate as module
    from codedpo_plugin.rank_eval import report

    loaded, console = _load(recipe, overrides), make_console()
    problems = module.labelled_problems(loaded, truth, console)
    if solutions is None and tests is None:
        draws = 1  # everything, once
    results = module.evaluate(problems, (solutions, tests), draws, loaded.pairs)
    summary = report.summarise(results, loaded.pairs.calibration, canary)
    report.print_summary(summary, console)
    for path in report.write(loaded.output / "rank-eval", summary, results):
        console.print(str(path), markup=False)


@app.command()
def show(
    task_id: Annotated[str, typer.Argument(help="The problem to show.", metavar="TASK_ID")],
    run: Annotated[
        Path | None,
        typer.Option(help="Run folder; by default the newest one in runs/.", parser=_location),
    ] = None,
) -> None:
    """Show one problem's pass matrix, ranking and pairs, and the reasons for them."""
    from codedpo_plugin.reporting import show as module

    module.show(run or _newest_run(), task_id, make_console())


@app.command()
def status(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="Run folder; by default the newest one in runs/.", metavar="RUN", parser=_location
        ),
    ] = None,
) -> None:
    """Show the progress of a run, what failed, and how to continue; works from any machine."""
    from codedpo_plugin.reporting import status as module

    module.status(run or _newest_run(), make_console())


TrainingRecipes = Annotated[
    list[Path],
    typer.Argument(
        help="Training recipe of TRL, Axolotl or LLaMA-Factory; further files are merged into it.",
        metavar="RECIPE...",
    ),
]


@app.command()
def check(
    recipes: TrainingRecipes,
    overrides: Overrides = None,
    gpus: Annotated[int, typer.Option(min=1, help="Total number of GPUs for the training.")] = 1,
    write: Annotated[
        Path | None, typer.Option(help="Write the merged recipe here, unless there are errors.")
    ] = None,
) -> None:
    """Report what would fail in a training run, or silently go wrong, before it is launched."""
    from codedpo_plugin.training import check as module

    module.run(recipes, overrides, gpus, write, make_console())


@app.command()
def plan(
    recipes: TrainingRecipes,
    overrides: Overrides = None,
    gpu: Annotated[str, typer.Option(help="h100, h200, ..., or a size: 48gb.")] = "h100",
    gpus: Annotated[int, typer.Option(min=1, help="Total number of GPUs.")] = 1,
) -> None:
    """Estimate whether a training recipe fits the GPUs, and what to change if not."""
    from codedpo_plugin.training import plan as module
    from codedpo_plugin.training import recipe as training

    module.plan(training.load(recipes, overrides), gpu, gpus, make_console())


@app.command()
def curves(
    runs: Annotated[list[Path], typer.Argument(help="Folders of training runs.", metavar="RUN...")],
    out: Annotated[
        Path | None, typer.Option(help="PNG to write; by default curves.png in the first run.")
    ] = None,
) -> None:
    """Plot chosen and rejected log-probabilities of training runs, with warnings."""
    from codedpo_plugin.training import curves as module

    module.show(runs, out, make_console())


@app.command()
def doctor() -> None:
    """Show what this machine's sandbox enforces and which extras are installed."""
    from codedpo_plugin import doctor as module

    module.doctor(make_console())


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Entry point: an error that the user can fix is a message, not a traceback."""
    try:
        app(arguments, prog_name="codedpo")
    except (InputError, InfrastructureError) as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", markup=False, style="red")
        raise SystemExit(2 if isinstance(error, InputError) else 1) from None


def _stage(name: str, recipe: Path, overrides: list[str] | None, shard: str) -> None:
    from codedpo_plugin import pipeline

    pipeline.run_stages([name], _load(recipe, overrides), _part(shard), make_console())


def _synthesize(name: str, path: Path, overrides: list[str] | None) -> None:
    from codedpo_plugin import pipeline

    recipe = _load(path, overrides)
    if not recipe.generates:
        raise InputError(f"{path}: starts from candidates; `{name}` has nothing to do")
    pipeline.synthesize([name], recipe, (1, 1), make_console())


def _load(path: Path, overrides: list[str] | None) -> "Recipe":
    from codedpo_plugin.recipe import load_recipe

    return load_recipe(path, overrides)


def _part(shard: str) -> tuple[int, int]:
    """(i, n) of `i/n`."""
    i, _, n = shard.partition("/")
    if not (i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
        raise InputError(f"--shard {shard}: expected i/n with 1 <= i <= n, for instance 3/8")
    return int(i), int(n)


def _newest_run() -> Path:
    runs = [path.parent for path in Path("runs").glob("*/recipe.yaml")]
    if not runs:
        raise InputError("no run in runs/; name one with --run FOLDER")
    return max(runs, key=lambda run: (run / "recipe.yaml").stat().st_mtime)


if __name__ == "__main__":
    main()
