"""Report, plots and show, on a run folder written by hand: nothing is executed."""

import html.parser
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from codedpo_plugin.dataset import pair_plots
from codedpo_plugin.dataset.export import Counts
from codedpo_plugin.dataset.pair_statistics import Sample, read_pairs
from codedpo_plugin.errors import InputError
from codedpo_plugin.execution import execute, probe
from codedpo_plugin.pairing import pairs
from codedpo_plugin.ranking import rank
from codedpo_plugin.recipe import Recipe, load_recipe
from codedpo_plugin.reporting import build_plots, page, tables
from codedpo_plugin.reporting import summary as report
from codedpo_plugin.reporting.show import show
from codedpo_plugin.reporting.text import cut_code, duration, plain
from codedpo_plugin.run_folder import candidates
from codedpo_plugin.run_folder.shard_keys import wanted_key
from codedpo_plugin.run_folder.shards import shard_path, write_shard
from codedpo_plugin.stages import CANDIDATES, STAGES
from codedpo_plugin.timing import time_solutions
from helpers.candidates import PAPER

HOSTILE = "<script>alert(1)</script> [/red] [bold]x \x1b[31m \u202e &amp; $title"
LETTERS = {"p": "passed", "f": "failed", "e": "error", "t": "timeout", "n": "not_run"}


def problem(task_id, cells, pairs=(), seconds=(), no_correctness=None, no_efficiency=None):
    """The columns of all stages; `cells` is a word of `LETTERS` per solution, best first."""
    outcomes = [[LETTERS[cell] for cell in line] for line in cells]
    raised = {"error": "ValueError: bad " + HOSTILE, "failed": "AssertionError: no"}
    passed = [line.count("passed") for line in outcomes]
    tests = len(cells[0])
    return {
        "task_id": task_id,
        "prompt": f"Do it. {HOSTILE}\n" + "long words " * 20,
        "entry_point": "f",
        "solutions": [f"def f(x):\n    return x + {i}  # {HOSTILE}" for i in range(len(cells))],
        "tests": [f"assert f({j}) == {j}  # {HOSTILE}" for j in range(tests)],
        "responses": None,
        "extra": "{}",
        "outcomes": outcomes,
        "returned": [[None] * tests for _ in cells],
        "errors": [[raised.get(outcome) for outcome in line] for line in outcomes],
        "sealed": [j != 0 for j in range(tests)],
        "cpu_seconds": 2.0,
        "self_validation": {
            "solution_scores": [n / tests for n in passed],
            "test_scores": [sum(line[j] == "passed" for line in outcomes) for j in range(tests)],
        },
        "probes": [],
        "probe_tests": [],
        "probed": [[] for _ in cells],
        "probe_errors": [[] for _ in cells],
        "programs": list(range(len(cells))),
        "timed": list(range(len(seconds))),
        "seconds": list(seconds),
        "log_ratio": [0.0] * len(seconds),
        "standard_error": [0.0] * len(seconds),
        "rounds": 5,
        "untimed": None,
        "best": 0,
        "credible_tests": [j for j in range(tests) if outcomes[0][j] == "passed"],
        "pairs": list(pairs),
        "no_correctness": no_correctness,
        "no_efficiency": no_efficiency,
        "settle": None,
    }


def pair(kind, chosen, rejected, seconds=(None, None)):
    return {
        "kind": kind,
        "chosen_index": chosen,
        "rejected_index": rejected,
        "chosen_score": 1.0,
        "rejected_score": 0.25,
        "chosen_seconds": seconds[0],
        "rejected_seconds": seconds[1],
        "confidence": 0.5,
    }


def exported(made, chosen="x" * 10, rejected="y" * 30):
    message = [{"role": "assistant", "content": chosen}]
    return {"prompt": "p", "chosen": message, "rejected": rejected, "task_id": "t"} | made


