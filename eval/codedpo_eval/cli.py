"""`codedpo eval`: how good a model is, and whether it is better, or its code faster, than another.

Heavy modules are imported by the commands that need them.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codedpo_eval import cli_others
from codedpo_plugin.command_line import make_console
from codedpo_plugin.errors import InputError

if TYPE_CHECKING:
    from codedpo_eval.benchmarks.registry import Benchmark, Choice
    from codedpo_eval.grading.grade import Job
    from codedpo_eval.verdict import GradeSettings
    from codedpo_plugin.recipe import Sampling

app = typer.Typer(
    help="Benchmarks: pass@k, comparisons of two models, speedup.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="BENCHMARK",
        help="humaneval, humaneval+, mbpp, mbpp+, ds1000, livecodebench, or a JSONL file of yours.",
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="The benchmark's file, if it is not where evalplus keeps it.")
]
Out = Annotated[Path, typer.Option(help="The run's folder.")]
Model = Annotated[str, typer.Option(help="Name at the server; a folder or hub id (transformers).")]
Backend = Annotated[str, typer.Option(help="openai (any server of that protocol) or transformers.")]
BaseUrl = Annotated[str, typer.Option(help="The server's address.")]
KeyEnv = Annotated[str | None, typer.Option(help="Environment variable that holds the key.")]
Number = Annotated[int, typer.Option("--n", min=1, help="Samples of each task.")]
Temperature = Annotated[float, typer.Option(min=0, help="0 is greedy.")]
TopP = Annotated[float, typer.Option(help="Nucleus of the distribution that is sampled.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest answer.")]
Style = Annotated[str, typer.Option(help="chat (instruct models) or completion (base models).")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; one for each core.")]
StartDate = Annotated[
    str | None, typer.Option(help="Only problems from this day on: YYYY-MM-DD (livecodebench).")
]
EndDate = Annotated[str | None, typer.Option(help="Only problems up to this day.")]
Python = Annotated[
    str | None,
    typer.Option(help="Interpreter for ds1000, if not the one that `codedpo eval setup` made."),
]
Seconds = Annotated[float, typer.Option(help="CPU seconds that a test may use at least.")]


@app.command()
def run(
    benchmark: Name,
    model: Model,
    out: Out,
    data: Data = None,
    backend: Backend = "openai",
    base_url: BaseUrl = "http://localhost:8000/v1",
    api_key_env: KeyEnv = None,
    n: Number = 1,
    temperature: Temperature = 0.0,
    top_p: TopP = 0.95,
    max_tokens: MaxTokens = 2048,
    style: Style = "chat",
    workers: Workers = None,
    seconds: Seconds = 2.0,
    start_date: StartDate = None,
    end_date: EndDate = None,
    python: Python = None,
) -> None:
    """Generate, grade and report; goes on where it was stopped."""
    settings = _sampling(model, backend, base_url, api_key_env, temperature, top_p, max_tokens)
    choice = _choice(start_date, end_date)
    _generate(_load(benchmark, data, choice), settings, style, n, out)
    _grade(benchmark, data, choice, out, seconds, python, workers)


@app.command()
def generate(
    benchmark: Name,
    model: Model,
    out: Out,
    data: Data = None,
    backend: Backend = "openai",
    base_url: BaseUrl = "http://localhost:8000/v1",
    api_key_env: KeyEnv = None,
    n: Number = 1,
    temperature: Temperature = 0.0,
    top_p: TopP = 0.95,
    max_tokens: MaxTokens = 2048,
    style: Style = "chat",
    start_date: StartDate = None,
    end_date: EndDate = None,
) -> None:
    """Sample a model's answers: RUN/samples.jsonl."""
    settings = _sampling(model, backend, base_url, api_key_env, temperature, top_p, max_tokens)
    choice = _choice(start_date, end_date)
    _generate(_load(benchmark, data, choice), settings, style, n, out)


