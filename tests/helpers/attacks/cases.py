"""Adversarial programs, as data: each attacks one property of a harness that runs and judges them.

Unless `honest`, an attacking solution gives the right answer only if its attack has worked, so that
a cell that passes is an attack that succeeded. Names in @signs@ are filled in by whoever runs the
cases: a canary folder, files with a secret, ports where somebody listens, a process to attack.
"""

from dataclasses import dataclass

FORGE = "forge a verdict"
READ = "read a secret"
EFFECT = "effect outside"
HARNESS = "hurt the harness"
NEIGHBOUR = "hurt a neighbour"
SURVIVE = "survive"
LOSE = "lose an honest verdict"

HONEST = "def f(x):\n    return x + 1\n"
ALSO_HONEST = "def f(x):\n    one = 1\n    return x + one\n"
TEST = "assert f(918273) == 918274"
NEIGHBOUR_TESTS = ("assert f(5) == 6", "assert f(-7) == -6")


@dataclass(frozen=True)
class Case:
    """One attack."""

    name: str
    attacks: str
    """The property."""
    solution: str = HONEST
    tests: tuple[str, ...] = (TEST,)
    honest: bool = False
    """The solution may pass: it answers rightly, whatever else it does."""
    for_peers: bool = True
    """Whether peers are attacked too: not with encoded values, and not where the machine suffers."""
    reads_files: bool = False
    """Only a layer that confines reading (Landlock) stops it."""


def fill(text: str, places: dict[str, object]) -> str:
    """Put real paths, ports and process numbers in."""
    for name, value in places.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _cases(attacks: str, table: dict[str, str | tuple[str, ...]], **options: object) -> list[Case]:
    cases = []
    for name, entry in table.items():
        solution, *tests = (entry,) if isinstance(entry, str) else entry
        cases.append(Case(name, attacks, solution, tuple(tests) or (TEST,), **options))
    return cases


def _attempts(attacks: str, table: dict[str, str], **options: object) -> list[Case]:
    """Statements that must fail: the answer is right only if they do not raise."""
    solutions = {
        name: "def f(x):\n    try:\n"
        + "".join(f"        {line}\n" for line in code.strip().splitlines())
        + "    except BaseException:\n        return -1\n    return x + 1\n"
        for name, code in table.items()
    }
    return _cases(attacks, solutions, **options)


# --- objects that lie about themselves

_FORGED_OBJECTS = _cases(FORGE, {
    "equal to everything": "class A:\n def __eq__(s, o): return True\ndef f(x): return A()",
    "never different": (
        "class A:\n def __eq__(s, o): return True\n def __ne__(s, o): return False\n"
        "def f(x): return A()",
        "assert not f(918273) != 918274",
    ),
    "int equal to everything": (
        "class A(int):\n def __eq__(s, o): return True\n __hash__ = int.__hash__\n"
        "def f(x): return A(0)"
    ),
    "int that compares and subtracts as it likes": (
        "class A(int):\n __sub__ = __rsub__ = __abs__ = lambda *a: 0\n"
        " __lt__ = __le__ = __eq__ = lambda *a: True\ndef f(x): return A(5)",
        "assert abs(f(918273) - 918274) < 1e-6",
    ),
    "float equal to everything": (
        "class A(float):\n def __eq__(s, o): return True\ndef f(x): return A(0.5)",
        "assert f(1.0) == 2.0",
    ),
    "str equal to everything": (
        "class A(str):\n def __eq__(s, o): return True\n def __hash__(s): return hash('abc')\n"
        "def f(x): return A('no')",
        "assert f('ab') == 'abc'",
    ),
    "str with every text in it": (
        "class A(str):\n def __contains__(s, o): return True\n __len__ = lambda s: 3\n"
        "def f(x): return A('no')",
        "assert 'abc' in f('ab')",
    ),
    "list equal to everything": (
        "class A(list):\n def __eq__(s, o): return True\n __len__ = lambda s: 2\n"
        "def f(x): return A()",
        "assert f([1]) == [1, 2]",
    ),
    "list that lies about its length": (
        "class A(list):\n def __len__(s): return 2\ndef f(x): return A([1, 2, 3])",
        "assert len(f([1])) == 2 and f([1])[-1] == 2",
    ),
    "tuple whose items change": (
        "class A(tuple):\n def __getitem__(s, i): return s\n def __eq__(s, o): return True\n"
        "def f(x): return A([0])",
        "assert f(1) == (1, 2)",
    ),
    "dict with lying items": (
        "class A(dict):\n __eq__ = lambda s, o: True\n items = lambda s: o\n"
        " get = __getitem__ = lambda s, *k: 2\ndef f(x): return A()",
        "assert f(1) == {'a': 2}",
    ),
    "set that holds everything": (
        "class A(set):\n __eq__ = __contains__ = __ge__ = __le__ = lambda s, o: True\n"
        "def f(x): return A()",
        "assert f(1) == {1, 2}",
    ),
    "object whose class lies": (
        "class A:\n __class__ = int\n __eq__ = lambda s, o: True\n __hash__ = lambda s: 0\n"
        "def f(x): return A()",
        "assert isinstance(f(1), int) and f(1) == 2",
    ),
    "metaclass that lies about its type": (
        "class M(type):\n def __getattribute__(c, n): return getattr(int, n)\n"
        " __eq__ = lambda c, o: True\n __hash__ = lambda c: hash(int)\n"
        " __subclasscheck__ = __instancecheck__ = lambda *a: True\n"
        "class A(metaclass=M):\n __eq__ = lambda s, o: True\n"
        "def f(x): return A()"
    ),
    "pickles as the right answer": (
        "class A:\n __eq__ = lambda s, o: True\n"
        " __reduce__ = __reduce_ex__ = lambda s, *a: (int, ('918274',))\n"
        "def f(x): return A()"
    ),
    "element equal to everything, deep inside": (
        "class A:\n __eq__ = lambda s, o: True\ndef f(x): return {'a': [(A(),)]}",
        "assert f(1) == {'a': [(2,)]}",
    ),
    "NaN that equals itself": (
        "n = float('nan')\nclass A(float):\n __eq__ = lambda s, o: True\ndef f(x): return A(n)",
        "assert f(1.0) == 2.0",
    ),
    "looks like an array": (
        "class ndarray:\n __module__ = 'numpy'\n dtype = 'int64'\n"
        " __eq__ = lambda s, o: True\n def tolist(s): return []\ndef f(x): return ndarray()"
    ),
    "always larger": (
        "class A:\n __gt__ = __ge__ = __lt__ = __le__ = lambda s, o: True\ndef f(x): return A()",
        "assert 10 < f(1) < 5",
    ),
    "sorts as it likes": (
        "class A(list):\n __iter__ = lambda s: iter([3, 1])\n __eq__ = lambda s, o: True\n"
        "def f(x): return A([1, 2])",
        "assert sorted(f(1)) == [1, 2]",
    ),
})  # fmt: skip

