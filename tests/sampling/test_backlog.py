"""Which call is made next, until every request has its samples."""

from codedpo_plugin.sampling.backlog import Backlog
from codedpo_plugin.sampling.calls import Call, Form
from codedpo_plugin.sampling.types import Request

FIRST, SECOND = (Request(key, "solutions", "x", 5) for key in ("first", "second"))


def drained(backlog: Backlog, most: int = 3) -> list[Call]:
    calls = []
    while call := backlog.next_call(most, Form()):
        calls.append(call)
    return calls


def names(calls: list[Call]) -> list[tuple[str, int]]:
    return [(call.request.key, call.count) for call in calls]


def test_requests_are_cut_into_calls_and_nothing_is_asked_twice() -> None:
    backlog = Backlog([(FIRST, 5), (SECOND, 1)])
    calls = drained(backlog)
    assert names(calls) == [("first", 3), ("first", 2), ("second", 1)]
    assert not backlog.received(calls[0], 3)
    assert backlog.received(calls[1], 2)
    assert drained(backlog) == []


def test_samples_that_a_call_did_not_bring_are_asked_for_again() -> None:
    backlog = Backlog([(FIRST, 3)])
    (call,) = drained(backlog)
    assert not backlog.received(call, 1)
    assert names(drained(backlog)) == [("first", 2)]


def test_retries_come_before_new_calls_unless_their_request_is_closed() -> None:
    backlog = Backlog([(FIRST, 1), (SECOND, 6)])
    failed = backlog.next_call(3, Form())
    other = backlog.next_call(3, Form())
    assert failed
    assert other
    backlog.retry(failed)
    backlog.put_back(other)
    assert backlog.next_call(3, Form()) is other
    assert backlog.close(FIRST)
    assert not backlog.close(FIRST)
    assert names(drained(backlog)) == [("second", 3)]
    assert not backlog.received(failed, 1)
    assert (len(backlog), backlog.requests()) == (1, [SECOND])


def test_a_call_in_a_form_that_is_refused_is_made_anew() -> None:
    backlog = Backlog([(FIRST, 4)])
    call = backlog.next_call(4, Form())
    assert call
    backlog.rebuild(call)
    again = backlog.next_call(1, Form("max_completion_tokens"))
    assert again
    assert (again.count, again.form.length_field) == (1, "max_completion_tokens")
