"""Sampling: every sample wanted comes, is kept at once, and is never paid for twice."""

import collections
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import HELPERS

pytest.importorskip("openai", reason="pip install 'codedpo[sample]'")

from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.recipe import Prices, Sampling
from codedpo_plugin.sampling import Cache, Request, Usage, sample
from codedpo_plugin.sampling.concurrency import Limiter
from codedpo_plugin.sampling.retry_policy import retry_after
from helpers.servers import serving
from helpers.stub_server import Stub


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()
    with serving(stub):
        yield stub


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


def test_what_is_in_the_cache_is_not_asked_for_again(stub: Stub, tmp_path: Path) -> None:
    cache = tmp_path / "c.sqlite"
    first, _ = collect(requests(5, n=3), settings(stub), cache)
    more, usage = collect(requests(5, n=5), settings(stub), cache)
    assert all(more[key][:3] == texts for key, texts in first.items())
    assert {len(set(texts)) for texts in more.values()} == {5}
    assert (stub.served, usage.cached, usage.samples) == (25, 15, 10)
    again, usage = collect(
        requests(5, n=5), settings(stub, base_url="http://127.0.0.1:1/v1"), cache
    )
    assert again == more


def test_another_temperature_is_another_request(stub: Stub, tmp_path: Path) -> None:
    collect(requests(1), settings(stub), tmp_path / "c")
    collect(requests(1), settings(stub, temperature=0.0), tmp_path / "c")
    assert [request["temperature"] for request in stub.requests] == [0.8, 0.0]


def test_plain_text_is_continued(stub: Stub, tmp_path: Path) -> None:
    found, _ = collect([Request("a", "x", "def f(", 2)], settings(stub), tmp_path / "c")
    assert found == {"a": ["def f( #1", "def f( #2"]}
    assert stub.requests[0]["prompt"] == "def f("


def test_every_fault_is_overcome(stub: Stub, tmp_path: Path) -> None:
    stub.faults, stub.chance = 0.4, random.Random(3)
    how = settings(stub, timeout=0.3, retries=20, max_concurrency=16)
    found, usage = collect(requests(40, n=5), how, tmp_path / "c")
    assert {len(set(texts)) for texts in found.values()} == {5}
    assert len(found) == 40
    assert not usage.failed
    kinds = {
        "429",
        "500",
        "503",
        "timeout",
        "no connection",
        "cut or broken reply",
        "not a reply of the protocol",
    }
    assert set(usage.retries) == kinds


def test_a_server_that_ignores_n_is_asked_singly(stub: Stub, tmp_path: Path) -> None:
    stub.ignore_n = True
    found, usage = collect(requests(6, n=4), settings(stub), tmp_path / "c")
    assert {len(texts) for texts in found.values()} == {4}
    assert stub.requests[-1]["n"] == 1
    assert any("ignores `n`" in notice for notice in usage.notices)


def test_samples_that_are_all_the_same_are_told(stub: Stub, tmp_path: Path) -> None:
    stub.same = True
    _, usage = collect(requests(4), settings(stub), tmp_path / "c")
    assert any("ignore `temperature`" in notice for notice in usage.notices)
    _, usage = collect(requests(4), settings(stub, temperature=0.0), tmp_path / "c")
    assert usage.notices == []


def test_the_budget_is_never_exceeded_and_what_there_is_can_be_used(
    stub: Stub, tmp_path: Path
) -> None:
    prices = Prices(prompt=1.0, completion=100.0)
    how = settings(stub, prices=prices, max_tokens=10, choices=1, budget=0.01)
    found, usage = collect(requests(10, n=2), how, tmp_path / "c")
    assert len(found) == 10
    assert 0.008 < usage.spent <= 0.01
    assert usage.failed["budget spent"] == sum(len(texts) < 2 for texts in found.values()) > 0
    _, usage = collect(requests(10, n=2), how.model_copy(update={"budget": 1.0}), tmp_path / "c")
    assert not usage.failed
    with Cache(tmp_path / "c") as cache:
        (total,) = cache.totals()
    assert (total["samples"], total["requests"]) == (20, 20)
    assert total["cost"] == pytest.approx(usage.spent)


