"""Fault injection: what can happen to a machine while a build runs on it, seeded."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from codedpo_plugin.errors import DamageError
from codedpo_plugin.run_folder.shards import Row, read_shard, shard_key

DAMAGES = ("pages", "footer", "cut")
"""Ways to damage a shard."""

FIXES = re.compile(
    r"[Rr]un the same command|`codedpo build`|free some space|fix the folder's permissions"
)
"""What every message must name."""

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static int (*real)(clockid_t, struct timespec *);
int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME) {
        struct timespec steady;
        real(CLOCK_MONOTONIC, &steady);
        now->tv_sec += (steady.tv_sec % 3 - 1) * 86400 * 400;  /* a year back, or ahead */
    }
    return result;
}
"""


class Build:
    """A build that is started again, whatever ended it, until it is done."""

    def __init__(self, recipe: Path, environment: dict[str, str] | None = None) -> None:
        self._command = [sys.executable, "-m", "codedpo_plugin.cli", "build", str(recipe)]
        self._environment = os.environ | (environment or {})
        self.messages: list[str] = []
        """Errors of the runs that failed."""

    def start(self) -> "subprocess.Popen[str]":
        """Start, or resume."""
        return subprocess.Popen(
            self._command,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: "subprocess.Popen[str]") -> bool:
        """Wait for the end; returns whether all is done. An error message must name a fix."""
        _, error = process.communicate()
        if process.returncode > 0:
            assert FIXES.search(error), f"no fix is named in: {error}"
            assert "Traceback" not in error, error
            self.messages.append(error)
        return process.returncode == 0

    def until_done(self, tries: int = 4) -> None:
        """Run it again as its messages ask, at most `tries` times."""
        for _ in range(tries):
            if self.end(self.start()):
                return
        raise AssertionError(f"not done after {tries} runs: {self.messages}")


def kill_at_random(build: Build, kills: int, seed: int, parents: float = 0.1) -> dict[str, int]:
    """SIGKILL workers of a build (with probability `parents` its parent) at random moments, then let
    it finish.

    Returns how often each was killed, and how often the build was started.
    """
    rng = random.Random(seed)
    done = {"workers": 0, "parent": 0, "started": 0}
    while done["workers"] + done["parent"] < kills:
        process = build.start()
        done["started"] += 1
        moment = time.monotonic() + 1.0
        while process.poll() is None and done["workers"] + done["parent"] < kills:
            time.sleep(0.02)
            victims = workers(process.pid)
            if time.monotonic() < moment or not victims:
                continue
            moment = time.monotonic() + rng.uniform(0.2, 2.5)
            role = "parent" if rng.random() < parents else "workers"
            kill(process.pid if role == "parent" else rng.choice(victims))
            done[role] += 1
        build.end(process)
    build.until_done()
    return done


def kill(pid: int) -> None:
    """SIGKILL, unless it has already ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def workers(parent: int) -> list[int]:
    """The worker processes of a build."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            command = path.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"spawn_main" in command:
            found.append(int(path.parent.name))
    return sorted(found)


def damage(path: Path, rng: random.Random, how: str = "anywhere") -> None:
    """Damage a file as a bad disk would.

    Args:
        path: a shard, or with `anywhere` and `cut` any file.
        rng: chooses the position.
        how: one bit flips in the `pages` of a shard, in its `footer` or `anywhere` in the file; or
            the file is `cut` short.
    """
    data = bytearray(path.read_bytes())
    start, end = 0, len(data)
    footer = end - 8 - int.from_bytes(data[-8:-4], "little")
    if how == "pages":
        end = footer - 8  # without the checksums, part of which is read with the footer
    elif how == "footer":
        start = footer
    position = rng.randrange(start, end)
    if how == "cut":
        del data[position:]
    else:
        data[position] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def trial(shard: Path, copy: Path, rng: random.Random, times: int) -> dict[str, int]:
    """Damage copies of a shard in all ways. Returns how often that is noticed from the footer alone or
    when the rows are read; if unnoticed, how often the rows are the same and how often not.
    """
    rows, found = read_shard(shard), Counter[str]()
    for how in DAMAGES:
        for _ in range(times):
            shutil.copyfile(shard, copy)
            damage(copy, rng, how)
            found[f"{how}: {noticed(copy, shard_key(shard), rows)}"] += 1
    return dict(found)


def noticed(copy: Path, key: str | None, rows: list[Row]) -> str:
    """How the damage is noticed, if at all."""
    if shard_key(copy) != key:
        return "noticed from the footer"
    try:
        return "same rows" if read_shard(copy) == rows else "OTHER ROWS"
    except DamageError:
        return "noticed when read"


def jumping_clock(folder: Path) -> dict[str, str]:
    """Environment of processes whose clock jumps by a year, back and forth, every second.

    Raises:
        FileNotFoundError: there is no C compiler.
    """
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(CLOCK)
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True
    )
    return {"LD_PRELOAD": str(library)}
