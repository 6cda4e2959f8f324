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

import ctypes
import errno
import os
import resource
import struct
import sys
from collections.abc import Callable

LINUX = sys.platform.startswith("linux")
NOBODY = 65534  # the uid and gid that replace root
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS = 1, 4, 8
PR_SET_NAME, PR_GET_NAME, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 15, 16, 22, 38
SIGKILL = 9

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
# PyDLL keeps the interpreter lock: a fork must not happen while it is released.
_libc_locked = ctypes.PyDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> int:
    """Call a libc function, integers as C longs; raise OSError when it returns -1."""
    longs = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = getattr(_libc, name)(*longs)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


# ------------------------------------------------------------------------------- identity

def _new_session() -> None:
    """Leave the terminal and its signals; files made from here on are for their owner alone."""
    os.umask(0o077)
    if os.getsid(0) != os.getpid():
        os.setsid()


def _set_capabilities(keep: int) -> None:
    """Keep only the capabilities in the bit mask `keep`."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
    _call("capset", header, ctypes.create_string_buffer(struct.pack("=6I", keep, keep, *[0] * 4)))


def _held_capabilities() -> int:
    """The low 32 permitted capabilities of this process, as a bit mask."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
    sets = ctypes.create_string_buffer(24)
    _call("capget", header, sets)
    permitted: int = struct.unpack("=6I", sets.raw[:24])[1]
    return permitted


def _new_user_namespace() -> None:
    """Enter user, network and IPC namespaces in which this user keeps the same numbers."""
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC)
    maps = {"setgroups": "deny", "uid_map": f"{uid} {uid} 1", "gid_map": f"{gid} {gid} 1"}
    for name, text in maps.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _unshare() -> None:
    """A network without interfaces and an empty System V IPC; root needs no user namespace."""
    if os.geteuid() == 0:
        _call("unshare", CLONE_NEWNET | CLONE_NEWIPC)
        return
    # A namespace whose map cannot be written can make no files and cannot be left: try it first.
    child = fork()
    if child == 0:
        try:
            _new_user_namespace()
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise OSError(code, "user namespace refused")
    _new_user_namespace()


def _can_open(path: str) -> bool:
    """False only if permission is refused: a path that does not exist needs no capability."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EPERM)
    return True


def _reading_capability(paths: list[str]) -> int:
    """The mask of the one capability that NOBODY needs to open `paths`, 0 if it needs none."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        inside = [os.path.join(path, name) for path in paths if os.path.isdir(path)
                  and _can_open(path) for name in os.listdir(path)]
        readable = all(map(_can_open, [*paths, *inside]))
    finally:
        os.seteuid(0)
        os.setegid(0)
    held = 0 if readable else _held_capabilities()
    return held & 1 << CAP_DAC_READ_SEARCH or held & 1 << CAP_DAC_OVERRIDE


def _give_up_root(scratch: str, paths: list[str]) -> None:
    """Become NOBODY (RLIMIT_NPROC does not bind root), who owns scratch and can read `paths`.

    Changing the uid clears PDEATHSIG, so `die_with_parent` comes after `lock_process`.
    """
    keep = 0
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.chown(scratch, NOBODY, NOBODY)
            keep = _reading_capability([scratch, *paths])
            _call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    finally:
        _set_capabilities(keep)  # also for a root that could not leave, or a new user namespace


# ------------------------------------------------------------------------------- Landlock

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# write, delete file and folder, make folder and file, move between folders, truncate
_CHANGE = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 13 | 1 << 14
_FILE_RIGHTS = 1 << 0 | 1 << 1 | _READ_FILE | 1 << 14 | 1 << 15
_HANDLED = {0: 0, 1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # Landlock ABI -> number of file rights
_SYSTEM = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/localtime",
           "/usr/share/zoneinfo", "/dev/zero", "/dev/urandom", "/dev/random"]


def _interpreter_paths() -> list[str]:
    """The folders that hold the standard library and libpython."""
    names = {"lib", sys.platlibdir}
    return [os.path.join(p, n) for p in {sys.base_prefix, sys.base_exec_prefix} for n in names]


def _landlock_abi() -> int:
    """The version of Landlock in this kernel, 0 if there is none (or it is switched off)."""
    return max(0, _libc.syscall(ctypes.c_long(444), None, ctypes.c_long(0), ctypes.c_long(1)))