def test_a_dead_server_is_one_clear_error(tmp_path: Path) -> None:
    how = Sampling(model="m", base_url="http://127.0.0.1:1/v1", retries=1)
    with pytest.raises(InfrastructureError, match=r"2 attempts .* no connection"):
        collect(requests(5), how, tmp_path / "c")


def test_a_server_that_dies_loses_nothing(stub: Stub, tmp_path: Path) -> None:
    collect(requests(5), settings(stub), tmp_path / "c")
    stub.faults, stub.kinds = 1.0, ["500"]
    with pytest.raises(InfrastructureError, match="500: scripted"):
        collect(requests(10), settings(stub, retries=1), tmp_path / "c")
    stub.faults = 0.0
    collect(requests(10), settings(stub), tmp_path / "c")
    assert stub.served == 30


def test_one_prompt_that_the_server_cannot_bear_costs_no_other(stub: Stub, tmp_path: Path) -> None:
    poison = Request("bad", "solutions", [{"role": "user", "content": "poison"}], 1)
    answer = stub.fail

    async def fail(fault: str, request: dict[str, Any], writer: Any) -> None:
        content = request["messages"][-1]["content"]
        await answer("500" if content == "poison" else "", request, writer)

    stub.fail = fail  # type: ignore[method-assign]
    stub.delay = 0.05
    found, usage = collect(
        [poison, *requests(150, n=1)], settings(stub, retries=1, max_concurrency=4), tmp_path / "c"
    )
    assert found.pop("bad") == []
    assert {len(texts) for texts in found.values()} == {1}
    assert usage.failed == {"500": 1}


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("html", InfrastructureError, "not a reply of the protocol: it begins with '<html>"),
        ("empty", InfrastructureError, "it has no choices"),
        ("cut", InfrastructureError, "cut or broken reply"),
    ],
)
def test_what_is_no_such_server_is_named(
    stub: Stub, tmp_path: Path, kind: str, error: type[Exception], message: str
) -> None:
    stub.faults, stub.kinds = 1.0, [kind]
    with pytest.raises(error, match=message):
        collect(requests(2), settings(stub, retries=0), tmp_path / "c")


