"""The reference engine: aiohttp under the gateway's own rules for addresses, redirects, credentials and sizes."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator, Callable

import aiohttp
from aiohttp import ClientConnectionError, ClientError, ClientPayloadError, ClientResponse, ClientSession, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from multidict import CIMultiDict
from typing_extensions import override
from yarl import URL

from headgate.errors import ProviderFailed, ProviderTimeout
from headgate.upstream.decoding import MAX_BODY_BYTES
from headgate.upstream.h1_engine import H1Upstream
from headgate.upstream.h1_request import Route, encode_head
from headgate.upstream.interface import Opening, Pieces, RawHeaders, Timeouts, UpstreamRequest, UpstreamResponse
from headgate.upstream.pieces import Taking
from headgate.upstream.rules import (
    DNS_TTL_S,
    IDLE_S,
    DeniedError,
    body_decoder,
    check_status,
    credential_header,
    ssl_context,
    vet_literal,
    vet_resolved,
    words_of,
)

_SKIPPED = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})
_LARGE_BYTES = 1024 * 1024
_PIECE_BYTES = 32 * 1024
_NO_SUCCESS = 300


class AiohttpUpstream:
    """An Upstream on aiohttp, one connection pool per set of private hosts. Create it inside a running loop."""

    def __init__(self) -> None:
        self._sessions: dict[frozenset[str], ClientSession] = {}
        self._sockets = H1Upstream()

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send one request; see Upstream. Redirects are not followed: a 3xx is a ProviderFailed."""
        route = Route.from_request(request)
        encode_head(route, request)  # what the other engine writes, so that both refuse the same
        host = route.host
        vet_literal(host, request.private_hosts)
        timeouts = request.timeouts
        began = asyncio.get_running_loop().time()
        first_byte_s = min(timeouts.first_byte_s, timeouts.total_s)
        limit = asyncio.timeout(first_byte_s)
        sending = _Sending(request.pieces, timeouts, began, limit) if request.pieces is not None else None
        try:
            async with limit:
                response = await self._session(request.private_hosts).request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=_headers(request),
                    data=_payload(request.body) if sending is None else sending,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s),
                    ssl=ssl_context(request.tls) if request.url.startswith("https:") else True,
                )
                if sending is not None:
                    sending.answered(response.status)
        except aiohttp.ConnectionTimeoutError:
            raise ProviderTimeout(f"no connection to `{host}` within {timeouts.connect_s:g} s") from None
        except TimeoutError:
            raise ProviderTimeout(f"no answer from `{host}` within {first_byte_s:g} s") from None
        except DeniedError as error:
            raise ProviderFailed(f"`{host}` may not be reached: {error}", code="upstream_denied") from None
        except (ClientError, OSError, ValueError) as error:
            if sending is not None and sending.error is not None:
                raise sending.error from None
            raise ProviderFailed(f"`{host}` could not be reached: {_plain(error)}") from None
        try:
            check_status(host, response.status)
            if sending is not None and sending.error is not None:
                raise sending.error
            return _Response(response, timeouts, began, sending)
        except BaseException:
            response.close()
            raise

    async def connect(self, request: UpstreamRequest) -> Opening:
        """Open a WebSocket; see Connecting. The other engine does it: there is but one implementation."""
        return await self._sockets.connect(request)

    async def close(self) -> None:
        """Close every pool."""
        await self._sockets.close()
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def _session(self, private_hosts: frozenset[str]) -> ClientSession:
        session = self._sessions.get(private_hosts)
        if session is None:
            connector = TCPConnector(
                limit=0,
                keepalive_timeout=IDLE_S,
                resolver=_VettingResolver(private_hosts),
                use_dns_cache=True,
                ttl_dns_cache=int(DNS_TTL_S),
            )
            session = self._sessions[private_hosts] = ClientSession(
                connector=connector,
                auto_decompress=False,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_SKIPPED,
                read_bufsize=_PIECE_BYTES,
            )
        return session


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
        vet_resolved([result["host"] for result in results], allow_private=host in self._private_hosts)
        return results

    @override
    async def close(self) -> None:
        await self._resolver.close()


class _Sending:
    """A body in pieces, as aiohttp writes it: it waits for the socket before it asks for more.

    `limit` is the wait for the reply's head, which does not run while a piece is waited for. `error` is what a piece raised;
    `on_error` is called then.
    """

    def __init__(self, pieces: Pieces, timeouts: Timeouts, began: float, limit: asyncio.Timeout) -> None:
        self.error: Exception | None = None
        self.on_error: Callable[[], None] | None = None
        self._taking = Taking(pieces)
        self._first_byte_s = timeouts.first_byte_s
        self._end = began + timeouts.total_s
        self._limit = limit
        self._status = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        loop = asyncio.get_running_loop()
        self._wait_until(self._end)
        try:
            piece = await self._taking.next()
        except Exception as error:
            self.error = error
            if self.on_error is not None:
                self.on_error()
            raise
        self._wait_until(min(loop.time() + self._first_byte_s, self._end))
        if self._status >= _NO_SUCCESS:
            await (
                loop.create_future()
            )  # to end here would say that the body is whole; at the end of the reply it is cancelled
        if not piece:
            raise StopAsyncIteration
        return piece

    def answered(self, status: int) -> None:
        """The head of the reply is here."""
        self._status = status

    def _wait_until(self, when: float) -> None:
        if not self._status:
            with contextlib.suppress(RuntimeError):  # the wait is over
                self._limit.reschedule(when)


