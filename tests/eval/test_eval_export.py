"""Exports: runs in the formats of others, with what each of them checks."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from codedpo_eval.benchmarks import registry
from codedpo_eval.benchmarks.livecodebench import tasks as livecodebench
from codedpo_eval.benchmarks.registry import Benchmark, Task
from codedpo_eval.cli_options import Format
from codedpo_eval.harnesses import export
from codedpo_plugin.errors import InputError
from helpers import toy_livecodebench as toy
from helpers.candidates import write_jsonl
from helpers.eval_runs import eval_command
from helpers.graded_runs import IDS, graded, humaneval
from helpers.servers import Writer, serving


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_every_format_can_be_chosen():
    assert list(Format) == list(export.FORMATS)


def test_evalplus(tmp_path: Path):
    samples, results = export.evalplus(graded(tmp_path))
    assert samples.name.replace(".jsonl", "_eval_results.json") == results.name
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    assert rows[0] == {"task_id": "HumanEval/0", "solution": "a"}
    content = read(results)
    assert (content["hash"], content["date"]) == ("md5", "2026-01-02 03:04")
    found = {task: [(r["base_status"], r["plus_status"]) for r in rows]
             for task, rows in content["eval"].items()}  # fmt: skip
    assert found == {
        "HumanEval/0": [("pass", "pass"), ("timeout", "fail")],
        "HumanEval/10": [("pass", "fail"), ("fail", "fail")],
    }
    (_, late), (plus, both) = (content["eval"][name] for name in ("HumanEval/0", "HumanEval/10"))
    assert (late["base_fail_tests"], late["plus_fail_tests"]) == ([[2]], [])
    assert (plus["base_fail_tests"], plus["plus_fail_tests"]) == ([], [[4]])
    assert (both["base_fail_tests"], both["plus_fail_tests"]) == ([[1]], [[3]])


def test_evalplus_itself_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    evaluate = pytest.importorskip("evalplus.evaluate", reason="needs evalplus").evaluate
    samples, _ = export.evalplus(graded(tmp_path))
    evaluate("humaneval", str(samples))
    printed = capsys.readouterr().out
    assert "Load from previous results" in printed
    # of the two tasks that have samples
    assert "pass@1:\t0.500" in printed
    assert "pass@1:\t0.250" in printed


def test_leaderboard_takes_the_harness_s_own_score(tmp_path: Path):
    run = graded(tmp_path, humaneval("humaneval"))
    (path,) = export.leaderboard(run)
    ours = {"results": [{"task": "humaneval", "pass@1": 0.5}], "meta": {"model": "org/name"}}
    assert (path.name, read(path)) == ("org_name.json", ours)
    theirs = [{"grader": "x", "task": "humaneval", "pass_at_k": {"pass@1": 0.4}}]
    (path,) = export.leaderboard(graded(tmp_path, humaneval("humaneval"), other_graders=theirs))
    assert read(path)["results"] == [{"task": "humaneval", "pass@1": 0.4}]
    with pytest.raises(InputError, match="only humaneval"):
        export.leaderboard(graded(tmp_path))


def test_huggingface(tmp_path: Path):
    base, plus, card = export.huggingface(graded(tmp_path))
    assert base.relative_to(tmp_path / "out") == Path(".eval_results/humaneval.yaml")
    (entry,) = yaml.safe_load(plus.read_text())
    assert entry["dataset"] == {"id": "evalplus/humanevalplus", "task_id": "default"}
    assert entry["value"] == 25.0
    assert entry["notes"] == "temperature 0.2, n=2, chat prompt; graded by codedpo 1"
    assert "| humaneval+ | pass@1 | 25.0 [10.0, 40.0] | 3 |" in card.read_text()


def test_livecodebench_needs_equal_numbers_of_samples(tmp_path: Path):
    tasks = tuple(Task(name, "", None, None, "{}") for name in IDS)
    release = Benchmark("livecodebench", "livecodebench", Path("x"), "", "", None, tasks)
    run = graded(tmp_path, release)
    run.rows.pop()
    with pytest.raises(InputError, match="1 to 2 samples"):
        export.livecodebench(run)


def test_a_run_of_livecodebench_from_samples_to_its_file(tmp_path: Path):
    """Graded with its command, in a window of dates; exported with every problem of the release."""
    release = write_jsonl(tmp_path / "release.jsonl", toy.ROWS)
    right = {question: program for question, program, good in toy.PROGRAMS if good}
    wrong = {question: program for question, program, good in reversed(toy.PROGRAMS) if not good}
    brought = [{"task_id": q, "solution": right[q]} for q in ("half", "pairs")]
    brought += [{"task_id": q, "solution": wrong[q]} for q in ("half", "pairs")]
    samples = write_jsonl(tmp_path / "samples.jsonl", brought)
    run = tmp_path / "run"
    where = ["--data", str(release)]
    dates = ["--start-date", "2024-06-01"]
    eval_command(
        "grade", "livecodebench", *where, *dates, "--samples", str(samples), "--out", str(run)
    )
    report = read(run / "report.json")
    assert report["pass_at_k"]["base"]["pass@1"][0] == 0.5
    assert report["benchmark"]["choice"] == {"start_date": "2024-06-01"}
    assert report["subsets"]["month"].keys() == {"2024-06", "2024-08"}
    assert report["unsealed"] == 0
    eval_command("export", str(run), "--to", "livecodebench", *where)
    content = read(run / "livecodebench" / "custom_outputs.json")
    names = [one["question_id"] for one in content]
    assert names == sorted(row["question_id"] for row in toy.ROWS)
    assert {len(one["code_list"]) for one in content} == {2}
    assert content[0]["code_list"] == [right["half"], wrong["half"]]
    assert content[names.index("sum")]["code_list"] == ["", ""]
    other = write_jsonl(tmp_path / "other.jsonl", toy.ROWS[:3])
    with pytest.raises(InputError, match="not the file"):
        export.export(run, "livecodebench", None, Console(quiet=True), data=other)


def test_a_model_is_asked_and_graded(tmp_path: Path):
    """From prompts to a report, in the benchmark's own chat form."""
    release = write_jsonl(tmp_path / "release.jsonl", toy.ROWS)
    tasks = {task.task_id: task for task in registry.load("livecodebench", release).tasks}
    right = {question: program for question, program, good in toy.PROGRAMS if good}
    said = [
        (
            livecodebench.prompt_and_stops(tasks[question], "chat")[0][-1]["content"],
            f"So:\n```python\n{text}\n```",
        )
        for question, text in right.items()
        if question != "words"
    ]
    run = tmp_path / "run"
    with serving(Writer(said)) as url:
        server = ["--base-url", url, "--model", "stub", "--data", str(release)]
        eval_command("run", "livecodebench", *server, "--out", str(run), "--workers", "1")
    report = read(run / "report.json")
    assert report["statuses"]["base"] == {"pass": 4, "fail": 1}
    assert report["generation"]["without_program"] == 1
