"""Completions and embeddings: which texts guardrails see, and that replacing them works."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headgate.body import replace_paths
from headgate.dialects import Dialect, OpenAIChat, OpenAICompletions, OpenAIEmbeddings
from headgate.dialects.sse import DONE, data_of
from headgate.errors import Blocked, InvalidRequest

COMPLETIONS = OpenAICompletions()
EMBEDDINGS = OpenAIEmbeddings()
CHAT = OpenAIChat()


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


PLAIN = b'{"index":1,"%s":{"role":"assistant","content":"a"},"finish_reason":"stop"}'
CHOICES = [
    b"",
    PLAIN,
    PLAIN + b"," + PLAIN,
    b'{"%s":{"content":"a","content":"b"},"index":0}',
    b'{"index":0,"%s":{"content":"a"},"logprobs":null,"vendor":{"text":"x"}}',
    b'{"index":0,"%s":{"content":"a"},"logprobs":{"content":[{"token":"a"}]}}',
    b'{"index":0,"%s":{"content":null,"refusal":"no","annotations":[]}}',
    b'{"index":0,"%s":{"content":"a","refusal":null,"tool_calls":null,"annotations":[{"title":"t"}]}}',
    b'{"index":0,"%s":{"content":"a","reasoning":"b","audio":{"transcript":"c"}}}',
    b'{"index":0,"%s":{"content":null,"tool_calls":[{"index":2,"function":{"arguments":"{}"}}]}}',
    b'{"index":0,"%s":{"content":[{"type":"text","text":"a"}]},"text":"b"}',
    b'{"index":"x","%s":{"content":"\\u00e9\\ud83d\\ude00"},"finish_reason":null}',
    b'{"index":0,"%s":null,"message":{"content":"m"},"delta":{"content":"d"}}',
    b'{"index":0},5,null',
]


@pytest.mark.parametrize("choices", CHOICES)
@pytest.mark.parametrize("around", [b'{"choices":[%s],"usage":null}', b'{"choices":[{"text":"old"}],"choices":[%s]}'])
def test_a_view_shows_what_the_decoded_body_holds(choices: bytes, around: bytes) -> None:
    """Read without decoding all of it or not, a reply or an event has the same texts in the same places."""
    reply = around % choices.replace(b"%s", b"message")
    assert list(CHAT.view_reply(reply)) == list(CHAT.reply_texts(msgspec.json.decode(reply)))
    event = around % choices.replace(b"%s", b"delta")
    view, plain = CHAT.view_event(event), Dialect.view_event(CHAT, event)
    assert (list(view.texts), list(view.finished)) == (list(plain.texts), list(plain.finished))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"\xff"])
def test_a_view_of_what_is_no_object_is_refused(body: bytes) -> None:
    """Whoever asks for the texts learns that there are none to be had."""
    for dialect in (CHAT, COMPLETIONS, EMBEDDINGS):
        with pytest.raises(InvalidRequest):
            dialect.view_reply(body)
        with pytest.raises(InvalidRequest):
            dialect.view_event(body)


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
