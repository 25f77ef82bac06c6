"""There and back: what is encoded is decoded to the same meaning, whole and streamed, and every body is Converse's."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    File,
    FinishReason,
    Image,
    Message,
    Opaque,
    Reasoning,
    Refusal,
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
from headgate_bedrock import BedrockConverse
from headgate_bedrock.decode import decode_reply

Json = dict[str, Any]
Judge = Callable[[bytes], list[str]]
NAME = "bedrock.converse"
CLAUDE = "anthropic.claude-sonnet-4-6"
DIALECT = BedrockConverse()

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).map(str.strip).filter(bool)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
blobs = st.binary(min_size=1, max_size=20).map(lambda data: base64.b64encode(data).decode())
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
objects = st.dictionaries(words, values, max_size=3)
arguments = objects.map(lambda held: msgspec.json.encode(held).decode())
signatures = st.binary(max_size=20).map(lambda data: base64.b64encode(b"\x12" + data).decode())
marks = st.none() | st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])

texts = st.tuples(words, marks).map(lambda held: Text(held[0], held[1]))
images = st.tuples(blobs, st.sampled_from(["image/png", "image/webp"])).map(
    lambda held: Image(data=held[0], media_type=held[1])
)
thoughts = st.tuples(words, signatures).map(lambda held: Reasoning(held[0], Opaque("anthropic", held[1]))) | blobs.map(
    lambda data: Reasoning("", Opaque("bedrock", data), is_redacted=True)
)
spoken = st.lists(texts | images, min_size=1, max_size=3)
answers = st.lists(words.map(Text) | images, min_size=1, max_size=2)
thinking = st.lists(thoughts, max_size=2)
said = st.lists(texts, min_size=1, max_size=2)
some_names = st.lists(names, max_size=2)
fractions = st.none() | st.floats(0, 1)
stops = st.lists(words, max_size=2).map(tuple)
limits = st.none() | st.integers(1, 99)
descriptions = st.none() | words
metadata = st.none() | st.dictionaries(names, names, min_size=1, max_size=2)
counts = st.tuples(*[st.integers(0, 999)] * 4)
CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
"""What Claude can be held to."""
SCHEMA = ResponseFormat("json_schema", "card", {"type": "object"}, description="d")


def unmarked(message: Message) -> Message:
    return replace(
        message, parts=tuple(replace(part, cache=None) if isinstance(part, Text) else part for part in message.parts)
    )


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns that alternate, calls with their answers, documents beside text."""
    turns: list[Message] = []
    if draw(st.booleans()):
        turns.append(Message("system", (Text(draw(words)),)))
    number = 0
    for _ in range(draw(st.integers(1, 3))):
        asked: list[Any] = draw(spoken)
        if draw(st.booleans()):
            named = f"doc {len(turns)}"
            asked += [File(data=draw(blobs), media_type="application/pdf", filename=named), Text("x")]
        turns.append(Message("user", tuple(asked)))
        calls: list[ToolCall] = []
        for at in range(draw(st.integers(0, 2))):
            number += 1
            calls.append(ToolCall(f"call_{number}", draw(names), draw(arguments), at))
        turns.append(Message("assistant", (*draw(thinking), *draw(said), *calls)))
        if calls:
            results = tuple(ToolResult(call.id, tuple(draw(answers))) for call in calls)
            turns += [Message("user", results), Message("assistant", (Text(draw(words)),))]
    return tuple(turns)


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    messages = draw(conversations())
    called = {part.name for one in messages for part in one.parts if isinstance(part, ToolCall)}
    listed = sorted(called | set(draw(some_names)))
    tools = tuple(
        draw(
            st.one_of(
                st.builds(Tool, st.just(name), descriptions, st.just(CLOSED), st.sampled_from([None, True])),
                st.builds(Tool, st.just(name), descriptions, objects.map(lambda held: {"type": "object", **held})),
            )
        )
        for name in listed
    )
    choices = [None, ToolChoice("required"), *(ToolChoice("named", name) for name in listed)]
    return ChatRequest(
        CLAUDE,
        messages,
        sampling=Sampling(draw(fractions), draw(fractions), draw(limits), draw(limits), draw(stops)),
        tools=tools,
        tool_choice=draw(st.sampled_from(choices)) if tools else None,
        response_format=draw(st.sampled_from([None, SCHEMA])),
        thinking=draw(st.sampled_from([None, Thinking("high", mode="adaptive"), Thinking(mode="disabled")])),
        metadata=draw(metadata),
        service_tier=draw(st.sampled_from([None, "flex"])),
        dialect="openai.chat",
    )


