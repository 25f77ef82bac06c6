"""Samples in Cohere's shape, written by hand, and helpers that the tests share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from headgate.chat import ChatReply, ChatRequest, Message, StreamEvent, Text
from headgate.dialects import Gaps, Policy
from headgate_cohere import CohereChat

Json = dict[str, Any]
DIALECT = CohereChat()
USAGE: Json = {
    "billed_units": {"input_tokens": 3, "output_tokens": 2},
    "tokens": {"input_tokens": 9, "output_tokens": 3},
    "cached_tokens": 4,
}
ARGUMENTS = '{"city": "Montréal",\n "big": 12345678901234567890, "rate": 1.50}'


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    """A request of another dialect."""
    told = messages or (Message("user", (Text("hello"),)),)
    return replace(ChatRequest("command-a", told, dialect="openai.chat"), **fields)


def sent(request: ChatRequest, policy: Policy = "refuse") -> tuple[Json, list[str]]:
    """What is sent for a request, and what was left out of it."""
    gaps = Gaps("cohere", policy)
    body: Json = msgspec.json.decode(DIALECT.encode_request(request, gaps))
    return body, gaps.dropped


def whole(message: Json, finish: str = "COMPLETE", **members: Any) -> ChatReply:
    """A decoded whole answer."""
    said = {"id": "r-1", "message": {"role": "assistant", **message}, "finish_reason": finish, **members}
    return DIALECT.decode_reply(msgspec.json.encode(said))


def event(kind: str, **members: Any) -> bytes:
    """A named event as it stands on the wire."""
    return f"event: {kind}\ndata: ".encode() + msgspec.json.encode({"type": kind, **members}) + b"\n\n"


def start() -> bytes:
    return event("message-start", id="r-1", delta={"message": {"role": "assistant", "content": [], "tool_calls": []}})


def content(kind: str, *pieces: str, index: int = 0) -> bytes:
    """One block, piece by piece."""
    begin = event("content-start", index=index, delta={"message": {"content": {"type": kind, kind: ""}}})
    deltas = [event("content-delta", index=index, delta={"message": {"content": {kind: piece}}}) for piece in pieces]
    return b"".join((begin, *deltas, event("content-end", index=index)))


def call(name: str, call_id: str, *pieces: str, index: int = 0) -> bytes:
    """One call, its arguments piece by piece."""
    held = {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
    begin = event("tool-call-start", index=index, delta={"message": {"tool_calls": held}})
    deltas = [
        event("tool-call-delta", index=index, delta={"message": {"tool_calls": {"function": {"arguments": piece}}}})
        for piece in pieces
    ]
    return b"".join((begin, *deltas, event("tool-call-end", index=index)))


def finished(word: str = "COMPLETE", **members: Any) -> bytes:
    delta = {"finish_reason": word, "usage": USAGE, **members}
    return event("message-end", delta=delta) + b"data: [DONE]\n\n"


def decoded(stream: bytes, size: int = 0) -> list[StreamEvent]:
    """The events of a stream that comes in pieces of `size` bytes; 0 is all at once."""
    framer, decoder = DIALECT.framer(), DIALECT.stream_decoder()
    step = size or len(stream) or 1
    frames: Iterable[bytes] = (
        frame for at in range(0, len(stream), step) for frame in framer.feed(stream[at : at + step])
    )
    events = [one for frame in frames for one in decoder.feed(frame)]
    events += [one for frame in framer.end() for one in decoder.feed(frame)]
    return [*events, *decoder.end()]


def texts(parts: Sequence[Any]) -> list[str]:
    return [part.text for part in parts if isinstance(part, Text)]


def first(value: object) -> Json:
    """The first object of a list."""
    return cast("list[Json]", value)[0]
