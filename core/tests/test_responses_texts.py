"""What guardrails and the relay need of Responses bytes: texts and their places, endings, usage, an error event."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from core.tests.responses_samples import (
    RESPONSES,
    client,
    completed,
    created,
    encoded,
    function_call,
    message,
    reply,
    sse,
)

from headgate.body import replace_paths
from headgate.dialects.sse import data_of, events_of
from headgate.errors import Blocked, InvalidRequest

Json = dict[str, Any]

REQUEST: Json = {
    "model": "m",
    "instructions": "be brief",
    "input": [
        {"role": "user", "content": "hello"},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "x"}],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "so"}],
            "encrypted_content": "E",
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "done"}]},
        {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "cats"}},
    ],
    "tools": [
        {
            "type": "function",
            "name": "f",
            "description": "does",
            "parameters": {"type": "object", "properties": {"n": {"type": "string", "description": "which"}}},
        }
    ],
}


def pairs(places: Any) -> list[tuple[str, str]]:
    return [(place.text, place.role) for place in places]


def test_request_texts() -> None:
    """Everything a model reads, by who said it; ids, names and bytes are no text."""
    places = RESPONSES.request_texts(REQUEST)
    assert pairs(places) == [
        ("be brief", "system"),
        ("hello", "user"),
        ("look", "user"),
        ("so", "assistant"),
        ('{"a":1}', "assistant"),
        ("done", "tool"),
        ("cats", "assistant"),
        ("does", "tool_definition"),
        ("which", "tool_definition"),
    ]
    changed = replace_paths(REQUEST, [(place.path, "***") for place in places])
    assert {place.text for place in RESPONSES.request_texts(changed)} == {"***"}
    assert pairs(RESPONSES.request_texts({"input": "hi"})) == [("hi", "user")]


def test_what_agents_say_to_each_other() -> None:
    """Words that stand as encrypted are words, and all are the user's; what OpenAI sealed is none."""
    parts: list[Any] = [
        {"type": "input_text", "text": "a"},
        "b",
        {"type": "encrypted_content", "encrypted_content": "my number is 1"},
        {"type": "encrypted_content", "encrypted_content": "gAAAAABqVRWu_a-b=="},
    ]
    body: Json = {"input": [{"type": "agent_message", "author": "x", "content": parts}]}
    places = [place for place in RESPONSES.request_texts(body) if place.path[2] == "content"]
    assert pairs(places) == [("a", "user"), ("b", "user"), ("my number is 1", "user")]
    changed = replace_paths(body, [(place.path, "***") for place in places])
    assert changed["input"][0]["content"][2]["encrypted_content"] == "***"


def test_stored_prompt_has_texts() -> None:
    """Variables of a stored prompt are the caller's words."""
    variables = {"a": "x", "b": {"type": "input_text", "text": "y"}}
    assert pairs(RESPONSES.request_texts({"prompt": {"id": "p", "variables": variables}})) == [
        ("x", "user"),
        ("y", "user"),
    ]


def test_reply_texts_can_be_replaced() -> None:
    """Every text of an answer, each in a flow of its item; what would tell the old one is emptied."""
    part = {"type": "output_text", "text": "secret", "annotations": [], "logprobs": [{"token": "secret"}]}
    body: Json = json.loads(reply(message("", content=[part, {"type": "refusal", "refusal": "no"}]), function_call()))
    places = RESPONSES.reply_texts(body)
    assert [(place.text, place.channel) for place in places] == [
        ("secret", "0.content.0.text"),
        ("no", "0.content.1.refusal"),
        ('{"city":"Bern"}', "1.arguments"),
    ]
    changed = RESPONSES.replace_reply_texts(body, [(places[0].path, "***")])
    assert changed["output"][0]["content"][0] == {**part, "text": "***", "logprobs": []}
    assert body["output"][0]["content"][0] == part


