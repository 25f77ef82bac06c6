"""The judge sees every kind of damage: an answer that says what was said passes, and each change of it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.replay import clients, fidelity, judge, schemas
from tests.replay.asked_openai import read_chat
from tests.replay.asking import truth_of
from tests.replay.grammar import misordered
from tests.replay.made import made_answers, made_requests
from tests.replay.reading import Json, Reading, Usage
from tests.replay.targets import TARGETS, canned

ANSWERS = {answer.shape: answer for answer in made_answers()}
CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"n": 1, "f": 1.5}'}},
    {"id": "call_2", "type": "function", "function": {"name": "look_up", "arguments": "{}"}},
]
MESSAGE: Json = {"role": "assistant", "content": "I look.", "reasoning_content": "Hm.", "tool_calls": CALLS}
BODY: Json = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "tool_calls"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}


def read(body: Json) -> Reading:
    return clients.read("openai.chat", json.dumps(body).encode(), stream=False)


def with_message(**changes: Any) -> Json:
    return {**BODY, "choices": [{**BODY["choices"][0], "message": {**MESSAGE, **changes}}]}


DAMAGE: dict[str, Json] = {
    "text": with_message(content="I look"),
    "reasoning": with_message(reasoning_content=None),
    "call lost": with_message(tool_calls=CALLS[:1]),
    "calls swapped": with_message(tool_calls=CALLS[::-1]),
    "arguments": with_message(
        tool_calls=[{**CALLS[0], "function": {"name": "look_up", "arguments": '{"n": 2}'}}, CALLS[1]]
    ),
    "same ids": with_message(tool_calls=[CALLS[0], {**CALLS[1], "id": "call_1"}]),
    "refusal": with_message(refusal="No."),
    "finish": {**BODY, "choices": [{**BODY["choices"][0], "finish_reason": "length"}]},
    "usage": {**BODY, "usage": {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}},
    "usage lost": {name: value for name, value in BODY.items() if name != "usage"},
    "choice lost": {**BODY, "choices": []},
}


def test_the_same_is_the_same() -> None:
    """An answer differs from itself in nothing."""
    assert list(judge.differences(read(BODY), read(BODY), "openai.chat")) == []


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_seen(name: str) -> None:
    """Each change of an answer is a difference."""
    assert list(judge.differences(read(BODY), read(DAMAGE[name]), "openai.chat")) != []


@pytest.mark.parametrize("usage", [Usage(9, 3, cached=1), Usage(9, 3, cache_write=1), Usage(9, 3, reasoning=1)])
def test_details_of_usage_are_seen(usage: Usage) -> None:
    """Cached, written and thinking tokens that are not told are a difference."""
    truth = Reading(read(BODY).answers, usage)
    assert list(judge.differences(truth, read(BODY), "openai.chat")) != []


@pytest.mark.parametrize("shape", ANSWERS)
def test_vendors_are_read_alike(shape: str) -> None:
    """The same answer in every vendor's words reads the same: text, calls with exact numbers, finish, usage."""
    answer = truth_of(ANSWERS[shape]).answers[0]
    assert answer.text == "I look."
    assert [call.name for call in answer.calls] == ["look_up", "look_up"]
    assert answer.calls[0].arguments["n"] == 9007199254740993
    assert answer.calls[0].arguments["deep"]["x"][1] == 12345678901234567890
    assert answer.calls[1].arguments == {}
    assert answer.finish in {"tool_calls", None}


STREAMS = {
    "openai.chat": canned("openai.chat", stream=True).body,
    "anthropic.messages": canned("anthropic.messages", stream=True).body,
    "google.generate": canned("google.generate", stream=True).body,
}
TEARS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("openai.chat", lambda body: body.replace(b"data: [DONE]\n\n", b"")),
    ("openai.chat", lambda body: body + b"data: [DONE]\n\n"),
    ("openai.chat", lambda body: body.replace(b'"finish_reason":"stop"', b'"finish_reason":null')),
    ("openai.chat", lambda body: body.replace(b'"role":"assistant",', b"")),
    ("openai.chat", lambda body: body.replace(b'"usage"', b'"used"')),
    ("anthropic.messages", lambda body: body.replace(b"event: content_block_stop", b"event: other")),
    (
        "anthropic.messages",
        lambda body: b"\n\n".join(event for event in body.split(b"\n\n") if b"block_stop" not in event),
    ),
    ("anthropic.messages", lambda body: body[: body.index(b"event: message_stop")]),
    ("anthropic.messages", lambda body: body.replace(b'"index":0', b'"index":1')),
    ("google.generate", lambda body: body.replace(b'"finishReason":"STOP",', b"")),
    ("google.generate", lambda body: body + body),
]


@pytest.mark.parametrize("dialect", STREAMS)
def test_good_streams_are_in_order(dialect: str) -> None:
    """A good stream breaks no rule."""
    assert misordered(dialect, STREAMS[dialect]) == []


@pytest.mark.parametrize("number", range(len(TEARS)))
def test_disorder_is_seen(number: int) -> None:
    """Each tear in a stream is seen."""
    dialect, tear = TEARS[number]
    assert misordered(dialect, tear(STREAMS[dialect])) != []


ASKED = next(request for request in made_requests() if request.id == "made-text-and-calls").request or {}
CHANGES: dict[str, Callable[[Json], Json]] = {
    "turn lost": lambda body: {**body, "messages": body["messages"][:-1]},
    "result lost": lambda body: {**body, "messages": [*body["messages"][:3], *body["messages"][4:]]},
    "text changed": lambda body: {**body, "messages": [{"role": "user", "content": "Look up."}, *body["messages"][1:]]},
    "system added": lambda body: {**body, "messages": [{"role": "system", "content": "Hm."}, *body["messages"]]},
    "tools lost": lambda body: {name: value for name, value in body.items() if name != "tools"},
    "limit changed": lambda body: {**body, "max_tokens": 63},
    "choice changed": lambda body: {**body, "tool_choice": "required"},
    "schema changed": lambda body: {
        **body,
        "tools": [{"type": "function", "function": {**FUNCTION, "parameters": {}}}],
    },
}
FUNCTION: Json = ASKED["tools"][0]["function"]


def changed(body: Json) -> list[str]:
    target = next(each for each in TARGETS if each.name == "openai")
    return list(fidelity.changes(read_chat(ASKED), read_chat(body), target, [], "openai.chat"))


def test_the_same_question_is_the_same() -> None:
    """A request asks what it asks."""
    assert changed(ASKED) == []


@pytest.mark.parametrize("name", CHANGES)
def test_changes_of_a_question_are_seen(name: str) -> None:
    """Each change of a request is seen."""
    assert changed(CHANGES[name](ASKED)) != []


def test_schemas_in_other_words_are_the_same() -> None:
    """References put in, `null` as a type, and one entry of an enum demand the same; a keyword less does not."""
    wanted: Json = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"type": ["string", "null"]}, "title": {"const": "x"}},
        "required": ["b", "a"],
        "$defs": {"A": {"type": "integer", "minimum": 1}},
    }
    seen: Json = {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "minimum": 1},
            "b": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "title": {"enum": ["x"]},
        },
        "required": ["a", "b"],
    }
    assert schemas.lost(wanted, seen) == []
    seen["properties"]["a"] = {"type": "integer"}
    assert schemas.lost(wanted, seen) == [".properties.a.minimum"]
