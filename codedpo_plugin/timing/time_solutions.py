"""Timing: which of the solutions that pass all credible tests is fast, and how surely (paper, 3.4).

Reads candidates, executions, probes and scores, adds:

| column | type | meaning |
|---|---|---|
| `timed` | K int | solutions that were timed, best-ranked first |
| `seconds` | K float | median CPU seconds of one pass over the credible tests |
| `log_ratio` | K float | ln(its time / time of the fastest), median over rounds |
| `standard_error` | K float | of `log_ratio` |
| `rounds` | int | rounds taken, of those that ran longest |
| `enlarged` | int | calls whose arguments were enlarged |
| `twin_log_ratio`, `twin_error` | float or null | the same for a copy of the first: a tie? |
| `untimed` | str or null | why the problem was not timed |

A machine that is busy, or changes its clock, slows all solutions of a round alike; so times are
compared within rounds only, as logarithms of ratios, and `seconds` is for people.

A solution that is hopelessly slow leaves after three rounds: most of the time would go to it, and
nothing that it could still do would change a decision. Its figures are those of its rounds; where
it is the first, its copy leaves with it, and there is no `twin_log_ratio`.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from codedpo_plugin.execution.execute import require
from codedpo_plugin.executors.cores import own_core
from codedpo_plugin.parsing.assertions import enlarged, split_test
from codedpo_plugin.parsing.programs import keeps_state
from codedpo_plugin.ranking.credible_tests import credible_tests, ranked, telling_tests
from codedpo_plugin.ranking.pass_matrix import pass_flags
from codedpo_plugin.recipe import Recipe, Timing
from codedpo_plugin.run_folder.shards import Row
from codedpo_plugin.sandbox.client import Limits, Sandbox

SCHEMA = pa.schema(
    [
        ("task_id", pa.string()),
        ("timed", pa.list_(pa.int64())),
        ("seconds", pa.list_(pa.float64())),
        ("log_ratio", pa.list_(pa.float64())),
        ("standard_error", pa.list_(pa.float64())),
        ("rounds", pa.int64()),
        ("enlarged", pa.int64()),
        ("twin_log_ratio", pa.float64()),
        ("twin_error", pa.float64()),
        ("untimed", pa.string()),
    ]
)

_FIRST = 3  # rounds after which those far behind leave ...
_FAR = 4.0  # ... if each says so many times the least ratio: of programs that are just the least
# ratio apart, rounds that scatter by as much as 50 % do so in 2 cases of 100,000
_BATCH = 5  # rounds between two looks at the result
_LIKELY = 2.0  # standard errors by which a difference must exceed the least ratio
_SURE = 3.0  # standard errors ...
_TIMES = 20  # as long, enlarged arguments
_ENLARGED_SECONDS = 0.1  # CPU time of one call with an enlarged argument
_MARGIN = 0.01  # ... and one per cent more: 0 wrong decisions at gaps of 10 %


def time_solutions(rows: Iterable[Row], recipe: Recipe) -> Iterator[Row]:
    """Time the solutions of each row, on a core that nothing else is timed on meanwhile."""
    if not recipe.pairs.efficiency:  # then nobody waits for a core
        yield from (_untimed(row, "switched off") for row in rows)
        return
    limits = Limits(recipe.execute.seconds, recipe.execute.memory_mb)
    with own_core() as core, Sandbox(limits, pin_to=core) as sandbox:
        require(recipe.execute.require, sandbox)
        for row in rows:
            yield _time_problem(row, sandbox, recipe)


def decided(log_ratio: float, standard_error: float) -> bool:
    """Whether two solutions truly differ in speed, at three standard errors and 1 %."""
    return abs(log_ratio) > _SURE * standard_error + _MARGIN


def worth_a_pair(log_ratio: float, standard_error: float, ratio: float) -> bool:
    """Whether a difference is decided, and at least `ratio` even two standard errors lower.

    With ten rounds or more this calls identical programs different in under 1 % of cases, even
    where single rounds scatter by 20 %.
    """
    least = abs(log_ratio) - _LIKELY * standard_error
    return decided(log_ratio, standard_error) and least >= math.log(ratio)


def compare(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Speeds relative to the fastest.

    Args:
        samples: CPU seconds, [rounds, K]; NaN after a program left. The fastest never leaves.

    Returns:
        ln(time / time of the fastest), median over its rounds [K], and its standard error [K].
    """
    fastest = samples[:, _fastest(samples)]
    pairs = []
    for column in samples.T:
        there = np.isfinite(column)
        pairs.append(log_ratio_of(column[there], fastest[there]))
    return np.array([ratio for ratio, _ in pairs]), np.array([error for _, error in pairs])


