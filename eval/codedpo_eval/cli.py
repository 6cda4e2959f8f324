"""`codedpo eval`: how good a model is, and whether it is better, or its code faster, than another.

Heavy modules are imported by the commands that need them.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codedpo_eval.cli_options import (
    ComparedOptions,
    Data,
    DateOptions,
    Extract,
    Extractor,
    Format,
    Grader,
    GradingOptions,
    Name,
    Out,
    SamplingOptions,
    SpeedupOptions,
    grouped,
)
from codedpo_plugin.errors import InputError
from codedpo_plugin.reporting.render import make_console

if TYPE_CHECKING:
    from codedpo_eval.benchmarks.registry import Benchmark
    from codedpo_eval.verdict import GradeSettings
    from codedpo_plugin.recipe import Sampling

app = typer.Typer(
    help="Benchmarks: pass@k, comparisons of two models, speedup.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
@grouped
def run(
    benchmark: Name,
    out: Out,
    sampling: SamplingOptions,
    dates: DateOptions,
    grading: GradingOptions,
    data: Data = None,
    extract: Extract = None,
) -> None:
    """Generate, grade and report; resumes a run that was stopped."""
    loaded = _load(benchmark, data, dates)
    _generate(loaded, sampling, extract, out)
    _grade(loaded, grading, out)


@app.command()
@grouped
def generate(
    benchmark: Name,
    out: Out,
    sampling: SamplingOptions,
    dates: DateOptions,
    data: Data = None,
    extract: Extract = None,
) -> None:
    """Sample a model's answers: RUN/samples.jsonl."""
    _generate(_load(benchmark, data, dates), sampling, extract, out)


@app.command()
@grouped
def grade(
    benchmark: Name,
    out: Out,
    dates: DateOptions,
    grading: GradingOptions,
    samples: Annotated[
        Path | None, typer.Option(help="JSONL of task_id and solution (or completion).")
    ] = None,
    data: Data = None,
    grader: Annotated[
        Grader, typer.Option(help="codedpo, or evalplus itself (HumanEval(+) and MBPP(+)).")
    ] = Grader.codedpo,
    evalplus_python: Annotated[
        Path, typer.Option(help="The interpreter of an environment with evalplus.")
    ] = Path(sys.executable),
    extract: Extract = None,
) -> None:
    """Grade samples, and report: verdicts.jsonl, report.json, report.md, report.html."""
    evalplus = evalplus_python if grader is Grader.evalplus else None
    _grade(_load(benchmark, data, dates), grading, out, samples, evalplus, extract)


@app.command()
@grouped
def compare(
    compared: ComparedOptions,
    measured: SpeedupOptions,
    timing: Annotated[bool, typer.Option(help="Measure speedup, too.")] = True,
) -> None:
    """Whether the second run solves more problems, and whether its programs are faster."""
    _compare(compared, measured if timing else None)


@app.command()
@grouped
def speedup(compared: ComparedOptions, measured: SpeedupOptions) -> None:
    """How much faster the second run's programs are, over the problems that both solve."""
    found = _compare(compared, measured)
    if not found["speedup"]["joint"]:
        raise InputError(
            f"{compared.before} and {compared.after}: no problem is solved by both, so there is "
            "nothing to measure"
        )


@app.command("self-test")
@grouped
def self_test(benchmark: Name, grading: GradingOptions, data: Data = None) -> None:
    """Grade the benchmark's own reference solutions: what fails cannot be measured here."""
    from codedpo_eval.grading import reference_check

    console, loaded = make_console(), _load(benchmark, data)
    found = reference_check.run(loaded, _settings(loaded, grading), grading.workers, console)
    console.print(f"self-test: {found['passed']} of {found['tasks']} reference solutions pass")
    for reason, number in found["ungraded"].items():
        console.print(f"  {number} tasks cannot be graded here: {reason}", markup=False)
    for task_id, reason in found["failed"].items():
        console.print(f"  {task_id}: {reason}", markup=False)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A graded run.", metavar="RUN")],
    to: Annotated[Format, typer.Option(help="The format.")],
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
    if bigcode and to is not Format.bigcode:
        raise InputError(f"--bigcode: belongs to --to bigcode, not to --to {to}")
    graded = exports.export(run, to, out, console, data=data, model=model)
    if bigcode:
        report = exports.grade_by_bigcode(graded, bigcode, bigcode_python, console)
        run_page.print_tables(report, console)


@app.command()
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


# -- steps that several commands share ------------------------------------------------------------


