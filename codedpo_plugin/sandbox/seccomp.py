"""System call filters (seccomp BPF): an allow-list for the zygote, a stricter one for workers."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from codedpo_plugin.sandbox.process_tools import (
    PR_GET_NAME,
    PR_SET_NAME,
    PR_SET_PDEATHSIG,
    PR_SET_SECCOMP,
    ZERO,
    call,
    prctl,
)

# System calls: name, number on x86_64, number on aarch64.
# The last five are for the fork server: `worker_program` refuses them.
ALLOWED = """
mmap 9 222, mprotect 10 226, munmap 11 215, mremap 25 216, brk 12 214, madvise 28 233,
msync 26 227, read 0 63, write 1 64, close 3 57, lseek 8 62, pread64 17 67, pwrite64 18 68,
readv 19 65, writev 20 66, preadv 295 69, pwritev 296 70, preadv2 327 286, pwritev2 328 287,
dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59, close_range 436 436, sendfile 40 71,
copy_file_range 326 285, fsync 74 82, fdatasync 75 83, ftruncate 77 46,
fadvise64 221 223, eventfd 284 -, eventfd2 290 19, stat 4 -, fstat 5 80, lstat 6 -,
newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48, faccessat2 439 439,
readlink 89 -, readlinkat 267 78, getdents 78 -, getdents64 217 61, getcwd 79 17, chdir 80 49,
fchdir 81 50, statfs 137 43, fstatfs 138 44, poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72,
epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22,
epoll_pwait2 441 441, futex 202 98, nanosleep 35 101, clock_nanosleep 230 115, pause 34 -,
sched_yield 24 124, restart_syscall 219 128, clock_gettime 228 113, clock_getres 229 114,
gettimeofday 96 169, time 201 -, times 100 153, getitimer 36 102, setitimer 38 103, alarm 37 -,
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136,
rt_sigsuspend 130 133, rt_sigtimedwait 128 137, sigaltstack 131 132, sendto 44 206,
recvfrom 45 207, shutdown 48 210, getsockname 51 204, getpeername 52 205, getsockopt 55 209,
exit 60 93, exit_group 231 94, wait4 61 260, waitid 247 95, getpid 39 172, gettid 186 178,
getppid 110 173, getpgid 121 155, getpgrp 111 -, getsid 124 156, getuid 102 174, geteuid 107 175,
getgid 104 176, getegid 108 177, getresuid 118 148, getresgid 120 150, getgroups 115 158,
getpriority 140 141, getrlimit 97 163, setrlimit 160 164, getrusage 98 165, sysinfo 99 179,
uname 63 160, getrandom 318 278, getcpu 309 168, sched_getaffinity 204 123,
set_robust_list 273 99, set_tid_address 218 96, rseq 334 293, membarrier 324 283, fork 57 -,
vfork 58 -, kill 62 129, tgkill 234 131, setpgid 109 154"""
CHANGES = """rmdir 84 -, unlink 87 -, unlinkat 263 35, rename 82 -,
renameat 264 38, renameat2 316 276, creat 85 -"""  # confined by Landlock; refused without it
CHECKED = """open 2 -, openat 257 56, clone 56 220, fcntl 72 25, ioctl 16 29, prctl 157 167,
prlimit64 302 261, socketpair 53 199, truncate 76 45, mkdir 83 -,
mkdirat 258 34"""  # allowed with some arguments
ABSENT = """clone3 435 435, openat2 437 437, io_uring_setup 425 425, io_uring_enter 426 426,
io_uring_register 427 427, futex_waitv 449 449"""  # libraries fall back on ENOSYS

MACHINES = {"x86_64": (0xC000003E, 1), "aarch64": (0xC00000B7, 2)}  # audit code, column above
_NEWEST = 450  # to a solution, calls younger than the tables do not exist
_X32 = 0x40000000
_WRITES = 0x1 | 0x2 | 0x40 | 0x200  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, on both processors
# CLONE_NEW*, CLONE_PARENT and CLONE_PTRACE: a child stays in its namespaces and with its parent
_CLONE_REFUSED = 0x7E020000 | 0x8000 | 0x2000
# F_DUPFD to F_SETLKW, F_OFD_*LK, F_DUPFD_CLOEXEC, F_GETPIPE_SZ; never F_SETOWN with F_SETSIG,
# with which the kernel sends any signal to any process of the same user
_FCNTL = [0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032]
# TCGETS, TCGETS2, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
_IOCTL = [0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451]

Program = list[tuple[int, int, int, int]]  # BPF: code, jump if true, if false, value
_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW: Program = [(_RETURN, 0, 0, 0x7FFF0000)]
_KILL: Program = [(_RETURN, 0, 0, 0x80000000)]
_REFUSE: Program = [(_RETURN, 0, 0, 0x00050000 | errno.EPERM)]
_ABSENT_CALL: Program = [(_RETURN, 0, 0, 0x00050000 | errno.ENOSYS)]
_READ_ONLY: Program = [(_RETURN, 0, 0, 0x00050000 | errno.EROFS)]

PID_OFFSET = 4 * 8 + 4  # bytes: where `worker_program` has its pid, the value of instruction 4
_FILTER_MODE = ctypes.c_long(2)


def _argument(index: int) -> Program:
    """Load the low half of an argument; the kernel reads all those checked here as 32 bits."""
    return [(_LOAD, 0, 0, 16 + 8 * index)]


def _among(values: list[int]) -> Program:
    """Allow if the loaded value is one of `values`."""
    return [*(i for value in values for i in ((_EQUAL, 0, 1, value), *_ALLOW)), *_REFUSE]


def numbers(table: str, column: int) -> dict[str, int]:
    """Number of each system call of a table that exists on a processor (column 1 or 2)."""
    rows = [row.split() for row in table.split(",")]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def _open_rule(flags: int, abi: int) -> Program:
    """What Landlock does not check about opening; `flags` is the index of that argument."""
    if abi >= 3:
        return _ALLOW
    if abi == 0:
        return [*_argument(flags), (_ANY_BIT, 0, 1, _WRITES), *_READ_ONLY, *_ALLOW]
    # ABI 1 and 2 let O_TRUNC through if the file is not opened for writing, or in mode 3
    truncates: Program = [(_AND, 0, 0, 0x203), (_EQUAL, 1, 0, 0x200), (_EQUAL, 0, 1, 0x203)]
    return [*_argument(flags), *truncates, *_READ_ONLY, *_ALLOW]


def _rules(abi: int) -> dict[str, Program]:
    """The rule for each call of `CHECKED`."""
    unix: Program = [*_argument(0), (_EQUAL, 1, 0, 1), *_REFUSE]  # AF_UNIX
    # a folder that its owner cannot empty would remain for the next worker
    owned: Program = [(_AND, 0, 0, 0o700), *_among([0o700])] if abi else _REFUSE
    stream = [*_argument(1), (_AND, 0, 0, 0xF), *_among([1])]  # a datagram could name its receiver
    return {
        "open": _open_rule(1, abi),
        "openat": _open_rule(2, abi),
        "clone": [*_argument(0), (_ANY_BIT, 0, 1, _CLONE_REFUSED), *_REFUSE, *_ALLOW],
        "fcntl": _argument(1) + _among(_FCNTL),
        "ioctl": _argument(1) + _among(_IOCTL),
        "prctl": _argument(0)
        + _among([PR_SET_PDEATHSIG, PR_SET_NAME, PR_GET_NAME, PR_SET_SECCOMP]),
        "prlimit64": _argument(0) + _among([0]),  # only its own limits
        "socketpair": [*unix, *stream],
        "truncate": _ALLOW if abi >= 3 else _REFUSE,
        "mkdir": _argument(1) + owned,
        "mkdirat": _argument(2) + owned,
    }


def zygote_program(machine: str, abi: int) -> Program:
    """The allow-list for the zygote and all its descendants.

    Args:
        machine: a key of `MACHINES`.
        abi: version of Landlock in use, 0 for none.
    """
    audit, column = MACHINES[machine]
    code = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, audit), *_KILL, (_LOAD, 0, 0, 0)]
    if column == 1:
        code += [(_AT_LEAST, 0, 1, _X32), *_KILL]  # same audit code as x86_64, other numbers
    rules = _rules(abi)
    for name, number in numbers(CHECKED, column).items():
        code += [(_EQUAL, 0, len(rules[name]), number), *rules[name]]
    allowed = {*numbers(ALLOWED + ("," + CHANGES if abi else ""), column).values()}
    firsts = sorted(number for number in allowed if number - 1 not in allowed)
    ends = sorted(number + 1 for number in allowed if number + 1 not in allowed)
    for first, end in zip(firsts, ends, strict=True):
        code += [(_AT_LEAST, 2, 0, end), (_AT_LEAST, 0, 1, first), *_ALLOW]
    for number in numbers(ABSENT, column).values():
        code += [(_EQUAL, 0, 1, number), *_ABSENT_CALL]
    return [*code, (_AT_LEAST, 0, 1, _NEWEST + 1), *_ABSENT_CALL, *_REFUSE]


def worker_program(machine: str) -> Program:
    """What a worker process also loses: new processes, prctl, and signals to others than itself."""
    _, column = MACHINES[machine]
    number = numbers(ALLOWED, column) | numbers(CHECKED, column)
    code = [(_LOAD, 0, 0, 0), (_EQUAL, 1, 0, number["kill"]), (_EQUAL, 0, 4, number["tgkill"])]
    code += [*_argument(0), (_EQUAL, 0, 1, 0), *_ALLOW, *_REFUSE]  # the 0 becomes the pid
    for name in {"clone", "fork", "vfork", "prctl", "setpgid"} & number.keys():
        code += [(_EQUAL, 0, 1, number[name]), *_REFUSE]
    return code + _ALLOW


class Filter:
    """A BPF program in the form that the kernel reads."""

    def __init__(self, program: Program) -> None:
        packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
        self._block = ctypes.create_string_buffer(packed, len(packed))
        descriptor = struct.pack("@HP", len(program), ctypes.addressof(self._block))
        self._install = (ctypes.c_long(PR_SET_SECCOMP), _FILTER_MODE, descriptor, ZERO, ZERO)

    @property
    def packed(self) -> bytes:
        """The instructions."""
        return self._block.raw

    def set_pid(self, pid: int) -> None:
        """Allow signals to this process; of `worker_program` only."""
        struct.pack_into("=I", self._block, PID_OFFSET, pid)

    def install(self) -> None:
        """Bind this process and its descendants, for good.

        Raises:
            OSError: the kernel refuses.
        """
        if prctl(*self._install):
            call("prctl", *self._install)  # again, in the way that reports why


def filters(abi: int) -> tuple[Filter, Filter]:
    """The filters of zygote and worker for this machine; `abi`: version of Landlock, 0 for none.

    Raises:
        OSError: there are no tables for this processor.
    """
    machine = os.uname().machine
    if machine not in MACHINES or struct.calcsize("P") != 8:
        raise OSError(f"no table of system calls for this processor ({machine})")
    return Filter(zygote_program(machine, abi)), Filter(worker_program(machine))
