"""Recorded exchanges with Gemini, on the Gemini API and on Vertex AI: every one is understood, both ways, and nothing is lost.

The recordings hold no chunk timing, so streams are cut at fixed sizes.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from core.tests.google_wire import (
    CORPUS,
    GOOGLE,
    NEWER,
    NO_CORPUS,
    check_reply,
    check_request,
    recorded,
    said,
    stream,
    without,
)
from msgspec.structs import replace

from headgate.chat import ChatReply, ChatRequest, Message, Part, Text, ToolCall, ToolResult, Usage, collect
from headgate.dialects.gaps import Gaps
from headgate.dialects.sse import data_of, events_of

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=NO_CORPUS)

Json = dict[str, Any]

EXCHANGES = list(recorded())
NUMBERED = "f2fe643278b7b6ab"
"""A recording whose words of enumerations are numbers, which the SDK does not read."""
GOOD = [record for record in EXCHANGES if record["status"] < 400]


def body_of(record: Json) -> bytes:
    return str(record["resp_text"]).encode()


def chunks_of(record: Json) -> list[Json]:
    body = body_of(record)
    if body.lstrip().startswith(b"["):
        return json.loads(body)
    return [json.loads(data_of(event)) for event in events_of(body) if data_of(event).strip()]


def adds_up(usage: Usage) -> bool:
    """Whether the parts make the total that Google states; some recordings were trimmed of it."""
    return (usage.raw or {}).get("totalTokenCount", usage.total) == usage.total


def joined(parts: tuple[Part, ...]) -> list[Part]:
    """Parts with neighbouring texts made one, as a stream does not say where one ends."""
    made: list[Part] = []
    for part in parts:
        last = made[-1] if made else None
        if isinstance(part, Text) and isinstance(last, Text):
            made[-1] = replace(last, text=last.text + part.text, opaque=part.opaque or last.opaque)
        elif part != Text(""):
            made.append(part)
    return made


def meaning(reply: ChatReply) -> list[Any]:
    return [(choice.index, joined(choice.message.parts), choice.finish, choice.finish_raw) for choice in reply.choices]


def asked(request: ChatRequest) -> ChatRequest:
    """A request as it is understood: results of one step in one turn, turns that say nothing left out, one answer."""
    turns: list[Message] = []
    for message in request.messages:
        if turns and message.role == "tool" and turns[-1].role == "tool":
            turns[-1] = replace(turns[-1], parts=(*turns[-1].parts, *message.parts))
        elif message.parts:
            turns.append(message)
    sampling = request.sampling if request.sampling.n != 1 else replace(request.sampling, n=None)
    return replace(request, messages=tuple(turns), sampling=sampling, model="")


def test_there_are_recordings() -> None:
    """The recordings are all here: whole replies, streams and errors."""
    streams = [record for record in GOOD if record["stream"]]
    assert (len(EXCHANGES), len(GOOD), len(streams)) == (251, 244, 64)


def test_whole_replies() -> None:
    """Each has its texts, its calls, a reason to end, and usage that adds up."""
    for record in GOOD:
        if record["stream"]:
            continue
        reply = GOOGLE.decode_reply(body_of(record))
        assert all(choice.finish for choice in reply.choices), record["id"]
        assert reply.usage is not None
        assert adds_up(reply.usage), record["id"]
        assert reply.usage == GOOGLE.reply_usage(body_of(record))
        calls = [part for choice in reply.choices for part in choice.message.parts if isinstance(part, ToolCall)]
        assert len({call.id for call in calls}) == len(calls)
        assert bool(calls) == any(choice.finish == "tool_calls" for choice in reply.choices)


def test_streams() -> None:
    """Each says the same however it is cut, ends properly, and its usage adds up; relayed, it is complete."""
    for record in GOOD:
        if not record["stream"]:
            continue
        body = body_of(record)
        told = stream(body)
        assert all(stream(body, size=size) == told for size in (1, 7, 64)), record["id"]
        reply = collect(told)
        assert all(choice.finish for choice in reply.choices), record["id"]
        assert reply.usage is not None
        assert adds_up(reply.usage), record["id"]
        if not body.lstrip().startswith(b"["):
            events = events_of(body)
            assert GOOGLE.ending(events[-8:]) == "complete"
            assert GOOGLE.tail_usage(events[-8:]) == reply.usage
        assert GOOGLE.decode_reply(json.dumps(chunks_of(record)).encode()).choices == reply.choices


def test_replies_go_out_as_they_came() -> None:
    """A whole reply of Google's is the same for Google's clients, in the types of its SDK."""
    for record in GOOD:
        if record["stream"]:
            continue
        came = json.loads(body_of(record))
        reply = GOOGLE.decode_reply(body_of(record))
        went = json.loads(GOOGLE.encode_reply(reply, ChatRequest("", ())))
        if record["id"] != NUMBERED:
            check_reply(without(went, NEWER))
        assert meaning(GOOGLE.decode_reply(json.dumps(went).encode())) == meaning(
            replace(reply, choices=tuple(_with_shown_ids(choice, went) for choice in reply.choices))
        )
        assert went["usageMetadata"] == came["usageMetadata"]
        assert {name for name in came if name not in went} == set()


def _with_shown_ids(choice: Any, went: Json) -> Any:
    """A choice whose calls have the ids that its client saw, as Gemini's."""
    parts = [
        replace(part, id="gemini_" + part.id.removeprefix("gemini_")) if isinstance(part, ToolCall) else part
        for part in choice.message.parts
    ]
    assert went["candidates"]
    return replace(choice, message=replace(choice.message, parts=tuple(parts)))


