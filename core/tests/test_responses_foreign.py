"""Clients of /v1/responses reach providers of every other dialect: recorded answers and requests, told in this one."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from core.tests.responses_samples import CORPUS, RESPONSES, answer, decode, encode, encoded, said, told

from headgate.chat import (
    ChatReply,
    ChatRequest,
    ErrorEvent,
    Part,
    Reasoning,
    StreamEvent,
    Text,
    ToolCall,
    ToolResult,
    collect,
)
from headgate.dialects import AnthropicMessages, ChatDialect, Gaps, GoogleGenerate, OpenAIChat
from headgate.errors import InvalidRequest, ProviderFailed

Json = dict[str, Any]

DIALECTS: dict[str, ChatDialect] = {
    "chat": OpenAIChat(),
    "messages": AnthropicMessages(),
    "generateContent": GoogleGenerate(),
}
VENDORS = ("openai", "anthropic", "gemini", "deepseek", "groq", "mistral", "openrouter", "perplexity", "xai")
EACH = 150
"""So many exchanges of each vendor keep the suite quick."""

pytestmark = pytest.mark.skipif(
    not (CORPUS / "anthropic.jsonl.gz").exists(), reason="no recorded exchanges: set HEADGATE_CORPUS"
)


def exchanges(vendor: str) -> Iterator[tuple[Json, ChatDialect]]:
    with gzip.open(CORPUS / f"{vendor}.jsonl.gz") as lines:
        held = [each for line in lines if (each := json.loads(line))["operation"] in DIALECTS]
    for each in held[:: max(1, len(held) // EACH)]:
        yield each, DIALECTS[each["operation"]]


def answers(vendor: str) -> Iterator[tuple[str, list[StreamEvent], ChatReply]]:
    """Recorded good answers: the events where they streamed, and the whole."""
    for each, dialect in exchanges(vendor):
        if each["status"] != 200 or not each.get("resp_text"):
            continue
        body = each["resp_text"].encode()
        try:
            if not each["stream"]:
                yield each["id"], [], dialect.decode_reply(body)
                continue
            framer, decoder = dialect.framer(), dialect.stream_decoder()
            frames = [*framer.feed(body), *framer.end()]
            events = [event for frame in frames for event in decoder.feed(frame)]
            events += decoder.end()
        except ProviderFailed:
            continue  # an error recorded as an answer
        if not any(isinstance(event, ErrorEvent) for event in events):
            yield each["id"], events, collect(events)


def parts_of(held: ChatReply) -> tuple[Part, ...]:
    return held.choices[0].message.parts if held.choices else ()


def meaning(parts: tuple[Part, ...]) -> Json:
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "thinking": "".join(part.text for part in parts if isinstance(part, Reasoning)),
        "secrets": [(part.opaque, part.is_redacted) for part in parts if isinstance(part, Reasoning) and part.opaque],
        "signatures": [part.opaque for part in parts if isinstance(part, ToolCall)],
        "calls": [(part.name, json.loads(part.arguments or "{}")) for part in parts if isinstance(part, ToolCall)],
    }


@pytest.mark.parametrize("vendor", VENDORS)
def test_answers_reach_clients(vendor: str) -> None:
    """Every answer is one that the official types accept, streamed or whole, and says what the provider said.

    Sent back as input of the next request it still does, signatures and encrypted thinking included.
    """
    count = 0
    for name, events, held in answers(vendor):
        body = told(said(events))[-1]["response"] if events else answer(held)
        expected, output = meaning(parts_of(held)), body["output"]
        request = decode(input=[{"role": "user", "content": "x"}, *output])
        assert meaning(tuple(part for turn in request.messages[1:] for part in turn.parts)) == expected, name
        if body["status"] != "failed":
            again = RESPONSES.decode_reply(encoded(body))
            assert meaning(parts_of(again)) == expected, name
            ending = held.choices[0].finish if held.choices else None
            assert again.choices[0].finish == (ending or "stop"), name
            if held.usage is not None and again.usage is not None:
                assert (again.usage.prompt, again.usage.completion) == (held.usage.prompt, held.usage.completion)
        count += 1
    assert count > 0


def asked(held: ChatRequest) -> Json:
    parts = [part for message in held.messages for part in message.parts]
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "calls": [(part.name, json.loads(part.arguments or "{}")) for part in parts if isinstance(part, ToolCall)],
        "results": [part.text for part in parts if isinstance(part, ToolResult)],
        "tools": [(tool.name, tool.description, tool.parameters) for tool in held.tools if tool.kind == "function"],
    }


@pytest.mark.parametrize("vendor", VENDORS)
def test_requests_reach_providers(vendor: str) -> None:
    """Every request of another dialect's client becomes a body that the official types accept, with the same words."""
    for each, dialect in exchanges(vendor):
        if not each["req_json"]:
            continue
        try:
            held = dialect.decode_request(encoded(each["req_json"]))
        except InvalidRequest:
            continue
        again = asked(RESPONSES.decode_request(encoded(encode(held, Gaps("vendor", "drop")))))
        expected = asked(held)
        empty: Json = {"type": "object", "properties": {}}
        expected["tools"] = [
            (name, words, empty if schema is None else schema) for name, words, schema in expected["tools"]
        ]
        assert again == expected, each["id"]
