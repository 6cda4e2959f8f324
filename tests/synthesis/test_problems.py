"""Problems: exercises out of responses, a user's own, and none of a benchmark's."""

from pathlib import Path

import pytest

pytest.importorskip("datasketch", reason="pip install 'codedpo[sample]'")

from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import load_recipe
from codedpo_plugin.run_folder import manifests
from codedpo_plugin.sampling import Sample
from codedpo_plugin.stages import PROBLEMS
from codedpo_plugin.synthesis import problems
from helpers.benchmark_rows import MBPP
from helpers.candidates import write_jsonl

TEXT = "Return the sum of the squares of the numbers."
SIGNATURE = "def squares(numbers: list[int]) -> int:"


def written(text: str, finish: str = "stop") -> Sample:
    return Sample(text, finish)


@pytest.mark.parametrize(
    "block",
    [
        SIGNATURE,
        SIGNATURE + "\n    ...",
        SIGNATURE + "\n    return sum(n * n for n in numbers)",
        SIGNATURE[:-1],
        "import math\n\n" + SIGNATURE,
    ],
)
def test_an_exercise_with_its_signature(block: str) -> None:
    problem = problems.parse_problem(
        written(f"<think>hm</think>{TEXT}\n\n```python\n{block}\n```\nGood luck!")
    )
    assert problem == {"prompt": f"{TEXT}\n\n```python\n{SIGNATURE}\n```", "entry_point": "squares"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TEXT, "no signature"),
        (f"{TEXT}\n```python\nprint(1)\n```", "no signature"),
        (f"```python\n{SIGNATURE}\n```", "no statement"),
        (f"{TEXT}\n```python\ndef f():\n```", "no arguments"),
        (f"Read a file and r{TEXT[1:]}\n```python\n{SIGNATURE}\n```", "depends on files, network, time or chance"),
        (f"Like the code above. {TEXT}\n```python\n{SIGNATURE}\n```", "not self-contained, or solved in its text"),
    ],
)  # fmt: skip
def test_unusable_exercises_give_the_reason(text: str, reason: str) -> None:
    assert problems.parse_problem(written(text)) == reason
    assert problems.parse_problem(written(text, "length")) == "cut at max_tokens"


def run(folder: Path, rows: list[dict[str, object]], *overrides: str) -> Path:
    file = write_jsonl(folder / "problems.jsonl", rows)
    (folder / "r.yaml").write_text(
        f"problems: {file}\noutput: {folder / 'run'}\nsampling: {{model: m}}\n"
    )
    problems.run(load_recipe(folder / "r.yaml", list(overrides)), Console(quiet=True))
    return folder / "run"


def test_own_problems_need_neither_seeds_nor_a_server(tmp_path: Path) -> None:
    rows = [
        {"task_id": "a", "prompt": "Do it.", "entry_point": "do", "level": 3},
        {"task_id": "b", "prompt": "def first():\n    pass\ndef last(x):\n    '''Do it.'''"},
        {"task_id": "c", "prompt": "Do something."},
    ]
    out = run(tmp_path, rows)
    kept = manifests.read(out, PROBLEMS)
    assert [(row["task_id"], row["entry_point"]) for row in kept] == [("a", "do"), ("b", "last")]
    assert kept[0]["level"] == 3
    assert (manifests.load(out, PROBLEMS) or {})["dropped"] == {"no entry point": 1}


def test_wrong_own_problems_are_named_by_line(tmp_path: Path) -> None:
    good = {"task_id": "a", "prompt": "Do it.", "entry_point": "do"}
    with pytest.raises(
        InputError, match=r"problems.jsonl, line 2: task_id 'a' is also at .*line 1"
    ):
        run(tmp_path, [good, good])
    with pytest.raises(InputError, match=r"line 1: column `prompt` must be text"):
        run(tmp_path, [{"task_id": "a"}])


def test_problems_that_share_words_with_a_benchmark_are_dropped_and_listed(tmp_path: Path) -> None:
    known = write_jsonl(tmp_path / "mbpp.jsonl", [MBPP])
    rows = [
        {"task_id": "copy", "prompt": f"Please: {str(MBPP['text']).upper()}", "entry_point": "f"},
        {"task_id": "own", "prompt": "Write a function to count the vowels.", "entry_point": "f"},
    ]
    made = manifests.load(run(tmp_path, rows, f"decontaminate.benchmarks={known}"), PROBLEMS)
    assert made
    assert (made["kept"], made["dropped"]) == (1, {"contaminated: words of a benchmark": 1})
    (pair,) = made["contaminated"]
    assert (pair["task_id"], pair["benchmark"], pair["problem"]) == ("copy", "mbpp", "901")
