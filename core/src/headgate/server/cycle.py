"""One request and its reply on a connection: ASGI on one side, HTTP/1.1 bytes on the other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Protocol

from headgate.server.replies import STATUS_LINES

_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Connection(Protocol):
    """What a cycle needs of the connection it runs on."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    writable: asyncio.Event
    state: Any

    def resume_reading(self) -> None:
        """Take more from the socket."""
        ...

    def cycle_done(self, cycle: Cycle) -> None:
        """The reply is complete."""
        ...


class Cycle:
    """One request and its reply on a connection: the ASGI side of the door.

    The application finds it as `scope["extensions"]["headgate.cycle"]` and may set `on_gone`, called once when the
    client leaves before the reply is complete, and call `abort` to break a reply off so that the client can tell.
    """

    __slots__ = (
        "arrived",
        "body",
        "chunked",
        "door",
        "expects_continue",
        "has_started",
        "head",
        "is_done",
        "is_head",
        "is_lost",
        "keep_alive",
        "more_body",
        "on_gone",
        "scope",
    )

    def __init__(self, door: Connection, scope: dict[str, Any], *, keep_alive: bool) -> None:
        self.door = door
        self.scope = scope
        self.keep_alive = keep_alive
        self.arrived = asyncio.Event()
        self.body = bytearray()
        self.more_body = True
        self.expects_continue = False
        self.has_started = False
        self.is_done = False
        self.is_lost = False
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
            if not self.is_done and not self.is_lost:
                self.abort()

    async def receive(self) -> dict[str, Any]:
        """ASGI receive: body pieces, then http.disconnect once the client is gone or the reply is complete."""
        if self.expects_continue and not self.is_lost:
            self.expects_continue = False
            self.door.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.is_lost and not self.is_done:
            if not self.body and self.more_body:
                self.door.resume_reading()
            await self.arrived.wait()
            self.arrived.clear()
        if self.is_lost or self.is_done:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Any) -> None:
        """ASGI send. Waits while the client reads slowly; does nothing once it is gone."""
        door = self.door
        if not door.writable.is_set() and not self.is_lost:
            await door.writable.wait()
        if self.is_lost or self.is_done:
            return
        if message["type"] == "http.response.start":
            # one write for head and first body where they come together, as they nearly always do
            self.head = self._head(message["status"], message.get("headers", ()))
            self.has_started = True
            door.loop.call_soon(self._flush_head)
            return
        body: bytes = b"" if self.is_head else message.get("body", b"")
        more = bool(message.get("more_body", False))
        if self.chunked:
            end = b"" if more else b"0\r\n\r\n"
            body = b"%x\r\n%b\r\n%b" % (len(body), body, end) if body else end
        head, self.head = self.head, b""
        if head or body:
            door.transport.write(head + body if head else body)
        if not more:
            self.is_done = True
            self.on_gone = None
            self.arrived.set()
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
        self.arrived.set()
        if self.on_gone is not None:
            told, self.on_gone = self.on_gone, None
            told()

    def abort(self) -> None:
        """Break the connection off without a proper end, so that a half-sent reply cannot be taken for a whole one."""
        self._flush_head()
        self.is_lost = True
        self.door.transport.close()

    def _head(self, status: int, headers: Any) -> bytes:
        has_length = status in {204, 304} or self.is_head
        lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        for name, value in self.door.state.default_headers:
            lines.append(b"%b: %b\r\n" % (name, value))
        for name, value in headers:
            if _BAD_VALUE.search(value):
                continue
            if name == b"content-length":
                has_length = True
            lines.append(b"%b: %b\r\n" % (name, value))
        if not has_length:
            self.chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        if self.more_body:
            self.keep_alive = (
                False  # answered before the body was read: what is left of it cannot be told from a request
            )
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)
