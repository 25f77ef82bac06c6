"""Server-sent events as bytes: splitting on event boundaries and reading data, without decoding text.

Only CR, LF and CRLF end a line (WHATWG HTML, section 9.2.5): U+2028, U+0085 and vertical tab are ordinary characters
that occur raw inside JSON strings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec

from headgate.errors import ProviderFailed

Ending = Literal["complete", "error", "cut"]
"""How a stream ended: with its proper last event, with an error of the provider's own, or without either."""

DONE = b"data: [DONE]\n\n"
MAX_EVENT_BYTES = 16 * 1024 * 1024

_BOUNDARY = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_LINE = re.compile(rb"\r\n|\n|\r")
_ERROR_EVENT = re.compile(rb"^event:[ ]?error[ ]*$", re.MULTILINE)
_DONE = b"[DONE]"
_LF, _CR = 10, 13
"""As numbers: a byte is found faster than bytes are."""
_object = msgspec.json.Decoder(dict[str, Any])
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
        if not self._parts and data.endswith(b"\n\n") and _CR not in data:
            return data
        found = _last_boundary(self._tail + data)
        end = found - len(self._tail)
        if found == 0 or end < 0:
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


class SseFramer:
    """Server-sent events, one by one."""

    __slots__ = ("_splitter",)

    def __init__(self) -> None:
        self._splitter = Splitter()

    def feed(self, data: bytes) -> list[bytes]:
        """The whole events that `data` completes."""
        whole = self._splitter.feed(data)
        return events_of(whole) if whole else []

    def end(self) -> list[bytes]:
        """`[DONE]` without its blank line, or nothing; ProviderFailed when another event is torn."""
        rest = self._splitter.end()
        if is_done(rest):
            return [rest]
        if rest.strip() and not rest.startswith(b":"):
            raise ProviderFailed("the provider closed the stream within an event", code="upstream_cut")
        return []


def events_of(slice_: bytes) -> list[bytes]:
    """The single events of a slice that `Splitter.feed` gave, each with its blank line."""
    if _CR not in slice_:
        if slice_.find(b"\n\n") == len(slice_) - 2:
            return [slice_]
        *pieces, rest = slice_.split(b"\n\n")
        whole = [piece + b"\n\n" for piece in pieces]
        return [*whole, rest] if rest else whole
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
    if _CR not in data:
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


def lines_of(event: bytes) -> list[bytes]:
    """The lines of an event without their ends."""
    return _LINE.split(event.removeprefix(b"\xef\xbb\xbf"))


def data_of(event: bytes) -> bytes:
    """The data of one event: its `data` lines joined with LF, one leading space taken off each."""
    data = sole_data(event)
    if data is not None:
        return data
    lines = lines_of(event)
    return b"\n".join(
        line[6:] if line.startswith(b"data: ") else line[5:] for line in lines if line.startswith(b"data:")
    )


def sole_data(slice_: bytes) -> bytes | None:
    """The data of a slice that is one event of one `data` line, as nearly all are; None when it is anything else."""
    end = len(slice_) - 2
    if slice_.startswith(b"data: ") and slice_.find(b"\n") == end and slice_[-1] == _LF and _CR not in slice_:
        return slice_[6:end]
    return None


def is_event(event: bytes) -> bool:
    """Whether these bytes look like an event at all: they begin with a field name, a comment or a blank line."""
    return event.startswith(_FIELDS)


def is_done(event: bytes) -> bool:
    """Whether an event is `[DONE]`, the one event that is understood even without its blank line."""
    return data_of(event).strip() == _DONE


def last_events(slice_: bytes, size_bytes: int) -> bytes:
    """The whole events in about the last `size_bytes` of a slice: what is left to be judged need not be kept whole."""
    if len(slice_) <= size_bytes:
        return slice_
    match = _BOUNDARY.search(slice_, len(slice_) - size_bytes)
    return slice_[match.end() :] if match is not None and match.end() < len(slice_) else slice_


def ending_of(tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
    """How an OpenAI-shaped stream ended, judged by its last events.

    `[DONE]` is complete. So is a finish reason for every choice before a clean close, since some vendors send no
    `[DONE]`; with `is_broken`, when the framing below was cut, it is not. An error event is an error, whatever follows.
    """
    if any(map(is_done, tail)) and not any(b"error" in event for event in tail):
        return "complete"  # as nearly all end: nothing need be decoded
    seen: set[object] = set()
    finished: set[object] = set()
    ending: Ending = "cut"
    for event in tail:
        data = data_of(event).strip()
        if data == _DONE:
            ending = "complete"
            continue
        if event.find(b"event:") >= 0 and _ERROR_EVENT.search(event):
            return "error"
        decoded = _decoded(data)
        if not decoded:
            continue
        if decoded.get("error") is not None:
            return "error"
        choices: Any = decoded.get("choices")
        for at, choice in enumerate(cast("list[Any]", choices) if isinstance(choices, list) else []):
            if isinstance(choice, dict):
                fields = cast("dict[str, Any]", choice)
                index = str(fields.get("index", at))
                seen.add(index)
                if fields.get("finish_reason"):
                    finished.add(index)
    if ending == "cut" and seen and seen == finished and not is_broken:
        return "complete"
    return ending


def _decoded(data: bytes) -> dict[str, Any] | None:
    try:
        return _object.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
