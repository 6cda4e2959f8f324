"""Servers for tests, in a thread of this process."""

import asyncio
import contextlib
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from helpers.stub_server import Stub


@contextlib.contextmanager
def serving(stub: Stub) -> Iterator[str]:
    """Serve while the block runs; yields the address, which is also `stub.url`."""
    ready, over = threading.Event(), asyncio.Event()
    loops = []

    async def serve() -> None:
        async with await asyncio.start_server(stub.handle, "127.0.0.1", 0) as server:
            stub.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            loops.append(asyncio.get_running_loop())
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield stub.url
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join()


class Writer(Stub):
    """Answers with the completions that it knows for a prompt, in turn."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__()
        self.known = defaultdict(list)
        self.given: Counter[str] = Counter()
        for prompt, completion in pairs:
            self.known[prompt].append(completion)
        self.pick = random.Random(0)

    def reply(self, request: dict[str, Any], count: int) -> dict[str, Any]:
        answer = super().reply(request, count)
        prompt = request.get("prompt") or request["messages"][-1]["content"]
        completions = self.known[prompt] or ["I do not know."]
        for choice in answer["choices"]:
            text = completions[self.given[prompt] % len(completions)]
            self.given[prompt] += 1
            if "text" in choice:
                choice["text"] = text
            else:
                choice["message"]["content"] = text
        return answer
