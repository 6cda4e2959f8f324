"""A run folder written by hand, with hostile texts: nothing is executed."""

import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_plugin.dataset.export import Counts
from codedpo_plugin.execution import execute, probe
from codedpo_plugin.pairing import pairs
from codedpo_plugin.ranking import rank
from codedpo_plugin.recipe import Recipe, load_recipe
from codedpo_plugin.run_folder import candidates
from codedpo_plugin.run_folder.shard_keys import wanted_key
from codedpo_plugin.run_folder.shards import Row, shard_path, write_shard
from codedpo_plugin.stages import CANDIDATES, STAGES
from codedpo_plugin.timing import time_solutions
from helpers.candidates import PAPER

HOSTILE = "<script>alert(1)</script> [/red] [bold]x \x1b[31m \u202e &amp; $title"
LETTERS = {"p": "passed", "f": "failed", "e": "error", "t": "timeout", "n": "not_run"}


def problem(
    task_id: str,
    cells: Sequence[str],
    pairs: Sequence[Row] = (),
    seconds: Sequence[float] = (),
    no_correctness: str | None = None,
    no_efficiency: str | None = None,
) -> Row:
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


def pair(
    kind: str,
    chosen: int,
    rejected: int,
    seconds: tuple[float | None, float | None] = (None, None),
) -> Row:
    """A row of the column `pairs`."""
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


def exported(made: Row, chosen: str = "x" * 10, rejected: str = "y" * 30) -> Row:
    """A row of the dataset for a pair."""
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


def make_run(run: Path, problems: Sequence[Row] = PROBLEMS, shard_size: int = 2) -> Recipe:
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


def terminal(width: int = 80, **options: Any) -> Console:
    """A terminal of this width, with colours."""
    options = {"force_terminal": True, "color_system": "truecolor"} | options
    return Console(file=io.StringIO(), width=width, **options)


def output(console: Console) -> str:
    """What was printed, without the styles that rich added."""
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())
