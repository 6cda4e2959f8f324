"""Servers for tests, in a thread of this process."""

import asyncio
import contextlib
import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from stub_server import Stub


@contextlib.contextmanager
def serving(stub: Stub) -> Iterator[str]:
    """Serve while the block runs; yields the address, which is `stub.url` too."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def serve() -> None:
        server = await asyncio.start_server(stub.handle, "127.0.0.1", 0)
        stub.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        ready.set()
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve_forever()

    task = loop.create_task(serve())
    thread = threading.Thread(target=lambda: loop.run_until_complete(task), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield stub.url
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


class Writer(Stub):
    """Answers with one of the completions that it was given for a prompt."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__()
        self.known = defaultdict(list)
        for asked, said in pairs:
            self.known[asked].append(said)
        self.pick = random.Random(0)

    def reply(self, request: dict[str, Any], count: int) -> dict[str, Any]:
        answer = super().reply(request, count)
        asked = request.get("prompt") or request["messages"][-1]["content"]
        said = self.known[asked] or ["I do not know."]
        for number, choice in enumerate(answer["choices"]):
            text = said[number % len(said)]
            if "text" in choice:
                choice["text"] = text
            else:
                choice["message"]["content"] = text
        return answer
