"""Anthropic's streams: what their events mean, however they come."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from core.tests.anthropic_sdk import DIALECT, decode_stream, message, sse, stream_of

from headgate.chat import (
    Citation,
    CitationDelta,
    ErrorEvent,
    Finish,
    Item,
    Opaque,
    PartDelta,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Start,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
    collect,
)
from headgate.errors import ProviderFailed

Json = dict[str, Any]

TEXT: tuple[Json, list[Json]] = (
    {"type": "text", "text": ""},
    [{"type": "text_delta", "text": "Hel"}, {"type": "text_delta", "text": "lo"}],
)
THINKING: tuple[Json, list[Json]] = (
    {"type": "thinking", "thinking": "", "signature": ""},
    [{"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "c2ln"}],
)
CALL: tuple[Json, list[Json]] = (
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
    [{"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"n": ', "1.50}")],
)
USAGE = Usage(9, 3, raw={"input_tokens": 9, "output_tokens": 3})
START = Start("msg_1", "claude-sonnet-4-5", usage=USAGE)
END = (Finish("stop", 0, "end_turn"), UsageEvent(USAGE))


def test_events_are_understood() -> None:
    """Thinking with its signature, text and a call with its arguments, then why it ended and what it cost."""
    assert decode_stream(stream_of(THINKING, TEXT, CALL, stop="tool_use")) == [
        START,
        ReasoningDelta("hm"),
        ReasoningEnd(Opaque("anthropic", "c2ln")),
        TextDelta("Hel"),
        TextDelta("lo"),
        ToolCallStart(0, "toolu_1", "f"),
        ToolCallDelta(0, '{"n": '),
        ToolCallDelta(0, "1.50}"),
        Finish("tool_calls", 0, "tool_use"),
        UsageEvent(USAGE),
    ]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_pieces_do_not_matter(size: int) -> None:
    """Events are the same however the bytes come."""
    data = stream_of(THINKING, TEXT, CALL)
    assert decode_stream(data, size) == decode_stream(data)


def test_a_stream_is_the_reply() -> None:
    """A stream adds up to what the whole reply says, usage and tier included."""
    usage = {"input_tokens": 9, "output_tokens": 3, "cache_read_input_tokens": 5, "service_tier": "priority"}
    tool = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"n": 1}}
    whole = message(
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "Hello"},
        tool,
        stop="tool_use",
        usage=usage,
    )
    call = (tool | {"input": {}}, [{"type": "input_json_delta", "partial_json": '{"n":1}'}])
    streamed = stream_of(THINKING, TEXT, call, stop="tool_use", cache_read_input_tokens=5, service_tier="priority")
    reply = collect(decode_stream(streamed))
    assert msgspec.structs.replace(reply, dialect="anthropic.messages") == DIALECT.decode_reply(
        msgspec.json.encode(whole)
    )


def test_what_says_nothing_gives_nothing() -> None:
    """Pings, comments, unknown events, unknown deltas and empty ones are passed over; so is all behind the end."""
    odd = sse({"type": "ping"}, {"type": "vendor_event", "x": 1}) + b": keep-alive\n\n" + b"event: x\n\n"
    deltas = [{"type": "text_delta", "text": ""}, {"type": "new_delta", "x": 1}, {"type": "text_delta", "text": "x"}]
    data = odd + stream_of(({"type": "text", "text": ""}, deltas)) + stream_of(TEXT) + odd
    assert decode_stream(data) == [START, TextDelta("x"), *END]


def test_redacted_thinking() -> None:
    """Thinking without its text keeps what the next turn must bring back."""
    events = decode_stream(stream_of(({"type": "redacted_thinking", "data": "c2VjcmV0"}, [])))
    assert events[1] == ReasoningEnd(Opaque("anthropic", "c2VjcmV0"), is_redacted=True)
    part = collect(events).choices[0].message.parts[0]
    assert part == Reasoning("", Opaque("anthropic", "c2VjcmV0"), is_redacted=True)


def test_omitted_thinking_keeps_its_signature() -> None:
    """Thinking that is not shown has no text, and still must come back."""
    block = ({"type": "thinking", "thinking": "", "signature": ""}, [{"type": "signature_delta", "signature": "s"}])
    parts = collect(decode_stream(stream_of(block, TEXT))).choices[0].message.parts
    assert parts == (Reasoning("", Opaque("anthropic", "s")), Text("Hello"))


@pytest.mark.parametrize(
    ("said", "deltas", "expected"),
    [({}, [], "{}"), ({"n": 1}, [], '{"n":1}'), ({}, ["{}"], "{}"), (None, [], "{}")],
)
def test_inputs_come_in_pieces_or_whole(said: Json | None, deltas: list[str], expected: str) -> None:
    """Arguments come in pieces, or whole where the call begins; a call without any has an empty object."""
    pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in deltas]
    events = decode_stream(stream_of(({"type": "tool_use", "id": "a", "name": "f", "input": said}, pieces)))
    assert collect(events).choices[0].message.parts == (ToolCall("a", "f", expected),)


def test_calls_are_numbered() -> None:
    """Every call has its number, whatever stands between them."""
    other = (CALL[0] | {"id": "toolu_2"}, CALL[1])
    events = decode_stream(stream_of(CALL, TEXT, other, stop="tool_use"))
    starts = [event for event in events if isinstance(event, ToolCallStart)]
    assert [(start.call, start.id) for start in starts] == [(0, "toolu_1"), (1, "toolu_2")]


def test_the_output_tool_is_content() -> None:
    """The input of the reserved tool is text, finished as an answer."""
    output = (CALL[0] | {"name": "headgate_output"}, CALL[1])
    events = decode_stream(stream_of(output, stop="tool_use"))
    assert events[1:-1] == [TextDelta('{"n": '), TextDelta("1.50}"), Finish("stop", 0, "tool_use")]


def test_sources_follow_their_text() -> None:
    """Sources come before the text they belong to, and are told behind it."""
    raw: Json = {"type": "char_location", "cited_text": "so", "document_title": "Doc", "document_index": 0}
    begun: Json = {"type": "text", "text": "", "citations": []}
    block = (begun, [{"type": "citations_delta", "citation": raw}, *TEXT[1]])
    events = decode_stream(stream_of(block))
    source = Citation(None, "Doc", "so", raw=raw)
    assert events[1:4] == [TextDelta("Hel"), TextDelta("lo"), CitationDelta(source)]


def test_tools_of_anthropics_own_come_whole() -> None:
    """A search and what it found are kept as they are, with the input that came in pieces."""
    search: Json = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    found: Json = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"query"', ':"q"}')]
    events = decode_stream(stream_of((search, pieces), (found, [])))
    assert events[1:3] == [
        PartDelta(Item("anthropic.messages", search | {"input": {"query": "q"}})),
        PartDelta(Item("anthropic.messages", found)),
    ]


def test_a_compaction_comes_in_deltas() -> None:
    """What stands for the turns before is put together from its pieces."""
    deltas: list[Json] = [
        {"type": "compaction_delta", "content": "They "},
        {"type": "compaction_delta", "content": "met.", "encrypted_content": "c2Vj"},
    ]
    block: Json = {"type": "compaction", "content": None}
    whole = {"type": "compaction", "content": "They met.", "encrypted_content": "c2Vj"}
    assert decode_stream(stream_of((block, deltas), TEXT))[1] == PartDelta(Item("anthropic.messages", whole))


def test_the_end_says_why() -> None:
    """Stop sequence, refusal and further members of the last event are kept."""
    details: Json = {"type": "refusal", "category": "bio", "explanation": "no"}
    delta = {"stop_reason": "refusal", "stop_sequence": "END", "stop_details": details, "container": {"id": "c"}}
    last: Json = {
        "type": "message_delta",
        "delta": delta,
        "usage": {"output_tokens": 3},
        "context_management": {"x": 1},
    }
    events = decode_stream(
        sse({"type": "message_start", "message": message(stop=None)}, last, {"type": "message_stop"})
    )
    assert events[1] == Finish("content_filter", 0, "refusal", "END", {"stop_details": details})
    assert events[2] == UsageEvent(USAGE, {"container": {"id": "c"}, "context_management": {"x": 1}})


# odd streams


def test_a_start_that_has_content() -> None:
    """Blocks that a host puts into the first event are part of the answer."""
    held = message(
        {"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "a", "name": "f", "input": {"n": 1}}, stop=None
    )
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}}
    events = decode_stream(sse({"type": "message_start", "message": held}, end, {"type": "message_stop"}))
    assert events[1:4] == [TextDelta("Hi"), ToolCallStart(0, "a", "f"), ToolCallDelta(0, '{"n":1}')]


def test_a_start_said_twice() -> None:
    """A first event that is repeated is passed over; another message within the first is a fault."""
    start = sse({"type": "message_start", "message": message(stop=None)})
    assert decode_stream(start + stream_of(TEXT))[:2] == [START, TextDelta("Hel")]
    other = sse({"type": "message_start", "message": message(stop=None, id="msg_2")})
    with pytest.raises(ProviderFailed) as caught:
        decode_stream(start + other)
    assert caught.value.error_code == "upstream_bad_reply"


def test_a_whole_message_as_one_event() -> None:
    """A host that was not asked to stream gives the message as an event: it is the stream."""
    data = b"event: message\ndata: " + msgspec.json.encode(message({"type": "text", "text": "Hi"})) + b"\n\n"
    assert decode_stream(data) == [Start("msg_1", "claude-sonnet-4-5"), TextDelta("Hi"), *END]


def test_a_block_that_never_ended() -> None:
    """The next block, or the end of the message, ends one whose own end is missing."""
    start = {"type": "message_start", "message": message(stop=None)}
    begun = {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "hm"}}
    events = decode_stream(sse(start, begun, {"type": "message_stop"}))
    assert events[1:4] == [ReasoningDelta("hm"), ReasoningEnd(), Finish("stop")]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, ("Overloaded", "overloaded_error", 503)),
        ({"type": "rate_limit_error", "message": "Slow"}, ("Slow", "rate_limit_error", 429)),
        ({"type": "odd_error", "message": "?"}, ("?", "odd_error", 0)),
        ("broken", ("broken", None, 0)),
    ],
)
def test_an_error_ends_the_stream(error: object, expected: tuple[str, str | None, int]) -> None:
    """An error event is told with its status, and nothing is said behind it."""
    data = stream_of(TEXT).partition(b"event: message_delta")[0]
    events = decode_stream(data + sse({"type": "error", "error": error}) + stream_of(TEXT))
    last = events[-1]
    assert isinstance(last, ErrorEvent)
    assert (last.message, last.code, last.status) == expected
    assert not any(isinstance(event, Finish) for event in events)


@pytest.mark.parametrize("keep", [b"event: ping", b"event: message_delta", b"event: message_stop"])
def test_a_cut_stream_is_never_a_whole_one(keep: bytes) -> None:
    """Without its last event a stream is not complete, even when the stop reason was there."""
    data = stream_of(TEXT).partition(keep)[0]
    with pytest.raises(ProviderFailed) as caught:
        decode_stream(data)
    assert caught.value.error_code == "upstream_cut"


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"type": "message_delta", "delta"'])
def test_what_is_no_event_is_the_providers_fault(data: bytes) -> None:
    """Data that is no event of the Messages API is a failure of the provider."""
    with pytest.raises(ProviderFailed) as caught:
        decode_stream(b"data: " + data + b"\n\n")
    assert caught.value.error_code == "upstream_bad_reply"


# what is read of a stream that passes as it is


def test_usage_of_passing_events() -> None:
    """Counts of the first event and the last belong together; later ones replace earlier ones."""
    first: Json = {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}
    last: Json = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 30, "input_tokens": None}}
    events = [sse(event) for event in (first, {"type": "ping"}, last, {"type": "message_stop"})]
    found = DIALECT.tail_usage(events)
    assert found is not None
    assert (found.prompt, found.completion) == (9, 30)
    assert DIALECT.tail_usage([sse({"type": "ping"}), b"data: {\n\n"]) is None


ENDINGS: list[tuple[list[Json], str]] = [
    ([{"type": "message_delta", "delta": {}}, {"type": "message_stop"}], "complete"),
    ([{"type": "message_stop"}, {"type": "ping"}], "complete"),
    ([{"type": "message", "content": []}], "complete"),
    ([{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}], "cut"),
    ([{"type": "content_block_stop", "index": 0}], "cut"),
    ([{"type": "error", "error": {"type": "overloaded_error"}}], "error"),
    ([], "cut"),
]


@pytest.mark.parametrize(("tail", "expected"), ENDINGS)
def test_how_a_passing_stream_ended(tail: list[Json], expected: str) -> None:
    """Only `message_stop` completes a stream."""
    events = [sse(event) for event in tail]
    assert DIALECT.ending(events) == expected
    assert DIALECT.ending([*events, b"data: {oops\n\n"], is_broken=True) == expected


def test_an_error_of_the_gateway_in_a_stream() -> None:
    """An error in the middle of a passing stream is an error event of Anthropic's."""
    held = DIALECT.error_event(ProviderFailed("the provider hung up", code="upstream_cut"))
    assert held.startswith(b"event: error\ndata: ")
    error = msgspec.json.decode(held.partition(b"data: ")[2])["error"]
    assert error == {"type": "api_error", "message": "the provider hung up", "details": {"error_code": "upstream_cut"}}
