"""A graded run in the formats of others: leaderboards, harnesses, model cards.

Each format is a function of `FORMATS` from a `Graded` run to the files that it wrote.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from codedpo_eval.benchmarks.registry import Benchmark, load, score_names
from codedpo_eval.generation import samples as samples_file
from codedpo_eval.reporting import report as reports
from codedpo_eval.reporting import run_page
from codedpo_eval.reporting.page import percent
from codedpo_eval.reporting.report import Report
from codedpo_eval.verdict import PASS
from codedpo_plugin.errors import InputError
from codedpo_plugin.reporting.render import Rows, markdown_table
from codedpo_plugin.run_folder.shards import Row, replacing


@dataclass(frozen=True)
class Graded:
    """A run, and where to write."""

    run: Path
    report: Report
    rows: list[Row]
    """Samples with their verdicts, by task in the benchmark's order."""
    benchmark: Benchmark
    """With all its tasks, also where only some were graded."""
    out: Path
    model: str
    """`org/name`, as written into exports."""

    def by_task(self) -> dict[str, list[Row]]:
        """Every task of the benchmark -> its samples."""
        found: dict[str, list[Row]] = {task.task_id: [] for task in self.benchmark.tasks}
        for row in self.rows:
            found[row["task_id"]].append(row)
        return found


def export(
    run: Path,
    to: str,
    out: Path | None,
    console: Console,
    *,
    data: Path | None = None,
    model: str | None = None,
) -> Graded:
    """Write a graded run in another format.

    Args:
        run: a folder with samples, verdicts and report.
        to: a key of `FORMATS`.
        out: the folder to write in; `RUN/TO` by default.
        data: the benchmark's file, if it is not in a cache.
        model: `org/name`; the one that was sampled by default.

    Returns:
        The run, as it was read.

    Raises:
        InputError: the format does not fit this run, or the benchmark's file is another one.
    """
    if to not in FORMATS:
        raise InputError(f"--to {to}: one of {', '.join(FORMATS)}")
    graded = read(run, out or run / to, data, model)
    for path in FORMATS[to](graded):
        console.print(str(path), markup=False, highlight=False)
    return graded


def read(run: Path, out: Path, data: Path | None = None, model: str | None = None) -> Graded:
    """A graded run and its benchmark.

    Raises:
        InputError: the run is not graded, or was graded with another file of the benchmark.
    """
    report, rows = reports.load(run), reports.load_rows(run)
    facts = report["benchmark"]
    benchmark = load(facts["source"], data)
    if benchmark.sha256 != facts["sha256"]:
        raise InputError(
            f"{benchmark.path} (md5 {benchmark.md5}) is not the file that {run} was graded with "
            f"(md5 {facts['md5']}); give that one with --data"
        )
    sampled = (report.get("generation") or {}).get("model")
    return Graded(run, report, rows, benchmark, out, model or sampled or "")


# -- evalplus -------------------------------------------------------------------------------------


def evalplus(graded: Graded) -> list[Path]:
    """`samples.jsonl` and `samples_eval_results.json`, which `evalplus.evaluate --samples` reads
    (0.3.1). Its statuses are `pass`, `fail` and `timeout`; what fails the base tests fails the plus
    tests too. As in evalplus, `*_fail_tests` has the first input that failed.

    Raises:
        InputError: evalplus has no format for this kind of benchmark.
    """
    if graded.benchmark.kind not in ("evalplus", "own"):
        raise InputError(f"{graded.benchmark.name}: evalplus has no such benchmark")
    samples = graded.out / "samples.jsonl"
    names = ("task_id", "solution")
    samples_file.write(samples, [{name: row[name] for name in names} for row in graded.rows])
    results = samples.with_name("samples_eval_results.json")
    by_task = {task_id: rows for task_id, rows in graded.by_task().items() if rows}
    inputs = {task.task_id: task.row for task in graded.benchmark.tasks if task.task_id in by_task}
    content = {
        "date": datetime.fromisoformat(graded.report["made"]).strftime("%Y-%m-%d %H:%M"),
        "hash": graded.benchmark.md5,
        "eval": {
            task_id: [_evalplus_row(row, inputs[task_id]) for row in rows]
            for task_id, rows in by_task.items()
        },
        "pass_at_k": {
            kind: {k: value[0] for k, value in found.items()}
            for kind, found in graded.report["pass_at_k"].items()
        },
    }
    return [samples, _json(results, content)]


