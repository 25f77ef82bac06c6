"""How Google frames a stream: server-sent events with `alt=sse`, one JSON array without it, and errors as they please.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from headgate.body import decode_object
from headgate.dialects.sse import MAX_EVENT_BYTES, Splitter, data_of, events_of
from headgate.errors import InvalidRequest, ProviderFailed

_BLANK = b" \t\r\n\xef\xbb\xbf"
_MARKS = re.compile(rb'["{}]')
_STRING_END = re.compile(rb'(?:[^"\\]|\\.)*"', re.DOTALL)


class GoogleFramer:
    """Server-sent events, or the objects of a JSON array: what comes is told by its first character."""

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._held = b""
        self._is_json: bool | None = None
        self._at = self._depth = self._begun = 0

    def feed(self, data: bytes) -> Sequence[bytes]:
        """The frames that `data` completes."""
        if self._is_json is None:
            data = self._held = self._held + data
            begun = data.lstrip(_BLANK)
            if not begun:
                return ()
            self._is_json, self._held = begun[:1] in {b"[", b"{"}, b""
        if self._is_json:
            return self._objects(data)
        whole = self._splitter.feed(data)
        return events_of(whole) if whole else ()

    def end(self) -> Sequence[bytes]:
        """What the end completes. Raises ProviderFailed (code `upstream_cut`) for a torn frame."""
        rest = (self._held if self._is_json else self._splitter.end()).strip(_BLANK + b",]")
        if self._is_json:
            rest = rest.removeprefix(b"[")
        if is_json(rest):
            return [rest]  # an error that came in mid-stream stands there as plain JSON
        if rest and not rest.startswith(b":"):
            raise ProviderFailed("the provider closed the stream within an event", code="upstream_cut")
        return ()

    def _objects(self, data: bytes) -> list[bytes]:
        self._held += data
        if len(self._held) > MAX_EVENT_BYTES:
            raise ProviderFailed("a stream event is larger than 16 MiB", code="upstream_bad_reply")
        found: list[bytes] = []
        while (mark := _MARKS.search(self._held, self._at)) is not None:
            self._at = mark.end()
            if mark[0] == b'"':
                string = _STRING_END.match(self._held, self._at)
                if string is None:
                    self._at = mark.start()
                    break
                self._at = string.end()
            elif mark[0] == b"{":
                self._begun = self._begun if self._depth else mark.start()
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth < 0:
                    raise ProviderFailed("the stream is no JSON", code="upstream_bad_reply")
                if self._depth == 0:
                    found.append(self._held[self._begun : self._at])
                    self._held, self._at = self._held[self._at :], 0
        else:
            self._at = len(self._held)
        return found


def is_json(data: bytes) -> bool:
    """Whether this is a JSON object, and no event."""
    if not data.startswith(b"{"):
        return False
    try:
        decode_object(data)
    except InvalidRequest:
        return False
    return True


def chunk_of(frame: bytes) -> bytes:
    """The JSON of a frame: the data of an event, or an object as it is."""
    held = data_of(frame).strip() if frame[:1] != b"{" else frame
    bare = frame.strip()
    return bare if not held and bare.startswith(b"{") else held
