"""Sampling: request N completions for each of many prompts, and never pay for one twice.

    for request, samples in sample(requests, settings, Path("run/samples.sqlite")):
        ...

Every response is cached before it is used. A killed run therefore resumes where it stopped, and the
same call on a complete cache needs no model at all.
"""

from codedpo_plugin.sampling.cache import CACHE, Cache
from codedpo_plugin.sampling.dispatch import sample
from codedpo_plugin.sampling.types import BUDGET_SPENT, Request, Sample, Usage

__all__ = ["BUDGET_SPENT", "CACHE", "Cache", "Request", "Sample", "Usage", "sample"]
