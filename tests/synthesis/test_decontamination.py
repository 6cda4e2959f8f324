"""Overlaps with benchmarks, by words and by what a solution passes."""

import dataclasses
import json
from pathlib import Path

from codedpo_plugin.sandbox.client import Sandbox
from codedpo_plugin.synthesis import benchmark_problems
from codedpo_plugin.synthesis.decontamination import LIMITS, Tests, Texts, further_calls
from helpers.benchmark_rows import HUMANEVAL, MBPP
from helpers.candidates import write_jsonl


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


def test_few_tests_are_not_enough_if_the_benchmark_has_a_reference(tmp_path: Path) -> None:
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


def test_common_phrases_are_no_overlap() -> None:
    common = "Write a Python function that takes a list of numbers and returns"
    known = [
        benchmark_problems.Problem("b", str(n), f"{common} value {n} of something else")
        for n in range(30)
    ]
    assert Texts(known, 10).overlap(f"{common} their sum") is None
