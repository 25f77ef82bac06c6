"""Recorded chat exchanges with OpenAI-shaped vendors: all of them are understood, both ways.

The recordings stand in a folder named by `HEADGATE_CORPUS`.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from core.tests.openai_samples import (
    CHAT,
    CORPUS,
    VENDORS,
    Json,
    check_chunks,
    check_reply,
    check_request,
    chunks_of,
    decode,
    encode,
    encoded,
    events_in,
    recorded,
    stream_of,
)
from msgspec.structs import replace

from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Finish,
    Reasoning,
    Start,
    StreamEvent,
    Text,
    ToolCall,
    UsageEvent,
    collect,
    replay,
)
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest, ProviderFailed

ASKED = ChatRequest("m", (), include_usage=True)
REFUSED = {"4a6fc64003fb930a": "content[0].type"}
"""Recorded requests that the vendor refused, and the place that is named here too."""
FAILED = {"8cc2e85243517fad": "the vendor says: The response was filtered"}
"""Recorded replies with a status of 200 that hold an error."""

pytestmark = [
    pytest.mark.skipif(not CORPUS.is_dir(), reason="no recorded exchanges: set HEADGATE_CORPUS to their folder"),
    pytest.mark.parametrize("vendor", VENDORS),
]


def exchanges(vendor: str, *, stream: bool) -> list[Json]:
    """The exchanges that went well."""
    held = [each for each in recorded(vendor) if each["status"] == 200 and each["stream"] == stream]
    return [each for each in held if each["id"] not in FAILED]


def meaning(reply: ChatReply) -> Any:
    """What an answer says: per choice its texts, its calls by name and arguments, and why it ended."""
    return [
        (
            choice.message.text,
            "".join(part.text for part in choice.message.parts if isinstance(part, Reasoning)),
            [(part.name, part.arguments or "{}") for part in choice.message.parts if isinstance(part, ToolCall)],
            choice.finish
            or ("tool_calls" if any(isinstance(part, ToolCall) for part in choice.message.parts) else "stop"),
        )
        for choice in reply.choices
    ]


def test_requests_keep_their_meaning(vendor: str) -> None:
    """Every request a vendor has accepted is understood, means the same when encoded again, and is valid."""
    refused: dict[str, str] = {}
    for exchange in recorded(vendor):
        if exchange["req_json"] is None:
            continue
        try:
            first = decode(exchange["req_json"])
        except InvalidRequest as error:
            refused[exchange["id"]] = error.message
            continue
        body = encode(first)
        check_request(body)
        assert replace(decode(body), include_usage=first.include_usage) == first, exchange["id"]
    assert all(REFUSED[held] in message for held, message in refused.items())


def test_requests_can_be_sent_for_other_clients(vendor: str) -> None:
    """The same request, had it come in another dialect, is valid too, and its texts and calls are all there."""
    for exchange in recorded(vendor):
        if exchange["req_json"] is None or exchange["id"] in REFUSED:
            continue
        first = decode(exchange["req_json"])
        body = encode(replace(first, dialect="anthropic.messages"), Gaps(vendor, "drop"))
        check_request(body)
        whole = json.dumps(body, ensure_ascii=False)
        for message in first.messages:
            for part in message.parts:
                if isinstance(part, Text):
                    assert json.dumps(part.text, ensure_ascii=False)[1:-1] in whole
                elif isinstance(part, ToolCall):
                    assert part.name in whole


def test_replies_keep_their_meaning(vendor: str) -> None:
    """Every whole answer is understood, is valid when written for a client, and says what it said."""
    for exchange in exchanges(vendor, stream=False):
        reply = CHAT.decode_reply(exchange["resp_text"].encode())
        assert (reply.dialect, bool(reply.choices)) == ("openai.chat", True)
        for dialect in ("openai.chat", "google.generate"):
            body = json.loads(CHAT.encode_reply(replace(reply, dialect=dialect), ASKED))
            if dialect != "openai.chat":
                check_reply(body)
            assert meaning(CHAT.decode_reply(encoded(body))) == meaning(reply), exchange["id"]


def test_replies_that_hold_an_error(vendor: str) -> None:
    """The vendor's words are passed on."""
    for exchange in recorded(vendor):
        if exchange["id"] in FAILED:
            with pytest.raises(ProviderFailed, match=FAILED[exchange["id"]]):
                CHAT.decode_reply(exchange["resp_text"].encode())


