"""Show: one problem of a run in the terminal: what ran, how it ranks, why it gave its pairs.

Prompts, code and errors are untrusted: they are printed as `rich.text.Text` (square brackets mean
nothing) after `plain` (control characters mean nothing either).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from codedpo_plugin.errors import InputError, did_you_mean
from codedpo_plugin.ranking.credible_tests import ranked
from codedpo_plugin.ranking.pass_matrix import executed, pass_flags
from codedpo_plugin.recipe import Recipe, load_recipe
from codedpo_plugin.reporting.text import cut_code, duration, plain
from codedpo_plugin.run_folder import candidates
from codedpo_plugin.run_folder.shard_keys import is_finished
from codedpo_plugin.run_folder.shards import Row, read_merged, read_shard, shard_path
from codedpo_plugin.stages import CANDIDATES, ROW_STAGES, STAGES

CELLS = {
    "passed": (".", "green"),
    "failed": ("F", "bold yellow"),
    "error": ("E", "bold red"),
    "timeout": ("T", "bold magenta"),
    "memory": ("M", "bold cyan"),
    "crashed": ("X", "bold reverse red"),
    "flaky": ("~", "bold blue"),
    "not_run": ("-", "dim"),
}

_PROMPT_LINES = 12
_SIDE_BY_SIDE = 120  # columns of a terminal from which two programs stand side by side


def show(run: Path, task_id: str, console: Console) -> None:
    """Print a problem's prompt, pass matrix, tests and pairs, or why there is no pair.

    Raises:
        InputError: no such run or task (near names are given), or it is not finished yet.
    """
    row, recipe = load_problem(run, task_id)
    view = View(row, recipe)
    _print_prompt(view, console)
    _print_matrix(view, console)
    _print_tests(view, console)
    for pair in row["pairs"]:
        _print_pair(pair, view, console)
    for kind in ("correctness", "efficiency"):
        if why := row[f"no_{kind}"]:
            console.print(Text(f"\nno {kind} pair: {why}", "bold"))


def load_problem(run: Path, task_id: str) -> tuple[Row, Recipe]:
    """A problem's row with the columns of all stages, and the recipe of its run.

    Raises:
        InputError: as `show`.
    """
    if not (run / "recipe.yaml").is_file():
        raise InputError(f"{run}: not a run folder (it holds no recipe.yaml); name one with --run")
    # The folder may have been moved, or named from elsewhere, since the recipe was written.
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
    """A problem's row in the order in which people look at it."""

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
    """Why this pair was made, and how sure that is; quotes an error message, which is untrusted."""
    passed = pass_flags(view.row)[:, view.row["credible_tests"]].sum(axis=1)
    total = len(view.row["credible_tests"])
    chosen, rejected = pair["chosen_index"], pair["rejected_index"]
    if pair["kind"] == "correctness":
        high, low = _score(pair["chosen_score"]), _score(pair["rejected_score"])
        why = (
            f"Solution {chosen} scores {high} and passes {passed[chosen]} of {total} credible "
            f"tests; solution {rejected} scores {low} and passes {passed[rejected]}"
            f"{_commonest_error(view.row['errors'][rejected])}. "
        )
        sure = "the probability that it is right, by what solutions return (docs/pairs.md)"
    else:
        ratio = pair["rejected_seconds"] / pair["chosen_seconds"]
        why = (
            f"Both pass all {total} credible tests. On these, solution {chosen} takes "
            f"{duration(pair['chosen_seconds'])}, solution {rejected} takes "
            f"{duration(pair['rejected_seconds'])}: {ratio:,.2f} times as long. "
        )
        sure = "the probability that both are right, times how sure the lead is"
    return f"{why}Confidence {pair['confidence']:.2f}: {sure}."


def _score(score: float) -> str:
    """Four digits; next to nothing (self-validation never reaches 0) is 0."""
    return f"{score:.4g}" if abs(score) >= 1e-6 else "0"


def _commonest_error(errors: list[str | None]) -> str:
    """` (NameError: ... on 3 tests)`, or nothing where nothing was raised."""
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


def _print_prompt(view: View, console: Console) -> None:
    row = view.row
    size = f"  {len(row['solutions'])} solutions x {len(row['tests'])} tests"
    console.print(Text(plain(row["task_id"]), "bold").append(size, "not bold"))
    prompt = Text(plain(row["prompt"]).strip("\n"), "dim")
    lines = prompt.wrap(console, console.width - 2, tab_size=4)
    for line in lines[:_PROMPT_LINES]:
        console.print(Text("  ") + line)
    if len(lines) > _PROMPT_LINES:
        console.print(Text(f"  ... cut, {len(lines)} lines in all", "italic"))


