"""Answers of Ollama, whole and line by line, mean the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.ollama.tests.ollama_wire import (
    DIALECT,
    METRICS,
    TIME,
    TIMES,
    Json,
    calling,
    decoded,
    last,
    line,
    whole,
)

from headgate.chat import (
    ErrorEvent,
    Finish,
    Image,
    Reasoning,
    Start,
    Text,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
    collect,
)
from headgate.errors import ProviderFailed

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"


def test_text_and_usage() -> None:
    """Counts are tokens; how long it took is told beside them. Whole or streamed, it is the same answer."""
    stream = line({"content": "hel"}) + line({"content": "lo"}) + last()
    for reply in (whole({"content": "hello"}), collect(decoded(stream))):
        (choice,) = reply.choices
        assert (choice.message.parts, choice.finish, choice.finish_raw) == ((Text("hello"),), "stop", "stop")
        assert (reply.model, reply.created) == ("llama3.2", 1786082894)
        assert (reply.usage, reply.extra) == (Usage(9, 3, raw=METRICS), TIMES)
    assert whole({}).id == whole({}).id
    assert whole({}).id != whole({}, created_at="2026-01-01T00:00:00+02:00").id


@pytest.mark.parametrize(
    ("metrics", "wanted"),
    [
        ({"eval_count": 3}, Usage(0, 3, raw={"eval_count": 3})),
        ({"prompt_eval_count": None, "eval_count": -1}, Usage(raw={"prompt_eval_count": None, "eval_count": -1})),
        ({}, None),
    ],
)
def test_usage_of_any_shape(metrics: Json, wanted: Usage | None) -> None:
    """A prompt that was cached is not counted by older servers; nothing is below 0."""
    body = msgspec.json.encode(
        {"model": "m", "message": {"role": "assistant", "content": "x"}, "done": True, **metrics}
    )
    assert DIALECT.decode_reply(body).usage == wanted
    assert collect(decoded(body + b"\n")).usage == wanted


@pytest.mark.parametrize(
    ("word", "reason"), [("stop", "stop"), ("length", "length"), ("load", "stop"), ("unload", "stop"), ("new", "stop")]
)
def test_finish(word: str, reason: str) -> None:
    """The vendor's word is kept."""
    for reply in (whole({"content": "x"}, word), collect(decoded(last(word)))):
        assert (reply.choices[0].finish, reply.choices[0].finish_raw) == (reason, word)


def test_calls() -> None:
    """Each call has its own number and id, though the vendor gives neither, and arguments keep every byte."""
    numbers = b'{"a":1e2,"big":12345678901234567890,"rate":1.50}'
    functions = (
        b'[{"function":{"name":"f","arguments":%s,"index":0}},{"function":{"index":0,"name":"f","arguments":{}}}]'
    )
    body = line({"content": ""}, done=True, done_reason="stop").replace(
        b'"content":""', b'"content":"","tool_calls":' + functions % numbers
    )
    reply = DIALECT.decode_reply(body)
    tail = reply.id.removeprefix("ollama-")[-16:]
    ids = [f"call_{tail}_0_0", f"call_{tail}_0_1"]
    calls = (ToolCall(ids[0], "f", numbers.decode()), ToolCall(ids[1], "f", "{}", 1))
    assert (reply.choices[0].message.parts, reply.choices[0].finish, reply.choices[0].finish_raw) == (
        calls,
        "tool_calls",
        "stop",
    )
    assert collect(decoded(body)).choices[0].message.parts == calls


def test_calls_in_several_lines() -> None:
    """They are numbered on from line to line: clients join calls of one number."""
    call = {"name": "f", "arguments": {"a": 1}}
    stream = line(calling(call)) + line(calling(call, call)) + last()
    events = decoded(stream)
    starts = [one for one in events if isinstance(one, ToolCallStart)]
    assert [one.call for one in starts] == [0, 1, 2]
    assert len({one.id for one in starts}) == 3
    assert [one.call for one in events if isinstance(one, ToolCallDelta)] == [0, 1, 2]
    assert next(one for one in events if isinstance(one, Finish)).reason == "tool_calls"


@pytest.mark.parametrize(
    ("arguments", "wanted"), [(None, ""), ('{"a": 1}', '{"a": 1}'), ("", ""), ({}, "{}"), ([1], "[1]")]
)
def test_arguments_of_other_shapes(arguments: Any, wanted: str) -> None:
    """Text stays text, and nothing is no arguments."""
    (call,) = (
        whole({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}]}).choices[0].message.parts
    )
    assert isinstance(call, ToolCall)
    assert (call.id, call.arguments) == ("c", wanted)


def test_thinking_and_pictures() -> None:
    """Thinking comes before the text, pictures behind it."""
    parts = (Reasoning("hm"), Text("4"), Image(data=PNG, media_type="image/png"))
    stream = line({"thinking": "h"}) + line({"thinking": "m"}) + line({"content": "4", "images": [PNG]}) + last()
    for reply in (whole({"thinking": "hm", "content": "4", "images": [PNG]}), collect(decoded(stream))):
        assert reply.choices[0].message.parts == parts
    (odd,) = whole({"images": ["!"]}).choices[0].message.parts
    assert odd == Image(data="!", media_type="image/png")


