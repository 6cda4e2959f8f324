"""What both Python and C state is the same in both."""

import re
import struct

import pytest

from codedpo_plugin.sandbox import protocol
from helpers.paths import ROOT

NATIVE = ROOT / "codedpo_plugin" / "sandbox" / "native"
SOURCE = "".join(path.read_text() for path in sorted(NATIVE.iterdir()))


def c_constant(name: str) -> str:
    """The value of a `#define`, without comment."""
    found = re.search(rf"^#define {name} (.+?)\s*(/\*.*)?$", SOURCE, re.MULTILINE)
    assert found, f"no #define {name} in {NATIVE}"
    return found[1]


def c_body(function: str) -> str:
    """The body of a function."""
    found = re.search(
        rf"^static [^\n]*\b{function}\([^;{{]*\)\n\{{\n(.*?)^\}}", SOURCE, re.M | re.S
    )
    assert found, f"no function {function} in {NATIVE}"
    return found[1]


def test_statuses_have_the_same_numbers() -> None:
    found = re.search(r"^enum \{ (.*) \};", SOURCE, re.MULTILINE)
    assert found
    names = found[1].split(", ")
    assert [getattr(protocol, name) for name in names] == list(range(len(names)))
    assert names == ["ENDED", "CPU_LIMIT", "WALL_LIMIT"]


def test_headers_have_the_same_layout() -> None:
    assert int(c_constant("HEADER")) == protocol.HEADER.size
    copies = re.findall(r"memcpy\(frame \+ (\d+), &\w+, (\d+)\)", c_body("reply"))
    offset = 1  # after the status, one byte
    for at, size in copies:
        assert int(at) == offset
        offset += int(size)
    assert offset == protocol.HEADER.size
    sizes = [struct.calcsize(f"<{kind}") for kind in protocol.HEADER.format.lstrip("<")]
    assert [1, *(int(size) for _, size in copies)] == sizes


@pytest.mark.parametrize("name", ["VALUES", "NO_MEMORY"])
def test_records_begin_alike(name: str) -> None:
    assert c_constant(name).strip('"').encode() == getattr(protocol, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHARED_WORKER_SECONDS", protocol.SHARED_WORKER_SECONDS),
        ("WALL_BASE", protocol.wall_limit(0)),
        ("WALL_PER_CPU_LIMIT", protocol.wall_limit(1) - protocol.wall_limit(0)),
        ("WALL_PER_CPU_USED", protocol.wall_limit(0, 1) - protocol.wall_limit(0)),
        ("PLAIN_CALLS", protocol.PLAIN_CALLS),
        ("KERNEL_MARGIN", protocol.kernel_cpu_limit(0, 1)),
    ],
)
def test_limits_are_the_same(name: str, value: float) -> None:
    assert float(c_constant(name)) == value


def test_kernel_limit_grows_with_the_cells_that_share_a_worker() -> None:
    assert protocol.kernel_cpu_limit(0.5, 10) == protocol.kernel_cpu_limit(5, 1)


def test_frames_are_read_as_they_are_written() -> None:
    frame = protocol.pack(protocol.CPU_LIMIT, 1, 2, 9, 0.5, b"record")
    *fields, length = protocol.HEADER.unpack_from(frame)
    assert fields == [protocol.CPU_LIMIT, 1, 2, 9, 0.5]
    assert frame[protocol.HEADER.size :] == b"record"
    assert length == len(b"record")
