"""What is sent to a server, and what is read from its answers."""

import json

import pytest

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.calls import Call, NotAReply, parse_reply, payload
from codedpo_plugin.sampling.types import Reply, Request, Sample

SETTINGS = Sampling(model="m", stop=["\n"], max_tokens=7, extra_body={"top_k": 5})


def test_a_chat_call_has_all_settings() -> None:
    messages = [{"role": "user", "content": "x"}]
    path, body = payload(Call(Request("a", "tests", messages, 2), 2), SETTINGS)
    assert path == "/chat/completions"
    assert body == {
        "model": "m", "n": 2, "temperature": 0.8, "top_p": 0.95, "max_tokens": 7, "stop": ["\n"],
        "top_k": 5, "messages": messages,
    }  # fmt: skip


def test_a_completion_call_has_a_prompt_and_seeds_differ() -> None:
    call = Call(Request("a", "tests", "x", 2), 2, "max_completion_tokens")
    seeded = SETTINGS.model_copy(update={"seed": 1})
    bodies = [payload(call, seeded)[1] for _ in range(2)]
    assert payload(call, seeded)[0] == "/completions"
    assert [body["prompt"] for body in bodies] == ["x", "x"]
    assert bodies[0]["max_completion_tokens"] == 7
    assert bodies[0]["seed"] != bodies[1]["seed"]


def test_replies_of_both_endpoints() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": None}
    chat = {"choices": [{"message": {"content": None}, "finish_reason": "length"}], "usage": usage}
    assert parse_reply(json.dumps(chat)) == Reply([Sample("", "length")], 3, 0)
    assert parse_reply('{"choices": [{"text": "x"}]}') == Reply([Sample("x", "unknown")], 0, 0)


@pytest.mark.parametrize("text", ["<html>", "[]", '{"choices": []}', '{"choices": [{}]}', "{}"])
def test_what_is_not_a_reply(text: str) -> None:
    with pytest.raises(NotAReply):
        parse_reply(text)


def test_a_truncated_reply_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="delimiter"):
        parse_reply('{"choices": [{"text": "x"}]')
