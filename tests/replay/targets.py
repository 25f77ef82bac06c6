"""The providers that recorded requests are sent to, with a canned good answer of each vendor."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from tests.replay.asked import Asked, digest
from tests.replay.asked_anthropic import read_messages
from tests.replay.asked_bedrock import read_converse
from tests.replay.asked_google import read_generate
from tests.replay.asked_openai import read_chat, read_ollama
from tests.replay.asked_responses import read_responses
from tests.replay.reading import Json, members, parse
from typing_extensions import override

from headgate.testing import Recorded, ReplayUpstream
from headgate.upstream import UpstreamRequest, UpstreamResponse

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n%%EOF\n"
FETCHED = frozenset({digest(base64.b64encode(data).decode()) for data in (PNG, PDF)})
"""Digests of what any address holds here."""


@dataclass(frozen=True)
class Target:
    """A provider and a model of it. `only` restricts it to one operation, where it has several."""

    name: str
    vendor: str
    model: str
    dialect: str
    only: str = ""

    @property
    def types(self) -> str:
        """Whose types a body must fit."""
        return self.vendor if self.vendor in OWN_TYPES else self.dialect


OWN_TYPES = frozenset({"groq", "together", "deepseek", "xai", "openrouter", "fireworks", "cerebras", "perplexity"})
"""Vendors near to OpenAI that have types, or members, of their own."""
TARGETS = (
    Target("anthropic", "anthropic", "claude-sonnet-4-5", "anthropic.messages"),
    Target("anthropic-newest", "anthropic", "claude-opus-4-8", "anthropic.messages"),
    Target("google", "google", "gemini-2.5-flash", "google.generate"),
    Target("google-3", "google", "gemini-3-pro-preview", "google.generate"),
    Target("vertex-gemini", "vertex", "gemini-2.5-pro", "google.generate"),
    Target("vertex-claude", "vertex", "claude-sonnet-4-5@20250929", "vertex.messages"),
    Target("bedrock-claude", "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock.converse"),
    Target("bedrock-nova", "bedrock", "amazon.nova-lite-v1:0", "bedrock.converse"),
    Target("cohere", "cohere", "command-a-03-2025", "cohere.chat"),
    Target("ollama", "ollama", "llama3.1", "ollama.chat"),
    Target("mistral", "mistral", "mistral-large-latest", "mistral.chat", "chat"),
    Target("openai", "openai", "gpt-4.1", "openai.chat", "chat"),
    Target("openai-responses", "openai", "gpt-4.1", "openai.responses", "responses"),
    Target("azure", "azure", "gpt-4.1", "openai.chat", "chat"),
    Target("groq", "groq", "llama-3.3-70b-versatile", "openai.chat", "chat"),
    Target("deepseek", "deepseek", "deepseek-flash", "openai.chat", "chat"),
    Target("xai", "xai", "grok-4", "openai.chat", "chat"),
    Target("together", "together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "openai.chat", "chat"),
    Target("openrouter", "openrouter", "openai/gpt-4.1", "openai.chat", "chat"),
    Target("fireworks", "fireworks", "accounts/fireworks/models/llama-v3p1-8b-instruct", "openai.chat", "chat"),
    Target("cerebras", "cerebras", "llama3.1-8b", "openai.chat", "chat"),
    Target("perplexity", "perplexity", "sonar", "openai.chat", "chat"),
)

READERS: Mapping[str, Callable[[Json], Asked]] = {
    "anthropic.messages": read_messages,
    "vertex.messages": read_messages,
    "google.generate": read_generate,
    "bedrock.converse": read_converse,
    "cohere.chat": read_chat,
    "ollama.chat": read_ollama,
    "mistral.chat": read_chat,
    "openai.chat": read_chat,
    "openai.responses": read_responses,
}


class World(ReplayUpstream):
    """A vendor that gives its canned answer to everything, and a net where every address holds a picture or a document."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    @override
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        if request.method == "GET":
            is_document = ".pdf" in request.url.lower()
            kind, data = ("application/pdf", PDF) if is_document else ("image/png", PNG)
            self.answer("*", Recorded(headers=(("content-type", kind),), body=data))
        else:
            stream = b"stream" in request.url.lower().encode() or members(parse(request.body or b"{}")).get("stream")
            self.answer("*", canned(self._target.dialect, stream=bool(stream)))
        return await super().send(request)

    @property
    def asked(self) -> list[UpstreamRequest]:
        """The calls of the vendor."""
        return [request for request in self.requests if request.method != "GET"]


