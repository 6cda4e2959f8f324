"""`sample`, whatever the backend."""

from pathlib import Path

import pytest

pytest.importorskip("openai", reason="pip install 'codedpo[sample]'")

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling import sample
from helpers.sampling import collect, requests, settings
from helpers.stub_server import Stub


def test_two_requests_of_one_name_are_an_error(stub: Stub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'p0' is requested 2 times for solutions"):
        collect([*requests(1), *requests(1)], settings(stub), tmp_path / "c")


def test_a_caller_may_stop_early(stub: Stub, tmp_path: Path) -> None:
    for _ in sample(requests(50), settings(stub, max_concurrency=2), tmp_path / "c"):
        break
    served = stub.served
    assert served < 150
    found, _ = collect(requests(50), settings(stub), tmp_path / "c")
    assert {len(set(texts)) for texts in found.values()} == {3}


def test_a_password_in_the_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="api_key_env"):
        Sampling(model="m", base_url="https://me:secret@host/v1")
