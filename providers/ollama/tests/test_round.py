"""What Ollama's own dialect writes it reads again with the same meaning, and guards see all of its texts."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from providers.ollama.tests.ollama_wire import DIALECT, METRICS, TIMES, Json, asked, calling, decoded, last, line

from headgate.chat import (
    ChatReply,
    Choice,
    ErrorEvent,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    collect,
    replay,
)
from headgate.dialects import Gaps
from headgate.errors import Overloaded

WORDS = st.text(min_size=1, max_size=12)
MEMBERS = st.dictionaries(st.sampled_from(["new", "other"]), st.integers() | WORDS, max_size=1)
OBJECTS = st.dictionaries(WORDS, st.integers() | WORDS | st.none(), max_size=3)
ARGUMENTS = OBJECTS.map(lambda held: msgspec.json.encode(held).decode())
TEXTS = st.builds(Text, WORDS)
PICTURES = st.builds(Image, data=st.just("iVBORw0KGgo="))
THOUGHTS = st.builds(Reasoning, WORDS)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns of every role, with results for all calls."""
    turns = [Message("system", (draw(TEXTS),))] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        turns.append(Message("user", (draw(TEXTS), *draw(st.lists(PICTURES, max_size=2))), extra=draw(MEMBERS)))
        said: list[Part] = [*draw(st.lists(THOUGHTS, max_size=1)), *draw(st.lists(TEXTS, max_size=1))]
        count = draw(st.integers(0, 2))
        calls = [ToolCall(f"c{turn}{at}", draw(WORDS), draw(ARGUMENTS), at, extra=draw(MEMBERS)) for at in range(count)]
        turns.append(Message("assistant", (*said, *calls)))
        turns += [Message("tool", (ToolResult(one.id, (draw(TEXTS),), name=one.name),)) for one in calls]
    return tuple(turns)


@given(
    histories(),
    st.booleans(),
    st.sampled_from([Thinking("low"), Thinking(mode="enabled"), Thinking(mode="disabled"), None]),
)
def test_requests(messages: tuple[Message, ...], stream: bool, thinking: Thinking | None) -> None:
    """A request of the own dialect comes back as it went, and nothing is left out."""
    request = asked(
        *messages,
        dialect="ollama.chat",
        stream=stream,
        sampling=Sampling(0.5, 0.75, 4, 100, ("x",), 3, 0.5, 0.25, logprobs=True, top_logprobs=2),
        tools=(Tool("f", "d", {"type": "object"}, extra={"x": 1}),),
        response_format=ResponseFormat("json_schema", schema={"type": "object"}),
        thinking=thinking,
        extra={"keep_alive": "5m", "options": {"num_ctx": 4096}},
    )
    gaps = Gaps("ollama")
    again = DIALECT.decode_request(DIALECT.encode_request(request, gaps))
    assert (again, gaps.dropped) == (request, [])


def test_older_requests() -> None:
    """Without ids, with one stop word, with defaults unsaid: nothing is made up but an id for each call."""
    body: Json = {
        "model": "m",
        "messages": [
            {"role": "assistant", "content": "", **calling({"name": "f", "arguments": {"a": 1}})},
            {"role": "tool", "content": "x"},
        ],
        "options": {"stop": "END", "num_ctx": 4},
        "format": "json",
        "keep_alive": None,
    }
    request = DIALECT.decode_request(msgspec.json.encode(body))
    assert (request.stream, request.sampling.stop, request.extra) == (True, ("END",), {"options": {"num_ctx": 4}})
    assert request.response_format == ResponseFormat("json_object")
    assert request.messages[0].parts == (ToolCall("call_turn0_0_0", "f", '{"a":1}'),)
    again: Json = msgspec.json.decode(DIALECT.encode_request(request, Gaps("ollama")))
    assert again["messages"][1] == {"role": "tool", "content": "x"}
    assert again["options"] == {"stop": ["END"], "num_ctx": 4}


