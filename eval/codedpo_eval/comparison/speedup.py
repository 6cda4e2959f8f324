"""Speedup: how much faster one run's right programs are than another's, problem by problem.

As the paper defines it (section 4.3): over the problems that both solve, time before / time after;
optimised means at least 10 % faster. Times are taken by the protocol of `sandbox.clocks`: all
programs of a problem in persistent processes on one core, CPU time, rounds in random order, only
samples of one round compared. A copy of one program races along: what it seems to gain is the
noise of this very session.

Where runs have several right programs of a problem, all are paired with all (the difference of
mean logarithms), or the medians are; never the best of one with the first of the other.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from codedpo_eval.benchmarks.registry import Task
from codedpo_eval.grading import grade
from codedpo_plugin.machine import own_core
from codedpo_plugin.parsing.programs import keeps_state, normalised
from codedpo_plugin.run_folder.shards import Row, key_of
from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.statistics import bootstrap, wilson_interval
from codedpo_plugin.timing.inputs import enlarge
from codedpo_plugin.timing.speed_ratio import exceeds_ratio, median_with_error

FILE = "speedups.jsonl"
RATIO = 1.10
"""Times at least so much apart count as optimised, or slowed (paper, section 4.3)."""

_VERSION = 1
_BATCH = 5  # rounds between two looks at the result
_PATIENCE = ((0.05, 1 << 30), (1.0, 1))  # CPU seconds that a call may take; most calls then


@dataclass(frozen=True)
class Protocol:
    """How long programs are measured."""

    runs: int = 3
    """Times that everything is measured, in fresh processes."""
    rounds: int = 20
    """Rounds of a run, at most."""
    min_rounds: int = 10
    sample_seconds: float = 0.001
    """Calls are repeated until a sample takes so much CPU time."""
    seconds: float = 10.0
    """CPU seconds that one run of one problem may take."""
    programs: int = 8
    """Different right programs of a run that are measured for one problem: the first ones."""
    inputs: int = 12
    """Inputs that a program is called on: the largest."""
    pairing: str = "all"
    """`all` right programs of a side count, by the mean of logarithms; or their `median`."""
    shared: bool = True
    """Whether a program that both sides have runs once for both. Not so in a run against itself."""
    memory_mb: int = 4096


@dataclass(frozen=True)
class Sides:
    """Right programs of one problem, of both runs, and calls to time them on."""

    task: Task
    calls: list[str]
    before: list[str]
    after: list[str]


def measure(sides: list[Sides], protocol: Protocol, out: Path, console: Console) -> list[Row]:
    """Measure problems, one row each; rows are kept in `OUT/speedups.jsonl`, and never made twice.

    Returns:
        Rows of `task_id` and either `unmeasured` (why) or: `log_speedup` and `standard_error`
        (ln of time before / time after), `runs` (those of each run), `control` and
        `control_error` (the same of a program and its copy), `seconds_before`, `seconds_after`
        (medians, of one pass over the inputs), `programs`, `inputs`, `rounds`.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = {row["key"]: row for row in grade.read(out / FILE)}
    rows, limits = [], Limits(protocol.seconds, protocol.memory_mb, max_timeouts=1000)
    with (
        own_core() as core,
        Sandbox(limits, pin_to=core) as sandbox,
        open(out / FILE, "a") as file,
    ):
        shown = track(sides, "speedup", console=console, disable=not console.is_terminal)
        for one in shown:
            key = key_of(_VERSION, asdict(protocol), one.task.source, one.before, one.after)
            if key not in known:
                found = {"key": key, "task_id": one.task.task_id} | _problem(one, protocol, sandbox)
                file.write(json.dumps(found) + "\n")
                file.flush()
                known[key] = found
            rows.append(known[key])
    return rows


def _problem(sides: Sides, protocol: Protocol, sandbox: Sandbox) -> Row:
    before, after = (_distinct(some, protocol) for some in (sides.before, sides.after))
    if not before or not after:
        return {"unmeasured": "all right programs of a side keep state between calls"}
    if before == after and protocol.shared:
        return _equal(before)
    raced = _raced(before, after, protocol)
    texts = list(dict.fromkeys(raced.texts))
    calls = _quick_enough(sides.calls, texts, protocol.inputs, sandbox)
    if not calls:
        return {"unmeasured": "no input on which all programs are quick enough"}
    calls = enlarge(calls, texts, sandbox)
    runs = [_run(raced, calls, protocol, sandbox) for _ in range(protocol.runs)]
    if None in runs:
        return {"unmeasured": "a program broke, or took too long, in one of the runs"}
    return _row([run for run in runs if run], len(texts), len(calls))


@dataclass(frozen=True)
class _Raced:
    """Programs that run side by side, and which of them make up a side: an entry per sample."""

    texts: list[str]
    before: list[int]
    after: list[int]


def _raced(before: Counter[str], after: Counter[str], protocol: Protocol) -> _Raced:
    texts = [*before]
    places = {text: n for n, text in enumerate(texts)} if protocol.shared else {}
    for text in after:
        if text not in places:
            places[text] = len(texts)
            texts.append(text)
    of_before = [n for n, count in enumerate(before.values()) for _ in range(count)]
    return _Raced(texts, of_before, [places[text] for text in after.elements()])


