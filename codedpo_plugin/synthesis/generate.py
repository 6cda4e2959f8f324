"""Generate: N solutions and M tests of each problem from a model, as candidates.

Reads `RUN/problems/problems.jsonl`, writes `RUN/generated/candidates.jsonl` in the columns of
`run_folder.candidates`, with the columns that say where a problem comes from. All samples are in
the cache: with a list of problems that need more (`generate.more`), only the missing ones are
requested.
"""

import functools
from pathlib import Path

from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.executors.local import Pool
from codedpo_plugin.recipe import Recipe, Sampling
from codedpo_plugin.recipe.keys import key_settings
from codedpo_plugin.run_folder import manifests
from codedpo_plugin.run_folder.shards import Row, key_of
from codedpo_plugin.sampling import BUDGET_SPENT, CACHE, Cache, Request, sample
from codedpo_plugin.sampling.progress import Watching
from codedpo_plugin.stages import GENERATE, PROBLEMS
from codedpo_plugin.synthesis.candidate_requests import ROLES, CandidateRequests
from codedpo_plugin.synthesis.make_candidates import (
    make_shard,
    read_candidates,
    shard_work,
    unfinished_shards,
)

MOST_UNUSED = 0.05
"""Share of answers without a program, or a test, above which a warning is printed."""
_SHOWN = 400  # characters of an answer
SHARED_BUDGET_BATCH = 64
"""Problems that two models work on in turn, where they share a budget."""


def run(recipe: Recipe, console: Console) -> None:
    """Sample what is missing, and write the candidates.

    Raises:
        InputError: a template or `generate.more` is wrong, or no problem has candidates.
        InfrastructureError: the server is dead; what it wrote is kept.
    """
    rows = manifests.read(recipe.output, PROBLEMS)
    requests = CandidateRequests(recipe)
    requests.check(rows)
    wanted = [requests.of(row) for row in rows]
    key = _key(requests, wanted)
    if manifests.finished(recipe.output, GENERATE, key):
        return
    complete = _sample(wanted, requests, console)
    _make_shards(rows, requests, console)
    tally = manifests.Tally()
    with Cache(recipe.output / CACHE, read_only=True) as cache:
        tally.notes["usage"] = cache.totals()
    # Benchmarks by file name only: their folders may hold private names.
    tally.notes["benchmarks"] = [Path(name).name for name in recipe.decontaminate.benchmarks]
    shards = -(-len(rows) // recipe.shard_size)
    kept = tally.keep(read_candidates(recipe, shards, tally))
    manifests.write(recipe.output, GENERATE, kept, tally, key, complete=complete)
    manifests.print_tally(console, "candidates", tally)
    _warn_of_unused(tally, console)
    if not tally.kept:
        raise InputError(
            f"{recipe.output / GENERATE.folder}: no problem has both solutions and tests; see "
            "manifest.json there, and what the model writes"
        )


def _warn_of_unused(tally: manifests.Tally, console: Console) -> None:
    """Print how many answers hold no program, or no test, where they are many, with examples."""
    for role, unused in (("solutions", "no program"), ("tests", "no test")):
        counts = tally.notes["samples"][role]
        answers = sum(n for what, n in counts.items() if not what.startswith("test left out"))
        if counts[unused] <= MOST_UNUSED * answers:
            continue
        console.print(
            f"candidates: {counts[unused]:,} of {answers:,} answers for {role} hold {unused}; "
            f"try another template or a prefill (generate.{role}.template, "
            f"generate.{role}.prefill). For example:",
            style="yellow",
            markup=False,
        )
        for text in tally.notes["unused_answers"][role]:
            console.print(f"  {text[:_SHOWN]!r}", markup=False)


def _key(requests: CandidateRequests, wanted: list[dict[str, Request]]) -> str:
    recipe = requests.recipe
    settings = key_settings(recipe, GENERATE.sections)
    settings["generate"].pop("more")
    counts = [[request.n for request in roles.values()] for roles in wanted]
    source = manifests.stage_key(recipe.output, PROBLEMS)
    templates = requests.template_names()
    return key_of(GENERATE.folder, GENERATE.version, settings, counts, templates, source)


def _make_shards(rows: list[Row], requests: CandidateRequests, console: Console) -> None:
    recipe = requests.recipe
    unfinished = unfinished_shards(rows, requests)
    if not unfinished:
        return
    work = functools.partial(make_shard, shard_work(requests))
    done = max(0, len(rows) - len(unfinished) * recipe.shard_size)
    with Pool(recipe.workers, console) as pool:
        pool.run(work, unfinished, "extract", done, len(rows))


# -- sampling ---------------------------------------------------------------------------------


def _sample(
    wanted: list[dict[str, Request]], requests: CandidateRequests, console: Console
) -> bool:
    """Get all samples into the cache; whether there are as many as wanted."""
    if wanted and _start_alike(wanted[0]):
        console.print(
            "generate: the prompts for solutions and for tests start with the same word: a small "
            "model may confuse them",
            style="yellow",
        )
    models = requests.models
    two = models["solutions"] != models["tests"]
    # Two models work one after the other: a budget that ends must leave problems with both.
    shared = two and any(model.budget for model in models.values())
    size = SHARED_BUDGET_BATCH if shared else len(wanted)
    complete = True
    for part in (wanted[n : n + size] for n in range(0, len(wanted), size)):
        for settings, some in _by_model(part, models):
            with Watching(console, "generate") as watch:
                for _ in sample(some, settings, requests.recipe.output / CACHE, watch):
                    pass
            complete = complete and not watch.usage.failed
            if watch.usage.failed[BUDGET_SPENT]:
                return False
    return complete


def _by_model(
    wanted: list[dict[str, Request]], models: dict[str, Sampling]
) -> list[tuple[Sampling, list[Request]]]:
    """What each model is asked; problem by problem where one writes solutions and tests."""
    if models["solutions"] == models["tests"]:
        return [(models["tests"], [roles[role] for roles in wanted for role in ROLES])]
    return [(models[role], [roles[role] for roles in wanted]) for role in ROLES]


def _start_alike(wanted: dict[str, Request]) -> bool:
    prompts = (request.prompt for request in wanted.values())
    texts = [one if isinstance(one, str) else one[0]["content"] for one in prompts]
    return len({text.split(maxsplit=1)[0] for text in texts}) < len(texts)
