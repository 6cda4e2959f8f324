"""Generate: samples of a benchmark's tasks from a model, by the builder's sampling client."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_eval.benchmarks.registry import Benchmark, Prompt, Task, kind_module
from codedpo_eval.generation import extraction, samples
from codedpo_eval.generation.extraction import Extract
from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.run_folder.shards import Row, key_of, replacing
from codedpo_plugin.sampling import Request, Sample, sample
from codedpo_plugin.sampling.progress import Watching

FILE = "generation.json"
CACHE = "samples.sqlite"
MOST_WITHOUT_PROGRAM = 0.05
"""Share of answers without a program, or cut, above which something is wrong with the setup."""
_EXAMPLES, _SHOWN = 2, 400  # answers without a program that are shown, characters of each


def generate(
    benchmark: Benchmark,
    settings: Sampling,
    style: str,
    n: int,
    out: Path,
    console: Console,
    extractor: str = "codedpo",
) -> list[Row]:
    """Sample `n` answers to every task, and write `OUT/samples.jsonl` and `OUT/generation.json`.

    Answers are stored in `OUT/samples.sqlite` when they come, so a run that was stopped resumes.

    Args:
        style: `completion` (base models continue the prompt up to the harness's stop strings), or
            `chat` (the harness's instruction).
        n: samples of each task.
        extractor: one of `extraction.EXTRACTORS`.

    Raises:
        InputError: from the sampling client or the extractor; or several samples at temperature 0.
        InfrastructureError: the server does not answer any more; answers so far are kept.
    """
    if n > 1 and not settings.temperature:
        raise InputError(f"--n {n}: at temperature 0 all samples are the same; set --temperature")
    extract = extraction.extractor(extractor, benchmark)
    kind = kind_module(benchmark.kind)
    prompts = {task.task_id: kind.prompt_and_stops(task, style) for task in benchmark.tasks}
    stops = [*settings.stop, *next(iter(prompts.values()))[1]]
    settings = settings.model_copy(update={"stop": [*dict.fromkeys(stops)]})
    requests = [Request(task_id, style, prompt, n) for task_id, (prompt, _) in prompts.items()]
    answers, refused = _answers(requests, settings, out, console)
    rows = [
        _row(task, number, prompts[task.task_id][0], answer, style, extract)
        for task in benchmark.tasks
        for number, answer in enumerate(answers[task.task_id])
    ]
    samples.write(out / samples.FILE, rows)
    facts = _facts(benchmark, settings, style, n, rows, extractor)
    if refused:
        facts["refused"] = refused
    with replacing(out / FILE) as file:
        file.write(json.dumps(facts, indent=1).encode())
    _report(facts, console)
    return rows


def _answers(
    requests: list[Request], settings: Sampling, out: Path, console: Console
) -> tuple[dict[str, list[Sample]], dict[str, int]]:
    """Task id -> its samples; and why the server refused tasks -> how many."""
    with Watching(console, "generate") as watch:
        found = {
            request.key: some for request, some in sample(requests, settings, out / CACHE, watch)
        }
        return found, dict(watch.usage.refused)


def facts_of(run: Path) -> dict[str, Any] | None:
    """What `generate` recorded in a run; None where the samples are a user's."""
    try:
        found: dict[str, Any] = json.loads((run / FILE).read_text())
    except FileNotFoundError:
        return None
    return found


def _row(
    task: Task, number: int, prompt: Prompt, answer: Sample, style: str, extract: Extract
) -> Row:
    return {
        "task_id": task.task_id,
        "sample": number,
        "prompt": prompt,
        "response": answer.text,
        "solution": extract(task, prompt, answer.text, style),
        "finish_reason": answer.finish_reason,
    }


def _facts(
    benchmark: Benchmark, settings: Sampling, style: str, n: int, rows: list[Row], extractor: str
) -> dict[str, Any]:
    """The contents of `generation.json`."""
    kept = ("backend", "model", "temperature", "top_p", "max_tokens", "stop", "seed", "extra_body")
    blank = Task("", "", "f", None, benchmark.tasks[0].source)
    without = [row for row in rows if not row["solution"].strip()]
    return {
        **settings.model_dump(include=set(kept)),
        "style": style,
        "n": n,
        "template": key_of(kind_module(benchmark.kind).prompt_and_stops(blank, style)),
        "samples": len(rows),
        "wanted": n * len(benchmark.tasks),
        "truncated": sum(row["finish_reason"] == "length" for row in rows),
        "without_program": len(without),
        "examples_without_program": [
            {"task_id": row["task_id"], "response": row["response"][:_SHOWN]}
            for row in without[:_EXAMPLES]
        ],
        "versions": _versions("openai", "transformers", "torch"),
    } | ({} if extractor == "codedpo" else {"extractor": extractor})


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _report(facts: dict[str, Any], console: Console) -> None:
    """Print how many answers were cut, without a program, or missing; warn where they are many."""
    total = facts["samples"]
    for name, problem in (
        ("truncated", "were cut at --max-tokens and mostly fail because of that"),
        ("without_program", "contain no program"),
    ):
        if facts[name]:
            style = "yellow" if facts[name] > MOST_WITHOUT_PROGRAM * total else None
            console.print(f"generate: {facts[name]:,} of {total:,} answers {problem}", style=style)
    if facts["without_program"] > MOST_WITHOUT_PROGRAM * total:
        for example in facts["examples_without_program"]:
            console.print(f"  {example['task_id']}: {example['response']!r}", markup=False)
        console.print(advice(facts["style"]), markup=False)
    refused = facts.get("refused", {})
    for why, tasks in refused.items():
        console.print(
            f"generate: the server refused {tasks:,} tasks, which count as failed: {why}",
            markup=False,
        )
    missing = facts["wanted"] - total - sum(refused.values()) * facts["n"]
    if missing > 0:
        console.print(f"generate: {missing:,} samples are missing; run the same command again")


def advice(style: str) -> str:
    """What to try where many answers hold no program."""
    other = "completion (for a base model)" if style == "chat" else "chat (for an instruct model)"
    return (
        "  The score is too low if these hold code. Read them in samples.jsonl; try "
        f"--extract evalplus with `codedpo eval grade`, or --style {other}."
    )
