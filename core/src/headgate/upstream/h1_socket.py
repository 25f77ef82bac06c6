"""WebSockets to providers: the client's half of the handshake, over a connection that the engine has made and vetted.

The head is written as any other request's is, so that the same rules hold for its headers and its credential.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from headgate.errors import ProviderFailed, ProviderTimeout
from headgate.sockets import Socket
from headgate.upstream.h1_request import Route, encode_head
from headgate.upstream.interface import Opening, RawHeaders, UpstreamRequest
from headgate.upstream.rules import check_status

MAX_EARLY_BYTES = 16 * 1024 * 1024
"""The largest message a provider may send before `Socket.limit` says another size."""
_OWN = b"sec-websocket-"
_OFFERED = b"sec-websocket-protocol"
_SWITCHING = 101

Dial = Callable[[Callable[[Route], Socket]], Awaitable[Socket]]


async def open_socket(dial: Dial, route: Route, request: UpstreamRequest, began: float) -> Opening:
    """Dial, ask for a WebSocket, and wait for the answer. Raises ProviderFailed and ProviderTimeout.

    `began` is in the loop's time; the answer must be here within `first_byte_s` of it.
    """
    uri = WebSocketURI(route.is_tls, route.name, route.port, "/", "")  # the library reads it only to write a head
    ws = ClientProtocol(uri, subprotocols=_offered(request) or None, max_size=MAX_EARLY_BYTES)
    head = _head(route, request, ws.key)
    timeouts = request.timeouts
    limit_s = min(timeouts.first_byte_s, timeouts.total_s)
    socket = await dial(lambda _: Socket(ws, timeouts.gap_s))
    try:
        socket.transport.write(head)
        async with asyncio.timeout_at(began + limit_s):
            answer = await socket.answer
        return _opening(route.host, socket, answer)
    except TimeoutError:
        socket.end()
        raise ProviderTimeout(f"no answer from `{route.host}` within {limit_s:g} s") from None
    except BaseException:
        socket.end()
        raise


def _head(route: Route, request: UpstreamRequest, key: str) -> bytes:
    """The head of the handshake. ProviderFailed for headers that belong to it, but for the subprotocols that are offered."""
    for name, _ in request.headers:
        if name.startswith(_OWN) and name != _OFFERED:
            raise ProviderFailed(
                f"the header `{name.decode('latin-1')}` may not be set on an outbound call", code="upstream_denied"
            )
    own = f"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n\r\n"
    return encode_head(route, request).removesuffix(b"\r\n") + own.encode()


def _offered(request: UpstreamRequest) -> list[Subprotocol]:
    """The subprotocols that a provider offers its vendor, of which the answer may choose one."""
    said = [value.decode("latin-1") for name, value in request.headers if name == _OFFERED]
    return [Subprotocol(each.strip()) for value in said for each in value.split(",")]


def _opening(host: str, socket: Socket, answer: Response | None) -> Opening:
    """What the server said. A connection without a WebSocket is closed."""
    if answer is None:
        error = socket.ws.handshake_exc
        if error is not None and not isinstance(error.__cause__, EOFError):
            raise ProviderFailed(f"`{host}` did not answer the handshake with valid HTTP", code="upstream_bad_reply")
        raise ProviderFailed(f"`{host}` could not be reached: it closed the connection without an answer")
    headers: RawHeaders = tuple(
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.raw_items()
    )
    if socket.ws.handshake_exc is None:
        return Opening(_SWITCHING, headers, socket=socket)
    socket.end()
    status = answer.status_code
    if status != _SWITCHING:
        check_status(host, status)
    if status < 400:
        raise ProviderFailed(f"`{host}` did not open a WebSocket", code="upstream_bad_reply")
    return Opening(status, headers, bytes(answer.body))
