"""Benchmarks: which there are, where their files lie, and what every kind has to offer.

A *kind* is a module (named in `KINDS`) that offers what `Kind` lists; it is imported where used.
"""

import functools
import gzip
import hashlib
import importlib
import json
import os
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

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
    """A whole program known to be right; None where the benchmark has none."""
    source: str
    """Its row of the file, as JSON: decoded where it is used, since inputs can be large."""

    @property
    def row(self) -> dict[str, Any]:
        """The row, decoded."""
        return cast(dict[str, Any], json.loads(self.source))


@dataclass(frozen=True)
class Benchmark:
    """Problems, and which file they are from."""

    name: str
    kind: str
    path: Path
    sha256: str
    md5: str
    """Of the unpacked file, as its hash is known to leaderboards."""
    version: str | None
    """None: no version known to us."""
    tasks: tuple[Task, ...]
    choice: "Choice" = ()
    """Which of the file's tasks these are."""

    @property
    def plus(self) -> bool:
        """Whether further tests than the base ones are run."""
        return self.name.endswith("+")

    @property
    def test_sets(self) -> tuple[str, ...]:
        """The sets of tests that verdicts are of: `base`, and `plus` where there are more tests."""
        return ("base", "plus") if self.plus else ("base",)

    def facts(self) -> dict[str, Any]:
        """What a report records of it."""
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
    """Set of tests -> the benchmark's name in a score: humaneval's base tests are part of those of
    humaneval+.
    """
    return {"base": name.removesuffix("+"), "plus": name}


class Kind(Protocol):
    """What the module of a kind offers.

    It may also have `subsets(task)`, which tells tasks apart (`{"library": "Pandas"}`) for scores
    by each value, and `calls(task)`: calls to time programs on, as source.
    """

    def tasks(self, rows: Iterable[Located], name: str) -> list[Task]:
        """The tasks of a file; `InputError` names the place of a wrong row."""

    def ask(self, task: Task, style: str) -> tuple[Prompt, list[str]]:
        """What a model is asked, and the texts that end its answer; `style`: chat, completion."""

    def program(self, task: Task, response: str, style: str) -> str:
        """The whole program in an answer; empty where there is none."""

    def grader(
        self, benchmark: Benchmark, settings: GradeSettings
    ) -> AbstractContextManager[Grader]:
        """Something that grades programs of one task after another; lives in one process."""


@dataclass(frozen=True)
class _Known:
    """A benchmark that is known by name."""

    kind: str
    file: str
    """What its file is called in the cache, as evalplus calls it."""
    url: str
    variable: str | None = None
    """Environment variable that names the file, as evalplus has it."""


_RELEASES = "https://github.com/evalplus"
_HUMANEVAL = _Known(
    "evalplus",
    "HumanEvalPlus-v0.1.10.jsonl",
    f"{_RELEASES}/humanevalplus_release/releases/download/v0.1.10/HumanEvalPlus.jsonl.gz",
    "HUMANEVAL_OVERRIDE_PATH",
)
_MBPP = _Known(
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
    "ds1000": _Known(
        "ds1000", "ds1000.jsonl.gz", f"{_HUB}/xlangai/DS-1000/resolve/main/test.jsonl"
    ),
    "livecodebench": _Known("livecodebench", "livecodebench.jsonl", ""),
}

_VERSIONS = {  # md5 of the unpacked file
    "fe585eb4df8c88d844eeb463ea4d0302": "HumanEval+ v0.1.10",
    "ee43ecabebf20deef4bb776a405ac5b1": "MBPP+ v0.2.0",
    "c4eb2e1e5da9aef9afd74bac557eac06": "DS-1000, simplified format",
}


