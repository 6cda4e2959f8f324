"""From source code to candidates, and to the dataset, with a server that knows the exercises."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai", reason="pip install 'codedpo[sample]'")

from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Recipe, Seeds
from codedpo_plugin.run_folder import manifests
from codedpo_plugin.run_folder.shards import Row, read_rows
from codedpo_plugin.stages import GENERATE
from codedpo_plugin.synthesis import generate, prompts
from codedpo_plugin.synthesis.seeds import find_seeds
from helpers.candidates import write_jsonl
from helpers.exercises import EXERCISES, fenced
from helpers.seeds import SEEDS, recipe_on
from helpers.servers import Writer, serving
from helpers.trained_writer import lessons

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def seeds() -> list[Row]:
    found = (row for row in find_seeds(Seeds.model_validate(SEEDS)) if isinstance(row, dict))
    return [next(found) for _ in EXERCISES]


@pytest.fixture(scope="module")
def server(seeds: list[Row]) -> Iterator[Writer]:
    writer = Writer(lessons(seeds))
    with serving(writer):
        yield writer


def test_a_folder_and_an_endpoint_are_enough(tmp_path: Path, server: Writer) -> None:
    recipe = recipe_on(tmp_path, server)
    pipeline.build(recipe, (1, 1), QUIET)
    candidates = list(read_rows(recipe.output, "candidates"))
    assert [row["entry_point"] for row in candidates] == [
        "twice",
        "sign",
        "mirrored",
        "squares",
        "vowels",
        "gap",
    ]
    assert json.loads(candidates[0]["extra"])["license"] == "psf-2.0"
    # What of a response is not part of its program is known.
    assert len(json.loads(candidates[0]["extra"])["left_out"]) == 6
    assert {len(row["solutions"]) for row in candidates} == {6}
    assert candidates[1]["tests"] == list(EXERCISES[1].tests)
    pairs = [pair for row in read_rows(recipe.output, "pairs") for pair in row["pairs"]]
    assert len([pair for pair in pairs if pair["kind"] == "correctness"]) >= 4
    first = json.loads(
        (recipe.output / "dataset" / "dpo" / "train.jsonl").read_text().splitlines()[0]
    )
    assert first["prompt"][0]["content"].startswith("Solve this exercise")
    report = json.loads((recipe.output / "report.json").read_text())
    assert report["first_half"]["seeds"]["kept"] == len(EXERCISES)
    assert report["first_half"]["seeds"]["dropped"]["no docstring"] > 0
    served = server.served
    pipeline.build(recipe, (1, 1), QUIET)
    assert server.served == served


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's own problems: the exercises."""
    rows = [
        {"task_id": exercise.signature[4:].partition("(")[0], "prompt": exercise.problem()}
        for exercise in EXERCISES
    ]
    return write_jsonl(tmp_path / "problems.jsonl", rows)


def generated(recipe: Recipe) -> dict[str, Row]:
    pipeline.synthesize(["problems", "generate"], recipe, (1, 1), QUIET)
    return {row["task_id"]: row for row in manifests.read(recipe.output, GENERATE)}


def test_more_samples_for_some_problems_keep_those_that_were_paid_for(
    tmp_path: Path, server: Writer, own: Path
) -> None:
    recipe = recipe_on(tmp_path, server, seeds=None, problems=str(own))
    before = generated(recipe)
    served = server.served
    more = write_jsonl(tmp_path / "more.jsonl", [{"task_id": "sign", "solutions": 9, "tests": 3}])
    again = generated(
        recipe_on(tmp_path, server, f"generate.more={more}", seeds=None, problems=str(own))
    )
    assert server.served - served == 3 + 1
    assert {name for name, row in again.items() if row != before[name]} == {"sign"}
    assert again["sign"]["solutions"][:6] == before["sign"]["solutions"]
    assert len(again["sign"]["solutions"]) == len(again["sign"]["responses"]) == 9
    wrong = write_jsonl(tmp_path / "wrong.jsonl", [{"task_id": "none", "solutions": 9}])
    with pytest.raises(InputError, match="no problem is called 'none'"):
        generated(
            recipe_on(tmp_path, server, f"generate.more={wrong}", seeds=None, problems=str(own))
        )


def test_expected_values_by_vote(tmp_path: Path, own: Path) -> None:
    solve, inputs = (prompts.load(name, "prompt") for name in ("solution-v1", "inputs-v2"))
    pairs = []
    for exercise in EXERCISES[:2]:
        name = exercise.signature[4:].partition("(")[0]
        values = {"prompt": exercise.problem(), "entry_point": name}
        pairs += [(solve.fill(**values).strip(), fenced(code)) for code in exercise.solutions]
        calls = [test[7:].partition(" ==")[0] for test in exercise.tests]
        pairs.append((inputs.fill(**values).strip(), fenced("\n".join(calls))))
    writer = Writer(pairs)
    with serving(writer):
        recipe = recipe_on(
            tmp_path, writer, "generate.tests.outputs=vote", seeds=None, problems=str(own)
        )
        rows = generated(recipe)
    assert rows["twice"]["tests"] == list(EXERCISES[0].tests)
    # Two solutions of three samples each: no majority where they differ, and so no test.
    assert rows["sign"]["tests"] == ["assert sign(5) == 1", "assert sign(-5) == -1"]