def _restrict_files(abi: int, scratch: str, paths: list[str]) -> None:
    """Nothing is open but `paths`, for reading, and scratch; nothing can be executed."""
    if abi < 1:
        raise OSError("no Landlock in this kernel; seccomp makes the scratch folder read-only")
    handled = (1 << _HANDLED[min(abi, 5)]) - 1
    network = 3 if abi >= 4 else 0  # TCP bind and connect, allowed nowhere
    scoped = 3 if abi >= 6 else 0  # abstract sockets and signals stay among locked processes
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    attributes = ctypes.create_string_buffer(struct.pack("=3Q", handled, network, scoped))
    ruleset = _call("syscall", 444, attributes, size, 0)
    try:
        for path in [*paths, *_SYSTEM, "/dev/null"]:
            _allow(ruleset, path, _READ_FILE | _READ_DIR)
        _allow(ruleset, "/dev/null", 1 << 1)
        _allow(ruleset, scratch, (_READ_FILE | _READ_DIR | _CHANGE) & handled)
        quiet = 1 if abi >= 7 else 0  # or refused calls would fill the audit log
        _call("syscall", 446, ruleset, quiet)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Add a rule for everything beneath `path`; a path that does not exist needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _FILE_RIGHTS
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, descriptor))
        _call("syscall", 445, ruleset, 1, rule, 0)
    finally:
        os.close(descriptor)


def _require(abi: int, needed: int) -> None:
    """Report a right that needs a newer Landlock."""
    if abi < needed:
        raise OSError(f"needs Landlock ABI {needed}, this kernel has {abi}")


# -------------------------------------------------------------------------------- seccomp

_MACHINES = {"x86_64": (0xC000003E, 1), "aarch64": (0xC00000B7, 2)}  # audit code, column below
_ALLOWED = """
mmap 9 222, mprotect 10 226, munmap 11 215, mremap 25 216, brk 12 214, madvise 28 233,
msync 26 227, read 0 63, write 1 64, close 3 57, lseek 8 62, pread64 17 67, pwrite64 18 68,
readv 19 65, writev 20 66, preadv 295 69, pwritev 296 70, preadv2 327 286, pwritev2 328 287,
dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59, close_range 436 436, sendfile 40 71,
copy_file_range 326 285, fsync 74 82, fdatasync 75 83, ftruncate 77 46, fallocate 285 47,
fadvise64 221 223, eventfd 284 -, eventfd2 290 19, stat 4 -, fstat 5 80, lstat 6 -,
newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48, faccessat2 439 439,
readlink 89 -, readlinkat 267 78, getdents 78 -, getdents64 217 61, getcwd 79 17, chdir 80 49,
fchdir 81 50, statfs 137 43, fstatfs 138 44, poll 7 -, ppoll 271 73, select 23 -,
pselect6 270 72, epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -,
epoll_pwait 281 22, epoll_pwait2 441 441, futex 202 98, nanosleep 35 101,
clock_nanosleep 230 115, pause 34 -, sched_yield 24 124, restart_syscall 219 128,
clock_gettime 228 113, clock_getres 229 114, gettimeofday 96 169, time 201 -, times 100 153,
getitimer 36 102, setitimer 38 103, alarm 37 -, rt_sigaction 13 134, rt_sigprocmask 14 135,
rt_sigreturn 15 139, rt_sigpending 127 136, rt_sigsuspend 130 133, rt_sigtimedwait 128 137,
sigaltstack 131 132, sendto 44 206, recvfrom 45 207, shutdown 48 210, getsockname 51 204,
getpeername 52 205, getsockopt 55 209, exit 60 93, exit_group 231 94, wait4 61 260,
waitid 247 95, getpid 39 172, gettid 186 178, getppid 110 173, getpgid 121 155, getpgrp 111 -,
getsid 124 156, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177,
getresuid 118 148, getresgid 120 150, getgroups 115 158, getpriority 140 141, getrlimit 97 163,
setrlimit 160 164, getrusage 98 165, sysinfo 99 179, uname 63 160, getrandom 318 278,
getcpu 309 168, sched_getaffinity 204 123, set_robust_list 273 99, set_tid_address 218 96,
rseq 334 293, membarrier 324 283, fork 57 -, vfork 58 -, kill 62 129, tgkill 234 131,
setpgid 109 154"""  # the last five are for row processes: lock_leaf refuses them
_CHANGES = """mkdir 83 -, mkdirat 258 34, rmdir 84 -, unlink 87 -, unlinkat 263 35, rename 82 -,
renameat 264 38, renameat2 316 276, creat 85 -"""  # confined by Landlock, or refused
_CHECKED = """open 2 -, openat 257 56, clone 56 220, fcntl 72 25, ioctl 16 29, prctl 157 167,
prlimit64 302 261, socketpair 53 199, truncate 76 45"""  # allowed for some arguments
_ABSENT = """clone3 435 435, openat2 437 437, io_uring_setup 425 425, io_uring_enter 426 426,
io_uring_register 427 427, futex_waitv 449 449"""  # libraries fall back when told ENOSYS

