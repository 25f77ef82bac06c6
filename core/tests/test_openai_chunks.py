"""Streams for OpenAI chat clients: valid by the official types, and put together by the official SDK to what was said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import httpx2
import pytest
from core.tests.openai_samples import CHAT, Json, check_chunks, chunks_of, decode, events_in, request, stream_of
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from openai import APIError, OpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ParsedChatCompletion

from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    Citation,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    Image,
    Item,
    Message,
    Opaque,
    PartDelta,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    RefusalDelta,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
    collect,
    replay,
)
from headgate.dialects.sse import DONE
from headgate.errors import Blocked

ASKED = ChatRequest("m", (), include_usage=True)
START = Start("x", "m", 5)


def deltas(*events: StreamEvent, asked: ChatRequest = ASKED) -> list[Any]:
    """The deltas of a stream behind its first, without those that say nothing."""
    stream = stream_of((START, *events), asked)
    check_chunks(stream)
    told = [choice["delta"] for held in chunks_of(stream) for choice in held["choices"]]
    return [delta for delta in told[1:] if delta]


def test_words_are_said_once() -> None:
    """The official SDK joins the strings of deltas: what a message says about itself twice comes once, with its last word."""
    events = (
        ExtraDelta({"phase": "commentary", "x": [1]}),
        TextDelta("a"),
        ExtraDelta({"phase": "final_answer"}),
        TextDelta("b"),
        Finish("stop"),
    )
    assert deltas(*events) == [{"x": [1]}, {"content": "a"}, {"content": "b"}, {"phase": "final_answer"}]


def put_together(stream: bytes) -> ParsedChatCompletion[None]:
    """What the official SDK makes of a stream."""
    state = ChatCompletionStreamState()
    for held in check_chunks(stream):
        state.handle_chunk(held)
    return state.get_final_completion()


# grammar


def test_a_stream_in_full() -> None:
    """The role first, then the deltas, the finish, usage for those who asked, and the end."""
    events = (
        START,
        TextDelta("a"),
        Finish("stop", 0, "end_turn", "END"),
        UsageEvent(Usage(1, 2), {"citations": ["u"]}),
    )
    head = {"id": "x", "object": "chat.completion.chunk", "created": 5, "model": "m"}
    quiet = {"logprobs": None, "finish_reason": None}
    last = {"logprobs": None, "finish_reason": "stop", "native_finish_reason": "end_turn", "stop_reason": "END"}
    stream = stream_of(events)
    check_chunks(stream)
    *chunks, usage = chunks_of(stream)
    assert chunks == [
        {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, **quiet}]},
        {**head, "choices": [{"index": 0, "delta": {"content": "a"}, **quiet}]},
        {**head, "choices": [{"index": 0, "delta": {}, **last}]},
    ]
    assert (usage["choices"], usage["usage"]["total_tokens"], usage["citations"]) == ([], 3, ["u"])
    assert stream.endswith(DONE)


def test_members_of_the_whole_reply_reach_those_who_want_no_usage() -> None:
    """They stand in the last chunk then."""
    usage = UsageEvent(Usage(1, 2), {"citations": ["u"], "service_tier": "standard", "id": "z"})
    stream = stream_of((START, Finish("stop"), usage), replace(ASKED, include_usage=False))
    check_chunks(stream)
    last = chunks_of(stream)[-1]
    assert (last["citations"], last["service_tier"], last["id"]) == (["u"], "default", "x")
    assert "usage" not in last


def test_usage_is_said_once_and_a_later_one_corrects_it() -> None:
    """Whatever order it comes in."""
    stream = stream_of((START, UsageEvent(Usage(1, 1)), Finish("stop"), UsageEvent(Usage(1, 2))))
    check_chunks(stream)
    assert [held["usage"]["completion_tokens"] for held in chunks_of(stream) if "usage" in held] == [2]


def test_the_model_is_named_where_the_provider_does_not() -> None:
    """By the name that was asked for."""
    assert chunks_of(stream_of((Start("x", ""), Finish("stop"))))[0]["model"] == "m"


def test_an_error_is_one_to_the_sdk() -> None:
    """It raises; there is neither a finish nor an end before or behind it."""
    raw = {"type": "overloaded_error", "message": "busy", "details": 1}
    encoder = CHAT.stream_encoder(ASKED)
    events = (START, TextDelta("a"), Finish("stop"), UsageEvent(Usage(1)), ErrorEvent("busy", "529", raw, 503))
    stream = b"".join(map(encoder.feed, events))
    assert b"[DONE]" not in stream
    assert b'"stop"' not in stream
    assert chunks_of(stream)[-1]["error"] == {**raw, "param": None, "code": "529"}
    assert raised(stream) == "busy"
    assert raised(encoder.feed(ErrorEvent(""))) == "the provider broke off with an error"
    assert raised(CHAT.error_event(Blocked("no"))) == "no"
    assert CHAT.ending([CHAT.error_event(Blocked("no"))]) == "error"


def raised(stream: bytes) -> str:
    """What the official client raises on a stream."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        client = OpenAI(api_key="k", base_url="http://test", http_client=http, max_retries=0)
        chunks = client.chat.completions.create(model="m", messages=[], stream=True)
        with pytest.raises(APIError) as caught:
            list(chunks)
    return caught.value.message


