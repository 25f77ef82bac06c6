"""Whatever comes from a provider or a client, decoders answer with the errors they promise and never with another."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import InvalidRequest, ProviderFailed
from headgate_bedrock import BedrockConverse
from headgate_bedrock.frames import encode_frame

Json = dict[str, Any]
NAMES = (
    "text", "type", "image", "document", "video", "audio", "toolUse", "toolResult", "reasoningContent", "reasoningText",
    "redactedContent", "citationsContent", "guardContent", "cachePoint", "content", "citations", "citation", "source",
    "bytes", "format", "name", "input", "toolUseId", "status", "signature", "location", "web", "sourceContent", "json",
    "message", "output", "usage", "serviceTier", "delta", "start", "contentBlockIndex", "stopReason", "stop_sequence",
    "additionalModelResponseFields", "trace", "promptRouter", "inputTokens", "role", "messages", "system", "toolConfig",
    "tools", "toolSpec", "inputSchema", "toolChoice", "outputConfig", "textFormat", "structure", "jsonSchema", "schema",
    "additionalModelRequestFields", "thinking", "output_config", "inferenceConfig", "stopSequences", "ttl",
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just("QUJD"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(NAMES), values, max_size=5)
blocks = st.lists(objects | values, max_size=4)
EVENTS = ("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "x")
DIALECT = BedrockConverse()


@given(blocks, objects)
def test_replies_of_any_shape(content: list[Any], rest: Json) -> None:
    """A reply of any shape is decoded, or is the vendor's failure."""
    for body in ({"output": {"message": {"content": content}}, **rest}, rest):
        with contextlib.suppress(ProviderFailed):
            DIALECT.decode_reply(msgspec.json.encode(body))
        list(DIALECT.reply_texts(body))


@given(blocks, blocks, objects)
def test_requests_of_any_shape(content: list[Any], system: list[Any], rest: Json) -> None:
    """A request of any shape is decoded, or is invalid by name."""
    said = {"messages": [{"role": "user", "content": content}], "system": system, **rest}
    for body in (said, rest):
        with contextlib.suppress(InvalidRequest):
            DIALECT.decode_request(msgspec.json.encode(body))
        list(DIALECT.request_texts(body))


@given(st.lists(st.tuples(st.sampled_from(EVENTS), objects), max_size=8))
def test_streams_of_any_shape(sent: list[tuple[str, Json]]) -> None:
    """Events of any shape are decoded, or are the vendor's failure."""
    decoder = DIALECT.stream_decoder()
    with contextlib.suppress(ProviderFailed):
        for kind, payload in sent:
            headers = {":event-type": kind, ":message-type": "event"}
            decoder.feed(encode_frame(headers, msgspec.json.encode(payload)))
        decoder.end()


@pytest.mark.parametrize("depth", [100, 5000])
def test_deep_bodies(depth: int) -> None:
    """Nesting that is too deep is an error, not the end of the process."""
    deep = b'{"output":{"message":{"content":[{"toolUse":{"toolUseId":"c","name":"f","input":' + b'{"a":' * depth
    body = deep + b"1" + b"}" * depth + b'}}]}},"stopReason":"tool_use"}'
    with contextlib.suppress(ProviderFailed):
        DIALECT.decode_reply(body)
