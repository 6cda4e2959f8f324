"""Grade: a verdict on every sample, kept by a hash of what was graded.

`RUN/verdicts.jsonl`, a row for each sample: `task_id`, `sample`, `key`, the columns of
`verdict.Verdict`, `retried`. The key is a hash of program, benchmark file, settings and grader, so
a verdict is never used for anything else, and equal programs are graded once. Workers append the
verdicts of each task to a file when they have them, so a run that was stopped resumes there.
"""

import fcntl
import functools
import json
import multiprocessing.util
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_eval.benchmarks.registry import Benchmark, Grader, kind_module, reload
from codedpo_eval.generation import samples
from codedpo_eval.verdict import GradeSettings
from codedpo_plugin.executors.local import Pool
from codedpo_plugin.run_folder.progress import Progress
from codedpo_plugin.run_folder.shards import Row, key_of, replacing

FILE = "verdicts.jsonl"
PARTIAL = ".verdicts.partial.jsonl"
_VERSION = 1  # of everything here that decides a verdict
_FEW = 4  # up to this number of tasks, starting workers is not worth the time

Programs = dict[int, list[str]]  # position of a task -> different programs; no empty lists


def grade(
    benchmark: Benchmark, out: Path, settings: GradeSettings, workers: int | None, console: Console
) -> list[Row]:
    """Grade `OUT/samples.jsonl`, and write `OUT/verdicts.jsonl`.

    A program that exceeded its time limit is graded once more, alone, with twice the limit.

    Returns:
        The rows of verdicts, in the order of the samples.

    Raises:
        InfrastructureError: workers were killed repeatedly; finished verdicts are kept.
    """
    run = _Run(benchmark, out, settings)
    missing, total = run.missing(), len(benchmark.tasks)
    if len(missing) <= _FEW or workers == 1:
        run.grade(missing, settings, console)
    else:
        job = Job(replace(benchmark, tasks=()), out, settings)
        with Pool(workers, console) as pool:
            work = functools.partial(make, job)
            pool.run(work, list(missing), "grade", total - len(missing), total)
    run.retry(console)
    return run.collect()


def key(benchmark: Benchmark, task_id: str, program: str, settings: GradeSettings) -> str:
    """The key that a verdict is kept by."""
    return key_of(
        *(_VERSION, benchmark.kind, benchmark.plus, benchmark.sha256),
        *(settings.plain(), task_id, program),
    )


def read(path: Path) -> Iterator[Row]:
    """Rows of a file of verdicts. A line that was cut off is ignored; so is a missing file."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def write(out: Path, rows: Iterable[Row]) -> None:
    """Write `OUT/verdicts.jsonl`."""
    with replacing(out / FILE) as file:
        for row in rows:
            file.write(json.dumps(row).encode() + b"\n")


# -- in this process ------------------------------------------------------------------------------


class _Run:
    """The grading of one folder's samples."""

    def __init__(self, benchmark: Benchmark, out: Path, settings: GradeSettings) -> None:
        self.benchmark, self.out, self.settings = benchmark, out, settings
        self._samples = samples.read(out / samples.FILE, benchmark)

    def missing(self) -> Programs:
        """Programs that have no verdict yet."""
        known = self._known()
        return self._programs(lambda key: key not in known)

    def grade(self, programs: Programs, settings: GradeSettings, console: Console) -> None:
        """Grade programs in this process, one task after another."""
        if not programs:
            return
        with (
            kind_module(self.benchmark.kind).grader(self.benchmark, settings) as grader,
            Progress(console, "grade", 0, len(programs)) as progress,
        ):
            for done, (index, some) in enumerate(programs.items(), 1):
                self.append(index, some, grader, settings)
                progress.update(done)

    def append(
        self, index: int, programs: list[str], grader: Grader, settings: GradeSettings
    ) -> None:
        """Grade programs of one task, and append the verdicts to the partial file."""
        task = self.benchmark.tasks[index]
        rows = [
            {"key": self._key(task.task_id, program)}
            | asdict(verdict)
            | {"retried": settings != self.settings}
            for program, verdict in zip(programs, grader(task, programs), strict=True)
        ]
        # The line before may have been cut off.
        text = "\n".join(["", *map(json.dumps, rows), ""])
        with open(self.out / PARTIAL, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(text)

    def retry(self, console: Console) -> None:
        """Grade programs that exceeded their time limit once more, with nothing else running."""
        known = self._known()

        def timed_out(key: str) -> bool:
            row = known[key]
            return not row["retried"] and "timeout" in (row["base"], row["plus"])

        again = self._programs(timed_out)
        if not again:
            return
        total = sum(map(len, again.values()))
        console.print(f"grade: {total} programs exceeded their time limit; retrying each alone")
        self.grade(again, replace(self.settings, seconds=2 * self.settings.seconds), console)

    def collect(self) -> list[Row]:
        """Write the verdicts of these samples, without those of others."""
        known = self._known()
        rows: list[dict[str, Any]] = []
        for row in self._samples.rows:
            found = known[self._key(row["task_id"], row["solution"])]
            place = {"task_id": row["task_id"], "sample": row["sample"]}
            rows.append(place | found | place)
        write(self.out, rows)
        (self.out / PARTIAL).unlink(missing_ok=True)
        return rows

    def _programs(self, wanted: Callable[[str], bool]) -> Programs:
        """The different programs whose keys are wanted."""
        found = {}
        by_task = self._samples.by_task()
        for index, task in enumerate(self.benchmark.tasks):
            programs = dict.fromkeys(row["solution"] for row in by_task.get(task.task_id, []))
            some = [program for program in programs if wanted(self._key(task.task_id, program))]
            if some:
                found[index] = some
        return found

    def _key(self, task_id: str, program: str) -> str:
        return key(self.benchmark, task_id, program, self.settings)

    def _known(self) -> dict[str, Row]:
        """Verdicts by key, of this and earlier runs; a later one replaces an earlier one."""
        return {row["key"]: row for name in (FILE, PARTIAL) for row in read(self.out / name)}


# -- in workers -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """What is sent to workers."""

    benchmark: Benchmark
    """Without its tasks: each worker reads them from the file."""
    out: Path
    settings: GradeSettings


def make(job: Job, index: int, tick: Callable[[], None]) -> None:
    """Grade the programs of one task that have no verdict, and append the verdicts."""
    worker = _worker(job)
    worker.run.append(index, worker.missing.get(index, []), worker.grader, job.settings)
    tick()


@dataclass(frozen=True)
class _Worker:
    run: _Run
    missing: Programs
    grader: Grader


@functools.lru_cache(maxsize=1)
def _worker(job: Job) -> _Worker:
    """State of a worker process, which takes part in one run only."""
    run = _Run(reload(job.benchmark), job.out, job.settings)
    stack = ExitStack()
    multiprocessing.util.Finalize(None, stack.close, exitpriority=10)
    opened = kind_module(run.benchmark.kind).grader(run.benchmark, job.settings)
    return _Worker(run, run.missing(), stack.enter_context(opened))