def canned(dialect: str, *, stream: bool) -> Recorded:
    """`Hello` in a vendor's words."""
    if not stream:
        return Recorded.from_json(_WHOLE[dialect])
    if dialect == "bedrock.converse":
        body = b"".join(framed(kind, msgspec.json.encode(data)) for kind, data in _CONVERSE)
        return Recorded(headers=(("content-type", "application/vnd.amazon.eventstream"),), body=body)
    if dialect == "ollama.chat":
        body = b"".join(msgspec.json.encode(line) + b"\n" for line in _OLLAMA)
        return Recorded(headers=(("content-type", "application/x-ndjson"),), body=body)
    events = _STREAMS[dialect]
    lines = [
        (f"event: {data['type']}\n".encode() if "type" in data else b"")
        + b"data: "
        + msgspec.json.encode(data)
        + b"\n\n"
        for data in events
    ]
    if dialect in {"openai.chat", "mistral.chat", "cohere.chat"}:
        lines.append(b"data: [DONE]\n\n")
    return Recorded(headers=(("content-type", "text/event-stream"),), body=b"".join(lines), framing="chunked")


_CHAT_HEAD: Json = {"id": "chatcmpl-1", "created": 1, "model": "m"}
_CHAT_USAGE: Json = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
_CHAT: Json = {
    **_CHAT_HEAD,
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": _CHAT_USAGE,
}
_CHUNKS: list[Json] = [
    {
        **_CHAT_HEAD,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": None}],
    },
    {
        **_CHAT_HEAD,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": _CHAT_USAGE,
    },
]
_MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 3},
}
_MESSAGE_EVENTS: list[Json] = [
    {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 3},
    },
    {"type": "message_stop"},
]
_GENERATED: Json = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12},
    "modelVersion": "m",
    "responseId": "r1",
}
_ITEM: Json = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}
_RESPONSE: Json = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [_ITEM],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 12,
    },
}
_RESPONSE_EVENTS: list[Json] = [
    {
        "type": "response.created",
        "sequence_number": 0,
        "response": {**_RESPONSE, "status": "in_progress", "output": []},
    },
    {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": {**_ITEM, "content": []}},
    {
        "type": "response.output_text.delta",
        "sequence_number": 2,
        "output_index": 0,
        "content_index": 0,
        "item_id": "msg_1",
        "delta": "Hello",
    },
    {"type": "response.output_item.done", "sequence_number": 3, "output_index": 0, "item": _ITEM},
    {"type": "response.completed", "sequence_number": 4, "response": _RESPONSE},
]
_CONVERSE: list[tuple[str, Json]] = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hello"}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": {"inputTokens": 9, "outputTokens": 3, "totalTokens": 12}, "metrics": {"latencyMs": 1}}),
]
_COHERE: Json = {
    "id": "c1",
    "finish_reason": "COMPLETE",
    "message": {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
    "usage": {"tokens": {"input_tokens": 9, "output_tokens": 3}},
}
_COHERE_EVENTS: list[Json] = [
    {"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant"}}},
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hello"}}}},
    {"type": "content-end", "index": 0},
    {
        "type": "message-end",
        "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 9, "output_tokens": 3}}},
    },
]
_OLLAMA: list[Json] = [
    {
        "model": "m",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": "Hello"},
        "done": False,
    },
    {
        "model": "m",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 9,
        "eval_count": 3,
    },
]
_WHOLE: Mapping[str, Any] = {
    "openai.chat": _CHAT,
    "mistral.chat": _CHAT,
    "openai.responses": _RESPONSE,
    "anthropic.messages": _MESSAGE,
    "vertex.messages": _MESSAGE,
    "google.generate": _GENERATED,
    "bedrock.converse": {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 9, "outputTokens": 3, "totalTokens": 12},
        "metrics": {"latencyMs": 1},
    },
    "cohere.chat": _COHERE,
    "ollama.chat": {**_OLLAMA[1], "message": {"role": "assistant", "content": "Hello"}},
}
_STREAMS: Mapping[str, list[Json]] = {
    "openai.chat": _CHUNKS,
    "mistral.chat": _CHUNKS,
    "openai.responses": _RESPONSE_EVENTS,
    "anthropic.messages": _MESSAGE_EVENTS,
    "vertex.messages": _MESSAGE_EVENTS,
    "google.generate": [_GENERATED],
    "cohere.chat": _COHERE_EVENTS,
}


def framed(kind: str, payload: bytes) -> bytes:
    """One message of an event stream. https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html"""
    headers = b"".join(
        struct.pack("!B", len(name)) + name + struct.pack("!BH", 7, len(value)) + value
        for name, value in ((b":message-type", b"event"), (b":event-type", kind.encode()))
    )
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    start = prelude + struct.pack("!I", zlib.crc32(prelude))
    return start + headers + payload + struct.pack("!I", zlib.crc32(start + headers + payload))
