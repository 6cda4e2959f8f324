"""The cache: every sample is kept at once, and never paid for twice."""

from pathlib import Path

import pytest

pytest.importorskip("openai", reason="pip install 'codedpo[sample]'")

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling import Cache, Request
from helpers.sampling import collect, requests, settings
from helpers.stub_server import Stub


def test_cached_samples_are_not_requested_again(stub: Stub, tmp_path: Path) -> None:
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
    collect(requests(1, n=1), settings(stub), tmp_path / "c")
    collect(requests(1, n=1), settings(stub, temperature=0.0), tmp_path / "c")
    assert [request["temperature"] for request in stub.requests] == [0.8, 0.0]


def test_a_prefill_makes_another_request_and_keys_without_one_stay() -> None:
    how = Sampling(model="m")
    plain = Request("a", "tests", "x", 1)
    assert plain.fingerprint(how) == "ddd4411dfe345eafa698"  # of caches that exist
    assert Request("a", "tests", "x", 1, prefill="y").fingerprint(how) != plain.fingerprint(how)


def test_two_writers_and_a_damaged_cache_are_errors(stub: Stub, tmp_path: Path) -> None:
    with Cache(tmp_path / "c"), pytest.raises(InputError, match="another process is sampling"):
        collect(requests(1), settings(stub), tmp_path / "c")
    (tmp_path / "d").write_bytes(b"no database at all, but long enough to be read" * 100)
    with pytest.raises(InputError, match="move it away"):
        collect(requests(1), settings(stub), tmp_path / "d")
