"""What the trusted client, the zygote and the C runner must agree on: frames, records and limits.

The zygote imports this file, in whatever interpreter runs the solutions, so it needs the standard
library only. `native/` repeats some of the values;
`tests/sandbox/test_protocol.py` compares them.
"""

import struct

# A reply to the client is a header followed by a record. The header: status, program, cell, wait
# status of the worker process, CPU seconds, length of the record in bytes.
HEADER = struct.Struct("<BIIidI")
Frame = tuple[int, int, int, int, float, bytes]  # the fields of the header but the last; the record

# Status of a cell.
ENDED, CPU_LIMIT, WALL_LIMIT, NOT_RUN = range(4)

# Precedes each request to the zygote, and each record in the file that a worker process writes.
LENGTH = struct.Struct("<I")

# Command of a race: the number of rounds, 0 to end (see `race.serve`).
ROUNDS = struct.Struct("<I")

# The first byte of a record, which tells what follows.
VALUES = b"v"  # encoded values, one per line
DONE = b"d"  # nothing: the test held
FALSE = b"f"  # nothing: the assertion was false
WHOLE = b"w"  # nothing: the names that the assertion uses exist, so the test must be run whole
ERROR = b"e"  # the type of the error, then its message on the following lines
NO_MEMORY = ERROR + b"MemoryError"

# Exit status of a zygote whose fork server crashed: caused by the request, never by the machine.
FORK_SERVER_CRASHED = 1

# CPU seconds after which a worker process that several cells share is replaced by a new one.
SHARED_WORKER_SECONDS = 1.0

# The most calls of a cell that the C runner evaluates itself; it leaves the others to `cells`.
PLAIN_CALLS = 8

_WALL_BASE = 2.0
_WALL_PER_CPU_LIMIT = 4.0
_WALL_PER_CPU_USED = 20.0
_KERNEL_MARGIN = 2


def wall_limit(cpu_limit: float, cpu_used: float = 0.0) -> float:
    """Wall-clock seconds that a cell may take; all arguments are in seconds.

    A cell that waits (sleeps, reads) ends after two seconds plus four times its CPU limit. CPU time
    it has used extends this by a factor of 20, because on a busy machine a cell that computes gets
    only a share of a core: then its CPU limit has to decide, not the clock.
    """
    return _WALL_BASE + _WALL_PER_CPU_LIMIT * cpu_limit + _WALL_PER_CPU_USED * cpu_used


def kernel_cpu_limit(cpu_limit: float, cells: int) -> int:
    """CPU seconds after which the kernel kills a worker process that runs `cells` cells.

    Above the limit that the fork server enforces, so it acts only if the fork server is late.
    """
    return int(cpu_limit * cells) + _KERNEL_MARGIN


def pack(
    status: int = ENDED,
    program: int = 0,
    cell: int = 0,
    wait_status: int = 0,
    seconds: float = 0.0,
    record: bytes = b"",
) -> bytes:
    """A frame: header and record."""
    return HEADER.pack(status, program, cell, wait_status, seconds, len(record)) + record
