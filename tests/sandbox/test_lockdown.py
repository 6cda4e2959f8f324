"""One attack per property, from a worker of a locked zygote; then what honest programs need.

Three zygotes: as the current uid; as an ordinary uid (if we are root); and without Landlock. The
last two load all modules before the lock, as their uid may not be able to read the interpreter.
"""

import errno
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="most layers need Linux")

SITE = Path(pytest.__file__).parents[1]
NOBODY = 65534
MODULES = """asyncio dataclasses datetime decimal encodings.idna errno fcntl hashlib json mmap
multiprocessing.popen_fork numpy random re resource secrets shutil signal socket statistics
subprocess tempfile threading time unittest uuid zoneinfo"""

ZYGOTE = """
import json, os, struct, sys
options = json.loads(sys.argv[1])
sys.path.insert(0, options["root"])
from codedpo_plugin.sandbox import escape_attempts, lockdown
from codedpo_plugin.sandbox.process_tools import call, fork
sys.path[0] = options["site"]
for name in options["preload"]:
    try:
        __import__(name)
    except ImportError:
        pass
if options["uid"]:
    os.setgroups([]), os.setresgid(*[options["uid"]] * 3), os.setresuid(*[options["uid"]] * 3)
    call("prctl", 4, 1, 0, 0, 0)  # as it is after an exec
newest = lockdown.landlock_abi()
lockdown.landlock_abi = lambda: min(newest, options["abi"])
layers = lockdown.lock_process(options["scratch"], [options["site"], options["shown"]])
os.write(1, json.dumps(layers).encode() + b"\\n")

def attempt(task):
    names = {"lockdown": lockdown, "call": call, "fork": fork, "try_all": escape_attempts.try_all,
             "zygote": zygote, **options}
    try:
        exec(task["source"], names)
        return {"result": names.get("result")}
    except BaseException as error:
        return {"error": type(error).__name__, "code": getattr(error, "errno", None),
                "text": str(error)}

def run_worker(task):
    reading, writing = os.pipe()
    server = os.getpid()
    worker = fork()
    if worker == 0:
        os.close(reading)
        lockdown.die_with_parent(server)
        lockdown.lock_worker(task["memory"], task["cpu"], 1 << 20)
        answer = attempt(task)
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    answer = b"".join(iter(lambda: os.read(reading, 65536), b""))
    status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    return {**json.loads(answer or b"{}"), "status": status}

zygote = os.getpid()
for line in iter(sys.stdin.readline, ""):
    task = json.loads(line)
    server = fork()
    if server == 0:
        lockdown.die_with_parent(zygote)
        answer = run_worker(task) if task["worker"] else attempt(task)
        os.write(1, json.dumps(answer).encode() + b"\\n")
        os._exit(0)
    os.waitpid(server, 0)
"""


