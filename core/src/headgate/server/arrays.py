"""Google's other framing of a stream: one JSON array instead of server-sent events, for clients that do not ask for `alt=sse`.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from headgate.dialects.sse import data_of, events_of
from headgate.exchange import Exchange

CONTENT_TYPE = (b"content-type", b"application/json; charset=utf-8")


def wants_array(ex: Exchange) -> bool:
    """Whether the client reads a stream of `google.generate` as an array."""
    return (
        ex.stream
        and ex.dialect is not None
        and ex.dialect.name == "google.generate"
        and b"alt=sse" not in ex.query.split(b"&")
    )


class ArrayStream:
    """Sends whole server-sent events as elements of one array."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._send = send
        self._opening = b"["

    async def send(self, slice_: bytes) -> None:
        """Send the data of every event of a slice."""
        said = b""
        for event in events_of(slice_):
            data = data_of(event)
            if data:
                said += self._opening + data
                self._opening = b",\r\n"
        if said:
            await self._send(said)

    async def end(self) -> None:
        """Close the array."""
        await self._send(b"[]" if self._opening == b"[" else b"]")