class _Response:
    """An UpstreamResponse over aiohttp, with a watch on silence that costs nothing per chunk."""

    def __init__(
        self, response: ClientResponse, timeouts: Timeouts, began: float, sending: _Sending | None = None
    ) -> None:
        self._response = response
        self._sending = sending
        if sending is not None:
            sending.on_error = self._break_off
        self._timeouts = timeouts
        self._began = began
        self._timed_out = ""
        self._is_waiting = False
        self._handle: asyncio.TimerHandle | None = None
        self.status = response.status
        self.headers: RawHeaders = tuple((name.lower(), value) for name, value in response.raw_headers)
        self._ended = None if _has_framing(self.headers) else _ending_of(response)
        self._decoder = body_decoder(self.headers)

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
        self._seen = loop.time()
        self._watch(loop)
        decoder = self._decoder
        content = self._response.content
        try:
            while True:
                self._seen, self._is_waiting = loop.time(), True
                data = await content.read(_PIECE_BYTES)
                self._is_waiting = False
                if not data:
                    break
                if decoder is None:
                    yield data
                else:
                    for piece in decoder.feed(data):
                        yield piece
            if self._timed_out:
                raise ProviderTimeout(self._timed_out)
            if self._ended is not None and self._ended.done() and self._ended.exception() is not None:
                raise ClientConnectionError
            if decoder is not None:
                decoder.end()
        except (ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise self._error_of(error) from None
        finally:
            if self._handle is not None:
                self._handle.cancel()

    def close(self) -> None:
        """Close the connection unless the body was read to its end."""
        if self._handle is not None:
            self._handle.cancel()
        self._response.close()

    def _error_of(self, error: BaseException) -> Exception:
        """Why the body ended with `error`."""
        if self._timed_out:
            return ProviderTimeout(self._timed_out)
        if self._sending is not None and self._sending.error is not None:
            return self._sending.error
        what = "cut" if isinstance(error, ClientPayloadError | ClientConnectionError) else _plain(error)
        return ProviderFailed(f"the reply was broken off: {what}", code="upstream_cut")

    def _break_off(self) -> None:
        self._response.content.set_exception(ClientConnectionError(self._timed_out))
        self._response.close()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """End a body that is silent or too long; else look again when either could first be true."""
        now = loop.time()
        limits = self._timeouts
        gap_end = (self._seen if self._is_waiting else now) + limits.gap_s
        end = self._began + limits.total_s
        if now >= end:
            self._timed_out = f"the reply took longer than {limits.total_s:g} s"
        elif now >= gap_end:
            self._timed_out = f"the reply was silent for {limits.gap_s:g} s"
        else:
            self._handle = loop.call_later(max(min(gap_end, end) - now, 0.001), self._watch, loop)
            return
        self._break_off()


def _has_framing(headers: RawHeaders) -> bool:
    """Whether a body says itself where it ends."""
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in headers)


def _ending_of(response: ClientResponse) -> asyncio.Future[None] | None:
    """How the connection ends, for a body that only its end delimits: aiohttp takes a reset for a proper end."""
    protocol = response.connection.protocol if response.connection is not None else None
    ended = protocol.closed if protocol is not None else None
    if ended is not None:
        ended.add_done_callback(lambda done: done.cancelled() or done.exception())
    return ended


def _headers(request: UpstreamRequest) -> CIMultiDict[str]:
    headers = CIMultiDict((name.decode("latin-1"), _wire(value)) for name, value in request.headers)
    headers["Accept-Encoding"] = "identity"
    if request.pieces is not None and request.pieces.length is not None:
        headers["Content-Length"] = str(request.pieces.length)
    credential = credential_header(request)
    if credential is not None:
        headers[credential[0].decode("latin-1")] = _wire(credential[1])
    return headers


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """The body as aiohttp wants it: past 1 MiB in pieces, so that writing it never holds the loop."""
    if not body:
        return None
    return io.BytesIO(body) if len(body) > _LARGE_BYTES else body


def _wire(value: bytes) -> str:
    """A header value that aiohttp, which writes UTF-8, sends as the bytes it came in."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _plain(error: BaseException) -> str:
    """An error in words, without a URL or a class name that a caller has no use for."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return words_of(error.certificate_error)
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return "its answer is not valid HTTP"
    return words_of(getattr(error, "os_error", None) or error)