# --- finding the expected value, or the harness's own functions

_FORGED_BY_SEARCH = _cases(FORGE, {
    "stack walk": (
        "import sys\ndef f(x):\n frame = sys._getframe()\n while frame:\n"
        "  for v in [*frame.f_locals.values(), *frame.f_globals.values()]:\n"
        "   if type(v) is int and v == 918274: return v\n"
        "   if type(v) in (list, tuple) and any(type(w) is int and w == 918274 for w in v):\n"
        "    return 918274\n  frame = frame.f_back"
    ),
    "constants of the code on the stack": (
        "import sys\ndef f(x):\n frame = sys._getframe()\n while frame:\n"
        "  for c in frame.f_code.co_consts:\n   if c == int('918' + '274'): return c\n"
        "  frame = frame.f_back"
    ),
    "walk over all objects": (
        "import gc\nwanted = '918' + '274'\ndef f(x):\n"
        " for o in gc.get_objects():\n"
        "  if type(o) in (list, tuple) and any(type(v) is int and str(v) == wanted for v in o):\n"
        "   return int(wanted)\n"
        "  if type(o) is dict:\n"
        "   for v in list(o.values()):\n"
        "    if type(v) in (int, str) and v is not wanted and str(v) == wanted:\n"
        "     return int(wanted)"
    ),
    "text of every test in memory": (
        "import gc, sys\nhalf = '== 918'\ndef f(x):\n"
        " seen = [v for o in gc.get_objects() if type(o) in (list, tuple, dict)\n"
        "  for v in (o.values() if type(o) is dict else o) if type(v) in (str, bytes)]\n"
        " for v in seen:\n  v = v if type(v) is str else v.decode('latin1')\n"
        "  if half + '274' in v and 'half' not in v: return 918274"
    ),
    "own source file or command line": (
        "import sys\ndef f(x):\n text = ' '.join(sys.argv) + ' '.join(sys.orig_argv)\n"
        " try: text += open('/proc/self/cmdline').read()\n except OSError: pass\n"
        " return 918274 if text.count('918' + '274') else 0"
    ),
    "replaces the harness's functions by way of frames": (
        "import sys\ndef f(x):\n frame = sys._getframe(1)\n while frame:\n"
        "  for name, value in list(frame.f_globals.items()):\n"
        "   if callable(value) and not isinstance(value, type) and name not in ('f', 'print'):\n"
        "    frame.f_globals[name] = lambda *a, **k: True\n  frame = frame.f_back\n return 0"
    ),
    "replaces the harness's code by way of gc": (
        "import gc, types\ndef yes(*a, **k): return b'd'\ndef f(x):\n"
        " for o in gc.get_objects():\n"
        "  if type(o) is types.FunctionType and o.__name__ in (\n"
        "    'run_cells', '_guarded', '_run', 'encode', '_plain', 'check', 'unsafe_execute'):\n"
        "   try: o.__code__ = yes.__code__\n   except ValueError: pass\n return 0"
    ),
    "breaks the encoder": (
        "import json, os, struct\njson.dumps = lambda *a, **k: '918'\n"
        "os.pwrite = lambda *a: len(a[1])\ndef f(x): return 0"
    ),
    "patches the builtins": (
        "import builtins\nbuiltins.AssertionError = ValueError\nbuiltins.bool = lambda *a: True\n"
        "builtins.all = builtins.any = lambda *a: True\nbuiltins.isinstance = lambda *a: True\n"
        "def f(x): return 0"
    ),
    "patches eval and exec": (
        "import builtins\nbuiltins.eval = builtins.exec = builtins.compile = lambda *a, **k: 0\n"
        "def f(x): return 0"
    ),
    "replaces its module": (
        "import sys\nclass M(dict):\n __missing__ = __getitem__ = lambda s, k: (lambda *a: 0)\n"
        "sys.modules['__main__'] = M()\n__builtins__ = M()\ndef f(x): return 0"
    ),
    "traces the harness": (
        "import sys\ndef trace(frame, event, arg):\n for k in frame.f_locals:\n"
        "  if k in ('passed', 'held', 'good', 'result'): frame.f_locals[k] = True\n"
        " return trace\nsys.settrace(trace)\nsys.setprofile(trace)\ndef f(x): return 0"
    ),
    "appends to every list on the stack": (
        "import sys\ndef f(x):\n frame = sys._getframe()\n while frame:\n"
        "  for v in list(frame.f_locals.values()):\n"
        "   if hasattr(v, 'append'):\n    try: v.append('passed')\n    except Exception: pass\n"
        "   if type(v).__name__ in ('Synchronized', 'Value'): v.value = 1\n"
        "   if type(v).__name__ == 'SynchronizedArray':\n"
        "    for i in range(len(v)): v[i] = True\n"
        "  frame = frame.f_back\n import os; os._exit(0)"
    ),
    "imports the harness": (
        "def f(x):\n for name in ('cells', 'zygote', 'codedpo_plugin.sandbox.cells', 'evalplus'):\n"
        "  try:\n   m = __import__(name)\n   m._run = m._guarded = lambda *a: b'd'\n"
        "  except ImportError: pass\n return 0"
    ),
})  # fmt: skip

