"""What a recipe demands of the sandbox is tried."""

import sys
from collections.abc import Iterator

import pytest

from codedpo_plugin.errors import InfrastructureError
from codedpo_plugin.sandbox import self_check
from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.sandbox.encoding import decode
from codedpo_plugin.sandbox.self_check import PROPERTIES, require

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only rlimits hold off Linux")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(seconds=0.3, memory_mb=512)) as sandbox:
        yield sandbox


def test_a_demanded_layer_that_is_off_refuses(sandbox: Sandbox) -> None:
    require([next(name for name, state in sandbox.layers.items() if state == "on")], sandbox)
    with pytest.raises(InfrastructureError, match="no_such_layer is off"):
        require(["no_such_layer"], sandbox)


def test_what_is_demanded_is_tried(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    require(["network", "processes", "signals", "memory", "filesystem"], sandbox)
    monkeypatch.setitem(PROPERTIES, "network", ("network", "read_scratch"))
    monkeypatch.setattr(self_check, "decode", lambda text: {**decode(text), "read_scratch": "open"})
    with pytest.raises(InfrastructureError, match=r"network is off .* can read_scratch"):
        require(["network"], sandbox)
