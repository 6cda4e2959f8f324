"""The `openai` backend: concurrent calls to one server, until every request has its samples.

The event loop has a thread of its own, so that the caller may take its time between two results.
`_Sampler` follows a call from start to end. Each decision is in a module of its own: which call is
next (`backlog`), how many are in flight (`concurrency`), what they may cost (`budget`), what is
sent (`calls`) and received (`replies`), what a failure means (`failures`) and what happens after it
(`retry_policy`), and how to adapt to the server (`server_quirks`).
"""

import asyncio
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import openai

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.backlog import Backlog
from codedpo_plugin.sampling.budget import Budget
from codedpo_plugin.sampling.cache import Cache
from codedpo_plugin.sampling.calls import Call, payload
from codedpo_plugin.sampling.concurrency import Slots, slots_of
from codedpo_plugin.sampling.failures import Refusal, classify
from codedpo_plugin.sampling.openai_client import explain_not_found, make_client
from codedpo_plugin.sampling.replies import finished, parse_reply
from codedpo_plugin.sampling.retry_policy import RetryPolicy
from codedpo_plugin.sampling.server_quirks import ServerQuirks
from codedpo_plugin.sampling.types import BUDGET_SPENT, Reply, Request, Sample, Usage

_WATCH_INTERVAL = 0.25  # seconds between two calls of `watch`

Result = tuple[Request, list[Sample]]


def run(
    requests: list[Request],
    settings: Sampling,
    cache: Cache,
    usage: Usage,
    watch: Callable[[Usage], None] | None = None,
) -> Iterator[Result]:
    """Sample what is missing, and yield each request when it is complete or given up."""
    results: queue.Queue[Result | BaseException | None] = queue.Queue()
    sampler = _Sampler(requests, settings, cache, usage, results.put)
    thread = threading.Thread(target=sampler.run, name="sampling", daemon=True)
    thread.start()
    try:
        while True:
            if watch:
                watch(usage)
            try:
                result = results.get(timeout=_WATCH_INTERVAL)
            except queue.Empty:
                continue
            if result is None:
                return
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        sampler.stop()
        thread.join()


