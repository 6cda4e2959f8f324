"""Sampling from a stub server in tests."""

from pathlib import Path
from typing import Any

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling import Request, Usage, sample
from helpers.stub_server import Stub


def settings(stub: Stub, **changes: Any) -> Sampling:
    return Sampling(**({"model": "stub", "base_url": stub.url} | changes))


def requests(count: int, n: int = 3) -> list[Request]:
    chat = [{"role": "user", "content": "a problem"}]
    return [
        Request(f"p{k}", "solutions", [{**chat[0], "content": f"p{k}"}], n) for k in range(count)
    ]


def collect(some: list[Request], how: Sampling, cache: Path) -> tuple[dict[str, list[str]], Usage]:
    last = Usage()

    def watch(usage: Usage) -> None:
        nonlocal last
        last = usage

    found = {
        request.key: [one.text for one in samples]
        for request, samples in sample(some, how, cache, watch)
    }
    return found, last
