"""What can go wrong, by who can mend it.

A solution that fails is *data*: it is recorded as an outcome and never raised. The two errors
here are the other cases, and neither is ever recorded as a failing test.
"""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Something the user gave is wrong; the message names the file, line or key, and the mend."""


class InfrastructureError(Exception):
    """The machine failed us (full disk, killed worker, dead sandbox); finished shards are kept."""


class StorageError(InfrastructureError):
    """The run folder cannot be read or written: no further shard can be kept, so work stops."""


class DamageError(InfrastructureError):
    """A shard was damaged where it lay. It has been removed, so it is made again by the next run,
    and what reads it is not tried again before.
    """


def did_you_mean(word: str, valid: Iterable[str], most: int = 1) -> str:
    """`; did you mean 'this'?` for a message on a wrong word; empty where no valid one is close."""
    close = difflib.get_close_matches(word, list(valid), n=most)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
