"""Messages of an event stream: cut out whole whatever the reads, and refused when a bit is wrong."""

from __future__ import annotations

import struct
from typing import Any, cast
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer  # pyright: ignore[reportMissingTypeStubs]
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import ProviderFailed
from headgate_bedrock.frames import MAX_MESSAGE_BYTES, FrameFramer, Message, decode_frame, encode_frame

HEADERS = {":event-type": "contentBlockDelta", ":content-type": "application/json", ":message-type": "event"}
FRAME = encode_frame(HEADERS, b'{"contentBlockIndex":0,"delta":{"text":"h\xc3\xa9"}}')
texts = st.text(max_size=40)
messages = st.builds(
    Message, st.dictionaries(st.text(min_size=1, max_size=20), texts, max_size=4), st.binary(max_size=300)
)


def framed(data: bytes, sizes: list[int]) -> list[bytes]:
    framer, frames, at, turn = FrameFramer(), list[bytes](), 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        frames += framer.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    return [*frames, *framer.end()]


@given(st.lists(messages, max_size=6), st.lists(st.integers(1, 90), min_size=1, max_size=6))
def test_frames_do_not_depend_on_reads(sent: list[Message], sizes: list[int]) -> None:
    """However the bytes arrive, the same messages come out."""
    data = b"".join(encode_frame(one.headers, one.payload) for one in sent)
    assert [decode_frame(frame) for frame in framed(data, sizes)] == sent


@given(messages)
def test_a_message_is_what_botocore_reads(sent: Message) -> None:
    """What is written here is what AWS's own reader reads."""
    buffer: Any = cast("Any", EventStreamBuffer)()
    buffer.add_data(encode_frame(sent.headers, sent.payload))
    read: list[Any] = list(buffer)
    assert [(one.headers, one.payload) for one in read] == [(dict(sent.headers), sent.payload)]


@pytest.mark.parametrize("bit", range(8))
def test_a_wrong_bit_is_found_wherever_it_is(bit: int) -> None:
    """One wrong bit in the lengths, the headers, the payload or a checksum fails the stream; no such message comes out."""
    for at in range(len(FRAME)):
        damaged = bytearray(FRAME)
        damaged[at] ^= 1 << bit
        with pytest.raises(ProviderFailed) as caught:
            framed(bytes(damaged) + FRAME, [1000])
        assert caught.value.error_code in {"upstream_bad_reply", "upstream_cut"}


def test_a_torn_message_is_a_cut() -> None:
    """A stream that ends within a message was cut, wherever that is; between messages it was not."""
    for size in range(1, len(FRAME)):
        with pytest.raises(ProviderFailed) as caught:
            framed(FRAME + FRAME[:size], [7])
        assert caught.value.error_code == "upstream_cut"
    assert framed(FRAME + FRAME, [7]) == [FRAME, FRAME]


@pytest.mark.parametrize(("length", "headers"), [(MAX_MESSAGE_BYTES + 1, 0), (15, 0), (100, 100), (16, 2**31)])
def test_impossible_lengths_are_refused_at_once(length: int, headers: int) -> None:
    """A length that cannot be, with a good checksum, is refused by the first twelve bytes."""
    prelude = struct.pack(">II", length, headers)
    with pytest.raises(ProviderFailed, match="lengths"):
        FrameFramer().feed(prelude + struct.pack(">I", crc32(prelude)))


def with_headers(head: bytes) -> bytes:
    prelude = struct.pack(">II", 12 + len(head) + 2 + 4, len(head))
    body = prelude + struct.pack(">I", crc32(prelude)) + head + b"{}"
    return body + struct.pack(">I", crc32(body))


def test_headers_of_every_type_are_passed_over() -> None:
    """A header that is no string is stepped over by its size, and those behind it are read."""
    kinds = {0: b"", 1: b"", 2: b"x", 3: b"xx", 4: b"x" * 4, 5: b"x" * 8, 6: b"\0\3abc", 8: b"x" * 8, 9: b"x" * 16}
    head = b"".join(b"\1a" + bytes((kind,)) + value for kind, value in kinds.items()) + b"\1b\7\0\2ok"
    assert decode_frame(with_headers(head)) == Message({"b": "ok"}, b"{}")


@pytest.mark.parametrize("head", [b"\1a\x0b", b"\1a", b"\1a\7\0\x09x", b"\1a\7\0\1\xff", b"\5a\7\0\1x"])
def test_headers_nobody_can_read_are_refused(head: bytes) -> None:
    """An unknown type, a name or value past the end, text that is no UTF-8."""
    with pytest.raises(ProviderFailed, match="damaged"):
        decode_frame(with_headers(head))
