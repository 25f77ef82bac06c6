"""A vendor on loopback that replays recorded answers byte by byte, and misbehaves to order."""

from __future__ import annotations

import asyncio
import contextlib
import http
import socket
import struct
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, cast

import httptools
from typing_extensions import override

from headgate.testing.recorded import Answers, Recorded
from headgate.testing.waiting import eventually

HOST = "127.0.0.1"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: close sends RST


class Received:
    """One request as it reached the mock. `path` holds the query string; header names are lower case. Added in 0.1.

    `closed_at` is when its connection ended, in monotonic seconds, None while it is open. `sent_bytes`
    counts the bytes of the body sent so far.
    """

    def __init__(self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.arrived_at = time.monotonic()
        self.closed_at: float | None = None
        self.sent_bytes = 0

    def header(self, name: str) -> str | None:
        """The first value of a header by lower-case name."""
        return next((value for held, value in self.headers if held == name), None)

    async def closed(self, deadline_s: float = 5.0) -> float:
        """When the connection ended; AssertionError when it does not in time."""
        await eventually(lambda: self.closed_at is not None, "the connection was closed", deadline_s)
        return cast("float", self.closed_at)


class MockUpstream:
    """An HTTP/1.1 server in the running loop: `async with MockUpstream({path: recorded}) as upstream`. Added in 0.1.

    `url` is its origin. `requests` remembers every request in order. A path without an answer gets a 404.
    """

    def __init__(self, answers: Mapping[str, Recorded | Sequence[Recorded]] | None = None) -> None:
        self._answers = Answers(answers)
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self.requests: list[Received] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def answer(self, path: str, *recorded: Recorded) -> None:
        """Answer `path`, or `*`, with these in order; the last one stays."""
        self._answers.put(path, *recorded)

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self._answers, self), HOST, 0)
        self.url = f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stop listening, cut what is open and wait until it is gone."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await eventually(lambda: not self._connections, "every connection of the mock was closed")

    async def request(self, number: int = 0, deadline_s: float = 5.0) -> Received:
        """The request of this number, waiting until it is here."""
        await eventually(lambda: len(self.requests) > number, f"request {number} reached the mock", deadline_s)
        return self.requests[number]

    def joined(self, connection: _Connection) -> None:
        """A client has connected."""
        self._connections.add(connection)

    def left(self, connection: _Connection) -> None:
        """A connection has ended."""
        self._connections.discard(connection)


class _Connection(asyncio.Protocol):
    """One client connection: requests are answered one after the other."""

    transport: asyncio.Transport

    def __init__(self, answers: Answers, upstream: MockUpstream) -> None:
        self._answers = answers
        self._upstream = upstream
        self._parser = httptools.HttpRequestParser(self)
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[Received] = deque()
        self._all: list[Received] = []
        self._url = b""
        self._body = b""
        self._headers: list[tuple[str, str]] = []

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._upstream.joined(self)

    @override
    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    @override
    def pause_writing(self) -> None:
        self._writable.clear()

    @override
    def resume_writing(self) -> None:
        self._writable.set()

    @override
    def eof_received(self) -> bool:
        self._note_closed()
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._note_closed()
        self._lost.set()
        self._writable.set()
        if self._task is not None:
            self._task.cancel()
        self._upstream.left(self)

    def abort(self) -> None:
        self.transport.abort()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._url, self._body, self._headers = b"", b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("ascii")
        received = Received(method, self._url.decode("latin-1"), tuple(self._headers), self._body)
        self._upstream.requests.append(received)
        self._all.append(received)
        self._waiting.append(received)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    # answering

    async def _run(self) -> None:
        with contextlib.suppress(ConnectionError):
            while self._waiting:
                received = self._waiting.popleft()
                await self._answer(received, self._answers.take(received.path))
        self._task = None

    async def _answer(self, received: Received, recorded: Recorded) -> None:
        if recorded.stall_at == -1:
            await self._lost.wait()
        await asyncio.sleep(recorded.delay_s)
        await self._write(_head(recorded))
        for piece in recorded.pieces():
            await asyncio.sleep(recorded.gap_s)
            await self._write(_chunk(piece) if recorded.framing == "chunked" else piece)
            received.sent_bytes += len(piece)
        if recorded.is_stalled:
            await self._lost.wait()
        elif recorded.cut_at is not None:
            self._cut(recorded)
        elif recorded.framing == "chunked":
            await self._write(b"0\r\n\r\n")
        elif recorded.framing == "close":
            self.transport.close()

    async def _write(self, data: bytes) -> None:
        await self._writable.wait()
        if self._lost.is_set():
            raise ConnectionResetError
        self.transport.write(data)

    def _cut(self, recorded: Recorded) -> None:
        if recorded.cut == "fin":
            self.transport.close()
            return
        held: socket.socket = self.transport.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _note_closed(self) -> None:
        for received in self._all:
            received.closed_at = received.closed_at or time.monotonic()


def _head(recorded: Recorded) -> bytes:
    try:
        reason = http.HTTPStatus(recorded.status).phrase
    except ValueError:
        reason = ""
    framing = {
        "length": f"content-length: {len(recorded.body)}",
        "chunked": "transfer-encoding: chunked",
        "close": "connection: close",
    }[recorded.framing]
    lines = [f"{name}: {value}" for name, value in recorded.headers]
    return "\r\n".join((f"HTTP/1.1 {recorded.status} {reason}", *lines, framing, "\r\n")).encode("latin-1")


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)
