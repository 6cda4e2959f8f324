"""The `openai` backend: many calls at a time to one server, until every request has its samples.

One event loop, in a thread of its own, so that a caller may take its time between two results.
"""

import asyncio
import json
import queue
import random
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import openai

from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling import retry_policy
from codedpo_plugin.sampling.cache import Cache
from codedpo_plugin.sampling.concurrency import Limiter
from codedpo_plugin.sampling.types import BUDGET_SPENT, Reply, Request, Sample, Usage

_LOOK = 0.25  # seconds between two looks at the usage
_LONGEST_WAIT = 60.0  # seconds before an attempt, where the server does not ask for more
_PATIENCE = 600.0  # seconds without any reply, but for refusals by rate, until a server is dead
_FIRST_RETRIES = 3  # while there has been no reply at all: most likely the address is wrong
_REFUSALS = 3  # as the first that a server says, mean that the recipe is wrong
_ALONE = 3  # calls for several samples that bring one: the server ignores `n`

Result = tuple[Request, list[Sample]]


def run(
    requests: list[Request],
    settings: Sampling,
    cache: Cache,
    usage: Usage,
    watch: Callable[[Usage], None] | None = None,
) -> Iterator[Result]:
    """Fill up the requests, and yield each when it is complete or given up."""
    results: queue.Queue[Result | BaseException | None] = queue.Queue()
    sampler = _Sampler(requests, settings, cache, usage, results.put)
    thread = threading.Thread(target=sampler.run, name="sampling", daemon=True)
    thread.start()
    try:
        while True:
            if watch:
                watch(usage)
            try:
                result = results.get(timeout=_LOOK)
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


@dataclass
class _Call:
    """A number of samples for a request, on its way through attempts."""

    request: Request
    count: int
    retries: int = 0
    since: float = 0.0
    """When it was first sent."""
    reserved: float = 0.0
    """What it may cost at most."""
    length: str = "max_tokens"
    """What the server calls the greatest length of a sample."""


@dataclass
class _Open:
    """A request that is not complete."""

    request: Request
    missing: int
    under_way: int = 0
    """Samples asked for in calls that have not ended."""