def _fastest(samples: np.ndarray) -> int:
    """Which program is fastest, by its median over rounds, of those that ran in all of them."""
    there = np.flatnonzero(np.isfinite(samples).all(axis=0))
    if not len(there):
        return 0
    logs = np.log(samples[:, there])
    centred = logs - np.median(logs, axis=1, keepdims=True)
    return int(there[np.argmin(np.median(centred, axis=0))])


def log_ratio_of(slow: np.ndarray, fast: np.ndarray) -> tuple[float, float]:
    """ln(slow / fast) of paired samples [rounds]: the median, and its standard error."""
    return median_of(np.log(slow) - np.log(fast))


def median_of(values: np.ndarray) -> tuple[float, float]:
    """The median of values [rounds], and its standard error.

    1.2533 x 1.4826 x MAD / sqrt(rounds): that of a median of nearly normal values.
    """
    middle = float(np.median(values))
    deviation = float(np.median(np.abs(values - middle)))
    return middle, 1.2533 * 1.4826 * deviation / math.sqrt(len(values))


def enlarge(calls: list[str], programs: list[str], sandbox: Sandbox) -> list[str]:
    """The calls with larger arguments, where all programs still return the same value.

    A test's own inputs are small, and then fast and slow differ in what does not matter. Lists,
    tuples and strings that are literals are repeated; what is not, or makes programs disagree or
    take too long, is left as it was.
    """
    candidates = {call: larger for call in calls if (larger := enlarged(call, _TIMES))}
    cells = [{"calls": [larger], "names": []} for larger in candidates.values()]
    replies = sandbox.run_all(programs, cells, _ENLARGED_SECONDS)
    agreed = {
        call
        for call, column in zip(candidates, zip(*replies, strict=True), strict=True)
        if all(reply.record and reply.record == column[0].record for reply in column)
    }
    return [candidates[call] if call in agreed else call for call in calls]


def _time_problem(row: Row, sandbox: Sandbox, recipe: Recipe) -> Row:
    credible = credible_tests(row, recipe)
    timed = _worth_timing(row, credible, recipe)
    calls = _calls(row, credible)
    if len(timed) < 2:
        return _untimed(row, "fewer than two different solutions pass all credible tests")
    if not calls:
        return _untimed(row, "no credible test calls the entry point")
    programs = [row["solutions"][i] for i in timed]
    larger = enlarge(calls, programs, sandbox) if recipe.timing.enlarge else calls
    ratio = recipe.pairs.min_speed_ratio
    samples = measure([*programs, programs[0]], larger, sandbox, recipe.timing, ratio, twins=1)
    alive = np.flatnonzero(np.isfinite(samples[0, :-1]))
    if len(alive) < 2:
        return _untimed(row, "fewer than two solutions could be measured")
    first, twin = samples[:, 0], samples[:, -1]
    twins = log_ratio_of(twin, first) if np.isfinite(first + twin).all() else (None, None)
    samples = samples[:, alive]
    log_ratio, standard_error = compare(samples)
    return {
        "task_id": row["task_id"],
        "timed": [timed[i] for i in alive],
        "seconds": np.nanmedian(samples, axis=0).tolist(),
        "log_ratio": log_ratio.tolist(),
        "standard_error": standard_error.tolist(),
        "rounds": len(samples),
        "enlarged": sum(one != other for one, other in zip(calls, larger, strict=True)),
        "twin_log_ratio": twins[0],
        "twin_error": twins[1],
        "untimed": None,
    }


def _untimed(row: Row, reason: str) -> Row:
    empty: Row = {name: [] for name in ("timed", "seconds", "log_ratio", "standard_error")}
    nothing = {"rounds": 0, "enlarged": 0, "twin_log_ratio": None, "twin_error": None}
    return {"task_id": row["task_id"], **empty, **nothing, "untimed": reason}


