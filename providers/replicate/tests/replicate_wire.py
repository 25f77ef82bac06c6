"""Samples in Replicate's shape, written by hand after its documents, and helpers that the tests share."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from headgate.chat import ChatRequest, Message, StreamEvent, Text
from headgate.dialects import Gaps, Policy
from headgate_replicate import ReplicateChat
from headgate_replicate.inputs import Inputs, read_inputs

Json = dict[str, Any]
ID = "zjq6szssxdrm20cgw0fsntgvbg"
STREAM_URL = "https://stream.replicate.com/v1/files/bcwr-gvuc2rokjozhlaxh6dcvk6tvhh2ymt4egnnpxvmtqql57angyfsq"
METRICS: Json = {"input_token_count": 9, "output_token_count": 3, "predict_time": 0.5, "tokens_per_second": 6.0}
TEXTS: Json = {"items": {"type": "string"}, "type": "array", "x-cog-array-type": "iterator"}


def described(**properties: Json) -> Json:
    """A model's description with these inputs, as `models.get` gives it."""
    words = {name: {"enum": held.pop("enum"), "type": "string"} for name, held in properties.items() if "enum" in held}
    told = {name: {"allOf": [{"$ref": f"#/components/schemas/{name}"}]} if name in words else held
            for name, held in properties.items()}  # fmt: skip
    schemas = {"Input": {"type": "object", "properties": told}, "Output": TEXTS, **words}
    return {
        "owner": "o",
        "name": "n",
        "latest_version": {"id": "v", "openapi_schema": {"components": {"schemas": schemas}}},
    }


TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
LIST: Json = {"type": "array", "items": {"type": "string", "format": "uri"}}
LLAMA = described(
    prompt=TEXT, system_prompt=TEXT, prompt_template=TEXT, max_tokens={"type": "integer"}, temperature=NUMBER,
    top_p=NUMBER, top_k={"type": "integer"}, presence_penalty=NUMBER, frequency_penalty=NUMBER, stop_sequences=TEXT,
)  # fmt: skip
GPT = described(
    prompt=TEXT, system_prompt=TEXT, messages={"type": "array", "items": {"type": "object"}}, image_input=LIST,
    max_completion_tokens={"type": "integer"}, reasoning_effort={"enum": ["minimal", "low", "medium", "high"]},
    verbosity={"enum": ["low", "medium", "high"]},
)  # fmt: skip
CLAUDE = described(
    prompt=TEXT, system_prompt=TEXT, image=TEXT, max_tokens={"type": "integer"}, extended_thinking={"type": "boolean"},
    thinking_budget_tokens={"type": "integer"},
)  # fmt: skip
GEMINI = described(
    prompt=TEXT, system_instruction=TEXT, images=LIST, temperature=NUMBER, top_p=NUMBER,
    max_output_tokens={"type": "integer"}, thinking_budget={"type": "integer"},
)  # fmt: skip
BARE = described(prompt=TEXT)
WIDE = described(
    prompt=TEXT, system_prompt=TEXT, messages={"type": "array", "items": {"type": "object"}}, image_input=LIST,
    max_completion_tokens={"type": "integer"}, temperature=NUMBER, top_p=NUMBER, top_k={"type": "integer"},
    seed={"type": "integer"}, presence_penalty=NUMBER, frequency_penalty=NUMBER,
    stop={"type": "array", "items": {"type": "string"}},
    reasoning_effort={"enum": ["none", "minimal", "low", "medium", "high"]}, verbosity={"enum": ["low", "medium", "high"]},
)  # fmt: skip
"""A model that takes everything some model takes."""


def inputs(model: Json) -> Inputs:
    return read_inputs(model)


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    """A request of another dialect."""
    told = messages or (Message("user", (Text("hello"),)),)
    return replace(ChatRequest("o/n", told, dialect="openai.chat"), **fields)


def sent(model: Json, request: ChatRequest, policy: Policy = "refuse") -> tuple[Json, list[str]]:
    """The input that is sent for a request, and what was left out of it."""
    gaps = Gaps("replicate", policy)
    body: Json = msgspec.json.decode(ReplicateChat(inputs(model)).encode_request(request, gaps))
    return body["input"], gaps.dropped


def prediction(status: str = "succeeded", output: Any = None, **members: Any) -> Json:
    """A prediction as the API tells it."""
    base = f"https://api.replicate.com/v1/predictions/{ID}"
    return {
        "id": ID,
        "model": "o/n",
        "version": "hidden",
        "input": {"prompt": "hello"},
        "output": output,
        "error": None,
        "logs": "",
        "status": status,
        "created_at": "2026-08-07T06:08:14.732Z",
        "urls": {"get": base, "cancel": f"{base}/cancel", "stream": STREAM_URL},
        **members,
    }


def event(kind: str, data: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {kind}\nid: 1690212292:0\n{lines}\n".encode()


def decoded(stream: bytes, size: int = 0) -> list[StreamEvent]:
    """The events of a stream that comes in pieces of `size` bytes; 0 is all at once."""
    dialect = ReplicateChat()
    framer, decoder = dialect.framer(), dialect.stream_decoder()
    step = size or len(stream) or 1
    events: list[StreamEvent] = []
    for at in range(0, len(stream), step):
        for frame in framer.feed(stream[at : at + step]):
            events += decoder.feed(frame)
    for frame in framer.end():
        events += decoder.feed(frame)
    return [*events, *decoder.end()]