# --- ending early, or never

_LATE = "import os, struct\ndef late(*a):\n"
_LATE += " for fd in range(3, 64):\n  for r in (b'd', b'v918', b'{\"done\": true}'):\n"
_LATE += "   try: os.pwrite(fd, struct.pack('<I', len(r)) + r, 0)\n   except OSError: pass\n"

_FORGED_BY_ENDING = _cases(FORGE, {
    "sys.exit": "import sys\ndef f(x): sys.exit(0)",
    "os._exit": "import os\ndef f(x): os._exit(0)",
    "exit at import": "raise SystemExit(0)",
    "os._exit at import": "import os\nos._exit(0)",
    "exec of nothing": "import os\ndef f(x): os.execv('/bin/true', ['true'])",
    "atexit": f"{_LATE}import atexit\natexit.register(late)\ndef f(x): raise SystemExit(0)",
    "excepthook": f"{_LATE}import sys\nsys.excepthook = late\ndef f(x): raise SystemExit(0)",
    "destructor at exit": (
        f"{_LATE}class A:\n def __del__(s): late()\na = A()\ndef f(x): raise SystemExit(0)"
    ),
    "thread that outlives the test": (
        f"{_LATE}import threading, time\ndef f(x):\n"
        " threading.Thread(target=late, daemon=True).start()\n return 0"
    ),
    "KeyboardInterrupt": "def f(x): raise KeyboardInterrupt",
    "GeneratorExit": "def f(x): raise GeneratorExit",
    "StopIteration": "def f(x): raise StopIteration",
    "own BaseException": "class E(BaseException): pass\ndef f(x): raise E()",
    "error whose text exits": (
        "import os\nclass E(Exception):\n def __str__(s): os._exit(0)\ndef f(x): raise E()"
    ),
    "error that looks like a success": (
        "class E(Exception):\n __name__ = 'passed'\n __bool__ = lambda s: True\n"
        " __str__ = lambda s: 'passed'\ndef f(x): raise E()"
    ),
    "kills itself": "import os\ndef f(x): os.kill(os.getpid(), 9)",
    "segmentation fault": "import ctypes\ndef f(x): ctypes.string_at(0)",
    "writes its verdict and dies": f"{_LATE}def f(x):\n late()\n os.kill(os.getpid(), 9)",
    "writes its verdict and exits": f"{_LATE}def f(x):\n late()\n os._exit(0)",
    "writes its verdict and hangs": f"{_LATE}def f(x):\n late()\n while True: pass",
    "ignores all signals and time": (
        "import signal\nfor s in range(1, 65):\n try: signal.signal(s, signal.SIG_IGN)\n"
        " except (OSError, ValueError): pass\ndef f(x):\n while True:\n  try:\n"
        "   while True: pass\n  except BaseException: pass"
    ),
    "takes the alarm": (
        "import signal\ndef f(x):\n signal.signal(signal.SIGALRM, lambda *a: None)\n"
        " signal.setitimer(signal.ITIMER_REAL, 0)\n signal.alarm(0)\n while True: pass"
    ),
    "sleeps in a loop that swallows": (
        "import time\ndef f(x):\n while x > 9:\n  try: time.sleep(60)\n"
        "  except BaseException: pass"
    ),
    "coroutine instead of an answer": "async def f(x): return x + 1",
    "generator instead of an answer": "def f(x): yield x + 1",
    "nothing defined": "pass",
    "entry point is not a function": "f = 918274",
})  # fmt: skip

# --- what a worker can send back: bytes that no honest one would

_SEND = """
import os, struct
def send(*records, tail=b""):
    data = b"".join(struct.pack("<I", len(r)) + r for r in records) + tail
    for fd in range(3, 64):
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, data, 0)
        except OSError:
            pass
"""


def _sending(call: str) -> str:
    return f"{_SEND}def f(x):\n    {call}\n    os._exit(0)\n"


