"""Commands that take minutes: their output is shown while they run."""

import os
import subprocess
from collections import deque
from pathlib import Path

from rich.console import Console

from codedpo_plugin.errors import InfrastructureError

_LAST = 15  # lines of output that an error message repeats


def run(
    command: list[str],
    what: str,
    console: Console,
    *,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    """Run a command in a folder, with further environment variables.

    Raises:
        InfrastructureError: it failed; the message contains the end of its output.
    """
    console.print(f"{what} ...", markup=False, highlight=False)
    last: deque[str] = deque(maxlen=_LAST)
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | (environment or {}),
    ) as process:
        for line in process.stdout or ():
            last.append(f"  {line.rstrip()}")
            console.print(last[-1], markup=False, style="dim", highlight=False)
    if process.returncode:
        raise InfrastructureError(
            f"{what} failed with status {process.returncode}; the end of its output:\n"
            + "\n".join(last)
        )