def test_streams_in_pieces_of_any_size(vendor: str) -> None:
    """However a stream is cut, it gives the same events, in their order."""
    for exchange in exchanges(vendor, stream=True):
        stream = exchange["resp_text"].encode()
        events = events_in(stream)
        for size in (1, 7, 64):
            if size > 1 or len(stream) < 40_000:
                assert events_in(stream, size=size) == events, (exchange["id"], size)
        check_grammar(events)


def check_grammar(events: list[StreamEvent]) -> None:
    """One start first, then deltas, each choice finished once, and nothing but one usage behind the last finish."""
    kinds = [type(event) for event in events]
    assert kinds[0] is Start
    first = kinds.index(Finish)
    assert Counter(kinds)[Start] == 1
    assert set(kinds[first:]) <= {Finish, UsageEvent}
    assert kinds.count(UsageEvent) <= 1
    finishes = [event.index for event in events if isinstance(event, Finish)]
    assert finishes == sorted(set(finishes))


def test_streams_keep_their_meaning(vendor: str) -> None:
    """Written for a client, a stream is valid and says what it said; so does the whole reply it stands for."""
    for exchange in exchanges(vendor, stream=True):
        events = events_in(exchange["resp_text"].encode())
        reply = collect(events)
        stream = stream_of(events)
        check_chunks(stream)
        again = collect(events_in(stream))
        assert meaning(again) == meaning(reply), exchange["id"]
        assert meaning(collect(replay(reply))) == meaning(reply)
        body = json.loads(CHAT.encode_reply(reply, ASKED))
        check_reply(body)
        assert meaning(CHAT.decode_reply(encoded(body))) == meaning(reply)


def test_usage_obeys_its_law(vendor: str) -> None:
    """The total a vendor states is prompt and completion together, and what clients get says the same, streamed or not."""
    for exchange in (*exchanges(vendor, stream=False), *exchanges(vendor, stream=True)):
        text = exchange["resp_text"].encode()
        reply = collect(events_in(text)) if exchange["stream"] else CHAT.decode_reply(text)
        usage = reply.usage
        if usage is None:
            continue
        assert usage.raw is not None
        assert usage.total == usage.raw["total_tokens"], exchange["id"]
        assert usage.cached <= usage.prompt
        assert usage.reasoning <= usage.completion
        told = json.loads(CHAT.encode_reply(reply, ASKED))["usage"]
        streamed = chunks_of(stream_of(replay(reply)))[-1]["usage"]
        assert told["total_tokens"] == streamed["total_tokens"] == usage.total


def test_streams_have_their_texts_in_places(vendor: str) -> None:
    """What a client would show is what guardrails see: joined by channel, the places are the texts."""
    for exchange in exchanges(vendor, stream=True):
        texts: dict[str, list[str]] = {}
        for data in chunks_of(exchange["resp_text"].encode()):
            for place in CHAT.event_texts(data):
                texts.setdefault(place.channel, []).append(place.text)
        for choice in collect(events_in(exchange["resp_text"].encode())).choices:
            assert "".join(texts.get(f"{choice.index}.content", ())) == choice.message.text, exchange["id"]
            thoughts = [held for name in NAMES for held in texts.get(f"{choice.index}.{name}", ())]
            assert "".join(thoughts) == thinking_of(choice), exchange["id"]


NAMES = ("reasoning_content", "reasoning", "thinking")


def thinking_of(choice: Choice) -> str:
    return "".join(part.text for part in choice.message.parts if isinstance(part, Reasoning))


def test_streams_cut_short_are_told(vendor: str) -> None:
    """A recorded stream that loses its end never looks complete."""
    for exchange in exchanges(vendor, stream=True):
        stream = exchange["resp_text"].encode()
        for cut in {len(stream) // 3, len(stream) // 2}:
            if b'"finish_reason":"' in stream[:cut].replace(b": ", b":"):
                continue
            with pytest.raises(ProviderFailed) as caught:
                events_in(stream[:cut])
            assert caught.value.error_code == "upstream_cut", exchange["id"]


def test_errors_are_understood(vendor: str) -> None:
    """Every error body gives a message and a status that is one."""
    for exchange in recorded(vendor):
        if exchange["status"] != 200:
            words = CHAT.decode_error(exchange["status"], exchange["resp_text"].encode())
            assert words.message
            assert words.status == exchange["status"]
            error = msgspec.json.decode(CHAT.encode_error(words))["error"]
            assert (error["message"], error["code"]) == (words.message, words.code)
