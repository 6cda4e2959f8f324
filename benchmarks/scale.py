"""What a build costs at two sizes: wall and CPU seconds by stage, and the peak memory of a process.

    python benchmarks/scale.py 2000 20000 [--workers 2] [--folder /tmp/scale]
    python benchmarks/scale.py 2000 20000 --recorded runs/quickstart

Every command runs in a fresh process and is measured from outside. `--recorded` takes a finished
run of the example and skips what does not depend on the number of problems: its 44 problems are
repeated under other ids, and the results of executing and timing them are copied from that run.
Reading, ranking, pairs, dataset and report are real.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from make_candidates import examples, rows

from codedpo_plugin.executors.stage_runner import schema_of
from codedpo_plugin.recipe import Recipe, load_recipe
from codedpo_plugin.run_folder.candidates import read_manifest
from codedpo_plugin.run_folder.shard_keys import is_finished, wanted_key
from codedpo_plugin.run_folder.shards import Row, read_rows, read_shard, shard_path, write_shard
from codedpo_plugin.stages import CANDIDATES, DATASET, STAGES

CODEDPO = [sys.executable, "-m", "codedpo_plugin.cli"]
RECORDED = ("execute", "probe", "time")  # stages that --recorded takes from a finished run
READ = "import sys; from pathlib import Path; from rich.console import Console; "
READ += "from codedpo_plugin import pipeline, recipe; "
READ += "pipeline.prepare(recipe.load_recipe(Path(sys.argv[1])), Console())"


def main() -> None:
    """Measure both sizes, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", type=int, nargs=2)
    parser.add_argument("--recorded", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shard-size", type=int, default=50)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/scale"))
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {load:.1f} at the start")
    template = recorded(arguments.recorded) if arguments.recorded else None
    found = [measured(size, arguments, template) for size in arguments.sizes]
    print(f"{'':12}" + "".join(f"{size:>24,}" for size in arguments.sizes) + f"{'CPU ratio':>12}")
    for step in found[0]:
        small, large = (one.get(step) for one in found)
        if small and large:
            print(f"{step:12}{cells(small)}{cells(large)}{large['each'] / small['each']:12.2f}")
    for whose in ("parent", "worker"):
        small_mb, large_mb = (max(step[whose] for step in one.values()) for one in found)
        print(
            f"peak MB, {whose}: {small_mb:.0f} and {large_mb:.0f}, ratio {large_mb / small_mb:.2f}"
        )


def cells(step: dict[str, float]) -> str:
    """`12.3 s wall 4.56 ms each`."""
    return f"{step['wall']:9.1f} s {1000 * step['each']:8.2f} ms CPU"


def recipe_of(size: int, arguments: argparse.Namespace) -> tuple[Path, Recipe]:
    """A recipe for `size` problems; makes both unless they exist."""
    folder = arguments.folder / str(size)
    folder.mkdir(parents=True, exist_ok=True)
    candidates, file = folder / "candidates.jsonl", folder / "recipe.yaml"
    if not candidates.exists():
        with open(folder / "new", "w", encoding="utf-8") as out:
            made = repeated(size) if arguments.recorded else rows(size)
            out.writelines(json.dumps(row) + "\n" for row in made)
        (folder / "new").rename(candidates)
    settings = {
        "candidates": str(candidates),
        "output": str(folder / "run"),
        "workers": arguments.workers,
        "shard_size": arguments.shard_size,
    }
    file.write_text(json.dumps(settings))  # JSON is YAML
    return file, load_recipe(file)


def repeated(size: int) -> Iterator[Row]:
    """The example's problems, repeated under other ids."""
    templates = examples()
    for n in range(size):
        row = templates[n % len(templates)]
        yield row | {"task_id": f"{row['task_id']}/{n}"}


def recorded(run: Path) -> dict[str, list[Row]]:
    """Stage -> its rows in a run of the example, for the stages in `RECORDED`."""
    return {name: list(read_rows(run, STAGES[name].folder)) for name in RECORDED}


def measured(size: int, arguments: argparse.Namespace, template: Any) -> dict[str, Any]:
    """Step -> wall seconds, CPU seconds per problem, peak MB of parent and workers.

    Measurements are kept beside the run, so that an interrupted benchmark can be resumed.
    """
    file, recipe = recipe_of(size, arguments)
    kept = file.with_name("steps.json")
    steps = json.loads(kept.read_text()) if kept.exists() else {}

    def measure(name: str, command: list[str]) -> None:
        if name not in steps:
            steps[name] = watched(command, size)
            kept.write_text(json.dumps(steps, indent=1))
            print(f"{size:,} {name}: {cells(steps[name])}", flush=True)

    measure(CANDIDATES.name, [sys.executable, "-c", READ, str(file)])
    for name in STAGES:
        if template and name in RECORDED:
            fill(name, recipe, template[name])
        else:
            measure(name, [*CODEDPO, name, str(file)])
    measure(DATASET.name, [*CODEDPO, "export", str(file)])
    return steps


def fill(name: str, recipe: Recipe, template: list[Row]) -> None:
    """Write the shards of a stage from recorded rows."""
    stage = STAGES[name]
    for index in range(read_manifest(recipe.output)["shards"]):
        if is_finished(stage, recipe, index):
            continue
        names = read_shard(shard_path(recipe.output, CANDIDATES.folder, index), ["task_id"])
        made = [
            template[(index * recipe.shard_size + n) % len(template)] | row
            for n, row in enumerate(names)
        ]
        path, key = shard_path(recipe.output, stage.folder, index), wanted_key(stage, recipe, index)
        write_shard(path, made, schema_of(stage, recipe), str(key))


def watched(command: list[str], problems: int) -> dict[str, float]:
    """Run a command, sampling the memory of its processes ten times a second."""
    before, started = os.times(), time.monotonic()
    peaks = {"parent": 0.0, "worker": 0.0}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            record_peak(peaks, "parent", process.pid)
            for worker in children(process.pid, lambda command: b"spawn_main" in command):
                record_peak(peaks, "worker", worker)
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return {"wall": time.monotonic() - started, "each": cpu / problems} | peaks


def record_peak(peaks: dict[str, float], whose: str, pid: int) -> None:
    """Update the peak resident memory of `whose` processes, in MB."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return
    for line in text.splitlines():
        if line.startswith("VmHWM"):
            peaks[whose] = max(peaks[whose], int(line.split()[1]) / 1024)


def children(parent: int, wanted: Callable[[bytes], bool]) -> list[int]:
    """Child processes whose command line satisfies `wanted`."""
    found = []
    for thread in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            for pid in thread.read_text().split():
                if wanted(Path(f"/proc/{pid}/cmdline").read_bytes()):
                    found.append(int(pid))
        except OSError:
            continue
    return found


if __name__ == "__main__":
    main()
