"""Take rights away from a process that will run code written by a language model (Linux first).

A zygote calls `lock_process` once; every process it forks inherits all of it. A forked leaf then
calls `lock_leaf` and runs the untrusted code. Each layer is tried alone and reported, none raises.

Covered, for a leaf:
  processes   no fork, thread, exec, ptrace; no signal to anyone but itself; dies with its parent
  files       reads only `readable` and what Python imports from; changes only the scratch folder;
              no modes, owners, times, links, device nodes, sockets or named pipes, even there
  network     no sockets, except the connected stream pairs that asyncio makes for itself
  resources   address space, CPU time, size of each file, number of descriptors
  kernel      system calls from an allow-list; no capability but, where needed, reading files

NOT covered:
  * bugs in the kernel, side channels of the CPU, and what code does to its own interpreter (a leaf
    can forge anything it could compute: judge values outside it)
  * wall-clock time: a leaf may sleep or stop itself for ever, so its parent needs a clock
  * descriptors left open in a leaf, and their shared flags and offsets: close all but one pipe
  * the number of files in scratch (each is at most `file_bytes`), and leaves that share a scratch
  * names: stat, readlink, access and chdir work on any path, so existence and size of files leak
  * without Landlock (before Linux 5.13, gVisor): all that the uid may read can be read, /proc too;
    seccomp then refuses every change by path, so that scratch is read-only
  * off Linux, or on a processor other than x86_64 and aarch64: much less; read the report

Importable alone (`python -I -S`), from the standard library, with few and cheap imports.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import os
import resource
import struct
import sys

TYPE_CHECKING = False  # type checkers read it as true; importing typing would take milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LINUX = sys.platform.startswith("linux")
NOBODY = 65534  # the uid and gid that replace root
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1 << 1, 1 << 2
_NEW_IPC, _NEW_USER, _NEW_NETWORK = 0x08000000, 0x10000000, 0x40000000
_PDEATHSIG, _DUMPABLE, _KEEPCAPS, _SET_NAME, _GET_NAME, _SECCOMP, _NNP = 1, 4, 8, 15, 16, 22, 38
_SIGKILL = 9

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
# PyDLL keeps the interpreter's lock, which a child could not take back.
_fork = ctypes.PyDLL(None, use_errno=True).fork
# Calls made in every leaf have their arguments ready: each page that a leaf touches first costs.
_prctl: Any = getattr(ctypes.PyDLL(None), "prctl", None)
_ZERO = ctypes.c_long(0)
_DIE_WITH_PARENT = (ctypes.c_long(_PDEATHSIG), ctypes.c_long(_SIGKILL), _ZERO, _ZERO, _ZERO)


def _call(name: str, *arguments: object) -> int:
    """Call a libc function, integers as C longs; raise OSError when it returns -1."""
    longs = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = getattr(_libc, name)(*longs)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


# --- identity: session, namespaces, uid, capabilities


def _die_first() -> None:
    """A machine without memory ends this process before any that it has not made."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _new_session() -> None:
    """Leave the terminal and its signals; files made from here on are for their owner alone."""
    os.umask(0o077)
    if os.getsid(0) != os.getpid():
        os.setsid()


def _new_user_namespace() -> None:
    """Enter user, network and IPC namespaces in which this user keeps the same numbers."""
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", _NEW_USER | _NEW_NETWORK | _NEW_IPC)
    maps = {"setgroups": "deny", "uid_map": f"{uid} {uid} 1", "gid_map": f"{gid} {gid} 1"}
    for name, text in maps.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _unshare() -> None:
    """A network without interfaces and an empty System V IPC; root needs no user namespace."""
    if os.geteuid() == 0:
        _call("unshare", _NEW_NETWORK | _NEW_IPC)
        return
    # A namespace whose maps cannot be written makes no files and cannot be left: try in a child.
    child = fork()
    if child == 0:
        os._exit(_attempt(_new_user_namespace) != "on")
    if os.waitpid(child, 0)[1]:
        raise OSError("the kernel or its policy refuses user namespaces")
    _new_user_namespace()


def _set_capabilities(keep: int) -> None:
    """Keep only the capabilities in the bit mask `keep`."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
    _call("capset", header, struct.pack("=6I", keep, keep, 0, 0, 0, 0))


def _can_open(path: str) -> bool:
    """False only if permission is refused: no capability opens a path that does not exist."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EPERM)
    return True


