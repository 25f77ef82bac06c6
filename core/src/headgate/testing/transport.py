"""An ASGI application as the transport of an httpx2 client: streams as they come, and clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
from typing_extensions import override

Message = dict[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

_MAX_WAITING = 16


class AppTransport(httpx2.AsyncBaseTransport):
    """Calls `app` in a task of its own for each request, as a server does. Added in 0.1.

    The reply is handed over when its head is there. At most 16 pieces of a body wait for a slow reader. Closing a
    reply early, or cancelling, tells the application that the client has left. The end of a body is told once the
    application has returned, so that whatever it does after the reply has happened by then.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        cycle = Cycle(request)
        cycle.begin(self._app)
        try:
            await cycle.changed_until(lambda: cycle.has_started or cycle.is_over)
        except asyncio.CancelledError:
            cycle.lose()
            raise
        if not cycle.has_started:
            cycle.raise_broken()
        return httpx2.Response(cycle.status, headers=cycle.headers, stream=_Body(cycle))


class Cycle:
    """One request and its reply; what the gateway finds as `scope["extensions"]["headgate.cycle"]`.

    `on_gone` is called once when the client leaves before the reply is complete. `abort` breaks the reply off.
    """

    def __init__(self, request: httpx2.Request) -> None:
        self._request = request
        self._body = _pieces(request)
        self._has_body = True
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.waiting: deque[bytes] = deque()
        self.on_gone: Callable[[], None] | None = None
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.has_started = False
        self.is_done = False
        self.is_lost = False

    @property
    def is_over(self) -> bool:
        """Whether the application has returned."""
        return self._task is not None and self._task.done()

    def begin(self, app: App) -> None:
        """Call the application."""
        self._task = asyncio.create_task(app(self._scope(), self.receive, self.send))  # pyright: ignore[reportArgumentType] - an ASGI application is a coroutine function
        self._task.add_done_callback(lambda _: self._changed.set())

    async def changed_until(self, predicate: Callable[[], bool]) -> None:
        """Wait until something happened that makes `predicate()` true."""
        while not predicate():
            self._changed.clear()
            await self._changed.wait()

    def lose(self) -> None:
        """The client leaves."""
        if self.is_done or self.is_lost:
            return
        self.is_lost = True
        self._changed.set()
        if self.on_gone is not None:
            told, self.on_gone = self.on_gone, None
            told()

    def abort(self) -> None:
        """Break the reply off without a proper end."""
        self.is_lost = True
        self._changed.set()

    async def over(self) -> None:
        """Wait until the application has returned, whatever it raised."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def raise_broken(self) -> None:
        """RemoteProtocolError for a reply that did not end properly, caused by what the application raised."""
        error = self._task.exception() if self._task is not None and not self._task.cancelled() else None
        raise httpx2.RemoteProtocolError("the gateway broke the reply off", request=self._request) from error

    async def receive(self) -> Message:
        """ASGI receive."""
        if self._has_body:
            with contextlib.suppress(StopAsyncIteration):
                piece = await anext(self._body)
                return {"type": "http.request", "body": piece, "more_body": True}
            self._has_body = False
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.changed_until(lambda: self.is_done or self.is_lost)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI send. Waits while the client reads slowly; does nothing once it is gone."""
        await self.changed_until(lambda: len(self.waiting) < _MAX_WAITING or self.is_lost)
        if self.is_lost or self.is_done:
            return
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
            self.has_started = True
        else:
            if message.get("body") and self._request.method != "HEAD":
                self.waiting.append(bytes(message["body"]))
            self.is_done = not message.get("more_body", False)
        self._changed.set()

    def taken(self) -> None:
        """A piece of the body was read."""
        self._changed.set()

    def _scope(self) -> dict[str, Any]:
        url = self._request.url
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self._request.method,
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in self._request.headers.raw],
            "client": ("127.0.0.1", 50_000),
            "server": (url.host, url.port or 80),
            "state": {},
            "extensions": {"headgate.cycle": self},
        }


class _Body(httpx2.AsyncByteStream):
    def __init__(self, cycle: Cycle) -> None:
        self._cycle = cycle

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        cycle = self._cycle
        while True:
            await cycle.changed_until(lambda: bool(cycle.waiting) or cycle.is_done or cycle.is_lost or cycle.is_over)
            while cycle.waiting:
                piece = cycle.waiting.popleft()
                cycle.taken()
                yield piece
            if cycle.is_done:
                await cycle.over()
                return
            if cycle.is_lost or cycle.is_over:
                await cycle.over()
                cycle.raise_broken()

    @override
    async def aclose(self) -> None:
        self._cycle.lose()
        await self._cycle.over()


async def _pieces(request: httpx2.Request) -> AsyncIterator[bytes]:
    stream = request.stream
    if isinstance(stream, httpx2.AsyncByteStream):
        async for piece in stream:
            yield piece


class Lifespan:
    """The lifespan of an application in a task of its own, as a server runs it: start and stop may come from any task."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._stopping = asyncio.Event()
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._has_begun = False
        self._task = asyncio.create_task(self._run())

    async def start(self) -> None:
        """Wait until the application has started; raises what it failed with."""
        await self._started

    async def stop(self) -> None:
        """Let the application shut down; raises what that failed with."""
        self._stopping.set()
        await self._task

    async def _run(self) -> None:
        try:
            await self._app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, self._receive, self._send)
        except Exception as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _receive(self) -> Message:
        if not self._has_begun:
            self._has_begun = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if self._started.done():
            return
        if message["type"] == "lifespan.startup.complete":
            self._started.set_result(None)
        elif message["type"] == "lifespan.startup.failed":
            self._started.set_exception(RuntimeError(message.get("message", "the application did not start")))
