"""Every text of OpenAI chat JSON is found at its place, and can be replaced there."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from core.tests.openai_odd import ODD
from core.tests.openai_samples import CHAT, Json, request
from hypothesis import given, settings

from headgate.body import replace_paths

brief = settings(max_examples=60, deadline=None)

EVERYWHERE: Json = {
    "messages": [
        {"role": "system", "content": "T0"},
        {"role": "developer", "content": "T1"},
        {"role": "user", "content": [{"type": "text", "text": "T2"}, {"type": "text", "text": "T3"}]},
        {
            "role": "assistant",
            "content": "T4",
            "refusal": "T5",
            "reasoning_content": "T6",
            "reasoning": "T7",
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "T8"}},
                {"id": "d", "type": "custom", "custom": {"name": "g", "input": "T9"}},
            ],
            "function_call": {"name": "f", "arguments": "Ta"},
        },
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "Tb"}]},
        {"role": "tool", "tool_call_id": "c", "content": "Tc"},
        {"role": "tool", "tool_call_id": "d", "content": [{"type": "text", "text": "Td"}]},
        {"role": "function", "name": "f", "content": "Te"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "Tf", "parameters": {}}}],
}


def found(body: Json) -> list[str]:
    return sorted(place.text for place in CHAT.request_texts(body))


def test_every_text_of_a_request_is_found() -> None:
    """All roles, plain and listed content, refusals, reasoning, arguments, tool results and tool descriptions."""
    assert found(EVERYWHERE) == [f"T{digit}" for digit in "0123456789abcdef"]
    roles = {place.text: place.role for place in CHAT.request_texts(EVERYWHERE)}
    assert (roles["T0"], roles["T2"], roles["T4"], roles["Tc"], roles["Tf"]) == (
        "system",
        "user",
        "assistant",
        "tool",
        "tool_definition",
    )


def test_every_text_of_a_request_can_be_replaced() -> None:
    """Replaced at its place, each text is the new one and nothing else has changed."""
    places = CHAT.request_texts(EVERYWHERE)
    changed = replace_paths(EVERYWHERE, [(place.path, place.text.lower()) for place in places])
    assert found(changed) == [f"t{digit}" for digit in "0123456789abcdef"]
    assert json.loads(json.dumps(changed).replace('"t', '"T')) == json.loads(json.dumps(EVERYWHERE).replace('"t', '"T'))


@pytest.mark.parametrize(
    "members",
    [
        {"prediction": {"type": "content", "content": "HIDDEN"}},
        {"prediction": {"type": "content", "content": [{"type": "text", "text": "HIDDEN"}]}},
        {"tools": [{"type": "custom", "custom": {"name": "f", "description": "HIDDEN"}}]},
        {"functions": [{"name": "f", "description": "HIDDEN"}]},
        {"messages": [{"role": "assistant", "content": "x", "reasoning_details": [{"text": "HIDDEN"}]}]},
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "HIDDEN"}]}],
                }
            ]
        },
        {"tools": [{"function": {"name": "f", "parameters": {"properties": {"a": {"description": "HIDDEN"}}}}}]},
        {"tools": [{"custom": {"name": "f", "format": {"grammar": {"definition": "HIDDEN"}}}}]},
        {"response_format": {"json_schema": {"schema": {"anyOf": [{"title": "HIDDEN"}]}}}},
    ],
    ids=[
        "prediction",
        "prediction parts",
        "custom tool",
        "function",
        "reasoning details",
        "thinking",
        "schema",
        "grammar",
        "response format",
    ],
)
def test_no_text_of_a_request_hides_from_guardrails(members: Json) -> None:
    """Texts a model reads outside of the usual messages are places too."""
    assert "HIDDEN" in found(request(**members))


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "audio": {"id": "a", "transcript": "HIDDEN"}},
        {"content": "x", "reasoning_details": [{"type": "reasoning.text", "text": "HIDDEN"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "HIDDEN"}]}]},
        {"content": [{"type": "thinking", "thinking": "HIDDEN"}]},
    ],
    ids=["audio transcript", "reasoning details", "thinking", "thinking as text"],
)
def test_no_text_of_an_answer_hides_from_guardrails(message: Json) -> None:
    """Transcripts and thoughts in vendors' own places are seen, whole and streamed."""
    whole = CHAT.reply_texts({"choices": [{"message": {"role": "assistant", **message}}]})
    streamed = CHAT.event_texts({"choices": [{"index": 0, "delta": message}]})
    assert "HIDDEN" in [place.text for place in whole]
    assert "HIDDEN" in [place.text for place in streamed]


def test_the_texts_of_an_answer_and_its_stream() -> None:
    """Each text of an answer is found by its choice; streamed pieces carry the channel they belong to."""
    message = EVERYWHERE["messages"][3]
    whole = CHAT.reply_texts({"choices": [{"message": message}, {"message": {"content": "second"}}]})
    assert sorted(place.text for place in whole) == ["T4", "T5", "T6", "T7", "T8", "T9", "Ta", "second"]
    delta = {"content": "a", "tool_calls": [{"index": 3, "function": {"arguments": "b"}}]}
    streamed = CHAT.event_texts({"choices": [{"index": 2, "delta": delta}]})
    assert [(place.path, place.text, place.channel) for place in streamed] == [
        (("choices", 0, "delta", "content"), "a", "2.content"),
        (("choices", 0, "delta", "tool_calls", 0, "function", "arguments"), "b", "2.tool.3.arguments"),
    ]


@brief
@given(ODD)
def test_odd_bodies_have_no_texts_and_no_errors(data: Any) -> None:
    """Guardrails run on anything that is JSON: a wrong shape gives fewer places, never an exception."""
    body = cast("Json", data) if isinstance(data, dict) else {"choices": data, "messages": data, "tools": data}
    for places in (CHAT.request_texts(body), CHAT.reply_texts(body), CHAT.event_texts(body)):
        for place in places:
            assert replace_paths(body, [(place.path, "x")]) is not body
