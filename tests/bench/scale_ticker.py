"""A client whose one stream ticks every millisecond: the longest silence on it is how long a gateway stood still."""

import asyncio
import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

import uvloop
from driver import Load, build_body
from processes import BenchError
from scale_lab import Server
from typing_extensions import override

_RECORD = re.compile(rb"(\d{6,}) (\d{19}) mock")
_TAIL = 64
_ENDLESS = 10**9
"""Chunks: the upstream's own pace says how many there are."""
_READY_S = 10.0


class Ticks(asyncio.Protocol):
    """One stream of records; `seen` has the arrival and the transit of each, in seconds of the monotonic clock."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.rest = b""
        self.next = 0
        self.seen: list[tuple[float, float]] = []
        self.wrong: str | None = None
        self.lost = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.request)

    @override
    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        held = self.rest + data
        end = 0
        for found in _RECORD.finditer(held):
            end = found.end()
            if int(found[1]) != self.next:
                self.wrong = self.wrong or "chunk out of order"
            self.next += 1
            self.seen.append((now, now - int(found[2]) / 1e9))
        self.rest = held[max(end, len(held) - _TAIL) :]

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


class Ticker:
    """A running stream in a thread of its own."""

    def __init__(self, server: Server, model: str) -> None:
        self.load = Load(port=server.port, headers=server.headers, count=1, stream=True, chunks=_ENDLESS, model=model)
        self.ticks: Ticks | None = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=lambda: uvloop.run(self._run()))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        request = stream_request(self.load)
        _, ticks = await loop.create_connection(lambda: Ticks(request), "127.0.0.1", self.load.port)
        self.ticks = ticks
        while not self.stop.is_set() and not ticks.lost.done():
            await asyncio.sleep(0.05)
        if ticks.lost.done():
            ticks.wrong = ticks.wrong or "the stream ended"
        ticks.transport.abort()
        await ticks.lost

    def worst_ms(self, since: float, until: float | None = None) -> float:
        """The longest time that a tick between two instants was on its way; BenchError when the stream is broken."""
        ticks = self.ticks
        if ticks is None or ticks.wrong or not ticks.seen:
            raise BenchError(f"the ticking stream is broken: {ticks.wrong if ticks else 'no connection'}")
        return max((took for at, took in list(ticks.seen) if since <= at <= (until or at)), default=0.0) * 1000


def stream_request(load: Load) -> bytes:
    """The HTTP request of one stream."""
    body = build_body(load)
    headers = {
        "host": f"127.0.0.1:{load.port}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **load.headers,
    }
    lines = [f"POST {load.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@contextmanager
def ticking(server: Server, model: str = "bench", timeout_s: float = _READY_S) -> Generator[Ticker]:
    """A stream through `server` that ticks as fast as its upstream's pace says, until the context ends."""
    ticker = Ticker(server, model)
    ticker.thread.start()
    try:
        deadline = time.monotonic() + timeout_s
        while ticker.ticks is None or len(ticker.ticks.seen) < 100:
            if time.monotonic() > deadline or not ticker.thread.is_alive():
                raise BenchError(f"no stream from {server.name} to watch")
            time.sleep(0.01)
        yield ticker
    finally:
        ticker.stop.set()
        ticker.thread.join()