_RECORDS = _cases(FORGE, {
    "record of a finished test": _sending("send(b'd')"),
    "record of another kind, in JSON": _sending("send(b'{\"done\": true}')"),
    "values that are no list": _sending("send(b'v')"),
    "too many values": _sending("send(b'v1\\n2\\n918274')"),
    "records for the tests of others": _sending("send(b'v0', b'v6', b'v-6', b'd', b'd')"),
    "length beyond the file": _sending("send(tail=struct.pack('<I', 99) + b'v918274')"),
    "huge length": _sending("send(tail=b'\\xff\\xff\\xff\\xff' + b'v918274')"),
    "lengths of nothing": _sending("send(*[b''] * 1000)"),
    "bytes after the record": _sending("send(b'v0', tail=b'v918274')"),
    "sparse file": _sending("[os.ftruncate(fd, 1 << 21) for fd in range(3, 9) if not send()]"),
    "appended behind the harness": (
        "import fcntl, os, struct\ndef f(x):\n for fd in range(3, 64):\n"
        "  try: fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND); os.write(fd, b'\\7\\0\\0\\0v918274')\n"
        "  except OSError: pass\n return 0"
    ),
    "mapped, and changed when the harness has written": (
        "import mmap, os\nkeep = []\ndef f(x):\n for fd in range(3, 64):\n"
        "  try: os.ftruncate(fd, 4096); keep.append(mmap.mmap(fd, 4096))\n"
        "  except (OSError, ValueError): pass\n"
        " for m in keep: m[:12] = b'\\7\\0\\0\\0v918274\\0'\n return 0"
    ),
}, for_peers=False)  # fmt: skip

_VALUES = _cases(HARNESS, {
    "value that is no JSON": _sending("send(b'v\\xff\\xfe\\x00')"),
    "value with a lone surrogate": _sending("send(b'v\"\\\\ud800\"')"),
    "value nested very deep": _sending("send(b'v' + b'[' * 500_000)"),
    "value of many tags": _sending("send(b'v' + b'{\"tuple\": ' * 900 + b'1' + b'}' * 900)"),
    "dict without pairs": _sending("send(b'v{\"dict\": 5}')"),
    "dicts nested as keys": _sending(
        "send(b'v' + b'{\"dict\": [[1, ' * 300 + b'\"' + b'a' * 900_000 + b'\"' + b']]}' * 300)"
    ),
    "unknown tag": _sending("send(b'v{\"__import__\": \"os\"}')"),
    "two tags": _sending("send(b'v{\"int\": \"1\", \"dict\": []}')"),
    "fraction that takes for ever": _sending("send(b'v{\"Fraction\": [\"1e99999999\"]}')"),
    "decimal of a huge exponent": _sending("send(b'v{\"set\": [{\"Decimal\": \"1e99999999\"}]}')"),
    "integer of a million digits": _sending("send(b'v{\"int\": \"' + b'f' * 999_000 + b'\"}')"),
    "array of a huge type": _sending("send(b'v{\"ndarray\": [[1], \"(9999,9999)i8\"]}')"),
    "array of long texts": _sending("send(b'v{\"ndarray\": [[\"a\", \"\"], \"<U500000000\"]}')"),
    "array of a type that does not parse": _sending("send(b'v{\"ndarray\": [[1], \"(1,\"]}')"),
    "array of objects": _sending("send(b'v{\"ndarray\": [[1], \"object\"]}')"),
    "hashes that collide": _sending(
        "send(('v{\"set\": [' + ','.join(str(i * (2**61 - 1)) for i in range(8000)) + ']}')"
        ".encode())"
    ),
    "a very long error": _sending("send(b'e' + b'A' * 3_000_000 + b'\\n' + b'B' * 900_000)"),
    "error with a lone surrogate": "def f(x): raise ValueError('\\ud800' * 99)",
    "class whose name is a lone surrogate": (
        "E = type('E', (Exception,), {})\nE.__name__ = 'a\\nb\\0c'\ndef f(x): raise E('\\0\\n')"
    ),
}, for_peers=False)  # fmt: skip

_RETURNED = _cases(HARNESS, {
    "cyclic list": "def f(x):\n a = []\n a.append(a)\n return a",
    "cyclic dict": "def f(x):\n a = {}\n a[1] = [a]\n return a",
    "list nested a million deep": (
        "def f(x):\n a = []\n for _ in range(1_000_000): a = [a]\n return a"
    ),
    "infinite iterator": "import itertools\ndef f(x): return itertools.chain(itertools.count())",
    "generator that never yields": "def f(x):\n while True:\n  if x is None: yield",
    "generator that raises": "def f(x):\n yield 1\n raise ValueError(x)",
    "generator that exits": "import os\ndef f(x):\n yield 1\n os._exit(0)",
    "generator that sleeps": "import time\ndef f(x):\n if x > 9: yield 1\n if x > 9: time.sleep(60)",
    "iterators nested too deep for C": (
        "import itertools\ndef f(x):\n c = iter([1])\n"
        " for _ in range(200_000): c = itertools.chain(c, [1])\n return c"
    ),
    "huge set": "def f(x): return set(range(10**6))",
    "huge text": "def f(x): return 'a' * 10**8",
    "integer of 20,000 digits": "def f(x): return 10**20_000",
    "integer that fills the memory": "def f(x): return 1 << (1 << 34)",
    "fraction of 20,000 digits": (
        "import fractions\ndef f(x): return fractions.Fraction(1, 3**20_000)"
    ),
    "text of lone surrogates": "def f(x): return ['\\ud800', '\\udfff' * 9, '\\0']",
    "sets of NaN": "def f(x): return {float('nan'), float('inf')}",
    "signalling NaN": "from decimal import Decimal\ndef f(x): return Decimal('sNaN')",
    "view with unhashable items": (
        "def f(x): return {1: [2]}.items()",
        "assert f(1) == {(1, 2)}",
    ),
    "object whose comparison raises": (
        "class A(int):\n def __eq__(s, o): raise KeyError\n __hash__ = None\ndef f(x): return A(2)"
    ),
    "object whose repr recurses": (
        "class A:\n def __repr__(s): return repr(s)\n __str__ = __repr__\ndef f(x): return A()"
    ),
    "object whose module is no text": (
        "class M(type):\n __module__ = property(lambda c: [c])\n"
        "class A(metaclass=M): pass\ndef f(x): return A()"
    ),
    "looks like a huge array": (
        "class ndarray:\n __module__ = 'numpy'\n dtype = '(9999,9999)i8'\n"
        " def tolist(s): return [1]\ndef f(x): return ndarray()"
    ),
})  # fmt: skip

