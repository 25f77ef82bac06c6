"""Giving up: a call that is closed or cancelled, at whatever point, leaves nothing behind and disturbs nobody."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from core.tests import engines
from core.tests.engines import (
    LOCAL,
    NAME,
    Authority,
    Connection,
    Engine,
    Server,
    answering,
    black_hole,
    fetched,
    hanging,
    header_pairs,
    numbered,
    numbering,
    resolve_to,
    serving,
    turns,
)

from headgate.errors import ProviderError
from headgate.testing import eventually
from headgate.upstream import Timeouts, Tls, Upstream, UpstreamRequest, UpstreamResponse

server = engines.server
engine = engines.engine
loop_factory = engines.loop_factory
upstream = engines.upstream
authority = engines.authority

CANCELS = int(os.environ.get("HEADGATE_CANCELS", "600"))
"""How many calls are cancelled per engine; the mark is 10,000."""


async def test_closing_a_response_closes_its_connection(server: Server, upstream: Upstream) -> None:
    """A reply that is not read to its end costs its connection, and closing twice is fine."""
    server.answer = hanging(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    response = await upstream.send(server.request())
    assert server.open == 1
    response.close()
    response.close()
    await eventually(lambda: server.open == 0, "the connection was closed")


async def test_closing_after_the_end_keeps_the_connection(server: Server, upstream: Upstream) -> None:
    """A reply that was read to its end has given its connection back: closing it late, or twice, touches nobody's call."""
    response = await upstream.send(server.request())
    assert await response.read() == b"ok"
    going_on = asyncio.Event()

    async def answer(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")
        await going_on.wait()
        await connection.send(b"more")

    server.answer = answer
    other = await upstream.send(server.request())
    assert len(server.connections) == 1
    response.close()
    response.close()
    going_on.set()
    assert await other.read() == b"halfmore"
    other.close()


@pytest.mark.parametrize(
    "head", [b"content-length: 10\r\n\r\nhalf", b"transfer-encoding: chunked\r\n\r\n", b"\r\nhalf"]
)
async def test_reading_a_closed_reply_is_an_error(server: Server, upstream: Upstream, head: bytes) -> None:
    """A reply given up never looks whole: who reads it, then or already, gets an error and does not wait."""
    server.answer = hanging(b"HTTP/1.1 200 OK\r\n" + head)
    response = await upstream.send(server.request())
    reading = asyncio.create_task(response.read())
    await turns()
    response.close()
    async with asyncio.timeout(engines.HANG_S):
        with pytest.raises(ProviderError):
            await reading
        with pytest.raises(ProviderError):
            await response.read()


async def test_a_reply_that_is_dropped_is_not_lent_out(server: Server, upstream: Upstream) -> None:
    """A response that is neither read nor closed keeps its connection from everybody else."""
    server.answer = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")
    held = await upstream.send(server.request())
    server.answer = numbering()
    assert (await fetched(upstream, numbered(server, 3))).strip() == b"3"
    assert len(server.connections) == 2
    held.close()


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200 OK\r\n",), (b"HTTP/1.1 200 OK\r\n\r\nhalf",)])
async def test_cancelling_closes_the_connection(server: Server, upstream: Upstream, pieces: tuple[bytes, ...]) -> None:
    """A cancelled call, at whatever point, leaves no connection behind."""
    server.answer = hanging(*pieces)
    task = asyncio.create_task(fetched(upstream, server.request()))
    await eventually(lambda: server.requests == 1, "the request arrived")
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: server.open == 0, "the connection was closed")


