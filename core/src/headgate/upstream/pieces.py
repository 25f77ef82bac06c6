"""Request bodies that are never whole in memory, as both engines take them."""

from __future__ import annotations

from headgate.errors import ProviderFailed
from headgate.upstream.interface import Pieces


class Taking:
    """The pieces of one body, taken one by one and counted."""

    __slots__ = ("_left", "_source")

    def __init__(self, pieces: Pieces) -> None:
        self._source = pieces.source
        self._left = pieces.length

    async def next(self) -> bytes:
        """The next piece that is not empty; no bytes at the end.

        Raises what the source raises, and ProviderFailed when the body is not as long as was said.
        """
        async for piece in self._source:
            if not piece:
                continue
            if self._left is not None:
                self._left -= len(piece)
                if self._left < 0:
                    raise _wrong_length("longer")
            return piece
        if self._left:
            raise _wrong_length("shorter")
        return b""


def _wrong_length(how: str) -> ProviderFailed:
    return ProviderFailed(f"the body is {how} than it was said to be", code="upstream_bad_body")