def _evalplus_row(row: Row, task: dict[str, Any]) -> dict[str, Any]:
    base, plus = task.get("base_input") or [], task.get("plus_input") or []
    failed = row["failed_tests"]
    first_base = [base[n] for n in failed if n < len(base)][:1]
    first_plus = [plus[n - len(base)] for n in failed if len(base) <= n < len(base) + len(plus)][:1]
    return {
        "task_id": row["task_id"],
        "solution": row["solution"],
        "base_status": _evalplus_status(row["base"]),
        "plus_status": row["plus"] and _evalplus_status(row["plus"]),
        "base_fail_tests": first_base,
        "plus_fail_tests": first_plus,
    }


def _evalplus_status(status: str) -> str:
    return status if status in (PASS, "timeout") else "fail"


# -- bigcode --------------------------------------------------------------------------------------


def bigcode(graded: Graded) -> list[Path]:
    """The generations of bigcode-evaluation-harness, and the command that grades them."""
    from codedpo_eval.harnesses import bigcode as harness

    job = harness.write(graded.rows, graded.benchmark, graded.out)
    command = graded.out / "command.sh"
    text = " ".join(job.command(Path('"$BIGCODE"')))
    with replacing(command) as file:
        file.write(
            "# BIGCODE is a checkout of bigcode-evaluation-harness; it runs programs without a "
            f'sandbox.\ncd "$(dirname "$0")" && PYTHONPATH="$BIGCODE" {text}\n'.encode()
        )
    return [job.generations, command]


def grade_by_bigcode(
    graded: Graded, checkout: Path, python: str | None, console: Console
) -> Report:
    """Also grade a run with bigcode-evaluation-harness, and add its score to the run's report.

    Raises:
        InputError: it has no such task, or `checkout` is not a checkout of it.
        InfrastructureError: it failed.
    """
    from codedpo_eval.harnesses import bigcode as harness

    job = harness.write(graded.rows, graded.benchmark, graded.out)
    found = harness.run(job, checkout, python, console)
    others = graded.report.get("other_graders", [])
    others = [one for one in others if one["grader"] != found["grader"]]
    return run_page.write(graded.run, graded.report | {"other_graders": [*others, found]})


def leaderboard(graded: Graded) -> list[Path]:
    """The JSON of the BigCode leaderboard for `humaneval`, as its `group_jsons.py` writes it."""
    if graded.benchmark.name != "humaneval":
        raise InputError(
            f"{graded.benchmark.name}: of our benchmarks the leaderboard has only humaneval"
        )
    org, _, name = graded.model.partition("/")
    if not name:
        raise InputError("--model: the leaderboard needs the model as org/name")
    others = [one for one in graded.report.get("other_graders", []) if one["task"] == "humaneval"]
    score = (others or [{"pass_at_k": _values(graded.report, "base")}])[-1]["pass_at_k"]["pass@1"]
    content = {
        "results": [{"task": "humaneval", "pass@1": score}],
        "meta": {"model": f"{org}/{name}"},
    }
    return [_json(graded.out / f"{org}_{name}.json", content)]


def _values(report: Report, kind: str) -> dict[str, float]:
    return {k: value[0] for k, value in report["pass_at_k"][kind].items()}


# -- LiveCodeBench --------------------------------------------------------------------------------


def livecodebench(graded: Graded) -> list[Path]:
    """The file for `lcb_runner.runner.custom_evaluator --custom_output_file`: every problem of the
    release, sorted by `question_id`, with the same number of programs each; a problem without
    samples gets empty programs.

    Raises:
        InputError: another benchmark, or problems have different numbers of samples.
    """
    if graded.benchmark.kind != "livecodebench":
        raise InputError(f"{graded.benchmark.name}: not LiveCodeBench")
    by_task = graded.by_task()
    counts = {len(rows) for rows in by_task.values() if rows}
    if len(counts) > 1:
        raise InputError(
            f"{graded.run}: problems have {min(counts)} to {max(counts)} samples; "
            "LiveCodeBench needs the same number for each"
        )
    blank = [{"solution": ""}] * max(counts)
    content = [
        {"question_id": task_id, "code_list": [row["solution"] for row in rows or blank]}
        for task_id, rows in sorted(by_task.items())
    ]
    return [_json(graded.out / "custom_outputs.json", content)]


