"""What models are asked for candidates: prompts, models and numbers of samples, by role."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Recipe, Sampling, Solutions
from codedpo_plugin.run_folder.candidates import read_file
from codedpo_plugin.run_folder.shards import Row
from codedpo_plugin.sampling import Request
from codedpo_plugin.synthesis import prompts

ROLES = ("solutions", "tests")
DEFAULT_TEMPLATES = {
    "chat": {"solutions": "solution-v1", "tests": "test-v2", "inputs": "inputs-v2"},
    "completion": {
        "solutions": "solution-base-v1", "tests": "test-base-v1", "inputs": "inputs-base-v1"
    },
}  # fmt: skip
"""By style and by what is wanted. docs/sampling.md says how they were chosen."""


class CandidateRequests:
    """The requests of one run.

    Raises:
        InputError: a template or the file `generate.more` is wrong.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.more = requested_counts(recipe.generate.more)
        self.models = {role: _model(role, recipe) for role in ROLES}
        self.templates = {role: _template(role, recipe) for role in ROLES}

    def check(self, rows: Iterable[Row]) -> None:
        """Every problem that needs more samples has to be among the rows.

        Raises:
            InputError: it is not.
        """
        if unknown := set(self.more) - {row["task_id"] for row in rows}:
            raise InputError(
                f"generate.more: {self.recipe.generate.more}: no problem is called "
                f"{min(unknown)!r} ({len(unknown)} such names)"
            )

    def of(self, row: Row) -> dict[str, Request]:
        """Role -> what is requested for a problem."""
        found, more = {}, self.more.get(row["task_id"], {})
        for role in ROLES:
            text = self.text(row, role)
            chat = self.recipe.generate.style == "chat"
            prompt: Any = [{"role": "user", "content": text}] if chat else text
            n = max(_spec(role, self.recipe).n, more.get(role, 0))
            prefill = _spec(role, self.recipe).prefill or ""
            prefill = prefill.replace("{entry_point}", row["entry_point"])
            found[role] = Request(row["task_id"], role, prompt, n, prefill)
        return found

    def text(self, row: Row, role: str) -> str:
        """The prompt as text; a base model continues from its very end."""
        filled = self.templates[role].fill(
            prompt=row["prompt"].strip(), entry_point=row["entry_point"]
        )
        return filled if self.recipe.generate.style == "completion" else filled.strip()

    def template_names(self) -> list[str]:
        """Names and hashes of the templates, in the order of `ROLES`."""
        return [self.templates[role].name for role in ROLES]


def requested_counts(path: Path | None) -> dict[str, dict[str, int]]:
    """Task id -> `solutions` and `tests` -> responses in all, from a `generate.more` file.

    Raises:
        InputError: a line is wrong.
    """
    if path is None:
        return {}
    found = {}
    for number, row in read_file(path):
        place = f"generate.more: {path}, line {number}"
        if not isinstance(row, dict) or not isinstance(row.get("task_id"), str):
            raise InputError(f"{place}: expected `task_id`, `solutions` and `tests`")
        counts = {role: row.get(role) or 0 for role in ROLES}
        if not all(isinstance(count, int) for count in counts.values()):
            raise InputError(f"{place}: `solutions` and `tests` are numbers of samples")
        found[row["task_id"]] = counts
    return found


def _spec(role: str, recipe: Recipe) -> Solutions:
    return recipe.generate.solutions if role == "solutions" else recipe.generate.tests


def _model(role: str, recipe: Recipe) -> Sampling:
    """The model of a role; a base model stops at the end of the block that the prompt opened."""
    settings = _spec(role, recipe).sampling or recipe.sampling
    assert settings  # the recipe was checked
    if recipe.generate.style == "completion" and not settings.stop:
        return settings.model_copy(update={"stop": ["\n```"]})
    return settings


def _template(role: str, recipe: Recipe) -> prompts.Template:
    kind = role
    if role == "tests" and recipe.generate.tests.outputs == "vote":
        kind = "inputs"
    default = DEFAULT_TEMPLATES[recipe.generate.style][kind]
    return prompts.load(_spec(role, recipe).template or default, "prompt")
