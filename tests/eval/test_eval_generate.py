"""Generation: a model is sampled, and its answers become programs."""

import json
from pathlib import Path
from typing import Any

import pytest

from codedpo_plugin.cli import main
from helpers.candidates import write_jsonl
from helpers.eval_runs import SIGN, TASKS, TWICE, eval_command, verdicts
from helpers.servers import Writer, serving


def asked(own: Path, *options: str) -> dict[str, Any]:
    """What `generate` recorded."""
    out = own.with_name("run")
    eval_command("run", str(own), "--model", "stub", "--out", str(out), *options)
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


def test_cut_answers_and_answers_without_program_are_counted(
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
    out = capsys.readouterr().out
    assert "2 of 2 answers were cut at --max-tokens" in out
    assert "2 of 2 answers contain no program" in out
    assert "'I do not know.'" in out  # an example
    assert "--extract evalplus" in out  # what to try
    report = (own.with_name("run") / "report.md").read_text()
    assert "100% of the answers hold no program" in report
    assert "I do not know." in report


def test_a_task_that_the_server_refuses_is_named_and_not_told_to_run_again(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = Writer([(TASKS[0]["prompt"], f"```python\n{TWICE}\n```")])
    long = TASKS[1]["prompt"]
    refusal = 400, "This model's maximum context length is 8 tokens."
    writer.refuse = lambda request: refusal if long in str(request["messages"]) else None
    with serving(writer):
        found = asked(own, "--base-url", writer.url, "--extra-body", '{"top_p": null, "top_k": 1}')
    assert found["refused"] == {"too long for the model": 1}
    assert "top_p" not in writer.requests[0]
    assert writer.requests[0]["top_k"] == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "refused 1 tasks, which count as failed: too long for the model" in printed
    assert "run the same command" not in printed


def test_base_models_continue_the_prompt(tmp_path: Path) -> None:
    task = TASKS[1] | {"prompt": "def sign(n):\n"}
    own = write_jsonl(tmp_path / "own.jsonl", [task])
    said = "    return (n > 0) - (n < 0)\nprint(sign(2))\ndef broken(:"
    with serving(writer := Writer([("def sign(n):\n", said)])):
        asked(own, "--base-url", writer.url, "--style", "completion")
        assert "\ndef " in writer.requests[0]["stop"]
    assert [row["base"] for row in verdicts(own)] == ["pass"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n", "2"], "at temperature 0 all samples are the same"),
        (["--style", "instruct"], "--style"),
        (["--backend", "vllm"], "--backend"),
        (["--extra-body", "[1]"], "expected a JSON object"),
        (["--extra-body", "{"], "not JSON"),
    ],
)
def test_wrong_options_are_named(
    own: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["eval", "run", str(own), "--model", "m", "--out", str(own.with_name("r")), *options])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
