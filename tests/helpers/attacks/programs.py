"""Programs that are no attacks: some keep state in one way each, some are merely odd."""

CALLS = ("f(1)", "f( 1)", "f(2)", "f(1 )", "f(3)")  # equal texts would be run once

# Each returns something else when another test of the same process has run before it.
KEEPS_STATE = {
    "global": "n = 0\ndef f(x):\n global n\n n += 1\n return n",
    "globals()": "n = 0\ndef f(x):\n globals()['n'] += 1\n return n",
    "list": "seen = []\ndef f(x):\n seen.append(x)\n return len(seen)",
    "dict": "memo = {}\ndef f(x):\n memo[x] = 1\n return len(memo)",
    "list in a tuple": "t = ([],)\ndef f(x):\n t[0].append(x)\n return len(t[0])",
    "list in a tuple, by operator": (
        "import operator\nt = ([0],)\ndef f(x):\n"
        " operator.setitem(t[0], 0, t[0][0] + 1)\n return t[0][0]"
    ),
    "default": "def f(x, seen=[]):\n seen.append(x)\n return len(seen)",
    "keyword default": "def f(x, *, seen={}):\n seen[x] = 1\n return len(seen)",
    "default from elsewhere": (
        "from copy import dispatch_table as d\ndef f(x, seen=d):\n seen[x] = 1\n return 1 in seen"
    ),
    "function attribute": "def f(x):\n f.n = getattr(f, 'n', 0) + 1\n return f.n",
    "function's dict": "def f(x):\n f.__dict__[x] = 1\n return len(f.__dict__)",
    "function's defaults": (
        "def f(x, n=0):\n f.__defaults__ = (n + 1,)\n return n"
    ),
    "function's code": (
        "def g(x): return 7\ndef f(x):\n r = g(x)\n g.__code__ = (lambda x: x + 8).__code__\n return r"
    ),
    "closure": (
        "def make():\n n = 0\n def f(x):\n  nonlocal n\n  n += 1\n  return n\n return f\nf = make()"
    ),
    "class attribute": "class A: n = 0\ndef f(x):\n A.n += 1\n return A.n",
    "class body": "class A: seen = []\ndef f(x):\n A.seen.append(x)\n return len(A.seen)",
    "instance": (
        "class A:\n def __init__(s): s.n = 0\n def f(s, x):\n  s.n += 1\n  return s.n\nf = A().f"
    ),
    "callable object": (
        "class F:\n n = 0\n def __call__(s, x):\n  s.n += 1\n  return s.n\nf = F()"
    ),
    "type.__setattr__": (
        "class A: n = 0\ndef f(x):\n type.__setattr__(A, 'n', A.n + 1)\n return A.n"
    ),
    "class made by type": (
        "A = type('A', (), {'n': []})\ndef f(x):\n A.n.append(x)\n return len(A.n)"
    ),
    "dataclass default": (
        "from dataclasses import dataclass, field\n@dataclass\nclass A:\n n: list = field(default_factory=list)\n"
        "a = A()\ndef f(x):\n a.n.append(x)\n return len(a.n)"
    ),
    "iterator": "it = iter(range(9))\ndef f(x): return next(it)",
    "iterator in a constant": "it = (iter((1, 2, 3, 4, 5)),)\ndef f(x): return next(it[0])",
    "counter": "import itertools\nc = itertools.count()\ndef f(x): return next(c)",
    "generator kept alive": (
        "def g():\n n = 0\n while True:\n  n += 1\n  yield n\nit = g()\ndef f(x): return next(it)"
    ),
    "generator expression": "it = (i for i in range(9))\ndef f(x): return next(it)",
    "cache": (
        "import functools\n@functools.lru_cache\ndef g(x): return x\n"
        "def f(x):\n g(x)\n return g.cache_info().currsize"
    ),
    "partial": (
        "import functools\nappend = functools.partial([].append)\ndef f(x):\n append(x)\n"
        " return len(append.func.__self__)"
    ),
    "deque": "from collections import deque\nq = deque()\ndef f(x):\n q.append(x)\n return len(q)",
    "defaultdict": (
        "from collections import defaultdict\nd = defaultdict(int)\ndef f(x):\n d[0] += 1\n return d[0]"
    ),
    "bytearray": "b = bytearray(1)\ndef f(x):\n b[0] += 1\n return b[0]",
    "namedtuple of a list": (
        "from collections import namedtuple\nP = namedtuple('P', 'a')\np = P([])\n"
        "def f(x):\n p.a.append(x)\n return len(p.a)"
    ),
    "module attribute": "import math\ndef f(x):\n math.pi += 1\n return int(math.pi)",
    "deleted module attribute": (
        "import math\ndef f(x):\n try: del math.tau\n except AttributeError: return 1\n return 0"
    ),
    "builtins": (
        "import builtins\ndef f(x):\n builtins.n = getattr(builtins, 'n', 0) + 1\n return n"
    ),
    "star import": "from math import *\ndef f(x):\n global pi\n pi += 1\n return int(pi)",
    "deleted global": "n = 1\ndef f(x):\n global n\n r = 'n' in globals()\n if r: del n\n return r",
    "compiled patterns": (
        "import re\ndef f(x):\n n = len(re._cache)\n re.compile(str(x) + 'abc')\n return len(re._cache) - n"
    ),
    "tables of copy": (
        "import copy\ndef f(x):\n copy._deepcopy_dispatch[x] = 1\n"
        " return sum(type(k) is int for k in copy._deepcopy_dispatch)"
    ),
    "list in typing": (
        "import typing\ndef f(x):\n typing._cleanups.append(x)\n return typing._cleanups.count(x)"
    ),
    "overloads": (
        "import typing\ndef g(x): pass\ndef f(x):\n n = len(typing.get_overloads(g))\n"
        " typing.overload(g)\n return n"
    ),
    "registered class": (
        "import collections.abc\ndef f(x):\n r = isinstance(x, collections.abc.Callable)\n"
        " collections.abc.Callable.register(int)\n return r"
    ),
    "wrapped": (
        "import functools\ndef f(x):\n n = hasattr(f, 'real')\n"
        " functools.update_wrapper(f, x, ('real',), ())\n return n"
    ),
    "state set by copy": (
        "import copy\ndef g(): pass\ndef f(x):\n n = hasattr(g, 'n')\n"
        " A = type('A', (), {'__reduce_ex__': lambda s, p: (lambda: g, (), {'n': 1})})\n"
        " copy.copy(A())\n return n"
    ),
    "annotation that runs": (
        "import typing\ndef g(x: \"f.__dict__.setdefault('n', []).append(1)\"): pass\n"
        "def f(x):\n try: typing.get_type_hints(g)\n except TypeError: pass\n return len(f.n)"
    ),
    "recursion limit": (
        "import sys\ndef f(x):\n sys.setrecursionlimit(sys.getrecursionlimit() + 9)\n"
        " return sys.getrecursionlimit()"
    ),
    "digits of an int": (
        "import sys\ndef f(x):\n n = sys.get_int_max_str_digits()\n"
        " sys.set_int_max_str_digits(n + 1)\n return n"
    ),
    "warning filters": (
        "import warnings\ndef f(x):\n n = len(warnings.filters)\n"
        " warnings.simplefilter('ignore', type('W', (Warning,), {}))\n return n"
    ),
    "decimal context": (
        "import decimal\ndef f(x):\n decimal.getcontext().prec += 1\n return decimal.getcontext().prec"
    ),
    "decimal flags": (
        "import decimal\ndef f(x):\n n = decimal.getcontext().flags[decimal.Inexact]\n"
        " decimal.Decimal(1) / 3\n return n"
    ),
    "random": "import random\ndef f(x): return random.random()",
    "random from fractions": "import fractions, random as r\ndef f(x): return r.randint(1, 10**6)",
    "first day of the week": (
        "import calendar\ndef f(x):\n calendar.setfirstweekday((calendar.firstweekday() + 1) % 7)\n"
        " return calendar.firstweekday()"
    ),
    "field size": "import csv\ndef f(x):\n n = csv.field_size_limit()\n csv.field_size_limit(n + 1)\n return n",
    "locale": (
        "import locale\ndef f(x):\n n = locale.setlocale(locale.LC_ALL)\n"
        " locale.setlocale(locale.LC_ALL, 'C' if n != 'C' else 'C.UTF-8')\n return n"
    ),
    "environment": "import os\ndef f(x):\n os.environ[str(len(os.environ))] = '1'\n return len(os.environ)",
    "working folder": (
        "import os\ndef f(x):\n os.makedirs('a', exist_ok=True)\n os.chdir('a')\n"
        " return os.getcwd().count('/a')"
    ),
    "file": (
        "def f(x):\n with open('n', 'a+') as file:\n  file.write('x')\n  file.seek(0)\n"
        "  return len(file.read())"
    ),
    "file by pathlib": (
        "from pathlib import Path\ndef f(x):\n n = Path('n').exists()\n Path('n').write_text('x')\n return n"
    ),
    "offset of a shared descriptor": (
        "import os\ndef f(x):\n seen = 0\n for fd in range(3, 9):\n"
        "  try: seen += os.lseek(fd, 0, 1); os.lseek(fd, 77, 0)\n  except OSError: pass\n return seen"
    ),
    "flag of a shared descriptor": (
        "import fcntl\ndef f(x):\n n = fcntl.fcntl(0, fcntl.F_GETFL) & 2048\n"
        " fcntl.fcntl(0, fcntl.F_SETFL, 2048)\n return n"
    ),
    "modules": "import sys\ndef f(x):\n sys.modules[str(len(sys.modules))] = sys\n return len(sys.modules)",
    "import of what is not loaded": "def f(x):\n import sys\n n = 'wave' in sys.modules\n import wave\n return n",
    "signal handler": (
        "import signal\ndef f(x):\n n = signal.getsignal(10) == 0\n signal.signal(10, signal.SIG_IGN)\n return n"
    ),
    "garbage collector": "import gc\ndef f(x):\n n = gc.isenabled()\n gc.disable()\n return n",
    "context variable": (
        "import contextvars\nv = contextvars.ContextVar('v', default=0)\ndef f(x):\n v.set(v.get() + 1)\n return v.get()"
    ),
    "weak references": (
        "import weakref\nclass A: pass\nkeep = []\nw = weakref.WeakSet()\ndef f(x):\n"
        " keep.append(A())\n w.add(keep[-1])\n return len(w)"
    ),
    "exception kept": (
        "e = ValueError()\ndef f(x):\n try: raise e\n except ValueError: pass\n n = 0\n"
        " t = e.__traceback__\n while t:\n  n += 1\n  t = t.tb_next\n return n"
    ),
    "notes of an exception": (
        "e = ValueError()\ndef f(x):\n e.add_note('n')\n return len(e.__notes__)"
    ),
    "enumeration": (
        "import re\ndef f(x):\n n = len(re.RegexFlag._member_map_)\n"
        " re.RegexFlag._member_map_[str(n)] = 1\n return n"
    ),
    "frame of a generator": (
        "def f(x):\n g = (i for i in [1])\n d = g.gi_frame.f_globals\n d['n'] = d.get('n', 0) + 1\n"
        " return d['n']"
    ),
    "pattern that reads attributes": (
        "def f(x):\n match f:\n  case object(__globals__=g): g['n'] = g.get('n', 0) + 1\n return g['n']"
    ),
    "formatter that reads attributes": (
        "import string\ndef f(x):\n g = string.Formatter().get_field('0.__globals__', (f,), {})[0]\n"
        " g['n'] = g.get('n', 0) + 1\n return g['n']"
    ),
    "numpy's print options": (
        "import numpy\ndef f(x):\n n = numpy.get_printoptions()['precision']\n"
        " numpy.set_printoptions(precision=n + 1)\n return n"
    ),
    "class with a registry": (
        "class A:\n all = []\n def __init_subclass__(c): A.all.append(c)\ndef f(x):\n"
        " class B(A): pass\n return len(A.all)"
    ),
    "subclasses": "class A: pass\nkeep = []\ndef f(x):\n keep.append(type('B', (A,), {}))\n return len(A.__subclasses__())",
    "name bound by the module's loop": "for i in [0]: pass\ns = [i]\ndef f(x):\n s[0] += 1\n return s[0]",
    "memory of closures": (
        "def f(x):\n memo = [0] * 20_000_000\n def go(n): return memo[n] if n == 0 else go(n - 1)\n return go(9)"
    ),
}  # fmt: skip

