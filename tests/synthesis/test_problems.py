"""Problems: a model's text as an exercise, or why it is none; a user's own; none of a benchmark's."""

import dataclasses
import json
from pathlib import Path

import pytest

pytest.importorskip("datasketch", reason="pip install 'codedpo[sample]'")

from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import load_recipe
from codedpo_plugin.run_folder import manifests
from codedpo_plugin.sampling import Sample
from codedpo_plugin.sandbox.client import Sandbox
from codedpo_plugin.stages import PROBLEMS
from codedpo_plugin.synthesis import benchmark_problems, problems, prompts
from codedpo_plugin.synthesis.decontamination import LIMITS, Tests, Texts, further_calls
from helpers.candidates import write_jsonl

TEXT = "Return the sum of the squares of the numbers."
SIGNATURE = "def squares(numbers: list[int]) -> int:"

HUMANEVAL = {
    "task_id": "HumanEval/900",
    "prompt": 'def add(x: int, y: int):\n    """Add two numbers x and y"""\n',
    "entry_point": "add",
    "test": "def check(candidate):\n    import random\n\n    assert candidate(0, 1) == 1\n    assert candidate(2, 3) == 5\n    assert candidate(700, -31) == 669, 'no'\n",
}
MBPP = {
    "task_id": 901,
    "text": "Write a function to count the vowels that are in a given piece of text by walking over its characters.",
    "code": "def helper(c):\n    return c in 'aeiou'\ndef count_vowels(s):\n    return sum(map(helper, s))",
    "test_list": ["assert count_vowels('banana') == 3", "assert count_vowels('xyz') == 0"],
}
LIVE = {
    "question_id": "902",
    "question_content": "Given a list, return it reversed.",
    "public_test_cases": json.dumps(
        [{"input": "[1, 2]\n3", "output": "[2, 1]", "testtype": "functional"}]
    ),
    "metadata": '{"func_name": "turn"}',
}


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
def test_what_is_no_exercise_says_why(text: str, reason: str) -> None:
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
    assert (manifests.of(out, PROBLEMS) or {})["dropped"] == {"no entry point": 1}


def test_wrong_own_problems_are_named_by_line(tmp_path: Path) -> None:
    good = {"task_id": "a", "prompt": "Do it.", "entry_point": "do"}
    with pytest.raises(
        InputError, match=r"problems.jsonl, line 2: task_id 'a' is also at .*line 1"
    ):
        run(tmp_path, [good, good])
    with pytest.raises(InputError, match=r"line 1: column `prompt` must be text"):
        run(tmp_path, [{"task_id": "a"}])


def test_words_of_a_benchmark_are_dropped_and_told(tmp_path: Path) -> None:
    known = write_jsonl(tmp_path / "mbpp.jsonl", [MBPP])
    rows = [
        {"task_id": "copy", "prompt": f"Please: {str(MBPP['text']).upper()}", "entry_point": "f"},
        {"task_id": "own", "prompt": "Write a function to count the vowels.", "entry_point": "f"},
    ]
    made = manifests.of(run(tmp_path, rows, f"decontaminate.benchmarks={known}"), PROBLEMS)
    assert made
    assert (made["kept"], made["dropped"]) == (1, {"contaminated: words of a benchmark": 1})
    (pair,) = made["contaminated"]
    assert (pair["task_id"], pair["benchmark"], pair["problem"]) == ("copy", "mbpp", "901")


def test_benchmarks_in_their_own_forms(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "some.jsonl", [HUMANEVAL, MBPP, LIVE, {"prompt": "Words alone."}])
    first, second, third, fourth = benchmark_problems.load(str(file))
    assert (first.entry_point, first.tests[0], len(first.tests)) == (
        "candidate",
        "assert candidate(0, 1) == 1",
        3,
    )
    assert (second.entry_point, second.tests) == ("count_vowels", tuple(MBPP["test_list"]))  # type: ignore[arg-type]
    assert third.tests == ("assert turn([1, 2], 3) == [2, 1]",)
    assert (fourth.entry_point, fourth.tests) == (None, ())
    with pytest.raises(InputError, match="known by name: humaneval, mbpp, ds1000, livecodebench"):
        benchmark_problems.load("humanevil")


def test_a_solution_of_a_benchmark_is_found_under_any_name(tmp_path: Path) -> None:
    known = Tests(
        benchmark_problems.load(str(write_jsonl(tmp_path / "he.jsonl", [HUMANEVAL, MBPP])))
    )
    with Sandbox(LIMITS) as sandbox:

        def solved(*programs: str, test: str = "assert total(1, 1) == 2") -> str | None:
            found = known.solved(programs, [test], "total", sandbox, 8)
            return found and found["problem"]

        plus, minus = "def total(a, b):\n    return b + a", "def total(a, b):\n    return a - b"
        assert solved(minus, plus) == "HumanEval/900"
        assert solved(minus) is None
        assert solved("while True: pass", "def total(a, b):\n    while True: pass") is None
        assert solved(plus, test="assert total('a', 'b') == 'ab'") is None  # not its signature
        vowels = "def total(s):\n    return len([c for c in s if c in 'aeiou'])"
        assert solved(vowels, test="assert total('a') == 1") == "901"