class _Sampler:
    """The event loop's side. Every method but `stop` runs in its thread."""

    def __init__(
        self,
        requests: list[Request],
        settings: Sampling,
        cache: Cache,
        usage: Usage,
        give: Callable[[Any], None],
    ) -> None:
        self.settings, self.cache, self.usage, self.give = settings, cache, usage, give
        self.limiter = Limiter(settings.max_concurrency)
        self.choices = settings.choices
        self.length = "max_tokens"  # newer models of OpenAI have another name for it
        self.open = {
            (request.key, request.role): _Open(
                request, request.n - len(cache.samples(request, settings))
            )
            for request in requests
        }
        self.waiting: deque[_Call] = deque()
        self.unasked = deque(self.open.values())
        self.running = self.delayed = self.alone = self.refused = 0
        self.reserved = 0.0
        self.paused_until = self.last_reply = 0.0
        self.variety: Counter[bool] = Counter()
        self.events: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.task: asyncio.Task[None] | None = None

    def run(self) -> None:
        """The thread: sample, then say that it is over, or why it broke off."""
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self.give(error)
        else:
            self.give(None)

    def stop(self) -> None:
        """Break off, from another thread; what is complete is in the cache."""
        if self.loop and self.task and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.task.cancel)

    async def _main(self) -> None:
        self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
        self.last_reply = time.monotonic()
        self.tasks: set[asyncio.Task[None]] = set()
        self.client = openai.AsyncOpenAI(
            api_key=retry_policy.key(self.settings),
            base_url=self.settings.base_url,
            timeout=self.settings.timeout,
            max_retries=0,
        )
        async with self.client:
            while self._start_calls():
                event = await self.events.get()
                event()
        self._tell_variety()

    # -- starting calls --------------------------------------------------------------------

    def _start_calls(self) -> bool:
        """Start what the limits allow; False when there is nothing more to wait for."""
        while self.running < self.limiter.limit and time.monotonic() >= self.paused_until:
            call = self._next()
            if call is None:
                break
            if not self._affordable(call):
                self.waiting.appendleft(call)
                break
            self._start(call)
        self.usage.concurrency = self.limiter.limit
        if self.running or self.delayed:
            return True
        self._give_up_rest()
        return False

    def _next(self) -> _Call | None:
        """The next call: first what has to be sent again, then more of an open request."""
        while self.waiting:
            call = self.waiting.popleft()
            if (call.request.key, call.request.role) in self.open:
                return call
        while self.unasked:
            one = self.unasked[0]
            count = min(self.choices, one.missing - one.under_way)
            if count > 0:
                one.under_way += count
                return _Call(one.request, count, length=self.length)
            self.unasked.popleft()
        return None

    def _affordable(self, call: _Call) -> bool:
        """Whether the budget bears all that is under way and this, at its dearest."""
        budget, prices = self.settings.budget, self.settings.prices
        if budget is None:
            return True
        # A token has one byte at least, but for what a chat template adds.
        size = len(str(call.request.prompt).encode()) + 64
        completion = self.settings.max_tokens * call.count
        call.reserved = Reply([], size, completion).cost(prices)
        return self.usage.spent + self.reserved + call.reserved <= budget

    def _start(self, call: _Call) -> None:
        call.since = call.since or time.monotonic()
        self.running += 1
        self.reserved += call.reserved
        task = asyncio.create_task(self._send(call))
        self.tasks.add(task)  # the loop itself holds none
        task.add_done_callback(self.tasks.discard)

    def _give_up_rest(self) -> None:
        """The budget is spent: hand over what there is."""
        if not self.open:
            return
        self.usage.notices.append(
            f"the budget of {self.settings.budget:g} is spent ({self.usage.spent:.4g}, with the "
            "next request perhaps more than it); raise it to go on"
        )
        for one in list(self.open.values()):
            self._close(one, BUDGET_SPENT)

    # -- calls -----------------------------------------------------------------------------

    async def _send(self, call: _Call) -> None:
        try:
            reply = _reply(await self._create(call))
        except openai.NotFoundError as error:
            message = await self._no_such_model(error)
            self.events.put_nowait(lambda: self._raise(InputError(message)))
        except Exception as error:
            problem = error
            self.events.put_nowait(lambda: self._failed(call, problem))
        else:
            self.events.put_nowait(lambda: self._succeeded(call, reply))

    async def _create(self, call: _Call) -> str:
        """The server's answer as text: the client's own types cost more than all the rest here."""
        settings = self.settings
        prompt: Any = call.request.prompt
        fields: dict[str, Any] = {
            "model": settings.model,
            "n": call.count,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            call.length: settings.max_tokens,
        }
        if settings.stop:
            fields["stop"] = settings.stop
        if settings.seed is not None:
            fields["seed"] = settings.seed + random.randrange(1 << 30)
        fields |= settings.extra_body
        if isinstance(prompt, str):
            path, asked = "/completions", {"prompt": prompt}
        else:
            path, asked = "/chat/completions", {"messages": prompt}
        return await self.client.post(path, cast_to=str, body=fields | asked)

    async def _no_such_model(self, error: openai.NotFoundError) -> str:
        where = f"{self.settings.base_url}: {retry_policy.said(error, self.settings)}"
        try:
            names = [model.id async for model in self.client.models.list()]
        except Exception:
            return f"{where}; check `model` and `base_url` (mostly it ends in /v1)"
        return f"{where}; `model` is {self.settings.model!r}, the server has {', '.join(names)}"

    def _raise(self, error: Exception) -> None:
        raise error

    # -- how calls end ---------------------------------------------------------------------

    def _succeeded(self, call: _Call, reply: Reply) -> None:
        self._ended(call)
        self.cache.add(call.request, self.settings, reply, call.retries)
        self.usage.add(reply, reply.cost(self.settings.prices))
        self.last_reply = time.monotonic()
        self.limiter.succeeded(reply.completion_tokens or len(reply.samples))
        self._learn_choices(call.count, len(reply.samples))
        one = self.open.get((call.request.key, call.request.role))
        if one is None:  # given up meanwhile; the reply is kept all the same
            return
        one.under_way -= call.count
        one.missing -= len(reply.samples)
        if one.missing <= 0:
            self._close(one)
        elif one.missing > one.under_way:
            self.unasked.appendleft(one)

    def _learn_choices(self, asked: int, came: int) -> None:
        """Ask for one sample at a time once the server has shown that it ignores `n`."""
        if asked > 1 and self.choices > 1:
            self.alone = self.alone + 1 if came == 1 else 0
            if self.alone >= _ALONE:
                self.choices = 1
                self.usage.notices.append("the server ignores `n`; samples are asked for singly")

    def _failed(self, call: _Call, error: Exception) -> None:
        self._ended(call)
        problem = retry_policy.judge(error, self.settings)
        if isinstance(problem, retry_policy.Refusal):
            self._refused(call, problem)
            return
        if problem.overload:
            self.limiter.overloaded()
        self.usage.retries[problem.reason] += 1
        silent = self.last_reply < call.since
        patience = time.monotonic() - max(self.last_reply, call.since) < _PATIENCE
        retries = self.settings.retries
        if not self.usage.calls and problem.lasting:
            retries = min(retries, _FIRST_RETRIES)
        if call.retries >= retries and not (problem.overload and patience):
            if silent:
                raise InfrastructureError(
                    f"{self.settings.base_url}: {call.retries + 1} attempts at a request failed "
                    f"and no other was answered meanwhile; the last: {problem.reason}: "
                    f"{problem.detail}. All samples that had come are kept; run the same command"
                )
            self._drop(call, problem.reason)
            return
        call.retries += 1
        longest = min(_LONGEST_WAIT, 2.0 ** (call.retries - 1))
        delay = problem.wait if problem.wait is not None else 0.0
        if problem.overload and delay:
            self._pause(delay)
        self._later(delay + random.uniform(0, longest), lambda: self._due(call))

    def _refused(self, call: _Call, problem: retry_policy.Refusal) -> None:
        if self._adapts(call, problem.reason):
            one = self.open.get((call.request.key, call.request.role))
            if one:
                one.under_way -= call.count
                self.unasked.appendleft(one)
            return
        self.refused += 1
        if not self.usage.calls and self.refused >= min(_REFUSALS, len(self.open)):
            raise InputError(f"{self.settings.base_url} refuses each request: {problem.reason}")
        self._drop(call, problem.reason)

    def _adapts(self, call: _Call, reason: str) -> bool:
        """Whether the call can be put in another way, which the server seems to want."""
        if "max_completion_tokens" in reason and call.length == "max_tokens":
            self.length = "max_completion_tokens"
            return True
        if call.count > 1 and re.search(r"\bn\b", reason):
            self.choices = 1
            return True
        return False

    def _drop(self, call: _Call, reason: str) -> None:
        """Give up a request."""
        one = self.open.get((call.request.key, call.request.role))
        if one:
            self._close(one, reason)

    def _ended(self, call: _Call) -> None:
        self.running -= 1
        self.reserved -= call.reserved

    def _pause(self, seconds: float) -> None:
        self.paused_until = max(self.paused_until, time.monotonic() + seconds)
        self._later(seconds, lambda: None)

    def _later(self, seconds: float, event: Callable[[], None]) -> None:
        self.delayed += 1

        def happen() -> None:
            self.delayed -= 1
            event()

        asyncio.get_running_loop().call_later(seconds, self.events.put_nowait, happen)

    def _due(self, call: _Call) -> None:
        self.waiting.append(call)

    def _close(self, one: _Open, why: str | None = None) -> None:
        """Hand over a request, complete or not."""
        del self.open[one.request.key, one.request.role]
        one.missing = 0
        samples = self.cache.samples(one.request, self.settings)
        if why:
            self.usage.failed[why] += 1
        if len(samples) > 2:
            self.variety[len({sample.text for sample in samples}) > 1] += 1
        self.give((one.request, samples))

    def _tell_variety(self) -> None:
        """Warn of a server that ignores the temperature."""
        if self.settings.temperature and self.variety[False] > 2 and not self.variety[True]:
            self.usage.notices.append(
                f"for each of {self.variety[False]} prompts all samples are the same text: the "
                "server seems to ignore `temperature`"
            )


def _reply(text: str) -> Reply:
    """What the server sent, as samples.

    Raises:
        ValueError: it is cut.
        NotAReply: it is something else, such as a page of HTML.
    """
    if not text.lstrip().startswith("{"):
        raise retry_policy.NotAReply(f"it begins with {text[:100]!r}")
    answer = json.loads(text)
    try:
        samples = [
            Sample(
                (choice["message"]["content"] if "message" in choice else choice["text"]) or "",
                choice.get("finish_reason") or "unknown",
            )
            for choice in answer["choices"]
        ]
        usage = answer.get("usage") or {}
        tokens = [int(usage.get(f"{kind}_tokens") or 0) for kind in ("prompt", "completion")]
    except (KeyError, AttributeError, TypeError, ValueError):
        raise retry_policy.NotAReply(f"it begins with {text[:100]!r}") from None
    if not samples:
        raise retry_policy.NotAReply("it has no choices")
    return Reply(samples, *tokens)
