"""Calls and errors in OpenAI chat streams, which vendors number and shape as they like."""

from __future__ import annotations

from typing import Any

import pytest
from core.tests.openai_samples import CHAT, Json, chunk, encoded, events_in

from headgate.chat import (
    ErrorEvent,
    ExtraDelta,
    Finish,
    Opaque,
    Start,
    StreamEvent,
    ToolCallDelta,
    ToolCallStart,
)
from headgate.dialects.sse import DONE, data_event

STOP = Finish("stop", 0, "stop")


def decoded(*chunks: bytes) -> list[StreamEvent]:
    """The events of chunks in a stream that goes on."""
    decoder = CHAT.stream_decoder()
    return [event for raw in chunks for event in decoder.feed(raw)]


def said(*chunks: bytes) -> list[StreamEvent]:
    """What a whole stream says behind its Start."""
    start, *events = events_in(b"".join((*chunks, DONE)))
    assert isinstance(start, Start)
    return events


def calls(*pieces: Json) -> bytes:
    return chunk({"tool_calls": list(pieces)})


# calls


def test_calls_are_told_apart_by_their_index() -> None:
    """Interleaved pieces of two calls go to their calls; each starts once."""
    one = {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}
    two = {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}}
    more = ({"index": 1, "function": {"arguments": "}"}}, {"index": 0, "function": {"arguments": "{}"}})
    assert said(calls(one, two), calls(*more), chunk({}, "stop")) == [
        ToolCallStart(0, "a", "f"),
        ToolCallStart(1, "b", "g"),
        ToolCallDelta(1, "{"),
        ToolCallDelta(1, "}"),
        ToolCallDelta(0, "{}"),
        Finish("tool_calls", 0, "stop"),
    ]


def names(*chunks: bytes) -> dict[str, str]:
    """The calls of a stream: id and arguments by name."""
    events = said(*chunks, chunk({}, "tool_calls"))
    started = {event.call: event for event in events if isinstance(event, ToolCallStart)}
    told = dict.fromkeys(started, "")
    for event in events:
        if isinstance(event, ToolCallDelta):
            told[event.call] += event.arguments
    assert list(started) == list(range(len(started)))
    return {f"{event.name}/{event.id}": told[call] for call, event in started.items()}


def named(name: str, arguments: Any = "{}", **members: Any) -> Json:
    return {"function": {"name": name, "arguments": arguments}, **members}


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([[named("f", id="a", index=0)], [named("g", id="b", index=0)]], {"f/a": "{}", "g/b": "{}"}),
        ([[named("f", id="a")], [named("g", id="b")]], {"f/a": "{}", "g/b": "{}"}),
        ([[named("f", "{", id="a")], [{"function": {"arguments": "}"}}]], {"f/a": "{}"}),
        ([[named("f", "{", id="a", index=0)], [named("f", "}", id="a", index=0)]], {"f/a": "{}"}),
        (
            [[named("f", "{", id="a", index=0)], [{"id": "z", "index": 0, "function": {"arguments": "}"}}]],
            {"f/a": "{}"},
        ),
        ([[named("f", index=0)], [named("g", index=0)]], {"f/call_x_0_0": "{}", "g/call_x_0_1": "{}"}),
        ([[named("f", "{", index=0)], [named("f", "}", index=0)]], {"f/call_x_0_0": "{}"}),
        ([[named("f")], [named("g")]], {"f/call_x_0_0": "{}", "g/call_x_0_1": "{}"}),
        ([[{"index": 0, "id": "a", "function": {"arguments": "{"}}], [named("f", "}", index=0)]], {"f/a": "{}"}),
        ([[named("f", {"a": 1}, id="a", index=0)]], {"f/a": '{"a":1}'}),
        ([[named("f", None, id="a", index=1)]], {"f/a": ""}),
        ([[{"index": 0, "id": "a"}]], {"/a": ""}),
    ],
    ids=[
        "all numbered 0",
        "no index",
        "no index, no id",
        "name and id again",
        "a new id in each piece",
        "all numbered 0, no ids",
        "name again, no ids",
        "nothing but names",
        "name comes late",
        "arguments as an object",
        "no arguments",
        "no name",
    ],
)
def test_odd_numbers_and_ids(pieces: list[list[Json]], expected: dict[str, str]) -> None:
    """Servers that number every call 0, leave out numbers or ids, or repeat what they said."""
    assert names(*(calls(*piece) for piece in pieces)) == expected


