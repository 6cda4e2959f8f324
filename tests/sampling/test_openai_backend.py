"""The path of a call against a server that fails by a script."""

import collections
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import HELPERS

pytest.importorskip("openai", reason="pip install 'codedpo[sample]'")

from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.recipe import Prices, Sampling
from codedpo_plugin.sampling import Cache, Request
from helpers.sampling import collect, requests, settings
from helpers.stub_server import Stub

CHARGED = Prices(prompt=1.0)
"""Where a prompt is charged, calls are for several samples."""


def test_plain_text_is_continued(stub: Stub, tmp_path: Path) -> None:
    found, _ = collect([Request("a", "x", "def f(", 2)], settings(stub), tmp_path / "c")
    assert found == {"a": ["def f( #1", "def f( #2"]}
    assert stub.requests[0]["prompt"] == "def f("


def test_every_kind_of_fault_is_retried(stub: Stub, tmp_path: Path) -> None:
    stub.faults, stub.chance = 0.4, random.Random(3)
    how = settings(stub, timeout=0.3, retries=20, max_concurrency=80, prices=CHARGED)
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
        "truncated or malformed reply",
        "not a reply of the protocol",
    }
    assert set(usage.retries) == kinds


def test_a_server_that_ignores_n_gets_single_sample_calls(stub: Stub, tmp_path: Path) -> None:
    stub.ignore_n = True
    found, usage = collect(requests(6, n=4), settings(stub, prices=CHARGED), tmp_path / "c")
    assert {len(texts) for texts in found.values()} == {4}
    assert stub.requests[-1]["n"] == 1
    assert any("ignores `n`" in notice for notice in usage.notices)


def test_what_is_in_flight_is_counted_in_samples(stub: Stub, tmp_path: Path) -> None:
    most, running = 0, 0

    async def answer(*args: Any) -> None:
        nonlocal most, running
        count = json.loads(args[2])["n"]
        running += count
        most = max(most, running)
        try:
            await plain(*args)
        finally:
            running -= count

    plain, stub.answer = stub.answer, answer  # type: ignore[method-assign]
    stub.delay = 0.001
    how = settings(stub, prices=CHARGED, max_concurrency=8, choices=3)
    found, _ = collect(requests(30, n=4), how, tmp_path / "c")
    assert {len(texts) for texts in found.values()} == {4}
    assert {request["n"] for request in stub.requests} == {3, 1}
    assert 3 < most <= 8


def test_identical_samples_are_reported(stub: Stub, tmp_path: Path) -> None:
    stub.same = True
    _, usage = collect(requests(4), settings(stub), tmp_path / "c")
    assert any("ignore `temperature`" in notice for notice in usage.notices)
    _, usage = collect(requests(4), settings(stub, temperature=0.0), tmp_path / "c")
    assert usage.notices == []


def test_the_budget_is_never_exceeded_and_received_samples_are_usable(
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


def test_a_prompt_that_crashes_the_server_costs_no_other(stub: Stub, tmp_path: Path) -> None:
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
        ("cut", InfrastructureError, "truncated or malformed reply"),
    ],
)
def test_a_server_of_another_protocol_is_an_error(
    stub: Stub, tmp_path: Path, kind: str, error: type[Exception], message: str
) -> None:
    stub.faults, stub.kinds = 1.0, [kind]
    with pytest.raises(error, match=message):
        collect(requests(2), settings(stub, retries=0), tmp_path / "c")


def test_an_unknown_model_is_an_error_that_lists_those_there_are(
    stub: Stub, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"no model gpt; `model` is 'gpt', the server has stub"):
        collect(requests(2), settings(stub, model="gpt"), tmp_path / "c")


def test_calls_adapt_to_parameters_that_a_server_rejects(stub: Stub, tmp_path: Path) -> None:
    def refuse(request: dict[str, Any]) -> tuple[int, str] | None:
        if "max_tokens" in request:
            return 400, "Unsupported parameter: use 'max_completion_tokens' instead."
        return (400, "n must be 1") if request["n"] > 1 else None

    stub.refuse = refuse
    found, usage = collect(requests(5, n=4), settings(stub, prices=CHARGED), tmp_path / "c")
    assert {len(texts) for texts in found.values()} == {4}
    assert not usage.failed