PROBLEMS = (
    problem(
        f"set/one {HOSTILE}",
        ["ppp", "ppp", "pfe", "tnn"],
        [pair("correctness", 0, 3), pair("efficiency", 1, 0, (0.001, 0.004))],
        (0.004, 0.001),
    ),
    problem("set/two", ["pp", "pp"], (), (), "all solutions pass", "no decided difference"),
    problem(
        "set/three", ["pp", "pf"], [pair("correctness", 0, 1)], (), None, "no decided difference"
    ),
)
COUNTS = Counts(
    Counter({("correctness", "train"): 1, ("correctness", "test"): 1, ("efficiency", "train"): 1}),
    Counter({"the two texts are the same": 2}),
)
LAYERS = {"seccomp": "on", "landlock": "no such call on this kernel"}
SECONDS = {"execute": 12.5, "rank": 0.25}


def make_run(run: Path, problems=PROBLEMS, shard_size=2) -> Recipe:
    """Write all shards of a run, its recipe and the `dpo` config of its dataset."""
    run.mkdir()
    (run / "recipe.yaml").write_text(
        f"candidates: c.jsonl\noutput: elsewhere\nshard_size: {shard_size}\n{PAPER}"
    )
    recipe = load_recipe(run / "recipe.yaml").model_copy(update={"output": run})
    schemas = {
        "execute": execute.schema(),
        "probe": probe.SCHEMA,
        "rank": rank.schema(recipe),
        "time": time_solutions.SCHEMA,
        "pairs": pairs.SCHEMA,
    }
    shards = [problems[i : i + shard_size] for i in range(0, len(problems), shard_size)]
    for index, rows in enumerate(shards):
        write_shard(shard_path(run, CANDIDATES.folder, index), rows, candidates.SCHEMA, str(index))
        for name, schema in schemas.items():
            stage = STAGES[name]
            key = wanted_key(stage, recipe, index)
            write_shard(shard_path(run, stage.folder, index), rows, schema, key)
    manifest = {"shards": len(shards), "problems": 3, "tests_cut": 7, "skipped": {"no tests": 1}}
    candidates.write_manifest(run, manifest)
    (run / "dataset" / "dpo").mkdir(parents=True)
    lines = [exported(made) for row in problems for made in row["pairs"]]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "dataset" / "dpo" / "train.jsonl").write_text(text)
    return recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return make_run(tmp_path / "run")


@pytest.fixture
def summary(recipe: Recipe) -> report.Summary:
    return report.summarise(recipe, COUNTS, SECONDS, LAYERS)


def terminal(width: int = 80, **options) -> Console:
    """A terminal of so many columns, with colours."""
    options = {"force_terminal": True, "color_system": "truecolor"} | options
    return Console(file=io.StringIO(), width=width, **options)


def output(console: Console) -> str:
    """What was printed, without the styles that rich itself put in."""
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())


def shown(recipe: Recipe, task_id: str, width: int = 80) -> str:
    console = terminal(width)
    show(recipe.output, task_id, console)
    return output(console)


def test_summary_counts_problems_and_pairs(summary):
    assert summary["problems"] == {
        "read": 4,
        "skipped": {"no tests": 1},
        "with_pair": 2,
        "with_correctness": 2,
        "no_correctness": {"all solutions pass": 1},
        "with_efficiency": 1,
        "no_efficiency": {"no decided difference": 2},
        "tests_cut": 7,
    }
    assert summary["pairs"] == {
        "correctness": {"train": 1, "test": 1},
        "efficiency": {"train": 1, "test": 0},
    }
    assert summary["dropped"] == {"the two texts are the same": 2}


def test_summary_counts_cells(summary):
    cells = summary["cells"]
    assert {name: n for name, n in cells["outcomes"].items() if n} == {
        "passed": 14,
        "failed": 2,
        "error": 1,
        "timeout": 1,
        "not_run": 2,
    }
    assert cells["total"] == 20
    assert sum(cells["by_test"]["sealed"].values()) == 12
    assert cells["by_test"]["unsealed"]["timeout"] == 1
    assert cells["error_types"] == {"ValueError": 1}
    assert cells["cpu_seconds"] == pytest.approx(6)
    assert cells["per_cpu_second"] == pytest.approx(18 / 6)


