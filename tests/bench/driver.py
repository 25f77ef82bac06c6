"""A load driver that is cheap enough to share a machine with what it measures: raw asyncio Protocol and httptools.

A closed loop keeps every connection busy; an open loop starts exchanges at a fixed rate and counts each from the
instant it was due, however late it could be sent. Every reply is checked in full.
"""

import argparse
import asyncio
import ctypes
import os
import time
from collections import Counter, deque
from collections.abc import Callable
from itertools import islice
from typing import cast

import httptools
import msgspec
import uvloop
from measure import Check, JsonCheck, Spread, StreamCheck, Times
from typing_extensions import override

_NONCE = b"0" * 20
_SENTENCE = "The quick brown fox jumps over the lazy dog while 7 clerks file their reports. "
_SMALLEST_BODY = 400


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What to send where: a closed loop over `connections`, or an open loop when `rate` (per second) is given.

    `chunks` is what a stream is asked for and has to hold. `body_bytes` is the exact size of each request body.
    """

    port: int
    count: int
    connections: int = 8
    rate: float | None = None
    stream: bool = False
    chunks: int = 64
    body_bytes: int = 1024
    model: str = "bench"
    headers: dict[str, str] = {}
    path: str = "/v1/chat/completions"
    timeout_s: float = 60.0
    host: str = "127.0.0.1"


class Result(msgspec.Struct, frozen=True):
    """What came of a load; `errors` counts exchanges by what was wrong with them."""

    completed: int
    errors: dict[str, int]
    seconds: float
    per_second: float
    latency: Spread
    first_content: Spread
    gap: Spread
    transit: Spread
    deltas: int
    records: int


def build_body(load: Load) -> bytes:
    """A chat request of exactly `body_bytes`: a history of messages of about 1 KB, with room for a unique number."""
    size = max(load.body_bytes, _SMALLEST_BODY)
    prose = _SENTENCE * 12
    messages: list[dict[str, str]] = [{"role": "user", "content": f"exchange {_NONCE.decode()}"}]
    request: dict[str, object] = {"model": load.model, "messages": messages, "max_tokens": 256}
    if load.stream:
        request |= {"max_tokens": load.chunks, "stream": True, "stream_options": {"include_usage": True}}
    while (room := size - len(msgspec.json.encode(request))) > len(prose) + 100:
        messages.append({"role": ("assistant", "user")[len(messages) % 2], "content": prose})
    messages[0]["content"] += (" " + _SENTENCE * (room // len(_SENTENCE) + 1))[:room]
    return msgspec.json.encode(request)


def _request_halves(load: Load) -> tuple[bytes, bytes]:
    """The HTTP request before and after the number that makes its body unique."""
    body = build_body(load)
    headers = {
        "host": f"{load.host}:{load.port}",
        "accept": "*/*",
        "user-agent": "bench",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **load.headers,
    }
    lines = [f"POST {load.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join(lines) + "\r\n\r\n"
    before, _, after = (head.encode() + body).partition(_NONCE)
    return before, after


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one exchange in flight."""

    def __init__(self, driver: "Driver") -> None:
        self.driver = driver
        self.parser = httptools.HttpResponseParser(self)
        self.check: Check | None = None
        self.scheduled = 0.0
        self.now = 0.0
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)
        if self.check is not None:
            self.check = None
            self.driver.finish("connection closed before the reply ended", None)
        self.driver.replace(self)

    def send(self, request: bytes, scheduled: float, check: Check) -> None:
        self.scheduled = scheduled
        self.check = check
        self.transport.write(request)

    @override
    def data_received(self, data: bytes) -> None:
        self.now = time.monotonic()
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        if self.check is not None:
            self.check.feed(body, self.now)

    def on_message_complete(self) -> None:
        check, self.check = self.check, None
        if check is None:
            return
        status = self.parser.get_status_code()
        error = f"status {status}" if status != 200 else check.verdict()
        self.driver.finish(error, self.now - self.scheduled)
        if self.parser.should_keep_alive():
            self.driver.take(self)
        else:
            self.transport.close()


class Ticker:
    """Calls `due` with the number of instants passed, from a kernel timer: event loops round their own to 1 ms."""

    def __init__(self, start_ns: int, interval_ns: int, due: Callable[[int], None]) -> None:
        self.due = due
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        setting = (ctypes.c_long * 4)(*divmod(interval_ns, 10**9), *divmod(start_ns, 10**9))
        if self.fd < 0 or libc.timerfd_settime(self.fd, 1, setting, None) < 0:
            raise OSError(ctypes.get_errno(), "no kernel timer for the open loop; it needs Linux")
        asyncio.get_running_loop().add_reader(self.fd, self._read)

    def _read(self) -> None:
        self.due(int.from_bytes(os.read(self.fd, 8), "little"))

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.fd)
        os.close(self.fd)


