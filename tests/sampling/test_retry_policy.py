"""What happens to a call that failed."""

import pytest

pytest.importorskip("openai", reason="pip install 'codedpo[sample]'")

from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.calls import Call
from codedpo_plugin.sampling.failures import Fault, Refusal
from codedpo_plugin.sampling.retry_policy import RetryPolicy
from codedpo_plugin.sampling.types import Request


def call(retries: int, first_sent: float = 0.0) -> Call:
    return Call(Request("a", "solutions", "x", 1), 1, retries=retries, first_sent=first_sent)


def test_delays_grow_up_to_a_minute_after_what_the_server_asks_for() -> None:
    policy = RetryPolicy(Sampling(model="m", retries=99))
    delays = [policy.delay(call(retries), Fault("500", "", wait=3.0)) for retries in range(40)]
    assert all(d and 3 <= d <= 3 + min(60, 2**n) for n, d in enumerate(delays))
    assert max(d for d in delays if d) > 30


def test_a_call_out_of_retries_is_given_up_if_the_server_answered_others() -> None:
    policy = RetryPolicy(Sampling(model="m", retries=2))
    policy.answered()
    assert policy.delay(call(retries=1), Fault("500", "")) is not None
    assert policy.delay(call(retries=2), Fault("500", "")) is None
    assert policy.delay(call(retries=2), Fault("429", "", overload=True)) is not None


def test_a_server_that_answers_nobody_is_an_error() -> None:
    policy = RetryPolicy(Sampling(model="m", retries=9))
    future = call(retries=3, first_sent=1e12)
    with pytest.raises(InfrastructureError, match="4 attempts at a request failed"):
        policy.delay(future, Fault("no connection", "", permanent=True))
    assert policy.delay(future, Fault("500", "")) is not None


def test_refusals_are_an_error_until_one_call_was_answered() -> None:
    policy = RetryPolicy(Sampling(model="m"))
    policy.refused(Refusal("400: bad", "400: bad"), open_requests=9)
    policy.refused(Refusal("400: bad", "400: bad"), open_requests=9)
    with pytest.raises(InputError, match="refuses each request: 400: bad"):
        policy.refused(Refusal("400: bad", "400: bad"), open_requests=9)
    policy.answered()
    policy.refused(Refusal("400: bad", "400: bad"), open_requests=9)


def test_refused_access_ends_the_run_at_once_or_when_it_stays() -> None:
    denied = Refusal("403: no", "403: no; the key", no_access=True)
    with pytest.raises(InputError, match="the key"):
        RetryPolicy(Sampling(model="m")).refused(denied, open_requests=9)
    policy = RetryPolicy(Sampling(model="m"))
    policy.answered()
    for _ in range(7):
        policy.refused(denied, open_requests=99)
    with pytest.raises(InputError, match="the key"):
        policy.refused(denied, open_requests=99)
