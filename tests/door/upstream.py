"""A provider that misbehaves to order: it answers byte by byte, and remembers every request and when it was left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from tests.harness import RESET, chunked, eventually
from typing_extensions import override

CHAT_REPLY: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "some-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
}


def chunk_event(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
    """One event of a chat stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse({**CHAT_REPLY, "object": "chat.completion.chunk", "choices": [choice], "usage": None})


def sse(data: Mapping[str, Any]) -> bytes:
    """A server-sent event that carries `data` as JSON."""
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
EVENTS = (
    chunk_event({"role": "assistant", "content": ""}),
    chunk_event({"content": "Hel"}),
    chunk_event({"content": "lo \u2028 \u00e9\U0001f600"}),
    chunk_event({}, "stop"),
    sse({**CHAT_REPLY, "object": "chat.completion.chunk", "choices": []}),
    DONE,
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


@dataclass(eq=False)
class Call:
    """One request as it reached the upstream, and the means to answer it byte by byte."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: _Connection
    arrived: float = field(default_factory=time.monotonic)

    def header(self, name: str) -> str | None:
        """The first value of a header by lower-case name."""
        return next((value for held, value in self.headers if held == name), None)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    async def send(self, data: bytes) -> None:
        """Write and wait while the gateway does not take it; raises ConnectionError once it has closed."""
        if self.connection.closed.is_set():
            raise ConnectionResetError
        self.connection.transport.write(data)
        self.connection.sent += len(data)
        await asyncio.sleep(0)  # the loop may learn that the gateway has closed
        await self.connection.writable.wait()

    def fin(self) -> None:
        """Close in order, after what was written."""
        self.connection.transport.close()

    def reset(self) -> None:
        """Close with RST. What the gateway has not read yet may be lost on the way."""
        held: socket.socket = self.connection.transport.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.connection.transport.abort()

    async def closed(self, deadline_s: float = 5.0) -> float:
        """When the gateway closed this connection, in monotonic seconds. AssertionError when it does not."""
        try:
            async with asyncio.timeout(deadline_s):
                await self.connection.closed.wait()
        except TimeoutError:
            raise AssertionError(f"the upstream connection was still open after {deadline_s:g} s") from None
        return self.connection.closed_at


Script = Callable[[Call], Awaitable[None]]


class Upstream:
    """A TCP server that answers each request with `script`, and remembers every request and connection."""

    def __init__(self) -> None:
        self.script: Script = reply_with(json_response(CHAT_REPLY))
        self.calls: list[Call] = []
        self.connections: list[_Connection] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def listen(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Start. A fixed port may be shared with a socket that only reserves it."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), host, port, backlog=2048, reuse_port=port != 0, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop, cut what still runs, and wait until it is gone."""
        if self._server is not None:
            self._server.close()
        for connection in self.connections:
            connection.abort()
        for connection in self.connections:
            await connection.closed.wait()

    async def call(self, number: int = 0, deadline_s: float = 5.0) -> Call:
        """The request of this number since the start, waiting for it."""
        await eventually(lambda: len(self.calls) > number, f"request {number} reached the upstream", deadline_s)
        return self.calls[number]

    async def marked(self, mark: str, deadline_s: float = 5.0) -> Call:
        """The first request whose body holds `mark`, waiting for it."""
        return await self.marked_call(0, mark, deadline_s)

    async def marked_call(self, number: int, mark: str, deadline_s: float = 5.0) -> Call:
        """The request of this number among those whose body holds `mark`, waiting for it."""
        await eventually(
            lambda: len(self.with_mark(mark)) > number, f"request {number} with {mark} reached the upstream", deadline_s
        )
        return self.with_mark(mark)[number]

    def with_mark(self, mark: str) -> list[Call]:
        """The requests so far whose body holds `mark`."""
        return [call for call in self.calls if mark.encode() in call.body]


class _Connection(asyncio.Protocol):
    """One connection to the upstream: requests are answered one after the other."""

    transport: asyncio.Transport

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.closed = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.closed_at = 0.0
        self.sent = 0
        self._received = bytearray()
        self._task: asyncio.Task[None] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.upstream.connections.append(self)

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        self._next()

    @override
    def pause_writing(self) -> None:
        self.writable.clear()

    @override
    def resume_writing(self) -> None:
        self.writable.set()

    @override
    def eof_received(self) -> bool:
        self.closed_at = self.closed_at or time.monotonic()
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.closed_at = self.closed_at or time.monotonic()
        self.closed.set()
        self.writable.set()

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self.transport.abort()

    def _next(self) -> None:
        if self._task is None and (call := self._take()) is not None:
            self.upstream.calls.append(call)
            self._task = asyncio.get_running_loop().create_task(self._answer(call))

    async def _answer(self, call: Call) -> None:
        with contextlib.suppress(ConnectionError):
            await self.upstream.script(call)
        self._task = None
        self._next()

    def _take(self) -> Call | None:
        """The next whole request out of what was received; the gateway is trusted to frame it well."""
        head, end, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        named = dict(headers)
        if named.get("transfer-encoding", "").lower() == "chunked":
            split = _dechunked(rest)
            if split is None:
                return None
            body, rest = split
        else:
            size = int(named.get("content-length", "0"))
            if len(rest) < size:
                return None
            body, rest = rest[:size], rest[size:]
        self._received = bytearray(rest)
        method, target, _ = first.split(" ")
        return Call(method, target, headers, body, self)


def _dechunked(data: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            return None
        size = int(line, 16)
        if len(data) < size + 2:
            return None
        body, data = body + data[:size], data[size + 2 :]
        if size == 0:
            return body, data


def json_response(data: Any, status: str = "200 OK", headers: bytes = b"") -> bytes:
    """A whole response with a JSON body; `headers` are lines with their CRLF."""
    return response(json.dumps(data).encode(), status, b"content-type: application/json\r\n" + headers)


def response(body: bytes, status: str = "200 OK", headers: bytes = b"") -> bytes:
    """A whole response with any body; `headers` are lines with their CRLF."""
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n%s\r\n%s" % (status.encode(), len(body), headers, body)


def stream_response(events: tuple[bytes, ...] = EVENTS) -> bytes:
    """A whole chat stream, each event in a chunk of its own."""
    return STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"".join(map(chunked, events)) + b"0\r\n\r\n"


def reply_with(data: bytes) -> Script:
    """A script that answers every request with the same bytes."""

    async def script(call: Call) -> None:
        await call.send(data)

    return script


def reply_fitting() -> Script:
    """A script that answers a stream with a stream and anything else with a whole reply."""

    async def script(call: Call) -> None:
        await call.send(stream_response() if b'"stream":true' in call.body else json_response(CHAT_REPLY))

    return script
