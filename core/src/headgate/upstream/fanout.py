"""One request as several calls: some models embed one text a call, others a limited number."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec
from msgspec import Raw
from msgspec.structs import replace
from typing_extensions import override

from headgate.errors import ProviderFailed
from headgate.upstream.interface import RawHeaders, Upstream, UpstreamRequest, UpstreamResponse
from headgate.upstream.whole import WholeResponse

AT_ONCE = 8
"""So many calls of one request run at the same time."""
Send = Callable[[UpstreamRequest], Awaitable[UpstreamResponse]]
Told = Callable[[bytes, RawHeaders], bytes]
"""The body of a reply, with what its headers say of it."""


def bodies_in(body: bytes) -> Sequence[bytes]:
    """The bodies of the calls that an encoded request stands for: a list holds one each, an object is the only one."""
    return [bytes(each) for each in msgspec.json.decode(body, type=list[Raw])] if body.startswith(b"[") else [body]


def replies_in(body: bytes, count: int) -> Sequence[bytes]:
    """The bodies of `count` replies, which `send_each` made one. Raises ProviderFailed where there are not so many."""
    if count == 1:
        return [body]
    try:
        held = [bytes(each) for each in msgspec.json.decode(body, type=list[Raw])]
    except (msgspec.DecodeError, UnicodeDecodeError):
        held = []
    if len(held) != count:
        raise ProviderFailed(f"the provider's {count} replies are not all JSON", code="upstream_bad_reply")
    return held


async def send_each(send: Send, requests: Sequence[UpstreamRequest], told: Told | None = None) -> UpstreamResponse:
    """Send every request, `AT_ONCE` at the same time; the replies as one, a list in the order of the requests.

    All or nothing: the first error reply is the answer and ends the other calls. Raises what `send` raises.
    """
    replies: dict[int, WholeResponse] = {}
    waiting = enumerate(requests)
    tasks = [asyncio.create_task(_work(send, waiting, replies)) for _ in range(min(AT_ONCE, len(requests)))]
    try:
        await asyncio.gather(*tasks)
    except _Refused as refused:
        return refused.reply
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    bodies = [await replies[at].read() for at in range(len(requests))]
    if told is not None:
        bodies = [told(body, replies[at].headers) for at, body in enumerate(bodies)]
    first = replies[0]
    return WholeResponse(
        first.status, first.headers, bodies[0] if len(bodies) == 1 else b"[" + b",".join(bodies) + b"]"
    )


class Fanout(Upstream):
    """An engine for which a request is as many calls as its body lists. `send` carries each of them out; see `send_each`.

    Added in 0.1.
    """

    def __init__(self, send: Send, close: Callable[[], Awaitable[None]], told: Told | None = None) -> None:
        self._send = send
        self._close = close
        self._told = told

    @override
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        calls = [replace(request, body=body) for body in bodies_in(request.body)]
        return await send_each(self._send, calls, self._told)

    @override
    async def close(self) -> None:
        await self._close()


class _Refused(Exception):
    """A call was answered with an error."""

    def __init__(self, reply: WholeResponse) -> None:
        super().__init__()
        self.reply = reply


async def _work(send: Send, waiting: Iterable[tuple[int, UpstreamRequest]], replies: dict[int, WholeResponse]) -> None:
    """Take requests that wait, one after another."""
    for at, request in waiting:
        response = await send(request)
        try:
            reply = replies[at] = WholeResponse(response.status, response.headers, await response.read())
        finally:
            response.close()
        if not 200 <= reply.status < 300:
            raise _Refused(reply)
