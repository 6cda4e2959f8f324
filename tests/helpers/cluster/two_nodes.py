"""A Ray cluster of two nodes on the loopback of this machine. A worker, then a node, is killed while
a build runs there. Run it in its own network and process namespaces:

    unshare --net --pid --fork --mount-proc python two_nodes.py RECIPE

Writes what was killed and how the build ended to `killed.json`. Ray prefers any other address to the
loopback's, so the namespace must have no other.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PORT = 6399
NODE = ["--num-cpus=1", "--memory=4000000000", "--object-store-memory=80000000"]


def main(recipe: Path) -> None:
    """Start both nodes, build, kill, report."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(24)}
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    os.environ |= {"RAY_raylet_start_wait_time_s": "300"}
    temporary = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # paths of sockets must be short
    ray = str(Path(sys.executable).with_name("ray"))
    head = ["--head", f"--port={PORT}", f"--temp-dir={temporary}", "--include-dashboard=false"]
    run([ray, "start", *head, *NODE])
    first = raylets()
    run([ray, "start", f"--address=127.0.0.1:{PORT}", *NODE])
    (second,) = raylets() - first
    command = [str(Path(sys.executable).with_name("codedpo")), "build", str(recipe)]
    build = subprocess.Popen([*command, "--executor", "ray"])
    shards = recipe.parent / "run" / "executions"
    wait_for(lambda: len(list(shards.glob("*.parquet"))) >= 2 and busy(), build)
    worker = min(busy())
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: len(list(shards.glob("*.parquet"))) >= 4, build)
    os.kill(second, signal.SIGKILL)
    left = len(list(shards.glob("*.parquet")))
    facts = {"worker": worker, "raylet": second, "shards_then": left, "build": build.wait()}
    Path(recipe.parent / "killed.json").write_text(json.dumps(facts))


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def processes(name: str) -> set[int]:
    """Processes whose command contains this word."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if name in path.read_bytes().decode(errors="replace").split("\0")[0]:
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


def raylets() -> set[int]:
    return processes("raylet/raylet")


def busy() -> set[int]:
    """Workers that are making a shard."""
    return processes("ray::_make")


def wait_for(condition: Callable[[], object], build: "subprocess.Popen[bytes]") -> None:
    while not condition():
        if build.poll() is not None:
            raise SystemExit(f"the build has ended with {build.returncode} too early")
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
