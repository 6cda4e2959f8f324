"""One problem of a run with the columns of all stages, ordered and explained for people."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from codedpo_plugin.errors import InputError, did_you_mean
from codedpo_plugin.ranking.credible_tests import ranked
from codedpo_plugin.ranking.pass_matrix import pass_flags
from codedpo_plugin.recipe import Recipe, load_recipe
from codedpo_plugin.reporting.text import duration
from codedpo_plugin.run_folder import candidates
from codedpo_plugin.run_folder.shard_keys import is_finished
from codedpo_plugin.run_folder.shards import Row, read_merged, read_shard, shard_path
from codedpo_plugin.stages import CANDIDATES, ROW_STAGES, STAGES


def load_problem(run: Path, task_id: str) -> tuple[Row, Recipe]:
    """A problem's row with the columns of all stages, and the recipe of its run.

    Raises:
        InputError: no such run or task (similar names are given), or it is not finished yet.
    """
    if not (run / "recipe.yaml").is_file():
        raise InputError(f"{run}: not a run folder (it holds no recipe.yaml); name one with --run")
    # `output` in the recipe may be relative, or the folder may have been moved since.
    recipe = load_recipe(run / "recipe.yaml").model_copy(update={"output": run})
    index, position = _find(run, task_id)
    for stage in STAGES.values():
        if not is_finished(stage, recipe, index):
            raise InputError(
                f"{run}: {stage.folder} of {task_id!r} are missing or out of date; "
                "run `codedpo build` on its recipe first"
            )
    return list(read_merged(run, ROW_STAGES, index))[position], recipe


@dataclass(frozen=True)
class View:
    """A problem's row, with solutions and tests in the order of their scores."""

    row: Row
    """Columns of all stages."""
    recipe: Recipe

    @property
    def scores(self) -> list[float]:
        """Solution scores of the deciding ranker, [N]."""
        return list(self.row[self.recipe.ranker]["solution_scores"])

    @property
    def test_scores(self) -> list[float]:
        """Test scores of the deciding ranker, [M]."""
        return list(self.row[self.recipe.ranker]["test_scores"])

    @property
    def solutions(self) -> list[int]:
        """Solutions, best first; those that did not run come last."""
        order = ranked(self.row, self.recipe)
        return order + [i for i in range(len(self.row["solutions"])) if i not in set(order)]

    @property
    def tests(self) -> list[int]:
        """Tests, most credible first."""
        scores = self.test_scores
        return sorted(range(len(scores)), key=lambda test: -scores[test])

    @property
    def marks(self) -> dict[int, str]:
        """What a solution became: chosen, rejected (correctness), fast, slow (efficiency)."""
        words = {"correctness": ("chosen", "rejected"), "efficiency": ("fast", "slow")}
        marks = defaultdict(list)
        for pair in self.row["pairs"]:
            chosen, rejected = words[pair["kind"]]
            marks[pair["chosen_index"]].append(chosen)
            marks[pair["rejected_index"]].append(rejected)
        return {index: ", ".join(dict.fromkeys(found)) for index, found in marks.items()}


def explain(pair: Row, view: View) -> str:
    """Why this pair was made, and its confidence; quotes an error message, which is untrusted."""
    passed = pass_flags(view.row)[:, view.row["credible_tests"]].sum(axis=1)
    total = len(view.row["credible_tests"])
    chosen, rejected = pair["chosen_index"], pair["rejected_index"]
    if pair["kind"] == "correctness":
        high, low = short_score(pair["chosen_score"]), short_score(pair["rejected_score"])
        why = (
            f"Solution {chosen} scores {high} and passes {passed[chosen]} of {total} credible "
            f"tests; solution {rejected} scores {low} and passes {passed[rejected]}"
            f"{_most_common_error(view.row['errors'][rejected])}. "
        )
        confidence = "the probability that it is right, from what solutions return (docs/pairs.md)"
    else:
        ratio = pair["rejected_seconds"] / pair["chosen_seconds"]
        why = (
            f"Both pass all {total} credible tests. On these, solution {chosen} takes "
            f"{duration(pair['chosen_seconds'])}, solution {rejected} takes "
            f"{duration(pair['rejected_seconds'])}: {ratio:,.2f} times as long. "
        )
        confidence = "the probability that both are right, times that of the difference in speed"
    return f"{why}Confidence {pair['confidence']:.2f}: {confidence}."


def short_score(score: float) -> str:
    """Four digits; below 1e-6 it is 0 (self-validation approaches 0 without reaching it)."""
    return f"{score:.4g}" if abs(score) >= 1e-6 else "0"


def _most_common_error(errors: list[str | None]) -> str:
    """` (NameError: ... on 3 tests)`, or nothing if none was raised."""
    counts = Counter(error for error in errors if error)
    if not counts:
        return ""
    error, times = counts.most_common(1)[0]
    return f" ({' '.join(error.split())[:100]}; on {times} {'test' if times == 1 else 'tests'})"


def _find(run: Path, task_id: str) -> tuple[int, int]:
    """Shard and position of a task; reads one column only."""
    manifest = candidates.read_manifest(run)
    names: list[str] = []
    for index in range(manifest["shards"] if manifest else 0):
        path = shard_path(run, CANDIDATES.folder, index)
        here = [row["task_id"] for row in read_shard(path, ["task_id"])]
        if task_id in here:
            return index, here.index(task_id)
        names += here
    hint = did_you_mean(task_id, names, most=5)
    raise InputError(f"{run}: no task {task_id!r} among its {len(names):,} problems{hint}")
