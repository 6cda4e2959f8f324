"""The options that several commands of `codedpo eval` share, each declared once.

A command takes a group of them as one parameter: a dataclass, whose fields `grouped` turns into
options.
"""

import dataclasses
import enum
import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer


class Backend(enum.StrEnum):
    """What samples answers."""

    openai = "openai"
    transformers = "transformers"


class Style(enum.StrEnum):
    """How a model is prompted."""

    chat = "chat"
    completion = "completion"


class Extractor(enum.StrEnum):
    """What takes the program out of an answer."""

    codedpo = "codedpo"
    evalplus = "evalplus"


class Grader(enum.StrEnum):
    """What grades."""

    codedpo = "codedpo"
    evalplus = "evalplus"


class Pairing(enum.StrEnum):
    """How several right programs of a problem are paired for speedup."""

    all = "all"
    median = "median"


class Format(enum.StrEnum):
    """What a run can be exported to: the keys of `harnesses.export.FORMATS`."""

    evalplus = "evalplus"
    bigcode = "bigcode"
    bigcode_leaderboard = "bigcode-leaderboard"
    livecodebench = "livecodebench"
    huggingface = "huggingface"


def json_object(text: str) -> dict[str, Any]:
    """The value of an option that takes a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("expected a JSON object: {...}")
    return value


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
Extract = Annotated[
    Extractor | None,
    typer.Option(
        "--extract",
        help="What takes programs out of answers: codedpo (the default), or evalplus's sanitize. "
        "`grade` takes samples as they are unless this is given.",
    ),
]
Out = Annotated[Path, typer.Option(help="The run's folder.")]


@dataclasses.dataclass(frozen=True)
class SamplingOptions:
    """How a model is sampled."""

    model: Annotated[
        str, typer.Option(help="Name at the server; a folder or hub id (transformers).")
    ]
    backend: Annotated[
        Backend, typer.Option(help="openai (any server of that protocol) or transformers.")
    ] = Backend.openai
    base_url: Annotated[str, typer.Option(help="The server's address.")] = (
        "http://localhost:8000/v1"
    )
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the key.")
    ] = None
    n: Annotated[int, typer.Option("--n", min=1, help="Samples of each task.")] = 1
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0
    top_p: Annotated[float, typer.Option(help="Nucleus of the distribution that is sampled.")] = (
        0.95
    )
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 2048
    extra_body: Annotated[
        dict[str, Any] | None,
        typer.Option(
            parser=json_object,
            metavar="JSON",
            help="Further fields of each request, such as '{\"top_k\": 20}'; null leaves one out.",
        ),
    ] = None
    style: Annotated[
        Style, typer.Option(help="chat (instruct models) or completion (base models).")
    ] = Style.chat


@dataclasses.dataclass(frozen=True)
class DateOptions:
    """Which tasks of a benchmark, by date."""

    start_date: Annotated[
        str | None, typer.Option(help="Only problems from this day on: YYYY-MM-DD (livecodebench).")
    ] = None
    end_date: Annotated[str | None, typer.Option(help="Only problems up to this day.")] = None


@dataclasses.dataclass(frozen=True)
class GradingOptions:
    """How programs are graded."""

    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one for each core.")] = None
    seconds: Annotated[float, typer.Option(help="CPU seconds that a test may use at least.")] = 2.0
    python: Annotated[
        str | None,
        typer.Option(help="Interpreter for ds1000, if not the one that `codedpo eval setup` made."),
    ] = None


@dataclasses.dataclass(frozen=True)
class ComparedOptions:
    """Which runs are compared."""

    before: Annotated[Path, typer.Argument(metavar="RUN_A", help="Graded run: before.")]
    after: Annotated[Path, typer.Argument(metavar="RUN_B", help="Graded run: after.")]
    out: Annotated[Path, typer.Option(help="Folder for the comparison.")]
    benchmark: Annotated[
        str | None, typer.Option(help="If it is a file of yours, or in the runs under its name.")
    ] = None
    data: Data = None


@dataclasses.dataclass(frozen=True)
class SpeedupOptions:
    """How speedup is measured."""

    runs: Annotated[int, typer.Option(min=1, help="Times that speedup is measured.")] = 3
    rounds: Annotated[int, typer.Option(min=10, help="Rounds of each, at most.")] = 20
    pairing: Annotated[
        Pairing, typer.Option(help="Several right programs: `all` with all, or `median`.")
    ] = Pairing.all


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose dataclass parameters are replaced by the fields of these dataclasses."""
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        group = parameter.annotation
        if isinstance(group, type) and dataclasses.is_dataclass(group):
            groups[name] = group
            parameters += inspect.signature(group).parameters.values()
        else:
            parameters.append(parameter)

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        for name, group in groups.items():
            fields = [field.name for field in dataclasses.fields(group)]
            given[name] = group(**{field: given.pop(field) for field in fields})
        command(**given)

    # Typer reads both.
    keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    flat.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    flat.__annotations__ = {one.name: one.annotation for one in keywords}
    return flat
