"""The paper's ablations with the tiny coder: which ranking, which training, how much data.

    python recipes/tiny/ablations.py runs/tiny/ablations --seeds 3

Each seed is one base model, whose samples are made and executed once. Variants differ in how pairs
are selected or in how the model is trained on them. Finished work is kept: run the command again to
resume. At the end it writes docs/experiments.md and docs/experiments.png.
"""

import argparse
import functools
import importlib
import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import figures
import numpy as np
import pretrain
import world
from rich.console import Console

from codedpo_eval.benchmarks.registry import load
from codedpo_eval.comparison import compare, speedup
from codedpo_eval.generation import generate as asking
from codedpo_eval.generation import samples
from codedpo_eval.grading import grade as grading
from codedpo_eval.reporting import report, run_page
from codedpo_eval.verdict import PASS, GradeSettings
from codedpo_plugin import pipeline, stages
from codedpo_plugin.dataset import export
from codedpo_plugin.execution.execute import execute_problem
from codedpo_plugin.executors.stage_runner import make_shard
from codedpo_plugin.recipe import Recipe, Sampling, load_recipe
from codedpo_plugin.reporting.render import Rows, markdown_table
from codedpo_plugin.run_folder import candidates
from codedpo_plugin.run_folder.shard_keys import is_finished
from codedpo_plugin.run_folder.shards import Row, read_rows, replacing
from codedpo_plugin.sandbox.client import Sandbox
from codedpo_plugin.statistics import Interval, bootstrap_crossed, bootstrap_nested
from codedpo_plugin.training import recipe as training

HERE = Path(__file__).parent
TRL = HERE.parent / "trl"
SAMPLES = 10  # of each held-out exercise
CONSOLE = Console()

PAPER = ("pairs.selection=worst", "pairs.min_confidence=0")
CORRECTNESS = ("pairs.efficiency=false",)
QUIETLY = ("disable_tqdm=true", "eval_strategy=null", "eval_steps=null")


@dataclass(frozen=True)
class Variant:
    """One way from the samples of a base model to a trained model."""

    build: tuple[str, ...] = ()
    """Settings of the build, over those of build.yaml."""
    method: str = "dpo"
    train: tuple[str, ...] = ()
    """Settings of the training, over those of recipes/trl/METHOD.yaml and train.yaml."""
    share: float = 1.0
    """Share of the exercises with pairs that are trained on."""
    solutions: int = 15
    tests: int = 15
    speed: bool = False
    """Whether speedup is measured."""


def _ranked(name: str) -> Variant:
    return Variant((f"pairs.ranker={name}", *PAPER, *CORRECTNESS))


DEFAULT = Variant(speed=True)
GROUPS: dict[str, dict[str, Variant]] = {
    "Ranking": {
        "random": _ranked("random"),
        "all tests": _ranked("all_tests"),
        "count": _ranked("passed_count"),
        "self-validation": _ranked("self_validation"),
        "our default": Variant(CORRECTNESS),
    },
    "Training": {
        "SFT": Variant(method="sft"),
        "KTO": Variant(method="kto"),
        "DPO": Variant(train=("loss_type=[sigmoid]", "loss_weights=[1.0]")),
        "RPO": DEFAULT,
        "RPO, paper's pairs": Variant(
            ("pairs.ranker=self_validation", *PAPER, "timing.enlarge=false"), speed=True
        ),
    },
    "Data": {
        "25 %": Variant(share=0.25),
        "50 %": Variant(share=0.5),
        "75 %": Variant(share=0.75),
        "100 %": DEFAULT,
    },
    "Samples of solutions x tests, correctness pairs": {
        "5 x 5": Variant(CORRECTNESS, solutions=5, tests=5),
        "5 x 15": Variant(CORRECTNESS, solutions=5),
        "15 x 5": Variant(CORRECTNESS, tests=5),
        "15 x 15": Variant(CORRECTNESS),
    },
}


def variants() -> Iterator[Variant]:
    """Each variant once: the default first, slow ones last."""
    found = dict.fromkeys(one for group in GROUPS.values() for one in group.values())
    yield from sorted(found, key=lambda one: (one != DEFAULT, one.speed))


# -- one seed -----------------------------------------------------------------------------------


