"""The OpenAI chat dialect refuses what is none, never crashes on it, and sees the texts of usual events in a short way."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec
import pytest
from core.tests.openai_odd import CHOICES, MESSAGES, ODD, REQUEST_NAMES
from core.tests.openai_samples import CHAT, Json, encoded, request
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.chat import ChatReply, ChatRequest
from headgate.dialects import Gaps
from headgate.dialects.interface import ChatDialect
from headgate.dialects.sse import data_event
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed

brief = settings(max_examples=50, deadline=None)

ASKED = ChatRequest("m", (), include_usage=True)


@brief
@given(st.dictionaries(st.sampled_from(REQUEST_NAMES), ODD))
@example({"messages": [{"role": ["user"], "content": 5}]})
@example({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]})
@example({"messages": [{"role": "user", "content": "x"}], "stop": [1]})
@example({"messages": [{"role": "user", "content": "x"}], "temperature": "hot"})
@example({"messages": [{"role": "user", "content": "x"}], "response_format": {"type": ["xml"]}})
@example({"messages": [{"role": "user", "content": "x", "name": 5}]})
def test_odd_requests_are_well_typed_or_refused(data: Json) -> None:
    """Any JSON is a request whose every field has its declared type, or InvalidRequest: providers need not look again."""
    decode_and_encode(data)


@brief
@given(MESSAGES, st.dictionaries(st.sampled_from(REQUEST_NAMES), ODD, max_size=2))
def test_odd_messages_are_well_typed_or_refused(messages: list[Json], members: Json) -> None:
    """The same for messages that have a role at least."""
    decode_and_encode(request(**{**members, "messages": messages}))


def decode_and_encode(data: Json) -> None:
    try:
        held = CHAT.decode_request(encoded(data))
    except InvalidRequest:
        return
    msgspec.convert(msgspec.to_builtins(held), ChatRequest)
    assert all(isinstance(message.text, str) for message in held.messages)
    CHAT.encode_request(held, Gaps("vendor", "drop"))
    CHAT.encode_request(replace(held, dialect="google.generate"), Gaps("vendor", "drop"))


@brief
@given(
    st.fixed_dictionaries({"choices": CHOICES | ODD}, optional={"usage": ODD, "id": ODD, "created": ODD, "model": ODD})
)
@example({"choices": [{"message": {"content": "x"}, "finish_reason": ["stop"]}]})
@example({"choices": [], "usage": {"prompt_tokens": "many"}})
def test_odd_replies_are_read_or_refused(data: Json) -> None:
    """Any JSON is a reply, which then can be written, or ProviderFailed."""
    with contextlib.suppress(ProviderFailed):
        reply = CHAT.decode_reply(encoded(data))
        assert isinstance(reply, ChatReply)
        CHAT.encode_reply(reply, ASKED)
        CHAT.encode_reply(replace(reply, dialect="google.generate"), ASKED)


@brief
@given(
    st.lists(
        st.fixed_dictionaries({"choices": CHOICES | ODD}, optional={"usage": ODD, "id": ODD, "error": ODD}), max_size=3
    )
)
@example([{"choices": [{"delta": {}, "finish_reason": ["stop"]}]}])
@example([{"choices": [{"index": "first", "delta": {"content": "x"}}]}])
@example([{"choices": [{"delta": {"tool_calls": [{"function": "f"}]}}]}])
@example([{"choices": [], "usage": [1]}])
def test_odd_chunks_are_read_or_refused(chunks: list[Json]) -> None:
    """Any JSON in a stream gives events, which then can be written, or ProviderFailed, so that a broken stream ends as one."""
    decoder, encoder = CHAT.stream_decoder(), CHAT.stream_encoder(ASKED)
    with contextlib.suppress(ProviderFailed):
        for data in chunks:
            events = decoder.feed(data_event(encoded(data)))
            assert isinstance(events, Sequence)
            list(map(encoder.feed, events))
        list(map(encoder.feed, decoder.end()))
        encoder.end()


@brief
@given(st.builds(encoded, ODD) | st.binary(max_size=20), st.sampled_from([400, 401, 429, 529]))
def test_errors_of_any_shape_are_read(body: bytes, status: int) -> None:
    """Reading an error never is one."""
    words = CHAT.decode_error(status, body)
    assert isinstance(msgspec.convert(msgspec.to_builtins(words), ErrorWords), ErrorWords)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b"\xff", b'{"messages":[]}', b'{"messages":{}}'])
def test_bodies_that_are_no_request(body: bytes) -> None:
    """What is no chat request is refused with a 400; what is no answer is the provider's failure."""
    with pytest.raises(InvalidRequest):
        CHAT.decode_request(body)
    if b"messages" not in body:
        with pytest.raises(ProviderFailed):
            CHAT.decode_reply(body)
        if body:
            with pytest.raises(ProviderFailed):
                CHAT.stream_decoder().feed(data_event(body))


@brief
@given(CHOICES)
@example([{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}])
def test_the_short_view_of_an_event_is_the_long_one(choices: list[Json]) -> None:
    """What a guard sees of an event does not depend on the way it was read."""
    data = encoded({"choices": choices})
    short, long = CHAT.view_event(data), ChatDialect.view_event(CHAT, data)
    assert (list(short.texts), list(short.finished)) == (list(long.texts), list(long.finished))
