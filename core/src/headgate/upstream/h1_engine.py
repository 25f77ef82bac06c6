"""The engine `h1`: HTTP/1.1 straight on the event loop, with llhttp for the framing and a pool per origin.

It does what a gateway needs of a client and no more: no redirects, no cookies, no proxies, no HTTP/2. Requests are
written as one block of bytes; replies are relayed as they arrive.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

import aiohappyeyeballs

from headgate.errors import ProviderFailed, ProviderTimeout
from headgate.sockets import Socket
from headgate.upstream.h1_connection import Connection
from headgate.upstream.h1_request import Route, encode_head
from headgate.upstream.h1_response import H1Response, Unsent
from headgate.upstream.h1_socket import open_socket
from headgate.upstream.interface import MAX_URL, Opening, Timeouts, UpstreamRequest, UpstreamResponse
from headgate.upstream.names import Names
from headgate.upstream.rules import IDLE_S, DeniedError, check_status, ssl_context, vet_literal, words_of

MAX_IDLE = 1024
MAX_ROUTES = 4096
_SWEEP_S = 5.0
_TICK_S = 0.001
"""How early a loop's timer may ring."""
_ATTEMPT_DELAY_S = 0.25
"""How long one address may take before the next is tried beside it, RFC 8305 section 5."""
_eyeballs = cast("Any", aiohappyeyeballs)  # its types are unfinished
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


class Dialled(Protocol):
    """A connection that can be made here."""

    is_dead: bool

    def is_open(self) -> bool:
        """Whether it was made and has not ended."""
        ...

    def end(self) -> None:
        """Break it off."""
        ...


D = TypeVar("D", bound=Dialled)


