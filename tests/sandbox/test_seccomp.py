"""The tables are those of the kernel's headers, and the filters are valid BPF programs."""

import re
import sys
from pathlib import Path

import pytest

from codedpo_plugin.sandbox import seccomp

HEADERS = {
    1: ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+)\s+(\d+)"),
    2: ("/usr/include/asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+)\s+(\d+)"),
}


@pytest.mark.parametrize("column", HEADERS)
def test_numbers_are_those_of_the_headers(column: int) -> None:
    path, pattern = HEADERS[column]
    if not Path(path).exists():
        pytest.skip(f"no {path}")
    numbers = {name: int(number) for name, number in re.findall(pattern, Path(path).read_text())}
    numbers.setdefault("newfstatat", numbers.get("fstatat", 0))
    tables = [seccomp.ALLOWED, seccomp.CHANGES, seccomp.CHECKED, seccomp.ABSENT]
    for name, number in seccomp.numbers(",".join(tables), column).items():
        assert numbers[name] == number, name


@pytest.mark.parametrize("abi", [0, 2, 7])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filters_fit_the_kernel(machine: str, abi: int) -> None:
    zygote, worker = seccomp.zygote_program(machine, abi), seccomp.worker_program(machine)
    assert len(zygote) < 4096
    for filter_code in (zygote, worker):
        for position, (kind, true, false, _value) in enumerate(filter_code):
            assert position + max(true, false) + 1 <= len(filter_code)
            assert max(true, false) < 256
            assert kind in (0x20, 0x54, 0x15, 0x35, 0x45, 0x06)
        assert filter_code[-1][0] == 0x06


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_the_pid_is_written_where_signals_are_compared(machine: str) -> None:
    """`kill` and `tgkill` load their first argument, and are allowed if it is the pid."""
    worker = seccomp.Filter(seccomp.worker_program(machine))
    before = worker.packed
    worker.set_pid(0x01020304)
    at = seccomp.PID_OFFSET
    assert before[:at] + (0x01020304).to_bytes(4, sys.byteorder) + before[at + 4 :] == worker.packed
    code, _true, _false, _value = seccomp.worker_program(machine)[at // 8]
    assert code == 0x15