def test_logprobs() -> None:
    """They are OpenAI's, with the members that it always has."""
    item = {"token": "hi", "logprob": -0.5, "top_logprobs": [{"token": "hi", "logprob": -0.5, "bytes": [104, 105]}]}
    wanted = {"content": [{**item, "bytes": None}]}
    assert whole({"content": "hi"}, logprobs=[item]).choices[0].logprobs == wanted
    streamed = collect(decoded(line({"content": "hi"}, logprobs=[item]) + last()))
    assert streamed.choices[0].logprobs == wanted


def test_unknown_members_are_kept() -> None:
    """At their own depth."""
    made: Json = {"id": "c", "mood": "x", "function": {"name": "f", "arguments": {}, "why": "y"}}
    stream = line({"tool_calls": [made], "tone": "t"}, remote_model="m2") + last()
    for reply in (whole({"tool_calls": [made], "tone": "t"}, remote_model="m2"), collect(decoded(stream))):
        (call,) = reply.choices[0].message.parts
        assert isinstance(call, ToolCall)
        assert call.extra == {"mood": "x", "function": {"why": "y"}}
        assert (reply.choices[0].message.extra, reply.extra) == ({"tone": "t"}, {**TIMES, "remote_model": "m2"})
    silent = line({"content": "x"}, remote_model="m2") + line(done=True)
    assert collect(decoded(silent)).choices[0].message.extra == {"remote_model": "m2"}


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"message": 5}', b'{"response": "generate"}', b'{"error": "oops"}', line({"content": "x"})],
)
def test_what_is_no_answer(body: bytes) -> None:
    """It is the provider's failure, and so is half an answer."""
    with pytest.raises(ProviderFailed) as caught:
        DIALECT.decode_reply(body)
    assert caught.value.error_code == "upstream_bad_reply"


STREAM = b"".join(
    (
        line({"thinking": "hm"}),
        line({"content": "Grü"}),
        b"\n",
        line({"content": "\u2028ße"}),
        line(calling({"name": "f", "arguments": {"ä": "ö"}})),
        last(),
    )
)


@given(st.integers(1, 90))
def test_how_it_is_split_does_not_matter(size: int) -> None:
    """Any pieces give the same events, with one start and one finish."""
    events = decoded(STREAM, size)
    assert events == decoded(STREAM)
    assert [sum(isinstance(one, kind) for one in events) for kind in (Start, Finish, UsageEvent)] == [1, 1, 1]


def test_a_last_line_without_its_end() -> None:
    """Is whole all the same; what follows the last line says nothing."""
    assert decoded(STREAM.rstrip(b"\n")) == decoded(STREAM) == decoded(STREAM + line({"content": "more"}))


@pytest.mark.parametrize("size", [0, 5, -len(last()), -3])
def test_a_cut_stream(size: int) -> None:
    """Without its last line a stream is not complete."""
    with pytest.raises(ProviderFailed) as caught:
        decoded(STREAM[:size])
    assert caught.value.error_code == "upstream_cut"


def test_errors_in_a_stream() -> None:
    """They end it, with the vendor's words and no finish. https://docs.ollama.com/api/errors"""
    events = decoded(line({"content": "hi"}) + b'{"error":"an error was encountered"}\n')
    assert events[-1] == ErrorEvent("an error was encountered", raw={"error": "an error was encountered"})
    assert not any(isinstance(one, Finish) for one in events)


@pytest.mark.parametrize("body", [b"nonsense\n", b"[]\n", b'{"message": 5}\n', b'{"message": {"content": 5}}\n'])
def test_what_is_no_line(body: bytes) -> None:
    """It is the provider's failure."""
    with pytest.raises(ProviderFailed):
        decoded(line({"content": "hi"}) + body)


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (404, b'{"error":"model \'x\' not found"}', "model 'x' not found"),
        (400, b'{"error":"x does not support tools"}', "x does not support tools"),
        (401, b'{"error":"unauthorized","signin_url":"https://ollama.com/connect"}', "unauthorized"),
        (502, b"<html>bad gateway</html>", ""),
    ],
)
def test_errors(status: int, body: bytes, wanted: str) -> None:
    """The vendor's message, with its status."""
    words = DIALECT.decode_error(status, body)
    assert (words.status, words.message) == (status, wanted)


@pytest.mark.parametrize("created_at", ["", "yesterday", "99999-01-01T00:00:00Z"])
def test_a_time_nobody_can_read(created_at: str) -> None:
    """Is no reason to fail."""
    assert whole({"content": "x"}, created_at=created_at).created == 0
    assert whole({"content": "x"}, created_at=TIME).created == 1786082894
