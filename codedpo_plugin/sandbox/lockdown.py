"""Take rights away from a process that will run code written by a language model (Linux first).

The zygote calls `lock_process` once; every process it forks inherits the result. A worker process
then calls `lock_worker` and runs the untrusted code. Each layer is tried by itself and reported;
none raises.

Covered, for a worker:
  processes   no fork, thread, exec, ptrace; signals to itself only; dies with its parent
  files       reads only `readable` and what Python imports from; changes only the scratch folder;
              no modes, owners, times, links, device nodes, sockets or named pipes, even there
  network     no sockets, except the connected stream pairs that asyncio creates for itself
  resources   address space, CPU time, size of each file, number of descriptors
  kernel      system calls from an allow-list; no capability except, where needed, reading files

NOT covered:
  * bugs in the kernel, side channels of the CPU, and what code does to its own interpreter (a
    worker can forge anything it could compute: judge values outside it)
  * wall-clock time: a worker may sleep or stop itself for ever, so its parent needs a clock
  * descriptors left open in a worker, and their shared flags and offsets: close all but one pipe
  * the number of files in scratch (each is at most `file_bytes`), and workers that share a scratch
  * names: stat, readlink, access and chdir work on any path, so existence and size of files leak
  * without Landlock (before Linux 5.13, gVisor): everything that the uid may read can be read,
    /proc included; seccomp then refuses every change by path, so scratch is read-only
  * off Linux, or on a processor other than x86_64 and aarch64: much less; see the report

The zygote imports this file: it must need the standard library only, with few and cheap imports.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import sys

from codedpo_plugin.sandbox import seccomp
from codedpo_plugin.sandbox.process_tools import (
    LINUX,
    PR_SET_DUMPABLE,
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    ZERO,
    call,
    fork,
    prctl,
)

TYPE_CHECKING = False  # type checkers read it as true; importing typing would take milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY = 65534  # the uid and gid that replace root
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1 << 1, 1 << 2
_NEW_IPC, _NEW_USER, _NEW_NETWORK = 0x08000000, 0x10000000, 0x40000000
_SIGKILL = 9
_DIE_WITH_PARENT = (ctypes.c_long(PR_SET_PDEATHSIG), ctypes.c_long(_SIGKILL), ZERO, ZERO, ZERO)

_worker_filter: seccomp.Filter | None = None  # prepared by lock_process, used in every worker


# --- identity: session, namespaces, uid, capabilities


def _die_first() -> None:
    """When memory runs out, the kernel kills this process before any other."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _new_session() -> None:
    """Leave the terminal and its signals; new files are readable by their owner only."""
    os.umask(0o077)
    if os.getsid(0) != os.getpid():
        os.setsid()


def _new_user_namespace() -> None:
    """Enter user, network and IPC namespaces in which this user keeps the same numbers."""
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", _NEW_USER | _NEW_NETWORK | _NEW_IPC)
    maps = {"setgroups": "deny", "uid_map": f"{uid} {uid} 1", "gid_map": f"{gid} {gid} 1"}
    for name, text in maps.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _unshare() -> None:
    """A network without interfaces and an empty System V IPC; root needs no user namespace."""
    if os.geteuid() == 0:
        call("unshare", _NEW_NETWORK | _NEW_IPC)
        return
    # In a namespace whose maps cannot be written no file can be made, and it cannot be left: try
    # in a child process first.
    child = fork()
    if child == 0:
        os._exit(_attempt(_new_user_namespace) != "on")
    if os.waitpid(child, 0)[1]:
        raise OSError("the kernel or its policy refuses user namespaces")
    _new_user_namespace()