class _Sampler:
    """The event loop's side. Every method except `stop` runs in its thread."""

    def __init__(
        self,
        requests: list[Request],
        settings: Sampling,
        cache: Cache,
        usage: Usage,
        give: Callable[[Any], None],
    ) -> None:
        self.settings, self.cache, self.usage, self.give = settings, cache, usage, give
        self.backlog = Backlog(
            (request, request.n - len(cache.samples(request, settings))) for request in requests
        )
        self.slots = Slots(settings.max_concurrency)
        self.budget = Budget(settings, usage)
        self.quirks = ServerQuirks(settings, usage.notices)
        self.retries = RetryPolicy(settings)
        self.events: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self.timers = 0
        """Events that are scheduled for later."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.task: asyncio.Task[None] | None = None

    def run(self) -> None:
        """The thread: sample, then hand over None, or the error that ended it."""
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self.give(error)
        else:
            self.give(None)

    def stop(self) -> None:
        """Stop early, from another thread; what is complete is in the cache."""
        if self.loop and self.task and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.task.cancel)

    async def _main(self) -> None:
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
        self.client = make_client(self.settings)
        async with self.client:
            while self._start_calls():
                event = await self.events.get()
                event()
        self.quirks.finish()

    # -- the path of a call -------------------------------------------------------------------

    def _start_calls(self) -> bool:
        """Start what the limits allow; False when there is nothing left to wait for."""
        while self.slots.free() > 0:
            most = min(self.quirks.choices, self.slots.limiter.limit)
            call = self.backlog.next_call(most, self.quirks.form)
            if call is None:
                break
            if not self.slots.fits(call) or not self.budget.reserve(call):
                self.backlog.put_back(call)
                break
            self._start(call)
        self.usage.concurrency = self.slots.limiter.limit
        if self.slots.in_use or self.timers:
            return True
        self._give_up_rest()
        return False

    def _start(self, call: Call) -> None:
        call.sent = time.monotonic()
        call.first_sent = call.first_sent or call.sent
        self.slots.take(call)
        task = asyncio.create_task(self._send(call))
        self.tasks.add(task)  # the loop itself keeps no reference
        task.add_done_callback(self.tasks.discard)

    async def _send(self, call: Call) -> None:
        """Send a call and put how it ended into the queue of events."""
        try:
            path, body = payload(call, self.settings)
            # As text: building the client's own types would take most of the time spent here.
            text = await self.client.post(path, cast_to=str, body=body)
            reply = finished(parse_reply(text), call, self.settings)
        except openai.NotFoundError as error:
            message = await explain_not_found(error, self.client, self.settings)
            self.events.put_nowait(lambda: _raise(InputError(message)))
        except Exception as error:
            problem = error
            self.events.put_nowait(lambda: self._failed(call, problem))
        else:
            self.events.put_nowait(lambda: self._succeeded(call, reply))

    def _succeeded(self, call: Call, reply: Reply) -> None:
        self._ended(call)
        reply = self.budget.counted(call, reply)
        self.cache.add(call.request, self.settings, reply, call.retries)
        self.usage.add(reply, reply.cost(self.settings.prices))
        self.retries.answered()
        seconds = time.monotonic() - call.sent
        self.slots.limiter.succeeded(call.count, seconds, *reply.tokens_written())
        self.quirks.replied(call.count, len(reply.samples))
        if self.backlog.received(call, len(reply.samples)):
            self._close(call.request)

    def _failed(self, call: Call, error: Exception) -> None:
        self._ended(call)
        problem = classify(error, self.settings)
        if isinstance(problem, Refusal):
            self._refused(call, problem)
            return
        if problem.overload:
            self.slots.limiter.overloaded(slots_of(call))
        self.usage.retries[problem.reason] += 1
        delay = self.retries.delay(call, problem)
        if delay is None:
            self._close(call.request, problem.reason)
            return
        call.retries += 1
        if problem.overload and problem.wait:
            self.slots.pause(problem.wait)
            self._after(problem.wait, lambda: None)
        self._after(delay, lambda: self.backlog.retry(call))

    def _refused(self, call: Call, refusal: Refusal) -> None:
        if self.quirks.shortened(call, refusal):
            self.backlog.retry(call)
            return
        if self.quirks.refused(call, refusal):
            self.backlog.rebuild(call)
            return
        self.retries.refused(refusal, len(self.backlog))
        if refusal.reason not in self.usage.refused:
            self.usage.notices.append(f"a prompt was refused: {refusal.message[:300]}")
        self._close(call.request, refusal.reason, self.usage.refused)

    def _ended(self, call: Call) -> None:
        self.slots.release(call)
        self.budget.release(call)

    # -- how requests end ---------------------------------------------------------------------

    def _close(
        self, request: Request, why: str | None = None, counts: Counter[str] | None = None
    ) -> None:
        """Hand over a request: complete, or given up for a reason, by default one of `failed`."""
        if not self.backlog.close(request):
            return
        samples = self.cache.samples(request, self.settings)
        if why:
            (self.usage.failed if counts is None else counts)[why] += 1
        self.quirks.sampled(samples)
        self.give((request, samples))

    def _give_up_rest(self) -> None:
        """The budget is spent: hand over what there is."""
        if self.backlog:
            self.usage.notices.append(self.budget.notice())
        for request in self.backlog.requests():
            self._close(request, BUDGET_SPENT)

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        """Run an event later."""
        self.timers += 1

        def happen() -> None:
            self.timers -= 1
            event()

        asyncio.get_running_loop().call_later(seconds, self.events.put_nowait, happen)


def _raise(error: Exception) -> None:
    raise error