class Driver:
    """Carries out one `Load`."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.before, self.after = _request_halves(load)
        self.number = time.time_ns()
        self.times = Times()
        self.errors: Counter[str] = Counter()
        self.ended = 0
        self.idle: list[Connection] = []
        self.open: set[Connection] = set()
        self.backlog: deque[float | None] = deque()
        self.tasks: set[asyncio.Task[None]] = set()
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> Result:
        """Send everything and wait for the last reply; raises OSError when nothing listens."""
        started = time.monotonic()
        ticker = None
        try:
            for _ in range(self.load.connections):
                await self._connect()
            started = time.monotonic()
            ticker = self._start()
            async with asyncio.timeout(self.load.timeout_s):
                await self.complete
        except TimeoutError:
            self.errors["no reply in time"] += self.load.count - self.ended
        finally:
            seconds = time.monotonic() - started
            if ticker is not None:
                ticker.close()
            await self._close()
        return self._result(seconds)

    def _start(self) -> Ticker | None:
        if self.load.rate is None:
            self.backlog.extend([None] * self.load.count)
            for connection in list(self.open):
                self.take(connection)
            return None
        interval_ns = int(1e9 / self.load.rate)
        start_ns = time.monotonic_ns() + interval_ns
        self.idle.extend(self.open)
        instants = iter([(start_ns + n * interval_ns) / 1e9 for n in range(self.load.count)])

        def fall_due(passed: int) -> None:
            self.backlog.extend(islice(instants, passed))
            while self.idle and self.backlog:
                self.take(self.idle.pop())

        return Ticker(start_ns, interval_ns, fall_due)

    def take(self, connection: Connection) -> None:
        """Give an idle connection the exchange that waits longest, if any."""
        if not self.backlog:
            self.idle.append(connection)
            return
        scheduled = self.backlog.popleft() or time.monotonic()
        self.number += 1
        check = StreamCheck(self.load.chunks, scheduled, self.times) if self.load.stream else JsonCheck()
        connection.send(self.before + b"%020d" % self.number + self.after, scheduled, check)

    def finish(self, error: str | None, latency: float | None) -> None:
        """Count an exchange that ended."""
        self.ended += 1
        if error is not None:
            self.errors[error] += 1
        elif latency is not None:
            self.times.latency.append(latency)
        if self.ended == self.load.count and not self.complete.done():
            self.complete.set_result(None)

    def replace(self, connection: Connection) -> None:
        """Open a new connection for one that was lost."""
        self.open.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        if self.complete.done():
            return
        task = asyncio.get_running_loop().create_task(self._reconnect())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self), self.load.host, self.load.port)
        self.open.add(connection)
        return connection

    async def _reconnect(self) -> None:
        try:
            self.take(await self._connect())
        except OSError as error:
            if not self.complete.done():
                self.complete.set_exception(error)

    async def _close(self) -> None:
        self.complete.cancel()
        for task in list(self.tasks):
            task.cancel()
        open_ = list(self.open)
        for connection in open_:
            connection.check = None
            connection.transport.abort()
        await asyncio.gather(*(connection.lost for connection in open_))

    def _result(self, seconds: float) -> Result:
        times = self.times
        completed = len(times.latency)
        return Result(
            completed=completed,
            errors=dict(self.errors),
            seconds=seconds,
            per_second=completed / seconds,
            latency=Spread.from_seconds(times.latency),
            first_content=Spread.from_seconds(times.first_content),
            gap=Spread.from_seconds(times.gap),
            transit=Spread.from_seconds(times.transit),
            deltas=times.deltas,
            records=times.records,
        )


async def drive(load: Load) -> Result:
    """Carry out `load` in the running event loop."""
    return await Driver(load).run()


def main() -> None:
    """Carry out the load of the command line and print its result as JSON; exit status 1 when a reply was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, default=1000, help="exchanges in all")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float, help="exchanges per second (open loop); a closed loop without it")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--chunks", type=int, default=64, help="content chunks a stream must hold")
    parser.add_argument("--body-bytes", type=int, default=1024)
    parser.add_argument("--model", default="bench")
    parser.add_argument("--header", dest="headers", action="append", default=[], help="NAME: VALUE, may be repeated")
    parser.add_argument("--path", default="/v1/chat/completions")
    parser.add_argument("--timeout-s", type=float, default=60.0)
    given = vars(parser.parse_args())
    given["headers"] = {name: value.strip() for name, _, value in (line.partition(":") for line in given["headers"])}
    result = uvloop.run(drive(Load(**given)))
    print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    raise SystemExit(1 if result.errors else 0)


if __name__ == "__main__":
    main()
