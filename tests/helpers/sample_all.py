"""Sample from a server into a cache, as a process to kill: ADDRESS CACHE PROMPTS."""

import sys
from pathlib import Path

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling import Request, sample

_, url, cache, count = sys.argv
settings = Sampling(
    model="stub", base_url=url, timeout=0.5, retries=50, max_concurrency=8, choices=1
)
for _ in sample(
    [Request(f"p{n}", "x", f"p{n}", 1) for n in range(int(count))], settings, Path(cache)
):
    pass
