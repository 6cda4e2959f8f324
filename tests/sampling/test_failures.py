"""What a failed call means: the user's to fix, worth another attempt, or refused for good."""

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openai", reason="pip install 'codedpo[sample]'")

import openai

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.failures import (
    CONTENT_POLICY,
    TOO_LONG,
    Fault,
    Refusal,
    classify,
    retry_after,
)
from codedpo_plugin.sampling.replies import ErrorReply

SETTINGS = Sampling(model="m")


def failed(status: int, body: Any, headers: dict[str, str] | None = None) -> Fault | Refusal:
    """What becomes of a response; the client takes `error` out of its body."""
    body = body.get("error", body) if isinstance(body, dict) else body
    response: Any = SimpleNamespace(status_code=status, headers=headers or {}, request=None)
    return classify(openai.APIStatusError("no body", response=response, body=body), SETTINGS)


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (400, "This model's maximum context length is 1024 tokens. However, your prompt has 1500.", TOO_LONG),
        (400, "request (1500 tokens) exceeds the available context size (1024 tokens)", TOO_LONG),
        (422, "Input validation error: `inputs` must have less than 4096 tokens", TOO_LONG),
        (500, "the prompt is too long: context size exceeded", TOO_LONG),
        (413, "", TOO_LONG),
        (400, "The response was filtered due to the prompt triggering content management policy.", CONTENT_POLICY),
        (403, "Your input was flagged by moderation", CONTENT_POLICY),
        (400, "no", "400: no"),
        (501, "no", "501: no"),
    ],
)  # fmt: skip
def test_refusals_have_one_name_for_all_prompts(status: int, message: str, reason: str) -> None:
    found = failed(status, {"error": {"message": message}})
    assert isinstance(found, Refusal)
    assert found.reason == reason
    assert found.message == f"{status}: {message or 'no body'}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"detail": [{"loc": ["body", "seed"], "msg": "Extra"}]}, "400: body.seed: Extra"),
        ({"detail": "x"}, "400: x"),
        ({"error": "x"}, "400: x"),
        ([{"error": {"message": "x"}}], "400: x"),
        ({"object": "error", "message": "x", "code": 400}, "400: x"),
    ],
)
def test_the_message_is_found_in_all_forms(body: Any, message: str) -> None:
    found = failed(400, body)
    assert isinstance(found, Refusal)
    assert found.message == message


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, {"message": "who"}, "401: who; name the environment variable"),
        (402, {"message": "Insufficient Balance"}, "no credit left"),
        (429, {"message": "pay", "code": "insufficient_quota"}, "no credit left"),
    ],
)
def test_what_the_user_has_to_fix(status: int, body: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        failed(status, {"error": body})


def test_a_403_may_be_about_the_key_or_about_one_prompt() -> None:
    found = failed(403, {"error": {"message": "no"}})
    assert isinstance(found, Refusal)
    assert found.no_access


def test_overload_and_what_may_pass() -> None:
    busy = failed(429, {"error": {"message": "slow down"}}, {"retry-after": "3"})
    assert busy == Fault("429", "slow down", overload=True, wait=3.0)
    assert failed(409, {"error": {"message": "x"}}) == Fault("409", "x")
    assert failed(500, {"error": {"message": "x"}}) == Fault("500", "x")


def test_errors_in_replies_of_status_200() -> None:
    assert classify(ErrorReply(429, "429", "x"), SETTINGS) == Fault("429", "x", overload=True)
    unknown = classify(ErrorReply(None, "7", "x"), SETTINGS)
    assert unknown == Fault("an error in place of a reply", "x", permanent=True)


def test_retry_after_in_all_its_forms() -> None:
    assert retry_after({"retry-after": "3"}) == 3.0
    assert retry_after({"retry-after-ms": "250"}) == 0.25
    assert retry_after({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0.0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None