@app.command()
def grade(
    benchmark: Name,
    out: Out,
    samples: Annotated[
        Path | None, typer.Option(help="JSONL of task_id and solution (or completion).")
    ] = None,
    data: Data = None,
    workers: Workers = None,
    seconds: Seconds = 2.0,
    start_date: StartDate = None,
    end_date: EndDate = None,
    python: Python = None,
    grader: Annotated[
        str, typer.Option(help="codedpo, or evalplus: HumanEval(+) and MBPP(+) as it has them.")
    ] = "codedpo",
    evalplus_python: Annotated[
        Path, typer.Option(help="The interpreter of an environment with evalplus.")
    ] = Path(sys.executable),
) -> None:
    """Grade samples, and report: verdicts.jsonl, report.json, report.md, report.html."""
    choice = _choice(start_date, end_date)
    _load(benchmark, data, choice)
    if grader not in ("codedpo", "evalplus"):
        raise InputError(f"--grader {grader}: codedpo or evalplus")
    evalplus = evalplus_python if grader == "evalplus" else None
    _grade(benchmark, data, choice, out, seconds, python, workers, samples, evalplus)


RunBefore = Annotated[Path, typer.Argument(metavar="RUN_A", help="Graded run: before.")]
RunAfter = Annotated[Path, typer.Argument(metavar="RUN_B", help="Graded run: after.")]
Comparison = Annotated[Path, typer.Option(help="Folder for the comparison.")]
Runs = Annotated[int, typer.Option(min=1, help="Times that speedup is measured.")]
Rounds = Annotated[int, typer.Option(min=10, help="Rounds of each, at most.")]
Pairing = Annotated[str, typer.Option(help="Several right programs: `all` with all, or `median`.")]


@app.command()
def compare(
    before: RunBefore,
    after: RunAfter,
    out: Comparison,
    benchmark: Annotated[
        str | None, typer.Option(help="If it is a file of yours, or in the runs under its name.")
    ] = None,
    data: Data = None,
    runs: Runs = 3,
    rounds: Rounds = 20,
    pairing: Pairing = "all",
    timing: Annotated[bool, typer.Option(help="Measure speedup, too.")] = True,
) -> None:
    """Whether the second run solves more problems, and whether its programs are faster."""
    _compare(before, after, out, benchmark, data, (runs, rounds, pairing) if timing else None)


@app.command()
def speedup(
    before: RunBefore,
    after: RunAfter,
    out: Comparison,
    benchmark: Annotated[str | None, typer.Option(help="As for `compare`.")] = None,
    data: Data = None,
    runs: Runs = 3,
    rounds: Rounds = 20,
    pairing: Pairing = "all",
) -> None:
    """How much faster the second run's programs are, over the problems that both solve."""
    found = _compare(before, after, out, benchmark, data, (runs, rounds, pairing))
    if not found["speedup"]["joint"]:
        raise InputError(f"{before} and {after}: no problem is solved by both; nothing to measure")


@app.command("self-test")
def self_test(
    benchmark: Name,
    data: Data = None,
    workers: Workers = None,
    seconds: Seconds = 2.0,
    python: Python = None,
) -> None:
    """Grade the benchmark's own reference solutions: what fails cannot be measured here."""
    from codedpo_eval.grading import reference_check as module

    console, loaded = make_console(), _load(benchmark, data)
    settings = _settings(loaded, seconds, python)
    found = module.run(loaded, data, settings, workers, console)
    console.print(f"self-test: {found['passed']} of {found['tasks']} reference solutions pass")
    for why, number in found["ungraded"].items():
        console.print(f"  {number} tasks cannot be graded here: {why}", markup=False)
    for task_id, why in found["failed"].items():
        console.print(f"  {task_id}: {why}", markup=False)


def _compare(
    before: Path,
    after: Path,
    out: Path,
    name: str | None,
    data: Path | None,
    protocol: tuple[int, int, str] | None,
) -> dict[str, Any]:
    from codedpo_eval.comparison import compare as module
    from codedpo_eval.comparison.speedup import Protocol
    from codedpo_eval.reporting import report

    measured = None
    if protocol:
        runs, rounds, pairing = protocol
        if pairing not in ("all", "median"):
            raise InputError(f"--pairing {pairing}: all or median")
        measured = Protocol(runs=runs, rounds=rounds, pairing=pairing)  # type: ignore[arg-type]
    benchmark = _load(name or report.load(before)["benchmark"]["source"], data)
    return module.compare(before, after, benchmark, out, measured, make_console())


