"""What can go wrong, by who can mend it.

A solution that fails is *data*: it is recorded as an outcome and never raised. The two errors
here are the other cases, and neither is ever recorded as a failing test.
"""


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
