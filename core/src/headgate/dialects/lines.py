"""Streams of one JSON object per line (NDJSON), as Ollama sends them: https://github.com/ndjson/ndjson-spec"""

from __future__ import annotations

import msgspec

from headgate.errors import ProviderFailed

MAX_LINE_BYTES = 16 * 1024 * 1024


class LineFramer:
    """Lines, each with its line feed taken off; blank ones are left out."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes."""
        first, *others = data.split(b"\n")
        self._parts.append(first)
        self._size += len(first)
        if self._size > MAX_LINE_BYTES:
            raise ProviderFailed("a line of the stream is larger than 16 MiB", code="upstream_bad_reply")
        if not others:
            return []
        lines = [b"".join(self._parts), *others[:-1]]
        self._parts, self._size = [others[-1]], len(others[-1])
        return [line for line in lines if line.strip()]

    def end(self) -> list[bytes]:
        """A last line without a line feed, if it is whole JSON."""
        rest, self._parts, self._size = b"".join(self._parts), [], 0
        if not rest.strip():
            return []
        try:
            msgspec.json.decode(rest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ProviderFailed("the provider closed the stream within a line", code="upstream_cut") from None
        return [rest]
