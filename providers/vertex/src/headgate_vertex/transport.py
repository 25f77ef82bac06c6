"""google-auth's HTTP transport over the gateway's own outbound path.

google-auth is synchronous and runs in a thread; each of its requests is carried out on the event loop, by the same engine, under
the same rules, as every other call of the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from google.auth import exceptions  # pyright: ignore[reportMissingTypeStubs]
from google.auth.transport import Request, Response  # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import override

from headgate.errors import ProviderError
from headgate.upstream import Timeouts, Upstream, UpstreamRequest

METADATA_HOST = "metadata.google.internal"
METADATA_ADDRESS = "169.254.169.254"
"""The metadata server's only address. Names that resolve to it are refused, so it is called by the address itself:
https://cloud.google.com/compute/docs/metadata/querying-metadata"""
LIMIT_S = 20.0


class Answer(Response):
    """What google-auth reads of a reply. Header names are lower case, as it expects."""

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self._status, self._headers, self._data = status, headers, data

    @property
    @override
    def status(self) -> int:
        return self._status

    @property
    @override
    def headers(self) -> Mapping[str, str]:
        return self._headers

    @property
    @override
    def data(self) -> bytes:
        return self._data


class GuardedRequest(Request):
    """Call it in a thread, never on `loop`. All URLs are the operator's or Google's, so a private address is no trap."""

    def __init__(self, upstream: Upstream, loop: asyncio.AbstractEventLoop) -> None:
        self._upstream = upstream
        self._loop = loop

    @override
    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Answer:
        """Carry out one request. Raises google-auth's TransportError when no reply came."""
        sent = request_of(url, method, body, headers or {}, timeout or LIMIT_S)
        future = asyncio.run_coroutine_threadsafe(self._send(sent), self._loop)
        try:
            return future.result(LIMIT_S + 5)
        except (ProviderError, TimeoutError) as error:
            future.cancel()
            raise exceptions.TransportError(str(error)) from error

    async def _send(self, request: UpstreamRequest) -> Answer:
        response = await self._upstream.send(request)
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
            return Answer(response.status, headers, await response.read())
        finally:
            response.close()


def request_of(
    url: str, method: str, body: bytes | str | None, headers: Mapping[str, str | bytes], timeout_s: float
) -> UpstreamRequest:
    """A request of google-auth's as the gateway sends it. Some of its header values are bytes: AWS's session token."""
    host = urlsplit(url).hostname or ""
    if host == METADATA_HOST:
        host, url = METADATA_ADDRESS, url.replace(METADATA_HOST, METADATA_ADDRESS, 1)
    limit_s = min(timeout_s, LIMIT_S)
    return UpstreamRequest(
        method,
        url,
        tuple((name.lower().encode(), _bytes_of(value)) for name, value in headers.items()),
        _bytes_of(body or b""),
        timeouts=Timeouts(connect_s=min(5.0, limit_s), first_byte_s=limit_s, gap_s=limit_s, total_s=limit_s),
        private_hosts=frozenset({host}),
    )


def _bytes_of(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
