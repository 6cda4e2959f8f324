"""Make candidates of the samples: programs and tests extracted, benchmark problems left out.

Works shard by shard, in worker processes; what they need is in one `ShardWork` per run.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from codedpo_plugin.parsing.extraction import Program, program_of
from codedpo_plugin.parsing.snippets import calls_of, snippets_of
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.recipe.keys import key_settings
from codedpo_plugin.run_folder import manifests
from codedpo_plugin.run_folder.shards import (
    Row,
    key_of,
    read_shard,
    shard_key,
    shard_path,
    write_shard,
)
from codedpo_plugin.sampling import CACHE, Cache, Sample
from codedpo_plugin.sandbox.client import Sandbox
from codedpo_plugin.stages import GENERATE, PROBLEMS
from codedpo_plugin.synthesis import benchmark_problems, prompts
from codedpo_plugin.synthesis.candidate_requests import ROLES, CandidateRequests
from codedpo_plugin.synthesis.decontamination import LIMITS, Tests
from codedpo_plugin.synthesis.majority_vote import tests_by_vote

SCHEMA = pa.schema(
    [
        ("candidate", pa.string()),  # JSON
        ("dropped", pa.string()),  # why it is none
        ("overlap", pa.string()),  # JSON: the benchmark problem that it solves
        ("samples", pa.string()),  # JSON: role -> what became of its samples -> how many
        ("unused", pa.string()),  # JSON: role -> an answer without a program, or a test
    ]
)

EXAMPLES = 2
"""Answers without a program, or a test, that are kept to be shown."""

Samples = dict[str, list[Sample]]
"""Role -> samples of one problem."""


@dataclass(frozen=True)
class ShardWork:
    """What a worker needs to make any shard of a run."""

    requests: CandidateRequests
    known: Tests
    """Benchmark problems that no candidate may solve."""
    offsets: tuple[int, ...]
    """Where the problems of each shard start in their file, in bytes."""


def shard_work(requests: CandidateRequests) -> ShardWork:
    """The work of a run whose problems are finished.

    Raises:
        InputError: a benchmark cannot be read.
    """
    recipe = requests.recipe
    names = recipe.decontaminate.benchmarks if recipe.decontaminate.execute else []
    offsets = _offsets(PROBLEMS.path(recipe.output), recipe.shard_size)
    return ShardWork(requests, Tests(benchmark_problems.load_all(names)), offsets)


def _offsets(path: Path, step: int) -> tuple[int, ...]:
    """Where every `step`-th line of a file starts, in bytes."""
    with open(path, "rb") as lines:
        starts = itertools.accumulate(map(len, lines), initial=0)
        return tuple(itertools.islice(starts, 0, None, step))


def make_shard(work: ShardWork, index: int, tick: Callable[[], None]) -> None:
    """Make candidates of one shard of problems; `tick` is called after each."""
    recipe = work.requests.recipe
    with open(PROBLEMS.path(recipe.output), "rb") as lines:
        lines.seek(work.offsets[index])
        rows = [json.loads(line) for line in itertools.islice(lines, recipe.shard_size)]
    with Cache(recipe.output / CACHE, read_only=True) as cache:
        problems = with_samples(rows, work.requests, cache)
    with Sandbox(LIMITS) as sandbox:
        maker = CandidateMaker(work.requests, work.known, sandbox)

        def made() -> Iterator[Row]:
            for row, samples in problems:
                yield maker.candidate(row, samples)
                tick()

        key = _key(work.requests, problems)
        write_shard(_path(recipe, index), made(), SCHEMA, key)


def with_samples(
    rows: Iterable[Row], requests: CandidateRequests, cache: Cache
) -> list[tuple[Row, Samples]]:
    """Problems with their samples in the cache."""
    return [
        (
            row,
            {
                role: cache.samples(request, requests.models[role])
                for role, request in requests.of(row).items()
            },
        )
        for row in rows
    ]


def unfinished_shards(rows: Sequence[Row], requests: CandidateRequests) -> list[int]:
    """Shards that are not made of these problems and the samples that are in the cache now."""
    recipe, size = requests.recipe, requests.recipe.shard_size
    found = []
    with Cache(recipe.output / CACHE, read_only=True) as cache:
        for index, start in enumerate(range(0, len(rows), size)):
            key = shard_key(_path(recipe, index))
            part = rows[start : start + size]
            if key is None or key != _key(requests, with_samples(part, requests, cache)):
                found.append(index)
    return found


def read_candidates(recipe: Recipe, shards: int, tally: manifests.Tally) -> Iterator[Row | str]:
    """The candidates of all shards; a text instead says why one was dropped.

    The tally's notes get the overlaps with benchmarks, and what became of the samples.
    """
    overlaps = tally.notes.setdefault("contaminated", [])
    counts = tally.notes.setdefault("samples", {role: Counter() for role in ROLES})
    examples = tally.notes.setdefault("unused_answers", {role: [] for role in ROLES})
    for index in range(shards):
        for row in read_shard(_path(recipe, index)):
            for role, some in json.loads(row["samples"]).items():
                counts[role].update(some)
            for role, texts in json.loads(row["unused"]).items():
                examples[role] += texts[: EXAMPLES - len(examples[role])]
            if row["overlap"]:
                overlaps.append(json.loads(row["overlap"]))
            yield row["dropped"] or json.loads(row["candidate"])


def _path(recipe: Recipe, index: int) -> Path:
    return shard_path(recipe.output / GENERATE.folder, "shards", index)


def _key(requests: CandidateRequests, problems: list[tuple[Row, Samples]]) -> str:
    settings = key_settings(requests.recipe, ("generate", "decontaminate"))
    settings["generate"].pop("more")
    texts = [
        [row, {role: [one.text for one in some] for role, some in samples.items()}]
        for row, samples in problems
    ]
    templates = requests.template_names()
    return key_of(GENERATE.folder, GENERATE.version, settings, templates, texts)


class CandidateMaker:
    """Makes a candidate of what a model wrote for a problem."""

    def __init__(self, requests: CandidateRequests, known: Tests, sandbox: Sandbox) -> None:
        self.requests, self.known, self.sandbox = requests, known, sandbox
        self.recipe = requests.recipe

    def candidate(self, row: Row, samples: Samples) -> Row:
        """One row in the columns of `SCHEMA`."""
        name, counts = row["entry_point"], {role: Counter[str]() for role in ROLES}
        unused: dict[str, list[str]] = {role: [] for role in ROLES}
        solutions = self._solutions(row, samples["solutions"], counts["solutions"], unused)
        programs = [program.code for program, _ in solutions]
        tests = self._tests(row, samples["tests"], programs, counts["tests"], unused)
        overlap = self.known and self.known.solved(
            programs, tests, name, self.sandbox, self.recipe.decontaminate.solutions
        )
        dropped = None
        if overlap:
            dropped = "contaminated: solves a benchmark's problem"
        elif not programs or not tests:
            dropped = "no solutions" if not programs else "no tests"
        candidate = row | {
            "prompt": self.requests.text(row, "solutions"),
            "exercise": row["prompt"],
            "solutions": programs,
            "tests": tests,
            "responses": [response for _, response in solutions],
            "left_out": [program.left_out for program, _ in solutions],
        }
        return {
            "candidate": json.dumps(candidate, default=str),
            "dropped": dropped,
            "overlap": json.dumps({"task_id": row["task_id"], **overlap}) if overlap else None,
            "samples": json.dumps(counts),
            "unused": json.dumps({role: texts[:1] for role, texts in unused.items()}),
        }

    def _solutions(
        self,
        row: Row,
        samples: list[Sample],
        counts: Counter[str],
        unused: dict[str, list[str]],
    ) -> list[tuple[Program, str]]:
        """(program, response) of the samples that hold a whole program."""
        opening = self._opening(row, "solutions")
        found = []
        for one in samples:
            program = program_of(opening + one.text, row["entry_point"])
            if one.finish_reason == "length":
                counts["cut at max_tokens"] += 1
            elif program is None:
                counts["no program"] += 1
                unused["solutions"].append(one.text)
            else:
                counts["kept"] += 1
                found.append((program, one.text))
        return found

    def _tests(
        self,
        row: Row,
        samples: list[Sample],
        programs: list[str],
        counts: Counter[str],
        unused: dict[str, list[str]],
    ) -> list[str]:
        """Each test once, in the order in which they were written."""
        opening, name = self._opening(row, "tests"), row["entry_point"]
        vote = self.recipe.generate.tests.outputs == "vote"
        found: dict[str, None] = {}
        for one in samples:
            text = opening + one.text
            left_out = Counter[str]()
            tests = calls_of(text, name) if vote else snippets_of(text, name, left_out)
            counts["kept" if tests else "no test"] += 1
            if not tests:
                unused["tests"].append(one.text)
            counts.update({f"test left out: {why}": n for why, n in left_out.items()})
            found.update(dict.fromkeys(tests))
        return tests_by_vote(programs, list(found), self.sandbox) if vote else list(found)

    def _opening(self, row: Row, role: str) -> str:
        """What the prompt has already written of the answer."""
        if self.recipe.generate.style == "chat":
            return ""
        return prompts.opening(self.requests.text(row, role))
