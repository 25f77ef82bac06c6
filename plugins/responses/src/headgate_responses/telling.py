"""What a reply says of itself: read from its first or last bytes, and put right where the gateway knows better."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from headgate import Reply
from headgate.dialects.sse import data_of, events_of
from headgate.relay import OwnedStream, discard

_HOLDS_RESPONSE = re.compile(rb'"type" ?: ?"response\.(?:created|queued|in_progress|completed|incomplete|failed)"')
_DONE = {"response.completed", "response.incomplete"}


class Said(Struct):
    """What a response says of itself. `store` is None where it does not say."""

    id: str = ""
    store: bool | None = None
    status: str = ""


class _Event(Struct):
    type: str = ""
    response: Said | None = None


class _RawEvent(Struct):
    type: str = ""
    response: Raw = Raw()


class Bounds(Struct, frozen=True):
    """Of a finished response with more than `most` bytes `members` are said in place of others."""

    most: int
    members: Mapping[str, Any]


_said = msgspec.json.Decoder(Said)
_event = msgspec.json.Decoder(_Event)
_raw_event = msgspec.json.Decoder(_RawEvent)
_members = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode


def said_of(body: bytes) -> Said | None:
    """What a whole response says of itself; None when it is no response."""
    try:
        return _said.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


async def peek(reply: Reply) -> Said | None:
    """What a running or whole reply says of itself at its beginning. Nothing of the reply is lost."""
    chunks = reply.chunks
    if chunks is None:
        return said_of(reply.body)
    rest = aiter(chunks)
    first = await anext(rest, b"")
    source = Reply(reply.status, chunks=chunks)
    pour = chunks.pour if isinstance(chunks, OwnedStream) else None
    reply.chunks = OwnedStream(_again(first, rest), lambda: discard(source), pour)
    for event in events_of(first):
        try:
            said = _event.decode(data_of(event)).response
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if said is not None:
            return said
    return None


async def _again(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """A stream whose first piece was taken, from its beginning."""
    if first:
        yield first
    async for chunk in rest:
        yield chunk


def tell(reply: Reply, members: Mapping[str, Any], bounds: Bounds | None = None) -> None:
    """Let a reply say `members` of its response: in its body, or in each event that holds the response.

    With `bounds` a response that is too large says others, in its body or in the event that ends it.
    """
    chunks = reply.chunks
    if chunks is None:
        is_large = bounds is not None and len(reply.body) > bounds.most
        reply.body = told(reply.body, bounds.members if bounds is not None and is_large else members)
        return
    source = Reply(reply.status, chunks=chunks)
    reply.chunks = OwnedStream(_telling(chunks, members, bounds), lambda: discard(source))


async def _telling(
    chunks: AsyncIterator[bytes], members: Mapping[str, Any], bounds: Bounds | None
) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        if _HOLDS_RESPONSE.search(chunk) is None:
            yield chunk
        else:
            yield b"".join(_told_event(event, members, bounds) for event in events_of(chunk))


def told(response: bytes, members: Mapping[str, Any]) -> bytes:
    """A response object with other values for some members; all other bytes are kept. What is none comes back as it was."""
    try:
        held = _members.decode(response)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return response
    return _encode({**held, **members})


def _told_event(event: bytes, members: Mapping[str, Any], bounds: Bounds | None) -> bytes:
    data = data_of(event)
    try:
        decoded = _raw_event.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return event
    response = decoded.response
    if not bytes(response).startswith(b"{"):
        return event
    if bounds is not None and decoded.type in _DONE and len(bytes(response)) > bounds.most:
        members = bounds.members
    head = event[: event.index(b"data:")]
    return head + b"data: " + told(data, {"response": Raw(told(bytes(response), members))}) + b"\n\n"


def whole_response(body: bytes, *, is_stream: bool) -> bytes | None:
    """The finished response in what a client got: the body, or what the last event of a stream holds.

    None where it failed, or is not finished.
    """
    if not is_stream:
        said = said_of(body)
        return body if said is not None and said.status in {"completed", "incomplete"} else None
    for event in reversed(events_of(body)):
        try:
            decoded = _raw_event.decode(data_of(event))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if decoded.type in _DONE and bytes(decoded.response).startswith(b"{"):
            return bytes(decoded.response)
    return None
