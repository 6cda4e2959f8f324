"""What is sent to a server, and what is read from its answers."""

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.calls import Call, Form, payload
from codedpo_plugin.sampling.types import Request

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
    call = Call(Request("a", "tests", "x", 2), 2, Form("max_completion_tokens"))
    seeded = SETTINGS.model_copy(update={"seed": 1})
    bodies = [payload(call, seeded)[1] for _ in range(2)]
    assert payload(call, seeded)[0] == "/completions"
    assert [body["prompt"] for body in bodies] == ["x", "x"]
    assert bodies[0]["max_completion_tokens"] == 7
    assert bodies[0]["seed"] != bodies[1]["seed"]


def test_a_null_of_extra_body_leaves_a_field_out_and_so_does_the_form() -> None:
    settings = SETTINGS.model_copy(update={"extra_body": {"top_p": None}})
    form = Form(omitted=frozenset({"temperature", "stop"}))
    _, body = payload(Call(Request("a", "tests", "x", 1), 1, form), settings)
    assert body == {"model": "m", "n": 1, "max_tokens": 7, "prompt": "x"}


def test_a_prefill_is_the_last_message_or_the_end_of_the_text() -> None:
    user = [{"role": "user", "content": "x"}]
    request = Request("a", "tests", user, 1, prefill="assert f(")
    _, body = payload(Call(request, 1), SETTINGS)
    assert body["messages"] == [*user, {"role": "assistant", "content": "assert f("}]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    _, body = payload(Call(request, 1, Form(omitted=frozenset({"prefill"}))), SETTINGS)
    assert body["messages"] == user
    assert "continue_final_message" not in body
    _, body = payload(Call(Request("a", "tests", "x", 1, prefill="assert f("), 1), SETTINGS)
    assert body["prompt"] == "xassert f("
    assert "continue_final_message" not in body