@given(
    st.lists(THOUGHTS, max_size=1),
    st.lists(TEXTS, max_size=1),
    st.lists(st.builds(Image, data=st.just("iVBORw0KGgo="), media_type=st.just("image/png")), max_size=1),
    st.lists(st.builds(ToolCall, st.just("c"), WORDS, ARGUMENTS), max_size=1),
    st.sampled_from(["stop", "length"]),
)
def test_replies(thoughts: list[Part], texts: list[Part], images: list[Part], calls: list[Part], word: Any) -> None:
    """A reply comes back as it went, whole or streamed, but for the id that it does not have."""
    message = Message("assistant", (*thoughts, *texts, *images, *calls))
    reason = "tool_calls" if calls and word == "stop" else word
    usage = Usage(9, 3, raw=METRICS)
    reply = ChatReply(
        "", "m", (Choice(message, reason, word),), 1_700_000_000, usage, dialect="ollama.chat", extra=TIMES
    )
    whole = DIALECT.decode_reply(DIALECT.encode_reply(reply, asked()))
    streamed = collect(decoded(_stream(reply)))
    for again in (whole, streamed):
        assert msgspec.structs.replace(again, id="", dialect="ollama.chat") == reply
    assert whole.id == streamed.id


def test_replies_of_other_dialects() -> None:
    """Their words for the end become Ollama's."""
    parts = (Refusal("no"), ToolCall("c", "f", ""))
    reply = ChatReply("r", "m", (Choice(Message("assistant", parts), "content_filter", "refusal"),), dialect="x")
    for again in (DIALECT.decode_reply(DIALECT.encode_reply(reply, asked())), collect(decoded(_stream(reply)))):
        assert again.choices[0].message.parts == (Text("no"), ToolCall("c", "f", "{}"))
        assert again.choices[0].finish_raw == "stop"
    assert decoded(DIALECT.stream_encoder(asked()).feed(ErrorEvent("no"))) == [ErrorEvent("no", raw={"error": "no"})]


def _stream(reply: ChatReply) -> bytes:
    encoder = DIALECT.stream_encoder(asked())
    return b"".join((*map(encoder.feed, replay(reply)), encoder.end()))


def test_texts_of_requests() -> None:
    """A guard sees every text, of turns, thinking, calls and definitions."""
    body: Json = {
        "messages": [
            {"role": "user", "content": "u1"},
            {
                "role": "assistant",
                "content": "",
                "thinking": "t1",
                **calling({"name": "f", "arguments": {"a": ["x1"]}}),
            },
            {"role": "tool", "content": "r1"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "f1"}}],
    }
    places = DIALECT.request_texts(body)
    assert {place.text for place in places} == {"u1", "", "t1", "x1", "r1", "f1"}
    for place in places:
        held: Any = body
        for step in place.path:
            held = held[step]
        assert held == place.text


def test_texts_of_replies() -> None:
    """Whole or streamed, a text has its place and can be replaced there."""
    body: Json = {
        "message": {"content": "a", "thinking": "b", **calling({"name": "f", "arguments": {"k": {"n": "c"}}})}
    }
    places = DIALECT.reply_texts(body)
    assert [(place.text, place.channel) for place in places] == [
        ("a", "0.content"),
        ("b", "0.thinking"),
        ("c", "0.tool.0.k.n"),
    ]
    changed: Any = DIALECT.replace_reply_texts(body, [(place.path, "x") for place in places])
    assert changed["message"]["tool_calls"][0]["function"]["arguments"] == {"k": {"n": "x"}}
    assert DIALECT.event_texts({"done": True}) == []
    assert DIALECT.view_event(last()).finished == ["0"]
    assert DIALECT.view_event(line({"content": "a"})).texts[0].text == "a"


def test_how_a_stream_ended() -> None:
    """Its last line says it, and holds the usage."""
    lines = DIALECT.framer().feed(line({"content": "hi"}) + last())
    assert [DIALECT.ending(lines), DIALECT.ending(lines[:1]), DIALECT.ending([])] == ["complete", "cut", "cut"]
    assert DIALECT.ending([*lines[:1], b'{"error":"x"}']) == "error"
    assert DIALECT.ending([DIALECT.error_event(Overloaded("busy"))]) == "error"
    assert DIALECT.ending([b"nonsense"]) == "cut"
    assert DIALECT.tail_usage(lines) == DIALECT.reply_usage(last()) == Usage(9, 3, raw=METRICS)
    assert DIALECT.decode_error(503, DIALECT.encode_error(Overloaded("busy").words())).message == "busy"
