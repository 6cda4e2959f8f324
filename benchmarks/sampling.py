"""Overhead and losses of the sampling client, against a stub server on this machine.

    python benchmarks/sampling.py [--requests 2000] [--rounds 5] [--kills 5]

1. Requests per second, up to 64 at a time, against a server that answers immediately, compared with
   a bare loop over the openai client: alternating in one process; medians and quartiles.
2. The same number of requests against a server that fails by a seeded script (429, 500, 503, hangs,
   truncated bodies, HTML pages, too few choices or none, closed connections), while the client is
   killed by SIGKILL.
"""

import argparse
import asyncio
import collections
import json
import os
import platform
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import openai

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling import Request, sample

TESTS = Path(__file__).resolve().parents[1] / "tests"
AT_A_TIME = 64


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
    overhead(options.requests, options.rounds)
    kills(options.requests, options.kills)


def overhead(requests: int, rounds: int) -> None:
    server, url = start_stub()
    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    try:
        for number in range(rounds + 1):  # the first round warms up
            for name, run in (("bare", bare), ("ours", ours)):
                started = time.perf_counter()
                run(url, requests)
                if number:
                    rates[name].append(requests / (time.perf_counter() - started))
    finally:
        server.kill()
    for name, values in rates.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name}: {middle:,.0f} requests/s, quartiles {low:,.0f} and {high:,.0f}")
    ratios = [mine / theirs for mine, theirs in zip(rates["ours"], rates["bare"], strict=True)]
    print(f"ours / bare: {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


def bare(url: str, requests: int) -> None:
    """A loop that stores nothing and stops at the first error."""

    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:
            left = iter(range(requests))

            async def work() -> None:
                for number in left:
                    await client.chat.completions.create(
                        model="stub", n=1, temperature=0.8, top_p=0.95, max_tokens=1024,
                        messages=[{"role": "user", "content": f"p{number}"}],
                    )  # fmt: skip

            await asyncio.gather(*(work() for _ in range(AT_A_TIME)))

    asyncio.run(run())


def ours(url: str, requests: int) -> None:
    settings = Sampling(model="stub", base_url=url, choices=1, max_concurrency=AT_A_TIME)
    with tempfile.TemporaryDirectory() as folder:
        for _ in sample(prompts(requests), settings, Path(folder) / "cache.sqlite"):
            pass


def prompts(count: int) -> list[Request]:
    return [Request(f"p{n}", "x", [{"role": "user", "content": f"p{n}"}], 1) for n in range(count)]


def kills(requests: int, times: int) -> None:
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        log, cache = Path(folder) / "log", Path(folder) / "cache.sqlite"
        server, url = start_stub("--faults", "0.2", "--delay", "0.02", "--log", str(log))
        command = [
            sys.executable,
            str(TESTS / "helpers" / "sample_all.py"),
            url,
            str(cache),
            str(requests),
        ]
        started = time.perf_counter()
        try:
            for part in range(1, times + 1):
                process = subprocess.Popen(command)
                goal = requests * (part - 0.5 + chance.random() / 2) / (times + 1)
                while count(cache) < goal and process.poll() is None:
                    time.sleep(0.01)
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            subprocess.run(command, check=True)
        finally:
            server.kill()
        sent = collections.Counter(map(json.loads, log.read_text().splitlines()))
        with sqlite3.connect(cache) as base:
            kept = [text for (text,) in base.execute("SELECT text FROM samples")]
            retries = base.execute("SELECT total(retries) FROM requests").fetchone()[0]
    print(
        f"{requests:,} wanted, {times} kills, {time.perf_counter() - started:.0f} s: "
        f"{len(kept):,} kept, {len(kept) - len(set(kept))} duplicates; "
        f"{retries:,.0f} requests retried after a fault; "
        f"{len(set(sent) - set(kept))} sent by the server and not kept "
        "(in flight at a kill, at most 8 each time)"
    )


def count(cache: Path) -> int:
    try:
        with sqlite3.connect(f"file:{cache}?mode=ro", uri=True) as base:
            return int(base.execute("SELECT count(*) FROM samples").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def start_stub(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, str(TESTS / "helpers" / "stub_server.py"), *arguments]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    return server, f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"


if __name__ == "__main__":
    main()