# -- Hugging Face ---------------------------------------------------------------------------------

_DATASETS = {
    "humaneval": ("base", "openai/openai_humaneval"),
    "humaneval+": ("plus", "evalplus/humanevalplus"),
    "mbpp": ("base", "google-research-datasets/mbpp"),
    "mbpp+": ("plus", "evalplus/mbppplus"),
    "ds1000": ("base", "xlangai/DS-1000"),
    "livecodebench": ("base", "livecodebench/code_generation_lite"),
}


def huggingface(graded: Graded) -> list[Path]:
    """`.eval_results/NAME.yaml` for a model's repository, one file per score, and a table for its
    model card. Values are pass@1 in percent.

    The hub shows scores of datasets that have registered an evaluation. `task_id` is `default`;
    change it if the dataset uses another name.
    """
    names = [graded.benchmark.name]
    if graded.benchmark.plus:
        names.insert(0, names[0].removesuffix("+"))
    written = []
    for name in names:
        kind, dataset = _DATASETS.get(name, ("base", ""))
        if not dataset:
            continue
        entry = _entry(graded.report, kind, dataset)
        path = graded.out / ".eval_results" / f"{name.replace('+', 'plus')}.yaml"
        with replacing(path) as file:
            file.write(yaml.safe_dump([entry], sort_keys=False).encode())
        written.append(path)
    card = graded.out / "card.md"
    with replacing(card) as file:
        file.write(model_card(graded.report).encode())
    return [*written, card]


def _entry(report: Report, kind: str, dataset: str) -> dict[str, Any]:
    """One result; built by huggingface_hub if it has this format (2.0 and later)."""
    value = round(100 * report["pass_at_k"][kind]["pass@1"][0], 2)
    notes = _how(report)
    try:
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    except ImportError:
        return {"dataset": {"id": dataset, "task_id": "default"}, "value": value,
                "date": report["made"], "notes": notes}  # fmt: skip
    entry = EvalResultEntry(dataset, "default", value, date=report["made"], notes=notes)
    (plain,) = eval_result_entries_to_yaml([entry])
    return plain


def _how(report: Report) -> str:
    """One line on how samples were generated and graded."""
    sampled = report.get("generation")
    notes = [f"graded by codedpo {report['versions']['codedpo']}"]
    if sampled:
        decoding = f"temperature {sampled['temperature']:g}" if sampled["temperature"] else "greedy"
        notes.insert(0, f"{decoding}, n={sampled['n']}, {sampled['style']} prompt")
    if left_out := sum(report["ungraded"].values()):
        notes.append(f"{left_out} of {report['benchmark']['tasks']} tasks not graded")
    return "; ".join(notes)


def model_card(report: Report) -> str:
    """A Markdown table of a run's scores with 95 % intervals, for a model card."""
    titles = score_names(report["benchmark"]["name"])
    lines = [
        (titles[kind], k, percent(tuple(value)), str(report["graded_tasks"]))
        for kind, values in report["pass_at_k"].items()
        for k, value in values.items()
    ]
    table = markdown_table(Rows(("benchmark", "metric", "% [95 %]", "tasks"), lines))
    version = report["benchmark"]["version"] or f"md5 {report['benchmark']['md5']}"
    return "\n".join([table, "", f"{version}; {_how(report)}.", ""])


def _json(path: Path, content: Any) -> Path:
    with replacing(path) as file:
        file.write(json.dumps(content).encode())
    return path


FORMATS: dict[str, Callable[[Graded], list[Path]]] = {
    "evalplus": evalplus,
    "bigcode": bigcode,
    "bigcode-leaderboard": leaderboard,
    "livecodebench": livecodebench,
    "huggingface": huggingface,
}
