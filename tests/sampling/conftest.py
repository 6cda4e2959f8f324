"""A server that fails by a script."""

from collections.abc import Iterator

import pytest

from helpers.servers import serving
from helpers.stub_server import Stub


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()
    with serving(stub):
        yield stub
