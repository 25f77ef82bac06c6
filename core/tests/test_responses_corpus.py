"""Recorded Responses traffic of OpenAI, Azure and xAI: all of it is understood, and means the same after any way through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from core.tests.responses_samples import (
    CORPUS,
    RESPONSES,
    answer,
    decode,
    encoded,
    events_in,
    parts_of,
    recorded,
    said,
    told,
)
from pydantic import ValidationError

from headgate.chat import ChatReply, ErrorEvent, Item, Reasoning, Text, ToolCall, collect
from headgate.dialects import Gaps
from headgate.dialects.sse import data_of, events_of
from headgate.errors import ProviderFailed

Json = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not (CORPUS / "openai.jsonl.gz").exists(), reason="no recorded exchanges: set HEADGATE_CORPUS"
)


AT_ODDS = {"5362a85055ad7a06"}
"""A recording shortened by hand, whose last event tells another text than its deltas: what was streamed counts."""


def streams() -> list[tuple[str, bytes]]:
    return [(each["id"], each["resp_text"].encode()) for each in recorded() if each["stream"] and each["status"] == 200]


def wholes() -> list[tuple[str, bytes]]:
    """Recorded answers; one recording is of a chat completion, one of an error with status 200."""
    bodies = [(each["id"], each["resp_text"].encode()) for each in recorded() if not each["stream"]]
    return [(name, body) for name, body in bodies if json.loads(body).get("output") is not None]


def first_of(stream: bytes) -> bytes:
    """Some recordings hold several streams one behind the other: the events up to the first last one."""
    events: list[bytes] = []
    for event in events_of(stream):
        events.append(event)
        if RESPONSES.ending([event]) != "cut":
            break
    return b"".join(events)


def meaning(reply: ChatReply) -> Json:
    """What an answer says, whatever its parts are called and wherever they are cut."""
    parts = parts_of(reply)
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "sources": [citation.url for part in parts if isinstance(part, Text) for citation in part.citations],
        "thinking": "".join(part.text for part in parts if isinstance(part, Reasoning)),
        "secrets": sum(isinstance(part, Reasoning) and part.opaque is not None for part in parts),
        "calls": [(part.id, part.name, part.arguments) for part in parts if isinstance(part, ToolCall)],
        "items": [part.raw["type"] for part in parts if isinstance(part, Item)],
        "finish": reply.choices[0].finish,
        "usage": reply.usage,
    }


def is_typed(reply: ChatReply) -> bool:
    """Whether all items of the provider's own are of kinds that the official SDK has types for: xAI's are not."""
    items = [part.raw for part in parts_of(reply) if isinstance(part, Item)]
    return not any(
        item["type"] == "x_search_call" or ("arguments" in item and "name" in item and "server_label" not in item)
        for item in items
    )


def test_requests() -> None:
    """Every recorded request is understood, and encoded again it says the same."""
    requests = [each["req_json"] for each in recorded() if each["req_json"]]
    assert len(requests) > 90
    for body in requests:
        request = RESPONSES.decode_request(encoded(body))
        again: Json = json.loads(RESPONSES.encode_request(request, Gaps("vendor")))
        assert RESPONSES.decode_request(encoded(again)) == request
        assert RESPONSES.request_texts(body)


def test_streams_are_the_same_in_any_pieces() -> None:
    """Cut at every size, a stream gives the same events; its last one agrees with what was said before."""
    assert len(streams()) > 55
    for name, stream in streams():
        whole = first_of(stream)
        events = events_in(whole)
        for size in (1, 7, 64):
            assert events_in(whole, size=size) == events, name
        if any(isinstance(event, ErrorEvent) for event in events):
            continue
        body = json.loads(data_of(events_of(whole)[-1]))["response"]
        if name not in AT_ODDS:
            assert meaning(collect(events)) == meaning(RESPONSES.decode_reply(encoded(body))), name
        assert RESPONSES.tail_usage(events_of(whole)) == collect(events).usage


def test_streams_for_clients() -> None:
    """Every recorded stream, told again to a client, is accepted by the official types and says the same."""
    for name, stream in streams():
        events = events_in(first_of(stream))
        if any(isinstance(event, ErrorEvent) for event in events):
            assert told(said(events))[-1]["type"] == "response.failed"
            continue
        reply = collect(events)
        if is_typed(reply):
            last = told(said(events))[-1]["response"]
            assert meaning(RESPONSES.decode_reply(encoded(last))) == _uncounted(reply, last), name


def test_answers() -> None:
    """Every recorded answer is understood, and told again it says the same."""
    assert len(wholes()) > 75
    untyped = 0
    for name, body in wholes():
        reply = RESPONSES.decode_reply(body)
        assert RESPONSES.reply_usage(body) == reply.usage
        try:
            again = answer(reply)
        except ValidationError:
            assert not is_typed(reply), name
            untyped += 1
            continue
        assert meaning(RESPONSES.decode_reply(encoded(again))) == _uncounted(reply, again), name
    assert untyped <= 4


def test_answers_go_back() -> None:
    """The output of a recorded answer is understood as input of the next request, and means what it meant."""
    for name, body in wholes():
        reply = RESPONSES.decode_reply(body)
        request = decode(
            input=[{"role": "user", "content": "x"}, *json.loads(body)["output"], {"role": "user", "content": "y"}]
        )
        parts = [part for message in request.messages[1:-1] for part in message.parts]
        calls = [(part.id, part.name, part.arguments) for part in parts if isinstance(part, ToolCall)]
        assert "".join(part.text for part in parts if isinstance(part, Text)) == meaning(reply)["text"], name
        assert calls == meaning(reply)["calls"], name


def test_errors() -> None:
    """Recorded errors keep their words; what is no response is the provider's failure."""
    errors = [each for each in recorded() if each["status"] != 200]
    assert [RESPONSES.decode_error(each["status"], each["resp_text"].encode()).status for each in errors] == [404, 401]
    others = [each for each in recorded() if each["status"] == 200 and not each["stream"]]
    strange = [each["resp_text"].encode() for each in others if json.loads(each["resp_text"]).get("output") is None]
    for body in strange:
        with pytest.raises(ProviderFailed):
            RESPONSES.decode_reply(body)


def test_every_event_can_be_viewed() -> None:
    """A guard finds all text of a recorded stream: that of its last event is the text of the answer."""
    for name, stream in streams():
        whole = first_of(stream)
        texts: dict[str, str] = {}
        for event in events_of(whole):
            for place in RESPONSES.view_event(data_of(event)).texts:
                texts[place.channel] = texts.get(place.channel, "") + place.text
        events = events_in(whole)
        if not any(isinstance(event, ErrorEvent) for event in events) and name not in AT_ODDS:
            told_again = [text for channel, text in texts.items() if channel.startswith("response.")]
            assert meaning(collect(events))["text"] in "".join(told_again), name


def _uncounted(reply: ChatReply, body: Json) -> Json:
    """The meaning of `reply`, with usage as the answer to the client has it."""
    return {**meaning(reply), "usage": RESPONSES.decode_reply(encoded(body)).usage}
