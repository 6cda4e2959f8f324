"""A running zygote, as seen by its trusted parent: process, pipes, scratch folder, cgroup."""

import contextlib
import json
import marshal
import os
import select
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codedpo_plugin.errors import InfrastructureError
from codedpo_plugin.sandbox import scratch
from codedpo_plugin.sandbox.cgroup import Cgroup
from codedpo_plugin.sandbox.protocol import FORK_SERVER_CRASHED, HEADER, LENGTH, Frame

_PROGRAM = str(Path(__file__).with_name("zygote.py"))
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "LD_BIND_NOW": "1",  # otherwise each worker would look up library functions at their first call
}


def _import_path() -> tuple[str, ...]:
    paths = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return tuple(path for path in dict.fromkeys(paths) if os.path.isdir(path))


@dataclass(frozen=True)
class Interpreter:
    """The Python that runs solutions: this one, or another of version 3.11 or later."""

    python: str = sys.executable
    """Its executable."""
    path: tuple[str, ...] = field(default_factory=_import_path)
    """Its folders of installed packages, which solutions may import."""
    prelude: str = ""
    """Trusted source that is run once, before anything is locked, for example imports that every
    worker needs. It must not leave a thread behind."""
    environment: tuple[tuple[str, str], ...] = ()
    """Additional environment variables."""


class Died(Exception):
    """The zygote has ended, or does not answer."""


class Zygote:
    """Starts a zygote, sends requests, reads replies.

    Raises:
        InfrastructureError: it does not start.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        interpreter: Interpreter,
        *,
        start_seconds: float,
        pin_to: int | None,
        seed: int,
    ) -> None:
        """`settings`: what the zygote reads, see `zygote.main`; `start_seconds`: within
        which it must have started; `pin_to`: a core to run on; `seed`: of `random` and of hashes.
        """
        self.scratch = scratch.Scratch()
        self.cgroup = Cgroup(settings["memory_bytes"])
        self._rest = b""  # received, but not read yet
        self._process = self._start(settings, interpreter, seed)
        self.pid = self._process.pid
        self.cgroup.add(self.pid)
        if pin_to is not None:
            os.sched_setaffinity(self.pid, {pin_to})
        try:
            (frame,) = self.read(start_seconds)
        except Died as died:
            self.close()
            raise InfrastructureError(f"the sandbox does not start ({died}): {_PROGRAM}") from None
        hello = json.loads(frame[-1])
        self.layers: dict[str, str] = hello["layers"] | {"cgroup": self.cgroup.state}
        self.native: bool = hello["native"]

    def _start(
        self, settings: dict[str, Any], interpreter: Interpreter, seed: int
    ) -> "subprocess.Popen[bytes]":
        """Open the pipes, and start the process with its ends of them."""
        request_end, self._requests = os.pipe()
        self._replies, reply_end = os.pipe()
        self._pipes = [self._requests, self._replies]
        settings = settings | {
            "requests": request_end,
            "replies": reply_end,
            "parent": os.getpid(),
            "path": list(interpreter.path),
            "prelude": interpreter.prelude,
            "scratch": self.scratch.path,
            "seed": seed,
        }
        environment = _ENVIRONMENT | {
            "TMPDIR": self.scratch.path,
            "HOME": self.scratch.path,
            "PYTHONHASHSEED": str(seed),
            **dict(interpreter.environment),
        }
        process = subprocess.Popen(
            [interpreter.python, "-s", "-S", "-P", "-B", _PROGRAM, json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(request_end, reply_end),
            cwd=self.scratch.path,
            env=environment,
            start_new_session=True,
        )
        os.close(request_end)
        os.close(reply_end)
        return process

    def kill(self) -> bool:
        """End it and its descendants; whether it had ended because a fork server crashed, which
        only a request can cause.
        """
        if self._process.returncode is None:  # otherwise another process may have its pid
            self.cgroup.kill()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait() == FORK_SERVER_CRASHED

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it, and leave nothing behind; may be called again."""
        self.kill()
        while self._pipes:
            os.close(self._pipes.pop())
        self.cgroup.remove()
        self.scratch.remove()

    def times_full(self) -> int:
        """How often its processes together have reached their memory limit."""
        return self.cgroup.times_full()

    def send(self, request: dict[str, Any]) -> None:
        """Send a request; raises `Died`."""
        data = marshal.dumps(request)
        self.write(LENGTH.pack(len(data)) + data)

    def write(self, data: bytes) -> None:
        """Send bytes; raises `Died`."""
        try:
            while data:
                data = data[os.write(self._requests, data) :]
        except BrokenPipeError:
            raise Died("its pipe is closed") from None

    def read(self, seconds: float, count: int = 1) -> Iterator[Frame]:
        """The next replies; `seconds`: within which each must have come; raises `Died`."""
        data, at = self._rest, 0
        for _ in range(count):
            if at + HEADER.size > len(data):
                data, at = self._more(data[at:], HEADER.size, seconds), 0
            *head, length = HEADER.unpack_from(data, at)
            start = at + HEADER.size
            if start + length > len(data):
                data, start = self._more(data[start:], length, seconds), 0
            at = start + length
            yield *head, data[start:at]
        self._rest = data[at:]

    def _more(self, data: bytes, size: int, seconds: float) -> bytes:
        """Data and what follows it, at least `size` bytes in all."""
        deadline = time.monotonic() + seconds
        parts, missing = [data], size - len(data)
        while missing > 0:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._replies], [], [], left)[0]:
                raise Died("no answer")
            part = os.read(self._replies, 1 << 20)
            if not part:
                raise Died("it ended")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)
