"""The `transformers` backend: sampling in this process, batch by batch."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.cache import Cache
from codedpo_plugin.sampling.replies import prefilled
from codedpo_plugin.sampling.types import Reply, Request, Sample, Usage


@dataclass(frozen=True)
class _Work:
    """Samples of one request that are generated together."""

    request: Request
    tokens: list[int]
    start: int
    """Samples of the request that come before these."""
    count: int


def run(
    requests: list[Request],
    settings: Sampling,
    cache: Cache,
    usage: Usage,
    watch: Callable[[Usage], None] | None = None,
) -> Iterator[tuple[Request, list[Sample]]]:
    """Sample what is missing, and yield each request when it is complete or given up.

    Raises:
        InputError: no such model, or its tokenizer has no template for chat messages.
    """
    model, tokenizer = _load(settings)
    usage.concurrency = 1
    room = _room(model, settings)
    work = []
    for request in requests:
        have, tokens = len(cache.samples(request, settings)), _tokens(request, tokenizer)
        if 0 < len(tokens) < room:
            work.append(_Work(request, tokens, have, request.n - have))
        else:
            usage.refused[f"the prompt is empty or not shorter than {room} tokens"] += 1
            yield request, cache.samples(request, settings)
    for batch in _batches(work, settings.batch):
        for one, rows in _generated(batch, model, tokenizer, settings):
            reply = _reply(one, rows, model, tokenizer, settings)
            cache.add(one.request, settings, reply)
            usage.add(reply, reply.cost(settings.prices))
            if one.start + one.count >= one.request.n:
                yield one.request, cache.samples(one.request, settings)
        if watch:
            watch(usage)


def _load(settings: Sampling) -> tuple[Any, Any]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(settings.model, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(settings.model, dtype="auto")
    except (OSError, ValueError) as error:
        raise InputError(f"sampling.model: {settings.model}: {error}") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device).eval(), tokenizer


def _room(model: Any, settings: Sampling) -> int:
    """Length of the context, in tokens: a prompt has to be shorter."""
    return int(getattr(model.config, "max_position_embeddings", None) or 1 << 30)


def _tokens(request: Request, tokenizer: Any) -> list[int]:
    if isinstance(request.prompt, str):
        return list(tokenizer(request.prompt + request.prefill)["input_ids"])
    if not tokenizer.chat_template:
        raise InputError(
            f"{tokenizer.name_or_path}: its tokenizer has no chat template; use plain text "
            "(`style: completion`) or the instruct model"
        )
    messages, prefill = request.prompt, bool(request.prefill)
    if prefill:
        messages = [*messages, {"role": "assistant", "content": request.prefill}]
    text = tokenizer.apply_chat_template(
        messages, add_generation_prompt=not prefill, continue_final_message=prefill, tokenize=False
    )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _batches(work: list[_Work], size: int) -> Iterator[list[_Work]]:
    """Prompts of similar length with equal numbers of samples; at most `size` sequences each."""
    pieces = [
        replace(one, start=one.start + done, count=min(size, one.count - done))
        for one in work
        for done in range(0, one.count, size)
    ]
    # The last piece completes a request, so it has to come last.
    pieces.sort(key=lambda one: (-one.count, -len(one.tokens), one.start))
    while pieces:
        count = pieces[0].count
        batch = [one for one in pieces[: max(1, size // count)] if one.count == count]
        del pieces[: len(batch)]
        yield batch


def _generated(
    batch: list[_Work], model: Any, tokenizer: Any, settings: Sampling
) -> Iterator[tuple[_Work, list[list[int]]]]:
    """New tokens of all samples; a batch that runs out of memory is halved."""
    try:
        rows = _generate(batch, model, tokenizer, settings)
    except torch.cuda.OutOfMemoryError:
        if len(batch) == 1 and batch[0].count == 1:
            raise InputError(
                f"sampling.model: {settings.model}: a single sample of {settings.max_tokens} "
                "tokens does not fit into the memory of the GPU; lower `max_tokens`"
            ) from None
        torch.cuda.empty_cache()
        for half in _halves(batch):
            yield from _generated(half, model, tokenizer, settings)
        return
    count = batch[0].count
    for n, one in enumerate(batch):
        yield one, rows[n * count : (n + 1) * count]


def _halves(batch: list[_Work]) -> tuple[list[_Work], list[_Work]]:
    if len(batch) > 1:
        return batch[: len(batch) // 2], batch[len(batch) // 2 :]
    (one,) = batch
    half = one.count // 2
    rest = replace(one, start=one.start + half, count=one.count - half)
    return [replace(one, count=half)], [rest]


def _generate(
    batch: list[_Work], model: Any, tokenizer: Any, settings: Sampling
) -> list[list[int]]:
    count = batch[0].count
    inputs = tokenizer.pad({"input_ids": [one.tokens for one in batch]}, return_tensors="pt")
    inputs = {name: inputs[name].to(model.device) for name in ("input_ids", "attention_mask")}
    width = inputs["input_ids"].shape[1]
    torch.manual_seed(_seed(batch, settings))
    with torch.inference_mode():
        output = model.generate(
            **inputs,
            generation_config=_generation(model, tokenizer, settings, width, count),
            tokenizer=tokenizer if settings.stop else None,
        )
    rows: list[list[int]] = output[:, width:].tolist()
    return rows if settings.temperature else [row for row in rows for _ in range(count)]


def _generation(
    model: Any, tokenizer: Any, settings: Sampling, width: int, count: int
) -> GenerationConfig:
    """The recipe's sampling settings, in place of those of the model's generation config."""
    eos = model.generation_config.eos_token_id
    fields: dict[str, Any] = {
        "max_new_tokens": min(settings.max_tokens, _room(model, settings) - width),
        "eos_token_id": tokenizer.eos_token_id if eos is None else eos,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if settings.stop:
        fields["stop_strings"] = settings.stop
    if settings.temperature:
        fields |= {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
        fields |= {"do_sample": True, "num_return_sequences": count}
        return GenerationConfig(**(fields | settings.extra_body))
    return GenerationConfig(**fields, do_sample=False)


def _seed(batch: list[_Work], settings: Sampling) -> int:
    """A seed that depends on the work alone: it differs between batches and for later samples."""
    what = [(one.request.key, one.request.role, one.tokens, one.start) for one in batch]
    text = repr((settings.seed, settings.temperature, what))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])


def _reply(
    one: _Work, rows: list[list[int]], model: Any, tokenizer: Any, settings: Sampling
) -> Reply:
    eos = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])}
    samples, completion = [], 0
    for row in rows:
        length = next((n for n, token in enumerate(row) if token in ends), len(row))
        text = tokenizer.decode(row[:length], skip_special_tokens=True)
        cuts = [text.index(stop) for stop in settings.stop if stop in text]
        ended = bool(cuts) or length < len(row)
        text = prefilled(one.request.prefill, text[: min(cuts, default=None)])
        samples.append(Sample(text, "stop" if ended else "length"))
        completion += length
    return Reply(samples, len(one.tokens), completion)