class Zygote:
    """A locked zygote that runs source texts, each in a new worker process (or fork server)."""

    def __init__(self, folder: Path, uid: int = 0, abi: int = 99, preload: bool = False) -> None:
        self.scratch, self.outside, self.shown = (folder / n for n in ("scratch", "out", "shown"))
        for path, mode in ((self.scratch, 0o700), (self.outside, 0o777), (self.shown, 0o777)):
            path.mkdir()
            path.chmod(mode)
        (self.outside / "empty").mkdir()
        if uid:
            os.chown(self.scratch, uid, uid)
        options = {
            "root": str(ROOT),
            "scratch": str(self.scratch),
            "outside": str(self.outside),
            "shown": str(self.shown),
            "site": str(SITE),
            "uid": uid,
            "abi": abi,
            "preload": MODULES.split() if preload else [],
            "tester": os.getpid(),
        }
        environment = {"TMPDIR": str(self.scratch), "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", ZYGOTE, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.abi, self.preloaded = abi, preload
        self.layers: dict[str, str] = self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def run(
        self, source: str, worker: bool = True, cpu: int = 5, memory: int = 1 << 30
    ) -> dict[str, Any]:
        """What the source text assigned to `result`, or the error it ended with."""
        for path in (self.outside / "canary", self.shown / "file"):
            path.write_text("secret")
            path.chmod(0o666)
        task = {"source": source, "worker": worker, "cpu": cpu, "memory": memory}
        assert self.process.stdin
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = self._answer()
        assert (self.outside / "canary").read_text() == "secret"
        assert (self.shown / "file").read_text() == "secret"
        return answer

    def close(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lockdown-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(scope="module", params=["current", "ordinary", "no-landlock"])
def zygote(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    if request.param == "ordinary" and os.getuid() != 0:
        pytest.skip("`current` is an ordinary uid already")
    with tempfile.TemporaryDirectory(prefix="lockdown-") as name:
        os.chmod(name, 0o755)
        zygote = {
            "current": lambda: Zygote(Path(name)),
            "ordinary": lambda: Zygote(Path(name), uid=NOBODY, preload=True),
            "no-landlock": lambda: Zygote(Path(name), abi=0, preload=True),
        }[request.param]()
        yield zygote
        zygote.close()


def test_layers(zygote: Zygote) -> None:
    expected = {"session", "uid", "hidden", "no_new_privs", "seccomp"}
    if zygote.abi:
        expected |= {"landlock", "scratch"}
    if not zygote.preloaded:
        expected |= {"readable"}
    assert not {name: zygote.layers[name] for name in expected if zygote.layers[name] != "on"}


# Every one of these must fail with a refusal, whatever the layers.
REFUSED = {
    "fork": "import os; os.fork()",
    "libc_fork": "fork()",
    "thread": "import threading; threading.Thread(target=int).start()",
    "exec": "import os; os.execv('/bin/true', ['true'])",
    "posix_spawn": "import os; os.posix_spawn('/bin/true', ['true'], {})",
    "subprocess": "import subprocess; subprocess.run(['/bin/true'])",
    "multiprocessing": "import multiprocessing as m; m.Process(target=int).start()",
    "kill_fork_server": "import os; os.kill(os.getppid(), 9)",
    "kill_zygote": "import os; os.kill(zygote, 9)",
    "signal_the_user": "import os; os.kill(tester, 0)",
    "signal_group": "import os; os.killpg(0, 0)",
    "signal_all": "import os; os.kill(-1, 0)",
    "signal_through_fcntl": "import fcntl, os; fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, zygote)",
    "signal_number_of_fcntl": "import fcntl, os; fcntl.fcntl(os.pipe()[0], 10, 9)",
    "own_group": "import os; os.setpgid(0, 0)",
    "own_session": "import os; os.setsid()",
    "outlive_parent": "call('prctl', 1, 0, 0, 0, 0)",
    "be_traceable": "call('prctl', 4, 1, 0, 0, 0)",
    "limits_of_parent": "import os, resource as r; r.prlimit(os.getppid(), r.RLIMIT_CPU, (0, 0))",
    "raise_own_limit": "import resource as r; r.setrlimit(r.RLIMIT_NPROC, (9, 9))",
    "priority": "import os; os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "affinity": "import os; os.sched_setaffinity(0, {0})",
    "tcp": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "udp": "import socket; socket.socket(type=socket.SOCK_DGRAM)",
    "unix": "import socket; socket.socket(socket.AF_UNIX)",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "datagram_pair": "import socket; socket.socketpair(type=socket.SOCK_DGRAM)",
    "terminal": "import fcntl, os; fcntl.ioctl(0, 0x5412, b'x')",
    "write_outside": "open(outside + '/new', 'w')",
    "overwrite_outside": "open(outside + '/canary', 'r+')",
    "overwrite_readable": "open(shown + '/file', 'a')",
    "truncate": "import os; os.truncate(outside + '/canary', 0)",
    "truncate_readable": "import os; os.truncate(shown + '/file', 0)",
    "truncate_by_reading": "import os; os.open(shown + '/file', os.O_RDONLY | os.O_TRUNC)",
    "truncate_by_mode_3": "import os; os.open(shown + '/file', 3 | os.O_TRUNC)",
    "delete": "import os; os.unlink(outside + '/canary')",
    "rename": "import os; os.rename(outside + '/canary', outside + '/other')",
    "move_in": "import os; os.rename(shown + '/file', scratch + '/file')",
    "make_folder": "import os; os.mkdir(outside + '/folder')",
    "remove_folder": "import os; os.rmdir(outside + '/empty')",
    "climb_out": "open(scratch + '/../out/canary', 'r+')",
    "chmod": "import os; os.chmod(scratch, 0o777)",
    "chmod_open": "import os; os.fchmod(os.open('/dev/null', 0), 0o777)",
    "chown": "import os; os.chown(scratch, os.getuid(), os.getgid())",
    "utime": "import os; os.utime(scratch)",
    "xattr": "import os; os.setxattr(scratch, 'user.x', b'')",
    "symlink": "import os; os.symlink('/etc', scratch + '/link')",
    "hard_link": "import os; os.link(shown + '/file', scratch + '/link')",
    "fifo": "import os; os.mkfifo(scratch + '/fifo')",
    "memory": "bytearray(2 << 30)",
    "memory_by_mmap": "import mmap; mmap.mmap(-1, 2 << 30)",
    "descriptors": "keep = [open('/dev/null') for _ in range(99)]",
}
REFUSALS = {errno.EPERM, errno.EACCES, errno.EROFS, errno.EAGAIN, errno.ENOMEM, errno.EMFILE}
NO_ERRNO = {"RuntimeError": "new thread", "MemoryError": "", "ValueError": "maximum limit"}


def is_refused(answer: dict[str, Any]) -> bool:
    """Whether the kernel said no, rather than that the attack was clumsy."""
    error = answer.get("error", "")
    without_errno = error in NO_ERRNO and NO_ERRNO[error] in answer["text"]
    return without_errno or answer.get("code") in REFUSALS


@pytest.mark.parametrize("name", REFUSED)
def test_refused(zygote: Zygote, name: str) -> None:
    answer = zygote.run(REFUSED[name])
    assert is_refused(answer), answer
    assert answer["status"] == 0


@pytest.mark.parametrize(
    "path", ["{outside}/canary", "{outside}", "/etc/passwd", "/proc/{zygote}/environ", "/proc"]
)
def test_reads_nothing_outside(zygote: Zygote, path: str) -> None:
    if not zygote.abi:
        pytest.skip("only Landlock confines reading")
    source = f"import os; os.open(f{path!r}, os.O_RDONLY)"
    assert zygote.run(source)["error"] == "PermissionError"


def test_memory_of_zygote_is_hidden(zygote: Zygote) -> None:
    assert zygote.run("open(f'/proc/{zygote}/mem', 'rb')")["error"] == "PermissionError"


def test_files_are_small(zygote: Zygote) -> None:
    if not zygote.abi:
        pytest.skip("scratch is read-only")
    answer = zygote.run("open(scratch + '/big', 'wb').write(bytes(2 << 20))")
    assert answer["code"] == errno.EFBIG
    assert (zygote.scratch / "big").stat().st_size <= 1 << 20


def test_files_are_for_their_owner(zygote: Zygote) -> None:
    if not zygote.abi:
        pytest.skip("scratch is read-only")
    zygote.run("import os; os.open(scratch + '/mode', os.O_CREAT, 0o6777)")
    assert (zygote.scratch / "mode").stat().st_mode & 0o077 == 0


def test_without_landlock_scratch_is_read_only(zygote: Zygote) -> None:
    if zygote.abi:
        pytest.skip("there is Landlock")
    assert "read-only" in zygote.layers["landlock"]
    assert "off" in zygote.layers["scratch"]
    assert zygote.run("open(scratch + '/file', 'w')")["code"] == errno.EROFS


# Names and numbers on x86_64 and aarch64.
RAW = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138),
    "tkill": (200, 130),
    "execveat": (322, 281),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "chroot": (161, 51),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "userfaultfd": (323, 282),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "personality": (135, 92),
    "open_by_handle_at": (304, 265),
    "seccomp": (317, 277),
    "shmget": (29, 194),
    "mq_open": (240, 180),
    "sendmsg": (46, 211),
    "bind": (49, 200),
    "connect": (42, 203),
    "setuid": (105, 146),
    "capset": (126, 91),
    "clone": (56, 220),
    "umask": (95, 166),
}
ABSENT = {"clone3": 435, "openat2": 437, "io_uring_setup": 425, "newer_than_the_table": 999}
COLUMN = {"x86_64": 0, "aarch64": 1}.get(platform.machine(), 0)
SYSCALL = "call('syscall', {}, *[0] * 6)"


@pytest.mark.parametrize("name", RAW)
def test_raw_call_is_refused(zygote: Zygote, name: str) -> None:
    assert zygote.run(SYSCALL.format(RAW[name][COLUMN]))["code"] == errno.EPERM


@pytest.mark.parametrize("name", ABSENT)
def test_raw_call_does_not_exist(zygote: Zygote, name: str) -> None:
    assert zygote.run(SYSCALL.format(ABSENT[name]))["code"] == errno.ENOSYS


@pytest.mark.parametrize("flag", [0x10000000, 0x40000000, 0x00020000, 0x8000, 0x2000])
def test_a_fork_server_cannot_leave_its_namespaces_or_parent(zygote: Zygote, flag: int) -> None:
    call = f"call('syscall', {RAW['clone'][COLUMN]}, {flag | 17}, 0, 0, 0, 0)"
    assert zygote.run(call, worker=False)["code"] == errno.EPERM


@pytest.mark.skipif(platform.machine() != "x86_64", reason="two entries of x86_64")
@pytest.mark.parametrize("entry", ["x32", "i386"])
def test_other_tables_of_calls_kill(zygote: Zygote, entry: str) -> None:
    i386 = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(b"\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3")  # mov eax, 20 (getpid); int 0x80; ret
result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
    answer = zygote.run(SYSCALL.format(0x40000000 | 39) if entry == "x32" else i386)
    assert "result" not in answer
    assert answer["status"] in (-31, -11)  # SIGSYS, or a kernel without this entry


def test_cpu_time_ends_even_if_the_signal_is_ignored(folder: Path) -> None:
    zygote = Zygote(folder)
    busy = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    assert zygote.run(busy, cpu=1)["status"] == -9
    zygote.close()


def test_signals_to_itself_work(zygote: Zygote) -> None:
    handled = """
import os, signal
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
signal.raise_signal(signal.SIGUSR1)
os.kill(os.getpid(), signal.SIGUSR1)
result = len(seen)
"""
    assert zygote.run(handled)["result"] == 2
    assert zygote.run("import os; os.kill(os.getpid(), 15)")["status"] == -15
    assert zygote.run("import os; os.abort()")["status"] == -6


@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5, 6])
def test_older_landlock(folder: Path, abi: int) -> None:
    zygote = Zygote(folder, abi=abi)
    assert zygote.layers["landlock"] == zygote.layers["scratch"] == "on"
    assert (zygote.layers["landlock_tcp"] == "on") == (abi >= 4)
    for name in REFUSED:
        if name.startswith(("truncate", "overwrite", "delete", "move")):
            assert is_refused(zygote.run(REFUSED[name])), name
    assert zygote.run("open(outside + '/canary')")["error"] == "PermissionError"
    works = "import os; open('/dev/null', 'w'); print(1, file=open(scratch + '/file', 'w+'))"
    assert "result" in zygote.run(works)
    zygote.close()


