"""Generate: N solutions and M tests of each problem from a model, as candidates.

Reads `RUN/problems/problems.jsonl`, writes `RUN/generated/candidates.jsonl` in the columns of
`candidates.py`, with what the problems say of their origin. The samples are in the cache: with a
list of problems that need more of them (`generate.more`), only these are asked for again.
"""

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import starmap
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.executors.local import Pool
from codedpo_plugin.parsing.extraction import code_of
from codedpo_plugin.parsing.snippets import calls_of, snippets_of
from codedpo_plugin.recipe import Recipe, Sampling, Solutions
from codedpo_plugin.run_folder import manifests
from codedpo_plugin.run_folder.candidates import read_file
from codedpo_plugin.run_folder.shards import (
    Row,
    key_of,
    read_shard,
    shard_key,
    shard_path,
    write_shard,
)
from codedpo_plugin.sampling import BUDGET_SPENT, CACHE, Cache, Request, Sample, sample
from codedpo_plugin.sampling.progress import Watching
from codedpo_plugin.sandbox.client import Sandbox
from codedpo_plugin.stages import GENERATE, PROBLEMS
from codedpo_plugin.synthesis import benchmark_problems, prompts
from codedpo_plugin.synthesis.decontamination import LIMITS, Tests
from codedpo_plugin.synthesis.majority_vote import tests_by_vote

ROLES = ("solutions", "tests")
_AT_A_TIME = 64  # problems, where two models share a budget

SCHEMA = pa.schema(
    [
        ("candidate", pa.string()),  # JSON
        ("dropped", pa.string()),  # why it is none
        ("overlap", pa.string()),  # JSON: the benchmark problem that it solves
        ("samples", pa.string()),  # JSON: role -> what became of its samples -> how many
    ]
)