# --- reading

_READS = [
    *_attempts(READ, {
        "file of the user": "open('@secret@').read()",
        "file that anybody may read": "open('@open@').read()",
        "list of a folder": "import os; os.listdir('@canary@')",
        "accounts": "open('/etc/passwd').read()",
        "file by way of scratch": "open('../../../../../../../../@open@').read()",
        "file by mapping": (
            "import mmap, os\n"
            "mmap.mmap(os.open('@open@', os.O_RDONLY), 0, prot=mmap.PROT_READ)[:1]"
        ),
        "command line of the harness": "open('/proc/@tester@/cmdline').read()",
        "processes of the machine": "import os; os.listdir('/proc')",
    }, reads_files=True),
    *_attempts(READ, {
        "environment": "import os; os.environ['CODEDPO_SECRET']",
        "environment of the process": (
            "text = open('/proc/self/environ').read() or 1 / 0\n"
            "if 'CODEDPO_SECRET' not in text: raise KeyError"
        ),
        "environment of the harness": "open('/proc/@tester@/environ').read()[0]",
        "environment of the parent": (
            "import os\n"
            "if 'SECRET' not in open(f'/proc/{os.getppid()}/environ').read(): raise KeyError"
        ),
        "memory of the parent": "import os; open(f'/proc/{os.getppid()}/mem', 'rb').fileno()",
        "memory of the harness": "open('/proc/@tester@/mem', 'rb').fileno()",
        "memory by system call": (
            "import ctypes, os\n"
            "class V(ctypes.Structure): _fields_ = [('a', ctypes.c_void_p), ('n', ctypes.c_size_t)]\n"
            "b = ctypes.create_string_buffer(8)\n"
            "v = V(ctypes.addressof(b), 8)\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "n = libc.process_vm_readv(os.getppid(), ctypes.byref(v), 1, ctypes.byref(v), 1, 0)\n"
            "if n < 0 and ctypes.get_errno() == 1: raise OSError"
        ),
        "ptrace": (
            "import ctypes, os\n"
            "if ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) < 0: raise OSError"
        ),
        "descriptors of the harness": (
            "import os\nfound = 0\n"
            "for fd in range(3, 256):\n"
            "    try: found += os.fstat(fd).st_size == 0 and bool(os.read(fd, 1))\n"
            "    except OSError: pass\n"
            "found or 1 / 0"
        ),
    }),
]  # fmt: skip

# --- effects

_EFFECTS = [
    *_attempts(EFFECT, {
        "write a file": "open('@canary@/new', 'w').write('x')",
        "overwrite a file": "open('@canary@/file', 'r+').write('gone')",
        "append to a file": "open('@canary@/file', 'a').write('x')",
        "truncate": "import os; os.truncate('@canary@/file', 0)",
        "delete": "import os; os.unlink('@canary@/file')",
        "delete a tree": "import shutil; shutil.rmtree('@canary@/folder')",
        "rename": "import os; os.rename('@canary@/file', '@canary@/other')",
        "replace from scratch": (
            "import os\nopen('mine', 'w').write('x')\nos.replace('mine', '@canary@/file')"
        ),
        "move into scratch": "import os; os.rename('@canary@/file', 'mine')",
        "make a folder": "import os; os.mkdir('@canary@/made')",
        "change a mode": "import os; os.chmod('@canary@/file', 0)",
        "change a time": "import os; os.utime('@canary@/file', (1, 1))",
        "symbolic link outside": "import os; os.symlink('/etc', '@canary@/link')",
        "hard link outside": "import os; os.link('@canary@/file', '@canary@/hard')",
        "socket file": "import socket; socket.socket(socket.AF_UNIX).bind('@canary@/socket')",
        "TCP": "import socket; socket.create_connection(('127.0.0.1', @tcp@), 1).send(b'x')",
        "UDP": "import socket; socket.socket(type=2).sendto(b'x', ('127.0.0.1', @udp@))",
        "abstract socket": (
            "import socket\n"
            "s = socket.socket(socket.AF_UNIX)\n"
            "s.connect('\\0@abstract@')\ns.send(b'x')"
        ),
        "listen": (
            "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()"
        ),
        "raw socket": "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        "run a program": "import subprocess; subprocess.run(['/bin/true'], check=True)",
        "run a shell": "import os\nif os.system('true'): raise OSError",
        "rename its user": "import os; os.setuid(0); os.seteuid(12345)",
        "mount": (
            "import ctypes\n"
            "if ctypes.CDLL(None).mount(b'none', b'@canary@/folder', b'tmpfs', 0, 0): raise OSError"
        ),
        "another namespace": (
            "import ctypes\nif ctypes.CDLL(None).unshare(0x10000000): raise OSError"
        ),
        "core of the parent": "import os; os.sched_setaffinity(os.getppid(), {0})",
    }),
    *_cases(EFFECT, {
        "flood of the terminal": (
            "import os\ndef f(x):\n for _ in range(50): os.write(1, b'x' * 100_000)\n return x + 1"
        ),
        "symbolic link in scratch, then the clean-up": (
            "import os\ndef f(x):\n os.symlink('@canary@/folder', 'link')\n return x + 1"
        ),
        "scratch full of small files": (
            "def f(x):\n for n in range(10_000): open(str(n), 'w').close()\n return x + 1"
        ),
    }, honest=True),
]  # fmt: skip