def test_zygote_and_fork_servers_keep_what_they_need(zygote: Zygote) -> None:
    source = """
import os, time
child = fork()
if child == 0:
    while True: pass
result = [time.clock_gettime((~child << 3) | 2) >= 0]
os.kill(child, 9)
result.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert zygote.run(source, worker=False)["result"] == [True, -9]
    (zygote.scratch / "left").touch()
    unlink = "import os; result = 'left' in os.listdir(scratch); os.unlink(scratch + '/left')"
    assert ("error" in zygote.run(unlink, worker=False)) == (not zygote.abi)


def test_a_worker_dies_with_its_parent(zygote: Zygote) -> None:
    source = """
import os, signal
reading, writing = os.pipe()
server = fork()
if server == 0:
    server = os.getpid()
    if fork() == 0:
        lockdown.die_with_parent(server)
        lockdown.lock_worker(1 << 30, 5, 1 << 20)
        os.write(writing, b"x")
    signal.pause()
os.close(writing)
os.read(reading, 1)
os.kill(server, 9)
result = os.read(reading, 1).decode()  # the end of file comes when the worker is gone
"""
    assert zygote.run(source, worker=False)["result"] == ""


def test_race_of_die_with_parent(zygote: Zygote) -> None:
    source = """
import os
child = fork()
if child == 0:
    lockdown.die_with_parent(1)  # as if the parent had died: the child has another by now
    os._exit(0)
result = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""
    assert zygote.run(source, worker=False)["result"] == -9


def test_fork_keeps_the_state_of_random(zygote: Zygote) -> None:
    source = """
import os, random
result = []
for _ in range(2):
    reading, writing = os.pipe()
    if fork() == 0:
        os.write(writing, str(random.random()).encode())
        os._exit(0)
    os.close(writing)
    result.append(os.read(reading, 99).decode())
    os.wait()
"""
    first, second = zygote.run(source, worker=False)["result"]
    assert first == second


def test_a_locked_worker_escapes_nowhere(zygote: Zygote) -> None:
    verdicts = zygote.run("result = try_all(outside + '/canary')")["result"]
    assert {k for k, v in verdicts.items() if v == "open"} == (
        set() if zygote.abi else {"read_outside"}
    )


HONEST = {
    "numpy": "import numpy; result = float(numpy.linalg.inv(numpy.eye(50) * 2).sum())",
    "decimal": "import decimal; result = str(decimal.Decimal(1) / 8)",
    "zoneinfo": """
import datetime, zoneinfo
result = datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Paris')).isoformat()""",
    "localtime": "import time; result = len(time.strftime('%Y', time.localtime()))",
    "json": "import json; result = json.dumps([1])",
    "dataclasses": """
import dataclasses
A = dataclasses.make_dataclass('A', ['x']); result = A(1).x""",
    "unittest": """
import io, unittest
case = unittest.FunctionTestCase(lambda: None)
result = unittest.TextTestRunner(stream=io.StringIO()).run(case).wasSuccessful()""",
    "hashlib": "import hashlib; result = hashlib.sha256().digest()[0] + hashlib.md5().digest()[0]",
    "asyncio": """
import asyncio
async def double(x):
    await asyncio.sleep(0)
    return 2 * x
result = asyncio.run(double(2))""",
    "sleep": "import time; time.sleep(0.001); result = time.monotonic() > 0",
    "random": "import random; random.seed(1); result = random.randint(1, 6)",
    "urandom": "import os, secrets; result = len(os.urandom(4)) + len(secrets.token_bytes(4))",
    "uuid": "import uuid; result = [str(uuid.uuid4()), str(uuid.uuid1())]",
    "re": "import re; result = re.findall('a', 'aba')",
    "statistics": "import statistics; result = statistics.median([1, 2, 3])",
    "threading": "import threading; threading.Lock().acquire(); result = threading.active_count()",
    "devnull": "import os; result = open(os.devnull).read() == ''",
    "pipe": "import os, select; r, w = os.pipe(); result = select.select([], [w], [], 0)[1] == [w]",
    "alarm": """
import signal
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.001)
signal.pause(); result = 1""",
    "print": "print('', end='', flush=True); result = 1",
    "input": "import sys; result = sys.stdin.isatty() in (True, False)",
    "recursion": """
def f(n): return f(n)
try:
    f(1)
except RecursionError:
    result = 1""",
}
IN_SCRATCH = {
    "open": """
with open(scratch + '/f', 'w') as f: f.write('x')
with open(scratch + '/f') as f: result = f.read()""",
    "tempfile": """
import os, tempfile
with tempfile.TemporaryDirectory() as d, tempfile.NamedTemporaryFile('w+', dir=d) as f:
    f.write('x'); os.makedirs(d + '/a/b'); open(d + '/a/c', 'w').close()
    os.rename(d + '/a/c', d + '/a/b/c'); os.truncate(d + '/a/b/c', 5)
with tempfile.TemporaryFile() as f: result = f.write(b'x')""",
    "copy": """
import shutil
open(scratch + '/f', 'w').close(); result = shutil.copyfile(scratch + '/f', scratch + '/g')""",
    "devnull": "import os; result = open(os.devnull, 'w').write('x')",
    "append": "open(scratch + '/h', 'a').write('x'); result = open(scratch + '/h', 'r+').read()",
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_use_works(zygote: Zygote, name: str) -> None:
    if name == "numpy":
        pytest.importorskip("numpy")
    answer = zygote.run(HONEST[name])
    assert answer.get("result"), answer


@pytest.mark.parametrize("name", IN_SCRATCH)
def test_scratch_works(zygote: Zygote, name: str) -> None:
    if not zygote.abi:
        pytest.skip("scratch is read-only")
    answer = zygote.run(IN_SCRATCH[name])
    assert answer.get("result"), answer


def test_limits_bind_without_any_other_layer(folder: Path) -> None:
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
import resource
from codedpo_plugin.sandbox import lockdown
lockdown.lock_worker(1 << 30, 3, 4096)
print([resource.getrlimit(k)[0] for k in (resource.RLIMIT_AS, resource.RLIMIT_CPU,
       resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE)])
"""
    answer = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True)
    assert json.loads(answer.stdout) == [1 << 30, 3, 4096, 0, 0]
