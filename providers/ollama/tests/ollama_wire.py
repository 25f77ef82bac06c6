"""Samples in Ollama's shape, written by hand, and helpers that the tests share."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from headgate.chat import ChatReply, ChatRequest, Message, StreamEvent, Text
from headgate.dialects import Gaps, Policy
from headgate_ollama import OllamaChat

Json = dict[str, Any]
DIALECT = OllamaChat()
TIME = "2026-08-07T06:08:14.732371234Z"
METRICS: Json = {
    "total_duration": 50,
    "load_duration": 10,
    "prompt_eval_count": 9,
    "prompt_eval_duration": 5,
    "eval_count": 3,
    "eval_duration": 30,
}
TIMES = {name: value for name, value in METRICS.items() if name.endswith("duration")}


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    """A request of another dialect."""
    told = messages or (Message("user", (Text("hello"),)),)
    return replace(ChatRequest("llama3.2", told, dialect="openai.chat"), **fields)


def sent(request: ChatRequest, policy: Policy = "refuse") -> tuple[Json, list[str]]:
    """What is sent for a request, and what was left out of it."""
    gaps = Gaps("ollama", policy)
    body: Json = msgspec.json.decode(DIALECT.encode_request(request, gaps))
    return body, gaps.dropped


def line(message: Json | None = None, **members: Any) -> bytes:
    """A line of a stream; `done` makes it the last one."""
    said: Json = {
        "model": "llama3.2",
        "created_at": TIME,
        "message": {"role": "assistant", "content": "", **(message or {})},
    }
    return msgspec.json.encode({**said, "done": False, **members}) + b"\n"


def last(word: str = "stop", **members: Any) -> bytes:
    return line(done=True, done_reason=word, **METRICS, **members)


def whole(message: Json, word: str = "stop", **members: Any) -> ChatReply:
    """A decoded whole answer."""
    return DIALECT.decode_reply(line(message, done=True, done_reason=word, **{**METRICS, **members}))


def calling(*functions: Json) -> Json:
    """A message that calls functions, without ids, as older servers do."""
    return {"tool_calls": [{"function": held} for held in functions]}


def decoded(stream: bytes, size: int = 0) -> list[StreamEvent]:
    """The events of a stream that comes in pieces of `size` bytes; 0 is all at once."""
    framer, decoder = DIALECT.framer(), DIALECT.stream_decoder()
    step = size or len(stream) or 1
    events: list[StreamEvent] = []
    for at in range(0, len(stream), step):
        for frame in framer.feed(stream[at : at + step]):
            events += decoder.feed(frame)
    for frame in framer.end():
        events += decoder.feed(frame)
    return [*events, *decoder.end()]
