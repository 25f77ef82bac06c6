"""Streams of anybody as Google's clients read them."""

from __future__ import annotations

from typing import Any

import msgspec
from core.tests.google_wire import GOOGLE, answer, events, read, said, turn

from headgate.chat import (
    Audio,
    Citation,
    CitationDelta,
    ErrorEvent,
    Finish,
    Image,
    Item,
    Opaque,
    PartDelta,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
    collect,
    replay,
)
from headgate.errors import ProviderTimeout

Json = dict[str, Any]

USED = {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 1, "totalTokenCount": 6}
START = Start("abcDEF-123_4567", "gemini-2.5-flash")


def chunk(*parts: Any, finish: str | None = None, **members: Any) -> Json:
    return answer(*parts, finish=finish, **members)


def call(**members: Any) -> Json:
    return {"functionCall": members}


def test_a_stream_to_a_client() -> None:
    """Texts and thoughts as they come, calls whole, and the end together with what was used."""
    chunks = said(
        [
            Start("r", "gpt-5", 1_700_000_000),
            ReasoningDelta("hm"),
            ReasoningEnd(Opaque("google", "c2ln")),
            TextDelta("Hi"),
            RefusalDelta("no"),
            ToolCallStart(0, "call_1", "f"),
            ToolCallStart(1, "call_2", "g", opaque=Opaque("google", "Zg==")),
            ToolCallDelta(1, '{"a":'),
            ToolCallDelta(0, '{"b": 1.0,\n"c": 2}'),
            TextDelta("still here"),
            ToolCallDelta(1, "[]}"),
            Finish("tool_calls", raw="tool_calls"),
            UsageEvent(Usage(3, 2)),
        ]
    )
    assert [part for one in chunks for part in one["candidates"][0]["content"]["parts"]] == [
        {"text": "hm", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "Hi"},
        {"text": "no"},
        {"text": "still here"},
        {"functionCall": {"id": "call_1", "name": "f", "args": {"b": 1.0, "c": 2}}},
        {"functionCall": {"id": "call_2", "name": "g", "args": {"a": []}}, "thoughtSignature": "Zg=="},
        {"text": ""},
    ]
    assert [one["candidates"][0].get("finishReason") for one in chunks] == [None] * (len(chunks) - 1) + ["STOP"]
    assert chunks[-1]["usageMetadata"] == {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    assert {(one["responseId"], one["modelVersion"], one["createTime"]) for one in chunks} == {
        ("r", "gpt-5", "2023-11-14T22:13:20Z")
    }


def test_the_end_without_usage() -> None:
    """The finish reason is said even where nobody tells what was used; nothing follows it."""
    chunks = said([Start("r", "m"), TextDelta("a"), TextDelta("b", 1), Finish("stop"), Finish("length", 1)])
    assert [one["finishReason"] for one in chunks[-1]["candidates"]] == ["STOP", "MAX_TOKENS"]
    assert "usageMetadata" not in chunks[-1]


def test_sources_and_parts_for_clients() -> None:
    """Sources are grounding at the end; pictures, sounds and other providers' blocks are parts."""
    chunks = said(
        [
            Start("r", "m"),
            PartDelta(Image(data="QUFB", media_type="image/png")),
            PartDelta(Audio("QkJC", "wav")),
            PartDelta(Item("anthropic.messages", {"type": "x"})),
            TextDelta("Zürich"),
            CitationDelta(Citation("https://a.example", end=6)),
            Finish("stop"),
        ]
    )
    support = chunks[-1]["candidates"][0]["groundingMetadata"]["groundingSupports"][0]
    assert support["segment"] == {"endIndex": 7}
    assert len(chunks) == 5


def test_an_error_for_clients() -> None:
    """An error of the provider is one the SDK raises on, and nothing follows it."""
    encoder = GOOGLE.stream_encoder(read_request())
    body = encoder.feed(ErrorEvent("overloaded", "overloaded_error", status=529))
    assert msgspec.json.decode(body.removeprefix(b"data: ")) == {
        "error": {
            "code": 529,
            "message": "overloaded",
            "status": "INTERNAL",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "overloaded_error",
                    "domain": "headgate",
                }
            ],
        }
    }
    event = GOOGLE.error_event(ProviderTimeout("too slow"))
    assert GOOGLE.ending([event]) == "error"


def read_request() -> Any:
    return GOOGLE.decode_request(msgspec.json.encode({"contents": [turn("hi")]}))


def test_a_reply_as_a_stream() -> None:
    """A whole reply told as a stream reads as the same reply."""
    whole = read(
        answer({"text": "hm", "thought": True}, "Hello", call(id="x1", name="f", args={"a": 1}), usageMetadata=USED)
    )
    told = collect(events(said(list(replay(whole)))))
    assert [part for choice in told.choices for part in choice.message.parts] == list(whole.choices[0].message.parts)
    assert told.choices[0].finish == "tool_calls"
