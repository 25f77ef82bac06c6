"""A reply that is here already: for providers that make one of several, or of another form than the client's."""

from __future__ import annotations

from collections.abc import AsyncIterator

from headgate.upstream.interface import RawHeaders


class WholeResponse:
    """A reply that is here already, as an `UpstreamResponse`."""

    def __init__(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    async def read(self) -> bytes:
        """The body."""
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in one piece."""
        yield self._body

    def close(self) -> None:
        """There is nothing to give up."""