def _quick_enough(calls: list[str], texts: list[str], most: int, sandbox: Sandbox) -> list[str]:
    """The largest inputs on which no program takes long; a single slower one if there is none."""
    for seconds, number in _PATIENCE:
        some = sorted(calls, key=len)[-3 * most :] if number > 1 else sorted(calls, key=len)[:3]
        replies = sandbox.run_all(texts, [{"calls": [call]} for call in some], seconds)
        quick = [
            call
            for call, column in zip(some, zip(*replies, strict=True), strict=True)
            if all(reply.record for reply in column)
        ]
        if quick:
            return quick[-min(number, most) :]
    return []


def _distinct(programs: list[str], protocol: Protocol) -> Counter[str]:
    """Different programs without state, and how many samples are each."""
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
    """Both sides have the same programs: nothing to measure."""
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
    """One run of one problem; logarithms of times, [rounds]."""

    before: np.ndarray
    after: np.ndarray
    original: np.ndarray
    copy: np.ndarray


def _run(raced: _Raced, calls: list[str], protocol: Protocol, sandbox: Sandbox) -> _Run | None:
    """Measure all programs and a copy of the first against each other; None where one broke."""
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
    """Whether further rounds could hardly change on which side of 10 % it is."""
    sure = abs(log_speedup) + 2 * error < math.log(RATIO)
    return sure or exceeds_ratio(log_speedup, error, RATIO)


def _row(runs: list[_Run], programs: int, inputs: int) -> Row:
    middles = [median_with_error(run.before - run.after) for run in runs]
    controls = [median_with_error(run.original - run.copy) for run in runs]
    log_speedup, error = _over_runs(middles)
    control, control_error = _over_runs(controls)
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


def _over_runs(found: list[tuple[float, float]]) -> tuple[float, float]:
    """Mean of runs and its standard error: by rounds within runs, or by runs, if that is larger."""
    middles = np.array([middle for middle, _ in found])
    within = math.sqrt(sum(error**2 for _, error in found)) / len(found)
    between = float(np.std(middles, ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else 0.0
    return float(middles.mean()), max(within, between)


# -- figures --------------------------------------------------------------------------------------


def summarise(rows: list[Row], solved_before: int, wrong_after: int) -> dict[str, Any]:
    """Figures over problems.

    Args:
        rows: of `measure`: the problems that both solve.
        solved_before: problems that the run before solves.
        wrong_after: of these, those that the run after does not.
    """
    good = [row for row in rows if "unmeasured" not in row]
    logs = np.array([row["log_speedup"] for row in good])
    errors = np.array([row["standard_error"] for row in good])
    timed = [row for row in good if row["control"] is not None]
    raw, gated = _shares(logs, errors)
    control_logs = np.array([row["control"] for row in timed])
    control_errors = np.array([row["control_error"] for row in timed])
    control_raw, control_gated = _shares(control_logs, control_errors)
    zeros = [*np.exp(logs).tolist(), *[0.0] * wrong_after]
    return {
        "joint": len(rows),
        "measured": len(good),
        "equal_programs": len(good) - len(timed),
        "resolved": int(sum(2 * errors <= math.log(RATIO))),
        "unmeasured": dict(Counter(row["unmeasured"] for row in rows if "unmeasured" in row)),
        "geometric_mean": _geometric_mean(logs),
        "median": float(np.exp(np.median(logs))) if len(logs) else None,
        "quartiles": np.exp(np.quantile(logs, (0.25, 0.75))).tolist() if len(logs) else None,
        "optimised": raw["faster"],
        "optimised_gated": gated["faster"],
        "slowed": raw["slower"],
        "slowed_gated": gated["slower"],
        "control": {
            "geometric_mean": _geometric_mean(control_logs),
            "optimised": control_raw["faster"],
            "optimised_gated": control_gated["faster"],
            "slowed": control_raw["slower"],
            "slowed_gated": control_gated["slower"],
        },
        "wrong_as_zero": {
            "problems": len(zeros),
            "solved_before": solved_before,
            "mean": _mean(zeros),
            "optimised_gated": _share(gated["faster"]["count"], len(zeros)),
        },
    }


def _geometric_mean(logs: np.ndarray) -> list[float] | None:
    if not len(logs):
        return None
    low, high = bootstrap(logs)
    return [math.exp(value) for value in (float(logs.mean()), low, high)]


def _mean(values: list[float]) -> list[float] | None:
    if not values:
        return None
    low, high = bootstrap(np.array(values))
    return [float(np.mean(values)), low, high]


def _shares(logs: np.ndarray, errors: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """Shares at least 10 % faster and slower: as measured, and where that is sure."""
    sure = [
        math.copysign(1, value) * exceeds_ratio(value, error, RATIO)
        for value, error in zip(logs, errors, strict=True)
    ]
    apart = [math.copysign(1, value) * (abs(value) >= math.log(RATIO)) for value in logs]
    raw, gated = (
        {
            "faster": _share(signs.count(1), len(signs)),
            "slower": _share(signs.count(-1), len(signs)),
        }
        for signs in (apart, sure)
    )
    return raw, gated


def _share(count: int, of: int) -> dict[str, Any]:
    if not of:
        return {"count": 0, "of": 0, "share": None}
    return {"count": count, "of": of, "share": [count / of, *wilson_interval(count, of)]}


def by_run(rows: Iterable[Row], name: str = "runs") -> list[list[float]]:
    """Speedups of the problems that were timed, for each run."""
    return [
        np.exp(column).tolist()
        for column in zip(*(row[name] for row in rows if row.get(name)), strict=False)
    ]