def run(recipe: Recipe, console: Console) -> None:
    """Sample what is missing, and write the candidates.

    Raises:
        InputError: a template or `generate.more` is wrong, or no problem has candidates.
        InfrastructureError: the server is dead; what it wrote is kept.
    """
    rows = manifests.read(recipe.output, PROBLEMS)
    more = raised(recipe.generate.more)
    if unknown := set(more) - {row["task_id"] for row in rows}:
        raise InputError(
            f"generate.more: {recipe.generate.more}: no problem is called {min(unknown)!r} "
            f"({len(unknown)} such names)"
        )
    requests = [_requests(row, recipe, more) for row in rows]
    key = _key(recipe, requests)
    if manifests.finished(recipe.output, GENERATE, key):
        return
    if not _pay(requests, recipe, console):
        key = f"{key}, but for what the server did not give"
    shards = range(-(-len(rows) // recipe.shard_size))
    with Pool(recipe.workers, console) as pool:
        work = functools.partial(make_shard, recipe)
        missing = [index for index in shards if not _is_made(recipe, index)]
        done = max(0, len(rows) - len(missing) * recipe.shard_size)
        pool.run(work, missing, "extract", done, len(rows))
    tally = manifests.Tally()
    with Cache(recipe.output / CACHE, read_only=True) as cache:
        tally.notes["usage"] = cache.totals()
    # A benchmark is named by its file alone: where it lay is nobody's business.
    tally.notes["benchmarks"] = [Path(name).name for name in recipe.decontaminate.benchmarks]
    kept = tally.keep(_candidates(recipe, shards, tally))
    manifests.write(recipe.output, GENERATE, kept, tally, key)
    manifests.say(console, "candidates", tally)
    if not tally.kept:
        raise InputError(
            f"{recipe.output / GENERATE.folder}: no problem has both solutions and tests; see "
            "manifest.json there, and what the model writes"
        )


# -- what is asked ----------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def raised(path: Path | None) -> dict[str, dict[str, int]]:
    """Task id -> `solutions` and `tests` -> responses in all, from a `generate.more` file.

    Raises:
        InputError: a line is wrong.
    """
    if path is None:
        return {}
    found = {}
    for number, row in read_file(path):
        place = f"generate.more: {path}, line {number}"
        if not isinstance(row, dict) or not isinstance(row.get("task_id"), str):
            raise InputError(f"{place}: expected `task_id`, `solutions` and `tests`")
        counts = {role: row.get(role) or 0 for role in ROLES}
        if not all(isinstance(count, int) for count in counts.values()):
            raise InputError(f"{place}: `solutions` and `tests` are numbers of samples")
        found[row["task_id"]] = counts
    return found


def _spec(role: str, recipe: Recipe) -> Solutions:
    return recipe.generate.solutions if role == "solutions" else recipe.generate.tests


def _settings(role: str, recipe: Recipe) -> Sampling:
    """The model of a role; a base model stops where the block ends that the prompt began."""
    settings = _spec(role, recipe).sampling or recipe.sampling
    assert settings  # the recipe was checked
    if recipe.generate.style == "completion" and not settings.stop:
        return settings.model_copy(update={"stop": ["\n```"]})
    return settings


@functools.lru_cache(maxsize=8)
def _load_template(name: str) -> prompts.Template:
    return prompts.load(name, "prompt")


def _template(role: str, recipe: Recipe) -> prompts.Template:
    base = "-base" if recipe.generate.style == "completion" else ""
    kind = "solution" if role == "solutions" else "test"
    if role == "tests" and recipe.generate.tests.outputs == "vote":
        kind = "inputs"
    return _load_template(_spec(role, recipe).template or f"{kind}{base}-v1")


def _text(row: Row, role: str, recipe: Recipe) -> str:
    """What a model is asked; a base model goes on from the very end of it."""
    template = _template(role, recipe)
    text = template.fill(prompt=row["prompt"].strip(), entry_point=row["entry_point"])
    return text if recipe.generate.style == "completion" else text.strip()


def _requests(row: Row, recipe: Recipe, more: dict[str, dict[str, int]]) -> dict[str, Request]:
    found, raised = {}, more.get(row["task_id"], {})
    for role in ROLES:
        text = _text(row, role, recipe)
        chat = recipe.generate.style == "chat"
        prompt: Any = [{"role": "user", "content": text}] if chat else text
        found[role] = Request(
            row["task_id"], role, prompt, max(_spec(role, recipe).n, raised.get(role, 0))
        )
    return found


def _key(recipe: Recipe, requests: list[dict[str, Request]]) -> str:
    settings = recipe.model_dump(mode="json", include=set(GENERATE.sections))
    settings["generate"].pop("more")
    counts = [[request.n for request in roles.values()] for roles in requests]
    templates = [_template(role, recipe).name for role in ROLES]
    source = manifests.stage_key(recipe.output, PROBLEMS)
    return key_of(GENERATE.folder, GENERATE.version, settings, counts, templates, source)


def _pay(requests: list[dict[str, Request]], recipe: Recipe, console: Console) -> bool:
    """Have all samples in the cache; whether there are as many as wanted."""
    if requests and _start_alike(requests[0]):
        console.print(
            "generate: the prompts for solutions and for tests start with the same word: a small "
            "model may write the one for the other",
            style="yellow",
        )
    models = {role: _settings(role, recipe) for role in ROLES}
    two = models["solutions"] != models["tests"]
    # Two models are asked one after the other: a budget that ends must leave problems with both.
    size = _AT_A_TIME if two and any(one.budget for one in models.values()) else len(requests)
    whole = True
    for part in (requests[n : n + size] for n in range(0, len(requests), size)):
        for settings, some in _by_model(part, models):
            with Watching(console, "generate") as watch:
                for _ in sample(some, settings, recipe.output / CACHE, watch):
                    pass
            whole = whole and not watch.usage.failed
            if watch.usage.failed[BUDGET_SPENT]:
                return False
    return whole


def _by_model(
    requests: list[dict[str, Request]], models: dict[str, Sampling]
) -> list[tuple[Sampling, list[Request]]]:
    """What each model is asked; problem by problem where one writes solutions and tests."""
    if models["solutions"] == models["tests"]:
        return [(models["tests"], [roles[role] for roles in requests for role in ROLES])]
    return [(models[role], [roles[role] for roles in requests]) for role in ROLES]


def _start_alike(requests: dict[str, Request]) -> bool:
    prompts = (request.prompt for request in requests.values())
    texts = [one if isinstance(one, str) else one[0]["content"] for one in prompts]
    return len({text.split(maxsplit=1)[0] for text in texts}) < len(texts)


# -- what becomes of it -----------------------------------------------------------------------


def make_shard(recipe: Recipe, index: int, tick: Callable[[], None]) -> None:
    """Make candidates of one shard of problems; `tick` is called after each."""
    rows = _shard_rows(recipe, index)
    with Sandbox(LIMITS) as sandbox:
        maker = Maker(recipe, sandbox)

        def made() -> Iterator[Row]:
            for row, samples in rows:
                yield maker.candidate(row, samples)
                tick()

        write_shard(_shard_path(recipe, index), made(), SCHEMA, _shard_key(recipe, rows))


def _shard_path(recipe: Recipe, index: int) -> Path:
    return shard_path(recipe.output / GENERATE.folder, "shards", index)


def _is_made(recipe: Recipe, index: int) -> bool:
    key = shard_key(_shard_path(recipe, index))
    return key is not None and key == _shard_key(recipe, _shard_rows(recipe, index))


def _shard_key(recipe: Recipe, rows: list[tuple[Row, dict[str, list[Sample]]]]) -> str:
    settings = recipe.model_dump(mode="json", include={"generate", "decontaminate"})
    settings["generate"].pop("more")
    texts = [
        [row, {role: [one.text for one in some] for role, some in samples.items()}]
        for row, samples in rows
    ]
    templates = [_template(role, recipe).name for role in ROLES]
    return key_of(GENERATE.folder, GENERATE.version, settings, templates, texts)


@functools.lru_cache(maxsize=1)
def _all_rows(run: Path, key: str | None) -> list[Row]:
    return manifests.read(run, PROBLEMS)


def _shard_rows(recipe: Recipe, index: int) -> list[tuple[Row, dict[str, list[Sample]]]]:
    """Problems of a shard, with their samples in the cache."""
    rows = _all_rows(recipe.output, manifests.stage_key(recipe.output, PROBLEMS))
    start = index * recipe.shard_size
    with Cache(recipe.output / CACHE, read_only=True) as cache:
        found = []
        for row in rows[start : start + recipe.shard_size]:
            requests = _requests(row, recipe, raised(recipe.generate.more))
            samples = {
                role: cache.samples(requests[role], _settings(role, recipe)) for role in ROLES
            }
            found.append((row, samples))
        return found


class Maker:
    """Turns what a model wrote on a problem into a candidate."""

    def __init__(self, recipe: Recipe, sandbox: Sandbox) -> None:
        self.recipe, self.sandbox = recipe, sandbox
        wanted = recipe.decontaminate
        self.known = _benchmark_tests(tuple(wanted.benchmarks) if wanted.execute else ())

    def candidate(self, row: Row, samples: dict[str, list[Sample]]) -> Row:
        """One row in the columns of `SCHEMA`."""
        name, counts = row["entry_point"], {role: Counter[str]() for role in ROLES}
        solutions = self._solutions(row, samples["solutions"], counts["solutions"])
        programs = [program for program, _ in solutions]
        tests = self._tests(row, samples["tests"], programs, counts["tests"])
        overlap = self.known and self.known.solved(
            programs, tests, name, self.sandbox, self.recipe.decontaminate.solutions
        )
        dropped = None
        if overlap:
            dropped = "contaminated: solves a benchmark's problem"
        elif not programs or not tests:
            dropped = "no solutions" if not programs else "no tests"
        candidate = row | {
            "prompt": _text(row, "solutions", self.recipe),
            "exercise": row["prompt"],
            "solutions": programs,
            "tests": tests,
            "responses": [response for _, response in solutions],
        }
        return {
            "candidate": json.dumps(candidate, default=str),
            "dropped": dropped,
            "overlap": json.dumps({"task_id": row["task_id"], **overlap}) if overlap else None,
            "samples": json.dumps(counts),
        }

    def _solutions(
        self, row: Row, samples: list[Sample], counts: Counter[str]
    ) -> list[tuple[str, str]]:
        """(program, response) of the samples that hold a whole program."""
        begun = self._begun(row, "solutions")
        found = []
        for one in samples:
            program = code_of(begun + one.text, row["entry_point"])
            if one.finish_reason == "length":
                counts["cut at max_tokens"] += 1
            elif program is None:
                counts["no program"] += 1
            else:
                counts["kept"] += 1
                found.append((program, one.text))
        return found

    def _tests(
        self, row: Row, samples: list[Sample], programs: list[str], counts: Counter[str]
    ) -> list[str]:
        """Each test once, in the order in which they came."""
        begun, name = self._begun(row, "tests"), row["entry_point"]
        vote = self.recipe.generate.tests.outputs == "vote"
        found: dict[str, None] = {}
        for one in samples:
            text = begun + one.text
            tests = calls_of(text, name) if vote else snippets_of(text, name)
            counts["kept" if tests else "no test"] += 1
            found.update(dict.fromkeys(tests))
        return tests_by_vote(programs, list(found), self.sandbox) if vote else list(found)

    def _begun(self, row: Row, role: str) -> str:
        if self.recipe.generate.style == "chat":
            return ""
        return prompts.opening(_text(row, role, self.recipe))


@functools.lru_cache(maxsize=1)
def _benchmark_tests(names: tuple[str, ...]) -> Tests:
    return Tests(benchmark_problems.load_all(list(names)))


def _candidates(recipe: Recipe, shards: range, tally: manifests.Tally) -> Iterator[Row | str]:
    """The rows of all shards; a text instead says why one was dropped."""
    overlaps = tally.notes.setdefault("contaminated", [])
    counts = tally.notes.setdefault("samples", {role: Counter() for role in ROLES})
    for path in starmap(_shard_path, ((recipe, index) for index in shards)):
        for row in read_shard(path):
            for role, some in json.loads(row["samples"]).items():
                counts[role].update(some)
            if row["overlap"]:
                overlaps.append(json.loads(row["overlap"]))
            yield row["dropped"] or json.loads(row["candidate"])
