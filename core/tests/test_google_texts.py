"""The texts of Google's JSON: all of them are found, and each can be changed in its place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from core.tests.google_wire import GOOGLE, answer, turn

from headgate.body import replace_paths

Json = dict[str, Any]

REQUEST: Json = {
    "system_instruction": {"parts": [{"text": "S1"}]},
    "contents": [
        turn("U1", {"inlineData": {"mimeType": "text/plain", "data": "AAAA"}}),
        turn(
            {"text": "T1", "thought": True},
            {"functionCall": {"id": "x", "name": "f", "args": {"city": "C1", "more": [{"a": "C2"}], "n": 1}}},
            {"executableCode": {"language": "PYTHON", "code": "E1"}},
            role="model",
        ),
        turn({"function_response": {"name": "f", "response": {"output": "R1", "rows": ["R2"]}}}),
    ],
    "tools": [
        {
            "functionDeclarations": [
                {"name": "f", "description": "D1", "parametersJsonSchema": {"properties": {"a": {"description": "D2"}}}}
            ]
        }
    ],
    "generationConfig": {"responseJsonSchema": {"title": "D3"}, "stopSequences": ["X"]},
}


def test_every_text_of_a_request() -> None:
    """Instructions, turns, thoughts, arguments, results, code and what tools say of themselves, each with its role."""
    places = GOOGLE.request_texts(REQUEST)
    assert [(place.text, place.role) for place in places] == [
        ("S1", "system"),
        ("U1", "user"),
        ("T1", "assistant"),
        ("C1", "assistant"),
        ("C2", "assistant"),
        ("E1", "assistant"),
        ("R1", "tool"),
        ("R2", "tool"),
        ("D1", "tool_definition"),
        ("D2", "tool_definition"),
        ("D3", "tool_definition"),
    ]


def test_texts_are_changed_in_place() -> None:
    """Every path leads to its text."""
    places = GOOGLE.request_texts(REQUEST)
    changed = replace_paths(REQUEST, [(place.path, place.text.lower()) for place in places])
    assert [place.text for place in GOOGLE.request_texts(changed)] == [place.text.lower() for place in places]


def test_shapes_that_google_also_reads() -> None:
    """A content without brackets and instructions as a string are read too; wrong shapes have no texts."""
    body = {"systemInstruction": "S", "contents": {"parts": {"text": "U"}}}
    assert [place.path for place in GOOGLE.request_texts(body)] == [
        ("systemInstruction",),
        ("contents", "parts", "text"),
    ]
    assert GOOGLE.request_texts({"contents": ["x", 1, {"parts": "y"}], "systemInstruction": 5, "tools": None}) == []


def test_every_text_of_an_answer() -> None:
    """Texts, thoughts and arguments of each candidate, each in a flow of its own."""
    body = answer({"text": "T", "thought": True}, "A", {"functionCall": {"name": "f", "args": {"q": "Q"}}})
    body["candidates"].append({"index": 1, "content": turn("B", role="model")})
    assert [(place.text, place.channel) for place in GOOGLE.reply_texts(body)] == [
        ("T", "0.thought"),
        ("A", "0.content"),
        ("Q", "0.tool.0.q"),
        ("B", "1.content"),
    ]


def test_pieces_of_arguments() -> None:
    """A piece of an argument is text; the path it belongs to is not."""
    piece = {"functionCall": {"partialArgs": [{"jsonPath": "$.city", "stringValue": "Bo"}], "willContinue": True}}
    [place] = GOOGLE.event_texts(answer(piece))
    assert (place.text, place.channel) == ("Bo", "0.tool.0.0.$.city")


def test_what_a_guard_sees_of_an_event() -> None:
    """The texts, and which candidates are complete."""
    body = answer("A", finish=None)
    body["candidates"].append({"index": 1, "finish_reason": "STOP"})
    view = GOOGLE.view_event(msgspec.json.encode(body))
    assert ([place.text for place in view.texts], list(view.finished)) == (["A"], ["1"])


@pytest.mark.parametrize("name", ["groundingMetadata", "grounding_metadata"])
def test_changed_texts_are_not_told_elsewhere(name: str) -> None:
    """Log probabilities and quotes that would tell the old text go with it."""
    body = answer("secret")
    body["candidates"][0] |= {
        "logprobsResult": {"chosenCandidates": [{"token": "secret"}]},
        name: {"groundingChunks": [], "groundingSupports": [{"segment": {"text": "secret"}}]},
    }
    [place] = GOOGLE.reply_texts(body)
    changed = GOOGLE.replace_reply_texts(body, [(place.path, "***")])
    assert b"secret" not in msgspec.json.encode(changed)
    assert b"secret" in msgspec.json.encode(body)
    assert changed["candidates"][0][name] == {"groundingChunks": []}
