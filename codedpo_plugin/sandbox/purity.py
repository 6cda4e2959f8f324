"""Whether nothing that a program does can outlive a call: then its tests may share a process.

Judged on bytecode, in microseconds. A module that only imports harmless modules, defines functions
and binds constants, and whose code stores no global and no attribute and uses no name that could
reach the interpreter's state, has nowhere to keep anything between two calls. What the rule does
not know, an opcode of a later Python for instance, counts as impure: then every test gets a process
of its own, which is slower and never wrong. The rule is about cross-talk between the tests of one
solution; it is no part of the protection of the machine.

This file is imported by the zygote: it must need nothing but the standard library.
"""

import opcode
import sys
import types

_MODULE_LEVEL = frozenset(
    "BINARY_OP BINARY_SUBSCR BUILD_TUPLE CACHE CALL_INTRINSIC_1 EXTENDED_ARG IMPORT_FROM "
    "IMPORT_NAME IMPORT_STAR LOAD_CONST LOAD_NAME LOAD_SMALL_INT MAKE_FUNCTION NOP POP_TOP "
    "PUSH_NULL RESUME RETURN_CONST RETURN_VALUE SET_FUNCTION_ATTRIBUTE STORE_NAME".split()
)

_STORES = frozenset("STORE_GLOBAL DELETE_GLOBAL STORE_ATTR DELETE_ATTR".split())

_MODULES = frozenset(
    "bisect collections collections.abc copy datetime fractions functools heapq itertools math "
    "operator re string typing".split()
)

_NAMES = frozenset(
    "breakpoint compile delattr eval exec exit getattr globals help input locals open quit "
    "setattr vars attrgetter methodcaller setcontext".split()
)


def is_pure(code: types.CodeType) -> bool:
    """Whether a compiled module keeps no state between calls of its functions."""
    opcodes = {opcode.opname[number] for number in code.co_code[::2]}
    return opcodes <= _MODULE_LEVEL and _is_harmless(code)


def is_pure_call(source: str) -> bool:
    """Whether evaluating a test's call keeps no state, if what it calls keeps none."""
    try:
        return _is_harmless(compile(source, "<test>", "eval", dont_inherit=True))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_harmless(code: types.CodeType) -> bool:
    """No stores to globals or attributes, and no dangerous names, here or in nested code."""
    if any(opcode.opname[number] in _STORES for number in code.co_code[::2]):
        return False
    if any(_is_dangerous(name) for name in code.co_names):
        return False
    nested = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return all(_is_harmless(const) for const in nested)


def _is_dangerous(name: str) -> bool:
    """Ways to the interpreter's state: some builtins, dunder names, modules (`typing.sys`)."""
    if name in _MODULES:
        return False
    hidden = name.startswith("__") and name.endswith("__")
    return name in _NAMES or hidden or name.strip("_") in sys.modules
