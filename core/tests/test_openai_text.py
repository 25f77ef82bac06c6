"""Completions and embeddings: which texts guardrails see, and that replacing them works."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headgate.body import replace_paths
from headgate.dialects import Dialect, OpenAICompletions, OpenAIEmbeddings
from headgate.dialects.sse import DONE, data_of
from headgate.errors import Blocked

COMPLETIONS = OpenAICompletions()
EMBEDDINGS = OpenAIEmbeddings()


def said(dialect: Dialect, body: dict[str, Any]) -> list[str]:
    return [place.text for place in dialect.request_texts(body)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"prompt": "a"}, ["a"]),
        ({"prompt": ["a", "b"]}, ["a", "b"]),
        ({"prompt": "a", "suffix": "z"}, ["a", "z"]),
        ({"prompt": [1, 2, 3]}, []),
        ({"prompt": [[1, 2], [3]]}, []),
        ({"prompt": ["a", 1, None, "b"]}, ["a", "b"]),
        ({"prompt": None}, []),
        ({"prompt": {"a": 1}}, []),
        ({}, []),
    ],
)
def test_the_texts_of_a_completion_request(body: dict[str, Any], expected: list[str]) -> None:
    """Prompt and suffix, single or listed; tokens are no text, and odd shapes never fail."""
    assert said(COMPLETIONS, body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"input": "a"}, ["a"]),
        ({"input": ["a", "b"]}, ["a", "b"]),
        ({"input": [1, 2]}, []),
        ({"input": 3}, []),
        ({}, []),
    ],
)
def test_the_texts_of_an_embeddings_request(body: dict[str, Any], expected: list[str]) -> None:
    """The input, single or listed."""
    assert said(EMBEDDINGS, body) == expected


def test_the_texts_of_a_completion_and_its_stream() -> None:
    """Each choice's text is a place, and in a stream a channel of its own, by the choice's index."""
    body: dict[str, Any] = {"choices": [{"text": "a", "index": 1}, {"text": "b"}, {"text": 5}, "x"]}
    places = COMPLETIONS.reply_texts(body)
    assert [(place.path, place.text, place.channel) for place in places] == [
        (("choices", 0, "text"), "a", "1.text"),
        (("choices", 1, "text"), "b", "1.text"),
    ]
    assert COMPLETIONS.event_texts(body) == places
    odds: list[dict[str, Any]] = [{}, {"choices": None}, {"choices": {}}, {"choices": [None]}]
    for odd in odds:
        assert COMPLETIONS.event_texts(odd) == []


@pytest.mark.parametrize("dialect", [COMPLETIONS, EMBEDDINGS])
def test_every_place_can_be_replaced(dialect: Dialect) -> None:
    """A place's path leads to its text, so a replacement stands where the text stood."""
    body = {"prompt": ["a", "b"], "suffix": "c", "input": ["d", "e"], "n": 1}
    places = dialect.request_texts(body)
    changed = replace_paths(body, [(place.path, place.text.upper()) for place in places])
    assert [place.text for place in dialect.request_texts(changed)] == [place.text.upper() for place in places]
    assert changed["n"] == 1


def test_embeddings_answer_without_text() -> None:
    """Vectors hold nothing to judge."""
    assert EMBEDDINGS.reply_texts({"data": [{"embedding": [1.0]}]}) == ()
    assert EMBEDDINGS.event_texts({"choices": [{"text": "x"}]}) == ()


@pytest.mark.parametrize("dialect", [COMPLETIONS, EMBEDDINGS])
def test_endings_and_error_events(dialect: Dialect) -> None:
    """A stream ends as an OpenAI stream does, and an error becomes an event with the error's envelope."""
    assert dialect.ending([DONE]) == "complete"
    assert dialect.ending([]) == "cut"
    event = dialect.error_event(Blocked("no"))
    assert msgspec.json.decode(data_of(event))["error"]["code"] == "guardrail_blocked"
    assert dialect.ending([event]) == "error"
