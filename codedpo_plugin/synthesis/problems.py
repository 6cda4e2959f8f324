"""Problems: exercises that a model writes from seeds, or a user's own; none of a benchmark's.

Writes `RUN/problems/problems.jsonl`:

| column | type | meaning |
|---|---|---|
| `task_id` | str | unique |
| `prompt` | str | the exercise, with the signature of its function |
| `entry_point` | str | that function |
| `seed_id`, `license`, `concepts`, `templates`, `model` | | its origin, unless it is the user's |

Seed -> concepts -> exercise: the prompt for the exercise holds the concepts, never source code.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.parsing.code_blocks import without_thought
from codedpo_plugin.parsing.syntax import parsed
from codedpo_plugin.recipe import Recipe, Sampling
from codedpo_plugin.recipe.keys import key_settings
from codedpo_plugin.run_folder import manifests
from codedpo_plugin.run_folder.candidates import read_file
from codedpo_plugin.run_folder.shards import Row, key_of
from codedpo_plugin.sampling import CACHE, Request, Sample, sample
from codedpo_plugin.sampling.progress import Watching
from codedpo_plugin.stages import PROBLEMS, SEEDS
from codedpo_plugin.synthesis import benchmark_problems, decontamination, prompts
from codedpo_plugin.synthesis.near_duplicates import Seen

_OUTSIDE = re.compile(
    r"\b(?:files?|filenames?|director(?:y|ies)|folders?|databases?|sockets?|networks?|internet|https?"
    r"|urls?|websites?|web ?(?:page|server|scrap\w*)s?|download\w*|upload\w*|stdin|stdout"
    r"|standard (?:in|out)put|user(?:'s)? input|input\(\)|command[- ]line|subprocess(?:es)?"
    r"|environment variables?|operating system|threads?|current (?:time|date|year)|today"
    r"|random\w*)\b",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"\b(?:the (?:code|function|snippet|example|concepts?) (?:above|below|given|provided)"
    r"|(?:given|provided|above|following) (?:code|snippet|concepts)|as shown)\b",
    re.IGNORECASE,
)
_FENCE = re.compile(r"^[ \t]*```[\w+-]*[ \t]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_DEF = re.compile(r"^[ \t]*(?:async )?def[ \t]+(\w+)[ \t]*\(", re.MULTILINE)
_SHORTEST = 20  # characters of an exercise


def run(recipe: Recipe, console: Console) -> None:
    """Write the problems, unless they are finished.

    Raises:
        InputError: the file or a benchmark is wrong, or no problem is left.
        InfrastructureError: the server is dead; what it wrote is kept.
    """
    key = _key(recipe)
    if manifests.finished(recipe.output, PROBLEMS, key):
        return
    known = decontamination.Texts(
        benchmark_problems.load_all(recipe.decontaminate.benchmarks), recipe.decontaminate.ngram
    )
    tally = manifests.Tally()
    rows: Iterable[Row | str]
    complete = True
    if recipe.problems.file:
        rows = _own(recipe)
    else:
        rows, complete = _made(recipe, console)
    kept = tally.keep(_clean(rows, known, tally))
    manifests.write(recipe.output, PROBLEMS, kept, tally, key, complete=complete)
    manifests.print_tally(console, "problems", tally)
    if not tally.kept:
        raise InputError(
            f"{recipe.output / PROBLEMS.folder}: no problem is left; see manifest.json there"
        )


def _key(recipe: Recipe) -> str:
    settings = key_settings(recipe, PROBLEMS.sections)
    texts = recipe.decontaminate.model_dump(include={"benchmarks", "ngram"})
    if recipe.problems.file:
        try:
            status = recipe.problems.file.stat()
        except OSError as error:
            raise InputError(f"problems: {recipe.problems.file}: {error.strerror}") from None
        source: Any = [status.st_size, status.st_mtime_ns]
    else:
        source = manifests.stage_key(recipe.output, SEEDS)
    return key_of(PROBLEMS.folder, PROBLEMS.version, settings, texts, source)


# -- the user's own ---------------------------------------------------------------------------


def _own(recipe: Recipe) -> Iterator[Row | str]:
    seen: dict[str, str] = {}
    assert recipe.problems.file
    for number, row in read_file(recipe.problems.file):
        place = f"{recipe.problems.file}, line {number}"
        if not isinstance(row, dict):
            raise InputError(f"{place}: expected an object of columns")
        for column in ("task_id", "prompt"):
            if not isinstance(row.get(column), str):
                raise InputError(f"{place}: column `{column}` must be text")
        if (task_id := row["task_id"]) in seen:
            raise InputError(f"{place}: task_id {task_id!r} is also at {seen[task_id]}")
        seen[task_id] = place
        name = row.get("entry_point") or next(iter(_DEF.findall(row["prompt"])[-1:]), None)
        yield row | {"entry_point": name} if name else "no entry point"


# -- made from seeds -------------------------------------------------------------------------


def _made(recipe: Recipe, console: Console) -> tuple[Iterator[Row | str], bool]:
    """Problems, and whether the server gave all samples that were requested."""
    settings = recipe.problems.sampling or recipe.sampling
    assert settings  # the recipe was checked
    rows = manifests.read(recipe.output, SEEDS)
    for_concepts = prompts.load(recipe.problems.concepts, "code")
    for_problem = prompts.load(recipe.problems.problem, "concepts")
    requests = [
        _request(row["seed_id"], "concepts", for_concepts.fill(code=row["code"]), 1) for row in rows
    ]
    concepts, all_concepts = _collect(requests, settings, recipe, console, "concepts")
    found = {
        row["seed_id"]: without_thought(samples[0].text).strip()
        for row in rows
        if (samples := concepts[row["seed_id"]])
    }
    requests = [
        _request(seed_id, "problem", for_problem.fill(concepts=text), recipe.problems.per_seed)
        for seed_id, text in found.items()
        if text
    ]
    written, all_written = _collect(requests, settings, recipe, console, "problems")
    about = {"templates": [for_concepts.name, for_problem.name], "model": settings.model}
    return _problems(rows, found, written, about), all_concepts and all_written


def _request(key: str, role: str, text: str, n: int) -> Request:
    return Request(key, role, [{"role": "user", "content": text.strip()}], n)


def _collect(
    requests: list[Request], settings: Sampling, recipe: Recipe, console: Console, label: str
) -> tuple[dict[str, list[Sample]], bool]:
    """Samples by key, and whether there are as many as were requested."""
    with Watching(console, label) as watch:
        found = {
            request.key: samples
            for request, samples in sample(requests, settings, recipe.output / CACHE, watch)
        }
        return found, not watch.usage.failed


def _problems(
    rows: list[Row], concepts: dict[str, str], written: dict[str, list[Sample]], about: Row
) -> Iterator[Row | str]:
    for seed in rows:
        seed_id = seed["seed_id"]
        if not written.get(seed_id):
            yield "no concepts" if not concepts.get(seed_id) else "no reply"
        for number, one in enumerate(written.get(seed_id, [])):
            problem = parse_problem(one)
            if isinstance(problem, str):
                yield problem
                continue
            origin = {"seed_id": seed_id, "license": seed["license"], "concepts": concepts[seed_id]}
            task_id = f"seed/{seed_id}" + (f"/{number}" if number else "")
            yield {"task_id": task_id} | problem | origin | about


def parse_problem(written: Sample) -> Row | str:
    """`prompt` and `entry_point` of an exercise that a model wrote, or why it cannot be used."""
    if written.finish_reason == "length":
        return "cut at max_tokens"
    text = without_thought(written.text)
    blocks = [(match, _signature(match[1])) for match in _FENCE.finditer(text)]
    match, signature = next(((m, s) for m, s in reversed(blocks) if s), (None, None))
    if match is None or signature is None:
        return "no signature"
    statement = text[: match.start()].strip()
    name = _DEF.findall(signature)[0]
    if len(statement) < _SHORTEST:
        return "no statement"
    if signature.partition("(")[2].startswith(")"):
        return "no arguments"
    if _OUTSIDE.search(statement):
        return "depends on files, network, time or chance"
    if _ELSEWHERE.search(statement) or _solved(text[: match.start()], name):
        return "not self-contained, or solved in its text"
    return {"prompt": f"{statement}\n\n```python\n{signature}\n```", "entry_point": name}


def _signature(block: str) -> str | None:
    """`def name(...) -> ...:` of the last function in a block, with or without a body."""
    text = block.rstrip()
    tree = parsed(text) or parsed(f"{text}\n    ...") or parsed(f"{text}:\n    ...")
    functions = [node for node in (tree.body if tree else []) if isinstance(node, ast.FunctionDef)]
    if not functions:
        return None
    node = functions[-1]
    node.body, node.decorator_list = [ast.Expr(ast.Constant(...))], []
    return ast.unparse(node).rpartition("\n")[0]


def _solved(text: str, name: str) -> bool:
    return f"def {name}" in text


# -- what is not kept -------------------------------------------------------------------------


def _clean(
    rows: Iterable[Row | str], known: "decontamination.Texts", tally: manifests.Tally
) -> Iterator[Row | str]:
    """The rows without near-duplicates (among those made here) and without benchmark problems."""
    seen = Seen(0.7)
    overlaps = tally.notes.setdefault("contaminated", [])
    for row in rows:
        if isinstance(row, str):
            yield row
        elif "seed_id" in row and seen.add(row["task_id"], row["prompt"]):
            yield "repeats another"
        elif overlap := known.overlap(row["prompt"]):
            overlaps.append({"task_id": row["task_id"], **overlap})
            yield "contaminated: words of a benchmark"
        else:
            yield row
