"""A million cells in a row through one sandbox: nothing may grow.

    python benchmarks/soak.py [--cells 1000000]

Solutions that are right, wrong, crash, exit, print, write files, sort, leave state, and (one cell
in a thousand) never end, in an order drawn from a seed; every outcome is checked. After a tenth of
the cells, and at the end, descriptors, processes, scratch files, resident and private memory of
this process and the zygote are recorded. Exits with an error if a number has grown (memory: by more
than 2 MB), or if the zygote has been replaced, which means that the first one died.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

from codedpo_plugin.sandbox.client import Cell, Limits, Reply, Sandbox

CALL: Cell = {"calls": ["f([3, 1, 2])"], "names": []}
SNIPPET: Cell = {"snippet": "assert f([3, 1, 2]) == [1, 2, 3]"}

# name: share, solution, cells of one request, outcome of each
KINDS: dict[str, tuple[float, str, list[Cell], str]] = {
    "right, shared worker": (40, "def f(x):\n return sorted(x)", [CALL] * 20, "ended"),
    "right, worker per cell": (10, "s = []\ndef f(x):\n return sorted(x)", [CALL] * 5, "ended"),
    "right, not split": (10, "def f(x):\n return sorted(x)", [SNIPPET] * 5, "ended"),
    "wrong": (5, "def f(x):\n return x", [SNIPPET] * 5, "failed"),
    "raises": (5, "def f(x):\n return x[9]", [CALL] * 20, "error"),
    "syntax error": (2, "def f(x:", [CALL] * 5, "error"),
    "prints": (5, "def f(x):\n print('noise' * 10_000)\n return x", [CALL] * 5, "ended"),
    "large value": (2, "def f(x):\n return [0] * 1_000", [CALL] * 5, "ended"),
    "leaves files": (
        5,
        "import os\ndef f(x):\n os.makedirs('a/b', exist_ok=True)\n"
        " for n in range(5): open(f'a/b/{n}', 'w').write('x' * 1000)\n return os.listdir('a/b')",
        [CALL] * 5,
        "ended",
    ),
    "leaves descriptors": (
        3, "import os\nk = [os.pipe() for _ in range(9)]\ndef f(x):\n return 1", [CALL] * 5, "ended"
    ),
    "crashes": (3, "import os\ndef f(x):\n os.abort()", [CALL] * 5, "crashed"),
    "exits": (3, "import os\ndef f(x):\n os._exit(0)", [CALL] * 5, "crashed"),
    "too much memory": (2, "def f(x):\n return [0] * 10**10", [CALL] * 5, "memory"),
    "forks": (3, "import os\ndef f(x):\n return os.fork()", [CALL] * 5, "error"),
}  # fmt: skip
ENDLESS = "def f(x):\n while True: pass"


def main() -> None:
    """Run, watch, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    start = time.monotonic()
    with Sandbox(Limits(seconds=0.05, memory_mb=256)) as sandbox:
        done, wrong = soak(sandbox, arguments.cells // 10, rng)
        first = look(sandbox)
        print(f"{done:,} cells", flush=True)
        while done < arguments.cells:
            more, others = soak(sandbox, arguments.cells // 10, rng)
            done, wrong = done + more, wrong + others
            last = look(sandbox)
            print(f"{done:,} cells", flush=True)
    for name, value in last.items():
        print(f"{name:26} after a tenth {first[name]:8g}   at the end {value:8g}")
    seconds = time.monotonic() - start
    print(f"{done:,} cells in {seconds:,.0f} s, {wrong} unexpected outcomes")
    grown = [name for name, value in last.items() if value - first[name] > allowed(name)]
    left = os.path.exists(sandbox.zygote.scratch.path)
    if wrong or grown or left or last["zygote"] != first["zygote"]:
        sys.exit(f"unexpected outcomes: {wrong}; grown or changed: {grown}")


def soak(sandbox: Sandbox, cells: int, rng: random.Random) -> tuple[int, int]:
    """Run about `cells` cells; how many ran, and how many had an unexpected outcome."""
    done = wrong = 0
    names, shares = list(KINDS), [kind[0] for kind in KINDS.values()]
    while done < cells:
        name = rng.choices(names, shares)[0]
        _, solution, kind_cells, expected = KINDS[name]
        wrong += unexpected(name, sandbox.run(solution, kind_cells), expected)
        done += len(kind_cells)
        if rng.random() < len(kind_cells) / 1000:
            wrong += unexpected("never ends", sandbox.run(ENDLESS, [CALL]), "timeout")
            done += 1
    return done, wrong


def unexpected(name: str, replies: list[Reply], expected: str) -> int:
    """How many replies are unexpected; the first one is printed."""
    others = [reply for reply in replies if reply.outcome != expected]
    if others:
        print(f"{name}: {others[0]}", flush=True)
    return len(others)


def look(sandbox: Sandbox) -> dict[str, float]:
    """The numbers that must not grow."""
    controller, zygote = os.getpid(), sandbox.zygote.pid
    time.sleep(0.05)  # the last fork server may still be ending
    found: dict[str, float] = {"zygote": zygote}
    for name, pid in {"controller": controller, "zygote": zygote}.items():
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        found[f"{name}: MB resident"] = int(fields["VmRSS"].split()[0]) / 1000
        found[f"{name}: MB private"] = int(fields["RssAnon"].split()[0]) / 1000
        found[f"{name}: processes"] = len(below(pid))
        found[f"{name}: descriptors"] = descriptors(pid)
    found["scratch files"] = sum(len(files) for _, _, files in os.walk(sandbox.zygote.scratch.path))
    return found


def below(pid: int) -> list[int]:
    """All processes below one."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [p for child in map(int, children) for p in (child, *below(child))]


def descriptors(pid: int) -> float:
    """Open descriptors; those of the zygote, which is hidden, only root can count."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return float("nan")


def allowed(name: str) -> float:
    """By how much a number may grow."""
    return float("inf") if name == "zygote" else 2.0 if "MB" in name else 0


if __name__ == "__main__":
    main()
