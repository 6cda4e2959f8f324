"""The closed form in which values leave a sandbox."""

import collections
import datetime
import decimal
import enum
import fractions
import json

import pytest

from codedpo_plugin.sandbox.encoding import canonical, decode, digest, encode

Point = collections.namedtuple("Point", "x y")


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1, 2**70, 10**5000, 1.5, -0.0, float("inf"), "é\n\ud800", b"\x00", bytearray(b"a"),
        1j, [], [10**5000, 1], [None, True, "a", 0.5], [[1], ()], (1, [2]), {1, 2}, frozenset("ab"), {"a": {1: (None,)}}, {(1, 2): 3},
        range(1, 9, 2), decimal.Decimal("1.10"), fractions.Fraction(1, 3), datetime.date(2024, 2, 29),
        datetime.datetime(2024, 1, 1, 12), datetime.time(1, 2), datetime.timedelta(days=1, seconds=2),
        collections.deque([1]), collections.Counter("aab"), collections.OrderedDict(a=1), ...,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_round_trip_keeps_value_and_type(value: object) -> None:
    back = decode(encode(value))
    assert back == value
    assert type(back) is type(value)


def test_a_subclass_with_its_base_equality_counts_as_its_base() -> None:
    assert decode(encode(Point(1, 2))) == (1, 2)
    assert decode(encode(Colour.RED)) == 1
    assert decode(encode(collections.defaultdict(int, a=1))) == {"a": 1}


def test_iterators_stay_iterators() -> None:
    back = decode(encode(n * n for n in range(3)))
    assert back != [0, 1, 4]
    assert list(back) == [0, 1, 4]
    assert decode(encode({"a": 1}.keys())) == {"a"}


class Agreeable:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class AgreeableInt(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("value", [Agreeable(), AgreeableInt(3), [Agreeable()]])
def test_an_object_that_agrees_with_everything_agrees_with_nothing(value: object) -> None:
    assert decode(encode(value)) not in (3, [3], 0)


def test_what_is_too_deep_cyclic_or_endless_is_opaque() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    deep: object = 1
    for _ in range(500):
        deep = [deep]
    for value in (cycle, deep, iter(int, 1), "x" * 2_000_000):
        assert "object" in json.loads(encode(value))


@pytest.mark.parametrize(
    "text", ["", "{", '{"tuple": 1}', '{"nosuch": []}', '{"a": 1, "b": 2}', '{"Fraction": [1, 0]}',
             '{"set": [[1]]}', "[" * 100_000, '{"ndarray": [[1], "O"]}', '{"int": 3}'],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_hostile_text_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode(text)


def test_equal_values_have_equal_canonical_texts() -> None:
    assert canonical(encode({"a": 1, "b": {2, 1}})) == canonical(encode({"b": {1, 2}, "a": 1}))
    assert canonical(encode([1, 2])) != canonical(encode((1, 2)))


def test_digests_tell_values_apart_in_parts() -> None:
    long = [("a", n) for n in range(25_000)]
    assert digest(long) == digest(list(long))
    others = [tuple(long), long[:-1], [*long[:-1], ("b", 24_999)], [[*one] for one in long]]
    assert len({digest(value) for value in [long, *others]}) == 5
    with pytest.raises(ValueError, match="unmarshallable"):
        digest([object()])
