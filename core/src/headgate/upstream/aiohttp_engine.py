"""The reference engine: aiohttp under the gateway's own rules for addresses, redirects, credentials and sizes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import ClientConnectionError, ClientError, ClientPayloadError, ClientResponse, ClientSession, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from multidict import CIMultiDict
from typing_extensions import override
from yarl import URL

from headgate.errors import ProviderFailed, ProviderTimeout
from headgate.upstream.addresses import denied_reason
from headgate.upstream.decoding import MAX_BODY_BYTES, Decoder, decoder_for
from headgate.upstream.interface import RawHeaders, Timeouts, UpstreamRequest, UpstreamResponse, origin_of

_SKIPPED = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})
_IDLE_S = 30.0


class AiohttpUpstream:
    """An Upstream on aiohttp, one connection pool per set of private hosts. Create it inside a running loop."""

    def __init__(self) -> None:
        self._sessions: dict[frozenset[str], ClientSession] = {}

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send one request; see Upstream. Redirects are not followed: a 3xx is a ProviderFailed."""
        host = urlsplit(request.url).hostname or ""
        _vet_literal(host, request.private_hosts)
        timeouts = request.timeouts
        try:
            async with asyncio.timeout(timeouts.first_byte_s):
                response = await self._session(request.private_hosts).request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=_headers(request),
                    data=request.body or None,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s),
                )
        except aiohttp.ConnectionTimeoutError:
            raise ProviderTimeout(f"no connection to `{host}` within {timeouts.connect_s:g} s") from None
        except TimeoutError:
            raise ProviderTimeout(f"no answer from `{host}` within {timeouts.first_byte_s:g} s") from None
        except _DeniedError as error:
            raise ProviderFailed(f"`{host}` may not be reached: {error}", code="upstream_denied") from None
        except (ClientError, OSError, ValueError) as error:
            raise ProviderFailed(f"`{host}` could not be reached: {_plain(error)}") from None
        if 300 <= response.status < 400:
            response.close()
            raise ProviderFailed(f"`{host}` answered with a redirect, which is not followed", code="upstream_redirect")
        try:
            return _Response(response, timeouts)
        except BaseException:
            response.close()
            raise

    async def close(self) -> None:
        """Close every pool."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def _session(self, private_hosts: frozenset[str]) -> ClientSession:
        session = self._sessions.get(private_hosts)
        if session is None:
            connector = TCPConnector(
                limit=0,
                keepalive_timeout=_IDLE_S,
                resolver=_VettingResolver(private_hosts),
                use_dns_cache=True,
                ttl_dns_cache=10,
            )
            session = self._sessions[private_hosts] = ClientSession(
                connector=connector,
                auto_decompress=False,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_SKIPPED,
                read_bufsize=64 * 1024,
            )
        return session


class _DeniedError(Exception):
    """An address the gateway must not connect to. Not an OSError, so that no connector tries the next one."""


class _VettingResolver(AbstractResolver):
    """Resolves a name and refuses it as a whole if any of its addresses is denied: the vetted address is the one used."""

    def __init__(self, private_hosts: frozenset[str]) -> None:
        self._resolver = ThreadedResolver()
        self._private_hosts = private_hosts

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        results = await self._resolver.resolve(host, port, family)
        allow_private = host in self._private_hosts
        for result in results:
            reason = denied_reason(result["host"], allow_private=allow_private)
            if reason:
                hint = "" if allow_private else "; set `allow_private: true` on the deployment if that is intended"
                raise _DeniedError(f"it resolves to {reason.partition(' is ')[0]}, {reason.partition(' is ')[2]}{hint}")
        return results

    @override
    async def close(self) -> None:
        await self._resolver.close()


class _Response:
    """An UpstreamResponse over aiohttp, with a watch on silence that costs nothing per chunk."""

    def __init__(self, response: ClientResponse, timeouts: Timeouts) -> None:
        self._response = response
        self._timeouts = timeouts
        self._timed_out = ""
        self._handle: asyncio.TimerHandle | None = None
        self.status = response.status
        self.headers: RawHeaders = tuple((name.lower(), value) for name, value in response.raw_headers)
        encodings = [value for name, value in self.headers if name == b"content-encoding"]
        if len(encodings) > 1 or (encodings and b"," in encodings[0]):
            raise ProviderFailed("the body is encoded more than once", code="upstream_bad_encoding")
        self._decoder: Decoder | None = decoder_for(encodings[0].decode("latin-1")) if encodings else None

    async def read(self) -> bytes:
        """The whole body, at most 64 MiB."""
        pieces: list[bytes] = []
        size = 0
        async for piece in self.chunks():
            size += len(piece)
            if size > MAX_BODY_BYTES:
                raise ProviderFailed(f"the reply is larger than {MAX_BODY_BYTES} bytes", code="upstream_too_large")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. The watch wakes once per `gap_s` at most, not once per chunk."""
        loop = asyncio.get_running_loop()
        started = self._seen = loop.time()
        self._handle = loop.call_later(self._timeouts.gap_s, self._watch, loop, started)
        decoder = self._decoder
        content = self._response.content
        try:
            while True:
                data = await content.readany()
                if not data:
                    break
                self._seen = loop.time()
                if decoder is None:
                    yield data
                else:
                    for piece in decoder.feed(data):
                        yield piece
            if self._timed_out:
                raise ProviderTimeout(self._timed_out)
            if decoder is not None:
                decoder.end()
        except (ClientError, OSError, asyncio.IncompleteReadError) as error:
            if self._timed_out:
                raise ProviderTimeout(self._timed_out) from None
            what = "cut" if isinstance(error, ClientPayloadError | ClientConnectionError) else _plain(error)
            raise ProviderFailed(f"the reply was broken off: {what}", code="upstream_cut") from None
        finally:
            self._handle.cancel()

    def close(self) -> None:
        """Close the connection unless the body was read to its end."""
        if self._handle is not None:
            self._handle.cancel()
        self._response.close()

    def _watch(self, loop: asyncio.AbstractEventLoop, started: float) -> None:
        now = loop.time()
        limits = self._timeouts
        if now - started >= limits.total_s:
            self._timed_out = f"the reply took longer than {limits.total_s:g} s"
        elif now - self._seen >= limits.gap_s:
            self._timed_out = f"the reply was silent for {limits.gap_s:g} s"
        else:
            wait = min(self._seen + limits.gap_s, started + limits.total_s) - now
            self._handle = loop.call_later(max(wait, 0.001), self._watch, loop, started)
            return
        self._response.content.set_exception(ClientConnectionError(self._timed_out))
        self._response.close()


def _headers(request: UpstreamRequest) -> CIMultiDict[str]:
    headers = CIMultiDict(request.headers)
    headers["Accept-Encoding"] = "identity"
    credential = request.credential
    if credential is not None:
        if origin_of(request.url) not in credential.origins:
            raise ProviderFailed("the credential is not bound to this origin", code="upstream_denied")
        headers[credential.header] = credential.prefix + credential.secret.reveal()
    return headers


@lru_cache(maxsize=1024)
def _vet_literal(host: str, private_hosts: frozenset[str]) -> None:
    """An address written into the URL never passes the resolver, so it is vetted here."""
    if ":" in host or host.replace(".", "").isdigit():
        reason = denied_reason(host, allow_private=host in private_hosts, is_literal=host in private_hosts)
        if reason:
            raise ProviderFailed(f"`{host}` may not be reached: {reason}", code="upstream_denied")


def _plain(error: BaseException) -> str:
    """An error in words, without a URL that could carry something private."""
    inner: Any = getattr(error, "os_error", None) or error
    text = getattr(inner, "strerror", None) or type(inner).__name__
    return str(text).lower()
