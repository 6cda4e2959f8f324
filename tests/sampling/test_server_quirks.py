"""How calls are adapted to a server, by its own words."""

import pytest

pytest.importorskip("openai", reason="pip install 'codedpo[sample]'")

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.calls import Call
from codedpo_plugin.sampling.failures import TOO_LONG, Refusal
from codedpo_plugin.sampling.server_quirks import ServerQuirks
from codedpo_plugin.sampling.types import Request

SETTINGS = Sampling(model="m", stop=["\n"], seed=1, max_tokens=1000, prices={"prompt": 1})
REQUEST = Request("a", "tests", [{"role": "user", "content": "x"}], 9, prefill="assert f(")


def refusal(message: str, field: str | None = None, reason: str = "400") -> Refusal:
    return Refusal(reason, f"400: {message}", field)


@pytest.mark.parametrize(
    ("message", "omitted"),
    [
        ("`temperature` and `top_p` cannot both be specified for this model.", "top_p"),
        ("Unsupported value: 'temperature' does not support 0.8 with this model. Only the default (1) value is supported.", "temperature"),
        ("Unsupported parameter: 'top_p' is not supported with this model.", "top_p"),
        ("Invalid 'stop': array too long. Expected an array with maximum length 4", "stop"),
        ("Unsupported parameter: 'stop' is not supported with this model.", "stop"),
        ("Unrecognized request argument supplied: seed", "seed"),
        ("body.seed: Extra inputs are not permitted", "seed"),
        ("Unrecognized request arguments supplied: add_generation_prompt, continue_final_message", "prefill"),
        ("This model does not support assistant message prefill. The conversation must end with a user message.", "prefill"),
    ],
)  # fmt: skip
def test_a_field_that_is_refused_is_left_out_and_the_user_is_told_once(
    message: str, omitted: str
) -> None:
    notices: list[str] = []
    quirks = ServerQuirks(SETTINGS, notices)
    first, second = Call(REQUEST, 8), Call(REQUEST, 8)
    assert quirks.refused(first, refusal(message))
    assert quirks.form.omitted == {omitted}
    assert quirks.refused(second, refusal(message))  # it was sent in the old form
    assert len(notices) == 1
    assert f"does not accept `{omitted}`" in notices[0]


@pytest.mark.parametrize(
    "message",
    [
        "temperature must be between 0 and 2",
        "top_p must be less than or equal to 1",
        "please stop asking: this is only a test",
        "Unrecognized request argument supplied: top_k",
        "no such thing",
    ],
)
def test_other_refusals_change_nothing(message: str) -> None:
    notices: list[str] = []
    assert not ServerQuirks(SETTINGS, notices).refused(Call(REQUEST, 8), refusal(message))
    assert notices == []


def test_a_server_without_n_gets_single_calls_and_then_calls_without_it() -> None:
    quirks = ServerQuirks(SETTINGS, [])
    assert quirks.refused(Call(REQUEST, 8), refusal("only n = 1 is supported"))
    assert (quirks.choices, quirks.form.omitted) == (1, set())
    assert quirks.refused(Call(REQUEST, 1), refusal("'n' is not supported"))
    assert quirks.form.omitted == {"n"}


def test_several_samples_per_call_only_where_a_prompt_is_charged() -> None:
    assert ServerQuirks(Sampling(model="m"), []).choices == 1
    assert ServerQuirks(Sampling(model="m", api_key_env="KEY"), []).choices == 8
    assert ServerQuirks(SETTINGS, []).choices == 8


def test_the_field_may_be_named_beside_the_message() -> None:
    quirks = ServerQuirks(SETTINGS, [])
    assert quirks.refused(Call(REQUEST, 1), refusal("not with this model", field="seed"))
    assert quirks.form.omitted == {"seed"}
    assert not quirks.refused(Call(REQUEST, 1, quirks.form), refusal("no", field="seed"))


@pytest.mark.parametrize(
    ("message", "most"),
    [
        ("'max_tokens' is too large: 1000. This model's maximum context length is 1024 tokens and your request has 35 input tokens (1000 > 1024 - 35).", 989),
        ("This model's maximum context length is 1024 tokens. However, you requested 1052 tokens (52 in the messages, 1000 in the completion).", 972),
        ("You passed 52 input tokens and requested 1000 output tokens. However, the model's context length is only 1024 tokens", 972),
        ("maximum context length is 1024 tokens. However, you requested 1000 output tokens and your prompt contains at least 25 input tokens", 500),
        ("This model's maximum context length is 1024 tokens. However, your prompt has 1500 input tokens.", None),
        ("request (1500 tokens) exceeds the available context size (1024 tokens), try increasing it", None),
    ],
)  # fmt: skip
def test_answers_are_shortened_to_the_room_that_the_context_leaves(
    message: str, most: int | None
) -> None:
    notices: list[str] = []
    quirks, call = ServerQuirks(SETTINGS, notices), Call(REQUEST, 1)
    assert quirks.shortened(call, refusal(message, reason=TOO_LONG)) == (most is not None)
    assert call.max_tokens == most
    assert len(notices) == (most is not None)
    assert not quirks.refused(call, refusal(message, reason=TOO_LONG))