def test_streams_go_out_as_they_came() -> None:
    """The events of a stream make a stream for Google's clients that says the same."""
    for record in GOOD:
        if not record["stream"]:
            continue
        told = stream(body_of(record))
        chunks = said(told)
        again = collect(stream(b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)))
        before, after = meaning(collect(told)), meaning(again)
        for (_, parts, finish, raw), (_, others, other_finish, other_raw) in zip(before, after, strict=True):
            assert (finish, raw) == (other_finish, other_raw)
            assert [_without_id(part) for part in others] == [_without_id(part) for part in parts], record["id"]


def _without_id(part: Part) -> Part:
    return replace(part, id="", arguments=part.arguments or "{}") if isinstance(part, ToolCall) else part


def test_requests() -> None:
    """Every recorded request is understood, and said again means the same and is one that the SDK could have sent."""
    count = 0
    for record in EXCHANGES:
        if record["req_json"] is None:
            continue
        count += 1
        request = GOOGLE.decode_request(json.dumps(record["req_json"]).encode())
        gaps = Gaps("google")
        body = GOOGLE.encode_request(request, gaps)
        assert gaps.dropped == []
        assert asked(GOOGLE.decode_request(body)) == asked(request), record["id"]
        check_request(json.loads(body))
    assert count == 237


def test_requests_of_other_dialects() -> None:
    """The same history from a client of another API reaches Gemini in the same turns, names and results."""
    for record in EXCHANGES:
        if record["req_json"] is None:
            continue
        request = GOOGLE.decode_request(json.dumps(record["req_json"]).encode())
        foreign = replace(request, dialect="openai.chat", extra={})
        body = json.loads(GOOGLE.encode_request(foreign, Gaps("google", "drop")))
        check_request(body)
        mine = GOOGLE.decode_request(json.dumps(body).encode())
        assert _told(mine) == _told(request), record["id"]


def _told(request: ChatRequest) -> list[Any]:
    """The texts, calls and results of a history, in order."""
    told: list[Any] = []
    for message in asked(request).messages:
        for part in message.parts:
            if isinstance(part, Text) and part.text:
                told.append((message.role, part.text, part.opaque))
            elif isinstance(part, ToolCall):
                told.append((part.name, part.arguments or "{}", part.opaque))
            elif isinstance(part, ToolResult):
                told.append((part.name, json.loads(part.text) if part.text[:1] == "{" else part.text))
    return told


def test_errors() -> None:
    """Each keeps its message and its words; a bad key is 401, whatever the body is labelled as."""
    found = [GOOGLE.decode_error(record["status"], body_of(record)) for record in EXCHANGES if record["status"] >= 400]
    assert sorted((words.status, words.code) for words in found) == [
        (401, "API_KEY_INVALID"),
        (404, "NOT_FOUND"),
        (404, "NOT_FOUND"),
        (404, "NOT_FOUND"),
        (429, "RESOURCE_EXHAUSTED"),
        (429, "RESOURCE_EXHAUSTED"),
        (429, "RESOURCE_EXHAUSTED"),
    ]
    assert all(words.message for words in found)
    assert [words.retry_after_s for words in found if words.retry_after_s] == [34.4]