# Right answers that an overcautious harness would lose.
HONEST_BUT_ODD = {
    "prints a lot": ("def f(x):\n for _ in range(300): print('noise' * 1000)\n return x + 1", "assert f(1) == 2"),
    "writes to stderr": ("import sys\ndef f(x):\n sys.stderr.write('x' * 10**6)\n return 1", "assert f(1) == 1"),
    "dataclasses": (
        "from dataclasses import dataclass\n@dataclass(order=True)\nclass P:\n x: int\n y: int = 2\n"
        "def f(a): return sorted(P(i).x for i in a)",
        "assert f([3, 1]) == [1, 3]",
    ),
    "enum": (
        "from enum import Enum, IntEnum\nclass C(IntEnum):\n A = 1\n B = 2\ndef f(x): return C.A + C.B",
        "assert f(0) == 3",
    ),
    "asyncio": (
        "import asyncio\nasync def g(x):\n await asyncio.sleep(0)\n return x * 2\n"
        "def f(x): return asyncio.run(g(x))",
        "assert f(4) == 8",
    ),
    "decimal": (
        "from decimal import Decimal, getcontext\ngetcontext().prec = 5\ndef f(x): return str(Decimal(x) / 3)",
        "assert f(1) == '0.33333'",
    ),
    "datetime and zones": (
        "import datetime\ntry:\n from zoneinfo import ZoneInfo\n zone = ZoneInfo('UTC')\n"
        "except Exception:\n zone = datetime.timezone.utc\n"
        "def f(y): return datetime.datetime(y, 2, 28, tzinfo=zone) + datetime.timedelta(1)",
        "assert f(2024).day == 29",
    ),
    "re": ("import re\ndef f(s): return re.sub(r'(\\w+)', lambda m: m[1].title(), s)", "assert f('a b') == 'A B'"),
    "heapq": ("import heapq\ndef f(a):\n heapq.heapify(a)\n return heapq.nsmallest(2, a)", "assert f([3, 1, 2]) == [1, 2]"),
    "typing generics": (
        "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass S(Generic[T]):\n"
        " def __init__(s) -> None: s.a: list[T] = []\ndef f(x):\n s = S[int]()\n s.a.append(x)\n return s.a",
        "assert f(1) == [1]",
    ),
    "file in the working folder": (
        "import os\ndef f(x):\n with open('t.txt', 'w') as file: file.write(str(x))\n"
        " with open('t.txt') as file: return file.read()",
        "assert f(5) == '5'",
        "assert f(6) == '6'",
    ),
    "temporary file": (
        "import tempfile\ndef f(x):\n with tempfile.NamedTemporaryFile('w+') as t:\n"
        "  t.write(x)\n  t.seek(0)\n  return t.read()",
        "assert f('a') == 'a'",
    ),
    "recursion close to the limit": ("def f(n): return 0 if n == 0 else 1 + f(n - 1)", "assert f(900) == 900"),
    "namedtuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(x): return P(x, 2)",
        "assert f(1) == (1, 2)",
        "assert f(1)[1] == 2",
    ),
    "Counter": ("from collections import Counter\ndef f(s): return Counter(s)", "assert f('aab') == {'a': 2, 'b': 1}"),
    "generator": ("def f(n):\n for i in range(n): yield i", "assert list(f(3)) == [0, 1, 2]"),
    "floats with a tolerance": ("import math\ndef f(x): return math.sqrt(x)", "assert abs(f(2) - 1.41421356) < 1e-6", "assert math.isclose(f(2), 2 ** 0.5)"),
    "sorted by a key": (
        "def f(a): return sorted(a, key=lambda p: (-p[1], p[0]))",
        "assert f([('a', 1), ('b', 2)]) == [('b', 2), ('a', 1)]",
    ),
    "main block": (
        "import sys\ndef f(x): return x + 1\nif __name__ == '__main__':\n print(f(1))",
        "assert f(1) == 2",
    ),
    "global counter": ("n = 0\ndef f(x):\n global n\n n += 1\n return n", "assert f(1) == 1", "assert f(2) == 1"),
    "class with state": (
        "class Stack:\n def __init__(s): s.a = []\n def push(s, x):\n  s.a.append(x)\n  return s\n"
        "def f(x): return Stack().push(x).a",
        "assert f(1) == [1]",
    ),
    "cached recursion": (
        "from functools import lru_cache\n@lru_cache(None)\ndef f(n): return n if n < 2 else f(n - 1) + f(n - 2)",
        "assert f(80) == 23416728348467685",
        "assert f(300) > 10 ** 60",
    ),
    "changes its argument": ("def f(a):\n a.sort()\n return a", "assert f([2, 1]) == [1, 2]"),
    "handles its own signal": (
        "import signal\ndef f(x):\n seen = []\n signal.signal(14, lambda *a: seen.append(1))\n"
        " signal.raise_signal(14)\n return len(seen)",
        "assert f(1) == 1",
    ),
    "catches a MemoryError": (
        "def f(x):\n try: return len(bytearray(1 << 40))\n except MemoryError: return -1",
        "assert f(1) == -1",
    ),
    "catches a RecursionError": (
        "def g(x): return g(x)\ndef f(x):\n try: g(x)\n except RecursionError: return -1",
        "assert f(1) == -1",
    ),
    "sleeps a little": ("import time\ndef f(x):\n time.sleep(0.01)\n return x", "assert f(1) == 1"),
    "a large answer": ("def f(n): return list(range(n))", "assert f(30_000) == list(range(30_000))", "assert len(f(30_000)) == 30000"),
    "a large integer": ("def f(n): return 1 << n", "assert f(20_000) == 1 << 20_000"),
    "set of tuples": ("def f(a): return {(x, x) for x in a}", "assert f([1, 2]) == {(2, 2), (1, 1)}"),
    "raises as it should": (
        "def f(x):\n if x < 0: raise ValueError('negative')\n return x",
        "try:\n    f(-1)\n    assert False\nexcept ValueError:\n    pass",
    ),
    "helper names with an underscore": ("def _g(x): return x\ndef f(x): return _g(x)", "assert f(1) == 1"),
    "type of its argument": ("def f(x): return type(x) == int", "assert f(1)", "assert not f('')"),
    "star import": ("from math import *\ndef f(x): return floor(sqrt(x))", "assert f(17) == 4"),
}  # fmt: skip

