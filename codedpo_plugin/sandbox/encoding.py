"""A closed, typed text form for the values that solutions return.

A worker process, where untrusted code has run, may send only values in this form. It is JSON, and
every type that JSON lacks is a one-key object, `{"tuple": [...]}`, so decoding builds only the
types listed here and runs no code of the sender (unlike pickle or marshal). What cannot be sent,
an instance of the solution's own class for instance, becomes `{"object": "type name"}`: it decodes
to a value that is true and equal to nothing, so an `__eq__` that always agrees proves nothing.

This file is also imported by the zygote, alone: it must need nothing but the standard library.
"""

import collections
import datetime
import decimal
import fractions
import itertools
import json
import marshal
import operator
import re
import types
from collections.abc import Callable, Iterable
from typing import Any

MAX_DEPTH = 100
MAX_ITEMS = 100_000
MAX_TEXT = 1_000_000

_PART = 10_000  # items that are hashed at a time

_ENCODER = json.JSONEncoder(separators=(",", ":"))


class Opaque:
    """A value that could not be sent: true, and equal to nothing but itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


def encode(value: Any) -> str:
    """The text of a value; of an opaque object if it is too deep, too large or of unknown type."""
    try:
        text = _ENCODER.encode(_plain(value, 0))
    except (ValueError, TypeError, RecursionError, OverflowError):
        return json.dumps(_opaque(value))
    return text if len(text) <= MAX_TEXT else json.dumps(_opaque(value))


def digest(value: Any) -> str:
    """A hash of a value of any size; equal values of different types have different hashes.

    Raises:
        ValueError: it contains something other than plain values.
    """
    import hashlib  # not in every worker: it is large

    whole = hashlib.blake2b(type(value).__name__.encode(), digest_size=16)
    parts: Iterable[Any] = [value]
    if type(value) in (list, tuple):  # in parts, or the text of a gigabyte would be in memory
        parts = (value[n : n + _PART] for n in range(0, len(value), _PART))
    for part in parts:
        whole.update(marshal.dumps(part, 2))
    return whole.hexdigest()


def decode(text: str) -> Any:
    """The value of a text that `encode` made.

    Raises:
        ValueError: the text is not one that `encode` makes.
    """
    try:
        return _genuine(_parsed(text))
    except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError) as error:
        raise ValueError(f"not an encoded value: {error!r}"[:200]) from None


def canonical(text: str) -> str:
    """The same text for equal dicts, whatever their order, so that texts can be compared.

    Raises:
        ValueError: the text is not one that `encode` makes.
    """
    if '"dict"' not in text and '"Counter"' not in text:
        return text
    try:
        return json.dumps(_sorted_dicts(_parsed(text)), separators=(",", ":"))
    except (RecursionError, TypeError) as error:
        raise ValueError(f"not an encoded value: {error!r}"[:200]) from None


def _parsed(text: str) -> Any:
    if len(text) > MAX_TEXT:
        raise ValueError("longer than any encoded value")
    return json.loads(text)


def _sorted_dicts(node: Any) -> Any:
    if isinstance(node, list):
        return [_sorted_dicts(item) for item in node]
    if isinstance(node, dict):
        ((tag, payload),) = node.items()
        payload = _sorted_dicts(payload)
        return {tag: sorted(payload, key=json.dumps) if tag in ("dict", "Counter") else payload}
    return node


def _opaque(value: Any) -> dict[str, str]:
    kind = type(value)
    return {"object": f"{kind.__module__}.{kind.__qualname__}"[:200]}


def _plain(value: Any, depth: int) -> Any:
    """JSON data for a value.

    Raises:
        ValueError: it is nested too deeply or has too many items.
    """
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    kind = _known_type(type(value))
    if kind in (types.NoneType, bool):
        return value
    if kind is str:
        return str.__str__(value)
    if kind is float:
        return float.__float__(value)
    if kind is int:
        value = int.__int__(value)
        return value if -_HUGE < value < _HUGE else {"int": hex(value)}
    if kind is list:
        return _items(value, depth)
    if kind in _ENCODERS:
        tag, payload = _ENCODERS[kind]
        return {tag: payload(value, depth)}
    if type(value).__module__ == "numpy":
        return _plain_numpy(value, depth)
    return _opaque(value)


def _known_type(kind: type) -> type:
    """The type itself, or the base that gives it data and equality (namedtuple, IntEnum)."""
    if kind in _ENCODERS or kind in _NATIVE:
        return kind
    for base in (int, str, float, tuple, list, dict, set, frozenset):
        if issubclass(kind, base) and kind.__eq__ is base.__eq__:
            return base
    return kind


_PLAIN = {types.NoneType, bool, str, float}
_HUGE = 2**4000  # beyond this an int is sent as hexadecimal text


def _items(values: Any, depth: int) -> list[Any]:
    items = list(itertools.islice(iter(values), MAX_ITEMS + 1))
    if len(items) > MAX_ITEMS:
        raise ValueError("too many items")
    kinds = set(map(type, items))
    if kinds <= _PLAIN or (kinds == {int} and max(items) < _HUGE and min(items) > -_HUGE):
        return items  # the common long lists, a hundred times as fast
    return [_plain(item, depth + 1) for item in items]


def _unordered(values: Any, depth: int) -> list[Any]:
    return sorted(_items(values, depth), key=json.dumps)


def _pairs(mapping: Any, depth: int) -> list[Any]:
    items = dict.items(mapping)
    return [[_plain(key, depth + 1), _plain(value, depth + 1)] for key, value in items]


def _plain_numpy(value: Any, depth: int) -> Any:
    if type(value).__name__ == "ndarray":
        return {"ndarray": [_plain(value.tolist(), depth + 1), str(value.dtype)]}
    return _plain(value.item(), depth + 1) if hasattr(value, "item") else _opaque(value)


_NATIVE = (types.NoneType, bool, str, float, int, list)

_Encoder = tuple[str, Callable[[Any, int], Any]]

_ITERATORS: tuple[Any, ...] = (
    types.GeneratorType, map, filter, zip, enumerate, reversed, type(iter([])), type(iter(())),
    type(iter("")), type(iter(range(0))), type(iter(set())), type(iter({})), type(reversed([])),
    itertools.chain, itertools.islice, itertools.accumulate, itertools.combinations,
    itertools.permutations, itertools.product, itertools.starmap, itertools.takewhile,
    itertools.dropwhile, itertools.compress, itertools.filterfalse, itertools.zip_longest,
)  # fmt: skip

_ENCODERS: dict[type, _Encoder] = {
    tuple: ("tuple", _items),
    set: ("set", _unordered),
    frozenset: ("frozenset", _unordered),
    dict: ("dict", _pairs),
    collections.defaultdict: ("dict", _pairs),
    collections.OrderedDict: ("OrderedDict", _pairs),
    collections.Counter: ("Counter", _pairs),
    collections.deque: ("deque", _items),
    bytes: ("bytes", lambda value, _: value.hex()),
    bytearray: ("bytearray", lambda value, _: value.hex()),
    complex: ("complex", lambda value, _: [value.real, value.imag]),
    range: ("range", lambda value, _: [value.start, value.stop, value.step]),
    decimal.Decimal: ("Decimal", lambda value, _: str(value)),
    fractions.Fraction: ("Fraction", lambda value, _: [value.numerator, value.denominator]),
    datetime.datetime: ("datetime", lambda value, _: value.isoformat()),
    datetime.date: ("date", lambda value, _: value.isoformat()),
    datetime.time: ("time", lambda value, _: value.isoformat()),
    datetime.timedelta: (
        "timedelta", lambda value, _: [value.days, value.seconds, value.microseconds]
    ),
    types.EllipsisType: ("ellipsis", lambda value, _: None),
    type({}.keys()): ("keys", _items),
    type({}.values()): ("values", _items),
    type({}.items()): ("items", _items),
    **dict.fromkeys(_ITERATORS, ("iterator", _items)),
}  # fmt: skip


def _genuine(node: Any) -> Any:
    """The value of decoded JSON."""
    if isinstance(node, list):
        return [_genuine(item) for item in node]
    if not isinstance(node, dict):
        return node
    if len(node) != 1:
        raise ValueError("an object of one key was expected")
    ((tag, payload),) = node.items()
    return _DECODERS[tag](payload)


def _list(payload: Any) -> list[Any]:
    return [_genuine(item) for item in payload]


def _dict(payload: Any) -> dict[Any, Any]:
    return {_genuine(key): _genuine(value) for key, value in payload}


_PLAIN_DTYPE = re.compile(r"(bool|u?int\d+|float\d+|complex\d+|[<>|][USifuc]\d+|[a-z]+64\[\w+\])")
_MAX_ARRAY = 1 << 26  # bytes


def _array(payload: Any) -> Any:
    import numpy

    values, dtype = payload
    if not _PLAIN_DTYPE.fullmatch(dtype):
        raise ValueError(f"no plain type of numpy: {dtype[:50]}")
    array = numpy.array(_genuine(values), dtype=object)
    if array.size * numpy.dtype(dtype).itemsize > _MAX_ARRAY:
        raise ValueError("an array too large")
    return array.astype(dtype)


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "object": Opaque,
    "int": lambda payload: int(payload, 16),
    "tuple": lambda payload: tuple(_list(payload)),
    "set": lambda payload: set(_list(payload)),
    "frozenset": lambda payload: frozenset(_list(payload)),
    "dict": _dict,
    "OrderedDict": lambda payload: collections.OrderedDict(_dict(payload)),
    "Counter": lambda payload: collections.Counter(_dict(payload)),
    "deque": lambda payload: collections.deque(_list(payload)),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "complex": lambda payload: complex(*payload),
    "range": lambda payload: range(*payload),
    "Decimal": decimal.Decimal,
    "Fraction": lambda payload: fractions.Fraction(*map(operator.index, payload)),
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "timedelta": lambda payload: datetime.timedelta(*payload),
    "ellipsis": lambda payload: ...,
    "keys": lambda payload: dict.fromkeys(_list(payload)).keys(),
    "values": lambda payload: dict(enumerate(_list(payload))).values(),
    "items": lambda payload: dict(_list(payload)).items(),
    "iterator": lambda payload: iter(_list(payload)),
    "ndarray": _array,
}