# kinds of deltas


def test_calls_are_numbered_from_0_and_have_arguments() -> None:
    """Whatever their numbers were; one without arguments gets an empty object before the finish."""
    events = (
        ToolCallStart(3, "a", "f", opaque=Opaque("google", "s"), extra={"x": 1, "id": "z"}),
        ToolCallStart(7, "b", "g"),
        ToolCallDelta(7, "{}"),
        ExtraDelta({"tool_calls": [{"index": 7, "x_late": 1}], "content": "not this"}),
        Finish("tool_calls"),
    )
    assert [delta["tool_calls"][0] for delta in deltas(*events)] == [
        {
            "index": 0,
            "id": "a",
            "type": "function",
            "function": {"name": "f", "arguments": ""},
            "x": 1,
            "extra_content": {"google": {"thought_signature": "s"}},
        },
        {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
        {"index": 1, "x_late": 1},
        {"index": 0, "function": {"arguments": "{}"}},
    ]


def test_custom_calls_stream_their_input() -> None:
    """As OpenAI does it, though its types do not have it."""
    stream = stream_of(
        (START, ToolCallStart(0, "c", "sql", custom=True), ToolCallDelta(0, "select"), Finish("tool_calls"))
    )
    calls = [held["choices"][0]["delta"]["tool_calls"][0] for held in chunks_of(stream)[1:3]]
    assert calls == [
        {"index": 0, "id": "c", "type": "custom", "custom": {"name": "sql", "input": ""}},
        {"index": 0, "custom": {"input": "select"}},
    ]


def test_callers_with_functions_get_a_function_call() -> None:
    """The first call is one, and the finish says so."""
    asked = decode(request(functions=[{"name": "f"}]))
    events = (ToolCallStart(0, "a", "f"), ToolCallDelta(0, "{}"), ToolCallStart(1, "b", "g"), Finish("tool_calls"))
    assert deltas(*events, asked=asked) == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
        {"tool_calls": [{"index": 0, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
    ]


def test_sources_count_in_the_whole_content() -> None:
    """Text behind a source is another part, whose places begin anew."""
    first, second = (
        delta["annotations"][0]
        for delta in deltas(
            TextDelta("abc"),
            CitationDelta(Citation("u", start=1, end=2)),
            TextDelta("de"),
            TextDelta("f"),
            CitationDelta(Citation("v", start=1, end=2)),
            Finish("stop"),
        )
        if "annotations" in delta
    )
    assert (first["url_citation"]["start_index"], first["url_citation"]["end_index"], first["index"]) == (1, 2, 0)
    assert (second["url_citation"]["start_index"], second["url_citation"]["end_index"], second["index"]) == (4, 5, 1)


def test_signed_thinking_comes_whole() -> None:
    """Deltas are text; a block with a signature is told again in one detail, so that no client has to join it."""
    told = deltas(
        ReasoningDelta("a"),
        ReasoningDelta("b"),
        ReasoningEnd(Opaque("anthropic", "s", "acc")),
        ReasoningEnd(Opaque("anthropic", "blob"), is_redacted=True),
        ReasoningDelta("unsigned"),
        ReasoningEnd(),
        ReasoningDelta("sum", is_summary=True),
        ReasoningEnd(Opaque("openai", "enc"), item_id="rs_1"),
        Finish("stop"),
    )
    details = [delta["reasoning_details"][0] for delta in told if "reasoning_details" in delta]
    assert details == [
        {"type": "reasoning.text", "text": "ab", "signature": "s", "account": "acc", "format": "anthropic", "index": 0},
        {"type": "reasoning.encrypted", "data": "blob", "format": "anthropic", "index": 1},
        {"type": "reasoning.summary", "summary": "sum", "data": "enc", "id": "rs_1", "format": "openai", "index": 2},
    ]
    assert [delta["reasoning_content"] for delta in told if "reasoning_content" in delta] == [
        "a",
        "b",
        "unsigned",
        "sum",
    ]


def test_thoughts_are_hidden_from_those_who_do_not_want_them() -> None:
    """`reasoning.exclude` keeps them out of the stream."""
    hidden = replace(ASKED, thinking=Thinking(is_shown=False))
    events = (ReasoningDelta("a"), ReasoningEnd(Opaque("o", "s")), TextDelta("b"), Finish("stop"))
    assert deltas(*events, asked=hidden) == [{"content": "b"}]


# by the official SDK


PARTS = (
    Reasoning("thought one", Opaque("anthropic", "s1")),
    Reasoning("", Opaque("anthropic", "s2", "acc"), is_redacted=True),
    Reasoning("thought two"),
    Item("anthropic.messages", {"type": "server_tool_use", "id": "s"}),
    Item("anthropic.messages", {"type": "web_search_tool_result", "id": "t"}),
    Text("héllo", citations=(Citation("u", "t", start=0, end=5), Citation("v", "t", start=1, end=2))),
    Image(data="AAAA", media_type="image/png"),
    Image(data="BBBB", media_type="image/png"),
    Audio("AAAA", "", "hi", "audio_1", {"expires_at": 5}),
    ToolCall("a", "f", '{"a":1}', 0, opaque=Opaque("google", "s3")),
    ToolCall("b", "g", "", 1),
)
WHOLE = ChatReply(
    "x",
    "m",
    (Choice(Message("assistant", PARTS), "tool_calls", "tool_use"),),
    5,
    Usage(3, 4),
    extra={"citations": ["u"]},
)


def test_the_sdk_puts_a_stream_together_to_the_whole_reply() -> None:
    """What its stream helper collects of every part is what a reply without a stream has."""
    streamed = put_together(stream_of(replay(WHOLE))).model_dump(exclude_unset=True)
    whole = json.loads(CHAT.encode_reply(WHOLE, ASKED))
    message, expected = streamed["choices"][0]["message"], whole["choices"][0]["message"]
    assert message.keys() >= SHOWN
    for name in SHOWN:
        assert unnumbered(message[name]) == unnumbered(expected[name])
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ['{"a":1}', "{}"]
    assert message["tool_calls"][0]["extra_content"] == expected["tool_calls"][0]["extra_content"]
    assert streamed["usage"]["total_tokens"] == 7


SHOWN = {"content", "images", "annotations", "provider_items", "reasoning_details", "reasoning_content", "audio"}


def unnumbered(value: Any) -> Any:
    """A member of a message without the numbers that entries of a list have in a stream."""
    if not isinstance(value, list):
        return value
    return [{name: item[name] for name in item if name != "index"} for item in cast("list[Json]", value)]


def test_what_the_sdk_put_together_comes_back_whole() -> None:
    """A client that sends the collected message back sends every signature, block and call as it was."""
    message = put_together(stream_of(replay(WHOLE))).choices[0].message.model_dump()
    held = decode(request(messages=[message])).messages[0]
    parts, extra = held.parts, held.extra
    assert not any(extra.values())
    expected = [
        replace(part, arguments="{}") if isinstance(part, ToolCall) and part.id == "b" else part for part in PARTS
    ]
    assert [part for part in parts if not isinstance(part, Text)] == [
        part for part in expected if not isinstance(part, Text)
    ]
    texts = [part for part in parts if isinstance(part, Text)]
    assert [(text.text, [citation.url for citation in text.citations]) for text in texts] == [("héllo", ["u", "v"])]


# anything

WORDS = st.text(min_size=1, max_size=6)
INDEX = st.integers(0, 2)
OPAQUES = st.none() | st.builds(Opaque, WORDS, WORDS, st.text(max_size=3))
EVENTS = st.lists(
    st.one_of(
        st.builds(TextDelta, WORDS, INDEX, OPAQUES),
        st.builds(ReasoningDelta, WORDS, INDEX, st.booleans()),
        st.builds(ReasoningEnd, OPAQUES, INDEX, st.booleans(), st.none() | WORDS),
        st.builds(RefusalDelta, WORDS, INDEX),
        st.builds(CitationDelta, st.builds(Citation, WORDS, WORDS, WORDS, INDEX, INDEX), INDEX),
        st.builds(ToolCallDelta, INDEX, WORDS, INDEX),
        st.builds(PartDelta, st.just(Image(data="AAAA", media_type="image/png")) | st.just(Item("d", {"a": 1})), INDEX),
        st.builds(ExtraDelta, st.dictionaries(st.sampled_from(["role", "content", "x"]), WORDS), INDEX),
    ),
    max_size=10,
)
FINISHES = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])


def whole_stream(held: Sequence[StreamEvent], reason: Any) -> list[StreamEvent]:
    """The events with what must stand around them."""
    calls = sorted({(event.index, event.call) for event in held if isinstance(event, ToolCallDelta)})
    started = [ToolCallStart(call, f"call_{call}", "f", index) for index, call in calls]
    indices = {
        0,
        *(event.index for event in (*started, *held) if not isinstance(event, Start | UsageEvent | ErrorEvent)),
    }
    dense = max(indices) + 1
    return [START, *started, *held, *(Finish(reason, at) for at in range(dense)), UsageEvent(Usage(3, 4))]


@settings(max_examples=150, deadline=None)
@given(EVENTS, FINISHES)
def test_any_stream_is_valid_and_means_the_same(held: list[StreamEvent], reason: Any) -> None:
    """The official types take it, the SDK collects it, and decoded again it is the same answer."""
    events = whole_stream(held, reason)
    stream = stream_of(events)
    if reason in {"stop", "tool_calls"}:  # at others the helper raises
        put_together(stream)
    check_chunks(stream)
    first, again = collect(events), collect(events_in(stream))
    for mine, theirs in zip(again.choices, first.choices, strict=True):
        assert mine.message.text == theirs.message.text
        for kind in (ToolCall, Refusal, Image, Item):
            assert told(mine, kind) == told(theirs, kind)
        assert thoughts(mine) == thoughts(theirs)
    assert again.usage is not None
    assert again.usage.total == 7


def told(choice: Choice, kind: type[Any]) -> list[Any]:
    """The parts of one kind; calls without their numbers, refusals as one text."""
    if kind is Refusal:
        return ["".join(part.text for part in choice.message.parts if isinstance(part, Refusal))]
    parts = [part for part in choice.message.parts if isinstance(part, kind)]
    return [replace(part, index=0) if isinstance(part, ToolCall) else part for part in parts]


def thoughts(choice: Choice) -> str:
    return "".join(part.text for part in choice.message.parts if isinstance(part, Reasoning))
