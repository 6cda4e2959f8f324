"""`sample`: cached samples first, the rest from a model."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.cache import Cache
from codedpo_plugin.sampling.types import Request, Sample, Usage, checked

Watch = Callable[[Usage], None]


def sample(
    requests: Iterable[Request], settings: Sampling, cache: Path, watch: Watch | None = None
) -> Iterator[tuple[Request, list[Sample]]]:
    """Yield every request once, with its samples, in order of completion.

    A request has fewer than `n` samples if the server refused it or the budget is spent; the usage
    that `watch` gets, several times a second and at the end, says why.

    Raises:
        InputError: the model, the key or the server's address is wrong.
        InfrastructureError: the server is dead. All samples received so far are in the cache.
    """
    requests = checked(list(requests))
    with Cache(cache) as store:
        usage = Usage(prompts=len(requests), spent=store.spent())
        missing = []
        for request in requests:
            samples = store.samples(request, settings)
            usage.cached += len(samples)
            if len(samples) < request.n:
                missing.append(request)
            else:
                usage.done += 1
                yield request, samples
        if missing:
            for request, samples in _backend(settings)(missing, settings, store, usage, watch):
                usage.done += 1
                yield request, samples
        if watch:
            watch(usage)


Backend = Callable[
    [list[Request], Sampling, Cache, Usage, Watch | None], Iterator[tuple[Request, list[Sample]]]
]


def _backend(settings: Sampling) -> Backend:
    """Imports only what this backend needs."""
    try:
        if settings.backend == "transformers":
            from codedpo_plugin.sampling import transformers_backend

            return transformers_backend.run
        from codedpo_plugin.sampling import openai_backend

        return openai_backend.run
    except ImportError as error:
        extra = "train" if settings.backend == "transformers" else "sample"
        raise InputError(
            f"sampling needs the package {error.name}: pip install 'codedpo[{extra}]'"
        ) from None
