"""What can come out of running one solution with one test."""

from typing import NamedTuple

OUTCOMES = {
    "passed": "the test held",
    "failed": "the assertion was false, or an AssertionError was raised",
    "error": "any other exception, including SystemExit and SyntaxError",
    "timeout": "used its CPU time, or waited for too long",
    "memory": "ran out of memory",
    "crashed": "the process died, or ended before the test did",
    "flaky": "differs between two runs: it depends on chance, time or the order of a set",
    "not_run": "too long, skipped after repeated time-outs, or killed by the machine",
}


class Verdict(NamedTuple):
    """One cell of the pass matrix."""

    outcome: str
    """A key of `OUTCOMES`."""
    seconds: float = 0.0
    """CPU seconds used."""
    error: str | None = None
    """`Type: message` of what was raised, or how the process died."""
    returned: str | None = None
    """What the calls under test returned; see `judge.returned_text`."""
