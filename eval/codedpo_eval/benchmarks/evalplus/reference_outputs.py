"""Reference outputs: what a reference solution returns for each input, and how long it takes.

They are computed in the sandbox, task by task, when first needed, and cached by the hash of the
benchmark's file: `~/.cache/codedpo/references/<hash>/<task>.json.gz`.
"""

import gzip
import json
import marshal
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from codedpo_eval.benchmarks.evalplus.inputs import LONGEST, arguments
from codedpo_eval.benchmarks.files import cache_folder
from codedpo_eval.benchmarks.registry import Benchmark, Task
from codedpo_plugin.errors import InfrastructureError
from codedpo_plugin.run_folder.shards import key_of, replacing
from codedpo_plugin.sandbox.client import Cell, Limits, Reply, Sandbox

_VERSION = 1
_QUICK = 0.2  # CPU seconds of all tests of a task up to which they are not timed one by one
_SEARCHES = frozenset("check_str text_match_three text_starta_endb".split())


@dataclass(frozen=True)
class Expected:
    """Expected outputs of the tests of a task, base tests first."""

    texts: list[str]
    """Encoded values, or encoded hashes of values."""
    hashed: list[bool]
    """Whether it is a hash, because the value is too large to be sent."""
    seconds: list[float]
    """CPU seconds of each test; for quick tasks, each entry is the time of all tests together."""

    @property
    def total_seconds(self) -> float:
        """CPU seconds of all tests."""
        quick = len(set(self.seconds)) == 1
        return self.seconds[0] if quick else sum(self.seconds)


def expected_of(benchmark: Benchmark, task: Task, sandbox: Sandbox, memory_mb: int) -> Expected:
    """Reference outputs of a task, from the cache or computed now.

    Raises:
        InfrastructureError: the reference solution fails on this machine.
    """
    name = re.sub(r"\W", "_", task.task_id)
    folder = cache_folder() / "references" / key_of(_VERSION, benchmark.sha256)
    path = folder / f"{name}.json.gz"
    if (known := _read(path)) is not None:
        return known
    computed = compute(task, sandbox, memory_mb)
    with replacing(path) as file:
        file.write(gzip.compress(json.dumps(asdict(computed)).encode(), 1))
    return computed


def _read(path: Path) -> Expected | None:
    try:
        return Expected(**json.loads(gzip.decompress(path.read_bytes())))
    except (OSError, EOFError, ValueError, TypeError):
        return None


def compute(task: Task, sandbox: Sandbox, memory_mb: int) -> Expected:
    """Run the reference solution on all inputs.

    Raises:
        InfrastructureError: it fails on one of them.
    """
    base, plus = arguments(task)
    inputs = [*base, *plus]
    replies = _replies(task, sandbox, inputs, [False] * len(inputs))
    texts = [_text(task, n, reply) for n, reply in enumerate(replies)]
    large = [_is_large(text) for text in texts]
    if any(large):
        replies = _replies(task, sandbox, inputs, large)
        texts = [_text(task, n, reply) for n, reply in enumerate(replies)]
    total = sum(reply.seconds for reply in replies)
    seconds = [total] * len(inputs)
    if total > _QUICK:  # a process that runs several tests does not report the time of each
        with Sandbox(Limits(LONGEST, memory_mb, share="nothing")) as alone:
            seconds = [reply.seconds for reply in _replies(task, alone, inputs, large)]
    if task.entry_point in _SEARCHES:
        texts = ["false" if text == "null" else "true" for text in texts]
    return Expected(texts, large, seconds)


def _replies(
    task: Task, sandbox: Sandbox, inputs: list[list[object]], digests: list[bool]
) -> list[Reply]:
    cells: list[Cell] = [
        {
            "function": task.entry_point,
            "arguments": marshal.dumps(one, 2),
            "digest": digest,
        }
        for one, digest in zip(inputs, digests, strict=True)
    ]
    (replies,) = sandbox.run_all([task.reference or ""], cells, LONGEST, 10 * LONGEST)
    return replies


def _text(task: Task, test: int, reply: Reply) -> str:
    values = (reply.record or {}).get("values", [])
    if len(values) != 1:
        raise InfrastructureError(
            f"{task.task_id}: its reference solution fails on input {test} "
            f"({reply.outcome}: {reply.error}); the task cannot be graded on this machine"
        )
    return str(values[0])


def _is_large(text: str) -> bool:
    """Whether a plain value was too large to be sent."""
    return bool(re.match(r'\{"object": ?"builtins\.(list|tuple|dict|set|str|int)"\}', text))