def _nobody_can_open(paths: list[str]) -> bool:
    """Whether NOBODY could open all `paths`, and what lies directly in them."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        folders = [path for path in paths if _can_open(path) and os.path.isdir(path)]
        inside = [os.path.join(folder, name) for folder in folders for name in os.listdir(folder)]
        return all(map(_can_open, [*paths, *inside]))
    finally:
        os.seteuid(0)
        os.setegid(0)


def _give_up_root(scratch: str, paths: list[str]) -> None:
    """Become NOBODY (RLIMIT_NPROC does not bind root), who owns scratch and can read `paths`.

    Changing the uid clears PDEATHSIG, so `die_with_parent` comes after `lock_process`.
    """
    keep = [0]
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.chown(scratch, NOBODY, NOBODY)
            if not _nobody_can_open([scratch, *paths]):  # as with an interpreter in a home folder
                keep = [_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE, 0]
            _call("prctl", _KEEPCAPS, 1, 0, 0, 0)
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    finally:  # also for a root that could not leave, and in a new user namespace
        next(mask for mask in keep if _attempt(_set_capabilities, mask) == "on")


# --- Landlock

_READ_FILE, _READ_DIR, _WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
# write, remove folder and file, make folder and file, move between folders, truncate
_CHANGE = _WRITE_FILE | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 13 | 1 << 14
_FILE_RIGHTS = 1 << 0 | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15  # meant for files too
_RIGHTS = [0, 13, 14, 15, 15, 16]  # how many rights to files each ABI knows
_SYSTEM = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/localtime"]
_SYSTEM += ["/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"]


def _landlock_abi() -> int:
    """The version of Landlock in this kernel, 0 if there is none (or it is switched off)."""
    return int(max(0, _libc.syscall(ctypes.c_long(444), None, _ZERO, ctypes.c_long(1))))


def _allow_beneath(ruleset: int, path: str, rights: int) -> None:
    """Add a rule for `path` and all in it; a path that does not exist needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= _FILE_RIGHTS
    _call("syscall", 445, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
    os.close(descriptor)


def _restrict_files(abi: int, scratch: str, paths: list[str]) -> None:
    """Only `paths`, for reading, and scratch can be opened; nothing can be executed."""
    if abi < 1:
        raise OSError("no Landlock in this kernel; seccomp makes the scratch folder read-only")
    handled = (1 << _RIGHTS[min(abi, 5)]) - 1
    network = 3 if abi >= 4 else 0  # TCP bind and connect, allowed nowhere
    scoped = 3 if abi >= 6 else 0  # abstract sockets and signals stay among locked processes
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _call("syscall", 444, struct.pack("=3Q", handled, network, scoped), size, 0)
    for path in [*paths, *_SYSTEM]:
        _allow_beneath(ruleset, path, _READ_FILE | _READ_DIR)
    _allow_beneath(ruleset, "/dev/null", _WRITE_FILE)
    _allow_beneath(ruleset, scratch, (_READ_FILE | _READ_DIR | _CHANGE) & handled)
    quiet = 1 if abi >= 7 else 0  # or refused calls would fill the audit log
    _call("syscall", 446, ruleset, quiet)
    os.close(ruleset)


# --- seccomp: name, number on x86_64, number on aarch64

# the last five are for row processes: lock_leaf refuses them
_ALLOWED = """
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
_CHANGES = """rmdir 84 -, unlink 87 -, unlinkat 263 35, rename 82 -,
renameat 264 38, renameat2 316 276, creat 85 -"""  # confined by Landlock, or refused
_CHECKED = """open 2 -, openat 257 56, clone 56 220, fcntl 72 25, ioctl 16 29, prctl 157 167,
prlimit64 302 261, socketpair 53 199, truncate 76 45, mkdir 83 -,
mkdirat 258 34"""  # allowed for some arguments
_ABSENT = """clone3 435 435, openat2 437 437, io_uring_setup 425 425, io_uring_enter 426 426,
io_uring_register 427 427, futex_waitv 449 449"""  # libraries fall back when told ENOSYS

_MACHINES = {"x86_64": (0xC000003E, 1), "aarch64": (0xC00000B7, 2)}  # audit code, column above
_NEWEST = 450  # calls younger than the tables do not exist either
_X32 = 0x40000000
_WRITES = 0x1 | 0x2 | 0x40 | 0x200  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, on both processors
# CLONE_NEW*, CLONE_PARENT and CLONE_PTRACE: a child stays in its namespaces and with its parent
_CLONE_REFUSED = 0x7E020000 | 0x8000 | 0x2000
# F_DUPFD to F_SETLKW, F_OFD_*LK, F_DUPFD_CLOEXEC, F_GETPIPE_SZ; never F_SETOWN with F_SETSIG,
# with which the kernel sends any signal to any process of the same user
_FCNTL = [0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032]
# TCGETS, TCGETS2, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
_IOCTL = [0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451]

_Code = list[tuple[int, int, int, int]]  # BPF instructions: code, jump if true, if false, value
_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW: _Code = [(_RETURN, 0, 0, 0x7FFF0000)]
_KILL: _Code = [(_RETURN, 0, 0, 0x80000000)]
_REFUSE: _Code = [(_RETURN, 0, 0, 0x00050000 | errno.EPERM)]
_ABSENT_CALL: _Code = [(_RETURN, 0, 0, 0x00050000 | errno.ENOSYS)]
_READ_ONLY: _Code = [(_RETURN, 0, 0, 0x00050000 | errno.EROFS)]

_LEAF_PID = 4 * 8 + 4  # where the leaf filter compares with a pid: the value of instruction 4
_leaf_filter: ctypes.Array[ctypes.c_char] | None = None  # made by lock_process, as is
_leaf_install: tuple[object, ...] = ()  # what prctl needs to install it


def _argument(index: int) -> _Code:
    """Load the low half of an argument: the kernel takes all those checked here as 32 bits."""
    return [(_LOAD, 0, 0, 16 + 8 * index)]


def _among(values: list[int]) -> _Code:
    """Allow if the loaded value is one of `values`."""
    return [*(i for value in values for i in ((_EQUAL, 0, 1, value), *_ALLOW)), *_REFUSE]


def _numbers(table: str, column: int) -> dict[str, int]:
    """System calls of a table that exist on this processor."""
    rows = [row.split() for row in table.split(",")]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def _open_rule(flags: int, abi: int) -> _Code:
    """Opening, with `flags` the index of that argument, as far as Landlock leaves it to us."""
    if abi >= 3:
        return _ALLOW
    if abi == 0:
        return [*_argument(flags), (_ANY_BIT, 0, 1, _WRITES), *_READ_ONLY, *_ALLOW]
    # ABI 1 and 2 let O_TRUNC through if the file is not opened for writing, or in mode 3
    truncates: _Code = [(_AND, 0, 0, 0x203), (_EQUAL, 1, 0, 0x200), (_EQUAL, 0, 1, 0x203)]
    return [*_argument(flags), *truncates, *_READ_ONLY, *_ALLOW]


def _rules(abi: int) -> dict[str, _Code]:
    """What decides on each call of _CHECKED."""
    unix: _Code = [*_argument(0), (_EQUAL, 1, 0, 1), *_REFUSE]  # AF_UNIX
    # a folder that its owner cannot empty would stay for the next leaf
    owned: _Code = [(_AND, 0, 0, 0o700), *_among([0o700])] if abi else _REFUSE
    stream = [*_argument(1), (_AND, 0, 0, 0xF), *_among([1])]  # a datagram could name its receiver
    return {
        "open": _open_rule(1, abi),
        "openat": _open_rule(2, abi),
        "clone": [*_argument(0), (_ANY_BIT, 0, 1, _CLONE_REFUSED), *_REFUSE, *_ALLOW],
        "fcntl": _argument(1) + _among(_FCNTL),
        "ioctl": _argument(1) + _among(_IOCTL),
        "prctl": _argument(0) + _among([_PDEATHSIG, _SET_NAME, _GET_NAME, _SECCOMP]),
        "prlimit64": _argument(0) + _among([0]),  # only its own limits
        "socketpair": [*unix, *stream],
        "truncate": _ALLOW if abi >= 3 else _REFUSE,
        "mkdir": _argument(1) + owned,
        "mkdirat": _argument(2) + owned,
    }


def _base_filter(audit: int, column: int, abi: int) -> _Code:
    """The allow-list for the zygote and all that it forks."""
    code = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, audit), *_KILL, (_LOAD, 0, 0, 0)]
    if column == 1:
        code += [(_AT_LEAST, 0, 1, _X32), *_KILL]  # same audit code as x86_64, other numbers
    rules = _rules(abi)
    for name, number in _numbers(_CHECKED, column).items():
        code += [(_EQUAL, 0, len(rules[name]), number), *rules[name]]
    allowed = {*_numbers(_ALLOWED + ("," + _CHANGES if abi else ""), column).values()}
    firsts = sorted(number for number in allowed if number - 1 not in allowed)
    ends = sorted(number + 1 for number in allowed if number + 1 not in allowed)
    for first, end in zip(firsts, ends, strict=True):
        code += [(_AT_LEAST, 2, 0, end), (_AT_LEAST, 0, 1, first), *_ALLOW]
    for number in _numbers(_ABSENT, column).values():
        code += [(_EQUAL, 0, 1, number), *_ABSENT_CALL]
    return [*code, (_AT_LEAST, 0, 1, _NEWEST + 1), *_ABSENT_CALL, *_REFUSE]


def _leaf_code(column: int) -> _Code:
    """What a leaf loses on top: new processes, prctl, and signals to others than itself."""
    number = _numbers(_ALLOWED, column) | _numbers(_CHECKED, column)
    code = [(_LOAD, 0, 0, 0), (_EQUAL, 1, 0, number["kill"]), (_EQUAL, 0, 4, number["tgkill"])]
    code += [*_argument(0), (_EQUAL, 0, 1, 0), *_ALLOW, *_REFUSE]
    for name in {"clone", "fork", "vfork", "prctl", "setpgid"} & number.keys():
        code += [(_EQUAL, 0, 1, number[name]), *_REFUSE]
    return code + _ALLOW


def _pack(code: _Code) -> tuple[ctypes.Array[ctypes.c_char], tuple[object, ...]]:
    """BPF instructions as the kernel reads them, and the arguments of prctl that install them."""
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    block = ctypes.create_string_buffer(packed, len(packed))
    program = struct.pack("@HP", len(code), ctypes.addressof(block))
    return block, (ctypes.c_long(_SECCOMP), ctypes.c_long(2), program, _ZERO, _ZERO)


def _filter_calls(abi: int) -> None:
    """Install the allow-list and make the leaf filter ready."""
    global _leaf_filter, _leaf_install
    machine = os.uname().machine
    if machine not in _MACHINES or struct.calcsize("P") != 8:
        raise OSError(f"no table of system calls for this processor ({machine})")
    audit, column = _MACHINES[machine]
    _block, install = _pack(_base_filter(audit, column, abi))
    _call("prctl", *install)
    _leaf_filter, _leaf_install = _pack(_leaf_code(column))


# --- interface


def _attempt(layer: Callable[..., object], *arguments: object) -> str:
    """Try a layer; "on" or why it is off."""
    try:
        layer(*arguments)
    except Exception as error:  # a report, never a crash: the caller decides what it needs
        return f"off: {error}"
    return "on"


def _check_scratch(scratch: str) -> None:
    """Make and delete a file, as a leaf would."""
    path = os.path.join(scratch, f"lockdown-{os.getpid()}")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    os.unlink(path)


def _check_readable(paths: list[str]) -> None:
    """Whether what should be readable is, for this uid and these capabilities."""
    refused = [path for path in paths if not _can_open(path)]
    if refused:
        raise OSError(f"modules that are not loaded yet cannot be: no right to read {refused}")


def lock_process(scratch: str, readable: list[str]) -> dict[str, str]:
    """Lock this process, for good, and all that it will fork: once, in the zygote.

    `scratch` is the one folder that can be changed (root gives it to NOBODY); `readable` are the
    files and folders, besides Python's own, that can be read. Returns for each layer "on" or the
    reason that it is off. "hidden" (not dumpable) means no core files, and a /proc/self that
    belongs to root: other processes of the same user cannot trace this one or read its memory.
    """
    scratch = os.path.realpath(scratch)
    libraries = [
        os.path.join(prefix, name)
        for prefix in {sys.base_prefix, sys.base_exec_prefix}
        for name in {"lib", sys.platlibdir}
    ]
    paths = [os.path.realpath(path) for path in [*readable, *libraries]]
    layers = {"session": _attempt(_new_session)}
    if LINUX:
        layers |= _lock_linux(scratch, paths)
    else:
        layers |= dict.fromkeys(["landlock", "seccomp"], "off: needs Linux")
    layers["scratch"] = _attempt(_check_scratch, scratch)
    layers["readable"] = _attempt(_check_readable, paths)
    return layers


def _lock_linux(scratch: str, paths: list[str]) -> dict[str, str]:
    """The layers of `lock_process` that only Linux has, in an order in which none stops another."""
    layers = {
        "dies_first": _attempt(_die_first),
        "namespaces": _attempt(_unshare),
        "uid": _attempt(_give_up_root, scratch, paths),
        "hidden": _attempt(_call, "prctl", _DUMPABLE, 0, 0, 0, 0),
        "no_new_privs": _attempt(_call, "prctl", _NNP, 1, 0, 0, 0),
    }
    abi = _landlock_abi()
    layers["landlock"] = _attempt(_restrict_files, abi, scratch, paths)
    if layers["landlock"] != "on":
        abi = 0
        _attempt(_set_capabilities, 0)  # nothing else would bind the right to read every file
    for name, needed in {"landlock_tcp": 4, "landlock_scope": 6}.items():
        layers[name] = "on" if abi >= needed else f"off: needs Landlock ABI {needed}, not {abi}"
    layers["seccomp"] = _attempt(_filter_calls, abi)
    return layers


def limit(kind: int, soft: int, hard: int) -> None:
    """Set a resource limit, or keep a lower one that is there already."""
    try:
        resource.setrlimit(kind, (soft, hard))
    except (OSError, ValueError):
        ceiling = resource.getrlimit(kind)[1]
        if LINUX:  # macOS knows the names of limits that it does not set
            resource.setrlimit(kind, (_least(soft, ceiling), _least(hard, ceiling)))


def _least(one: int, other: int) -> int:
    return min((n for n in (one, other) if n != resource.RLIM_INFINITY), default=-1)


def lock_leaf(memory_bytes: int, cpu_seconds: int | None, file_bytes: int) -> None:
    """Bind a forked leaf, just before the untrusted code; raises if the kernel refuses.

    `memory_bytes` is the whole address space, with what the zygote had already. SIGXCPU comes at
    `cpu_seconds` and SIGKILL one second later; with None there is no limit, and the CPU clock of
    the process stays exact (a limit makes the kernel count in ticks). The last step of a leaf's
    preparation: it ends prctl (so `die_with_parent` comes before) and all signals but to itself.
    """
    if cpu_seconds is not None:
        limit(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1)
    limit(resource.RLIMIT_FSIZE, file_bytes, file_bytes)
    limit(resource.RLIMIT_NPROC, 0, 0)
    limit(resource.RLIMIT_NOFILE, 64, 64)
    limit(resource.RLIMIT_CORE, 0, 0)
    if _leaf_filter is not None:
        struct.pack_into("=I", _leaf_filter, _LEAF_PID, os.getpid())
        if _prctl(*_leaf_install):
            raise OSError("the kernel refuses the filter of a leaf")
    limit(resource.RLIMIT_AS, memory_bytes, memory_bytes)


def leaf_filter() -> tuple[bytes, int]:
    """What `lock_leaf` installs (BPF; nothing without seccomp), and where in it the pid belongs."""
    return (_leaf_filter.raw if _leaf_filter is not None else b""), _LEAF_PID


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that forked it ends; nothing off Linux.

    After `lock_process` (a change of uid clears it) and again in each child (a fork clears it).
    """
    if LINUX:
        _prctl(*_DIE_WITH_PARENT)
        if os.getppid() != parent_pid:  # it died before the call
            os.kill(os.getpid(), _SIGKILL)


def fork() -> int:
    """libc's fork, for a process with one thread: without Python's hooks `random` keeps its state.

    The hooks seed it anew in every child: that costs, and makes the children differ.
    """
    if not LINUX:
        return os.fork()
    pid: int = _fork()
    if pid < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return pid


# --- probe


def _try_fork() -> None:
    """Fork a child that does nothing."""
    child = fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _try_connect() -> None:
    """Reach a port of this machine; a refusal by the port means that it was reached."""
    import _socket

    code = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM).connect_ex(("127.0.0.1", 9))
    if code not in (0, errno.ECONNREFUSED):
        raise OSError(code, os.strerror(code))