def test_summary_of_ties_lengths_and_speed(summary):
    assert summary["ties_at_top"]["share"] == pytest.approx(2 / 3)
    assert summary["ties_at_top"]["problems_by_size"] == {
        "1": 1,
        "2": 2,
        "3-4": 0,
        "5-8": 0,
        "9+": 0,
    }
    assert sum(summary["samples"]["scores"]) == 8
    assert summary["lengths"] == {
        "chosen_median": 10,
        "rejected_median": 30,
        "shorter_is_chosen": 1.0,
    }
    assert summary["speed"]["quartiles"] == pytest.approx([4, 4, 4])
    assert summary["wall_seconds"] == SECONDS
    assert summary["sandbox"] == LAYERS


def test_report_json_is_the_summary(recipe, summary):
    page.write(recipe, summary)
    written = json.loads((recipe.output / "report.json").read_text())
    assert written["problems"] == summary["problems"]
    assert written["recipe"]["pairs"]["ties"] == "first"
    assert "samples" not in written


def test_page_is_one_safe_file(recipe, summary):
    text = page.write(recipe, summary).read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&amp;amp; $title" in text
    for forbidden in ("<script", "\x1b", "\u202e"):
        assert forbidden not in text
    addresses = set(re.findall(r"https?://[^\"'<> ]+", text))
    assert all(address.startswith("http://www.w3.org/") for address in addresses)  # XML namespaces
    assert "set/one" in text, "the problem with both kinds of pairs is the one explained"
    assert "chosen: solution 1" in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(svg)


def test_page_closes_its_tags(recipe, summary):
    open_tags: list[str] = []

    class Checker(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "br"):
                open_tags.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Checker().feed(page.write(recipe, summary).read_text())
    assert not open_tags


@pytest.mark.parametrize("soft_wrap", [False, True])  # True is what the command uses in a pipe
def test_tables_fit_80_columns(summary, soft_wrap):
    summary["problems"]["no_efficiency"] = {"fewer than two solutions " * 4: 123_456_789}
    summary["cells"]["outcomes"] |= {"passed": 123_456_789_012}
    summary["sandbox"] = {"landlock": "a long story, [/red] " * 10}
    console = terminal(soft_wrap=soft_wrap)
    tables.print_tables(summary, console)
    text = output(console)
    assert max(map(len, text.splitlines())) <= 80
    for fact in ("no tests", "123,456,789", "wall seconds", "landlock (a long story, [/red]"):
        assert fact in text


def test_tables_say_nothing_of_layers_that_are_on(summary):
    console = terminal()
    tables.print_tables(summary | {"sandbox": {"seccomp": "on"}}, console)
    assert "sandbox" not in output(console)


def test_no_efficiency_pairs_is_no_error(tmp_path):
    recipe = make_run(tmp_path / "run", PROBLEMS[1:])
    summary = report.summarise(recipe, Counts(), {}, {})
    tables.print_tables(summary, terminal())
    assert "no efficiency pairs" in page.write(recipe, summary).read_text()
    assert summary["speed"]["quartiles"] is None


def test_no_pairs_at_all_is_no_error(tmp_path):
    recipe = make_run(tmp_path / "run", PROBLEMS[1:2])
    summary = report.summarise(recipe, Counts(), {}, {})
    assert "No problem gave a pair" in page.write(recipe, summary).read_text()


def test_show_marks_solutions_and_says_why(recipe):
    text = shown(recipe, PROBLEMS[0]["task_id"])
    assert re.search(r"^ +1 +0 +1 +3/3 +A +4 ms  \.\.\. chosen, slow$", text, re.M)
    assert re.search(r"^ +1 +1 +1 +3/3 +A +1 ms  \.\.\. fast$", text, re.M)
    assert re.search(r"^ +3 +2 +0.3333 +1/3 +B +\.FE *$", text, re.M)
    assert re.search(r"^ +4 +3 +0 +0/3 +C +T-- rejected$", text, re.M)
    assert "solution 0 takes 4 ms: 4.00 times as long" in " ".join(text.split())
    assert "no correctness pair" not in text


