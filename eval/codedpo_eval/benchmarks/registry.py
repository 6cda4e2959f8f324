"""Benchmarks: which are known by name, how they are loaded, and what each kind of them provides.

A *kind* is a module (named in `KINDS`) that provides what `Kind` lists; it is imported where used.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

from codedpo_eval.benchmarks import files
from codedpo_eval.benchmarks.files import KnownFile
from codedpo_eval.verdict import GradeSettings, Verdict
from codedpo_plugin.errors import InputError

Message = dict[str, str]  # role, content
Prompt = str | list[Message]
Located = tuple[str, dict[str, Any]]  # "FILE, line N", and the row there
Choice = tuple[tuple[str, str], ...]  # names and values, such as ("start_date", "2024-08-01")
Grader = Callable[["Task", list[str]], list[Verdict]]

KINDS = {
    "evalplus": "codedpo_eval.benchmarks.evalplus.tasks",
    "own": "codedpo_eval.benchmarks.custom",
    "ds1000": "codedpo_eval.benchmarks.ds1000.tasks",
    "livecodebench": "codedpo_eval.benchmarks.livecodebench.tasks",
}


@dataclass(frozen=True)
class Task:
    """One problem."""

    task_id: str
    prompt: str
    entry_point: str | None
    reference: str | None
    """A complete program known to be right; None where the benchmark has none."""
    source: str
    """Its row of the file, as JSON; decoded where it is used, as inputs can be large."""

    @property
    def row(self) -> dict[str, Any]:
        """The row, decoded."""
        return cast(dict[str, Any], json.loads(self.source))


@dataclass(frozen=True)
class Benchmark:
    """Problems, and the file that they are from."""

    name: str
    kind: str
    path: Path
    sha256: str
    md5: str
    """Of the decompressed file, as leaderboards give it."""
    version: str | None
    """None: not a released version known here."""
    tasks: tuple[Task, ...]
    choice: Choice = ()
    """Which of the file's tasks these are."""
    source: str = ""
    """The name or path that it was loaded by."""

    @property
    def plus(self) -> bool:
        """Whether plus tests are run in addition to the base tests."""
        return self.name.endswith("+")

    @property
    def test_sets(self) -> tuple[str, ...]:
        """The sets of tests with verdicts: `base`, and `plus` where there are plus tests."""
        return ("base", "plus") if self.plus else ("base",)

    def facts(self) -> dict[str, Any]:
        """What reports record."""
        return {
            "name": self.name,
            "file": self.path.name,
            "version": self.version,
            "sha256": self.sha256,
            "md5": self.md5,
            "tasks": len(self.tasks),
            "choice": dict(self.choice),
        }


def score_names(name: str) -> dict[str, str]:
    """Set of tests -> its name in scores: the base tests of humaneval+ are humaneval."""
    return {"base": name.removesuffix("+"), "plus": name}


class Kind(Protocol):
    """What the module of a kind provides.

    It may also have `subsets(task)`: properties (`{"library": "Pandas"}`) that scores are broken
    down by; `calls(task)`: calls to time programs on, as source; `choose(benchmark, **choice)`:
    some of its tasks; and `options(python)`: further settings that decide verdicts.
    """

    def tasks(self, rows: Iterable[Located]) -> list[Task]:
        """The tasks of a file; `InputError` names the place of a wrong row."""

    def prompt_and_stops(self, task: Task, style: str) -> tuple[Prompt, list[str]]:
        """The prompt, and the stop strings of the answer; `style`: chat, completion."""

    def program(self, task: Task, response: str, style: str) -> str:
        """The complete program in an answer; empty where there is none."""

    def grader(
        self, benchmark: Benchmark, settings: GradeSettings
    ) -> AbstractContextManager[Grader]:
        """A function that grades programs, one task after another; usable in one process."""


