"""What is read from a server's answers, in all the forms that servers and proxies send."""

import json
from typing import Any

import pytest

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.calls import Call, Form
from codedpo_plugin.sampling.replies import (
    ErrorReply,
    NotAReply,
    finished,
    parse_reply,
    prefilled,
)
from codedpo_plugin.sampling.types import Reply, Request, Sample

TEXT = {"type": "text", "text": "x = 1"}


def parsed(*choices: Any, **fields: Any) -> Reply:
    return parse_reply(json.dumps({"choices": choices, **fields}))


def test_replies_of_both_endpoints() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": None}
    found = parsed({"message": {"content": "x"}, "finish_reason": "length"}, usage=usage)
    assert found == Reply([Sample("x", "length")], 3, 0)
    assert parsed({"text": "x"}) == Reply([Sample("x", "unknown")], 0, 0)


@pytest.mark.parametrize(
    ("message", "reason", "text", "defect"),
    [
        ({"content": [{"type": "thinking", "thinking": []}, TEXT]}, "stop", "x = 1", None),
        ({"content": [TEXT, "; y", TEXT]}, "stop", "x = 1; yx = 1", None),
        ({"content": TEXT}, "stop", "x = 1", None),
        ({"content": [{"type": "image_url"}, TEXT]}, "stop", "x = 1", "content of type image_url left out"),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "stop", "No.", None),
        ({"content": None, "reasoning_content": "hm"}, "stop", "", "reasoning without an answer"),
        ({"reasoning": "hm"}, "length", "", "reasoning without an answer, cut at max_tokens"),
        ({"content": [{"type": "thinking"}]}, "stop", "", "reasoning without an answer"),
        ({"content": None, "refusal": "No."}, "stop", "No.", "refused by the model"),
        ({"content": None, "tool_calls": [{}]}, "tool_calls", "", "a tool call in place of text"),
        ({"content": "x ="}, "content_filter", "x =", "cut by a content filter"),
        ({"content": ""}, None, "", "no text"),
        ({}, "length", "", "no text, cut at max_tokens"),
    ],
)  # fmt: skip
def test_an_answer_that_was_paid_is_kept_and_what_it_lacks_is_counted(
    message: dict[str, Any], reason: str | None, text: str, defect: str | None
) -> None:
    found = parsed({"message": message, "finish_reason": reason})
    assert found.samples == [Sample(text, reason or "unknown")]
    assert found.defects == ((defect,) if defect else ())


@pytest.mark.parametrize(
    ("name", "known"), [("eos_token", "stop"), ("max_tokens", "length"), ("odd", "odd")]
)
def test_other_names_of_finish_reasons(name: str, known: str) -> None:
    assert parsed({"text": "x", "finish_reason": name}).samples[0].finish_reason == known


def test_choices_without_an_answer_cost_no_other() -> None:
    error = {"error": {"message": "upstream"}, "message": {"content": ""}}
    found = parsed({"text": "x"}, None, {}, error, {"message": None}, usage=["odd"])
    assert found == Reply([Sample("x", "unknown")], 0, 0, dropped=4)


@pytest.mark.parametrize(
    "text", ["<html>", "[]", '{"choices": []}', '{"choices": [{}]}', "{}", '{"choices": 3}',
             '{"choices": [{"message": {"content": 3}}]}', '{"detail": "x"}'],
)  # fmt: skip
def test_what_is_not_a_reply(text: str) -> None:
    with pytest.raises(NotAReply):
        parse_reply(text)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"error": {"message": "why", "code": 429}}, 429),
        ({"object": "error", "message": "why", "code": "400"}, 400),
        ({"error": "why", "choices": []}, None),
        ({"choices": [{"error": {"message": "why", "code": 7}}]}, None),
    ],
)
def test_an_error_of_status_200(answer: dict[str, Any], status: int | None) -> None:
    with pytest.raises(ErrorReply, match="why") as raised:
        parse_reply(json.dumps(answer))
    assert raised.value.status == status


def test_a_truncated_reply_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="delimiter"):
        parse_reply('{"choices": [{"text": "x"}]')


@pytest.mark.parametrize(
    ("prefill", "text", "whole"),
    [
        ("assert f(", "1) == 2", "assert f(1) == 2"),
        ("assert f(", "assert f(1) == 2", "assert f(1) == 2"),
        ("```python\n", "```python\nx", "```python\nx"),
        ("```python\n", "\n```python\n  x", "```python\n  x"),
        ("```python\n", "  x", "```python\n  x"),
        ("```python\n", "", ""),
        ("", " x", " x"),
    ],
)
def test_a_sample_begins_with_its_prefill_once(prefill: str, text: str, whole: str) -> None:
    assert prefilled(prefill, text) == whole


def test_what_the_server_was_not_asked_to_do_is_done_here() -> None:
    settings = Sampling(model="m", stop=["\nb", "c"])
    call = Call(Request("a", "tests", "x", 2, prefill="b"), 2, Form(omitted=frozenset({"stop"})))
    reply = finished(
        Reply([Sample("a\nbc", "length"), Sample("a", "length")], 1, 1), call, settings
    )
    assert reply.samples == [Sample("ba", "stop"), Sample("ba", "length")]
