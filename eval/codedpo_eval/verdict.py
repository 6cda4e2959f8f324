"""The verdict on one sample, and the settings that decide it."""

from dataclasses import asdict, dataclass
from typing import Any

PASS = "pass"
UNGRADED = "ungraded"

STATUSES = {
    PASS: "all tests passed",
    "fail": "a test failed",
    "error": "it raised, does not parse, or lacks the function",
    "timeout": "exceeded its CPU time on a test, and again when run alone",
    "memory": "exceeded its memory limit",
    "crashed": "its process died",
    "missing": "no sample of this task was given",
    UNGRADED: "the task cannot be graded here (`error` says why): it is left out of scores",
}


@dataclass(frozen=True)
class GradeSettings:
    """What decides a verdict, besides benchmark and sample; after a change all is graded again."""

    seconds: float = 2.0
    """Base limit of CPU seconds of a test; for waiting see
    `codedpo_plugin.sandbox.protocol.wall_limit`."""
    factor: float = 5.0
    """The limit is raised to this multiple of the reference solution's CPU time."""
    memory_mb: int = 4096
    """Address space, as in evalplus."""
    options: tuple[tuple[str, str], ...] = ()
    """Further settings of the kind of benchmark: names and values."""

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """The outcome of one program on one task."""

    base: str
    """A key of `STATUSES`."""
    plus: str | None = None
    """Of base and plus tests together: it fails if `base` does. None: there are no plus tests."""
    failed_tests: tuple[int, ...] = ()
    """Positions of the first failed tests, base tests before plus tests."""
    seconds: float = 0.0
    """CPU seconds of all tests."""
    sealed: bool = True
    """Whether every test was judged out of process."""
    error: str | None = None
    """What the first failed test raised, or how the process died."""