class Seed:
    """A base model, its samples, and the results of all variants on them."""

    def __init__(self, folder: Path, data: Path, seed: int) -> None:
        self.folder, self.data, self.base = (
            folder / f"seed{seed}",
            data,
            folder / f"seed{seed}/base",
        )
        if not (self.base / "model.safetensors").exists():
            pretrain.pretrain(self.base, seed)
        self.shared = self.folder / "shared"
        recipe = self._recipe(self.shared)
        pipeline.synthesize(stages.SYNTHESIS, recipe, (1, 1), CONSOLE)
        make(recipe, "execute", "probe", "rank")

    def _recipe(self, output: Path, *settings: str) -> Recipe:
        fixed = (
            f"problems={self.data}/train.jsonl",
            f"sampling.model={self.base}",
            "shard_size=500",
        )
        return load_recipe(HERE / "build.yaml", [*fixed, f"output={output}", *settings])

    def result(self, variant: Variant | None) -> Row:
        """Result of a variant (None: the base model): computed, or read if it exists."""
        folder = self.folder / ("before" if variant is None else _name(variant))
        file = folder / "result.json"
        if not file.exists():
            started = time.monotonic()
            made = (
                self._solved(self.base, folder) if variant is None else self.made(variant, folder)
            )
            made["seconds"] = time.monotonic() - started
            with replacing(file) as out:
                out.write(json.dumps(made).encode())
        found: Row = json.loads(file.read_text())
        return found

    def made(self, variant: Variant, folder: Path, keep: bool = False) -> Row:
        """Pairs, training and evaluation of a variant; the model is deleted unless `keep`."""
        dataset = self._dataset(variant, folder)
        if dataset is None:  # nothing to learn from: the model stays as it is
            return self.result(None) | {"pairs": 0, "right": []}
        train(variant, self.base, dataset, folder / "model")
        found = self._solved(folder / "model", folder)
        found |= {"pairs": _lines(dataset / "dpo" / "train.jsonl")}
        found["right"] = self._right(variant, dataset)
        if variant.speed:
            found["speedup"] = self._speedup(folder)
        if not keep:
            shutil.rmtree(folder / "model")
        return found

    def _dataset(self, variant: Variant, folder: Path) -> Path | None:
        """Dataset of a variant, None without pairs; reuses the seed's executions if they apply."""
        file = stages.GENERATE.path(self.shared)
        whole = (variant.solutions, variant.tests) == (15, 15)
        if not whole:
            file = _cut(file, folder / "candidates.jsonl", variant)
        settings = (*variant.build, "problems={}", f"candidates={file}")
        recipe = self._recipe(folder / "build", *settings)
        if whole and not recipe.output.exists():
            for stage in (stages.CANDIDATES, stages.EXECUTE, stages.PROBE, stages.RANK):
                shutil.copytree(self.shared / stage.folder, recipe.output / stage.folder)
        make(recipe, *stages.STAGES)
        if not any(row["pairs"] for row in read_rows(recipe.output, "pairs")):
            return None
        export.export(recipe)
        dataset: Path = recipe.output / stages.DATASET.folder
        if variant.share < 1:
            _keep_share(dataset, variant.share)
        return dataset

    def _solved(self, model: Path, folder: Path) -> Row:
        """The share of right samples of every held-out exercise."""
        benchmark = load(str(self.data / "heldout.jsonl"))
        how = Sampling(
            backend="transformers", model=str(model), temperature=1.0, top_p=1.0, max_tokens=120
        )
        asking.generate(benchmark, how, "chat", SAMPLES, folder, CONSOLE)
        settings = GradeSettings(seconds=1.0)
        verdicts = grading.grade(benchmark, folder, settings, 1, CONSOLE)
        found = samples.read(folder / samples.FILE, benchmark)
        run_page.write(folder, report.summarise(benchmark, found, verdicts, settings))
        right = {task.task_id: 0 for task in benchmark.tasks}
        for row in verdicts:
            right[row["task_id"]] += row["base"] == PASS
        return {"solved": [count / SAMPLES for count in right.values()]}

    def _speedup(self, folder: Path) -> Row:
        """Speedup of the right programs over the base model's."""
        benchmark = load(str(self.data / "heldout.jsonl"))
        protocol = speedup.Protocol(runs=1, rounds=10, programs=4, inputs=6)
        before = self.folder / "before"
        made = compare.compare(
            before, folder, benchmark, folder / "compare", protocol, Console(quiet=True)
        )
        rows = json.loads((folder / "compare" / compare.FILE).read_text())["problems"]
        found: Row = made["speedup"]
        return {
            "logs": [row["log_speedup"] for row in rows if "unmeasured" not in row],
            "optimised": found["optimised_gated"],
            "slowed": found["slowed_gated"],
        }

    def _right(self, variant: Variant, dataset: Path) -> list[bool]:
        """For each correctness pair, whether chosen is right and rejected is wrong."""
        found = []
        for line in (dataset / "correctness" / "train.jsonl").read_text().splitlines():
            pair = json.loads(line)
            truth = self.truth[pair["task_id"]]
            found.append(truth[pair["chosen_index"]] and not truth[pair["rejected_index"]])
        return found

    @functools.cached_property
    def truth(self) -> dict[str, list[bool]]:
        """For each exercise, which of the seed's samples pass the reference tests."""
        exercises = {one.task_id: one for one in world.exercises("train")}
        found = {}
        with Sandbox() as sandbox:
            for row in read_rows(self.shared, "candidates"):
                right = world.reference_tests(exercises[row["task_id"]])
                done = execute_problem(row | {"tests": right}, sandbox, 100_000)
                found[row["task_id"]] = [set(line) == {"passed"} for line in done["outcomes"]]
        return found


