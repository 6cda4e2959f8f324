"""Token lengths of rows, and what a template or `max_length` does to them."""

from typing import Any

import pytest

pytest.importorskip("trl", reason="pip install 'codedpo[train]'")

from codedpo_plugin.training import token_lengths
from helpers.random_model import tiny
from helpers.trained_model import make_tokenizer


def messages(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    return token_lengths.as_messages({"prompt": prompt, "chosen": chosen, "rejected": rejected})


def test_prompts_that_merge_with_the_completion_are_counted() -> None:
    tokenizer = make_tokenizer(["abab " * 50])
    rows = [
        {"prompt": "a", "chosen": "b", "rejected": "a"},
        {"prompt": "a ", "chosen": "b", "rejected": "a"},
    ]
    assert token_lengths.measure(rows, tokenizer, 99).merged == 1


def test_rows_cut_dropped_and_made_identical() -> None:
    _, tokenizer = tiny()
    rows = [
        messages("p", "short", "other"),
        messages("p", "the same beginning of over forty and then a", "the same beginning of over forty and then b"),
        messages("p" * 60, "a", "b"),
    ]  # fmt: skip
    measured = token_lengths.measure(rows, tokenizer, 60)
    opening = len(tokenizer("<|im_start|>user\np<|im_end|>\n<|im_start|>assistant\n")["input_ids"])
    assert measured.prompt[0] == opening
    assert measured.sides["chosen"][0] == opening + len("short") + 2
    assert (measured.cut, measured.dropped, measured.identical) == (1, 1, 1)
    assert token_lengths.measure(rows, tokenizer, 200).identical == 0


def test_a_template_that_trims_or_has_no_end_token_is_detected() -> None:
    _, tokenizer = tiny()
    rows = [messages("p", "    indented\n", "x")]
    assert token_lengths.measure(rows, tokenizer, 99).trimmed == 0
    tokenizer.chat_template = "{% for m in messages %}{{ m.content | trim }}{% endfor %}"
    measured = token_lengths.measure(rows, tokenizer, 99)
    assert (measured.trimmed, measured.endless) == (1, 1)


def test_strings_end_with_the_end_token() -> None:
    _, tokenizer = tiny()
    rows = [{"prompt": "p\n", "completion": "code"}]
    assert token_lengths.measure(rows, tokenizer, 99).sides == {"completion": [7]}
