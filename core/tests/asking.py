"""What tests of plugins share: asking a gateway whose provider echoes, and the plugins and the upstream that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
import msgspec

from headgate import Context, Exchange, Hooks, Reply, hookimpl, override
from headgate.testing import Client, chat_request
from headgate.upstream import UpstreamRequest, UpstreamResponse

CHAT = "/v1/chat/completions"
CANNED: Mapping[str, Any] = {"providers": {"canned": {"provider": "canned"}}, "models": {"m": "canned/echo"}}
JSON = ((b"content-type", b"application/json"),)


class NoUpstream:
    """An upstream nobody may call."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        raise AssertionError(f"nothing may be sent, and {request.url} was")

    async def close(self) -> None:
        """Nothing is open."""


async def ask(client: Client, text: str = "Hello", **members: Any) -> httpx2.Response:
    return await client.post(CHAT, json=chat_request(text, **{"model": "m", **members}))


def said(reply: httpx2.Response) -> str:
    """The text of a whole reply, or of all events of a stream."""
    if reply.headers["content-type"] == "application/json":
        return reply.json()["choices"][0]["message"]["content"]
    events = [msgspec.json.decode(line[6:]) for line in reply.text.split("\n\n") if line.startswith("data: {")]
    return "".join(choice["delta"].get("content", "") for event in events for choice in event.get("choices", []))


class Noting(Hooks):
    """Remembers the exchanges that were recorded and settled."""

    def __init__(self) -> None:
        self.recorded: list[Exchange] = []
        self.settled: list[Exchange] = []

    @override
    @hookimpl
    async def settle(self, ex: Exchange) -> None:
        self.settled.append(ex)

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        self.recorded.append(ex)


class Keeping(Hooks):
    """A cache of one entry that asks for every reply."""

    def __init__(self, held: Reply | None = None) -> None:
        self.held = held
        self.stored: list[bytes | None] = []

    @override
    @hookimpl
    async def lookup(self, ex: Exchange) -> Reply | None:
        ex.collect = True
        return self.held

    @override
    @hookimpl
    async def store(self, ex: Exchange) -> None:
        self.stored.append(ex.reply_body)


def life(name: str, seen: list[str]) -> Hooks:
    class Life(Hooks):
        @override
        @hookimpl
        async def start(self, ctx: Context) -> None:
            await ctx.state.set(name.encode(), b"here")
            seen.append(f"{name} starts")

        @override
        @hookimpl
        async def stop(self) -> None:
            seen.append(f"{name} stops")

    return Life()
