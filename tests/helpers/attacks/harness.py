"""The harness under attack, a process of its own: a problem per line in, its pass matrix out.

python harness.py '{"namespaces": true, "share": "proved", "seconds": 0.2,
                  "pure_python": false}'
"""

import json
import os
import platform
import resource
import sys
import time
import traceback
from typing import Any

import pyarrow as pa

from codedpo_plugin.execution.execute import execute_problem, schema
from codedpo_plugin.sandbox import seccomp
from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.sandbox.process_tools import PR_SET_NO_NEW_PRIVS, call

MAX_CHARS = 100_000


def main() -> None:
    """Answer until stdin ends; an error of the harness is an answer too."""
    options = json.loads(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))  # for the machine's sake
    if not options["namespaces"]:
        refuse_namespaces()
    limits = Limits(options["seconds"], memory_mb=512, share=options["share"])
    if options["pure_python"]:
        os.environ["CODEDPO_PURE_PYTHON"] = "1"
    with Sandbox(limits) as sandbox, Sandbox(limits, seed=1) as other:
        say(layers=sandbox.layers, native=sandbox.native)
        for line in sys.stdin:
            start, memory = time.monotonic(), peak_mb()
            result, broke = attempt(json.loads(line), sandbox, other)
            say(
                result=result,
                broke=broke,
                seconds=time.monotonic() - start,
                grown_mb=peak_mb() - memory,
                trusted=[pid for one in (sandbox, other) for pid in trusted(one)],
            )


def attempt(
    row: dict[str, Any], sandbox: Sandbox, other: Sandbox
) -> tuple[dict[str, Any] | None, str | None]:
    """The matrix of a problem, or how the harness broke."""
    try:
        result = execute_problem(row, sandbox, MAX_CHARS, other)
        pa.Table.from_pylist([result], schema())  # as a shard is written
        json.dumps(result).encode()
        return result, None
    except Exception:
        return None, traceback.format_exc()


def trusted(sandbox: Sandbox) -> list[int]:
    """The zygote and its fork server, which stay alive; what they fork should not."""
    zygote = sandbox.zygote.pid
    with open(f"/proc/{zygote}/task/{zygote}/children") as file:
        return [zygote, *map(int, file.read().split())]


def say(**answer: object) -> None:
    """Answer, with nothing else on the line."""
    os.write(1, json.dumps(answer).encode() + b"\n")


def peak_mb() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def refuse_namespaces() -> None:
    """Have the kernel refuse new namespaces, as it does in an ordinary container."""
    number = {"x86_64": 272, "aarch64": 97}[platform.machine()]  # unshare
    load, refuse = (0x20, 0, 0, 0), (0x06, 0, 0, 0x00050001)
    code = [load, (0x15, 0, 1, number), refuse, (0x06, 0, 0, 0x7FFF0000)]
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # without it no filter can be installed
    seccomp.Filter(code).install()


if __name__ == "__main__":
    main()