app.command()(cli_others.export)
app.command()(cli_others.setup)


def _sampling(
    model: str,
    backend: str,
    base_url: str,
    api_key_env: str | None,
    temperature: float,
    top_p: float,
    max_tokens: int,
) -> "Sampling":
    from pydantic import ValidationError

    from codedpo_plugin.recipe import Sampling

    fields: dict[str, Any] = {
        "model": model,
        "backend": backend,
        "base_url": base_url,
        "api_key_env": api_key_env,
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
    }
    try:
        return Sampling(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = "-".join(map(str, first["loc"])).replace("_", "-")
        raise InputError(f"--{name}: {first['msg']}") from None


def _choice(start_date: str | None, end_date: str | None) -> "Choice":
    given = {"start_date": start_date, "end_date": end_date}
    return tuple((name, day) for name, day in given.items() if day)


def _load(name: str, data: Path | None, choice: "Choice" = ()) -> "Benchmark":
    from codedpo_eval.benchmarks.registry import load

    benchmark = load(name, data, choice)
    known = benchmark.version or (
        "no version that is known here" if benchmark.kind != "own" else ""
    )
    told = f"{benchmark.name}: {len(benchmark.tasks)} tasks of {benchmark.path}"
    make_console().print(
        ", ".join(filter(None, (told, known, f"md5 {benchmark.md5}"))),
        markup=False,
        highlight=False,
    )
    return benchmark


def _generate(benchmark: "Benchmark", settings: "Sampling", style: str, n: int, out: Path) -> None:
    from codedpo_eval.generation import generate as module

    if style not in module.STYLES:
        raise InputError(f"--style {style}: one of {', '.join(module.STYLES)}")
    module.generate(benchmark, settings, style, n, out, make_console())


def _grade(
    name: str,
    data: Path | None,
    choice: "Choice",
    out: Path,
    seconds: float,
    python: str | None,
    workers: int | None,
    given: Path | None = None,
    evalplus: Path | None = None,
) -> None:
    from codedpo_eval.benchmarks.registry import load
    from codedpo_eval.generation import samples
    from codedpo_eval.grading import grade as module
    from codedpo_eval.grading import reference_check as self_test
    from codedpo_eval.reporting import report as reports
    from codedpo_eval.reporting import run_page

    benchmark, console = load(name, data, choice), make_console()
    found = samples.read(given or out / samples.FILE, benchmark)
    if given:
        samples.write(out / samples.FILE, found.rows)
    for notice in found.notices:
        console.print(f"samples: {notice}", style="yellow", markup=False)
    settings = _settings(benchmark, seconds, python)
    if evalplus:
        from codedpo_eval.harnesses import evalplus as evalplus_grader

        verdicts = evalplus_grader.run(benchmark, found, out, evalplus, workers, console)
    else:
        job: Job = module.Job(name, data, out, settings, choice)
        verdicts = module.grade(job, workers, console)
    grader = verdicts[0]["key"] if evalplus else "codedpo"
    tested = self_test.known(benchmark, settings)
    if tested is None and settings.options:
        console.print("the reference solutions first, once for this environment")
        tested = self_test.run(benchmark, data, settings, workers, console)
    report = reports.summarise(benchmark, found, verdicts, settings, name, tested, grader)
    run_page.write(out, report)
    run_page.print_tables(report, console)
    console.print(str(out / "report.html"), markup=False)


def _settings(benchmark: "Benchmark", seconds: float, python: str | None) -> "GradeSettings":
    from codedpo_eval.benchmarks.registry import kind_module
    from codedpo_eval.verdict import GradeSettings

    options = getattr(kind_module(benchmark.kind), "options", None)
    if options:
        return GradeSettings(seconds=seconds, options=options(python))
    if python:
        raise InputError(f"--python: {benchmark.name} needs no other interpreter than this one")
    return GradeSettings(seconds=seconds)
