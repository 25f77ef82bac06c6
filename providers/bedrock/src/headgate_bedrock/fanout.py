"""One request as several calls: some models embed one text a call, others a limited number."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec
from msgspec import Raw

from headgate.upstream import UpstreamRequest, UpstreamResponse, WholeResponse
from headgate.upstream.interface import RawHeaders

AT_ONCE = 8
"""So many calls of one request run at the same time."""
_COUNT = b"x-amzn-bedrock-input-token-count"
_MEMBER = b'"inputTextTokenCount"'

Send = Callable[[UpstreamRequest], Awaitable[UpstreamResponse]]


def bodies_in(body: bytes) -> Sequence[bytes]:
    """The bodies of the calls that an encoded request stands for: a list holds one each, an object is the only one."""
    return [bytes(each) for each in msgspec.json.decode(body, type=list[Raw])] if body.startswith(b"[") else [body]


async def send_each(send: Send, requests: Sequence[UpstreamRequest]) -> UpstreamResponse:
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
    counted = [_counted(await replies[at].read(), replies[at].headers) for at in range(len(requests))]
    first = replies[0]
    return WholeResponse(
        first.status, first.headers, counted[0] if len(counted) == 1 else b"[" + b",".join(counted) + b"]"
    )


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


def _counted(body: bytes, headers: RawHeaders) -> bytes:
    """A reply that says how many tokens were read, as Titan's does; the header says it for the others."""
    count = next((value for name, value in headers if name == _COUNT), b"")
    held = body.rstrip()
    if not count.isdigit() or _MEMBER in held or not held.endswith(b"}"):
        return body
    return b"%s,%s:%s}" % (held[:-1], _MEMBER, count)