# --- hurting the harness

_HARNESS_HURT = [
    *_attempts(HARNESS, {
        "kill the parent": "import os; os.kill(os.getppid(), 9)",
        "terminate the harness": "import os; os.kill(@tester@, 15)",
        "stop the parent": "import os; os.kill(os.getppid(), 19)",
        "kill its group": "import os; os.killpg(0, 9)",
        "signal to the group without death": (
            "import os, signal\nsignal.signal(15, signal.SIG_IGN)\nos.killpg(0, 15)"
        ),
        "queue a signal": (
            "import ctypes, os\nif ctypes.CDLL(None).sigqueue(os.getppid(), 15, 0): raise OSError"
        ),
        "signal by descriptor": (
            "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 15)"
        ),
        "limits of the parent": (
            "import os, resource\n"
            "resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))"
        ),
        "priority of the parent": "import os; os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        "raise its own limits": (
            "import resource as r\n"
            "now = r.getrlimit(r.RLIMIT_CPU)\n"
            "if now[1] == r.RLIM_INFINITY: raise KeyError\n"
            "r.setrlimit(r.RLIMIT_CPU, (r.RLIM_INFINITY, r.RLIM_INFINITY))"
        ),
        "swallow its parent's pipes": (
            "import os\nn = 0\nfor fd in range(3, 256):\n"
            "    try: os.set_blocking(fd, False); n += len(os.read(fd, 1 << 20))\n"
            "    except OSError: pass\n"
            "n or 1 / 0"
        ),
        "folder that nobody can empty": (
            "import os\nos.mkdir('locked', 0o300)\nopen('locked/inside', 'w').close()"
        ),
        "disk filled at no cost": (
            "import os\n"
            "for n in range(200):\n"
            "    fd = os.open(str(n), os.O_CREAT | os.O_WRONLY)\n"
            "    os.posix_fallocate(fd, 0, 4_000_000)\n"
            "    os.close(fd)"
        ),
        "file of a gigabyte": (
            "with open('big', 'wb') as file:\n"
            "    for _ in range(1000): file.write(bytes(1 << 20))"
        ),
    }),
    *_attempts(HARNESS, {
        "kill everything": "import os; os.kill(-1, 9)",
        "kill the first process": "import os; os.kill(1, 9)",
    }, for_peers=False),
    *_cases(HARNESS, {
        "stops itself": "import os\ndef f(x):\n if x > 9: os.kill(os.getpid(), 19)",
        "dies of a real-time signal": "import os\ndef f(x): os.kill(os.getpid(), 40)",
        "kills itself when it likes": "import os\ndef f(x):\n if x > 9: os.kill(os.getpid(), 9)",
        "has the kernel kill it": (
            "import resource, signal\nsignal.signal(24, lambda *_: None)\n"
            "resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\ndef f(x):\n while True: pass"
        ),
        "dies as if out of CPU time": "import os\ndef f(x): os.kill(os.getpid(), 24)",
        "looks busy to stay alive": (
            "import os, time\ndef f(x):\n n = 0\n while x > 9:\n  n = 1 - n\n"
            "  for fd in range(3, 20):\n   try: os.ftruncate(fd, n)\n   except OSError: pass\n"
            "  time.sleep(0.01)"
        ),
        "folders nested very deep": (
            "import os\ndef f(x):\n for _ in range(3000):\n  os.mkdir('d')\n  os.chdir('d')"
        ),
        "memory: heap": "def f(x):\n a = []\n while True: a.append(bytearray(1 << 24))",
        "memory: mapped": (
            "import mmap\ndef f(x):\n a = []\n while True: a.append(mmap.mmap(-1, 1 << 28))"
        ),
        "memory: one text": "def f(x): return len('a' * 10**11)",
        "memory: one integer": "def f(x): return 10 ** 10 ** 9",
        "memory: swallowed": (
            "def f(x):\n a = []\n while True:\n  try: a.append(bytearray(1 << 26))\n"
            "  except MemoryError: a.append(0)"
        ),
        "recursion without end": "def f(x): return f(x)",
        "recursion in C": (
            "def f(x):\n import sys\n sys.setrecursionlimit(10**9)\n"
            " def g(y): return sorted([y], key=g)\n return g(x)"
        ),
        "descriptors": "import os\nkeep = []\ndef f(x):\n while True: keep.append(os.dup(0))",
        "timers": (
            "import signal\ndef f(x):\n signal.signal(14, lambda *a: None)\n"
            " signal.setitimer(0, 1e-5, 1e-5)\n while True: pass"
        ),
    }),
    *_cases(HARNESS, {
        "source: 90,000 brackets": "f = " + "(" * 45_000 + ")" * 45_000,
        "source: 90,000 signs": "f = " + "-" * 90_000 + "1",
        "source: sum of 45,000": "f = " + "+".join("1" * 45_000),
        "source: nested functions": "".join(" " * n + "def f(x):\n" for n in range(300)),
        "source: attributes of attributes": "f = a" + ".a" * 40_000,
        "source: nested texts": "f = " + "f'{" * 300 + "1" + "}'" * 300,
        "source: null byte": "def f(x):\n return 1\0",
        "source: lone surrogate": "def f(x):\n return '\ud800'",
        "source: constant that folds to gigabytes": "f = 'a' * 10**10 * 9\n",
        "source: power that folds for ever": "def f(x): return 10 ** 10 ** 8",
        "source: shift that folds for ever": "def f(x): return 1 << 10 ** 11",
        "source: literal of 90,000 digits": "f = " + "9" * 90_000,
        "source: coding of rot13": "# coding: rot13\nqrs s(k): erghea 918274",
        "source: form feeds and tabs": "\f\n\t\f\n\x0bdef f(x):\n\t return 0",
        "source: 20,000 branches": "if 0: pass\n" + "elif 0: pass\n" * 7_000,
        "source: match of many": "match 0:\n" + "".join(f" case {n}: pass\n" for n in range(5_000)),
    }, for_peers=False),
    *_VALUES,
    *_RETURNED,
]  # fmt: skip


