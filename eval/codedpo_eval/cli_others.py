"""The commands of `codedpo eval` for what other harnesses read, and for what they need."""

from pathlib import Path
from typing import Annotated

import typer

from codedpo_plugin.command_line import make_console
from codedpo_plugin.errors import InputError


def export(
    run: Annotated[Path, typer.Argument(help="A graded run.", metavar="RUN")],
    to: Annotated[
        str,
        typer.Option(help="evalplus, bigcode, bigcode-leaderboard, livecodebench or huggingface."),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to write in; RUN/TO by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="The benchmark's file, as for `grade`.")] = None,
    model: Annotated[str | None, typer.Option(help="The model, as org/name.")] = None,
    bigcode: Annotated[
        Path | None,
        typer.Option(
            help="With --to bigcode: a checkout of bigcode-evaluation-harness. It grades the run "
            "too, without a sandbox, and its score is written into the report."
        ),
    ] = None,
    bigcode_python: Annotated[
        str | None, typer.Option(help="The Python that has its requirements.")
    ] = None,
) -> None:
    """Write a graded run in the format of another harness, leaderboard or model card."""
    from codedpo_eval.harnesses import export as exports
    from codedpo_eval.reporting import run_page

    console = make_console()
    if bigcode and to != "bigcode":
        raise InputError(f"--bigcode: belongs to --to bigcode, not to --to {to}")
    graded = exports.export(run, to, out, console, data=data, model=model)
    if bigcode:
        report = exports.grade_by_bigcode(graded, bigcode, bigcode_python, console)
        run_page.print_tables(report, console)


def setup(
    what: Annotated[str, typer.Argument(help="ds1000", metavar="BENCHMARK")],
    folder: Annotated[Path | None, typer.Option(help="Where, if not in ~/.cache/codedpo.")] = None,
    python: Annotated[str | None, typer.Option(help="A Python 3.11 to build it with.")] = None,
) -> None:
    """Build the environment that a benchmark runs in: ds1000 has one of its own."""
    from codedpo_eval.benchmarks.ds1000 import environment

    if what != "ds1000":
        raise InputError(f"setup {what}: only ds1000 has an environment of its own")
    environment.setup(folder, make_console(), python)
