"""One request and its reply on a connection: ASGI on one side, HTTP/1.1 bytes on the other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from headgate.server.replies import STATUS_LINES

_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_FINE = bytes(set(range(256)) - {*range(9), *range(10, 32), 127})
"""What a header may hold."""
LINGER_BYTES = 1024 * 1024
"""How much of a body nobody reads any more a client may still send, so that it comes to read the reply."""
_CHUNKED = (b"transfer-encoding", b"chunked")
_CLOSE = (b"connection", b"close")


class Connection(Protocol):
    """What a cycle needs of the connection it runs on. `full` is there, to be waited for, while the client reads too slowly."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    full: asyncio.Event | None
    state: Any

    def resume_reading(self) -> None:
        """Take more from the socket."""
        ...

    def cycle_done(self, cycle: Cycle) -> None:
        """The reply is complete."""
        ...

    def close(self) -> None:
        """Close once what is written was taken."""
        ...

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Give the connection to another protocol, for good."""
        ...


class Cycle:
    """One request and its reply on a connection: the ASGI side of the door.

    The application finds it as `scope["extensions"]["headgate.cycle"]` and may set `on_gone`, called once when the
    client leaves before the reply is complete, and call `abort` to break a reply off so that the client can tell.
    `linger_bytes` is how much of the body may still come after a reply that did not wait for it. `wants_socket`: the head asks
    for a WebSocket, and nothing came behind it.
    """

    __slots__ = (
        "chunked",
        "door",
        "expects_continue",
        "has_started",
        "head",
        "is_done",
        "is_head",
        "is_lost",
        "is_old",
        "keep_alive",
        "linger_bytes",
        "more_body",
        "on_gone",
        "pieces",
        "scope",
        "size",
        "task",
        "waiter",
        "wants_socket",
        "was_read",
    )

    def __init__(self, door: Connection, scope: dict[str, Any], *, keep_alive: bool) -> None:
        self.door = door
        self.scope = scope
        self.keep_alive = keep_alive
        self.task: asyncio.Task[None] | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.pieces: list[bytes] = []
        self.size = 0
        self.more_body = True
        self.linger_bytes = LINGER_BYTES
        self.was_read = False
        self.wants_socket = False
        self.expects_continue = False
        self.has_started = False
        self.is_done = False
        self.is_lost = False
        self.is_old = scope["http_version"] == "1.0"
        self.is_head = scope["method"] == "HEAD"
        self.chunked = False
        self.head = b""
        self.on_gone: Callable[[], None] | None = None
        scope["extensions"]["headgate.cycle"] = self

    async def run(self, app: Any) -> None:
        """Call the application; whatever it leaves undone becomes a broken connection, never a false end."""
        try:
            await app(self.scope, self.receive, self.send)
        finally:
            self.door.state.tasks.discard(self.task)
            if not self.is_done and not self.is_lost:
                self.abort()

    # the request

    def feed(self, piece: bytes) -> int:
        """A piece of the body has arrived; returns how much is waiting to be read."""
        self.pieces.append(piece)
        self.size += len(piece)
        self._wake()
        return self.size

    def end_body(self) -> None:
        """The body is whole."""
        self.more_body = False
        self._wake()

    def whole_body(self) -> bytes | None:
        """The body if all of it is here and none of it was read; None when it must be awaited."""
        if self.more_body or self.was_read or self.is_lost or self.expects_continue:
            return None
        self.was_read = True
        return self._taken()

    async def receive(self) -> dict[str, Any]:
        """ASGI receive: body pieces, then http.disconnect once the client is gone or the reply is complete."""
        if self.expects_continue and not self.is_lost:
            self.expects_continue = False
            self.door.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self.is_lost and not self.is_done and not self.pieces and (self.more_body or self.was_read):
            if self.more_body:
                self.door.resume_reading()
            self.waiter = self.door.loop.create_future()
            await self.waiter
        if self.is_lost or self.is_done:
            return {"type": "http.disconnect"}
        self.was_read = not self.more_body
        return {"type": "http.request", "body": self._taken(), "more_body": self.more_body}

    def _taken(self) -> bytes:
        pieces, self.pieces, self.size = self.pieces, [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _wake(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # the reply

    async def send(self, message: Any) -> None:
        """ASGI send. Waits while the client reads slowly; does nothing once it is gone."""
        if message["type"] == "http.response.start":
            await self.begin(message["status"], message.get("headers", ()))
        else:
            await self.write(message.get("body", b""), more=bool(message.get("more_body", False)))

    async def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """The head of the reply. It is written with the first of the body, which nearly always comes at once."""
        door = self.door
        if door.full is not None and not self.is_lost:
            await door.full.wait()
        if not self.is_lost and not self.is_done:
            self.head = self._head(status, headers)
            self.has_started = True
            door.loop.call_soon(self._flush_head)

    async def reply(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole reply at once; `headers` say its length."""
        if not self.is_lost and not self.is_done:
            self.head = self._head(status, headers, has_length=True)
            self.has_started = True
            await self.write(body)

    def switch(self, headers: Iterable[tuple[bytes, bytes]], protocol: asyncio.Protocol) -> None:
        """Answer 101 and give the connection to `protocol`; nothing happens when the client is gone."""
        if not self.is_lost and not self.is_done:
            self.keep_alive = self.has_started = self.is_done = True
            self.on_gone = None
            self.door.transport.write(self._head(101, headers, has_length=True))
            self.door.hand_over(protocol)

    async def relay(self, piece: bytes) -> None:
        """A piece of a stream: as `write`, and without another coroutine where nothing has to be waited for."""
        door = self.door
        if door.full is not None or self.head or self.is_lost or self.is_done or self.is_head or not piece:
            await self.write(piece, more=True)
        else:
            door.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece)

    def offer(self, piece: bytes) -> bool:
        """A piece of a stream, after `relay` and without waiting; True while another would be taken so.

        Nothing is written for no bytes. Give nothing more after False.
        """
        if self.is_lost or self.is_done or self.is_head:
            return False
        door = self.door
        if piece:
            door.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece)
        return door.full is None

    async def write(self, body: bytes, *, more: bool = False) -> None:
        """A piece of the body, the last one unless there is `more`. Waits and does nothing as `send` does."""
        door = self.door
        if door.full is not None and not self.is_lost:
            await door.full.wait()
        if self.is_lost or self.is_done:
            return
        if self.is_head:
            body = b""
        if self.chunked:
            end = b"" if more else b"0\r\n\r\n"
            body = b"%x\r\n%b\r\n%b" % (len(body), body, end) if body else end
        head, self.head = self.head, b""
        if head or body:
            door.transport.write(head + body if head else body)
        if not more:
            self.is_done = True
            self.on_gone = None
            self._wake()
            door.cycle_done(self)

    def _flush_head(self) -> None:
        if self.head and not self.is_lost:
            head, self.head = self.head, b""
            self.door.transport.write(head)

    def lose(self) -> None:
        """The client is gone."""
        if self.is_done or self.is_lost:
            return
        self.is_lost = True
        self._wake()
        if self.on_gone is not None:
            told, self.on_gone = self.on_gone, None
            told()

    def abort(self) -> None:
        """Break the connection off without a proper end, so that a half-sent reply cannot be taken for a whole one."""
        self._flush_head()
        self.is_lost = True
        if self.is_old:  # the end of the connection would be the end of its reply
            self.door.transport.abort()
        else:
            self.door.close()

    def _head(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, has_length: bool = False) -> bytes:
        pairs = [*self.door.state.default_headers, *headers]
        if not has_length and status not in {204, 304} and not self.is_head:
            self.chunked = not self.is_old and all(name != b"content-length" for name, _ in pairs)
            if self.chunked:
                pairs.append(_CHUNKED)
        if self.more_body:
            self.keep_alive = (
                False  # answered before the body was read: what is left of it cannot be told from a request
            )
        if not self.keep_alive:
            pairs.append(_CLOSE)
        lines = [b": ".join(pair) for pair in pairs]
        if b"".join(lines).translate(None, _FINE):
            lines = [line for line in lines if not _BAD_VALUE.search(line)]
        return (STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status) + b"\r\n".join((*lines, b"", b""))
