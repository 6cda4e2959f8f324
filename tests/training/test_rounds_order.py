"""What recipes/rounds.sh calls, in which order, and what it skips, with stubs that only record their arguments.
`test_rounds.py` runs the real commands.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.paths import ROOT

CODEDPO = """#!/bin/bash
echo "codedpo $*" >>"$CALLS"
case "$1 $2" in
    "check "*) while [ "$1" != --write ]; do shift; done; echo "$*" >"$2" ;;
    "eval run") while [ "$1" != --out ]; do shift; done; mkdir -p "$2"; touch "$2/report.json" ;;
esac
"""
TRL = """#!/bin/bash
echo "trl $*" >>"$CALLS"
folder=$(dirname "$3")
mkdir -p "$folder/model/checkpoint-2"
touch "$folder/model/checkpoint-2/trainer_state.json"
[ ! -e "$STOP" ] || { rm "$STOP"; exit 7; }
"""


@pytest.fixture
def rounds(tmp_path: Path) -> Callable[..., tuple[int, list[str]]]:
    """A function that runs rounds.sh: its exit status, and the calls that it made."""
    for name, text in (("codedpo", CODEDPO), ("trl", TRL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def run(**more: str) -> tuple[int, list[str]]:
        calls = tmp_path / "calls"
        calls.write_text("")
        environment = os.environ | {
            "PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls),
            "STOP": str(tmp_path / "stop"), "MODEL": "first", "BUILD": "b.yaml", "ROUNDS": "2",
            "OUT": "out", "RECIPE": "r.yaml",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", ROOT / "recipes/rounds.sh"], env=environment | more, cwd=tmp_path
        )
        return done.returncode, calls.read_text().splitlines()

    return run


def started_from(calls: list[str]) -> list[str]:
    return [
        call.split("model_name_or_path=")[1].split()[0] for call in calls if "codedpo check" in call
    ]


def sampled(calls: list[str]) -> list[str]:
    return [
        call.split("sampling.model=")[1].split()[0] for call in calls if "codedpo build" in call
    ]


def test_each_round_samples_with_the_newest_model_and_starts_from_it(
    rounds: Callable[..., tuple[int, list[str]]],
) -> None:
    status, calls = rounds(EVAL="codedpo eval run humaneval+")
    assert status == 0
    assert sampled(calls) == started_from(calls) == ["first", "out/1/model"]
    assert [call for call in calls if "eval run" in call] == [
        "codedpo eval run humaneval+ --model first --out out/0/eval",
        "codedpo eval run humaneval+ --model out/1/model --out out/1/eval",
        "codedpo eval run humaneval+ --model out/2/model --out out/2/eval",
    ]
    assert calls[-2].startswith("codedpo curves out/1/model out/2/model")
    assert calls[-1] == "codedpo eval compare out/0/eval out/2/eval --no-timing --out out/compare"


def test_a_kept_reference_is_the_first_model(rounds: Callable[..., tuple[int, list[str]]]) -> None:
    _, calls = rounds(REFERENCE="kept")
    assert started_from(calls) == ["first", "first"]
    assert sampled(calls) == ["first", "out/1/model"]


def test_finished_steps_are_skipped_and_training_resumes(
    rounds: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    (tmp_path / "stop").touch()
    status, calls = rounds()
    assert status == 7
    assert len(sampled(calls)) == 1
    status, calls = rounds()
    assert status == 0
    first, second = (call for call in calls if "codedpo check" in call)
    assert "resume_from_checkpoint=out/1/model/checkpoint-2" in first
    assert "resume_from_checkpoint" not in second
    assert sampled(calls) == ["out/1/model"]
    assert rounds() == (0, ["codedpo curves out/1/model out/2/model --out out/curves.png"])


def test_a_sampling_command_of_the_user_writes_candidates(
    rounds: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    (tmp_path / "sample").write_text('#!/bin/sh\necho "sample $*" >>"$CALLS"; echo "{}" >"$2"\n')
    (tmp_path / "sample").chmod(0o755)
    status, calls = rounds(BUILD="", SAMPLE="./sample", ROUNDS="1")
    assert status == 0
    assert calls[:2] == ["sample first out/1/new.jsonl", "codedpo build out/1/build.yaml"]
    assert "candidates: out/1/candidates.jsonl" in (tmp_path / "out/1/build.yaml").read_text()


def test_build_or_sample_is_required(rounds: Callable[..., tuple[int, list[str]]]) -> None:
    assert rounds(BUILD="") == (2, [])