def test_show_orders_tests_and_marks_them(tmp_path):
    recipe = make_run(tmp_path / "run", (problem("t", ["fpp", "ffp"], no_correctness="why"),))
    lines = [line for line in shown(recipe, "t").splitlines() if "  assert f(" in line]
    assert [line[line.index("assert") :][:11] for line in lines] == [
        "assert f(2)",
        "assert f(1)",
        "assert f(0)",
    ]
    assert ["*s" in line for line in lines] == [True, True, False]


def test_show_gives_the_reason_where_there_is_no_pair(recipe):
    text = shown(recipe, "set/two")
    assert "no correctness pair: all solutions pass" in text
    assert "no efficiency pair: no decided difference" in text


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("row", PROBLEMS)
def test_show_is_safe_and_fits(recipe, row, width):
    text = shown(recipe, row["task_id"], width)
    assert max(map(len, text.splitlines())) <= width
    assert "[/red] [bold]x" in text
    assert "\\x1b[31m" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_show_cuts_many_tests_with_a_note(tmp_path):
    recipe = make_run(tmp_path / "run", (problem("t", ["p" * 200], no_correctness="why"),))
    text = shown(recipe, "t")
    assert "to 200 of this order do not fit the width" in text
    assert max(map(len, text.splitlines())) <= 80


def test_show_of_a_problem_of_which_nothing_ran(tmp_path):
    row = problem("t", ["nn", "nn"], no_correctness="why") | {"best": None, "credible_tests": []}
    assert "--" in shown(make_run(tmp_path / "run", (row,)), "t")


def test_unknown_task_names_near_ones(recipe):
    with pytest.raises(
        InputError, match=r"no task 'set/tow' among its 3 problems; did you mean 'set/two'"
    ):
        show(recipe.output, "set/tow", terminal())


def test_show_refuses_what_is_no_run_or_not_finished(recipe, tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        show(tmp_path, "set/two", terminal())
    shard_path(recipe.output, "timings", 0).unlink()
    with pytest.raises(InputError, match="timings of 'set/two' are missing or out of date"):
        show(recipe.output, "set/two", terminal())


def test_overview_reads_strings_and_messages(tmp_path):
    dpo = tmp_path / "dpo"
    dpo.mkdir()
    rows = [
        exported(pair("correctness", 0, 1)),
        exported(pair("correctness", 0, 1), rejected="zz"),
        exported(pair("efficiency", 0, 1, (0.5, 1.0))),
    ]
    (dpo / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    numbers = read_pairs(dpo)
    assert numbers.chosen.values == [10, 10]
    assert numbers.rejected.values == [30, 2]
    assert numbers.shorter_chosen == 1
    assert numbers.ratios.values == [2]
    pair_plots.write_png(dpo, tmp_path / "pairs.png")
    assert (tmp_path / "pairs.png").read_bytes().startswith(b"\x89PNG")


def test_samples_are_bounded_and_fair():
    sample = Sample()
    for number in range(50_000):
        sample.add(number)
    assert len(sample.values) == 5000
    assert sum(sample.values) / 5000 == pytest.approx(25_000, rel=0.03)


def test_plots_of_extremes_are_drawn():
    pair_plots.as_svg([0, 1_000_000], [0], [1.1000001])
    build_plots.scores([0] * 25, {"1": 0})
    grid = [["passed"] * 300 for _ in range(200)]
    svg = build_plots.heat_map(
        grid, range(200), range(300), [True] * 300, {0: "chosen", 199: "rejected"}
    )
    assert len(svg) < 500_000, "cells are pixels, not paths"
    assert "currentColor" in svg


def test_small_words():
    assert [duration(s) for s in (2.5, 0.0125, 3.21e-5, 4e-9)] == [
        "2.5 s",
        "12.5 ms",
        "32.1 µs",
        "4 ns",
    ]
    assert plain("a\r\nb\x07\tc") == "a\nb\\x07\tc"
    assert cut_code("x = 1\n") == ("x = 1", "")
    code, note = cut_code("x = 1\n" * 500)
    assert code.count("\n") == 79
    assert "80 lines" in note
