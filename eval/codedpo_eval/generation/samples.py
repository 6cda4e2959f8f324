"""Samples: what is graded, one row each, from `codedpo eval generate` or from a user.

| column | type | meaning |
|---|---|---|
| `task_id` | str | |
| `sample` | int | number within the task, from 0 |
| `solution` | str | the complete program |
| `prompt`, `response` | str or messages; str | the prompt, and the model's answer unchanged |
| `finish_reason` | str | `stop`, or `length`: the answer was cut |

A user's rows need `task_id`, and `solution` or `completion` (what follows the task's prompt), as in
evalplus.
"""

import gzip
import json
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codedpo_eval.benchmarks.registry import Benchmark
from codedpo_plugin.errors import InputError
from codedpo_plugin.run_folder.shards import Row, replacing

FILE = "samples.jsonl"


@dataclass
class Samples:
    """Samples of a benchmark, in the order of its tasks, with notices about them."""

    rows: list[Row]
    missing: list[str] = field(default_factory=list)
    """Tasks without a sample; they count as failed."""
    unknown: dict[str, int] = field(default_factory=dict)
    """Tasks that are not in the benchmark -> number of samples left out."""
    notices: list[str] = field(default_factory=list)

    def by_task(self) -> dict[str, list[Row]]:
        """Task id -> its samples."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            found[row["task_id"]].append(row)
        return found


def read(path: Path, benchmark: Benchmark) -> Samples:
    """Read samples from a file, and check them against the benchmark.

    Raises:
        InputError: a row is wrong or repeated, the file is truncated, or no sample is of this
            benchmark.
    """
    prompts = {task.task_id: task.prompt for task in benchmark.tasks}
    by_task: dict[str, list[Row]] = {task_id: [] for task_id in prompts}
    unknown: Counter[str] = Counter()
    places: dict[tuple[str, int], str] = {}
    for place, raw in _rows(path):
        row = _checked(place, raw, prompts)
        if row["task_id"] not in prompts:
            unknown[row["task_id"]] += 1
            continue
        others = by_task[row["task_id"]]
        row.setdefault("sample", len(others))
        name = (row["task_id"], row["sample"])
        if name in places:
            raise InputError(
                f"{place}: sample {name[1]} of {name[0]} is also at {places[name]}; "
                "remove one, or the column `sample` (then all rows count)"
            )
        places[name] = place
        others.append(row)
    found = Samples([row for rows in by_task.values() for row in rows], unknown=dict(unknown))
    if not found.rows:
        example = f"; its tasks are like {min(unknown)!r}" if unknown else ""
        raise InputError(f"{path}: no sample of a task of {benchmark.name}{example}")
    found.missing = [task_id for task_id, rows in by_task.items() if not rows]
    found.notices = _notices(by_task, found, len(prompts))
    return found


def write(path: Path, rows: list[Row]) -> None:
    """Write `samples.jsonl`."""
    with replacing(path) as file:
        for row in rows:
            file.write(json.dumps(row).encode() + b"\n")


def _rows(path: Path) -> list[tuple[str, Any]]:
    if path.is_dir():
        raise InputError(f"{path}: a folder; samples are one file of JSON lines")
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append((f"{path}, line {number}", json.loads(line)))
        except ValueError:
            why = "the file is truncated there" if number == len(lines) else "not JSON"
            raise InputError(
                f"{path}, line {number}: {why}; {len(found):,} complete rows come before it"
            ) from None
    return found


def _checked(place: str, raw: Any, prompts: dict[str, str]) -> Row:
    if not isinstance(raw, dict):
        raise InputError(f"{place}: expected an object with `task_id` and `solution`")
    task_id = raw.get("task_id")
    names = ", ".join(map(str, raw))
    if not isinstance(task_id, str):
        raise InputError(f"{place}: `task_id` has to be a string; the row has: {names}")
    row = dict(raw)
    if isinstance(row.get("completion"), str) and "solution" not in row:
        row["solution"] = prompts.get(task_id, "") + row["completion"]
    if not isinstance(row.get("solution"), str):
        raise InputError(
            f"{place}: neither `solution` (a complete program) nor `completion` (what follows "
            f"the prompt) is a string; the row has: {names}"
        )
    number = row.get("sample", 0)
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise InputError(f"{place}: `sample` has to be a number from 0, not {number!r}")
    return row


def _notices(by_task: dict[str, list[Row]], found: Samples, tasks: int) -> list[str]:
    notices = []
    if found.missing:
        notices.append(
            f"{len(found.missing)} of {tasks} tasks have no sample and count as failed "
            f"(the first: {found.missing[0]})"
        )
    if found.unknown:
        notices.append(
            f"{sum(found.unknown.values())} samples of {len(found.unknown)} tasks that are "
            f"not in the benchmark are left out (the first: {min(found.unknown)})"
        )
    counts = {len(rows) for rows in by_task.values() if rows}
    if len(counts) > 1:
        notices.append(
            f"tasks have {min(counts)} to {max(counts)} samples: pass@k is given for k up to "
            f"{min(counts)}"
        )
    texts = [[row["solution"] for row in rows] for rows in by_task.values() if rows]
    if all(len(one) % 2 == 0 and one[: len(one) // 2] == one[len(one) // 2 :] for one in texts):
        notices.append("every sample occurs twice: was the file written twice?")
    return notices