def test_few_tests_are_too_little_where_the_benchmark_has_a_solution(tmp_path: Path) -> None:
    length = {
        "task_id": "HumanEval/901",
        "prompt": 'def strlen(s: str) -> int:\n    """How long is it?"""\n',
        "canonical_solution": "    return len(s)\n",
        "entry_point": "strlen",
        "test": "def check(candidate):\n    assert candidate('') == 0\n    assert candidate('abc') == 3\n",
    }
    (problem,) = benchmark_problems.load(str(write_jsonl(tmp_path / "he.jsonl", [length])))
    assert {"candidate('abcabc')", "candidate('ABC')"} <= set(further_calls(problem))
    programs = {
        "same": "def total(s):\n    return sum(1 for _ in s)",
        "odd at the edge": "def total(s):\n    return len(s) if s != 'ABC' else 7",
        "other": "def total(s):\n    return sum(c.islower() for c in s)",
        "dies": "def total(s):\n    return {'': 0, 'abc': 3}[s]",
    }
    test = ["assert total('a') == 1"]
    with Sandbox(LIMITS) as sandbox:
        for reference, wanted in ((problem.reference, 2), (None, 4)):
            known = Tests([dataclasses.replace(problem, reference=reference)])
            found = [known.solved([one], test, "total", sandbox, 8) for one in programs.values()]
            assert [bool(one) for one in found] == [True] * wanted + [False] * (4 - wanted)


def test_references_of_benchmarks_define_what_the_tests_call() -> None:
    rows = [
        HUMANEVAL | {"canonical_solution": "    return x + y\n"},
        MBPP,
        {"prompt": '"""Add."""\n', "entry_point": "add", "canonical_solution": "def add(a, b):\n    return a + b",
         "assertion": "assert add(1, 2) == 3"},
    ]  # fmt: skip
    for row in rows:
        problem = benchmark_problems.problem_of("b", 0, row)
        assert problem
        assert problem.reference
        space: dict[str, object] = {}
        exec(problem.reference, space)
        for test in problem.tests:
            exec(test, space)


def test_texts_shorter_than_the_ngram_are_found_as_a_whole() -> None:
    known = [
        benchmark_problems.Problem("b", "1", "Write a function to reverse strings."),
        benchmark_problems.Problem("b", "2", "Sort it."),
    ]
    texts = Texts(known, 10)
    found = texts.overlap("Please write a function to reverse strings in a list, and sort it.")
    assert found
    assert found["problem"] == "1"
    assert texts.overlap("Sort it. Write a function.") is None


def test_livecodebench_on_standard_input_and_ds1000_are_compared_by_words(tmp_path: Path) -> None:
    story = "A snail climbs a wall of given height by day and slips back a little every night"
    rows = [
        {"question_id": "1873_A", "question_content": f"{story}. Print the day on which it is over.",
         "starter_code": "", "metadata": "{}", "difficulty": "easy",
         "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}])},
        {"prompt": "Problem:\nI have a frame of trades and want the mean price of every weekday.\nA:\n<code>\n",
         "reference_code": "result = 1", "metadata": {"library": "Pandas"}, "code_context": "import pandas"},
    ]  # fmt: skip
    known = benchmark_problems.load(str(write_jsonl(tmp_path / "both.jsonl", rows)))
    assert [(one.task_id, one.tests) for one in known] == [("1873_A", ()), ("1", ())]
    texts = Texts(known, 10)
    found = texts.overlap(f"Given two numbers. {story.lower()}; return that day.")
    assert found
    assert found["problem"] == "1873_A"
    found = texts.overlap("Return, of a frame of trades and want the mean price of every weekday")
    assert found
    assert found["problem"] == "1"


def test_what_many_problems_say_is_no_overlap() -> None:
    common = "Write a Python function that takes a list of numbers and returns"
    known = [
        benchmark_problems.Problem("b", str(n), f"{common} value {n} of something else")
        for n in range(30)
    ]
    assert Texts(known, 10).overlap(f"{common} their sum") is None


def test_templates_are_named_with_a_hash_and_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Solve: $prompt ($other)")
    template = prompts.load(str(tmp_path / "mine.txt"), "prompt")
    assert template.fill(prompt="cost $5") == "Solve: cost $5 ($other)"
    assert template.name.startswith("mine@")
    (tmp_path / "bad.txt").write_text("Solve it.")
    with pytest.raises(InputError, match=r"it uses none of \$prompt"):
        prompts.load(str(tmp_path / "bad.txt"), "prompt")
    with pytest.raises(InputError, match="those of the package are concepts-v1"):
        prompts.load("solution-v9", "prompt")