def test_custom_legacy_and_signed_calls() -> None:
    """A custom tool's input, a function call of the older form, a call with its signature and members of its vendor."""
    assert said(calls({"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": "select"}}))[:2] == [
        ToolCallStart(0, "a", "sql", custom=True),
        ToolCallDelta(0, "select"),
    ]
    legacy = (chunk({"function_call": {"name": "f", "arguments": "{"}}), chunk({"function_call": {"arguments": "}"}}))
    assert said(*legacy, chunk({}, "function_call")) == [
        ToolCallStart(0, "call_x_0_0", "f"),
        ToolCallDelta(0, "{"),
        ToolCallDelta(0, "}"),
        Finish("tool_calls", 0, "function_call"),
    ]
    signed = named("f", id="a", index=0, extra_content={"google": {"thought_signature": "s"}}, x_mark=1)
    assert said(calls(signed), calls({"index": 0, "x_late": 2}))[:3] == [
        ToolCallStart(0, "a", "f", opaque=Opaque("google", "s"), extra={"x_mark": 1}),
        ToolCallDelta(0, "{}"),
        ExtraDelta({"tool_calls": [{"index": 0, "x_late": 2}]}),
    ]


def test_pieces_that_name_no_call() -> None:
    """Several at once go on with the calls in their order, one alone with the last."""
    begun = [{"id": f"c{at}", "function": {"name": f"f{at}", "arguments": ""}} for at in range(2)]
    more = [{"function": {"arguments": text}} for text in ('{"a":', '{"b":')]
    rest = [{"function": {"arguments": text}} for text in ("1}", "2}")]
    assert names(*(calls(*pieces) for pieces in (begun, more, rest))) == {"f0/c0": '{"a":1}', "f1/c1": '{"b":2}'}
    assert names(calls(*begun), calls(*more[:1]), calls(*rest[:1])) == {"f0/c0": "", "f1/c1": '{"a":1}'}


# errors


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (data_event(encoded({"error": {"message": "no", "code": 429}})), ("no", "429", 429)),
        (data_event(encoded({"error": {"message": "no", "type": "server_error"}})), ("no", None, 500)),
        (data_event(encoded({"error": {"message": "no", "status_code": 498}})), ("no", None, 503)),
        (data_event(encoded({"error": "no"})), ("no", None, 0)),
        (data_event(encoded({"object": "error", "message": "no", "code": 400})), ("no", "400", 400)),
        (b'event: error\ndata: {"message": "no", "type": "rate_limit_error"}\n\n', ("no", None, 429)),
        (
            data_event(
                encoded({"error": {"message": "Provider returned error", "metadata": {"raw": "busy"}}, "choices": []})
            ),
            ("Provider returned error: busy", None, 0),
        ),
    ],
)
def test_errors_in_a_stream(frame: bytes, expected: tuple[str, str | None, int]) -> None:
    """In an envelope, as the event itself, or by the event's name; nothing follows, and the end is no cut."""
    decoder = CHAT.stream_decoder()
    decoder.feed(chunk({"content": "a"}))
    (event,) = decoder.feed(frame)
    assert isinstance(event, ErrorEvent)
    assert (event.message, event.code, event.status) == expected
    assert list(decoder.feed(chunk({"content": "b"}))) == []
    assert list(decoder.feed(DONE)) == []
    assert list(decoder.end(is_broken=True)) == []


def test_an_error_may_come_first() -> None:
    """Then nothing has started."""
    assert decoded(data_event(encoded({"error": {"message": "no"}}))) == [ErrorEvent("no", None, {"message": "no"})]