def test_a_model_that_the_server_has_not(stub: Stub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model gpt; `model` is 'gpt', the server has stub"):
        collect(requests(2), settings(stub, model="gpt"), tmp_path / "c")


def test_what_a_server_does_not_take_is_put_in_another_way(stub: Stub, tmp_path: Path) -> None:
    def refuse(request: dict[str, Any]) -> tuple[int, str] | None:
        if "max_tokens" in request:
            return 400, "Unsupported parameter: use 'max_completion_tokens' instead."
        return (400, "n must be 1") if request["n"] > 1 else None

    stub.refuse = refuse
    found, usage = collect(requests(5, n=4), settings(stub), tmp_path / "c")
    assert {len(texts) for texts in found.values()} == {4}
    assert not usage.failed


def test_a_prompt_that_is_refused_is_given_up_and_a_recipe_that_is_refused_ends(
    stub: Stub, tmp_path: Path
) -> None:
    stub.refuse = lambda request: (400, "too long") if "p1" in str(request["messages"]) else None
    found, usage = collect(requests(3), settings(stub), tmp_path / "c")
    assert {key: len(texts) for key, texts in found.items()} == {"p0": 3, "p1": 0, "p2": 3}
    assert usage.failed == {"400: too long": 1}
    stub.refuse = lambda request: (400, "bad top_p")
    with pytest.raises(InputError, match="refuses each request: 400: bad top_p"):
        collect(requests(5), settings(stub), tmp_path / "d")
    stub.refuse = lambda request: (501, "only files here")
    with pytest.raises(InputError, match="refuses each request: 501: only files here"):
        collect(requests(5), settings(stub), tmp_path / "d")
    stub.refuse = lambda request: (401, "who are you")
    with pytest.raises(InputError, match=r"401: who are you; name the environment variable"):
        collect(requests(5), settings(stub), tmp_path / "d")


def test_a_key_that_is_missing_or_there(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = settings(stub, api_key_env="SOME_KEY")
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(InputError, match="export SOME_KEY="):
        collect(requests(1), how, tmp_path / "c")
    monkeypatch.setenv("SOME_KEY", "sk-very-secret")
    collect(requests(1), how, tmp_path / "c")
    assert stub.requests[0]["authorization"] == "Bearer sk-very-secret"
    assert not any(b"very-secret" in path.read_bytes() for path in tmp_path.iterdir())
    stub.refuse = lambda request: (403, f"not for {request['model']}: sk-very-secret")
    with pytest.raises(InputError, match=r"not for stub: \(key\); the key in SOME_KEY is not"):
        collect(requests(1), how, tmp_path / "d")


def test_a_password_in_the_address_is_refused() -> None:
    with pytest.raises(ValueError, match="api_key_env"):
        Sampling(model="m", base_url="https://me:secret@host/v1")


def test_two_asks_of_one_name_are_refused(stub: Stub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'p0' is asked 2 times for solutions"):
        collect([*requests(1), *requests(1)], settings(stub), tmp_path / "c")


def test_two_writers_and_a_damaged_cache_are_told(stub: Stub, tmp_path: Path) -> None:
    with Cache(tmp_path / "c"), pytest.raises(InputError, match="another process is sampling"):
        collect(requests(1), settings(stub), tmp_path / "c")
    (tmp_path / "d").write_bytes(b"no database at all, but long enough to be read" * 100)
    with pytest.raises(InputError, match="move it away"):
        collect(requests(1), settings(stub), tmp_path / "d")


def test_a_caller_may_stop_early(stub: Stub, tmp_path: Path) -> None:
    for _ in sample(requests(50), settings(stub, max_concurrency=2), tmp_path / "c"):
        break
    served = stub.served
    assert served < 150
    found, _ = collect(requests(50), settings(stub), tmp_path / "c")
    assert {len(set(texts)) for texts in found.values()} == {3}


def test_killed_five_times_it_loses_and_repeats_nothing(tmp_path: Path) -> None:
    log, cache, total = tmp_path / "log", tmp_path / "c.sqlite", 150
    stub = subprocess.Popen(
        [sys.executable, str(HELPERS / "stub_server.py"), "--log", str(log), "--delay", "0.02", "--faults", "0.1"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert stub.stdout
    url = f"http://127.0.0.1:{stub.stdout.readline().strip()}/v1"
    command = [sys.executable, str(HELPERS / "sample_all.py"), url, str(cache), str(total)]
    try:
        in_flight = 0
        for part in range(1, 6):
            process = subprocess.Popen(command)
            _wait_until(lambda: _count(cache) >= part * total // 6 or process.poll() is not None)  # noqa: B023
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            in_flight += 8
        subprocess.run(command, check=True)
    finally:
        stub.kill()
        stub.wait()
    sent = collections.Counter(map(json.loads, log.read_text().splitlines()))
    with sqlite3.connect(cache) as base:
        kept = [text for (text,) in base.execute("SELECT text FROM samples")]
    assert len(kept) == len(set(kept)) == total  # none lost, none twice
    assert set(kept) <= set(sent)
    assert len(sent) - total <= in_flight  # only what was on its way at the moment of a kill


def _count(cache: Path) -> int:
    try:
        with sqlite3.connect(f"file:{cache}?mode=ro", uri=True) as base:
            return int(base.execute("SELECT count(*) FROM samples").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def _wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def simulated(capacity: int, most: int, replies: int, limit: int = 0) -> list[int]:
    """Limits over time, with a server that works on `capacity` requests at once, each in 1 s."""
    now = 0.0
    limiter = Limiter(most, clock=lambda: now)
    seen = []
    for _ in range(replies):
        now += 1.0 / min(capacity, limiter.limit)
        if limit and limiter.limit > limit:
            limiter.overloaded()
        else:
            limiter.succeeded(10)
        seen.append(limiter.limit)
    return seen


def test_concurrency_saturates_a_large_server_and_spares_a_small_one() -> None:
    assert simulated(capacity=1000, most=256, replies=3000)[-1] == 256
    assert max(simulated(capacity=4, most=256, replies=500)) <= 8
    refusing = simulated(capacity=1000, most=256, replies=5000, limit=40)
    assert all(10 <= limit <= 64 for limit in refusing[200:])


def test_retry_after_in_all_its_forms() -> None:
    assert retry_after({"retry-after": "3"}) == 3.0
    assert retry_after({"retry-after-ms": "250"}) == 0.25
    assert retry_after({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0.0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None
