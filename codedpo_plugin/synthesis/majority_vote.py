"""Tests from inputs alone: the expected value is what most solutions return."""

import ast
from collections import Counter
from collections.abc import Sequence

from codedpo_plugin.sandbox.client import Cell, Sandbox
from codedpo_plugin.sandbox.encoding import canonical, decode

_LONGEST = 10_000  # characters of an expected value


def tests_by_vote(solutions: Sequence[str], calls: Sequence[str], sandbox: Sandbox) -> list[str]:
    """`assert CALL == VALUE` for each call whose value at least two solutions agree on.

    The value is the most frequent one among the solutions that return any. Ties, and values that
    no literal equals, give no test.
    """
    cells: list[Cell] = [{"calls": [call], "names": [], "foreign": []} for call in calls]
    counts = Counter(solutions)
    votes: list[Counter[str]] = [Counter() for _ in calls]
    literals: dict[str, str] = {}
    for program, line in zip(counts, sandbox.run_all(list(counts), cells), strict=True):
        for ballot, reply in zip(votes, line, strict=True):
            values = (reply.record or {}).get("values") or []
            if len(values) == 1 and (literal := _literal(values[0])):
                name = canonical(values[0])
                literals[name] = literal
                ballot[name] += counts[program]
    winners = [(call, _winner(ballot)) for call, ballot in zip(calls, votes, strict=True)]
    return [f"assert {call} == {literals[name]}" for call, name in winners if name is not None]


def _winner(ballot: Counter[str]) -> str | None:
    leaders = ballot.most_common(2)
    if not leaders or leaders[0][1] < 2:
        return None
    tied = len(leaders) > 1 and leaders[0][1] == leaders[1][1]
    return None if tied else leaders[0][0]


def _literal(value: str) -> str | None:
    """Source of an encoded value; None if no literal equals it."""
    try:
        decoded = decode(value)
        text = repr(decoded)
        return text if len(text) <= _LONGEST and ast.literal_eval(text) == decoded else None
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
