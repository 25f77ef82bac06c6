"""What the tests of the Anthropic dialect share: the official SDK as client and as judge, and small samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anthropic
import httpx2
import msgspec
from anthropic.types import Message as SdkMessage
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from pydantic import TypeAdapter

from headgate.chat import ChatRequest, Message, Part, Sampling, StreamEvent, Text
from headgate.dialects import Gaps
from headgate.dialects.anthropic.messages import AnthropicMessages

Json = dict[str, Any]

DIALECT = AnthropicMessages()
MODEL = "claude-sonnet-4-5"

_whole: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)
_streamed: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsStreaming)


def gaps(policy: Any = "refuse") -> Gaps:
    return Gaps("anthropic", policy)


def body(*messages: Any, **members: Any) -> bytes:
    """A Messages request as a client writes it; a plain string is a user's turn."""
    turns = [{"role": "user", "content": held} if isinstance(held, str) else held for held in messages or ("hi",)]
    return msgspec.json.encode({"model": MODEL, "max_tokens": 100, "messages": turns, **members})


def decoded(*messages: Any, **members: Any) -> ChatRequest:
    return DIALECT.decode_request(body(*messages, **members))


def user(*parts: Part) -> Message:
    return Message("user", parts)


def assistant(*parts: Part) -> Message:
    return Message("assistant", parts)


def chat(*messages: Message, **fields: Any) -> ChatRequest:
    """A request of an OpenAI client as it is meant."""
    fields.setdefault("sampling", Sampling(max_tokens=100))
    return ChatRequest(MODEL, messages or (user(Text("hi")),), dialect="openai.chat", **fields)


def turns(*messages: Message) -> list[Json]:
    """The turns of a request with these messages, as they are sent."""
    return sent(chat(*messages))["messages"]


def sent(request: ChatRequest, held: Gaps | None = None) -> Json:
    """The body of a request to Anthropic, which the official types must accept."""
    return judged(DIALECT.encode_request(request, held or gaps()))


def judged(data: bytes) -> Json:
    """A body that goes to Anthropic, which the official types must accept."""
    written: Json = msgspec.json.decode(data)
    judge = _streamed if written.get("stream") else _whole
    judge.validate_python(written)
    return written


def client(status: int, data: bytes, kind: str = "application/json") -> anthropic.Anthropic:
    """The official SDK before a server that answers so."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=data, headers={"content-type": kind})

    transport = httpx2.MockTransport(answer)
    return anthropic.Anthropic(api_key="sk-ant-sample", max_retries=0, http_client=httpx2.Client(transport=transport))


def read(data: bytes) -> SdkMessage:
    """A whole reply as the official SDK reads it, judged by its types."""
    SdkMessage.model_validate_json(data)
    turns: Any = [{"role": "user", "content": "hi"}]
    return client(200, data).messages.create(model="claude-opus-5", max_tokens=100, messages=turns)


def accumulate(data: bytes) -> SdkMessage:
    """A stream as the official SDK's accumulator reads it."""
    turns: Any = [{"role": "user", "content": "hi"}]
    held = client(200, data, "text/event-stream")
    with held.messages.stream(model="claude-opus-5", max_tokens=100, messages=turns) as stream:
        return stream.get_final_message()


def encode_stream(events: Iterable[StreamEvent], request: ChatRequest | None = None) -> bytes:
    encoder = DIALECT.stream_encoder(request or decoded())
    return b"".join((*map(encoder.feed, events), encoder.end()))


def decode_stream(data: bytes, size: int = 0) -> list[StreamEvent]:
    """The canonical events of a stream that comes in pieces of `size` bytes, or in one."""
    framer, decoder = DIALECT.framer(), DIALECT.stream_decoder()
    events: list[StreamEvent] = []
    step = size or max(1, len(data))
    for at in range(0, len(data), step):
        for frame in framer.feed(data[at : at + step]):
            events += decoder.feed(frame)
    for frame in framer.end():
        events += decoder.feed(frame)
    return [*events, *decoder.end()]


def sse(*events: Json) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), msgspec.json.encode(event)) for event in events
    )


def message(*blocks: Json, stop: str | None = "end_turn", **members: Any) -> Json:
    """A whole reply of Anthropic's."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": list(blocks),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 3},
        **members,
    }


def stream_of(*blocks: tuple[Json, list[Json]], stop: str = "end_turn", **usage: Any) -> bytes:
    """A stream of these blocks: how each begins, and its deltas."""
    events: list[Json] = [{"type": "message_start", "message": message(stop=None, content=[])}, {"type": "ping"}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": stop, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 3, **usage}})
    return sse(*events, {"type": "message_stop"})