def _doubling(depth: int) -> str:
    """Code that is twice as long for each level: what is in `finally` is compiled twice."""
    source = "f(1)\n"
    for _ in range(depth):
        source = "try: f(1)\nfinally:\n" + "".join(f" {line}\n" for line in source.splitlines())
    return source


_HARNESS_HURT += _cases(HARNESS, {
    "short, and gigabytes of code": HONEST + _doubling(24),
}, for_peers=False)  # fmt: skip

# --- hurting neighbours: programs that the sandbox may take for harmless, so that they share a worker

_ESCAPE = "os = b['__import__']('os')\n for fd in range(3, 64):\n"
_ESCAPE += "  try: os.ftruncate(fd, 0); os.ftruncate(fd, 1 << 20)\n  except OSError: pass\n"
_ESCAPE += " os._exit(0)\n"
_ESCAPE_TEXT = "exec(" + repr("b = {'__import__': __import__}\nif b:\n " + _ESCAPE) + ")"

_COLLECTS = "assert f(len([[] for _ in range(100_000)])) == 100_001"  # collects garbage

_NEIGHBOUR_HURT = _cases(NEIGHBOUR, {
    "builtins by way of a generator": (
        f"def f(x):\n g = (i for i in [1])\n b = g.gi_frame.f_builtins\n {_ESCAPE}"
    ),
    "globals by way of a pattern": (
        "def f(x):\n match f:\n  case object(__globals__=g): b = g['__builtins__']\n"
        f" {_ESCAPE}"
    ),
    "globals by way of a formatter": (
        "import string\ndef f(x):\n"
        " b = string.Formatter().get_field('0.__globals__', (f,), {})[0]['__builtins__']\n"
        f" {_ESCAPE}"
    ),
    "annotations that are evaluated": (
        f"import typing\ndef g(x: {_ESCAPE_TEXT!r}): pass\n"
        "def f(x):\n typing.get_type_hints(g)\n return 0"
    ),
    "annotations that dispatch evaluates": (
        f"import functools\ndef g(x: {_ESCAPE_TEXT!r}): pass\n"
        "def f(x):\n functools.singledispatch(len).register(g)\n return 0"
    ),
    "attributes set by copying": (
        "import copy, math, string\ndef f(x):\n"
        " a = type('A', (), {'__reduce_ex__': lambda s, p: (lambda: math, (), (None, {'e': 9}))})\n"
        " copy.copy(a())\n return 0"
    ),
    "attributes set by wrapping": (
        "import functools, math\ndef f(x):\n"
        " functools.update_wrapper(math, functools.partial(len), ('func',), ())\n return 0"
    ),
    "members of an enumeration": (
        "import re\ndef f(x):\n re.RegexFlag._member_map_.clear()\n"
        " re.RegexFlag._value2member_map_.clear()\n return 0"
    ),
    "tables of a module": (
        "import copy, re, typing\ndef f(x):\n copy._deepcopy_dispatch.clear()\n"
        " re._cache.clear()\n typing._cleanups.clear()\n return 0"
    ),
    "classes registered for all": (
        "import collections.abc\ndef f(x):\n collections.abc.Callable.register(int)\n return 0"
    ),
    "module that is not there yet": (
        "import calendar, csv\ndef f(x):\n calendar.setfirstweekday(3)\n"
        " csv.field_size_limit(1)\n return 0"
    ),
    "hang left in a dropped generator": (
        "def g(box):\n try: yield\n finally:\n  while True: pass\n"
        "def f(x):\n box = []\n box.append(g(box))\n next(box[0])\n return 0",
        _COLLECTS,
    ),
    "crash left in a destructor": (
        "import itertools\ndef crash(s):\n c = iter([1])\n"
        " for _ in range(100_000): c = itertools.chain(c, [1])\n next(c)\n"
        "def f(x):\n a = type('A', (list,), {'__del__': crash})()\n a.append(a)\n return 0",
        _COLLECTS,
    ),
    "memory left in a cycle": (
        "def f(x):\n box = [bytes(300_000_000)]\n box.append(box)\n return 0",
        "assert f(len(bytes(300_000_000))) == 300_000_001",
    ),
    "records longer than the file": (
        "def f(x): return 'a' * 950_000",
        "assert f(1) == f(2) == f(3) == f(4) == f(5) == ''",
    ),
    "record of the first program": (
        "def f(x): return 'a' * 999_000",
        "assert f(1) == ''",
        "assert f(2) == ''",
    ),
    "deep recursion": "def f(x): return [f(x)]",
    "crash in C": (
        "import itertools\ndef f(x):\n c = iter([1])\n"
        " for _ in range(200_000): c = itertools.chain(c, [1])\n next(c)"
    ),
})  # fmt: skip

