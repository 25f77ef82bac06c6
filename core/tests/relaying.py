"""Answers of a provider, and what becomes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from typing_extensions import override

from headgate.dialects import Dialect, OpenAIChat
from headgate.dialects.sse import DONE
from headgate.errors import ProviderError, ProviderFailed
from headgate.exchange import Exchange, Reply
from headgate.operations import CHAT, PASSTHROUGH
from headgate.relay import Origin, relay
from headgate.secret import Secret
from headgate.upstream import Credential, Upstream, UpstreamRequest, UpstreamResponse

KEY = "sk-canary-0123456789abcdef"
SECOND = "team-canary-fedcba9876543210"
ORIGIN = Origin("vendor", "mine", (SECOND.encode(),))
JSON = ((b"content-type", b"application/json"),)
EVENTS = ((b"content-type", b"text/event-stream; charset=utf-8"),)
Headers = tuple[tuple[bytes, bytes], ...]


class Answer(UpstreamResponse):
    """A provider's answer in pieces; an exception among them breaks it off there."""

    def __init__(self, status: int, headers: Headers, *pieces: bytes | Exception) -> None:
        self.status = status
        self.headers = headers
        self._pieces = pieces
        self.is_closed = False

    @override
    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])

    @override
    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await asyncio.sleep(0)
            if isinstance(piece, Exception):
                raise piece
            yield piece

    @override
    def close(self) -> None:
        self.is_closed = True


class Answering(Upstream):
    def __init__(self, answer: Answer | Exception) -> None:
        self._answer = answer

    @override
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    @override
    async def close(self) -> None: ...


def exchange(*, stream: bool = False, opaque: bool = False) -> Exchange:
    dialect: Dialect | None = None if opaque else OpenAIChat()
    ex = Exchange(PASSTHROUGH if opaque else CHAT, {}, request_id="r", trace_id="t", dialect=dialect)
    ex.stream = stream
    return ex


def request(secret: str = "") -> UpstreamRequest:
    credential = Credential("authorization", Secret(secret), frozenset(), "Bearer ") if secret else None
    return UpstreamRequest("POST", "https://example.com/", credential=credential)


async def answered(answer: Answer | Exception, ex: Exchange | None = None, secret: str = "") -> Reply:
    return await relay(ex or exchange(), Answering(answer), request(secret), ORIGIN)


async def failed(answer: Answer | Exception, ex: Exchange | None = None) -> ProviderError:
    async def all_of_it() -> bytes:
        return await read(await answered(answer, ex))

    with pytest.raises(ProviderError) as caught:
        await all_of_it()
    return caught.value


async def read(reply: Reply) -> bytes:
    if reply.chunks is None:
        return reply.body
    return b"".join([piece async for piece in reply.chunks])


def event(data: Any) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def chunk(text: str | None = None, finish: str | None = None, index: int = 0) -> bytes:
    delta = {} if text is None else {"content": text}
    return event({"id": "x", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})


USAGE = event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}})
CUT = ProviderFailed("the reply was broken off", code="upstream_cut")
WHOLE = (chunk("Hel"), chunk("lo \u2028é"), chunk(finish="stop"), USAGE, DONE)
