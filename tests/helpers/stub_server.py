"""A server of the OpenAI protocol that sends meaningless texts, and fails by a seeded script.

    python tests/helpers/stub_server.py [--seed N --faults 0.2] [--delay SECONDS] [--log FILE]

Prints its port. Every sample it sends is unique; the log has a line for each one sent completely.
"""

import argparse
import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

FAULTS = ("429", "500", "503", "hang", "cut", "fewer", "empty", "html", "closed")


class Stub:
    """Its attributes set how it fails and what it answers."""

    def __init__(
        self, seed: int = 0, faults: float = 0.0, delay: float = 0.0, log: str = ""
    ) -> None:
        self.chance, self.delay = random.Random(seed), delay
        self.faults, self.kinds = faults, list(FAULTS)
        self.log = open(log, "a", buffering=1) if log else None
        self.served = 0
        self.requests: list[dict[str, Any]] = []
        self.keep = True
        self.ignore_n = False
        self.same = False
        self.running = self.most_running = 0
        self.url = ""
        self.refuse: Callable[[dict[str, Any]], tuple[int, str] | None] = lambda request: None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                path = line.split()[1].decode()
                headers = {}
                while (line := await reader.readline()).strip():
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.running += 1
                self.most_running = max(self.running, self.most_running)
                try:
                    await self.answer(path, headers, body, writer)
                finally:
                    self.running -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def answer(self, path: str, headers: dict[str, str], body: bytes, writer: Any) -> None:
        if path.endswith("/models"):
            await self.send(
                writer, 200, {"object": "list", "data": [{"id": "stub", "object": "model"}]}
            )
            return
        request = json.loads(body)
        if self.keep:
            self.requests.append(request | {"authorization": headers.get("authorization")})
        if request["model"] != "stub":
            await self.send(writer, 404, {"error": {"message": f"no model {request['model']}"}})
            return
        if refusal := self.refuse(request):
            await self.send(writer, refusal[0], {"error": {"message": refusal[1]}})
            return
        if self.delay:
            await asyncio.sleep(self.delay)
        fault = self.chance.choice(self.kinds) if self.chance.random() < self.faults else ""
        await self.fail(fault, request, writer)

    async def fail(self, fault: str, request: dict[str, Any], writer: Any) -> None:
        """Answer, with one of `FAULTS` or none."""
        if fault in ("429", "500", "503"):
            extra = "Retry-After: 0\r\n" if fault == "429" else ""
            await self.send(writer, int(fault), {"error": {"message": "scripted"}}, extra)
        elif fault == "hang":
            await asyncio.sleep(1000)
        elif fault == "html":
            await self.send_raw(writer, 200, b"<html>gateway</html>", kind="text/html")
        elif fault == "closed":
            raise ConnectionError
        elif fault == "empty":
            await self.send(writer, 200, self.reply(request, 0))
        elif fault == "cut":
            data = json.dumps(self.reply(request, 1)).encode()
            await self.send_raw(writer, 200, data[: len(data) // 2])
        else:
            wanted = 1 if self.ignore_n else request.get("n") or 1
            count = max(1, wanted // 2) if fault == "fewer" else wanted
            reply = self.reply(request, count)
            await self.send(writer, 200, reply)
            if self.log:
                texts = [
                    choice.get("text") or choice["message"]["content"]
                    for choice in reply["choices"]
                ]
                self.log.write("".join(json.dumps(text) + "\n" for text in texts))

    def reply(self, request: dict[str, Any], count: int) -> dict[str, Any]:
        prompt = request.get("prompt") or request["messages"][-1]["content"]
        choices = []
        for index in range(count):
            self.served += 1
            text = f"{prompt} #{0 if self.same else self.served}"
            content = (
                {"text": text}
                if "prompt" in request
                else {"message": {"role": "assistant", "content": text}}
            )
            choices.append({"index": index, "finish_reason": "stop", **content})
        usage = {
            "prompt_tokens": 10,
            "completion_tokens": 5 * count,
            "total_tokens": 10 + 5 * count,
        }
        return {
            "id": "x",
            "object": "x",
            "created": 0,
            "model": "stub",
            "choices": choices,
            "usage": usage,
        }

    async def send(self, writer: Any, status: int, body: Any, extra: str = "") -> None:
        await self.send_raw(writer, status, json.dumps(body).encode(), extra)

    async def send_raw(
        self, writer: Any, status: int, data: bytes, extra: str = "", kind: str = "application/json"
    ) -> None:
        head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\n{extra}Content-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--log", default="")
    stub = Stub(**vars(parser.parse_args()))
    stub.keep = False
    server = await asyncio.start_server(stub.handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
