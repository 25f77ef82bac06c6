"""What any vendor answers means the same to a client of any dialect, whole or streamed, however the stream is cut."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.pairs.canonical import replies, streams
from tests.pairs.dialects import CLIENTS, SPOKEN, events_of, stream_of, whole_of
from tests.pairs.meaning import answered
from tests.pairs.unsaid import REPLIES, STREAMS, Row, differing

from headgate.chat import (
    ChatReply,
    ChatRequest,
    ErrorEvent,
    Finish,
    Message,
    Sampling,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    Usage,
    UsageEvent,
    collect,
    replay,
)
from headgate.dialects import ChatDialect
from headgate.errors import ProviderFailed

many = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
cuts = st.lists(st.integers(0, 9999), max_size=6)
START = Start("r", "m")
SEVERAL = ["openai.chat", "google.generate"]
"""Dialects of clients and vendors that have several answers in one reply."""
LATER = {("anthropic.messages", "sources"), ("openai.responses", "sources")}
"""Rows that a vendor's own stream needs, not what is said here."""


def test_every_dialect_says_a_reply_as_it_is() -> None:
    """Whole and streamed, but for what the table names; and every row of it is needed."""
    lost, lost_in_streams = set[tuple[str, str]](), set[tuple[str, str]]()

    @many
    @given(st.data(), replies(), cuts)
    def check(data: st.DataObject, said: ChatReply, places: list[int]) -> None:
        events, found = data.draw(streams(said)), list[str]()
        for name, dialect in SPOKEN.items():
            whole, streamed = written(dialect, said), collect(_streamed(dialect, events, said, places))
            found += _named(name, differing(REPLIES, name, answered(said), answered(whole), lost))
            found += _named(name, differing(STREAMS, name, answered(whole), answered(streamed), lost_in_streams))
        assert found == []

    check()
    assert lost | LATER == _rows(REPLIES)
    assert lost_in_streams | LATER == _rows(STREAMS)


@many
@given(st.data(), replies(), cuts)
def test_replies_keep_their_meaning(data: st.DataObject, said: ChatReply, places: list[int]) -> None:
    """What a vendor said in its dialect a client reads in its own, whole and streamed."""
    events, found = data.draw(streams(said)), list[str]()
    for name, vendor in SPOKEN.items():
        answer, stream = _marked(written(vendor, said)), _streamed(vendor, events, said, places)
        if answer.choices[0].finish == "error":
            continue
        for client, dialect in CLIENTS.items():
            whole = written(dialect, answer)
            found += _named(f"{name} to {client}", differing(REPLIES, client, answered(answer), answered(whole), set()))
            told = written(dialect, _marked(collect(stream)))
            streamed = collect(events_of(dialect, stream_of(dialect, stream, asking(dialect)), places))
            slots = answered(told) | {slot: answered(streamed)[slot] for slot in ("id", "model", "created")}
            found += _named(
                f"{name} to {client}, streamed", differing(STREAMS, client, slots, answered(streamed), set())
            )
    assert found == []


@many
@given(st.data(), replies(2), st.sampled_from(SEVERAL), st.sampled_from(SEVERAL), cuts)
def test_several_answers(data: st.DataObject, said: ChatReply, name: str, client: str, places: list[int]) -> None:
    """Where vendor and client have several answers in a reply, each keeps its place and its meaning."""
    vendor, dialect = SPOKEN[name], CLIENTS[client]
    stream = _streamed(vendor, data.draw(streams(said)), said, places)
    answer, streamed = _marked(written(vendor, said)), _marked(collect(stream))
    assert list(differing(REPLIES, name, answered(said), answered(answer), set())) == []
    assert answered(streamed) == answered(answer)
    assert list(differing(REPLIES, client, answered(answer), answered(written(dialect, answer)), set())) == []
    again = collect(events_of(dialect, stream_of(dialect, stream, asking(dialect)), places))
    assert answered(again) == answered(written(dialect, streamed))


@pytest.mark.parametrize("name", SPOKEN)
@pytest.mark.parametrize("client", CLIENTS)
@settings(many, max_examples=5)
@given(data=st.data(), said=replies())
def test_a_broken_stream_has_no_finish(name: str, client: str, data: st.DataObject, said: ChatReply) -> None:
    """An error of the vendor's in the middle of a stream is an error to the client, wherever it comes; no finish is made up."""
    events = list(data.draw(streams(said)))
    at = data.draw(st.integers(1, max(1, len(events) - 3)))
    vendor, dialect = SPOKEN[name], CLIENTS[client]
    encoder = vendor.stream_encoder(asking(vendor))
    decoder, framer = vendor.stream_decoder(), vendor.framer()
    sent = b"".join(map(encoder.feed, [*events[:at], ErrorEvent("out of order", status=500)]))
    stream = [event for frame in framer.feed(sent) for event in decoder.feed(frame)]
    assert isinstance(stream[-1], ErrorEvent)
    told = dialect.stream_encoder(asking(dialect))
    data_sent = b"".join(map(told.feed, stream))
    assert b"[DONE]" not in data_sent
    assert not any(isinstance(event, Finish) for event in events_of(dialect, data_sent))
    with pytest.raises(ProviderFailed, match="out of order"):
        collect(events_of(dialect, data_sent))


@pytest.mark.parametrize("before", [(), (START,), (START, TextDelta("a"), Finish("stop"), UsageEvent(Usage(1, 2)))])
@pytest.mark.parametrize("name", SPOKEN)
def test_nothing_closes_a_stream_that_failed(name: str, before: tuple[StreamEvent, ...]) -> None:
    """Behind an error the end says nothing, however far the answer had come: no finish and no `[DONE]`."""
    encoder = SPOKEN[name].stream_encoder(asking(SPOKEN[name]))
    said = b"".join(map(encoder.feed, (*before, ErrorEvent("out of order", status=500))))
    assert (b"out of order" in said, encoder.end()) == (True, b"")


def asking(dialect: ChatDialect) -> ChatRequest:
    """A request of a client that wants to be told all there is."""
    return ChatRequest(
        "m",
        (Message("user", (Text("x"),)),),
        Sampling(n=2),
        stream=True,
        include_usage=True,
        dialect=dialect.name,
    )


def written(dialect: ChatDialect, reply: ChatReply) -> ChatReply:
    """A reply as a client or a gateway reads it that was told it in this dialect."""
    return whole_of(dialect, reply, asking(dialect))


def _streamed(dialect: ChatDialect, events: list[StreamEvent], said: ChatReply, places: list[int]) -> list[StreamEvent]:
    """The events of a vendor's stream. Bedrock ends a call before it begins the next, so there nothing is interleaved."""
    held = replay(said) if dialect.name == "bedrock.converse" else events
    return events_of(dialect, stream_of(dialect, held, asking(dialect)), places)


def _marked(reply: ChatReply) -> ChatReply:
    """What the gateway puts into a reply that does not say it."""
    held = replace(reply, id=reply.id or "r-1", model=reply.model or "m", created=reply.created or 1)
    return replace(held, dialect=reply.dialect)


def _named(pair: str, found: Iterable[str]) -> list[str]:
    return [f"{pair}: {fault}" for fault in found]


def _rows(rows: tuple[Row, ...]) -> set[tuple[str, str]]:
    return {(row.dialect, row.slot) for row in rows}
