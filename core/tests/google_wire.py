"""What the tests of `google.generate` share: short ways in and out, recorded exchanges, and the types of Google's own SDK."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from google.genai import types
from pydantic import BaseModel

from headgate.chat import ChatReply, ChatRequest, Message, StreamEvent, Text
from headgate.dialects.gaps import Gaps, Policy
from headgate.dialects.google.generate import GoogleGenerate
from headgate.dialects.sse import data_of, events_of

Json = dict[str, Any]

GOOGLE = GoogleGenerate()
CORPUS = Path(os.environ.get("HEADGATE_CORPUS") or Path(__file__).parents[2].parent / "shared" / "corpus")
NO_CORPUS = "no recorded exchanges: set HEADGATE_CORPUS to their folder"
PARTS: dict[str, type[BaseModel]] = {
    "contents": types.Content,
    "systemInstruction": types.Content,
    "tools": types.Tool,
    "toolConfig": types.ToolConfig,
    "generationConfig": types.GenerationConfig,
    "safetySettings": types.SafetySetting,
}
"""The members of a request body and their types, which refuse what they do not know."""
PLAIN = {"cachedContent", "serviceTier", "labels", "store"}
NEWER = {"serviceTier"}
"""Members of replies that Google sends and the SDK's types do not have yet."""


def decode(**body: Any) -> ChatRequest:
    """A client's request with these members."""
    return GOOGLE.decode_request(msgspec.json.encode(body))


def turn(*parts: Any, role: str = "user") -> Json:
    """One content; a string stands for a text part."""
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def ask(*messages: Message, **fields: Any) -> ChatRequest:
    """A canonical request; without messages one short question."""
    return ChatRequest("gemini-2.5-flash", messages or (Message("user", (Text("hi"),)),), **fields)


def encode(request: ChatRequest, policy: Policy = "refuse") -> tuple[Json, list[str]]:
    """What a provider gets, checked against the SDK's types, and the names of what was left out."""
    gaps = Gaps("google", policy)
    body = json.loads(GOOGLE.encode_request(request, gaps))
    check_request(body)
    return body, gaps.dropped


def check_request(body: Json) -> None:
    """Raise pydantic's ValidationError for a request that the SDK could not have sent."""
    for name, value in body.items():
        if name not in PLAIN:
            items: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
            for item in items:
                PARTS[name].model_validate(item)


def answer(*parts: Any, finish: str | None = "STOP", **members: Any) -> Json:
    """A whole reply with one candidate; `members` go beside it."""
    candidate: Json = {"content": turn(*parts, role="model"), "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "abcDEF-123_4567", **members}


def read(body: Json) -> ChatReply:
    """A provider's whole reply."""
    return GOOGLE.decode_reply(msgspec.json.encode(body))


def events(chunks: Sequence[Json], *, size: int = 0) -> list[StreamEvent]:
    """The events of a stream of these chunks; `size` cuts its bytes."""
    return stream(b"".join(b"data: " + msgspec.json.encode(chunk) + b"\r\n\r\n" for chunk in chunks), size=size)


def stream(body: bytes, *, size: int = 0) -> list[StreamEvent]:
    """The events of the bytes of a stream."""
    framer, decoder = GOOGLE.framer(), GOOGLE.stream_decoder()
    found: list[StreamEvent] = []
    for at in range(0, len(body), size or len(body) or 1):
        for frame in framer.feed(body[at : at + (size or len(body))]):
            found += decoder.feed(frame)
    for frame in framer.end():
        found += decoder.feed(frame)
    return [*found, *decoder.end()]


def said(told: Sequence[StreamEvent], request: ChatRequest | None = None) -> list[Json]:
    """The chunks a client gets for these events, checked against the SDK's types."""
    encoder = GOOGLE.stream_encoder(request or ask())
    body = b"".join([*map(encoder.feed, told), encoder.end()])
    chunks = [json.loads(data_of(event)) for event in events_of(body)]
    for chunk in chunks:
        if "error" not in chunk:
            check_reply(without(chunk, NEWER))
    return chunks


def check_reply(body: Json) -> types.GenerateContentResponse:
    """A reply as the SDK's types have it; ValidationError for what they do not know."""
    return types.GenerateContentResponse.model_validate(body)


def write(reply: ChatReply) -> Json:
    """What a client gets for a reply, checked against the SDK's types."""
    body = json.loads(GOOGLE.encode_reply(reply, ask()))
    check_reply(without(body, NEWER))
    return body


def without(value: Any, names: set[str]) -> Any:
    """JSON without members of these names, at any depth."""
    if isinstance(value, list):
        return [without(item, names) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: without(item, names) for key, item in cast("Json", value).items() if key not in names}
    return value


def recorded() -> Iterator[Json]:
    """Every recorded exchange with generateContent and streamGenerateContent, on the Gemini API and on Vertex AI."""
    for name in ("gemini", "vertex") if CORPUS.is_dir() else ():
        with gzip.open(CORPUS / f"{name}.jsonl.gz", "rt") as lines:
            for line in lines:
                record = json.loads(line)
                if record["operation"] == "generateContent":
                    yield record
