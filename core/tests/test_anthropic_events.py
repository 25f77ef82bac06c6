"""Streams written for Anthropic's clients: the official SDK's accumulator reads what was meant, whatever the vendor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anthropic
import msgspec
import pytest
from core.tests.anthropic_sdk import DIALECT, accumulate, decode_stream, decoded, encode_stream

from headgate.chat import (
    Audio,
    ChatReply,
    Choice,
    Citation,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    FinishReason,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    PartDelta,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
    collect,
    replay,
)
from headgate.dialects.sse import data_of, events_of

Json = dict[str, Any]

START = Start("chatcmpl-1234567890", "gpt-5")
STOP = Finish("stop")


def data_in(stream: bytes) -> list[Json]:
    return [msgspec.json.decode(data_of(event)) for event in events_of(stream)]


def check_nesting(stream: bytes) -> list[Json]:
    """The events of a stream that is nested as Anthropic's is: one block at a time, counted from 0, named by its type."""
    events = data_in(stream)
    names = [event.split(b"\n")[0].removeprefix(b"event: ").decode() for event in events_of(stream)]
    assert names == [event["type"] for event in events]
    assert (names[0], names[-2:]) == ("message_start", ["message_delta", "message_stop"])
    is_open, index = False, -1
    for event in events[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert not is_open
                is_open, index = True, index + 1
            case "content_block_stop":
                assert is_open
                is_open = False
            case kind:
                assert (kind, is_open) == ("content_block_delta", True)
        assert event["index"] == index
    assert not is_open
    return events


def said(*events: StreamEvent, finish: Finish = STOP) -> list[Json]:
    """The blocks that the SDK reads of a stream of these events."""
    stream = encode_stream([START, *events, finish])
    check_nesting(stream)
    return [block.to_dict() for block in accumulate(stream).content]


def call(number: int, *pieces: str, call_id: str = "", name: str = "f", **fields: Any) -> list[StreamEvent]:
    start = ToolCallStart(number, call_id or f"call_{number}", name, **fields)
    return [start, *(ToolCallDelta(number, piece) for piece in pieces)]


def test_the_sdk_reads_a_stream() -> None:
    """Thinking, text and a call become blocks; the stop reason and the counts come last."""
    usage = Usage(10, 5, 3, 2, 4)
    events: Iterable[StreamEvent] = [
        START,
        ReasoningDelta("h"),
        ReasoningDelta("m"),
        ReasoningEnd(Opaque("google", "AAAA")),
        TextDelta("Hel"),
        TextDelta("lo"),
        *call(0, '{"n"', ": 1.50}"),
        Finish("tool_calls", 0, "tool_calls"),
        UsageEvent(usage, {"service_tier": "default"}),
    ]
    stream = encode_stream(events)
    check_nesting(stream)
    held = accumulate(stream)
    assert (held.id, held.model, held.stop_reason) == ("chatcmpl-1234567890", "gpt-5", "tool_use")
    assert [block.to_dict() for block in held.content] == [
        {"type": "thinking", "thinking": "hm", "signature": "headgate:google::AAAA"},
        {"type": "text", "text": "Hello"},
        {"type": "tool_use", "id": "call_0", "name": "f", "input": {"n": 1.5}},
    ]
    assert (held.usage.input_tokens, held.usage.output_tokens) == (5, 5)
    assert (held.usage.cache_read_input_tokens, held.usage.cache_creation_input_tokens) == (3, 2)
    assert data_in(stream)[-2]["usage"]["service_tier"] == "standard"


def test_arguments_go_out_as_they_come() -> None:
    """The arguments of a call are not held back, and every byte of them goes out."""
    encoder = DIALECT.stream_encoder(decoded())
    encoder.feed(START)
    pieces = ['{"n": 1.50', ', "big": 12345678901234567890', "}"]
    for event, piece in zip(call(0, *pieces)[1:], pieces, strict=True):
        if event == ToolCallDelta(0, pieces[0]):
            encoder.feed(ToolCallStart(0, "a", "f"))
        assert data_in(encoder.feed(event))[-1]["delta"] == {"type": "input_json_delta", "partial_json": piece}


def test_a_missing_model_and_id() -> None:
    """A vendor that names neither itself nor the reply is called by what was asked for."""
    for events in ([Start("", ""), TextDelta("x"), STOP], [TextDelta("x"), STOP], []):
        held = accumulate(encode_stream(events))
        assert (held.id, held.model) == ("msg_headgate", "claude-sonnet-4-5")


def test_texts_of_their_own() -> None:
    """Text that the vendor told apart is another block, so that sources stand with the text that they are of."""
    source = CitationDelta(Citation("https://a.example", "A", "so"))
    blocks = said(TextDelta("By it, "), TextDelta("so", begins=True), TextDelta("."), source, TextDelta(" Done."))
    assert [(block["text"], len(block.get("citations") or ())) for block in blocks] == [
        ("By it, ", 0),
        ("so.", 1),
        (" Done.", 0),
    ]


def test_blocks_end_before_others_begin() -> None:
    """Text, thinking and text again are three blocks."""
    blocks = said(TextDelta("a"), ReasoningDelta("b"), TextDelta("c"), ReasoningDelta("d"))
    assert [(block["type"], block.get("text") or block.get("thinking")) for block in blocks] == [
        ("text", "a"),
        ("thinking", "b"),
        ("text", "c"),
        ("thinking", "d"),
    ]


def test_calls_that_come_interleaved() -> None:
    """Arguments that come crosswise are put in order, each call a block of its own."""
    events = [
        ToolCallStart(0, "a", "f"),
        ToolCallStart(1, "b", "g"),
        ToolCallDelta(1, '{"m": '),
        ToolCallDelta(0, '{"n": {}'),
        ToolCallDelta(1, "2}"),
        ToolCallDelta(0, "}"),
    ]
    expected: list[tuple[str, str, Json]] = [("a", "f", {"n": {}}), ("b", "g", {"m": 2})]
    for order in (events, [events[0], events[3], events[1], events[2], events[5], events[4]]):
        blocks = said(*order, finish=Finish("tool_calls"))
        assert [(block["id"], block["name"], block["input"]) for block in blocks] == expected


def test_text_between_calls() -> None:
    """Text behind a call whose arguments are not whole ends that call."""
    blocks = said(*call(0, '{"n": 1}'), TextDelta("x"), *call(1, "{}"))
    assert [block["type"] for block in blocks] == ["tool_use", "text", "tool_use"]
    assert [block["type"] for block in said(*call(0), *call(1), TextDelta("x"))] == ["tool_use", "tool_use", "text"]


@pytest.mark.parametrize(
    ("pieces", "fields", "expected"),
    [
        ([], {}, {}),
        (["", "  "], {}, {}),
        ([" ", '{"n": 1}'], {}, {"n": 1}),
        (["[1,", "2]"], {}, {"arguments": "[1,2]"}),
        (["some ", "text"], {"custom": True}, {"input": "some text"}),
        (['{"n": 1}'], {"custom": True}, {"input": '{"n": 1}'}),
    ],
)
def test_inputs_are_objects(pieces: list[str], fields: Json, expected: Json) -> None:
    """An input is always an object: text and other JSON are wrapped as in whole replies."""
    assert said(*call(0, *pieces, **fields))[0]["input"] == expected


def test_ids_are_given_and_told_apart() -> None:
    """A call without an id, or with one that was there, gets one made of the reply's."""
    blocks = said(*call(0, "{}", call_id="a"), *call(1, "{}", call_id="a"), ToolCallStart(2, "", "h"))
    assert [block["id"] for block in blocks] == ["a", "toolu_34567890_1", "toolu_34567890_2"]


@pytest.mark.parametrize(
    "part",
    [
        Reasoning("hm", Opaque("google", "AA:AA", "acme")),
        Reasoning("hm", Opaque("openai", "AAAA"), item_id="rs_1"),
        Reasoning("", Opaque("openai", "AAAA"), item_id="rs_1"),
        Reasoning("", Opaque("openrouter", "AAAA"), is_redacted=True),
        # by another id OpenAI refuses it: https://github.com/maximhq/bifrost/issues/5186
        Reasoning("", Opaque("openai", "AAAA"), is_redacted=True, item_id="rs_1"),
        Reasoning("hm"),
        Text("x", opaque=Opaque("google", "AAAA", "acme")),
        ToolCall("a", "f", "{}", opaque=Opaque("google", "AAAA")),
    ],
)
def test_thoughts_of_others_come_back(part: Part) -> None:
    """A client that sends a streamed answer back as it came gives every vendor its signature again."""
    reply = ChatReply("id", "m", (Choice(Message("assistant", (Text("before"), part)), "stop"),))
    stream = encode_stream(replay(reply))
    check_nesting(stream)
    content = [block.to_dict() for block in accumulate(stream).content]
    request = decoded("x", {"role": "assistant", "content": content}, "y")
    assert b"".join(text.text.encode() for text in request.messages[1].parts if isinstance(text, Text))[:6] == b"before"
    last = request.messages[1].parts[-1]
    assert last == (Text("beforex", opaque=part.opaque) if isinstance(part, Text) else part)


@pytest.mark.parametrize(
    ("events", "signature"),
    [
        ([ReasoningDelta("hm"), ReasoningEnd(Opaque("anthropic", "c2ln"))], "c2ln"),
        ([ReasoningDelta("hm"), TextDelta("Hello")], ""),
        ([ReasoningEnd(Opaque("google", "AAAA"))], "headgate:google::AAAA"),
        ([TextDelta("x", opaque=Opaque("google", "AAAA"))], "headgate.text:google::AAAA"),
        (call(0, "{}", opaque=Opaque("google", "AAAA")), "headgate.call:google::AAAA"),
    ],
)
def test_signatures_come_in_deltas(events: list[StreamEvent], signature: str) -> None:
    """Of thinking without text and without a signature too: Claude Code, Vercel's SDK and LangChain read no other place.

    https://github.com/nielspeter/claude-code-proxy/pull/17 and https://github.com/routatic/proxy/issues/51
    """
    held = data_in(encode_stream([START, *events, STOP]))
    begun = next(each for each in held if each.get("content_block", {}).get("type") == "thinking")
    said = [each for each in held if each.get("index") == begun["index"]]
    assert begun["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    assert said[-2]["delta"] == {"type": "signature_delta", "signature": signature}


def test_own_thoughts_are_raw() -> None:
    """What Anthropic signed goes out as Anthropic signed it."""
    events = [ReasoningDelta("hm"), ReasoningEnd(Opaque("anthropic", "c2ln"))]
    redacted = ReasoningEnd(Opaque("anthropic", "c2VjcmV0"), is_redacted=True)
    assert said(*events, redacted) == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
    ]


def test_sources_of_a_text() -> None:
    """Sources become citations of the open text; one without a place in Anthropic's words stands beside."""
    own = {
        "type": "page_location",
        "cited_text": "so",
        "document_index": 0,
        "start_page_number": 1,
        "end_page_number": 2,
    }
    held = [Citation("https://e.org", "E", "q"), Citation(raw=own), Citation(title="only a title")]
    stream = encode_stream([START, TextDelta("x"), *map(CitationDelta, held), STOP])
    block: Any = accumulate(stream).content[0]
    assert [citation.type for citation in block.citations] == ["web_search_result_location", "page_location"]
    assert data_in(stream)[-2]["citations"] == [{"title": "only a title"}]


def test_a_refusal_says_why() -> None:
    """A refusal is text, and the reason why the model stopped."""
    stream = encode_stream([START, RefusalDelta("I "), RefusalDelta("cannot."), STOP])
    held = accumulate(stream)
    assert ([block.to_dict() for block in held.content], held.stop_reason) == (
        [{"type": "text", "text": "I cannot."}],
        "refusal",
    )
    assert data_in(stream)[-2]["delta"]["stop_details"]["explanation"] == "I cannot."


def test_what_no_block_can_say_stands_beside() -> None:
    """Pictures, sound, blocks of other vendors and further members come with the last event; own blocks are blocks."""
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    parts = Item("anthropic.messages", search), Image(url="https://e.org/a.png"), Audio("AAAA", "wav")
    extra = [ExtraDelta({"images": [1], "type": "x"}), ExtraDelta({"images": [2], "odd": 1})]
    stream = encode_stream([START, *map(PartDelta, parts), PartDelta(Item("x.y", {"type": "z"})), *extra, STOP])
    check_nesting(stream)
    assert [block.type for block in accumulate(stream).content] == ["server_tool_use"]
    last = data_in(stream)[-2]
    assert last["images"] == [1, 2, {"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}}]
    assert last["audio"] == [{"data": "AAAA", "format": "wav"}]
    assert (last["provider_items"], last["odd"]) == ([{"type": "z", "dialect": "x.y"}], 1)


@pytest.mark.parametrize(
    ("finish", "raw", "stop", "expected"),
    [
        ("stop", "stop", None, ("end_turn", None)),
        ("length", "length", None, ("max_tokens", None)),
        ("tool_calls", None, None, ("tool_use", None)),
        ("content_filter", "SAFETY", None, ("refusal", None)),
        ("stop", "pause_turn", None, ("pause_turn", None)),
        ("stop", "stop", "END", ("stop_sequence", "END")),
    ],
)
def test_why_it_stopped(
    finish: FinishReason, raw: str | None, stop: str | None, expected: tuple[str, str | None]
) -> None:
    """A finish is a stop reason, as in whole replies."""
    held = accumulate(encode_stream([START, TextDelta("x"), Finish(finish, 0, raw, stop)]))
    assert (held.stop_reason, held.stop_sequence) == expected


def test_only_the_first_answer_is_said() -> None:
    """A client of Anthropic's reads one answer; it cannot have asked for more."""
    assert said(TextDelta("x"), TextDelta("y", 1), ToolCallStart(0, "a", "f", 1)) == [{"type": "text", "text": "x"}]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (ErrorEvent("slow down", "rate_limit_error"), "rate_limit_error"),
        (ErrorEvent("slow down", "RESOURCE_EXHAUSTED", status=429), "rate_limit_error"),
        (ErrorEvent("slow down"), "api_error"),
    ],
)
def test_an_error_within_a_stream(event: ErrorEvent, kind: str) -> None:
    """An error is an error event of Anthropic's, and raises in the SDK."""
    encoder = DIALECT.stream_encoder(decoded())
    stream = b"".join(map(encoder.feed, (START, TextDelta("x"), event)))
    assert data_in(stream)[-1] == {"type": "error", "error": {"type": kind, "message": "slow down"}}
    with pytest.raises(anthropic.APIError, match="slow down"):
        accumulate(stream)


def test_an_answer_that_ended_with_an_error() -> None:
    """No stop reason can say that the provider failed: the stream ends with an error, not with a whole message."""
    stream = encode_stream([START, TextDelta("x"), Finish("error", 0, "MALFORMED_FUNCTION_CALL")])
    assert [event["type"] for event in data_in(stream)][-2:] == ["content_block_stop", "error"]
    with pytest.raises(anthropic.APIError, match="MALFORMED_FUNCTION_CALL"):
        accumulate(stream)


def test_an_own_stream_comes_out_with_the_same_meaning() -> None:
    """What is written reads as what was meant, all kinds of parts together."""
    events = [
        Start("msg_1", "claude-opus-5"),
        ReasoningDelta("hm"),
        ReasoningEnd(Opaque("anthropic", "c2ln")),
        TextDelta("Hello"),
        *call(0, '{"n": 1.50}'),
        PartDelta(Item("anthropic.messages", {"type": "container_upload", "file_id": "f"})),
        *call(1, "{}"),
        Finish("tool_calls", 0, "tool_use"),
        UsageEvent(Usage(10, 5)),
    ]
    again = collect(decode_stream(encode_stream(events)))
    wanted = collect(events)
    assert again.choices == wanted.choices
    assert again.usage is not None
    assert (again.id, again.usage.prompt, again.usage.completion) == ("msg_1", 10, 5)