def _worth_timing(row: Row, credible: list[int], recipe: Recipe) -> list[int]:
    """Solutions that pass all credible tests: different programs, that keep no state."""
    if not credible:
        return []
    good: np.ndarray = np.all(pass_flags(row)[:, credible], axis=1)
    different: dict[int, int] = {}
    for index in ranked(row, recipe):
        program = row["programs"][index]
        if good[index] and program not in different and not keeps_state(row["solutions"][index]):
            different[program] = index
    return list(different.values())[: recipe.timing.max_solutions]


def _calls(row: Row, credible: list[int]) -> list[str]:
    """What is repeated: the calls of the telling tests (or the whole test), each once."""
    calls: dict[str, None] = {}
    entry_point = row["entry_point"]
    for index in telling_tests(row, credible):
        test = split_test(row["tests"][index], entry_point)
        if test.judged_outside:
            calls.update(dict.fromkeys(test.calls))
        elif not entry_point or entry_point in test.source:
            calls[test.source] = None
    return list(calls)


def measure(
    programs: list[str],
    calls: list[str],
    sandbox: Sandbox,
    settings: Timing,
    ratio: float,
    twins: int = 0,
) -> np.ndarray:
    """CPU seconds of one pass over the calls, [rounds, programs].

    A program that is far behind leaves after `_FIRST` rounds: NaN from there on. One that broke is
    left out: NaN in all rounds; and if it was the fastest, so are those that left because of it.

    Rounds are taken until it is clear whether the slowest program is slower than the fastest by
    `ratio`, or the limits are reached. The last `twins` programs are copies of the first: they have
    no say in it, and leave with it.
    """
    race = sandbox.race(
        programs, calls, sample_seconds=settings.sample_seconds, seconds=settings.seconds
    )
    racing = len(programs) - twins
    rounds = race.rounds(_FIRST)
    samples = _valid(rounds)
    fastest = _fastest(samples[:, :racing])
    left = _far_behind(samples, fastest, ratio)
    left[racing:] = left[0]
    samples = _without_broken(samples, left, fastest)
    used = 0.0
    while len(rounds) < settings.max_rounds and used < settings.seconds:
        running = ~left & np.isfinite(samples).all(axis=0)
        count = min(_BATCH - len(rounds) % _BATCH, settings.max_rounds - len(rounds))
        rounds += race.rounds(count, running.tolist())
        samples = _without_broken(_valid(rounds), left, fastest)
        used = float(np.nansum(np.maximum(samples, settings.sample_seconds)))
        alive = samples[:, :racing][:, np.isfinite(samples[0, :racing])]
        if len(rounds) >= settings.min_rounds and _is_clear(alive, ratio):
            break
    race.end()
    return samples


def _valid(rounds: list[list[float | None]]) -> np.ndarray:
    """Samples [rounds, programs]; NaN where there is none, or none that can be true."""
    samples = np.array(rounds, dtype=float)
    return np.where(samples > 0, samples, np.nan)


def _far_behind(samples: np.ndarray, fastest: int, ratio: float) -> np.ndarray:
    """Which programs [programs] are slower by far more than `ratio`, in every round and surely."""
    behind = np.log(samples) - np.log(samples[:, [fastest]])
    return np.array(
        [
            bool((column >= math.log(_FAR * ratio)).all())
            and worth_a_pair(*median_of(column), ratio)
            for column in behind.T
        ]
    )


def _without_broken(samples: np.ndarray, left: np.ndarray, fastest: int) -> np.ndarray:
    """The samples, NaN in all rounds of a program that broke, or left because of one that did."""
    ran = np.isfinite(samples).all(axis=0)
    return np.where(np.where(left, ran[fastest], ran), samples, np.nan)


def _is_clear(samples: np.ndarray, ratio: float) -> bool:
    """Whether more rounds could hardly change that the slowest is, or is not, slower by ratio."""
    if samples.shape[1] < 2:
        return True
    log_ratio, standard_error = compare(samples)
    slowest = int(np.argmax(log_ratio))
    if np.isnan(samples[-1, slowest]):  # it has left, being slower by far
        return True
    most = log_ratio[slowest] + _LIKELY * standard_error[slowest]
    return most < math.log(ratio) or worth_a_pair(
        log_ratio[slowest], standard_error[slowest], ratio
    )