def _load(name: str, data: Path | None, dates: DateOptions | None = None) -> "Benchmark":
    """Load a benchmark, and print which file and version it is."""
    from codedpo_eval.benchmarks.registry import load

    given = vars(dates) if dates else {}
    benchmark = load(name, data, tuple((key, day) for key, day in given.items() if day))
    version = benchmark.version or (
        "not a released version known here" if benchmark.kind != "own" else ""
    )
    tasks = f"{benchmark.name}: {len(benchmark.tasks)} tasks of {benchmark.path}"
    parts = filter(None, (tasks, version, f"md5 {benchmark.md5}"))
    make_console().print(", ".join(parts), markup=False, highlight=False)
    return benchmark


def _generate(
    benchmark: "Benchmark", options: SamplingOptions, extract: Extractor | None, out: Path
) -> None:
    from codedpo_eval.generation import generate as module

    module.generate(
        *(benchmark, _sampling(options), options.style.value, options.n, out, make_console()),
        (extract or Extractor.codedpo).value,
    )


def _sampling(options: SamplingOptions) -> "Sampling":
    from pydantic import ValidationError

    from codedpo_plugin.recipe import Sampling

    try:
        return Sampling(
            model=options.model,
            backend=options.backend.value,
            base_url=options.base_url,
            api_key_env=options.api_key_env,
            temperature=options.temperature,
            top_p=options.top_p,
            max_tokens=options.max_tokens,
            extra_body=options.extra_body or {},
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = "-".join(map(str, first["loc"])).replace("_", "-")
        raise InputError(f"--{name}: {first['msg']}") from None


def _grade(
    benchmark: "Benchmark",
    options: GradingOptions,
    out: Path,
    given: Path | None = None,
    evalplus: Path | None = None,
    extract: Extractor | None = None,
) -> None:
    """Grade and report.

    Args:
        benchmark: of the samples.
        options: of the grading.
        out: the run's folder.
        given: a user's samples; those of the run if None.
        evalplus: interpreter of the evalplus that grades; None: codedpo grades.
        extract: extracts the programs from the samples' answers again; None: they stay.
    """
    from codedpo_eval.generation import extraction, samples
    from codedpo_eval.grading import grade as module
    from codedpo_eval.grading import reference_check
    from codedpo_eval.harnesses import evalplus as evalplus_grader
    from codedpo_eval.reporting import report as reports
    from codedpo_eval.reporting import run_page

    console, settings = make_console(), _settings(benchmark, options)
    found = samples.read(given or out / samples.FILE, benchmark)
    if extract:
        extraction.extract_again(found, extract.value, benchmark)
    if given or extract:
        samples.write(out / samples.FILE, found.rows)
    for notice in found.notices:
        console.print(f"samples: {notice}", style="yellow", markup=False)
    if evalplus:
        verdicts = evalplus_grader.run(benchmark, found, out, evalplus, options.workers, console)
    else:
        verdicts = module.grade(benchmark, out, settings, options.workers, console)
    tested = reference_check.known(benchmark, settings)
    if tested is None and settings.options:
        console.print("grading the reference solutions, once for this environment")
        tested = reference_check.run(benchmark, settings, options.workers, console)
    grader = verdicts[0]["key"] if evalplus else "codedpo"
    report = reports.summarise(benchmark, found, verdicts, settings, tested, grader)
    run_page.print_tables(run_page.write(out, report), console)
    console.print(str(out / "report.html"), markup=False)


def _settings(benchmark: "Benchmark", options: GradingOptions) -> "GradeSettings":
    from codedpo_eval.benchmarks.registry import kind_module
    from codedpo_eval.verdict import GradeSettings

    of_kind = getattr(kind_module(benchmark.kind), "options", None)
    if of_kind:
        return GradeSettings(seconds=options.seconds, options=of_kind(options.python))
    if options.python:
        raise InputError(f"--python: {benchmark.name} needs no other interpreter than this one")
    return GradeSettings(seconds=options.seconds)


def _compare(compared: ComparedOptions, measured: SpeedupOptions | None) -> dict[str, Any]:
    from codedpo_eval.comparison import compare as module
    from codedpo_eval.comparison.speedup import Protocol
    from codedpo_eval.reporting import report

    protocol = None
    if measured:
        pairing = measured.pairing.value
        protocol = Protocol(runs=measured.runs, rounds=measured.rounds, pairing=pairing)
    name = compared.benchmark or report.load(compared.before)["benchmark"]["source"]
    benchmark = _load(name, compared.data)
    return module.compare(
        compared.before, compared.after, benchmark, compared.out, protocol, make_console()
    )
