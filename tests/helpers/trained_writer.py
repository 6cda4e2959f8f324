"""A tiny model that answers the shipped prompts for concepts, problems, solutions and tests."""

from pathlib import Path

from codedpo_plugin.run_folder.shards import Row
from codedpo_plugin.sampling import Sample
from codedpo_plugin.synthesis import prompts
from codedpo_plugin.synthesis.candidate_requests import DEFAULT_TEMPLATES
from codedpo_plugin.synthesis.problems import parse_problem
from helpers.exercises import EXERCISES, fenced
from helpers.trained_model import train


def lessons(seeds: list[Row]) -> list[tuple[str, str]]:
    """(prompt, completion) for every step from these seeds, with one exercise per seed."""
    concepts, problem, solution, test, inputs = (
        prompts.load(name, "code", "concepts", "prompt")
        for name in ("concepts-v1", "problem-v1", *DEFAULT_TEMPLATES["chat"].values())
    )
    pairs = []
    for seed, exercise in zip(seeds, EXERCISES, strict=True):
        row = parse_problem(Sample(exercise.problem(), "stop"))
        assert isinstance(row, dict), row
        pairs.append((concepts.fill(code=seed["code"]), exercise.concepts))
        pairs.append((problem.fill(concepts=exercise.concepts), exercise.problem()))
        pairs += [(solution.fill(**row), fenced(program)) for program in exercise.solutions]
        pairs.append((test.fill(**row), fenced("\n".join(exercise.tests))))
        calls = [one.removeprefix("assert ").partition(" == ")[0] for one in exercise.tests]
        pairs.append((inputs.fill(**row), fenced("\n".join(calls))))
    return [(prompt.strip(), completion) for prompt, completion in pairs]


def make(folder: Path, seeds: list[Row]) -> Path:
    """Train the model; it knows these seeds and no others."""
    return train(folder, lessons(seeds), steps=400)
