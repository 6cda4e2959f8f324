"""codedpo eval: own benchmarks, samples that are wrong, verdicts that are kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from codedpo_eval.benchmarks import registry as benchmarks
from codedpo_eval.generation import samples
from codedpo_eval.grading import grade
from codedpo_eval.reporting import report
from codedpo_eval.verdict import GradeSettings
from codedpo_plugin.cli import main
from codedpo_plugin.errors import InputError
from helpers.candidates import write_jsonl
from helpers.servers import Writer, serving

TASKS = [
    {
        "task_id": "twice",
        "prompt": "Return a list that holds each item twice.",
        "entry_point": "twice",
        "tests": ["assert twice([1]) == [1, 1]", "assert twice([]) == []"],
    },
    {
        "task_id": "sign",
        "prompt": "Return the sign of a number.",
        "entry_point": "sign",
        "tests": ["assert sign(3) == 1", "assert sign(-3) == -1", "assert sign(0) == 0"],
    },
]
TWICE = "def twice(items):\n    return [x for x in items for _ in range(2)]"
SIGN = "def sign(n):\n    return (n > 0) - (n < 0)"
RIGHT = [{"task_id": "twice", "solution": TWICE}, {"task_id": "sign", "solution": SIGN}]


def sample(task_id: str, solution: str, **more: Any) -> dict[str, Any]:
    return {"task_id": task_id, "solution": solution, **more}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "own.jsonl", TASKS)


def graded(own: Path, rows: list[dict[str, Any]], *options: str) -> dict[str, Any]:
    """The report of grading rows."""
    given, out = write_jsonl(own.with_name("given.jsonl"), rows), own.with_name("run")
    main_of("grade", str(own), "--samples", str(given), "--out", str(out), *options)
    return json.loads((out / "report.json").read_text())


def main_of(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["eval", *arguments])
    assert ended.value.code == 0


def verdicts(own: Path) -> list[dict[str, Any]]:
    return list(grade.read(own.with_name("run") / grade.FILE))


def test_an_own_benchmark_is_graded_and_reported(own: Path) -> None:
    wrong = sample("sign", "def sign(n):\n    return 1")
    found = graded(own, [RIGHT[0], wrong])
    assert [row["base"] for row in verdicts(own)] == ["pass", "fail"]
    assert verdicts(own)[1]["failed_tests"] == [1, 2]
    assert found["pass_at_k"]["base"]["pass@1"][0] == 0.5
    page = (own.with_name("run") / "report.html").read_text()
    assert "50.0 [" in page
    assert "50.0 [" in (own.with_name("run") / "report.md").read_text()


def test_a_missing_task_counts_as_failed_and_is_named(own: Path) -> None:
    found = graded(own, [RIGHT[0], sample("nothing", "x = 1")])
    assert found["pass_at_k"]["base"]["pass@1"][0] == 0.5
    assert found["samples"]["missing_tasks"] == ["sign"]
    assert found["samples"]["unknown_tasks"] == {"nothing": 1}


def test_mixed_numbers_of_samples_limit_k(own: Path) -> None:
    found = graded(own, [*RIGHT, *RIGHT, sample("twice", "def twice(items):\n    return 0")])
    assert list(found["pass_at_k"]["base"]) == ["pass@1", "pass@2"]
    assert found["pass_at_k"]["base"]["pass@1"][0] == pytest.approx((2 / 3 + 1) / 2)
    assert any("from 2 to 3 samples" in notice for notice in found["samples"]["notices"])


def test_a_file_written_twice_is_noticed(own: Path) -> None:
    assert "written twice" in " ".join(graded(own, [*RIGHT, *RIGHT])["samples"]["notices"])


def test_verdicts_are_kept_and_never_used_for_other_programs(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graded(own, RIGHT)
    from codedpo_eval.benchmarks import custom as kind

    ran = []
    verdict = kind._verdict
    monkeypatch.setattr(kind, "_verdict", lambda *a: ran.append(a[1]) or verdict(*a))
    graded(own, RIGHT)
    assert not ran
    other = "def sign(n):\n    return 0"
    graded(own, [RIGHT[0], sample("sign", other)])
    assert ran == [other]
    assert [row["base"] for row in verdicts(own)] == ["pass", "fail"]
    rows = [dict(TASKS[0], tests=["assert twice([1]) == [1]"]), TASKS[1]]
    write_jsonl(own, rows)  # another file of that name: no verdict holds any longer
    assert graded(own, RIGHT)["statuses"]["base"] == {"fail": 1, "pass": 1}


def test_equal_samples_share_a_verdict_and_keep_their_numbers(own: Path) -> None:
    for _ in range(2):
        graded(own, [*RIGHT, *RIGHT, *RIGHT])
        assert [(row["task_id"], row["sample"]) for row in verdicts(own)] == [
            *(("twice", n) for n in range(3)),
            *(("sign", n) for n in range(3)),
        ]


def test_verdicts_of_a_run_that_was_stopped_are_kept(own: Path) -> None:
    graded(own, RIGHT)
    run = own.with_name("run")
    whole = (run / grade.FILE).read_text()
    first = whole.splitlines()[0]
    (run / grade.FILE).unlink()
    changed = json.dumps(json.loads(first) | {"seconds": 12345.0})
    (run / grade.PARTIAL).write_text(changed + "\n" + first[:40])
    graded(own, RIGHT)
    assert [row["seconds"] == 12345.0 for row in verdicts(own)] == [True, False]


def test_a_program_that_hangs_is_tried_again_alone(own: Path) -> None:
    hangs = sample("sign", "def sign(n):\n    while True: pass")
    found = graded(own, [RIGHT[0], hangs], "--seconds", "0.2")
    assert found["statuses"]["base"] == {"pass": 1, "timeout": 1}
    assert found["retried"] == 1


def test_forged_verdicts_fail(own: Path) -> None:
    equal = "class E:\n    __eq__ = lambda s, o: True\ndef sign(n):\n    return E()"
    found = graded(own, [RIGHT[0], sample("sign", equal), sample("sign", "import os\nos._exit(0)")])
    assert found["statuses"]["base"] == {"pass": 1, "fail": 1, "crashed": 1}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"task_id": "sign", "code": "x"}', "neither `solution`.*the row has: task_id, code"),
        ('{"solution": "x"}', "`task_id` has to be a text"),
        ('["def f(): pass"]', "an object with `task_id`"),
        ('{"task_id": "sign", "solu', "line 2: the file is cut off there; 1 whole rows"),
        ('{"task_id": "twice", "solution": "x", "sample": 0}', "sample 0 of twice is also at"),
        ('{"task_id": "twice", "solution": "x", "sample": "1"}', "`sample` has to be a number"),
    ],
)
def test_wrong_rows_of_samples_are_named(own: Path, line: str, told: str) -> None:
    given = own.with_name("given.jsonl")
    given.write_text(json.dumps(sample("twice", TWICE, sample=0)) + "\n" + line)
    with pytest.raises(InputError, match=told):
        samples.read(given, benchmarks.load(str(own)))


def test_samples_of_another_benchmark_are_refused(own: Path) -> None:
    given = write_jsonl(own.with_name("given.jsonl"), [sample("HumanEval/0", "x")])
    with pytest.raises(InputError, match=r"no sample of a task of own; its tasks are like 'Human"):
        samples.read(given, benchmarks.load(str(own)))
    with pytest.raises(InputError, match="a folder"):
        samples.read(own.parent, benchmarks.load(str(own)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tests": "assert f()"}, "line 2: column `tests` is str; expected list"),
        ({"prompt": None}, "line 2: column `prompt` is NoneType"),
        ({"tests": []}, "at least one snippet"),
        ({"task_id": "twice"}, "line 2: task 'twice' is also at .*line 1"),
        ({"inputs": [3]}, "`inputs` has to be lists"),
    ],
)
def test_wrong_rows_of_a_benchmark_are_named(own: Path, change: dict[str, Any], told: str) -> None:
    write_jsonl(own, [TASKS[0], TASKS[1] | change])
    with pytest.raises(InputError, match=told):
        benchmarks.load(str(own))


def test_completions_follow_the_prompt(tmp_path: Path) -> None:
    task = TASKS[1] | {"prompt": "def sign(n):\n"}
    own = write_jsonl(tmp_path / "own.jsonl", [task])
    found = graded(own, [{"task_id": "sign", "completion": "    return (n > 0) - (n < 0)\n"}])
    assert found["statuses"]["base"] == {"pass": 1}


def test_settings_change_the_key(own: Path) -> None:
    found = benchmarks.load(str(own))
    keys = {grade.key(found, "sign", SIGN, GradeSettings(seconds=s)) for s in (1, 2)}
    assert len(keys) == 2


def test_samples_changed_after_grading_are_noticed(own: Path) -> None:
    graded(own, RIGHT)
    run = own.with_name("run")
    assert [row["base"] for row in report.load_rows(run)] == ["pass", "pass"]
    write_jsonl(run / samples.FILE, [sample("sign", "x", sample=0)])
    with pytest.raises(InputError, match="grade them again"):
        report.load_rows(run)


def asked(own: Path, *options: str) -> dict[str, Any]:
    """What `generate` recorded."""
    out = own.with_name("run")
    main_of("run", str(own), "--model", "stub", "--out", str(out), *options)
    return json.loads((out / "generation.json").read_text())


def test_a_model_is_sampled_graded_and_reported(own: Path) -> None:
    thought = f"<think>def sign(n): return 9</think>So:\n```python\n{SIGN}\n```"
    pairs = [(TASKS[0]["prompt"], f"```python\n{TWICE}\n```"), (TASKS[1]["prompt"], thought)]
    with serving(writer := Writer(pairs)):
        options = ("--base-url", writer.url, "--n", "3", "--temperature", "0.8")
        found = asked(own, *options)
        sent = len(writer.requests)
        again = asked(own, *options)
    assert len(writer.requests) == sent  # all was there
    assert found["template"] == again["template"]
    assert (found["samples"], found["truncated"], found["without_program"]) == (6, 0, 0)
    rows = [json.loads(line) for line in (own.with_name("run") / "samples.jsonl").open()]
    assert rows[3]["response"] == thought
    assert rows[3]["solution"] == SIGN
    assert [row["sample"] for row in rows] == [0, 1, 2, 0, 1, 2]
    result = json.loads((own.with_name("run") / "report.json").read_text())
    assert result["pass_at_k"]["base"]["pass@1"][0] == 1
    assert result["generation"]["model"] == "stub"


def test_answers_that_were_cut_or_hold_no_program_are_counted(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Cut(Writer):
        def reply(self, request: dict[str, Any], count: int) -> dict[str, Any]:
            answer = super().reply(request, count)
            for choice in answer["choices"]:
                choice["finish_reason"] = "length"
            return answer

    with serving(writer := Cut([])):
        found = asked(own, "--base-url", writer.url)
        assert all(request["temperature"] == 0 for request in writer.requests)
    assert (found["truncated"], found["without_program"]) == (2, 2)
    assert "2 of 2 answers were cut at --max-tokens" in capsys.readouterr().out


def test_base_models_go_on_from_the_prompt(tmp_path: Path) -> None:
    task = TASKS[1] | {"prompt": "def sign(n):\n"}
    own = write_jsonl(tmp_path / "own.jsonl", [task])
    said = "    return (n > 0) - (n < 0)\nprint(sign(2))\ndef broken(:"
    with serving(writer := Writer([("def sign(n):\n", said)])):
        asked(own, "--base-url", writer.url, "--style", "completion")
        assert "\ndef " in writer.requests[0]["stop"]
    assert [row["base"] for row in verdicts(own)] == ["pass"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--n", "2"], "at temperature 0 all samples are the same"),
        (["--style", "instruct"], "--style"),
        (["--backend", "vllm"], "--backend"),
    ],
)
def test_wrong_options_are_named(
    own: Path, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["eval", "run", str(own), "--model", "m", "--out", str(own.with_name("r")), *options])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