class H1Upstream:
    """An Upstream with connections of its own. Create it inside a running loop.

    A connection is lent only to calls with the same origin, the same leave to reach private addresses and the same
    TLS files. Idle ones are closed after 30 s, or when their server says so.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._names = Names(self.loop)
        self._routes: dict[object, Route] = {}
        self._idle: dict[object, dict[Connection, None]] = {}
        self._open: set[Dialled] = set()
        self._dials: set[asyncio.Timeout] = set()
        self._watched: set[H1Response] = set()
        self._wake_at = math.inf
        self._alarm: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send one request; see Upstream. Redirects are not followed: a 3xx is a ProviderFailed."""
        key = (request.url, request.private_hosts, request.tls, request.method)
        route = self._routes.get(key) or self._route(key, request)
        head = encode_head(route, request)
        began = self.loop.time()
        connection = self._take(route, began)
        while True:
            connection = connection or await self._dial(route, request.timeouts, began, self._connection)
            reply = H1Response(self, route.host, request.timeouts, began, request.method)
            try:
                await reply.head(connection, head, request.body, request.pieces)
                break
            except Unsent:
                connection = None  # once more, over a new connection: only one that was used before raises this
        try:
            check_status(route.host, reply.status)
            reply.decode()
        except BaseException:
            reply.close()
            raise
        return reply

    async def connect(self, request: UpstreamRequest) -> Opening:
        """Open a WebSocket over a connection of its own; see Connecting."""
        route = Route.from_request(request)
        vet_literal(route.host, request.private_hosts)
        began = self.loop.time()

        async def dial(make: Callable[[Route], Socket]) -> Socket:
            made = await self._dial(route, request.timeouts, began, make)
            made.on_lost = self._open.discard
            return made

        return await open_socket(dial, route, request, began)

    async def close(self) -> None:
        """Close every connection."""
        self._is_closed = True
        for dial in self._dials:
            if not dial.expired():
                dial.reschedule(self.loop.time())
        for reply in list(self._watched):
            reply.lose(ProviderFailed("the gateway is shutting down", code="upstream_cut"))
        for connection in list(self._open):
            connection.end()
        for timer in (self._alarm, self._sweeper):
            if timer is not None:
                timer.cancel()
        self._idle.clear()
        self._names.close()

    # routes and connections

    def _route(self, key: object, request: UpstreamRequest) -> Route:
        route = Route.from_request(request)
        vet_literal(route.host, request.private_hosts)
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()  # passed-through paths are the callers' choice; one that comes again is made again
        if len(request.url) <= MAX_URL:
            self._routes[key] = route
        return route

    def _take(self, route: Route, now: float) -> Connection | None:
        """The idle connection used last, if it is still good."""
        idle = self._idle.get(route.pool)
        while idle:
            connection, _ = idle.popitem()
            if connection.is_usable(now):
                return connection
            connection.end()
        return None

    def _connection(self, route: Route) -> Connection:
        return Connection(self, route.pool)

    async def _dial(self, route: Route, timeouts: Timeouts, began: float, make: Callable[[Route], D]) -> D:
        """A new connection. Raises ProviderFailed or ProviderTimeout with the reason in words."""
        host = route.host
        if self._is_closed:
            raise _closing()
        first_byte_s = min(timeouts.first_byte_s, timeouts.total_s)
        left = began + first_byte_s - self.loop.time()
        try:
            async with asyncio.timeout(max(0.0, min(timeouts.connect_s, left))) as dial:
                self._dials.add(dial)
                try:
                    return await self._connect(route, timeouts.connect_s, make)
                finally:
                    self._dials.discard(dial)
        except TimeoutError:
            if self._is_closed:
                raise _closing() from None
            if timeouts.connect_s <= left:
                raise ProviderTimeout(f"no connection to `{host}` within {timeouts.connect_s:g} s") from None
            raise ProviderTimeout(f"no answer from `{host}` within {first_byte_s:g} s") from None
        except DeniedError as error:
            raise ProviderFailed(f"`{host}` may not be reached: {error}", code="upstream_denied") from None
        except (OSError, ValueError, RuntimeError) as error:  # uvloop has RuntimeErrors of its own
            raise ProviderFailed(f"`{host}` could not be reached: {words_of(error)}") from None

    async def _connect(self, route: Route, connect_s: float, make: Callable[[Route], D]) -> D:
        context = ssl_context(route.tls) if route.is_tls else None
        addresses = await self._names.resolve(route.host, route.port, allow_private=route.allow_private)
        sock: socket.socket = await _eyeballs.start_connection(
            addresses, happy_eyeballs_delay=_ATTEMPT_DELAY_S, interleave=1, loop=self.loop
        )
        _tune(sock)
        connection = make(route)
        try:
            await self.loop.create_connection(
                lambda: cast("asyncio.Protocol", connection),
                sock=sock,
                ssl=context,
                server_hostname=route.name if context else None,
                ssl_handshake_timeout=connect_s + 1 if context else None,  # uvloop forgets it in a cancelled call
            )  # the socket is the transport's from here on, also when this fails
            if self._is_closed:
                raise _closing()
            if not connection.is_open():
                raise ConnectionResetError
        except BaseException:
            if not connection.is_dead:
                connection.end()  # a farewell would hold the socket while a mute server is waited for
            raise
        self._open.add(connection)
        return connection

    # for connections and replies

    def release(self, connection: Connection) -> None:
        """See Owner."""
        if self._is_closed or connection.keep_s <= 0:
            connection.end()
            return
        idle = self._idle.setdefault(connection.key, {})
        if len(idle) >= MAX_IDLE:
            connection.end()
            return
        connection.idle_until = self.loop.time() + min(IDLE_S, connection.keep_s)
        idle[connection] = None
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep)

    def forget(self, connection: Connection) -> None:
        """See Owner."""
        self._open.discard(connection)
        idle = self._idle.get(connection.key)
        if idle is not None:
            idle.pop(connection, None)

    def watch(self, reply: H1Response, deadline: float) -> None:
        """See Owner. One timer serves all replies: it is set anew only for a deadline before all others."""
        self._watched.add(reply)
        if deadline < self._wake_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._wake_at = deadline
            self._alarm = self.loop.call_at(deadline, self._ring)

    def finished(self, reply: H1Response) -> None:
        """See Owner."""
        self._watched.discard(reply)

    def _ring(self) -> None:
        """End what is late, and sleep until something could be."""
        now = self.loop.time() + _TICK_S
        self._alarm, self._wake_at = None, math.inf
        for reply in [reply for reply in self._watched if reply.deadline <= now]:
            reply.expire()
        if self._watched:
            self._wake_at = min(reply.deadline for reply in self._watched)
            self._alarm = self.loop.call_at(self._wake_at, self._ring)

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeper = None
        now = self.loop.time()
        for key, idle in list(self._idle.items()):
            for connection in [held for held in idle if held.idle_until < now]:
                del idle[connection]
                connection.end()
            if not idle:
                del self._idle[key]
        if self._idle:
            self._sweeper = self.loop.call_later(_SWEEP_S, self._sweep)


def _closing() -> ProviderFailed:
    return ProviderFailed("the gateway is shutting down", code="upstream_denied")


def _tune(sock: socket.socket) -> None:
    """No waiting for more to send, and a sign of life now and then on a connection that waits long for an answer."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
