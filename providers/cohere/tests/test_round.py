"""What Cohere's own dialect writes it reads again with the same meaning, and guards see all of its texts."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from providers.cohere.tests.cohere_wire import DIALECT, USAGE, Json, asked, content, decoded, event, finished, start

from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Citation,
    ErrorEvent,
    Image,
    Item,
    Message,
    Part,
    Reasoning,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Usage,
    collect,
    replay,
)
from headgate.dialects import Gaps
from headgate.errors import Overloaded

WORDS = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
MEMBERS = st.dictionaries(st.sampled_from(["new", "other"]), st.integers() | WORDS, max_size=1)
ARGUMENTS = st.dictionaries(WORDS, st.integers() | WORDS | st.none(), max_size=3).map(
    lambda held: msgspec.json.encode(held).decode()
)
TEXTS = st.builds(Text, WORDS, extra=MEMBERS)
PICTURES = st.builds(
    Image, data=st.just("iVBORw0KGgo="), media_type=st.just("image/png"), detail=st.sampled_from([None, "low"])
)
LINKS = st.builds(Image, url=st.just("https://x.example/a.png"))
THOUGHTS = st.builds(Reasoning, WORDS)
ITEMS = st.just(Item("cohere.chat", {"type": "video", "id": 1}))


@st.composite
def histories(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns of every role, with results for all calls."""
    turns = [Message("system", (draw(TEXTS),))] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        turns.append(
            Message(
                "user", tuple(draw(st.lists(TEXTS | PICTURES | LINKS, min_size=1, max_size=3))), extra=draw(MEMBERS)
            )
        )
        said: list[Part] = [
            *draw(st.lists(THOUGHTS, max_size=1)),
            *draw(st.lists(TEXTS | ITEMS, min_size=1, max_size=2)),
        ]
        count = draw(st.integers(0, 2))
        calls = [ToolCall(f"c{turn}{at}", draw(WORDS), draw(ARGUMENTS), at) for at in range(count)]
        turns.append(Message("assistant", (*said, *calls)))
        turns += [
            Message("tool", (ToolResult(one.id, tuple(draw(st.lists(TEXTS, min_size=1, max_size=2)))),))
            for one in calls
        ]
    return tuple(turns)


@given(histories(), st.booleans())
def test_requests(messages: tuple[Message, ...], stream: bool) -> None:
    """A request of the own dialect comes back as it went, and nothing is left out."""
    request = asked(
        *messages,
        dialect="cohere.chat",
        stream=stream,
        sampling=Sampling(0.5, 0.75, 4, 100, ("x",), 3, 0.5, 0.25, logprobs=True),
        tools=(Tool("f", "d", {"type": "object", "required": ["a"]}, strict=True, extra={"x": 1}),),
        tool_choice=ToolChoice("required", raw="REQUIRED"),
        response_format=ResponseFormat("json_schema", schema={"type": "object"}),
        thinking=Thinking(budget_tokens=5, mode="enabled"),
        extra={"documents": ["one"], "safety_mode": "OFF", "citation_options": {"mode": "FAST"}},
    )
    gaps = Gaps("cohere")
    again = DIALECT.decode_request(DIALECT.encode_request(request, gaps))
    assert (again, gaps.dropped) == (request, [])


def test_own_words() -> None:
    """Sources, documents, plans and other choices of the own dialect survive a second writing."""
    cited: Json = {"start": 0, "end": 1, "sources": [], "type": "TEXT_CONTENT"}
    document = {"data": {"text": "sunny"}, "id": "1"}
    body: Json = {
        "model": "m",
        "messages": [
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "a"}],
                "citations": [cited],
                "tool_plan": "plan",
            },
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "document", "document": document}]},
            {"role": "user", "content": "hi", "mood": "good"},
        ],
        "tools": [{"type": "new", "x": 1}, {"type": "function", "function": {"name": "f"}}],
        "tool_choice": "SOME",
        "response_format": {"type": "text"},
        "thinking": {"type": "sometimes"},
    }
    request = DIALECT.decode_request(msgspec.json.encode(body))
    assert request.messages[0].text == "plana"
    result = request.messages[1].parts[0]
    assert isinstance(result, ToolResult)
    assert result.text == '{"text":"sunny"}'
    again: Json = msgspec.json.decode(DIALECT.encode_request(request, Gaps("cohere")))
    assert again["messages"][0]["citations"] == [cited]
    assert again["messages"][1:] == body["messages"][1:]
    assert (again["tools"][0], again["tool_choice"]) == (body["tools"][0], "SOME")
    assert again["thinking"] == {"type": "sometimes"}


