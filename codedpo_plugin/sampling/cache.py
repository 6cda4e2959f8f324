"""The cache: one sqlite file that holds every sample as soon as it arrives.

Prompts are stored as hashes, API keys not at all.
"""

import contextlib
import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.run_folder.files import storable
from codedpo_plugin.sampling.types import Reply, Request, Sample

CACHE = "samples.sqlite"  # in a run folder

_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
    key TEXT, role TEXT, request TEXT, position INTEGER, text TEXT, finish_reason TEXT,
    PRIMARY KEY (key, role, request, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY, role TEXT, model TEXT, samples INTEGER,
    prompt_tokens INTEGER, completion_tokens INTEGER, retries INTEGER, cost REAL
);
"""


class Cache:
    """Samples by key, role, request and position; one writer at a time.

    Raises:
        InputError: another process is sampling into it, or the file is not a cache.
        InfrastructureError: the disk is full or the folder is not writable.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._lock: IO[str] | None = None
        with self._explained():
            if read_only:
                self._base = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(path)
            self._base = sqlite3.connect(path, timeout=60, check_same_thread=False)
            # A killed process loses nothing; a machine that crashes may lose the last replies.
            self._base.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
            self._base.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and release the lock."""
        self._base.close()
        if self._lock:
            self._lock.close()

    def samples(self, request: Request, settings: Sampling) -> list[Sample]:
        """The cached samples of a request, at most `n`, in order of arrival."""
        with self._explained():
            rows = self._base.execute(
                "SELECT text, finish_reason FROM samples WHERE key = ? AND role = ? "
                "AND request = ? ORDER BY position LIMIT ?",
                (request.key, request.role, request.fingerprint(settings), request.n),
            )
            return [Sample(*row) for row in rows]

    def add(self, request: Request, settings: Sampling, reply: Reply, retries: int = 0) -> None:
        """Store a reply in one transaction."""
        place = (request.key, request.role, request.fingerprint(settings))
        with self._explained(), self._base:
            (start,) = self._base.execute(
                "SELECT coalesce(max(position) + 1, 0) FROM samples "
                "WHERE key = ? AND role = ? AND request = ?",
                place,
            ).fetchone()
            self._base.executemany(
                "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (*place, start + n, storable(sample.text), sample.finish_reason)
                    for n, sample in enumerate(reply.samples)
                ],
            )
            self._base.execute(
                "INSERT INTO requests (role, model, samples, prompt_tokens, completion_tokens, "
                "retries, cost) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(request.role, settings.model, len(reply.samples)),
                    *(reply.prompt_tokens, reply.completion_tokens),
                    *(retries, reply.cost(settings.prices)),
                ),
            )

    def spent(self) -> float:
        """Cost of all requests, over all runs."""
        with self._explained():
            (cost,) = self._base.execute("SELECT total(cost) FROM requests").fetchone()
            return float(cost)

    def totals(self) -> list[dict[str, Any]]:
        """Requests, samples, tokens, retries and cost over all runs, by role and model."""
        names = ("requests", "samples", "prompt_tokens", "completion_tokens", "retries", "cost")
        with self._explained():
            rows = self._base.execute(
                "SELECT role, model, count(*), sum(samples), sum(prompt_tokens), "
                "sum(completion_tokens), sum(retries), sum(cost) FROM requests "
                "GROUP BY role, model ORDER BY min(id)"
            )
            return [dict(zip(("role", "model", *names), row, strict=True)) for row in rows]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise InfrastructureError(
                f"{self.path}: {error}; fix this and run the same command again: samples are kept"
            ) from None
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{self.path}: {error}; move it away to start with an empty cache"
            ) from None


def _locked(path: Path) -> IO[str]:
    """A lock that is released when this process ends."""
    try:
        file = open(path.with_name(f"{path.name}.lock"), "w")
    except OSError as error:
        raise InfrastructureError(f"{path}: not writable: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError(
            f"{path}: another process is sampling into it; wait for it, or use another folder"
        ) from None
    return file