def load(name: str, data: Path | None = None, choice: Choice = ()) -> Benchmark:
    """A benchmark by name, or a user's own file.

    Args:
        name: a key of `KNOWN`, or the path of a JSONL file with `task_id`, `prompt`, `entry_point`
            and `tests`.
        data: the file of a benchmark that is known by name.
        choice: of its tasks, which; what there is to choose by is known to the kind (`choose`).

    Raises:
        InputError: there is no such benchmark or file, a row of it is wrong, or no task is left.
    """
    benchmark = _load(name, data)
    if not choice:
        return benchmark
    choose = getattr(kind_module(benchmark.kind), "choose", None)
    if choose is None:
        raise InputError(f"{name}: has no {', '.join(dict(choice))} to choose tasks by")
    return replace(benchmark, tasks=choose(benchmark, **dict(choice)), choice=choice)


def _load(name: str, data: Path | None) -> Benchmark:
    if name in KNOWN:
        return _loaded(name, KNOWN[name].kind, data or _found(KNOWN[name]))
    path = Path(name)
    if not path.is_file():
        raise InputError(f"{name}: no such file; benchmarks known by name: {', '.join(KNOWN)}")
    if data is not None:
        raise InputError(f"--data {data}: {name} is a file already")
    return _loaded(path.name.partition(".")[0], "own", path)


@functools.cache
def kind_module(kind: str) -> Any:
    """The module of a kind; has what `Kind` lists."""
    return importlib.import_module(KINDS[kind])


def _loaded(name: str, kind: str, path: Path) -> Benchmark:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    return _parsed(name, kind, path, (status.st_mtime_ns, status.st_size))


@functools.lru_cache(maxsize=1)
def _parsed(name: str, kind: str, path: Path, state: tuple[int, int]) -> Benchmark:
    """The benchmark, read once in a process while the `state` of its file is the same."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    places: list[str] = []

    def rows() -> Iterator[Located]:
        """One after another: a release of LiveCodeBench is too large to be held."""
        for number, line in enumerate(lines(path), 1):
            md5.update(line)
            sha256.update(line)
            if line.strip():
                places.append(f"{path}, line {number}")
                yield places[-1], _row(line, places[-1])

    tasks = kind_module(kind).tasks(rows(), name)
    if not tasks:
        raise InputError(f"{path}: it has no rows")
    known = dict[str, str]()
    for place, task in zip(places, tasks, strict=False):
        if task.task_id in known:
            raise InputError(f"{place}: task {task.task_id!r} is also at {known[task.task_id]}")
        known[task.task_id] = place
    version = _VERSIONS.get(md5.hexdigest())
    return Benchmark(
        name, kind, path, sha256.hexdigest(), md5.hexdigest(), version, tuple(tasks)
    )  # fmt: skip


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, unpacked if it is packed.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield from gzip.open(file) if packed else file
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def _row(line: bytes, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{place}: no JSON ({error}); is the file whole?") from None
    if not isinstance(row, dict):
        raise InputError(f"{place}: an object was expected")
    return row


# -- where files are ------------------------------------------------------------------------------


def cache_folder() -> Path:
    """`~/.cache/codedpo`, or below `XDG_CACHE_HOME`."""
    return _caches() / "codedpo"


def _caches() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _found(known: _Known) -> Path:
    """The file: named by the environment, in evalplus's cache, in ours, or from the network."""
    if known.variable and (named := os.environ.get(known.variable)):
        return Path(named)
    for folder in _places(known):
        for file in (known.file, f"{known.file}.gz"):
            if (folder / file).is_file():
                return folder / file
    return _downloaded(known)


def _places(known: _Known) -> Iterator[Path]:
    if known.kind == "evalplus":
        yield _caches() / "evalplus"
    yield cache_folder() / "benchmarks"


def _downloaded(known: _Known) -> Path:
    if not known.url:
        raise InputError(f"{known.kind}: name its file with --data FILE")
    try:
        with urllib.request.urlopen(known.url, timeout=60) as answer:
            content = answer.read()
    except OSError as error:
        variable = f", or in {known.variable}" if known.variable else ""
        raise InputError(
            f"{known.url}: {error}; get it elsewhere and name it with --data FILE{variable}"
        ) from None
    path = cache_folder() / "benchmarks" / known.file.removesuffix(".gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    path.write_bytes(content)
    return path