_Code = list[tuple[int, int, int, int]]  # BPF instructions: code, jump if true, if false, value
_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW: _Code = [(_RETURN, 0, 0, 0x7FFF0000)]
_KILL: _Code = [(_RETURN, 0, 0, 0x80000000)]
_NEWEST = 450  # calls younger than the table do not exist
_WRITES = 0x1 | 0x2 | 0x40 | 0x200  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, on both processors
# a leaf must not leave its parent (CLONE_PARENT, CLONE_PTRACE) or its namespaces (CLONE_NEW*)
_CLONE_REFUSED = 0x7E020000 | 0x8000 | 0x2000
# F_DUPFD to F_SETLKW, F_OFD_*LK, F_DUPFD_CLOEXEC, F_GETPIPE_SZ; never F_SETOWN with F_SETSIG,
# which make the kernel send any signal to any process of the same user
_FCNTL = [0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032]
# TCGETS, TCGETS2, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
_IOCTL = [0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451]
_PRCTL = [PR_SET_PDEATHSIG, PR_SET_NAME, PR_GET_NAME, PR_SET_SECCOMP]

_leaf_filter: ctypes.Array[ctypes.c_char] | None = None  # made by lock_process
_LEAF_PID = 4 * 8 + 4  # where the leaf filter compares with a pid: the value of instruction 4


def _refuse(code: int) -> _Code:
    """Fail the call with an errno."""
    return [(_RETURN, 0, 0, 0x00050000 | code)]


def _argument(index: int) -> _Code:
    """Load the low half of an argument: the kernel takes all those checked here as 32 bits."""
    return [(_LOAD, 0, 0, 16 + 8 * index)]


def _among(values: list[int]) -> _Code:
    """Allow if the loaded value is one of `values`."""
    tests = [[(_EQUAL, 0, 1, value), *_ALLOW] for value in values]
    return [*sum(tests, []), *_refuse(errno.EPERM)]


def _numbers(table: str, column: int) -> dict[str, int]:
    """System calls of a table that exist on this processor."""
    rows = [row.split() for row in table.split(",")]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def _open_rule(flags: int, abi: int) -> _Code:
    """Opening, with `flags` the index of that argument, as far as Landlock leaves it to us."""
    if abi >= 3:
        return _ALLOW
    if abi == 0:
        return [*_argument(flags), (_ANY_BIT, 0, 1, _WRITES), *_refuse(errno.EROFS), *_ALLOW]
    # ABI 1 and 2 let a file be truncated that is not opened for writing
    return [*_argument(flags), (_AND, 0, 0, 0x203), (_EQUAL, 1, 0, 0x200), (_EQUAL, 0, 1, 0x203),
            *_refuse(errno.EACCES), *_ALLOW]


def _rules(abi: int) -> dict[str, _Code]:
    """What decides on each call of _CHECKED."""
    refuse = _refuse(errno.EPERM)
    return {
        "open": _open_rule(1, abi),
        "openat": _open_rule(2, abi),
        "clone": [*_argument(0), (_ANY_BIT, 0, 1, _CLONE_REFUSED), *refuse, *_ALLOW],
        "fcntl": [*_argument(1), *_among(_FCNTL)],
        "ioctl": [*_argument(1), *_among(_IOCTL)],
        "prctl": [*_argument(0), *_among(_PRCTL)],
        "prlimit64": [*_argument(0), *_among([0])],  # only its own limits
        # AF_UNIX, SOCK_STREAM: a datagram pair could send to any named socket
        "socketpair": [*_argument(0), (_EQUAL, 1, 0, 1), *refuse,
                       *_argument(1), (_AND, 0, 0, 0xF), *_among([1])],
        "truncate": _ALLOW if abi >= 3 else refuse,
    }


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """Merge call numbers into [first, past the last): fewer instructions."""
    starts = sorted(n for n in numbers if n - 1 not in numbers)
    ends = sorted(n + 1 for n in numbers if n + 1 not in numbers)
    return list(zip(starts, ends, strict=True))


