"""What grading one sample says, and what decides it."""

from dataclasses import asdict, dataclass
from typing import Any

PASS = "pass"
UNGRADED = "ungraded"

STATUSES = {
    PASS: "all tests held",
    "fail": "a test did not hold",
    "error": "it raised, does not parse, or has no such function",
    "timeout": "used its CPU time on a test, again when run alone",
    "memory": "ran out of its memory",
    "crashed": "its process died",
    "missing": "no sample of this task was given",
    UNGRADED: "nothing can be said of this task here (`error` says why): it is left out of scores",
}


@dataclass(frozen=True)
class GradeSettings:
    """What decides a verdict, beside benchmark and sample; a change makes every verdict anew."""

    seconds: float = 2.0
    """CPU seconds that a test may use at least; for waiting see
    `codedpo_plugin.sandbox.protocol.wall_limit`."""
    factor: float = 5.0
    """Times the reference solution's CPU time, where that allows a test more."""
    memory_mb: int = 4096
    """Address space, as evalplus has it."""
    options: tuple[tuple[str, str], ...] = ()
    """What the kind of benchmark wants to know besides: names and values."""

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """The outcome of one program on one task."""

    base: str
    """A key of `STATUSES`."""
    plus: str | None = None
    """Of base and further tests together; what fails `base` fails this too. None: no such tests."""
    failed_tests: tuple[int, ...] = ()
    """Positions of the first tests that did not hold, base tests before the others."""
    seconds: float = 0.0
    """CPU seconds of all tests."""
    sealed: bool = True
    """Whether every test was judged outside the program's process."""
    error: str | None = None
    """What the first of these raised, or how the process died."""
