"""Turn what a worker process sent into a verdict, outside the process that ran the solution."""

import hashlib

from codedpo_plugin.execution.outcomes import Verdict
from codedpo_plugin.parsing.assertions import Test, judge_here
from codedpo_plugin.sandbox.client import Reply, Sandbox
from codedpo_plugin.sandbox.encoding import canonical

MAX_RETURNED = 200  # characters of a returned value that are kept; a longer one becomes a hash
_LONG = 1000  # characters of values beyond which only a hash is kept to recognise them


class Judge:
    """Judges the replies for one problem; equal values for a test are judged once."""

    def __init__(self, sandbox: Sandbox) -> None:
        """`sandbox` evaluates the assertions that need Python."""
        self._sandbox = sandbox
        self._known: dict[tuple[str, str], Verdict] = {}

    def verdict(self, test: Test, reply: Reply) -> Verdict:
        """The verdict of a cell, given what its worker sent or how it ended."""
        if reply.record is None:
            return Verdict(reply.outcome, reply.seconds, reply.error)
        if not test.judged_outside:
            passed = reply.record.get("done") is True
            return Verdict("passed" if passed else "crashed", reply.seconds)
        values = reply.record.get("values", [])
        if len(values) != len(test.calls):
            return Verdict("crashed", reply.seconds, "sent something other than its values")
        text = "\0".join(values)
        key = (test.source, text if len(text) < _LONG else _digest(text))
        known = self._known.get(key)
        if not known:
            known = self._known[key] = self._judged(test, values)
        return known._replace(seconds=reply.seconds)

    def _judged(self, test: Test, values: list[str]) -> Verdict:
        try:
            returned = returned_text(values)
            held = judge_here(test, values[0])
        except (ValueError, RecursionError) as error:
            return Verdict("error", error=f"{type(error).__name__}: {error}")
        if held is None:
            assertion = {"assertion": test.assertion, "values": values, "names": list(test.names)}
            (reply,) = self._sandbox.run("", [assertion])
            if reply.record is None:
                return Verdict(reply.outcome, error=reply.error, returned=returned)
            held = reply.record.get("done") is True
        return Verdict("passed" if held else "failed", returned=returned)


def returned_text(values: list[str]) -> str | None:
    """Text of what calls returned, equal for equal values; None where they cannot be compared.

    Raises:
        ValueError: a value is not one that `sandbox.encoding.encode` makes.
    """
    text = "; ".join(map(canonical, values))
    if '{"object":' in text:
        return None
    if len(text) > MAX_RETURNED:
        return f"sha256:{_digest(text)} ({len(text)} characters)"
    return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
