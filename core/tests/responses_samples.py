"""Responses JSON as clients and vendors write it, what the official SDK says of it, and short ways to and from the dialect."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import openai
from openai.types.responses import ParsedResponse, Response, ResponseStreamEvent
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)
from pydantic import TypeAdapter

from headgate.chat import ChatReply, ChatRequest, ErrorEvent, Part, StreamEvent, collect, replay
from headgate.dialects import Gaps
from headgate.dialects.responses.dialect import OpenAIResponses
from headgate.dialects.sse import data_of, events_of

Json = dict[str, Any]

RESPONSES = OpenAIResponses()
CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[2].parent / "shared" / "corpus")

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_PARAMS: dict[bool, TypeAdapter[Any]] = {
    True: TypeAdapter(ResponseCreateParamsStreaming),
    False: TypeAdapter(ResponseCreateParamsNonStreaming),
}


def encoded(data: Any) -> bytes:
    return msgspec.json.encode(data)


def decode(**members: Any) -> ChatRequest:
    """A client's request of one word with these members."""
    return RESPONSES.decode_request(encoded({"model": "m", "input": "hi", **members}))


def decode_items(*items: Json, **members: Any) -> ChatRequest:
    """A client's request of these items."""
    return decode(input=list(items), **members)


def encode(request: ChatRequest, gaps: Gaps | None = None) -> Json:
    """The body for a provider, which the official type of a request must accept."""
    body: Json = json.loads(RESPONSES.encode_request(request, gaps or Gaps("vendor")))
    _PARAMS[bool(body.get("stream"))].validate_python(body)
    return body


ASKED = decode(stream=True)
"""What a client's stream answers."""


def reply(*items: Json, **members: Any) -> bytes:
    """A provider's whole answer of these items."""
    usage = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }
    body = {"id": "resp_1", "object": "response", "created_at": 1700000000, "model": "gpt-x", "status": "completed"}
    return encoded({**body, "output": list(items), "usage": usage, **members})


def message(text: str, **members: Any) -> Json:
    part: Json = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [part],
        **members,
    }


def function_call(arguments: str = '{"city":"Bern"}', **members: Any) -> Json:
    own = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "status": "completed"}
    return {**own, "arguments": arguments, **members}


def answer(held: ChatReply, asked: ChatRequest = ASKED) -> Json:
    """The whole answer a client gets, which the official type of a response must accept."""
    body: Json = json.loads(RESPONSES.encode_reply(held, asked))
    Response.model_validate(body)
    return body


def parts_of(held: ChatReply) -> tuple[Part, ...]:
    return held.choices[0].message.parts


def said(events: Iterable[StreamEvent], asked: ChatRequest = ASKED) -> bytes:
    """The stream that a client gets."""
    listed = list(events)
    encoder = RESPONSES.stream_encoder(asked)
    out = b"".join(map(encoder.feed, listed))
    return out if any(isinstance(event, ErrorEvent) for event in listed) else out + encoder.end()


def replayed(held: ChatReply) -> bytes:
    return said(replay(held))


def told(stream: bytes) -> list[Json]:
    """The events of a client's stream, each checked: its official type, its name, its number."""
    events: list[Json] = []
    for number, event in enumerate(events_of(stream)):
        data: Json = json.loads(data_of(event))
        assert event.startswith(f"event: {data['type']}\n".encode())
        assert data["sequence_number"] == number
        _EVENT.validate_python(data)
        events.append(data)
    return events


def sse(*events: Json) -> bytes:
    """A provider's stream."""
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), encoded({"sequence_number": at, **event}))
        for at, event in enumerate(events)
    )


def created(**members: Any) -> Json:
    response: Json = {"id": "resp_1", "model": "gpt-x", "created_at": 1700000000, "status": "in_progress", "output": []}
    return {"type": "response.created", "response": {**response, **members}}


def completed(*items: Json, **members: Any) -> Json:
    response: Json = {**json.loads(reply(*items)), **members}
    return {"type": f"response.{response['status']}", "response": response}


def events_in(stream: bytes, *, size: int = 0) -> list[StreamEvent]:
    """What a provider's stream says, fed in pieces of `size` bytes."""
    framer, decoder = RESPONSES.framer(), RESPONSES.stream_decoder()
    step = size or max(1, len(stream))
    events: list[StreamEvent] = []
    for at in range(0, len(stream), step):
        for frame in framer.feed(stream[at : at + step]):
            events += decoder.feed(frame)
    for frame in framer.end():
        events += decoder.feed(frame)
    return [*events, *decoder.end()]


def collected(stream: bytes) -> ChatReply:
    return collect(events_in(stream))


def client(answer: bytes, *, kind: str = "text/event-stream", status: int = 200) -> openai.OpenAI:
    """The official client, which gets `answer` whatever it asks."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, headers={"content-type": kind}, content=answer))
    http = httpx2.Client(transport=transport)
    return openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=0)


def streamed(stream: bytes) -> tuple[list[str], ParsedResponse[Any]]:
    """What the official client's stream helper sees: the kinds of events, and the final response."""
    with client(stream).responses.stream(model="m", input="hi") as events:
        kinds = [event.type for event in events]
        return kinds, events.get_final_response()


@cache
def recorded() -> tuple[Json, ...]:
    """Every recorded exchange of this dialect; empty where there is no corpus."""
    return tuple(_recorded("openai", "azure", "xai"))


def _recorded(*vendors: str) -> Iterator[Json]:
    for vendor in vendors:
        path = CORPUS / f"{vendor}.jsonl.gz"
        if path.exists():
            with gzip.open(path) as lines:
                yield from (each for line in lines if (each := json.loads(line))["operation"] == "responses")


def kinds_of(events: Sequence[Json]) -> list[str]:
    return [str(event["type"]) for event in events]
