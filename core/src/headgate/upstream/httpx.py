"""`ctx.http` for plugin authors: an httpx2 client whose every request takes the gateway's one outbound path."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx2
from typing_extensions import override

from headgate.errors import ProviderError, ProviderTimeout
from headgate.upstream.interface import Timeouts, Upstream, UpstreamRequest, UpstreamResponse

_OWN = {b"host", b"accept-encoding", b"content-length", b"transfer-encoding", b"connection"}


class UpstreamTransport(httpx2.AsyncBaseTransport):
    """An httpx2 transport over an Upstream: same pool, same guards. Redirects fail; private addresses are denied."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        limits: Mapping[str, float | None] = request.extensions.get("timeout") or {}
        default = Timeouts()
        outbound = UpstreamRequest(
            request.method,
            str(request.url),
            tuple((name.lower(), value) for name, value in request.headers.raw if name.lower() not in _OWN),
            await request.aread(),
            timeouts=Timeouts(
                connect_s=limits.get("connect") or default.connect_s,
                first_byte_s=limits.get("read") or default.first_byte_s,
                gap_s=limits.get("read") or default.gap_s,
            ),
        )
        try:
            response = await self._upstream.send(outbound)
        except ProviderTimeout as error:
            raise httpx2.ReadTimeout(error.message, request=request) from error
        except ProviderError as error:
            raise httpx2.ConnectError(error.message, request=request) from error
        headers = [(name, value) for name, value in response.headers if name != b"content-encoding"]
        return httpx2.Response(response.status, headers=headers, stream=_Body(response))


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: UpstreamResponse) -> None:
        self._response = response

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.chunks():
                yield chunk
        except ProviderTimeout as error:
            raise httpx2.ReadTimeout(error.message) from error
        except ProviderError as error:
            raise httpx2.ReadError(error.message) from error

    @override
    async def aclose(self) -> None:
        self._response.close()
