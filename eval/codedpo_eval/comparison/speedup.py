"""Speedup: how much faster one run's right programs are than another's, problem by problem.

As the paper defines it (section 4.3): time before / time after, over the problems that both runs
solve; optimised means at least 10 % faster. Times are measured by `sandbox.race`: all programs of a
problem in persistent processes on one core, CPU time, rounds in random order, and only samples of
the same round are compared. A copy of one program is measured too, as a control: its apparent
speedup is the noise of this session.

Where runs have several right programs of a problem, all are paired with all (the difference of
mean logarithms), or the medians are compared; never the best of one with the first of the other.
"""

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from codedpo_eval.benchmarks.registry import Task
from codedpo_eval.grading import grade
from codedpo_plugin.machine import own_core
from codedpo_plugin.parsing.programs import keeps_state, normalised
from codedpo_plugin.run_folder.shards import Row, key_of
from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.timing.inputs import enlarge
from codedpo_plugin.timing.speed_ratio import exceeds_ratio, median_with_error

FILE = "speedups.jsonl"
RATIO = 1.10
"""Ratio of times from which a program counts as optimised, or slowed (paper, section 4.3)."""

_VERSION = 1
_BATCH = 5  # rounds between two checks whether more are needed
_PATIENCE = ((0.05, 1 << 30), (1.0, 1))  # CPU seconds that a call may take, and how many calls


@dataclass(frozen=True)
class Protocol:
    """What is measured, and for how long."""

    runs: int = 3
    """How often everything is measured, in new processes each time."""
    rounds: int = 20
    """Rounds of a run at most."""
    min_rounds: int = 10
    sample_seconds: float = 0.001
    """CPU time of a sample: calls are repeated to fill it."""
    seconds: float = 10.0
    """CPU seconds that one run of a problem may take."""
    programs: int = 8
    """Different right programs of a side that are measured for a problem: the first ones."""
    inputs: int = 12
    """Inputs that programs are called on: the largest ones."""
    pairing: str = "all"
    """`all` right programs of a side count, by the mean of logarithms; or their `median`."""
    shared: bool = True
    """Whether a program of both sides is measured once for both; false for a run against itself."""
    memory_mb: int = 4096


@dataclass(frozen=True)
class Sides:
    """Right programs of both runs for one problem, and calls to time them on."""

    task: Task
    calls: list[str]
    before: list[str]
    after: list[str]


