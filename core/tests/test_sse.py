"""Server-sent events as bytes: cut on boundaries alone, never changed, whatever pieces they come in."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.dialects.sse import (
    DONE,
    MAX_EVENT_BYTES,
    Splitter,
    data_event,
    data_of,
    ending_of,
    events_of,
    is_event,
    sole_data,
)
from headgate.errors import ProviderFailed

BREAKS = st.sampled_from(["\n", "\r\n", "\r"])
LINES = st.sampled_from(
    [
        "data: {}",
        "data:x",
        "data",
        ": comment",
        "event: e",
        "id: 1",
        "retry: 5",
        "data: \u2028\u0085\x0b\x0c\x1c",
        "data: é",
    ]
) | st.text(st.characters(blacklist_characters="\r\n", codec="utf-8"), max_size=6)
STREAMS = st.lists(st.tuples(LINES | st.just(""), BREAKS), max_size=14).map(
    lambda lines: "".join(text + end for text, end in lines).encode()
)
_LINE_END = re.compile(rb"\r\n|\n|\r")
brief = settings(max_examples=60, deadline=None)


def split(pieces: list[bytes]) -> tuple[bytes, bytes]:
    """All whole events of a stream that comes in these pieces, and what is left at its end."""
    splitter = Splitter()
    whole = b"".join(splitter.feed(piece) for piece in pieces)
    return whole, splitter.end()


def meaning(pieces: list[bytes]) -> tuple[list[list[bytes]], bytes]:
    """The lines of every whole event, and the rest: blank lines between events mean nothing (WHATWG HTML, 9.2.6)."""
    whole, rest = split(pieces)
    events: list[list[bytes]] = [[]]
    for line in _LINE_END.split(whole)[:-1]:
        if line:
            events[-1].append(line)
        elif events[-1]:
            events.append([])
    assert not events.pop(), "an event was given out without its blank line"
    return events, rest.lstrip(b"\r\n")


def cut_at(data: bytes, places: list[int]) -> list[bytes]:
    ends = [*sorted(places), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


# splitting


@settings(deadline=None)
@given(STREAMS)
@example(b"data: a\r\rdata: b")
@example(b"data: a\n\r\r\ndata: b\n\n")
@example(b"data: a\r\n\r\ndata: b\r\n\r\n")
@example(b"\n\n\n\n")
def test_every_single_split_gives_the_same(stream: bytes) -> None:
    """A stream cut once, anywhere, gives the same whole events and the same rest as in one piece."""
    expected = meaning([stream])
    for at in range(len(stream) + 1):
        assert meaning([stream[:at], stream[at:]]) == expected, at


@settings(deadline=None)
@given(STREAMS)
@example(b"data: a\r\rdata: b")
def test_single_bytes_give_the_same(stream: bytes) -> None:
    """A stream that comes byte by byte gives the same as in one piece."""
    assert meaning([bytes([byte]) for byte in stream]) == meaning([stream])


@brief
@given(STREAMS, st.lists(st.integers(0, 120)))
def test_any_split_gives_the_same(stream: bytes, places: list[int]) -> None:
    """A stream cut into any pieces, empty ones too, gives the same as in one piece."""
    assert meaning(cut_at(stream, [min(place, len(stream)) for place in places])) == meaning([stream])


def test_a_long_mixed_stream_in_a_thousand_random_cuts() -> None:
    """A realistic stream of all line ends and characters: every random cut gives the same events."""
    rng = random.Random(7)
    ends = ["\n\n", "\r\n\r\n", "\n\n", "\r\n\r\n"]
    stream = "".join(f'data: {{"t":"é\u2028\u0085\x0b {at}"}}{ends[at % 4]}: c\n\n' for at in range(30)).encode()
    expected = split([stream])
    for _ in range(1000):
        assert split(cut_at(stream, rng.sample(range(len(stream)), rng.randint(1, 12)))) == expected


@settings(deadline=None)
@given(st.lists(st.binary(max_size=12), max_size=12))
def test_bytes_are_never_changed(pieces: list[bytes]) -> None:
    """Whatever comes in comes out, in order, even if it is no event stream at all."""
    assert b"".join(split(pieces)) == b"".join(pieces)


def test_an_event_is_given_out_when_it_is_complete() -> None:
    """The bytes that complete an event bring it at once; only a CR that may be half a CRLF waits for the next byte."""
    splitter = Splitter()
    assert splitter.feed(b"data: a\n") == b""
    assert splitter.feed(b"\ndata: b") == b"data: a\n\n"
    assert splitter.feed(b"\r\n\r\n") == b"data: b\r\n\r\n"
    assert splitter.feed(b"data: c\r\r") == b""
    assert splitter.feed(b"data: d") == b"data: c\r\r"
    assert splitter.end() == b"data: d"
    assert splitter.end() == b""


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x00"])
def test_only_cr_and_lf_end_a_line(character: str) -> None:
    """Characters that Python counts as line ends are data: they stand raw inside JSON strings."""
    event = f'data: {{"t":"a{character}{character}b"}}\n\n'.encode()
    assert split([event * 2]) == (event * 2, b"")
    assert events_of(event * 2) == [event, event]
    assert data_of(event) == event[6:-2]


def test_an_event_without_end_is_refused() -> None:
    """One event may grow to 16 MiB, and no further."""
    splitter = Splitter()
    piece = b"x" * (1024 * 1024)
    for _ in range(MAX_EVENT_BYTES // len(piece)):
        splitter.feed(piece)
    with pytest.raises(ProviderFailed):
        splitter.feed(b"x")


def test_many_small_events_may_be_larger_together() -> None:
    """The bound is for one event: after each boundary the count starts anew."""
    splitter = Splitter()
    event = b"data: " + b"x" * (1024 * 1024) + b"\n\n"
    for _ in range(MAX_EVENT_BYTES // len(event) + 2):
        assert splitter.feed(event[:-1]) == b""
        assert splitter.feed(event[-1:]) == event


# single events


@settings(deadline=None)
@given(STREAMS)
@example(b"data: a\n\n\n")
@example(b"\n\n\n\n")
@example(b"data: a\n\n\n\ndata: b\n\n")
@example(b"\n\ndata: a\n\n")
@example(b"data: [DONE]")
def test_the_events_of_a_slice_are_the_slice(stream: bytes) -> None:
    """Joined, the single events are the slice, byte for byte: a guard that lets all of them pass changes nothing."""
    whole, rest = split([stream])
    assert b"".join(events_of(whole)) == whole
    assert b"".join(events_of(rest)) == rest


@settings(deadline=None)
@given(STREAMS.map(lambda stream: b"data: " + stream) | st.text("da: x\r\n").map(str.encode))
@example(b"data: x\n\n")
@example(b"data: \n\n")
@example(b"data: x\ny")
@example(b"data: \n")
def test_the_data_of_a_usual_event_is_that_of_any(slice_: bytes) -> None:
    """A slice that is taken for one event of one line is one, and its data is what its lines say."""
    data = sole_data(slice_)
    if data is not None:
        assert events_of(slice_) == [slice_]
        assert data_of(b": c\n" + slice_) == data


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([b"data: 1", b"data: {}", b": c", b"event: e\ndata: 2"]), BREAKS), max_size=9)
)
def test_there_are_as_many_events_as_were_sent(sent: list[tuple[bytes, str]]) -> None:
    """Each event is one, whatever line ends it uses."""
    events = [text + end.encode() * 2 for text, end in sent]
    assert events_of(b"".join(events)) == events


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b"data: x\n\n", b"x"),
        (b"data:x\n\n", b"x"),
        (b"data:  x \n\n", b" x "),
        (b"data: x\r\n\r\n", b"x"),
        (b"data: x\r\r", b"x"),
        (b"data: x", b"x"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data: a\r\ndata:b\r\n\r\n", b"a\nb"),
        (b"event: e\ndata: x\nid: 3\n\n", b"x"),
        (b": comment\ndata: x\n\n", b"x"),
        (b": comment\n\n", b""),
        (b"\n\n", b""),
        (b"", b""),
        (b"\xef\xbb\xbfdata: x\n\n", b"x"),
        (b"data: x\xef\xbb\xbf\n\n", b"x\xef\xbb\xbf"),
        (b"data: \n\n", b""),
        (b"data: a\x00b\n\n", b"a\x00b"),
        (b"dataset: x\n\n", b""),
        (b" data: x\n\n", b""),
        (b"DATA: x\n\n", b""),
        (b"data: data: x\n\n", b"data: x"),
    ],
)
def test_the_data_of_an_event(event: bytes, expected: bytes) -> None:
    """WHATWG HTML section 9.2.6: data lines joined with LF, one leading space off, all other fields left out."""
    assert data_of(event) == expected


@settings(deadline=None)
@given(st.binary().map(lambda data: data.replace(b"\n", b"").replace(b"\r", b"")))
def test_data_survives_its_event(data: bytes) -> None:
    """What is put into an event is what is read from it."""
    assert data_of(data_event(data)) == data


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"data: x", True),
        (b"event: x", True),
        (b"id: 1", True),
        (b"retry: 1", True),
        (b": ping", True),
        (b"\n", True),
        (b"\r\n", True),
        (b"\xef\xbb\xbfdata: x", True),
        (b'{"error": {}}', False),
        (b"<html>", False),
        (b"", False),
    ],
)
def test_an_event_is_told_from_other_bodies(start: bytes, expected: bool) -> None:
    """JSON or HTML that calls itself an event stream is seen for what it is."""
    assert is_event(start) is expected


# endings

CHUNK = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n'
ERROR = b'data: {"error":{"message":"overloaded"}}\n\n'


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ([], "cut"),
        ([CHUNK], "cut"),
        ([CHUNK, DONE], "complete"),
        ([CHUNK, FINISH, USAGE, DONE], "complete"),
        ([CHUNK, b"data:[DONE]\n\n"], "complete"),
        ([CHUNK, b"data: [DONE]\r\n\r\n"], "complete"),
        ([CHUNK, b"data: [DONE]"], "complete"),
        ([CHUNK, DONE, b": bye\n\n"], "complete"),
        ([CHUNK, DONE, b"\n\n"], "complete"),
        ([CHUNK, FINISH], "complete"),
        ([CHUNK, FINISH, USAGE], "complete"),
        ([b'data: {"choices" : [{"delta" : {}, "finish_reason" : "stop"}]}\n\n'], "complete"),
        ([CHUNK, ERROR], "error"),
        ([CHUNK, b"event: error\ndata: {}\n\n"], "error"),
        ([CHUNK, b"id: 4\nevent: error\ndata: {}\n\n"], "error"),
        ([CHUNK, b'data: { "error" : "no" }\n\n'], "error"),
        ([CHUNK, b'data:\t{"error":{}}\n\n'], "error"),
        ([ERROR, DONE], "error"),
        ([CHUNK, b'data: {"choices":[{"delta":{"content":"say \\"finish_reason\\": \\"stop\\""}}]}\n\n'], "cut"),
        ([CHUNK, b'data: {"choices":[{"delta":{"content":"[DONE]"}}]}\n\n'], "cut"),
        ([CHUNK, b'data: {"choices":[{"delta":{"content":"data: {\\"error\\""}}]}\n\n'], "cut"),
        ([CHUNK, b'data: {"choices":[{"delta":{"content":"\\ndata: {\\"error\\""}}]}\n\n', FINISH], "complete"),
        ([CHUNK, b": [DONE]\n\n"], "cut"),
        ([CHUNK, b'data: {"choices":[{"delta":{},"finish_reason":""}]}\n\n'], "cut"),
    ],
)
def test_how_a_stream_ended(tail: list[bytes], expected: str) -> None:
    """`[DONE]` or a finish reason is complete, an error event is an error, whatever follows it; all else was cut."""
    assert ending_of(tail) == expected
