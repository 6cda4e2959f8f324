"""The calls that are timed, and larger arguments for them."""

from codedpo_plugin.parsing.assertions import split_test
from codedpo_plugin.parsing.input_mutation import enlarged
from codedpo_plugin.ranking.credible_tests import discriminative_tests
from codedpo_plugin.run_folder.shards import Row
from codedpo_plugin.sandbox.client import Sandbox

_TIMES = 20  # as long, enlarged arguments
_SECONDS = 0.1  # CPU time limit of one call with an enlarged argument


def timed_calls(row: Row, credible: list[int]) -> list[str]:
    """The calls of the discriminative tests (or a whole test that cannot be split), each once."""
    calls: dict[str, None] = {}
    entry_point = row["entry_point"]
    for index in discriminative_tests(row, credible):
        test = split_test(row["tests"][index], entry_point)
        if test.judged_outside:
            calls.update(dict.fromkeys(test.calls))
        elif not entry_point or entry_point in test.source:
            calls[test.source] = None
    return list(calls)


def enlarge(calls: list[str], programs: list[str], sandbox: Sandbox) -> list[str]:
    """The calls with larger arguments, where all programs still return the same value.

    On the small inputs of tests, fast and slow programs differ in constant costs only. Lists,
    tuples and strings that are literals are repeated. A call stays as it is where it has none, or
    where the programs then disagree or exceed the time limit.
    """
    candidates = {call: larger for call in calls if (larger := enlarged(call, _TIMES))}
    cells = [{"calls": [larger], "names": []} for larger in candidates.values()]
    replies = sandbox.run_all(programs, cells, _SECONDS)
    agreed = {
        call
        for call, column in zip(candidates, zip(*replies, strict=True), strict=True)
        if all(reply.record and reply.record == column[0].record for reply in column)
    }
    return [candidates[call] if call in agreed else call for call in calls]