def make(recipe: Recipe, *names: str) -> None:
    """Run stages in this process: for so few problems, starting workers would take longer."""
    candidates.ingest(recipe)
    for name in names:
        stage = stages.STAGES[name]
        if not is_finished(stage, recipe, 0):
            make_shard(name, recipe, 0, lambda: None)


def _name(variant: Variant) -> str:
    """A folder name that describes the variant."""
    text = repr(variant)
    kept = [c if c.isalnum() or c in "=._" else "-" for c in text.removeprefix("Variant")]
    return "".join(kept).strip("-").replace("--", "-")[:200]


def _cut(source: Path, target: Path, variant: Variant) -> Path:
    """The first solutions and tests of every problem."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "w") as out:
        for line in source.read_text().splitlines():
            row = json.loads(line)
            for name in ("solutions", "responses"):
                row[name] = row[name][: variant.solutions]
            row["tests"] = row["tests"][: variant.tests]
            out.write(json.dumps(row) + "\n")
    return target


def _keep_share(dataset: Path, share: float) -> None:
    """Keep the training pairs of so many exercises."""
    for file in dataset.glob("*/train.jsonl"):
        lines = file.read_text().splitlines()
        names = sorted({json.loads(line).get("task_id") for line in lines if "task_id" in line})
        kept = set(names[: math.ceil(share * len(names))])
        some = [line for line in lines if json.loads(line).get("task_id") in kept]
        file.write_text("".join(f"{line}\n" for line in some))


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines())


def train(variant: Variant, base: Path, dataset: Path, out: Path) -> None:
    """Train with TRL's own script, as `trl METHOD --config FILE` does."""
    import datasets

    shutil.rmtree(out, ignore_errors=True)
    # The cache of `datasets` identifies a folder by its name and file list only.
    datasets.config.HF_DATASETS_CACHE = out / "cache"
    names = {"model_name_or_path": base, "dataset_name": dataset, "output_dir": out}
    settings = [f"{name}={value}" for name, value in names.items()]
    paths = [TRL / f"{variant.method}.yaml", HERE / "train.yaml"]
    recipe = training.load(paths, [*settings, *QUIETLY, *variant.train])
    out.mkdir(parents=True)
    training.write(recipe, out / "train.yaml")
    script = importlib.import_module(f"trl.scripts.{variant.method}")
    arguments = script.make_parser().parse_args_and_config(["--config", str(out / "train.yaml")])
    script.main(*arguments)


# -- figures over seeds ---------------------------------------------------------------------------


def interval(table: np.ndarray) -> Interval:
    """Mean and 95 % interval of a table [seeds, exercises]; both are resampled."""
    return float(table.mean()), *bootstrap_crossed(table)


def summarise(
    seeds: list[Seed], finished: list[Variant]
) -> tuple[np.ndarray, dict[str, dict[str, Row]]]:
    """Held-out shares of the base models [seeds, exercises]; group -> variant -> its figures."""
    base = np.array([seed.result(None)["solved"] for seed in seeds])
    found: dict[str, dict[str, Row]] = {}
    for group, members in GROUPS.items():
        for name, variant in members.items():
            if variant not in finished:
                continue
            results = [seed.result(variant) for seed in seeds]
            found.setdefault(group, {})[name] = _figures(results, base)
    # A group with a single variant compares nothing.
    return base, {group: members for group, members in found.items() if len(members) > 1}