async def test_cancelling_an_upload_closes_the_connection(server: Server, upstream: Upstream) -> None:
    """A call cancelled while its body is being written stops writing."""
    server.reads_body = False
    server.answer = engines.silent
    task = asyncio.create_task(fetched(upstream, server.request(body=bytes(16 * 1024 * 1024))))
    await eventually(lambda: server.requests == 1, "the request arrived")
    await turns(20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    connection = server.connections[0]
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(engines.HANG_S):
            while await connection.reader.read(1 << 20):
                pass


async def test_the_rest_of_a_cancelled_reply_is_nobodys(server: Server, upstream: Upstream) -> None:
    """A call that is given up in the middle of its body never leaves the rest for the next one."""

    async def answer(connection: Connection) -> None:
        number = connection.header(b"x-number") or b""
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" + number)
        await asyncio.sleep(0.005)
        await connection.send(number)

    server.answer = answer
    for number in range(9):
        response: UpstreamResponse = await upstream.send(numbered(server, number))
        async for _ in response.chunks():
            break
        response.close()
        assert await fetched(upstream, numbered(server, 9)) == b"99"


async def stall(connection: Connection) -> None:
    """Take nothing in for longer than any call lasts; then go, so that full socket buffers do not pile up in the kernel."""
    await asyncio.sleep(0.3)
    connection.writer.transport.abort()


class Mixture:
    """Calls of every kind, chosen at random: quick, silent, streamed, large, over TLS, and to where nobody answers."""

    def __init__(self, rng: random.Random, plain: Server, secure: Server, stuck: Server, tls: Tls, hole: int) -> None:
        self.rng = rng
        self.plain = plain
        self.secure = secure
        self.stuck = stuck
        self.tls = tls
        self.hole = hole
        self.blob = rng.randbytes(400_000)
        self.large = self.blob * 10
        plain.answer = secure.answer = self.answer
        stuck.reads_body = False
        stuck.answer = stall

    async def answer(self, connection: Connection) -> None:
        number = (connection.header(b"x-number") or b"").rjust(8)
        if self.rng.random() < 0.2:
            await asyncio.sleep(self.rng.random() * 0.03)
        if self.rng.random() < 0.5:
            await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n" + number)
            return
        await connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for byte in number:
            await connection.send(b"1\r\n%c\r\n" % byte)
            if self.rng.random() < 0.3:
                await asyncio.sleep(self.rng.random() * 0.005)
        await connection.send(b"0\r\n\r\n")

    def request(self, number: int) -> tuple[UpstreamRequest, bool]:
        """A request, and whether it will be answered."""
        kinds = ["plain", "plain", "plain large", "secure", "secure", "secure large", "stuck", "hole"]
        match self.rng.choice(kinds).split():
            case ["hole"]:
                return self.request_to(self.plain, number, url=f"http://127.0.0.2:{self.hole}/"), False
            case ["stuck"]:
                return self.request_to(self.stuck, number, body=self.large), False
            case [kind, *large]:
                return self.request_to(getattr(self, kind), number, body=self.blob if large else b"{}"), True
            case _:
                raise AssertionError

    def request_to(self, server: Server, number: int, url: str = "", body: bytes = b"{}") -> UpstreamRequest:
        return UpstreamRequest(
            "POST",
            url or server.url.replace("127.0.0.1", NAME),
            headers=header_pairs(("x-number", str(number))),
            body=body,
            private_hosts=LOCAL | {"127.0.0.2"},
            tls=self.tls,
            timeouts=Timeouts(connect_s=2.0),
        )

    async def call(self, upstream: Upstream, request: UpstreamRequest, number: int) -> None:
        response = await upstream.send(request)
        try:
            body = b"".join([piece async for piece in response.chunks()])
            assert int(body) == number
        finally:
            response.close()


class Timers:
    """Notes the timers that are set from here on. uvloop has no list of its own that could be asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop = asyncio.get_running_loop()
        self._handles: list[asyncio.TimerHandle] = []
        for name in ("call_at", "call_later"):
            monkeypatch.setattr(self._loop, name, self._noting(getattr(self._loop, name)))

    def _noting(self, original: Callable[..., asyncio.TimerHandle]) -> Callable[..., asyncio.TimerHandle]:
        def noted(*args: Any, **options: Any) -> asyncio.TimerHandle:
            handle = original(*args, **options)
            if hasattr(handle, "when"):  # for no delay uvloop makes a plain handle
                self._handles.append(handle)
            return handle

        return noted

    def set_now(self) -> int:
        """How many of them are still to ring, but for the polling of the test itself."""
        soon = self._loop.time() + 0.05
        self._handles = [handle for handle in self._handles if not handle.cancelled() and handle.when() > soon]
        return len(self._handles)


@pytest.mark.timeout(30 + CANCELS / 100, method="thread")
async def test_random_cancels_leave_nothing(
    engine: Engine, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls cancelled while connecting, shaking hands, writing, waiting and reading: no task, socket, timer or reply strays."""
    resolve_to(monkeypatch, "127.0.0.1")
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    process = psutil.Process()
    tls = Tls(ca_file=authority.file)
    rng = random.Random(11)
    outcomes: Counter[type[BaseException] | None] = Counter()
    async with serving():
        pass  # uvloop keeps a file from its first server on
    with black_hole() as hole:
        gc.collect()
        files, tasks, timers = process.num_fds(), len(asyncio.all_tasks()), Timers(monkeypatch)
        async with serving() as plain, serving(authority.server()) as secure, serving() as stuck:
            mixture = Mixture(rng, plain, secure, stuck, tls, hole)
            upstream = engine()
            numbers = itertools.count()
            while outcomes[asyncio.CancelledError] < CANCELS:
                calls: list[asyncio.Task[None]] = []
                for number in itertools.islice(numbers, 50):
                    request, is_answered = mixture.request(number)
                    calls.append(loop.create_task(mixture.call(upstream, request, number)))
                    if not is_answered or rng.random() < 0.8:
                        loop.call_later(rng.random() ** 2 * 0.12, calls[-1].cancel)
                results = await asyncio.gather(*calls, return_exceptions=True)
                for result in results:
                    if isinstance(result, Exception):
                        raise result
                outcomes.update(type(result) if isinstance(result, BaseException) else None for result in results)
            for server in (plain, secure):
                assert int(await fetched(upstream, mixture.request_to(server, 77))) == 77
            await upstream.close()
            for server in (plain, secure):
                await eventually(lambda held=server: held.open == 0, "every connection was closed")
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks, "every task has ended")
        await eventually(lambda: timers.set_now() == 0, "every timer is off", 15)
        await eventually(lambda: process.num_fds() <= files, "every socket was closed")
    gc.collect()
    assert complaints == [], complaints
    assert outcomes[None] > CANCELS / 10