def settled(request: ChatRequest) -> ChatRequest:
    """What a round trip cannot keep, and need not: the model, the dialect, names of documents, cache points past four."""
    messages = tuple(unmarked(one) for one in request.messages)
    tools = tuple(replace(tool, extra={}) for tool in request.tools)
    return replace(request, model="", dialect="", messages=messages, tools=tools, extra={})


@given(requests())
def test_requests_go_round(problems: Judge, request: ChatRequest) -> None:
    """A request that Converse can say comes back as it was; AWS's model accepts the body."""
    gaps = Gaps("bedrock")
    body = DIALECT.encode_request(request, gaps)
    assert problems(body) == []
    assert set(gaps.dropped) <= {"cache_control"}
    back = DIALECT.decode_request(body)
    assert settled(back) == settled(request)
    again = DIALECT.encode_request(replace(back, model=CLAUDE), Gaps("bedrock"))
    assert json.loads(again) == json.loads(body)


@st.composite
def replies(draw: st.DrawFn) -> ChatReply:
    calls = [ToolCall(f"c{at}", draw(names), draw(arguments), at) for at in range(draw(st.integers(0, 2)))]
    ends: list[tuple[FinishReason, str]] = [("length", "max_tokens"), ("content_filter", "content_filtered")]
    ends.append(("tool_calls", "tool_use") if calls else ("stop", "end_turn"))
    finish, raw = draw(st.sampled_from(ends))
    fresh, cached, written, completion = draw(counts)
    usage = Usage(fresh + cached + written, completion, cached, written)
    message = Message("assistant", (*draw(thinking), Text(draw(words)), *calls))
    return ChatReply("", "m", (Choice(message, finish, raw),), usage=usage, dialect=NAME)


def meaning(reply: ChatReply) -> tuple[Any, ...]:
    choice, usage = reply.choices[0], reply.usage
    assert usage is not None
    counts = (usage.prompt, usage.completion, usage.cached, usage.cache_write)
    return (choice.message.parts, choice.finish, choice.finish_raw, choice.stop, counts)


@given(replies())
def test_replies_go_round(reply: ChatReply) -> None:
    """A whole answer comes back as it was."""
    body = DIALECT.encode_reply(reply, ChatRequest("m", ()))
    assert meaning(decode_reply(body)) == meaning(reply)


@given(replies(), st.integers(1, 200))
def test_streams_go_round(reply: ChatReply, size: int) -> None:
    """The same answer as a stream, cut anywhere, means the same."""
    encoder, decoder, framer = DIALECT.stream_encoder(ChatRequest("m", ())), DIALECT.stream_decoder(), DIALECT.framer()
    data = b"".join([*map(encoder.feed, replay(reply)), encoder.end()])
    frames = [frame for at in range(0, len(data), size) for frame in framer.feed(data[at : at + size])]
    events = [event for frame in (*frames, *framer.end()) for event in decoder.feed(frame)]
    assert meaning(collect([*events, *decoder.end()])) == meaning(reply)


def test_other_parts_of_a_reply() -> None:
    """A refusal is text, a picture comes whole, a stop sequence is told."""
    parts = (Refusal("no"), Image(data="QUJD", media_type="image/png"))
    choice = Choice(Message("assistant", parts), "stop", "stop_sequence", "END")
    reply = ChatReply("", "m", (choice,), usage=Usage(1, 2), dialect="openai.chat")
    back = DIALECT.decode_reply(DIALECT.encode_reply(reply, ChatRequest("m", ()))).choices[0]
    assert (back.message.parts, back.stop, back.finish_raw) == ((Text("no"), parts[1]), "END", "stop_sequence")
    encoder, decoder, framer = DIALECT.stream_encoder(ChatRequest("m", ())), DIALECT.stream_decoder(), DIALECT.framer()
    data = b"".join(map(encoder.feed, replay(reply)))
    streamed = collect([event for frame in framer.feed(data) for event in decoder.feed(frame)]).choices[0]
    assert (streamed.message.parts, streamed.stop) == (back.message.parts, "END")