def _base_filter(audit: int, column: int, abi: int) -> _Code:
    """The allow-list for the zygote and all that it forks."""
    code: _Code = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, audit), *_KILL, (_LOAD, 0, 0, 0)]
    if column == 1:
        code += [(_AT_LEAST, 0, 1, 0x40000000), *_KILL]  # x32: same audit code, other numbers
    rules = _rules(abi)
    for name, number in _numbers(_CHECKED, column).items():
        code += [(_EQUAL, 0, len(rules[name]), number), *rules[name]]
    allowed = _numbers(_ALLOWED, column) | (_numbers(_CHANGES, column) if abi else {})
    for first, end in _ranges(list(allowed.values())):
        code += [(_AT_LEAST, 2, 0, end), (_AT_LEAST, 0, 1, first), *_ALLOW]
    for number in _numbers(_ABSENT, column).values():
        code += [(_EQUAL, 0, 1, number), *_refuse(errno.ENOSYS)]
    return [*code, (_AT_LEAST, 0, 1, _NEWEST + 1), *_refuse(errno.ENOSYS), *_refuse(errno.EPERM)]


def _leaf_code(column: int) -> _Code:
    """What a leaf loses on top: new processes, prctl, and signals to others than itself."""
    number = _numbers(_ALLOWED, column) | _numbers(_CHECKED, column)
    code: _Code = [(_LOAD, 0, 0, 0), (_EQUAL, 1, 0, number["kill"]),
                   (_EQUAL, 0, 4, number["tgkill"]),
                   *_argument(0), (_EQUAL, 0, 1, 0), *_ALLOW, *_refuse(errno.EPERM)]
    for name in {"clone", "fork", "vfork", "prctl", "setpgid"} & number.keys():
        code += [(_EQUAL, 0, 1, number[name]), *_refuse(errno.EPERM)]
    return [*code, *_ALLOW]


def _pack(code: _Code) -> ctypes.Array[ctypes.c_char]:
    """BPF instructions as the kernel reads them."""
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    return ctypes.create_string_buffer(packed, len(packed))


