"""Server-sent events as bytes: splitting on event boundaries and reading data, without decoding text.

Only CR, LF and CRLF end a line (WHATWG HTML, section 9.2.5): U+2028, U+0085 and vertical tab are ordinary characters
that occur raw inside JSON strings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from headgate.dialects.interface import Ending
from headgate.errors import ProviderFailed

DONE = b"data: [DONE]\n\n"
MAX_EVENT_BYTES = 16 * 1024 * 1024

_BOUNDARY = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_LINE = re.compile(rb"\r\n|\n|\r")
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"')
_ERROR = re.compile(rb'^data:\s*\{\s*"error"|^event:\s*error', re.MULTILINE)
_FIELDS = (b"data", b"event", b"id", b"retry", b":", b"\r", b"\n", b"\xef\xbb\xbf")


class Splitter:
    """Cuts a byte stream on event boundaries. Bytes are never changed: all that comes out, joined, is what went in."""

    __slots__ = ("_parts", "_size", "_tail")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._tail = b""

    def feed(self, data: bytes) -> bytes:
        """The whole events that `data` completes, as one slice; empty when it completes none.

        Raises ProviderFailed when one event grows past 16 MiB.
        """
        end = _last_boundary(self._tail + data) - len(self._tail)
        if end <= 0:
            self._hold(data)
            return b""
        whole = b"".join((*self._parts, data[:end])) if self._parts else data[:end]
        self._parts, self._size, self._tail = [], 0, b""
        if end < len(data):
            self._hold(data[end:])
        return whole

    def end(self) -> bytes:
        """What is left when the stream has ended: an event without its blank line, or nothing."""
        rest = b"".join(self._parts)
        self._parts, self._size, self._tail = [], 0, b""
        return rest

    def _hold(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_EVENT_BYTES:
            raise ProviderFailed("a stream event is larger than 16 MiB", code="upstream_bad_reply")
        self._parts.append(data)
        self._tail = (self._tail + data)[-3:]


def events_of(slice_: bytes) -> list[bytes]:
    """The single events of a slice that `Splitter.feed` gave, each with its blank line."""
    if b"\r" not in slice_:
        return [piece + b"\n\n" for piece in slice_.split(b"\n\n") if piece]
    events: list[bytes] = []
    start = 0
    for match in _BOUNDARY.finditer(slice_):
        events.append(slice_[start : match.end()])
        start = match.end()
    if start < len(slice_):
        events.append(slice_[start:])
    return events


def _last_boundary(data: bytes) -> int:
    """Where the last whole event ends, 0 when none does. A CR at the very end may be half of a CRLF and must wait."""
    if b"\r" not in data:
        found = data.rfind(b"\n\n")
        return found + 2 if found >= 0 else 0
    last = 0
    for match in _BOUNDARY.finditer(data):
        if match.end() == len(data) and data.endswith(b"\r"):
            break
        last = match.end()
    return last


def data_event(data: bytes) -> bytes:
    """An event that carries `data`, which must hold no line break (JSON never does)."""
    return b"data: " + data + b"\n\n"


def data_of(event: bytes) -> bytes:
    """The data of one event: its `data` lines joined with LF, one leading space taken off each."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]
    lines = _LINE.split(event.removeprefix(b"\xef\xbb\xbf"))
    return b"\n".join(
        line[6:] if line.startswith(b"data: ") else line[5:] for line in lines if line.startswith(b"data:")
    )


def is_event(event: bytes) -> bool:
    """Whether these bytes look like an event at all: they begin with a field name, a comment or a blank line."""
    return event.startswith(_FIELDS)


def ending_of(tail: Sequence[bytes]) -> Ending:
    """How an OpenAI-shaped stream ended: `[DONE]`, or a finish_reason before a clean close (some vendors send no
    `[DONE]`), is complete; an error event is an error; anything else was cut.
    """
    if not tail:
        return "cut"
    if data_of(tail[-1]).strip() == b"[DONE]":
        return "complete"
    if any(_ERROR.search(event) for event in tail):
        return "error"
    return "complete" if any(_FINISH.search(event) for event in tail) else "cut"