def _try_exec() -> None:
    """Run a program, with an argument so long that it fails only after all checks of rights."""
    try:
        os.execv("/bin/true", ["true", "x" * 200_000])
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise


def probe(canary: str) -> dict[str, str]:
    """Really try what a leaf must not do: property -> "enforced" or "open".

    For a throw-away leaf, after `lock_leaf`. `canary` is a file that anybody may read, in a
    throw-away folder, outside scratch and `readable`, where anybody may make and delete files.
    """
    memory = max(0, resource.getrlimit(resource.RLIMIT_AS)[0])  # -1 is no limit
    attacks: dict[str, Callable[[], object]] = {
        "read_outside": lambda: os.close(os.open(canary, os.O_RDONLY)),
        "write_outside": lambda: os.close(os.open(canary + ".new", os.O_WRONLY | os.O_CREAT)),
        "delete_outside": lambda: os.unlink(canary),
        "signal_parent": lambda: os.kill(os.getppid(), 0),
        "network": _try_connect,
        "exec": _try_exec,
        "memory": lambda: bytearray(memory),
        "fork": _try_fork,
        "thread": lambda: _thread.start_new_thread(int, ()),
    }
    return {
        name: "open" if _attempt(attack) == "on" else "enforced" for name, attack in attacks.items()
    }