def _install(instructions: ctypes.Array[ctypes.c_char]) -> None:
    """Put a filter on this process and all that it forks; it cannot be taken off."""
    program = struct.pack("@HP", len(instructions) // 8, ctypes.addressof(instructions))
    _call("prctl", PR_SET_SECCOMP, 2, program, 0, 0)


def _filter_calls(abi: int) -> None:
    """Install the allow-list and make the leaf filter ready."""
    global _leaf_filter
    machine = os.uname().machine
    if machine not in _MACHINES or struct.calcsize("P") != 8:
        raise OSError(f"no table of system calls for this processor ({machine})")
    audit, column = _MACHINES[machine]
    _install(_pack(_base_filter(audit, column, abi)))
    _leaf_filter = _pack(_leaf_code(column))


# ------------------------------------------------------------------------------ interface

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


def lock_process(scratch: str, readable: list[str]) -> dict[str, str]:
    """Lock this process, for good, and all that it will fork: once, in the zygote.

    `scratch` is the one folder that can be changed (and is given to NOBODY if root calls this);
    `readable` are the files and folders, besides Python's own, that can be read. Returns for each
    layer "on" or the reason that it is off. Not dumpable ("hidden") means no core files and a
    /proc/self that belongs to root, so that nobody of the same user can trace this process.
    """
    scratch = os.path.realpath(scratch)
    layers = {"session": _attempt(_new_session)}
    if not LINUX:
        later = ["namespaces", "uid", "hidden", "no_new_privs", "landlock", "landlock_tcp",
                 "landlock_scope", "seccomp"]
        return layers | dict.fromkeys(later, "off: needs Linux") | {
            "scratch": _attempt(_check_scratch, scratch)}
    paths = [os.path.realpath(path) for path in [*readable, *_interpreter_paths()]]
    layers["namespaces"] = _attempt(_unshare)
    layers["uid"] = _attempt(_give_up_root, scratch, paths)
    layers["hidden"] = _attempt(_call, "prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
    layers["no_new_privs"] = _attempt(_call, "prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    abi = _landlock_abi()
    layers["landlock"] = _attempt(_restrict_files, abi, scratch, paths)
    if layers["landlock"] != "on":
        abi = 0
        _attempt(_set_capabilities, 0)  # nothing else would bind the right to read every file
    layers["landlock_tcp"] = _attempt(_require, abi, 4)
    layers["landlock_scope"] = _attempt(_require, abi, 6)
    layers["seccomp"] = _attempt(_filter_calls, abi)
    layers["scratch"] = _attempt(_check_scratch, scratch)
    return layers


def _limit(kind: int, soft: int, hard: int) -> None:
    """Set a resource limit, or keep a lower one that is there already."""
    ceiling = resource.getrlimit(kind)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    try:
        resource.setrlimit(kind, (soft, hard))
    except (OSError, ValueError):
        if LINUX:  # macOS knows the names of limits that it does not set
            raise


def lock_leaf(memory_bytes: int, cpu_seconds: int, file_bytes: int) -> None:
    """Bind a forked leaf, just before the untrusted code; raises if the kernel refuses.

    `memory_bytes` is the whole address space, with what the zygote had already. SIGXCPU comes at
    `cpu_seconds` and SIGKILL one second later. The last call of a leaf's own preparation: it ends
    prctl (so `die_with_parent` comes before) and all signals but those to itself.
    """
    _limit(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1)
    _limit(resource.RLIMIT_FSIZE, file_bytes, file_bytes)
    _limit(resource.RLIMIT_NPROC, 0, 0)
    _limit(resource.RLIMIT_NOFILE, 64, 64)
    _limit(resource.RLIMIT_CORE, 0, 0)
    if _leaf_filter is not None:
        struct.pack_into("=I", _leaf_filter, _LEAF_PID, os.getpid())
        _install(_leaf_filter)
    _limit(resource.RLIMIT_AS, memory_bytes, memory_bytes)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that forked it ends; nothing off Linux.

    After `lock_process` (a change of uid clears it) and again in each child (a fork clears it).
    """
    if LINUX:
        _call("prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:  # it died before the call
            os.kill(os.getpid(), SIGKILL)


def fork() -> int:
    """libc's fork, for a process with one thread: without Python's hooks `random` keeps its state.

    They would seed it anew in every child, at a price, and make the children differ.
    """
    if not LINUX:
        return os.fork()
    pid: int = _libc_locked.fork()
    if pid < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return pid


# ---------------------------------------------------------------------------------- probe

def _try_fork() -> None:
    """Fork a child that does nothing."""
    child = fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _try_thread() -> None:
    """Start a thread that does nothing."""
    import _thread

    _thread.start_new_thread(int, ())


def _try_connect() -> None:
    """Reach a port of this machine; a refusal by the port means that it was reached."""
    import _socket

    tcp = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        tcp.connect(("127.0.0.1", 9))
    except ConnectionRefusedError:
        pass


def _try_write(path: str) -> None:
    """Make a file beside `path` (and delete it)."""
    os.close(os.open(path + ".probe", os.O_WRONLY | os.O_CREAT))
    os.unlink(path + ".probe")


def _try_exec() -> None:
    """Run a program, with an argument so long that it fails only after all checks of rights."""
    try:
        os.execv("/bin/true", ["true", "x" * 200_000])
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise


def _try_memory() -> None:
    """Ask for as many bytes as the limit of the whole address space; touches none of them."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        bytearray(limit)


def probe(canary: str) -> dict[str, str]:
    """Really try what a leaf must not do: property -> "enforced" or "open".

    For a throw-away leaf, after `lock_leaf`. `canary` is a file made for this, outside scratch and
    `readable`, that anybody may read, in a folder where anybody may delete it: this tries to.
    """
    attacks: dict[str, Callable[[], object]] = {
        "read_outside": lambda: os.close(os.open(canary, os.O_RDONLY)),
        "write_outside": lambda: _try_write(canary),
        "delete_outside": lambda: os.unlink(canary),
        "signal_parent": lambda: os.kill(os.getppid(), 0),
        "network": _try_connect,
        "exec": _try_exec,
        "memory": _try_memory,
        "fork": _try_fork,
        "thread": _try_thread,
    }
    verdicts = {}
    for name, attack in attacks.items():
        try:
            attack()
            verdicts[name] = "open"
        except (OSError, RuntimeError, MemoryError):
            verdicts[name] = "enforced"
    return verdicts