def test_texts_of_events() -> None:
    """A delta belongs to the flow of its item and part; events that repeat the whole text are flows of their own."""
    delta: Json = {
        "type": "response.output_text.delta",
        "output_index": 1,
        "content_index": 0,
        "delta": "Hi",
        "logprobs": [],
    }
    done: Json = {
        "type": "response.output_text.done",
        "output_index": 1,
        "content_index": 0,
        "text": "Hi",
        "logprobs": [],
    }
    part = {
        "type": "response.content_part.done",
        "output_index": 1,
        "content_index": 0,
        "part": message("Hi")["content"][0],
    }
    item = {"type": "response.output_item.done", "output_index": 1, "item": message("Hi")}
    summary = {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "so"}
    command = {"type": "response.shell_call_command.delta", "output_index": 2, "command_index": 1, "delta": "ls"}
    shell = {"type": "response.shell_call_output_content.delta", "output_index": 3, "delta": {"stdout": "a"}}
    new = {"type": "response.new_thing.delta", "output_index": 4, "delta": "x"}
    seen: dict[str, str] = {}
    listed: list[Json] = [delta, done, part, item, summary, command, shell, new, completed(message("Hi"))]
    for event in listed:
        view = RESPONSES.view_event(encoded(event))
        assert list(view.texts) == list(RESPONSES.event_texts(event))
        seen |= {place.channel: place.text for place in view.texts}
        assert all(place.role == "assistant" for place in view.texts)
    assert seen == {
        "1.text.0": "Hi",
        "1.text.0.done": "Hi",
        "1.part.done.0.text": "Hi",
        "1.item.done.content.0.text": "Hi",
        "0.summary.0": "so",
        "2.command.1": "ls",
        "3.response.shell_call_output_content.delta.delta.stdout": "a",
        "4.response.new_thing.delta.delta": "x",
        "response.0.content.0.text": "Hi",
    }


def test_texts_of_events_can_be_replaced() -> None:
    """Replacing the text of an event leaves its other members, without log probabilities."""
    event = {"type": "response.output_text.delta", "output_index": 0, "delta": "Hi", "logprobs": [{"token": "Hi"}]}
    (place,) = RESPONSES.event_texts(event)
    assert RESPONSES.replace_reply_texts(event, [(place.path, "**")]) == {**event, "delta": "**", "logprobs": []}


def test_finished_flows() -> None:
    """An item's flows end with it, those of the repeated answer with the last event."""
    item = {"type": "response.output_item.done", "output_index": 3, "item": message("Hi")}
    assert RESPONSES.view_event(encoded(item)).finished == ["3"]
    assert RESPONSES.view_event(encoded(completed())).finished == ["response"]
    assert RESPONSES.view_event(encoded(created())).finished == []
    with pytest.raises(InvalidRequest):
        RESPONSES.view_event(b"[]")


ENDINGS: list[tuple[list[Json], str]] = [
    ([created(), completed()], "complete"),
    ([completed(status="incomplete")], "complete"),
    ([created()], "cut"),
    ([], "cut"),
    ([created(), {"type": "error", "message": "x"}], "error"),
    ([{"type": "response.failed", "response": {}}], "error"),
    ([completed(), {"type": "keepalive"}], "complete"),
]


@pytest.mark.parametrize(("events", "ending"), ENDINGS)
def test_ending(events: list[Json], ending: str) -> None:
    """Only a last event ends a stream; a broken transport behind it changes nothing."""
    tail = events_of(sse(*events)) if events else []
    assert RESPONSES.ending(tail) == ending
    assert RESPONSES.ending([*tail, b"data: [DONE]\n\n"], is_broken=True) == ending


def test_usage_of_a_stream() -> None:
    """The last event states what was used; without one nothing is known."""
    usage = RESPONSES.tail_usage(events_of(sse(created(), completed())))
    assert usage is not None
    assert (usage.prompt, usage.completion, usage.cached, usage.reasoning) == (9, 6, 4, 2)
    assert usage == RESPONSES.reply_usage(reply())
    assert RESPONSES.tail_usage([b'data: {"usage": 3}\n\n', b'data: "usage"\n\n', b"data: \xff usage\n\n"]) is None
    assert RESPONSES.tail_usage(events_of(sse(created(), completed(usage=None)))) is None


def test_error_event() -> None:
    """The gateway's own error within a stream: the official client raises on it, with its words."""
    event = RESPONSES.error_event(Blocked("not allowed"))
    assert RESPONSES.ending([event]) == "error"
    data = json.loads(data_of(event))
    assert (data["type"], data["message"], data["error"]["code"]) == ("error", "not allowed", "guardrail_blocked")
    with pytest.raises(openai.APIError, match="not allowed"):
        list(client(sse(created()) + event).responses.create(model="m", input="hi", stream=True))
