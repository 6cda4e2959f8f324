"""Errors, by who can fix them.

A solution that fails is *data*: it is recorded as an outcome and never raised. The errors here are
the other cases, and none of them is ever recorded as a failing test.
"""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """The user's input is wrong; the message names the file, line or key, and the fix."""


class InfrastructureError(Exception):
    """The machine failed (full disk, killed worker, dead sandbox); finished shards are kept."""


class StorageError(InfrastructureError):
    """The run folder cannot be read or written: no more shards can be saved, so the work stops."""


class DamageError(InfrastructureError):
    """A shard was damaged on disk. It has been removed: the next run makes it again, and until then
    the shards that depend on it are not retried.
    """


def did_you_mean(word: str, valid: Iterable[str], most: int = 1) -> str:
    """`; did you mean 'this'?` for a message about a wrong word; empty if no valid one is close."""
    close = difflib.get_close_matches(word, list(valid), n=most)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