def measure(sides: list[Sides], protocol: Protocol, out: Path, console: Console) -> list[Row]:
    """Measure problems. Rows are kept in `OUT/speedups.jsonl`, and are not measured again.

    Returns:
        A row for each problem: `task_id`, and either `unmeasured` (the reason) or: `log_speedup`
        and `standard_error` (ln of time before / time after), `runs` (those of each run),
        `control` and `control_error` (the same of a program and its copy), `seconds_before`,
        `seconds_after` (medians, of one pass over the inputs), `programs`, `inputs`, `rounds`.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = {row["key"]: row for row in grade.read(out / FILE)}
    rows, limits = [], Limits(protocol.seconds, protocol.memory_mb, max_timeouts=1000)
    with (
        own_core() as core,
        Sandbox(limits, pin_to=core) as sandbox,
        open(out / FILE, "a") as file,
    ):
        progress = track(sides, "speedup", console=console, disable=not console.is_terminal)
        for one in progress:
            key = key_of(_VERSION, asdict(protocol), one.task.source, one.before, one.after)
            if key not in known:
                found = {"key": key, "task_id": one.task.task_id} | _problem(one, protocol, sandbox)
                file.write(json.dumps(found) + "\n")
                file.flush()
                known[key] = found
            rows.append(known[key])
    return rows


def _problem(sides: Sides, protocol: Protocol, sandbox: Sandbox) -> Row:
    before, after = (distinct_programs(some, protocol) for some in (sides.before, sides.after))
    if not before or not after:
        return {"unmeasured": "all right programs of a side keep state between calls"}
    if before == after and protocol.shared:
        return _equal(before)
    raced = side_by_side(before, after, protocol)
    texts = list(dict.fromkeys(raced.texts))
    calls = _fast_enough(sides.calls, texts, protocol.inputs, sandbox)
    if not calls:
        return {"unmeasured": "no input on which all programs are fast enough"}
    calls = enlarge(calls, texts, sandbox)
    runs = [_run(raced, calls, protocol, sandbox) for _ in range(protocol.runs)]
    if None in runs:
        return {"unmeasured": "a program failed, or took too long, in one of the runs"}
    return _row([run for run in runs if run], len(texts), len(calls))


@dataclass(frozen=True)
class Raced:
    """Programs that are measured together, and which of them form a side: an entry per sample."""

    texts: list[str]
    before: list[int]
    after: list[int]


def side_by_side(before: Counter[str], after: Counter[str], protocol: Protocol) -> Raced:
    texts = [*before]
    places = {text: n for n, text in enumerate(texts)} if protocol.shared else {}
    for text in after:
        if text not in places:
            places[text] = len(texts)
            texts.append(text)
    of_before = [n for n, count in enumerate(before.values()) for _ in range(count)]
    return Raced(texts, of_before, [places[text] for text in after.elements()])


def _fast_enough(calls: list[str], texts: list[str], most: int, sandbox: Sandbox) -> list[str]:
    """The largest calls on which all programs are fast; a single slower one if there is none."""
    for seconds, number in _PATIENCE:
        some = sorted(calls, key=len)[-3 * most :] if number > 1 else sorted(calls, key=len)[:3]
        replies = sandbox.run_all(texts, [{"calls": [call]} for call in some], seconds)
        fast = [
            call
            for call, column in zip(some, zip(*replies, strict=True), strict=True)
            if all(reply.record for reply in column)
        ]
        if fast:
            return fast[-min(number, most) :]
    return []


def distinct_programs(programs: list[str], protocol: Protocol) -> Counter[str]:
    """Different programs that keep no state -> how many samples have them."""
    found: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for program in programs:
        if keeps_state(program):
            continue
        name = normalised(program)
        if name in found or len(found) < protocol.programs:
            counts[found.setdefault(name, name)] += 1
    return counts


def _equal(programs: Counter[str]) -> Row:
    """The row of a problem for which both sides have the same programs."""
    return {
        "log_speedup": 0.0,
        "standard_error": 0.0,
        "runs": [],
        "control": None,
        "control_error": None,
        "seconds_before": None,
        "seconds_after": None,
        "programs": len(programs),
        "inputs": 0,
        "rounds": 0,
    }


@dataclass(frozen=True)
class _Run:
    """One run of one problem: logarithms of CPU times in seconds, [rounds]."""

    before: np.ndarray
    after: np.ndarray
    original: np.ndarray
    copy: np.ndarray


def _run(raced: Raced, calls: list[str], protocol: Protocol, sandbox: Sandbox) -> _Run | None:
    """Measure all programs and a copy of the first one; None if one failed."""
    race = sandbox.race(
        [*raced.texts, raced.texts[0]],
        calls,
        sample_seconds=protocol.sample_seconds,
        seconds=protocol.seconds,
    )
    middle = np.mean if protocol.pairing == "all" else np.median
    rounds: list[list[float | None]] = []
    used, run = 0.0, None
    while len(rounds) < protocol.rounds and used < protocol.seconds:
        rounds += race.rounds(min(_BATCH, protocol.rounds - len(rounds)))
        samples = np.array(rounds, dtype=float)
        if not (np.isfinite(samples).all() and (samples > 0).all()):
            run = None
            break
        used = float(np.maximum(samples, protocol.sample_seconds).sum())
        logs = np.log(samples)
        before, after = (middle(logs[:, side], axis=1) for side in (raced.before, raced.after))
        run = _Run(before, after, logs[:, 0], logs[:, -1])
        if len(rounds) >= protocol.min_rounds and _clear(*median_with_error(before - after)):
            break
    race.end()
    return run


def _clear(log_speedup: float, error: float) -> bool:
    """Whether it is clear on which side of 10 % the speedup is: more rounds are not needed."""
    similar = abs(log_speedup) + 2 * error < math.log(RATIO)
    return similar or exceeds_ratio(log_speedup, error, RATIO)


def _row(runs: list[_Run], programs: int, inputs: int) -> Row:
    middles = [median_with_error(run.before - run.after) for run in runs]
    controls = [median_with_error(run.original - run.copy) for run in runs]
    log_speedup, error = over_runs(middles)
    control, control_error = over_runs(controls)
    return {
        "log_speedup": log_speedup,
        "standard_error": error,
        "runs": [middle for middle, _ in middles],
        "control_runs": [middle for middle, _ in controls],
        "control": control,
        "control_error": control_error,
        "seconds_before": float(np.exp(np.median(np.concatenate([r.before for r in runs])))),
        "seconds_after": float(np.exp(np.median(np.concatenate([r.after for r in runs])))),
        "programs": programs,
        "inputs": inputs,
        "rounds": sum(len(run.before) for run in runs),
    }


def over_runs(found: list[tuple[float, float]]) -> tuple[float, float]:
    """Mean over runs, and its standard error: from rounds within runs or from runs, the larger."""
    middles = np.array([middle for middle, _ in found])
    within = math.sqrt(sum(error**2 for _, error in found)) / len(found)
    between = float(np.std(middles, ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else 0.0
    return float(middles.mean()), max(within, between)