def _figures(results: list[Row], base: np.ndarray) -> Row:
    solved = np.array([one["solved"] for one in results])
    right = [flag for one in results for flag in one["right"]]
    figures: Row = {
        "pass": interval(solved),
        "gain": interval(solved - base),
        "pairs": float(np.mean([one["pairs"] for one in results])),
        "right": float(np.mean(right)) if right else None,
    }
    if "speedup" in results[0]:
        logs = [np.array(one["speedup"]["logs"]) for one in results]
        figures["speedup"] = _over_seeds(logs)
        counts = [one["speedup"] for one in results]
        joint = sum(one["optimised"]["of"] for one in counts)
        for name in ("optimised", "slowed"):
            figures[name] = sum(one[name]["count"] for one in counts) / max(joint, 1)
    return figures


def _over_seeds(logs: list[np.ndarray]) -> Interval:
    """Geometric mean of speedups, over seeds and the problems of each."""
    low, high = bootstrap_nested(logs)
    middle = float(np.mean([one.mean() for one in logs]))
    return math.exp(middle), math.exp(low), math.exp(high)


def page(base: np.ndarray, found: dict[str, dict[str, Row]]) -> str:
    """The tables of docs/experiments.md."""
    parts = [f"Base models: pass@1 {_percent(interval(base))} %."]
    for group, members in found.items():
        speed = any("speedup" in figures for figures in members.values())
        head = ["", "pairs", "right, %", "pass@1, %", "gain, points"]
        head += ["speedup", "optimised", "slowed"] if speed else []
        lines = [_line(name, figures, speed) for name, figures in members.items()]
        parts += [f"## {group}", markdown_table(Rows(head, lines))]
    return "\n\n".join(parts) + "\n"


def _line(name: str, figures: Row, speed: bool) -> list[str]:
    right = "" if figures["right"] is None else f"{100 * figures['right']:.0f}"
    cells = [name, f"{figures['pairs']:.0f}", right, _percent(figures["pass"])]
    cells.append(_percent(figures["gain"], "+"))
    if "speedup" in figures:
        cells.append("{:.2f}\u00d7 [{:.2f}, {:.2f}]".format(*figures["speedup"]))
        cells += [f"{100 * figures[one]:.0f} %" for one in ("optimised", "slowed")]
    elif speed:
        cells += [""] * 3
    return cells


def _percent(value: Interval, sign: str = "") -> str:
    middle, low, high = (f"{100 * part:{sign}.1f}" for part in value)
    return f"{middle} [{low}, {high}]"


def write(seeds: list[Seed], finished: list[Variant], docs: Path) -> None:
    """Write the page and its picture, for variants finished on all seeds."""
    base, found = summarise(seeds, finished)
    shown = {title: {n: f["pass"] for n, f in some.items()} for title, some in found.items()}
    if shown:
        figures.ablations(shown, interval(base), docs / "experiments.png")
    head = (HERE / "experiments-head.md").read_text()
    (docs / "experiments.md").write_text(head + page(base, found) + _missing(finished))


def _missing(finished: list[Variant]) -> str:
    """A line that names the variants that have not run yet."""
    names = [
        f"{group}: {name}"
        for group, members in GROUPS.items()
        for name, variant in members.items()
        if variant not in finished
    ]
    return f"\nNot run yet: {'; '.join(names)}.\n" if names else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--docs", type=Path, default=HERE.parents[1] / "docs")
    arguments = parser.parse_args()
    data = arguments.folder / "data"
    if not data.exists():
        world.write(data)
    seeds = [Seed(arguments.folder, data, seed) for seed in range(arguments.seeds)]
    finished: list[Variant] = []
    for variant in (None, *variants()):
        for seed in seeds:
            found = seed.result(variant)
            name = "base model" if variant is None else _name(variant)
            CONSOLE.print(f"{seed.folder.name} {name}: {np.mean(found['solved']):.3f}")
        if variant:
            finished.append(variant)
            write(seeds, finished, arguments.docs)
    CONSOLE.print((arguments.docs / "experiments.md").read_text(), markup=False)


if __name__ == "__main__":
    main()
