"""What replies say of themselves: read without losing a byte, and put right in whole replies and in streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from headgate import Reply
from headgate.relay import OwnedStream
from headgate_responses.telling import Said, peek, tell, told, whole_response

Json = dict[str, Any]

RESPONSE: Json = {"id": "resp_1", "status": "completed", "store": False, "output": [], "n": 1.5}
TELL = {"id": "resp_hg_2", "store": True}


def event(kind: str, **members: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **members}))


def stream(last: str = "response.completed") -> list[bytes]:
    begun = {**RESPONSE, "status": "in_progress"}
    said = 'a "type":"response.completed" b'
    return [
        b": alive\n\n",
        event("response.created", response=begun, sequence_number=0) + event("response.in_progress", response=begun),
        event("response.output_text.delta", delta=said, item_id="msg_1"),
        event(last, response=RESPONSE),
    ]


async def chunks_of(pieces: list[bytes], ended: list[str] | None = None) -> AsyncGenerator[bytes, None]:
    try:
        for piece in pieces:
            yield piece
    finally:
        (ended if ended is not None else []).append("closed")


async def read(reply: Reply) -> bytes:
    assert reply.chunks is not None
    return b"".join([chunk async for chunk in reply.chunks])


def responses_in(body: bytes) -> list[Json]:
    decoded: list[Json] = [
        msgspec.json.decode(part.split(b"data: ", 1)[1]) for part in body.split(b"\n\n") if b"data: " in part
    ]
    return [each["response"] for each in decoded if "response" in each]


async def test_a_stream_is_told_in_every_event_that_holds_the_response() -> None:
    """All other events pass byte for byte, and so do the other members."""
    reply = Reply(200, chunks=chunks_of(stream()))
    tell(reply, TELL)
    body = await read(reply)
    assert responses_in(body) == [
        {**RESPONSE, **TELL, "status": "in_progress"},
        {**RESPONSE, **TELL, "status": "in_progress"},
        {**RESPONSE, **TELL},
    ]
    assert stream()[0] in body
    assert stream()[2] in body
    assert b'"sequence_number":0' in body


async def test_a_whole_reply_is_told() -> None:
    """The bytes of other members stay."""
    reply = Reply(200, body=b'{"n": 1.50, "id": "resp_1"}')
    tell(reply, TELL)
    assert reply.body == b'{"n":1.50,"id":"resp_hg_2","store":true}'


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'"x"'])
async def test_what_is_no_response_stays(body: bytes) -> None:
    """Odd bodies and odd events come through as they are, and nothing is read from them."""
    odd = [b"data: %s\n\n" % body, event("response.created", response=None), event("response.created", response=[1])]
    assert told(body, TELL) == body
    assert await peek(Reply(200, body=body)) is None
    reply = Reply(200, chunks=chunks_of(odd))
    tell(reply, TELL)
    assert await read(reply) == b"".join(odd)
    reply = Reply(200, chunks=chunks_of(odd))
    assert await peek(reply) is None
    assert await read(reply) == b"".join(odd)
    assert whole_response(b"".join(odd), is_stream=True) is None
    assert whole_response(body, is_stream=False) is None


async def test_peek() -> None:
    """The first piece tells who a response is; the stream still begins with it, and keeps its short way."""

    async def pour(_: Any) -> None:
        raise AssertionError("not called")

    source = OwnedStream(chunks_of(stream()[1:]), lambda: None, pour)
    reply = Reply(200, chunks=source)
    assert await peek(reply) == Said("resp_1", store=False, status="in_progress")
    assert isinstance(reply.chunks, OwnedStream)
    assert reply.chunks.pour is pour
    assert await read(reply) == b"".join(stream()[1:])
    assert await peek(Reply(200, body=msgspec.json.encode(RESPONSE))) == Said("resp_1", store=False, status="completed")
    assert await peek(Reply(200, chunks=chunks_of([]))) is None


@pytest.mark.parametrize("begins", [False, True])
async def test_a_stream_that_is_given_up_closes_its_source(begins: bool) -> None:
    """Closing reaches the source through whatever was put around it."""
    ended: list[str] = []
    reply = Reply(200, chunks=chunks_of(stream(), ended))
    await peek(reply)
    tell(reply, TELL)
    assert isinstance(reply.chunks, OwnedStream)
    if begins:
        await anext(reply.chunks)
    await reply.chunks.aclose()
    assert ended == ["closed"]


@pytest.mark.parametrize(
    ("last", "is_whole"),
    [("response.completed", True), ("response.incomplete", True), ("response.failed", False), ("error", False)],
)
def test_only_a_finished_response_is_whole(last: str, is_whole: bool) -> None:
    """What failed, or never came to its end, is nothing to go on from."""
    status = last.removeprefix("response.")
    body = msgspec.json.encode({**RESPONSE, "status": status})
    assert (whole_response(b"".join(stream(last)), is_stream=True) is not None) == is_whole
    assert (whole_response(body, is_stream=False) == body) == is_whole
    assert whole_response(b"".join(stream()[:-1]), is_stream=True) is None
