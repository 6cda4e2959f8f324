"""Sampling in process with a tiny random model: batching changes nothing, and runs repeat."""

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="pip install 'codedpo[train]'")

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling import Request, Sample, Usage, sample
from helpers.trained_model import TEMPLATE, make_tokenizer

PROMPTS = ["def add(a, b):", "x", "assert f(1) == 2\nassert f(2) == 3", "return"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    tokenizer = make_tokenizer(PROMPTS)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=64, initializer_range=0.6,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.chat_template = None  # as base models have it
    tokenizer.save_pretrained(folder)
    return folder


def collect(
    model: Path, cache: Path, n: int = 3, prompts: list[str] = PROMPTS, **changes: Any
) -> dict[str, list[Sample]]:
    how = Sampling(**({"backend": "transformers", "model": str(model), "max_tokens": 12} | changes))
    return {
        request.prompt: some
        for request, some in sample([Request(p, "x", p, n) for p in prompts], how, cache)
    }  # type: ignore[misc]


def test_greedy_text_is_the_same_alone_and_in_a_padded_batch(model: Path, tmp_path: Path) -> None:
    together = collect(model, tmp_path / "a", n=2, temperature=0.0)
    for prompt in PROMPTS:
        alone = collect(model, tmp_path / "b", n=1, prompts=[prompt], temperature=0.0)
        assert [one.text for one in together[prompt]] == [alone[prompt][0].text] * 2


def test_samples_differ_but_runs_do_not_and_more_are_new(model: Path, tmp_path: Path) -> None:
    first = collect(model, tmp_path / "a", n=4, temperature=1.5)
    assert all(len({one.text for one in some}) > 1 for some in first.values())
    assert collect(model, tmp_path / "b", n=4, temperature=1.5) == first
    assert collect(model, tmp_path / "c", n=4, temperature=1.5, seed=1) != first
    more = collect(model, tmp_path / "a", n=8, temperature=1.5)
    for prompt, some in first.items():
        assert more[prompt][:4] == some
        assert more[prompt][4:] != some
    assert {len(some) for some in collect(model, tmp_path / "d", n=5, batch=2).values()} == {5}


def test_samples_end_at_the_end_token_and_at_stop_strings(model: Path, tmp_path: Path) -> None:
    some = [
        one
        for line in collect(model, tmp_path / "a", n=40, temperature=2.0).values()
        for one in line
    ]
    assert {one.finish_reason for one in some} == {"stop", "length"}
    assert not any("<|end|>" in one.text or "<|pad|>" in one.text for one in some)
    letters = {one.text[:1] for one in some if one.text}
    stop = sorted(letters)[0]
    cut = [
        one
        for line in collect(model, tmp_path / "b", n=40, temperature=2.0, stop=[stop]).values()
        for one in line
    ]
    assert not any(stop in one.text for one in cut)


def test_a_prompt_that_fills_the_context_costs_no_other(model: Path, tmp_path: Path) -> None:
    found: list[Usage] = []
    how = Sampling(backend="transformers", model=str(model), max_tokens=200)
    requests = [
        Request("long", "x", "a b c " * 100, 1),
        Request("empty", "x", "", 1),
        Request("good", "x", "x", 1),
    ]
    some = {
        request.key: len(texts)
        for request, texts in sample(requests, how, tmp_path / "c", found.append)
    }
    assert some == {"long": 0, "empty": 0, "good": 1}
    assert found[-1].refused.total() == 2


def test_chat_needs_a_template_and_a_model_has_to_be_there(model: Path, tmp_path: Path) -> None:
    request = Request("a", "x", [{"role": "user", "content": "x"}], 1)
    with pytest.raises(InputError, match="no chat template; use plain text"):
        list(sample([request], Sampling(backend="transformers", model=str(model)), tmp_path / "c"))
    with pytest.raises(InputError, match=r"sampling.model: .*/gone"):
        list(
            sample(
                [request],
                Sampling(backend="transformers", model=str(tmp_path / "gone")),
                tmp_path / "c",
            )
        )


def test_a_model_retrained_in_its_folder_is_another_model(model: Path, tmp_path: Path) -> None:
    how = Sampling(backend="transformers", model=str(model))
    before = Request("a", "x", "x", 1).fingerprint(how)
    (model / "config.json").touch()
    assert Request("a", "x", "x", 1).fingerprint(how) != before


def test_a_prefill_is_continued(model: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    how = Sampling(backend="transformers", model=str(model), max_tokens=12, temperature=0.0)

    def first(request: Request, how: Sampling = how) -> str:
        ((_, (one,)),) = sample([request], how, tmp_path / "c")
        return one.text

    whole = first(Request("a", "x", "def add(a, b):", 1))
    assert first(Request("b", "x", "def add", 1, prefill="(a, b):")) == "(a, b):" + whole
    with_template = tmp_path / "chat"
    shutil.copytree(model, with_template)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(with_template)
    chat = how.model_copy(update={"model": str(with_template)})
    request = Request("a", "x", [{"role": "user", "content": "x"}], 1, prefill="return")
    text = "<|user|>x<|end|><|assistant|>return"
    assert first(request, chat) == "return" + first(Request("t", "x", text, 1), chat)
