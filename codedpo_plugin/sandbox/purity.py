"""Whether a program keeps no state between calls: then its tests may share a process.

Decided on bytecode, in microseconds. A module that only imports harmless modules, defines functions
and binds constants, and whose code stores no global and no attribute and uses no name that could
reach the interpreter's state, has nowhere to keep anything between two calls. What the rule does
not know, such as an opcode of a later Python, counts as impure: then every test gets a process of
its own, which is slower but never wrong. Since different solutions share a process too, the rule
must hold against malicious programs (see `tests/helpers/attacks`): it knows the ways in which
harmless modules reach attributes or evaluate text by name. It does not protect the machine.

A test that is run whole, because it is not of the form `call == value`, may share the process too:
the names that it binds are removed after it, and it must not bind any that the program uses.

This file is imported by the zygote: it must need nothing but the standard library.
"""

import opcode
import sys
import types
from typing import TypeGuard


def _opcodes(names: str) -> frozenset[int]:
    """Numbers of the opcodes, of those that this Python has."""
    return frozenset(opcode.opmap[name] for name in names.split() if name in opcode.opmap)


_MODULE_LEVEL = _opcodes(
    "BINARY_OP BINARY_SUBSCR BUILD_TUPLE CACHE CALL_INTRINSIC_1 EXTENDED_ARG IMPORT_FROM "
    "IMPORT_NAME IMPORT_STAR LOAD_CONST LOAD_NAME LOAD_SMALL_INT MAKE_FUNCTION NOP POP_TOP "
    "PUSH_NULL RESUME RETURN_CONST RETURN_VALUE SET_FUNCTION_ATTRIBUTE STORE_NAME"
)

_COSTLY = _opcodes("BINARY_OP")  # 9**9**9

# MATCH_CLASS reads attributes whose names are not among those of the code.
_STORES = frozenset(
    opcode.opmap[name]  # every Python must have these
    for name in ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "DELETE_ATTR", "MATCH_CLASS")
)

_MODULES = frozenset(
    "bisect collections collections.abc copy datetime fractions functools heapq itertools math "
    "operator re string typing".split()
)

_IMPORT_NAME, _STORE_NAME = opcode.opmap["IMPORT_NAME"], opcode.opmap["STORE_NAME"]
_HANDLES = frozenset([opcode.opmap["PUSH_EXC_INFO"]])
_BINDS = _opcodes("STORE_NAME DELETE_NAME")
_STARS = _opcodes("IMPORT_STAR CALL_INTRINSIC_1")  # bind names that are not in the code

_NAMES = frozenset(
    "breakpoint compile delattr eval exec exit getattr globals help input locals open quit "
    "setattr vars attrgetter methodcaller setcontext id "
    "gi_frame cr_frame ag_frame Formatter get_field get_type_hints evaluate evaluate_forward_ref "
    "update_wrapper wraps register overload get_overloads dispatch_table "
    "EXCLUDED_ATTRIBUTES".split()
)
_GENERATORS = 0x20 | 0x80 | 0x200  # flags of code: generator, coroutine, asynchronous generator


def is_pure(code: types.CodeType) -> bool:
    """Whether a compiled module keeps no state between calls of its functions."""
    opcodes = set(code.co_code[::2])
    if not opcodes <= _MODULE_LEVEL or not _is_harmless(code):
        return False
    # An object of a class made by `type` can have `copy` set any attribute of any object.
    return not {"copy", "type"} <= all_names(code)


def is_inert(code: types.CodeType) -> bool:
    """Whether running a compiled module only imports harmless modules, and binds functions and
    constants.

    Then it always ends, and a trusted process can run it once and fork workers that run the
    functions, which may be impure.
    """
    opcodes = set(code.co_code[::2])
    if not opcodes <= _MODULE_LEVEL - _COSTLY or any(map(_is_dangerous, code.co_names)):
        return False
    return _IMPORT_NAME not in opcodes or _imports_harmless(code)


def are_pure_calls(codes: list[types.CodeType | Exception]) -> bool:
    """Whether evaluating a test's calls keeps no state, if what they call keeps none."""
    return bool(codes) and all(isinstance(c, types.CodeType) and _is_pure_call(c) for c in codes)


def is_pure_snippet(code: types.CodeType | Exception | None) -> TypeGuard[types.CodeType]:
    """Whether a test that is run whole keeps no state but the names that it binds (see
    `bound_names`), if what it calls keeps none.
    """
    if not isinstance(code, types.CodeType) or len(code.co_names) > 256:
        return False
    opcodes = set(code.co_code[::2])
    if opcodes & _STARS or "type" in all_names(code):
        return False
    return _is_harmless(code)


def bound_names(code: types.CodeType) -> frozenset[str]:
    """Names that a module of at most 256 names binds, or deletes, when it is run."""
    pairs = zip(code.co_code[::2], code.co_code[1::2], strict=True)
    return frozenset(code.co_names[index] for number, index in pairs if number in _BINDS)


def _is_pure_call(code: types.CodeType) -> bool:
    binds = _STORE_NAME in code.co_code[::2]
    return not binds and "type" not in all_names(code) and _is_harmless(code)


def _is_harmless(code: types.CodeType) -> bool:
    """No stores to globals or attributes, and no dangerous names, here or in nested code."""
    opcodes = set(code.co_code[::2])
    if opcodes & _STORES or any(_is_dangerous(name) for name in code.co_names):
        return False
    if _IMPORT_NAME in opcodes and not _imports_harmless(code):
        return False
    if code.co_flags & _GENERATORS and opcodes & _HANDLES:
        return False  # an abandoned one may continue while another test runs
    return all(map(_is_harmless, _nested(code)))


def _imports_harmless(code: types.CodeType) -> bool:
    pairs = zip(code.co_code[::2], code.co_code[1::2], strict=True)
    names = {code.co_names[index] for number, index in pairs if number == _IMPORT_NAME}
    return names <= _MODULES and len(code.co_names) <= 256


def all_names(code: types.CodeType) -> set[str]:
    """Names of globals, attributes and modules that code uses, nested code included."""
    return set(code.co_names).union(*map(all_names, _nested(code)))


def _nested(code: types.CodeType) -> list[types.CodeType]:
    return [const for const in code.co_consts if isinstance(const, types.CodeType)]


def _is_dangerous(name: str) -> bool:
    """Whether a name may reach the interpreter's state: builtins, hidden names, modules."""
    if name in _MODULES:
        return False
    hidden = name.startswith("_") and name.strip("_") != ""
    return name in _NAMES or hidden or name in sys.modules
