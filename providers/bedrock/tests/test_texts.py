"""Guards find every text in bodies of Converse, and put another in its place."""

from __future__ import annotations

from typing import Any

import msgspec

from headgate_bedrock import BedrockConverse

Json = dict[str, Any]
REQUEST: Json = {
    "system": [{"text": "s1"}, {"cachePoint": {"type": "default"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"text": "u1"},
                {"guardContent": {"text": {"text": "u2", "qualifiers": ["query"]}}},
                {"document": {"name": "d", "source": {"text": "u3"}}},
                {"image": {"format": "png", "source": {"bytes": "QUJD"}}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "a1", "signature": "x"}}},
                {"citationsContent": {"content": [{"text": "a2"}], "citations": []}},
                {"toolUse": {"toolUseId": "c", "name": "f", "input": {"q": "a3", "deep": [{"x": "a4"}, 5]}}},
            ],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "c", "content": [{"text": "t1"}, {"json": {"k": "t2"}}]}}],
        },
    ],
    "toolConfig": {
        "tools": [
            {
                "toolSpec": {
                    "name": "f",
                    "description": "d1",
                    "inputSchema": {"json": {"properties": {"q": {"title": "d2"}}}},
                }
            }
        ]
    },
}


def test_all_texts_of_a_request() -> None:
    """Texts of every role and kind are found, each at the path where it stands."""
    places = BedrockConverse().request_texts(REQUEST)
    assert [place.text for place in places] == ["s1", "u1", "u2", "u3", "a1", "a2", "a3", "a4", "t1", "t2", "d1", "d2"]
    for place in places:
        held: Any = REQUEST
        for step in place.path:
            held = held[step]
        assert held == place.text
    assert {place.role for place in places} == {"system", "user", "assistant", "tool", "tool_definition"}


def test_texts_of_replies_can_be_replaced() -> None:
    """Text, thinking and arguments of a reply are found, and others can stand in their place."""
    body = {"output": {"message": REQUEST["messages"][1]}, "stopReason": "end_turn"}
    dialect = BedrockConverse()
    places = dialect.reply_texts(body)
    assert [place.text for place in places] == ["a1", "a2", "a3", "a4"]
    changed = dialect.replace_reply_texts(body, [(place.path, place.text.upper()) for place in places])
    assert [place.text for place in dialect.reply_texts(changed)] == ["A1", "A2", "A3", "A4"]
    assert [place.text for place in dialect.reply_texts(body)] == ["a1", "a2", "a3", "a4"]


def test_texts_of_events() -> None:
    """A delta's text belongs to the flow of its block; the last event says that the answer is complete."""
    view = BedrockConverse().view_event
    deltas: list[Json] = [{"text": "a"}, {"toolUse": {"input": "b"}}, {"reasoningContent": {"text": "c"}}]
    found = [
        view(msgspec.json.encode({"contentBlockIndex": at, "delta": delta})).texts[0] for at, delta in enumerate(deltas)
    ]
    assert [place.text for place in found] == ["a", "b", "c"]
    assert len({place.channel for place in found}) == 3
    assert view(b'{"stopReason":"end_turn"}').finished == ["0"]
    assert view(b'{"delta":7}').texts == []


def test_odd_bodies_hold_no_text() -> None:
    """Bodies of other shapes give nothing and do not crash."""
    dialect = BedrockConverse()
    for odd in ({}, {"messages": 7, "system": "x"}, {"messages": [7, {"content": "x"}], "toolConfig": []}):
        assert list(dialect.request_texts(odd)) == []
    for odd in ({}, {"output": 7}, {"output": {"message": {"content": 7}}}):
        assert list(dialect.reply_texts(odd)) == []
