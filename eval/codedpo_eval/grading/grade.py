"""Grade: a verdict on every sample, kept by what was graded.

`RUN/verdicts.jsonl`, a row for each sample: `task_id`, `sample`, `key`, the columns of
`verdict.Verdict`, `retried`. The key is a hash of program, benchmark file, settings and grader: a
verdict is never used for anything else, and never found twice. A worker appends each task's
verdicts to a file as it has them, so a run that is stopped goes on where it was.
"""

import fcntl
import functools
import json
import multiprocessing.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_eval.benchmarks.registry import Benchmark, Choice, Grader, kind_module, load
from codedpo_eval.generation import samples
from codedpo_eval.verdict import GradeSettings
from codedpo_plugin.executors.local import Pool
from codedpo_plugin.run_folder.progress import Progress
from codedpo_plugin.run_folder.shards import Row, key_of, replacing

FILE = "verdicts.jsonl"
_PARTIAL = ".verdicts.partial.jsonl"
_VERSION = 1  # of all that decides a verdict here
_FEW = 4  # tasks that are not worth starting workers for


@dataclass(frozen=True)
class Job:
    """What a worker needs to know."""

    name: str
    """Of the benchmark, as `benchmark.load` takes it."""
    data: Path | None
    out: Path
    settings: GradeSettings
    choice: Choice = ()
    """Of the benchmark's tasks, as `benchmark.load` takes it."""


def grade(job: Job, workers: int | None, console: Console) -> list[Row]:
    """Grade `RUN/samples.jsonl`, and write `RUN/verdicts.jsonl`.

    A program that used up its time is graded once more when nothing else runs, with twice the
    time.

    Returns:
        The verdicts' rows, in the order of the samples.

    Raises:
        InfrastructureError: a worker was killed again and again; what is finished is kept.
    """
    for known in (_benchmark, _pending):
        known.cache_clear()
    missing, total = list(_pending(job)), len(_benchmark(job).tasks)
    if len(missing) <= _FEW or workers == 1:
        _here(job, _pending(job), job.settings, console)
    else:
        with Pool(workers, console) as pool:
            work = functools.partial(make, job)
            pool.run(work, missing, "grade", total - len(missing), total)
    _retry(job, console)
    return _collected(job)


def make(job: Job, index: int, tick: Callable[[], None]) -> None:
    """Grade what has no verdict yet of one task, and append the verdicts."""
    _append(job, index, _pending(job)[index], _worker_grader(job), job.settings)
    tick()


def _here(
    job: Job, programs: dict[int, list[str]], settings: GradeSettings, console: Console
) -> None:
    """Grade in this process, one task after another."""
    if not programs:
        return
    benchmark = _benchmark(job)
    with (
        kind_module(benchmark.kind).grader(benchmark, settings) as grader,
        Progress(console, "grade", 0, len(programs)) as progress,
    ):
        for done, (index, some) in enumerate(programs.items(), 1):
            _append(job, index, some, grader, settings)
            progress.update(done)


def key(benchmark: Benchmark, task_id: str, program: str, settings: GradeSettings) -> str:
    """What a verdict is kept by."""
    return key_of(
        *(_VERSION, benchmark.kind, benchmark.plus, benchmark.sha256),
        *(settings.plain(), task_id, program),
    )


def _append(
    job: Job, index: int, programs: list[str], grader: Grader, settings: GradeSettings
) -> None:
    benchmark = _benchmark(job)
    task = benchmark.tasks[index]
    rows = [
        {"key": key(benchmark, task.task_id, program, job.settings)}
        | asdict(verdict)
        | {"retried": settings != job.settings}
        for program, verdict in zip(programs, grader(task, programs), strict=True)
    ]
    # The line before may have been cut off.
    text = "\n".join(["", *map(json.dumps, rows), ""])
    with open(job.out / _PARTIAL, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(text)


@functools.lru_cache(maxsize=1)
def _benchmark(job: Job) -> Benchmark:
    return load(job.name, job.data, job.choice)


@functools.lru_cache(maxsize=1)
def _worker_grader(job: Job) -> Grader:
    """A grader that lives as long as the worker."""
    stack, benchmark = ExitStack(), _benchmark(job)
    multiprocessing.util.Finalize(None, stack.close, exitpriority=10)
    kept = kind_module(benchmark.kind).grader(benchmark, job.settings)
    grader: Grader = stack.enter_context(kept)
    return grader


@functools.lru_cache(maxsize=1)
def _pending(job: Job) -> dict[int, list[str]]:
    """Position of a task -> programs that have no verdict yet; equal programs are graded once."""
    known = _known(job.out)
    return _programs(job, lambda key: key not in known)


def _programs(job: Job, wanted: Callable[[str], bool]) -> dict[int, list[str]]:
    """Position of a task -> its different programs whose keys are wanted; no empty lists."""
    benchmark, found = _benchmark(job), {}
    by_task = samples.read(job.out / samples.FILE, benchmark).by_task()
    for index, task in enumerate(benchmark.tasks):
        programs = dict.fromkeys(row["solution"] for row in by_task.get(task.task_id, []))
        some = [
            program
            for program in programs
            if wanted(key(benchmark, task.task_id, program, job.settings))
        ]
        if some:
            found[index] = some
    return found


def _known(out: Path) -> dict[str, Row]:
    """Verdicts by key, of this and earlier runs; the later one counts."""
    return {row["key"]: row for name in (FILE, _PARTIAL) for row in read(out / name)}


def read(path: Path) -> Iterator[Row]:
    """Rows of a file of verdicts; a line that was cut off is as if it were not there."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _retry(job: Job, console: Console) -> None:
    """Grade alone what used up its time."""
    known = _known(job.out)

    def hung(key: str) -> bool:
        row = known[key]
        return not row["retried"] and "timeout" in (row["base"], row["plus"])

    again = _programs(job, hung)
    if not again:
        return
    total = sum(map(len, again.values()))
    console.print(f"grade: {total} programs used up their time; each once more, alone")
    settings = replace(job.settings, seconds=2 * job.settings.seconds)
    _here(job, again, settings, console)


def _collected(job: Job) -> list[Row]:
    """Write the verdicts of these samples, and no other."""
    known, benchmark = _known(job.out), _benchmark(job)
    rows: list[dict[str, Any]] = []
    for row in samples.read(job.out / samples.FILE, benchmark).rows:
        found = known[key(benchmark, row["task_id"], row["solution"], job.settings)]
        place = {"task_id": row["task_id"], "sample": row["sample"]}
        rows.append(place | found | place)
    with replacing(job.out / FILE) as file:
        for one in rows:
            file.write(json.dumps(one).encode() + b"\n")
    (job.out / _PARTIAL).unlink(missing_ok=True)
    return rows