NUMPY = (
    "import numpy as np\ndef f(a): return np.cumsum(a)",
    "assert list(f([1, 2])) == [1, 3]",
    "assert (f([1, 2]) == [1, 3]).all()",
)

# A test that is run whole, and one that would tell, if the first had left something behind it.
READS_A_NAME = "n = 0\ndef f(x): return (n, sum([x, 1]))"
LEAVES_A_NAME = {
    "assignment": ("k = 7\nassert k", "k"),
    "augmented": ("k = 7\nk += 1\nassert k == 8", "k"),
    "loop": ("for k in range(3): assert f(k)", "k"),
    "walrus": ("assert (k := f(1))", "k"),
    "walrus in a comprehension": ("assert [k := 1 for _ in 'ab']", "k"),
    "unpacking": ("k, *j = [1, 2, 3]\nassert j", "k"),
    "function": ("def k(x, seen=[]): return seen\nassert f(1)", "k"),
    "class": ("class k: pass\nassert f(1)", "k"),
    "import": ("import math as k\nassert f(1)", "k"),
    "star import": ("from math import *\nassert f(1)", "tau"),
    "annotation": ("k: int = 3\nassert f(1)", "k"),
    "match": ("match [1, 2]:\n case [k, *_]: assert f(k)", "k"),
    "global statement": ("def g():\n global k\n k = 1\ng()\nassert k", "k"),
    "when it fails": ("k = 7\nassert not k", "k"),
    "when it raises": ("k = 7\n1 / 0", "k"),
    "handler": ("try: 1 / 0\nexcept ZeroDivisionError as k: j = k\nassert f(1)", "j"),
}
CHANGES_A_NAME = {  # of the solution, or of the language
    "its global": "n = 5\nassert f(1) == (5, 2)",
    "its function": "f = None\nassert f is None",
    "deletes its function": "del f\nassert True",
    "a built-in function": "sum = max\nassert f(1) == (0, 1)",
    "by import": "import math as n\nassert f(1)[0] is n",
    "by a loop": "for n in range(3): assert f(1)[0] == n",
}