@given(
    st.lists(THOUGHTS, max_size=1),
    st.lists(st.builds(Text, WORDS), max_size=1),
    st.lists(st.builds(ToolCall, st.just("c"), WORDS, ARGUMENTS), max_size=1),
    st.sampled_from([("stop", "COMPLETE"), ("length", "MAX_TOKENS"), ("error", "ERROR")]),
)
def test_replies(thoughts: list[Part], texts: list[Part], calls: list[Part], end: Any) -> None:
    """A reply comes back as it went, whole or streamed."""
    reason, word = ("tool_calls", "TOOL_CALL") if calls else end
    message = Message("assistant", (*thoughts, *texts, *calls))
    usage = Usage(9, 3, 4, raw=USAGE)
    reply = ChatReply("r-1", "", (Choice(message, reason, word),), usage=usage, dialect="cohere.chat")
    assert DIALECT.decode_reply(DIALECT.encode_reply(reply, asked())) == reply
    assert msgspec.structs.replace(collect(decoded(_stream(reply))), dialect="cohere.chat") == reply


def test_replies_of_other_dialects() -> None:
    """Their words for the end become Cohere's; sources stay where they were."""
    cited = Citation(raw={"start": 0, "end": 1, "sources": [], "type": "TEXT_CONTENT"}, start=0, end=1)
    parts = (Text("a", citations=(cited,)), ToolCall("c", "f", "{}"))
    reply = ChatReply(
        "r", "m", (Choice(Message("assistant", parts), "stop", "end_turn", "END"),), dialect="openai.chat"
    )
    again = DIALECT.decode_reply(DIALECT.encode_reply(reply, asked()))
    assert again.choices[0].message.parts == parts
    assert again.choices[0].finish_raw == "STOP_SEQUENCE"
    assert collect(decoded(_stream(reply))).choices[0].message.parts == parts
    broken = DIALECT.stream_encoder(asked()).feed(ErrorEvent("no"))
    assert decoded(start() + broken)[-1] == ErrorEvent("no", "ERROR", {"message": "no", "type": "ERROR"})


def _stream(reply: ChatReply, request: ChatRequest | None = None) -> bytes:
    encoder = DIALECT.stream_encoder(request or asked())
    return b"".join((*map(encoder.feed, replay(reply)), encoder.end()))


def test_texts_of_requests() -> None:
    """A guard sees every text, of turns, plans, documents, calls and definitions."""
    body: Json = {
        "messages": [
            {"role": "system", "content": "s1"},
            {"role": "user", "content": [{"type": "text", "text": "u1"}]},
            {
                "role": "assistant",
                "tool_plan": "p1",
                "content": [{"type": "thinking", "thinking": "t1"}],
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a": "x1"}'}}],
            },
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "document", "document": {"data": {"a": ["d1"]}}}],
            },
        ],
        "documents": ["d2", {"data": {"text": "d3"}}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "f1"}}],
    }
    places = DIALECT.request_texts(body)
    assert {place.text for place in places} == {"s1", "u1", "p1", "t1", '{"a": "x1"}', "d1", "d2", "d3", "f1"}
    for place in places:
        held: Any = body
        for step in place.path:
            held = held[step]
        assert held == place.text


def test_texts_of_replies() -> None:
    """Whole or streamed, a text has its place and can be replaced there."""
    message: Json = {
        "tool_plan": "p",
        "content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "b"}],
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
    }
    places = DIALECT.reply_texts({"message": message})
    assert {place.text for place in places} == {"p", "a", "b", "{}"}
    changed: Any = DIALECT.replace_reply_texts({"message": message}, [(place.path, "x") for place in places])
    assert changed["message"]["content"] == [{"type": "text", "text": "x"}, {"type": "thinking", "thinking": "x"}]
    assert changed["message"]["tool_plan"] == "x"
    deltas: list[Json] = [
        {"content": {"text": "a"}},
        {"content": {"thinking": "b"}},
        {"tool_plan": "p"},
        {"tool_calls": {"function": {"arguments": "{"}}},
    ]
    seen = [DIALECT.event_texts({"index": 1, "delta": {"message": delta}})[0] for delta in deltas]
    assert [(place.text, place.channel) for place in seen] == [
        ("a", "0.1.text"),
        ("b", "0.1.thinking"),
        ("p", "0.tool_plan"),
        ("{", "0.tool.1.arguments"),
    ]
    assert DIALECT.view_event(b'{"type":"message-end","delta":{}}').finished == ["0"]
    assert DIALECT.event_texts({"type": "content-end", "index": 0}) == []


def test_how_a_stream_ended() -> None:
    """Its last event says it, and holds the usage."""
    events = DIALECT.framer().feed(start() + content("text", "hi") + finished())
    assert DIALECT.ending(events) == "complete"
    assert DIALECT.ending(events[:-2]) == "cut"
    assert DIALECT.tail_usage(events) == Usage(9, 3, 4, raw=USAGE)
    assert DIALECT.tail_usage(events[:2]) is None
    assert DIALECT.reply_usage(msgspec.json.encode({"usage": USAGE})) == Usage(9, 3, 4, raw=USAGE)
    assert DIALECT.ending([event("message-end", delta={"error": "x"})]) == "error"
    assert DIALECT.ending([DIALECT.error_event(Overloaded("busy"))]) == "error"
    assert DIALECT.decode_error(503, DIALECT.encode_error(Overloaded("busy").words())).message == "busy"