def _print_matrix(view: View, console: Console) -> None:
    """One line per solution: rank, number, score, tests passed, group, time, cells, mark."""
    marks, order = view.marks, view.tests
    left = len(_facts("", "", "", "", "", ""))
    room = max(console.width - left - 1 - max(map(len, marks.values()), default=0), 10)
    columns = order[:room]
    stars = ["*" if test in set(view.row["credible_tests"]) else " " for test in columns]
    console.print(Text(f"\nPass matrix, ranked by {view.recipe.ranker}", "bold"))
    console.print(Text(_facts("rank", "sol", "score", "passed", "group", "time") + _ruler(columns)))
    console.print(Text("credible  ".rjust(left) + "".join(stars)))
    for line in _matrix_lines(view, columns):
        console.print(line)
    _print_legend(view, console)
    if len(columns) < len(order):
        note = f"tests {len(columns) + 1} to {len(order)} of this order do not fit in the width"
        console.print(Text(note, "italic"))


def _matrix_lines(view: View, columns: list[int]) -> Iterator[Text]:
    row, marks, scores = view.row, view.marks, view.scores
    seconds = dict(zip(row["timed"], row["seconds"], strict=True))
    groups: dict[tuple[str, ...], str] = {}
    ran, tests = set(executed(row)), len(row["tests"])
    for solution in view.solutions:
        outcomes = row["outcomes"][solution]
        behaviour = tuple("passed" if outcome == "passed" else "" for outcome in outcomes)
        group = groups.setdefault(behaviour, _letters(len(groups))) if solution in ran else "-"
        rank = sum(scores[other] > scores[solution] for other in ran) + 1
        facts = _facts(
            str(rank) if solution in ran else "-",
            str(solution),
            _score(scores[solution]),
            f"{outcomes.count('passed')}/{tests}",
            group,
            duration(seconds[solution]) if solution in seconds else "",
        )
        line = Text(facts)
        for test in columns:
            line.append(*CELLS[outcomes[test]])
        yield line.append(" " + marks.get(solution, ""), "bold")


def _facts(rank: str, solution: str, score: str, passed: str, group: str, time: str) -> str:
    return f"{rank:>4} {solution:>4} {score:>9} {passed:>7} {group:>5} {time:>8}  "


def _ruler(columns: list[int]) -> str:
    """`1        10        20`: the number ends at its column."""
    tens = "".join(f"{number:>10}" for number in range(10, len(columns) + 1, 10))
    return "1" + tens[1:]


def _letters(number: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    head = _letters(number // 26 - 1) if number >= 26 else ""
    return head + chr(ord("A") + number % 26)


def _print_legend(view: View, console: Console) -> None:
    seen = {outcome for line in view.row["outcomes"] for outcome in line}
    legend = Text()
    for outcome, (cell, style) in CELLS.items():
        if outcome in seen:
            legend.append(cell, style).append(f" {outcome.replace('_', ' ')}   ")
    console.print(legend)
    console.print(Text("group: solutions that pass the same tests", "italic"))
    if any(pair["kind"] == "efficiency" for pair in view.row["pairs"]):
        meaning = "fast, slow: chosen and rejected of the efficiency pair"
        console.print(Text(meaning, "italic"))


def _print_tests(view: View, console: Console) -> None:
    row, scores = view.row, view.test_scores
    passed = pass_flags(row).sum(axis=0)
    console.print(Text("\nTests: * credible (the best solution passes it)", "bold"))
    console.print(Text("       s sealed (judged outside the solution's process)", "bold"))
    console.print(Text(f"{'col':>4} {'test':>4} {'score':>9} {'passed':>7}     source"))
    for column, test in enumerate(view.tests, start=1):
        star = "*" if test in row["credible_tests"] else " "
        seal = "s" if row["sealed"][test] else " "
        source = plain(row["tests"][test]).strip().replace("\n", " \u23ce ").expandtabs(4)
        share = f"{passed[test]}/{len(row['solutions'])}"
        facts = f"{column:>4} {test:>4} {_score(scores[test]):>9} {share:>7} {star}{seal}  "
        console.print(_cut(Text(facts + source), console.width))


def _print_pair(pair: Row, view: View, console: Console) -> None:
    console.print(Text(f"\n{pair['kind'].capitalize()} pair", "bold"))
    console.print(Text(plain(explain(pair, view))), soft_wrap=False)
    sides: list[tuple[str, RenderableType, str]] = []
    for side in ("chosen", "rejected"):
        index = pair[f"{side}_index"]
        code, note = cut_code(view.row["solutions"][index])
        # ANSI colours on the terminal's own background: readable on light and dark ones.
        syntax = Syntax(
            plain(code), "python", theme="ansi_dark", background_color="default", word_wrap=True
        )
        sides.append((f"{side}: solution {index}", syntax, note))
    if console.width >= _SIDE_BY_SIDE:
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_row(*(Rule(title) for title, _, _ in sides))
        table.add_row(*(code_view for _, code_view, _ in sides))
        table.add_row(*(Text(note, "italic") for _, _, note in sides))
        console.print(table)
        return
    for title, code_view, note in sides:
        console.print(Rule(title), code_view)
        if note:
            console.print(Text(note, "italic"))


def _cut(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    return text