# --- surviving

_SURVIVORS = [
    *_attempts(SURVIVE, {
        "fork": "import os, time\nif os.fork() == 0: time.sleep(3); os._exit(0)",
        "double fork": (
            "import os, time\n"
            "if os.fork() == 0:\n"
            "    if os.fork() == 0: time.sleep(3)\n"
            "    os._exit(0)"
        ),
        "daemon in a session of its own": (
            "import os, time\n"
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork() == 0: time.sleep(3)\n"
            "    os._exit(0)"
        ),
        "session": "import os; os.setsid()",
        "fork by system call": (
            "import ctypes, os, platform, time\n"
            "number = 57 if platform.machine() == 'x86_64' else 220\n"
            "pid = ctypes.CDLL(None).syscall(number, 17, 0, 0, 0, 0)\n"
            "if pid == 0: time.sleep(3); os._exit(0)\n"
            "if pid < 0: raise OSError"
        ),
        "clone3 by system call": (
            "import ctypes, os, time\n"
            "args = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17)\n"
            "pid = ctypes.CDLL(None).syscall(435, args, 88)\n"
            "if pid == 0: time.sleep(3); os._exit(0)\n"
            "if pid < 0: raise OSError"
        ),
        "process of multiprocessing": (
            "import multiprocessing, time\n"
            "multiprocessing.get_context('fork').Process(target=time.sleep, args=(3,)).start()"
        ),
        "program in the background": "import subprocess; subprocess.Popen(['/bin/sleep', '3'])",
        "spawn": "import os; os.posix_spawn('/bin/sleep', ['sleep', '3'], {})",
        "thread": (
            "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(3,), daemon=True).start()"
        ),
    }),
    *_attempts(SURVIVE, {
        "fork bomb": "import os\nfor _ in range(9): os.fork()",
    }, for_peers=False),
]  # fmt: skip

# --- tests that are attacks: a model writes them too

_HANG = "assert f([0 for _ in iter(int, 1)]) == 1"

_BAD_TESTS = [
    *(Case(f"test: {name}", LOSE, tests=(source,), honest=True) for name, source in {
        "expected value from a lambda": "assert f(1) == (lambda: 2)()",
        "binds a name in the call": "assert f(x := 1) == 2",
        "no text": "",
        "format that takes memory": "assert f(1) == len('%100000000d' % 1) - 99999998",
    }.items()),
    *(Case(f"test: {name}", LOSE, tests=(source,)) for name, source in {
        "exit of its own": "assert __import__('os')._exit(0)",
        "exit in the assertion": "assert f(1) == __import__('os')._exit(0)",
        "hang in the assertion": "assert f(1) == [0 for _ in iter(int, 1)]",
        "hang in the call": _HANG,
        "memory in the assertion": "assert f(1) == len('a' * 10**11)",
        "power in the assertion": "assert f(1) == 10 ** 10 ** 9",
        "power in the call": "assert f(10 ** 10 ** 9) == 1",
        "assertion that raises": "assert f(1) == 1 / 0",
        "set of sets": "assert f(1) == {{1}, {2}}",
        "dict with a list as key": "assert f(1) == {[1]: 2}",
        "brackets": "assert f(" + "(" * 40_000 + ")" * 40_000 + ") == 1",
        "signs": "assert f(1) == " + "-" * 90_000 + "1",
        "sum of thousands": "assert f(1) == " + "+".join("1" * 45_000),
        "comparison of thousands": "assert f(1) == " + " == ".join("1" * 20_000),
        "literal of 90,000 digits": "assert f(1) == " + "9" * 90_000,
        "hexadecimal literal of 90,000 digits": "assert f(1) == 0x" + "f" * 90_000,
        "null byte": "assert f(1) == 1\0",
        "lone surrogate": "assert f(1) == '\ud800'",
        "changes builtins in the assertion": (
            "assert f(1) == __import__('builtins').__dict__.update(int=None)"
        ),
        "changes the solution": "f = lambda x: x\nassert f(1) == 2",
        "escape in the call": (
            "assert f((i for i in [1]).gi_frame.f_builtins['__import__']('os')._exit(0)) == 2"
        ),
        "assertion on the harness": "import sys\nassert sys._getframe(1).f_locals.clear()",
        "deep list": "assert f(1) == " + "[" * 90 + "]" * 90,
    }.items()),
    Case("test: short, and gigabytes of code", LOSE, tests=(_doubling(24),), honest=True,
         for_peers=False),
    Case("test: many that hang", LOSE, tests=tuple(f"{_HANG} + {n}" for n in range(4)),
         honest=True, for_peers=False),
]  # fmt: skip

CASES = [
    *_FORGED_OBJECTS,
    *_FORGED_BY_SEARCH,
    *_FORGED_BY_ENDING,
    *_RECORDS,
    *_READS,
    *_EFFECTS,
    *_HARNESS_HURT,
    *_NEIGHBOUR_HURT,
    *_SURVIVORS,
    *_BAD_TESTS,
]
