"""Messages of an AWS event stream: cut out of bytes, checked, read and written.

A message is big-endian: its length, the length of its headers, a CRC32 of those eight bytes, the headers, the payload,
and a CRC32 of all before it. Source:
https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html and https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from zlib import crc32

from msgspec import Struct

from headgate.errors import ProviderFailed

MAX_MESSAGE_BYTES = 25 * 1024 * 1024
"""AWS allows 24 MiB of payload and 128 KiB of headers."""

_PRELUDE = struct.Struct(">II")
_CRC = struct.Struct(">I")
_SIZE = struct.Struct(">H")
_HEAD = 12
_TAIL = 4
_STRING = 7
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of the value of a header by its type: true, false, byte, short, int, long, timestamp, UUID."""
_SIZED = {6, _STRING}


class Message(Struct, frozen=True):
    """One message. `headers` holds those whose value is a string, which are all that Bedrock sends."""

    headers: Mapping[str, str]
    payload: bytes


class FrameFramer:
    """Cuts a stream into whole messages. Lengths and both checksums are checked; bytes are never changed."""

    __slots__ = ("_held", "_need", "_size")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._need = _HEAD

    def feed(self, data: bytes) -> Sequence[bytes]:
        """The messages that `data` completes. Raises ProviderFailed for a message that is damaged or too large."""
        self._held.append(data)
        self._size += len(data)
        if self._size < self._need:
            return ()
        whole = b"".join(self._held)
        frames: list[bytes] = []
        start = 0
        while True:
            self._need = _HEAD
            if len(whole) - start < _HEAD:
                break
            self._need = _length_of(whole, start)
            if len(whole) - start < self._need:
                break
            frames.append(whole[start : start + self._need])
            _check(frames[-1])
            start += self._need
        rest = whole[start:]
        self._held, self._size = [rest], len(rest)
        return frames

    def end(self) -> Sequence[bytes]:
        """Nothing; ProviderFailed when a message is torn."""
        torn, self._held, self._size, self._need = self._size, [], 0, _HEAD
        if torn:
            raise ProviderFailed("the provider closed the stream within a message", code="upstream_cut")
        return ()


def decode_frame(frame: bytes) -> Message:
    """What a whole message says. Raises ProviderFailed when its headers cannot be read."""
    if len(frame) < _HEAD + _TAIL:
        raise _damaged("it is too short")
    (_, headers_size) = _PRELUDE.unpack_from(frame)
    end = _HEAD + headers_size
    headers: dict[str, str] = {}
    at = _HEAD
    try:
        while at < end:
            size = frame[at]
            name = frame[at + 1 : at + 1 + size].decode()
            at += 1 + size
            kind = frame[at]
            at += 1
            if kind in _SIZED:
                (size,) = _SIZE.unpack_from(frame, at)
                at += 2
                if kind == _STRING:
                    headers[name] = frame[at : at + size].decode()
                at += size
            else:
                at += _FIXED[kind]
    except (IndexError, KeyError, UnicodeDecodeError, struct.error):
        raise _damaged("its headers cannot be read") from None
    if at != end:
        raise _damaged("its headers do not end where they should")
    return Message(headers, frame[end:-_TAIL])


def encode_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A message with string headers."""
    parts: list[bytes] = []
    for name, value in headers.items():
        said, held = name.encode(), value.encode()
        parts += (bytes((len(said),)), said, bytes((_STRING,)), _SIZE.pack(len(held)), held)
    head = b"".join(parts)
    prelude = _PRELUDE.pack(_HEAD + len(head) + len(payload) + _TAIL, len(head))
    body = prelude + _CRC.pack(crc32(prelude)) + head + payload
    return body + _CRC.pack(crc32(body))


def _length_of(data: bytes, start: int) -> int:
    """The length a prelude states, once its own checksum says that it can be believed."""
    length, headers_size = _PRELUDE.unpack_from(data, start)
    (checksum,) = _CRC.unpack_from(data, start + 8)
    if crc32(data[start : start + 8]) != checksum:
        raise _damaged("the checksum of its lengths is wrong")
    if not _HEAD + headers_size + _TAIL <= length <= MAX_MESSAGE_BYTES:
        raise _damaged("its lengths are impossible")
    return length


def _check(frame: bytes) -> None:
    (checksum,) = _CRC.unpack_from(frame, len(frame) - _TAIL)
    if crc32(frame[:-_TAIL]) != checksum:
        raise _damaged("its checksum is wrong")


def _damaged(why: str) -> ProviderFailed:
    return ProviderFailed(f"a message of the event stream is damaged: {why}", code="upstream_bad_reply")
