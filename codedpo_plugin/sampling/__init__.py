"""Sampling: ask a model for N texts to each of many prompts, and never pay for one twice.

    for request, samples in sample(requests, settings, Path("run/samples.sqlite")):
        ...

Every response is in the cache before anything is done with it. So a killed run goes on where it
was, and the same call on a finished cache needs no model at all.
"""

from codedpo_plugin.sampling.cache import CACHE, Cache
from codedpo_plugin.sampling.dispatch import sample
from codedpo_plugin.sampling.types import BUDGET_SPENT, Request, Sample, Usage

__all__ = ["BUDGET_SPENT", "CACHE", "Cache", "Request", "Sample", "Usage", "sample"]
