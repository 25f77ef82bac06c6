"""The texts of Anthropic's requests, replies and events: each at a place where another text can stand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from core.tests.anthropic_sdk import DIALECT, message, sse

from headgate.body import replace_paths
from headgate.dialects import TextPlace
from headgate.dialects.sse import data_of

Json = dict[str, Any]

REQUEST: Json = {
    "model": "claude-opus-5",
    "system": [{"type": "text", "text": "sys", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "plain"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "thought", "signature": "no text"},
                {"type": "redacted_thinking", "data": "no text"},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": ["arg", {"type": "kind"}], "n": 1}},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "search"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "result"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "nested"}]},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "no text"}},
                {
                    "type": "document",
                    "title": "title",
                    "context": "context",
                    "source": {"type": "text", "media_type": "text/plain", "data": "document"},
                },
                {
                    "type": "search_result",
                    "source": "https://e.org",
                    "title": "found",
                    "content": [{"type": "text", "text": "hit"}],
                },
            ],
        },
    ],
    "tools": [{"name": "f", "description": "does", "input_schema": {"properties": {"a": {"description": "inner"}}}}],
    "output_config": {"format": {"type": "json_schema", "schema": {"title": "schema"}}},
}
TEXTS = [
    ("system", "sys"),
    ("user", "plain"),
    ("assistant", "thought"),
    ("assistant", "arg"),
    ("assistant", "kind"),
    ("assistant", "search"),
    ("tool", "result"),
    ("tool", "nested"),
    ("user", "document"),
    ("user", "title"),
    ("user", "context"),
    ("user", "https://e.org"),
    ("user", "found"),
    ("user", "hit"),
    ("tool_definition", "does"),
    ("tool_definition", "inner"),
    ("tool_definition", "schema"),
]


def replaced(body: Json, places: list[TextPlace]) -> Json:
    """The body with every text in upper case, put where it was found."""
    return replace_paths(body, [(place.path, place.text.upper()) for place in places])


def test_request_texts() -> None:
    """Everything that a model reads is found with its speaker; ids, signatures and words of the protocol are not."""
    assert [(place.role, place.text) for place in DIALECT.request_texts(REQUEST)] == TEXTS


def test_request_texts_can_be_replaced() -> None:
    """Every text can be replaced where it stands, and nothing else changes."""
    places = [*DIALECT.request_texts(REQUEST)]
    again = replaced(REQUEST, places)
    assert [place.text for place in DIALECT.request_texts(again)] == [text.upper() for _, text in TEXTS]
    assert again["messages"][1]["content"][0]["signature"] == "no text"
    assert again["messages"][2]["content"][3]["source"] == {
        "type": "text",
        "media_type": "text/plain",
        "data": "DOCUMENT",
    }


def test_reply_texts() -> None:
    """Text, thinking and arguments are told apart by their channels; text blocks are one flow."""
    cited = {
        "type": "web_search_result_location",
        "url": "u",
        "title": "t",
        "cited_text": "quoted",
        "encrypted_index": "e",
    }
    body = message(
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "It ", "citations": [cited]},
        {"type": "text", "text": "is."},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"n": "arg"}},
    )
    found = [(place.channel, place.text) for place in DIALECT.reply_texts(body)]
    assert [pair for pair in found if pair[0] != "0.citation"] == [
        ("0.thinking", "hm"),
        ("0.text", "It "),
        ("0.text", "is."),
        ("0.tool.3", "arg"),
    ]
    assert ("0.citation", "quoted") in found
    again = replaced(body, [*DIALECT.reply_texts(body)])
    assert again["content"][1]["text"] == "IT "


EVENTS: list[tuple[Json, list[tuple[str, str]]]] = [
    ({"delta": {"type": "text_delta", "text": "Hi"}}, [("0.text", "Hi")]),
    ({"delta": {"type": "thinking_delta", "thinking": "hm"}}, [("0.thinking", "hm")]),
    ({"delta": {"type": "input_json_delta", "partial_json": "{"}}, [("0.tool.2", "{")]),
    ({"delta": {"type": "signature_delta", "signature": "s"}}, []),
    ({"delta": {"type": "citations_delta", "citation": {"cited_text": "so"}}}, [("0.citation", "so")]),
    ({"delta": {"type": "text_delta", "text": "Hi", "new": 1}}, [("0.text", "Hi")]),
    ({"content_block": {"type": "text", "text": "Hi"}}, [("0.text", "Hi")]),
    ({"content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {"a": "x"}}}, [("0.tool.2", "x")]),
    ({"message": {"content": [{"type": "text", "text": "Hi"}]}}, [("0.text", "Hi")]),
    ({"message": {"content": []}}, []),
    ({"content": [{"type": "text", "text": "Hi"}]}, [("0.text", "Hi")]),
]


@pytest.mark.parametrize(("members", "expected"), EVENTS)
def test_event_texts(members: Json, expected: list[tuple[str, str]]) -> None:
    """Every text that an event says is found, the quick way and the long way, and can be replaced."""
    event = {"type": "content_block_delta", "index": 2, **members}
    data = msgspec.json.encode(event)
    for places in (DIALECT.event_texts(event), DIALECT.view_event(data).texts):
        assert [(place.channel, place.text) for place in places if place.text] == expected
        again = replaced(event, [*places])
        assert [place.text for place in DIALECT.event_texts(again)] == [text.upper() for _, text in expected]


@pytest.mark.parametrize(
    ("event", "finished"),
    [
        ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, ["0"]),
        ({"type": "message_delta", "delta": {"stop_reason": None}}, []),
        ({"type": "message_stop"}, ["0"]),
        ({"type": "message", "content": []}, ["0"]),
        ({"type": "content_block_stop", "index": 0}, []),
        ({"type": "ping"}, []),
    ],
)
def test_what_an_event_ends(event: Json, finished: list[str]) -> None:
    """The answer is complete with its stop reason, so that what was held back of it can go."""
    assert [*DIALECT.view_event(data_of(sse(event))).finished] == finished