def _set_capabilities(keep: int) -> None:
    """Keep only the capabilities in the bit mask `keep`."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
    call("capset", header, struct.pack("=6I", keep, keep, 0, 0, 0, 0))


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
            call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
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


def landlock_abi() -> int:
    """The version of Landlock in this kernel, 0 if there is none (or it is switched off)."""
    try:
        return call("syscall", 444, None, 0, 1)
    except OSError:
        return 0


def _allow_beneath(ruleset: int, path: str, rights: int) -> None:
    """Add a rule for `path` and all in it; a path that does not exist needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= _FILE_RIGHTS
    call("syscall", 445, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
    os.close(descriptor)


def _restrict_files(abi: int, scratch: str, paths: list[str]) -> None:
    """Only `paths`, for reading, and scratch can be opened; nothing can be executed."""
    if abi < 1:
        raise OSError("no Landlock in this kernel; seccomp makes the scratch folder read-only")
    handled = (1 << _RIGHTS[min(abi, 5)]) - 1
    network = 3 if abi >= 4 else 0  # TCP bind and connect, allowed nowhere
    scoped = 3 if abi >= 6 else 0  # abstract sockets and signals stay among locked processes
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = call("syscall", 444, struct.pack("=3Q", handled, network, scoped), size, 0)
    for path in [*paths, *_SYSTEM]:
        _allow_beneath(ruleset, path, _READ_FILE | _READ_DIR)
    _allow_beneath(ruleset, "/dev/null", _WRITE_FILE)
    _allow_beneath(ruleset, scratch, (_READ_FILE | _READ_DIR | _CHANGE) & handled)
    quiet = 1 if abi >= 7 else 0  # or refused calls would fill the audit log
    call("syscall", 446, ruleset, quiet)
    os.close(ruleset)


# --- interface


def _attempt(layer: Callable[..., object], *arguments: object) -> str:
    """Try a layer; "on" or why it is off."""
    try:
        layer(*arguments)
    except Exception as error:  # a report, never a crash: the caller decides what it needs
        return f"off: {error}"
    return "on"


def _check_scratch(scratch: str) -> None:
    """Create and delete a file, as a worker would."""
    path = os.path.join(scratch, f"lockdown-{os.getpid()}")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    os.unlink(path)


def _check_readable(paths: list[str]) -> None:
    """Check that this uid with these capabilities can read what it should."""
    refused = [path for path in paths if not _can_open(path)]
    if refused:
        raise OSError(
            f"modules that are not loaded yet cannot be imported: no permission to read {refused}"
        )


def lock_process(scratch: str, readable: list[str]) -> dict[str, str]:
    """Lock this process and all its descendants, for good: once, in the zygote.

    `scratch` is the only folder that can be changed (root gives it to NOBODY); `readable` are the
    files and folders, besides Python's own, that can be read. Returns "on" for each layer, or the
    reason why it is off. "hidden" (not dumpable) means no core files, and a /proc/self that
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
    """The layers that only Linux has, in an order in which none prevents a later one."""
    layers = {
        "dies_first": _attempt(_die_first),
        "namespaces": _attempt(_unshare),
        "uid": _attempt(_give_up_root, scratch, paths),
        "hidden": _attempt(call, "prctl", PR_SET_DUMPABLE, 0, 0, 0, 0),
        "no_new_privs": _attempt(call, "prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
    }
    abi = landlock_abi()
    layers["landlock"] = _attempt(_restrict_files, abi, scratch, paths)
    if layers["landlock"] != "on":
        abi = 0
        _attempt(_set_capabilities, 0)  # nothing else would confine reading
    for name, needed in {"landlock_tcp": 4, "landlock_scope": 6}.items():
        layers[name] = "on" if abi >= needed else f"off: needs Landlock ABI {needed}, not {abi}"
    layers["seccomp"] = _attempt(_filter_system_calls, abi)
    return layers


def _filter_system_calls(abi: int) -> None:
    """Install the allow-list, and prepare the filter of workers."""
    global _worker_filter
    own, worker = seccomp.filters(abi)
    own.install()
    _worker_filter = worker


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


def lock_worker(memory_bytes: int, cpu_seconds: int | None, file_bytes: int) -> None:
    """Lock a forked worker process, just before the untrusted code; the last preparation.

    `memory_bytes` is the whole address space, including what the zygote had already. SIGXCPU is
    sent at `cpu_seconds` and SIGKILL one second later; with None there is no limit, and the CPU
    clock of the process stays exact (a limit makes the kernel count in ticks). Afterwards prctl is
    refused, so `die_with_parent` has to be called before, as are signals to other processes.

    Raises:
        OSError: the kernel refuses.
    """
    if cpu_seconds is not None:
        limit(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1)
    limit(resource.RLIMIT_FSIZE, file_bytes, file_bytes)
    limit(resource.RLIMIT_NPROC, 0, 0)
    limit(resource.RLIMIT_NOFILE, 64, 64)
    limit(resource.RLIMIT_CORE, 0, 0)
    if _worker_filter is not None:
        _worker_filter.set_pid(os.getpid())
        _worker_filter.install()
    limit(resource.RLIMIT_AS, memory_bytes, memory_bytes)


def worker_filter() -> tuple[bytes, int]:
    """The BPF program that `lock_worker` installs, empty without seccomp; offset of the pid."""
    return (_worker_filter.packed if _worker_filter is not None else b""), seccomp.PID_OFFSET


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that forked it ends; no effect off Linux.

    Call it after `lock_process`, since a change of uid clears it, and in each child, since a fork
    clears it.
    """
    if LINUX:
        prctl(*_DIE_WITH_PARENT)
        if os.getppid() != parent_pid:  # it died before the call
            os.kill(os.getpid(), _SIGKILL)
