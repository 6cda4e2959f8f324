"""Show one problem of a run in the terminal: outcomes, ranking, and the reasons for its pairs.

Prompts, code and errors are untrusted: they are printed as `rich.text.Text` (no markup) after
`plain` (no control characters).
"""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from codedpo_plugin.ranking.pass_matrix import executed, pass_flags
from codedpo_plugin.reporting.problem_view import View, explain, load_problem, short_score
from codedpo_plugin.reporting.text import cut_code, duration, plain
from codedpo_plugin.run_folder.shards import Row

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
_SIDE_BY_SIDE = 120  # least width of a terminal, in columns, for two programs side by side


def show(run: Path, task_id: str, console: Console) -> None:
    """Print a problem's prompt, pass matrix, tests and pairs, or why there is no pair.

    Raises:
        InputError: no such run or task (similar names are given), or it is not finished yet.
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
        note = f"tests {len(columns) + 1} to {len(order)} of this order do not fit the width"
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
            short_score(scores[solution]),
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
    console.print(Text("       s sealed: judged outside the solution's process", "bold"))
    console.print(Text(f"{'col':>4} {'test':>4} {'score':>9} {'passed':>7}     source"))
    for column, test in enumerate(view.tests, start=1):
        star = "*" if test in row["credible_tests"] else " "
        sealed = "s" if row["sealed"][test] else " "
        source = plain(row["tests"][test]).strip().replace("\n", " \u23ce ").expandtabs(4)
        share = f"{passed[test]}/{len(row['solutions'])}"
        facts = f"{column:>4} {test:>4} {short_score(scores[test]):>9} {share:>7} {star}{sealed}  "
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
