"""A pool on a Ray cluster: one Ray task for each shard.

Every node needs this environment and the run folder under the same path. Ray may run a task twice,
or let a task continue that it considers lost. That is harmless: a shard's content is determined by
its name, and it is moved into place as a whole.

Not datatrove's Ray executor: that one (0.10.1) forks a pool inside each Ray actor, and waits
forever for a fork that was killed.
"""

import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.executors.local import POLL, Batch, Work
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder.progress import Progress, State

_WORKER_MB = 256  # memory of a worker and its two sandboxes, besides that of a solution


class RayPool:
    """Makes shards as Ray tasks, one core each, with progress by shard."""

    def __init__(self, recipe: Recipe, console: Console) -> None:
        """Connect to the cluster that the recipe names.

        Raises:
            InputError: Ray is not installed, or there is no such cluster.
        """
        try:
            import ray
        except ImportError:
            raise InputError("--executor ray needs Ray: pip install 'codedpo[ray]'") from None
        self._ray: Any = ray
        self._console = console
        self._memory = (recipe.execute.memory_mb + _WORKER_MB) << 20
        address = recipe.ray.address
        if address == "local":
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"ray.address: {address}: {error}; start a cluster with `ray start --head` (and "
                "RAY_AUTH_MODE=token), or set `--set ray.address=local`"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._ray.shutdown()

    def run(
        self,
        work: Work,
        shards: Sequence[int],
        label: str,
        done: int,
        total: int,
        state: State | None = None,
        at_once: int | None = None,
    ) -> None:
        """As `local.Pool.run`; `at_once` is left to the nodes: see `machine.own_core`."""
        if not shards:
            return
        # Solutions run in processes unknown to Ray: their memory is reserved here.
        task = self._ray.remote(_make).options(num_cpus=1, memory=self._memory, max_retries=0)
        batch = Batch[Any](shards, state)
        with Progress(self._console, label, done, total) as progress:
            while batch.advance():
                batch.waiting += batch.suspects
                batch.suspects.clear()
                while batch.waiting and len(batch.running) < self._capacity():
                    shard = batch.waiting.popleft()
                    batch.running[task.remote(work, shard)] = shard, True
                finished, _ = self._ray.wait(list(batch.running), timeout=POLL)
                for ticket in finished:
                    batch.finish(ticket, *self._result(ticket))
                progress.update(state.problems_done if state else done)
        batch.raise_failures(label)

    def _capacity(self) -> int:
        """Tasks in flight: a few more than cores, so that none is idle."""
        return int(self._ray.cluster_resources().get("CPU", 1)) + 2

    def _result(self, ticket: Any) -> tuple[BaseException | None, str | None]:
        """(what the task raised, how its worker died), None for what did not happen."""
        exceptions = self._ray.exceptions
        try:
            self._ray.get(ticket)
        except exceptions.RayTaskError as error:
            return error.cause, None
        except exceptions.RayError as error:
            return InfrastructureError(str(error)), f"its worker or node was lost: {error}"
        return None, None


def _make(work: Callable[[int, Callable[[], None]], None], shard: int) -> None:
    work(shard, lambda: None)