def test_a_server_that_takes_one_of_two_fields_is_sampled_without_the_other(
    stub: Stub, tmp_path: Path
) -> None:
    def refuse(request: dict[str, Any]) -> tuple[int, str] | None:
        both = "temperature" in request and "top_p" in request
        return (400, "`temperature` and `top_p` cannot both be specified.") if both else None

    stub.refuse = refuse
    found, usage = collect(requests(5), settings(stub), tmp_path / "c")
    assert {len(texts) for texts in found.values()} == {3}
    assert "top_p" not in stub.requests[-1]
    assert stub.requests[-1]["temperature"] == 0.8
    assert not usage.refused
    assert len(usage.notices) == 1


def test_samples_begin_with_the_prefill_unless_the_server_refuses_it(
    stub: Stub, tmp_path: Path
) -> None:
    chat = [{"role": "user", "content": "p"}]
    asked = [Request(f"p{k}", "tests", chat, 2, prefill="assert f(") for k in range(3)]
    stub.reply = lambda request, count: {  # type: ignore[method-assign]
        "choices": [{"message": {"content": f"{n}) == 2"}} for n in range(count)]
    }
    found, usage = collect(asked, settings(stub, prices=CHARGED), tmp_path / "c")
    assert {text[:10] for texts in found.values() for text in texts} == {"assert f(0", "assert f(1"}
    assert stub.requests[0]["messages"][-1] == {"role": "assistant", "content": "assert f("}
    assert usage.notices == []

    stub.refuse = lambda request: (
        (400, "Unrecognized request argument supplied: continue_final_message")
        if "continue_final_message" in request
        else None
    )
    found, usage = collect(asked, settings(stub, prices=CHARGED), tmp_path / "d")
    assert {text for texts in found.values() for text in texts} == {"0) == 2", "1) == 2"}
    assert stub.requests[-1]["messages"] == chat
    assert len(usage.notices) == 1


def test_answers_without_text_are_paid_once_and_counted(stub: Stub, tmp_path: Path) -> None:
    def reply(request: dict[str, Any], count: int) -> dict[str, Any]:
        message = {"role": "assistant", "reasoning_content": "so long"}
        return {"choices": [{"message": message, "finish_reason": "length"}] * count}

    stub.reply = reply  # type: ignore[method-assign]
    found, usage = collect(requests(4, n=1), settings(stub), tmp_path / "c")
    assert found == {f"p{k}": [""] for k in range(4)}
    assert len(stub.requests) == 4
    assert usage.defects == {"reasoning without an answer, cut at max_tokens": 4}
    assert not usage.failed


def test_a_budget_holds_where_the_server_reports_no_tokens(stub: Stub, tmp_path: Path) -> None:
    answer = stub.reply
    stub.reply = lambda *args: answer(*args) | {"usage": None}  # type: ignore[method-assign]
    prices = Prices(completion=100.0)
    how = settings(stub, prices=prices, max_tokens=10, choices=1, budget=0.0105)
    found, usage = collect(requests(20, n=1), how, tmp_path / "c")
    assert sum(map(len, found.values())) == 10  # each at the highest cost: 10 tokens
    assert any("does not report tokens" in notice for notice in usage.notices)


def test_a_refused_prompt_is_given_up_and_a_refused_recipe_is_an_error(
    stub: Stub, tmp_path: Path
) -> None:
    stub.refuse = lambda request: (400, "too long") if "p1" in str(request["messages"]) else None
    found, usage = collect(requests(3), settings(stub), tmp_path / "c")
    assert {key: len(texts) for key, texts in found.items()} == {"p0": 3, "p1": 0, "p2": 3}
    assert usage.refused == {"400: too long": 1}
    stub.refuse = lambda request: (400, "bad top_p")
    with pytest.raises(InputError, match="refuses each request: 400: bad top_p"):
        collect(requests(5), settings(stub), tmp_path / "d")
    stub.refuse = lambda request: (501, "only files here")
    with pytest.raises(InputError, match="refuses each request: 501: only files here"):
        collect(requests(5), settings(stub), tmp_path / "d")
    stub.refuse = lambda request: (401, "who are you")
    with pytest.raises(InputError, match=r"401: who are you; name the environment variable"):
        collect(requests(5), settings(stub), tmp_path / "d")


def test_the_key_is_required_sent_and_never_shown(
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


def test_five_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
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