_RELEASES = "https://github.com/evalplus"
_HUMANEVAL = KnownFile(
    "evalplus",
    "HumanEvalPlus-v0.1.10.jsonl",
    f"{_RELEASES}/humanevalplus_release/releases/download/v0.1.10/HumanEvalPlus.jsonl.gz",
    "HUMANEVAL_OVERRIDE_PATH",
)
_MBPP = KnownFile(
    "evalplus",
    "MbppPlus-v0.2.0.jsonl",
    f"{_RELEASES}/mbppplus_release/releases/download/v0.2.0/MbppPlus.jsonl.gz",
    "MBPP_OVERRIDE_PATH",
)
_HUB = "https://huggingface.co/datasets"
KNOWN = {
    "humaneval": _HUMANEVAL,
    "humaneval+": _HUMANEVAL,
    "mbpp": _MBPP,
    "mbpp+": _MBPP,
    "ds1000": KnownFile(
        "ds1000", "ds1000.jsonl.gz", f"{_HUB}/xlangai/DS-1000/resolve/main/test.jsonl"
    ),
    "livecodebench": KnownFile("livecodebench", "livecodebench.jsonl", ""),
}

_VERSIONS = {  # md5 of the decompressed file
    "fe585eb4df8c88d844eeb463ea4d0302": "HumanEval+ v0.1.10",
    "ee43ecabebf20deef4bb776a405ac5b1": "MBPP+ v0.2.0",
    "c4eb2e1e5da9aef9afd74bac557eac06": "DS-1000, simplified format",
}


def load(name: str, data: Path | None = None, choice: Choice = ()) -> Benchmark:
    """Load a benchmark by name, or a user's own file.

    Args:
        name: a key of `KNOWN`, or the path of a JSONL file with `task_id`, `prompt`, `entry_point`
            and `tests`.
        data: the file of a benchmark that is known by name; found or downloaded if None.
        choice: which of its tasks; the kind knows what they can be chosen by (`choose`).

    Raises:
        InputError: there is no such benchmark or file, a row of it is wrong, or no task is left.
    """
    benchmark = _load(name, data)
    return _chosen(benchmark, choice) if choice else benchmark


def reload(benchmark: Benchmark) -> Benchmark:
    """Read a benchmark again in another process, which was sent it without its tasks.

    Raises:
        InputError: its file has changed.
    """
    again = _read(benchmark.name, benchmark.kind, benchmark.path, benchmark.source)
    if again.sha256 != benchmark.sha256:
        raise InputError(f"{benchmark.path}: the file has changed; run the same command again")
    return _chosen(again, benchmark.choice) if benchmark.choice else again


def _chosen(benchmark: Benchmark, choice: Choice) -> Benchmark:
    choose = getattr(kind_module(benchmark.kind), "choose", None)
    if choose is None:
        raise InputError(f"{benchmark.source}: tasks cannot be chosen by {', '.join(dict(choice))}")
    return replace(benchmark, tasks=choose(benchmark, **dict(choice)), choice=choice)


def _load(name: str, data: Path | None) -> Benchmark:
    if name in KNOWN:
        return _read(name, KNOWN[name].kind, data or files.find(KNOWN[name]), name)
    path = Path(name)
    if not path.is_file():
        raise InputError(f"{name}: no such file; benchmarks known by name: {', '.join(KNOWN)}")
    if data is not None:
        raise InputError(f"--data {data}: {name} is a file already")
    return _read(path.name.partition(".")[0], "own", path, name)


def kind_module(kind: str) -> Any:
    """The module of a kind; it has what `Kind` lists."""
    return importlib.import_module(KINDS[kind])


def _read(name: str, kind: str, path: Path, source: str) -> Benchmark:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    places: list[str] = []

    def rows() -> Iterator[Located]:
        """One after another, as a release of LiveCodeBench does not fit in memory."""
        for number, line in enumerate(files.lines(path), 1):
            md5.update(line)
            sha256.update(line)
            if line.strip():
                places.append(f"{path}, line {number}")
                yield places[-1], _row(line, places[-1])

    tasks = kind_module(kind).tasks(rows())
    if not tasks:
        raise InputError(f"{path}: it has no rows")
    known = dict[str, str]()
    for place, task in zip(places, tasks, strict=False):
        if task.task_id in known:
            raise InputError(f"{place}: task {task.task_id!r} is also at {known[task.task_id]}")
        known[task.task_id] = place
    version = _VERSIONS.get(md5.hexdigest())
    return Benchmark(
        name, kind, path, sha256.hexdigest(), md5.hexdigest(), version, tuple(tasks), source=source
    )  # fmt: skip


def _row(line: bytes, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{place}: not JSON ({error}); is the file complete?") from None
    if not isinstance(row, dict):
        raise InputError(f"{place}: an object was expected")
    return row