def test_a_base_model_continues_the_prompt(tmp_path: Path, own: Path) -> None:
    solve, test = (prompts.load(f"{name}-base-v1", "prompt") for name in ("solution", "test"))
    pairs = []
    for exercise in EXERCISES:
        name = exercise.signature[4:].partition("(")[0]
        values = {"prompt": exercise.problem(), "entry_point": name}
        pairs += [(solve.fill(**values), f"{code}\n```\nMore words") for code in exercise.solutions]
        pairs.append(
            (test.fill(**values), "\n".join(exercise.tests).removeprefix(f"assert {name}("))
        )
    writer = Writer(pairs)
    with serving(writer):
        recipe = recipe_on(
            tmp_path, writer, "generate.style=completion", seeds=None, problems=str(own)
        )
        rows = generated(recipe)
    assert rows["sign"]["solutions"][:2] == list(EXERCISES[1].solutions)
    assert rows["sign"]["tests"] == list(EXERCISES[1].tests)
    assert rows["sign"]["prompt"].endswith("# Solution\n\n```python\n")
    assert writer.requests[0]["stop"] == ["\n```"]


def test_contaminated_and_empty_problems_are_dropped_and_listed(
    tmp_path: Path, server: Writer, own: Path
) -> None:
    tests = ["assert palin('abcba')", "assert not palin('ab')", "assert palin('')"]
    benchmark = {"task_id": "P/1", "prompt": "Palindrome?", "entry_point": "palin", "tests": tests}
    known = write_jsonl(tmp_path / "mine.jsonl", [benchmark])
    with open(own, "a") as file:
        file.write(
            json.dumps({"task_id": "odd", "prompt": "Nobody knows.", "entry_point": "odd"}) + "\n"
        )
    recipe = recipe_on(
        tmp_path, server, f"decontaminate.benchmarks={known}", seeds=None, problems=str(own)
    )
    out = io.StringIO()
    pipeline.synthesize(["problems", "generate"], recipe, (1, 1), Console(file=out, width=500))
    assert "6 of 42 answers for solutions hold no program" in out.getvalue()
    assert "'I do not know.'" in out.getvalue()
    rows = {row["task_id"] for row in manifests.read(recipe.output, GENERATE)}
    made = manifests.load(recipe.output, GENERATE)
    assert made
    assert "mirrored" not in rows
    assert made["dropped"] == {"contaminated: solves a benchmark's problem": 1, "no solutions": 1}
    (pair,) = made["contaminated"]
    assert (pair["task_id"], pair["benchmark"], pair["problem"]) == ("mirrored", "mine", "P/1")
    assert made["samples"]["solutions"] == {"kept": 36, "no program": 6}
    pipeline.build(recipe, (1, 1), QUIET)
    report = (recipe.output / "report.html").read_text()
    assert "P/1" in report
    assert "I do not know." in report
    assert (
        "Decontaminated against mine.jsonl: 1 problems dropped"
        in (recipe.output / "dataset" / "README.md").read_text()
    )


@pytest.mark.parametrize("two_models", [False, True])
def test_a_spent_budget_leaves_a_dataset_and_a_larger_one_continues(
    tmp_path: Path, server: Writer, own: Path, monkeypatch: pytest.MonkeyPatch, two_models: bool
) -> None:
    monkeypatch.setattr(generate, "SHARED_BUDGET_BATCH", 1)
    sampling = {
        "model": "stub",
        "base_url": server.url,
        "prices": {"completion": 1000},
        "max_tokens": 10,
        "choices": 3,
        "budget": 0.15,
    }
    keys: dict[str, Any] = {"seeds": None, "problems": str(own), "sampling": sampling}
    if two_models:
        cold = sampling | {"temperature": 0.2}
        keys["generate"] = {"solutions": {"n": 6}, "tests": {"n": 2, "sampling": cold}}
    pipeline.build(recipe_on(tmp_path, server, **keys), (1, 1), QUIET)
    recipe = recipe_on(tmp_path, server, **keys)
    assert 0 < len(manifests.read(recipe.output, GENERATE)) < len(EXERCISES)
    assert any(row["pairs"] for row in read_rows(recipe.output, "pairs"))
    sampling["budget"] = 9
    if two_models:
        cold["budget"] = 9
    assert len(generated(recipe_on(tmp_path, server, **keys))) == len(EXERCISES)


def test_stages_and_parts_need_the_candidates(tmp_path: Path, server: Writer, own: Path) -> None:
    recipe = recipe_on(tmp_path, server, seeds=None, problems=str(own))
    with pytest.raises(InputError, match="candidates are not made in parts"):
        pipeline.build(recipe, (1, 2), QUIET)
    with pytest.raises(InputError, match="run `codedpo generate`"):
        pipeline.run_stages(["execute"], recipe, (1, 1), QUIET)
    with pytest.raises(InputError, match="has no problems yet; run `codedpo problems`"):
        pipeline.synthesize(["generate"], recipe, (1, 1), QUIET)
