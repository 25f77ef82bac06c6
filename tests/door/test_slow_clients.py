"""Clients that are slow on purpose: they are cut by deadlines, hold no memory, and cost others nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import time
from collections.abc import AsyncGenerator

from tests.conftest import StartGateway
from tests.door.conftest import BODY_STALL_S, HEADER_S, MIB, READER_STALL_S
from tests.door.upstream import EVENTS, STREAM_HEAD, Call, Upstream, chunk_event
from tests.harness import Answer, Gateway, Wire, ask, chat, chunked, head, post

SLACK_S = 1.5
CROWD = 40
READERS = 32


@contextlib.asynccontextmanager
async def good_traffic(gateway: Gateway) -> AsyncGenerator[None]:
    """While the body of the `with` runs, ordinary requests are sent: each must be answered well and soon."""
    durations: list[float] = []

    async def send() -> None:
        while True:
            started = time.monotonic()
            assert (await ask(gateway, post(chat()))).status == 200
            durations.append(time.monotonic() - started)
            await asyncio.sleep(0.05)

    sender = asyncio.create_task(send())
    try:
        yield
    finally:
        done = sender.done()
        sender.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sender
    assert not done
    assert statistics.median(durations) < 0.5
    assert max(durations) < 3.0


async def test_slow_heads_are_cut(gateway: Gateway, upstream: Upstream) -> None:
    """A head that drips in has `header_s` in all, however steady the drops are; nobody else notices."""

    async def dripping(number: int) -> float:
        async with Wire.open(gateway) as wire:
            started = time.monotonic()

            async def drip() -> None:
                with contextlib.suppress(ConnectionError):
                    await wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nx-number: %d" % number)
                    while True:
                        await wire.send(b"1")
                        await asyncio.sleep(0.1)

            dropper = asyncio.create_task(drip())
            received = await wire.rest(HEADER_S + SLACK_S)
            dropper.cancel()
            assert received == b"" or received.startswith(b"HTTP/1.1 408 ")
            return time.monotonic() - started

    async with good_traffic(gateway):
        lived = await asyncio.gather(*(dripping(number) for number in range(CROWD)))
    assert min(lived) > HEADER_S * 0.8
    assert all(b"x-number" not in str(call.headers).encode() for call in upstream.calls)


async def test_connections_that_say_nothing_are_cut(gateway: Gateway) -> None:
    """A connection on which no head arrives is closed after `header_s`."""

    async def silent() -> bytes:
        async with Wire.open(gateway) as wire:
            return await wire.rest(HEADER_S + SLACK_S)

    received = await asyncio.gather(*(silent() for _ in range(CROWD)))
    assert all(data == b"" or data.startswith(b"HTTP/1.1 408 ") for data in received)


async def test_stalled_bodies_get_408(gateway: Gateway, upstream: Upstream) -> None:
    """A body that stops arriving is answered with 408 after `body_stall_s`, and the connection closed."""

    async def stalled(start: bytes) -> tuple[Answer, float]:
        async with Wire.open(gateway) as wire:
            await wire.send(start)
            started = time.monotonic()
            answer = await wire.answer(BODY_STALL_S + SLACK_S)
            lived = time.monotonic() - started
            await wire.rest()
            return answer, lived

    whole = post(chat(user="stalled"))
    part = head(b"transfer-encoding: chunked\r\n") + chunked(chat(user="stalled"))
    async with good_traffic(gateway):
        done = await asyncio.gather(*(stalled(start) for start in (whole[:-1], part) * (CROWD // 2)))
    assert {answer.status for answer, _ in done} == {408}
    assert {answer.error["code"] for answer, _ in done} == {"body_timeout"}
    assert min(lived for _, lived in done) > BODY_STALL_S * 0.8
    assert all(b"stalled" not in call.body for call in upstream.calls)


async def test_slow_but_steady_body_is_taken(gateway: Gateway, upstream: Upstream) -> None:
    """`body_stall_s` limits the silence between two pieces, not the whole body."""
    request = post(chat())
    at = len(request) - 8
    async with Wire.open(gateway) as wire:
        await wire.send(request[:at])
        while at < len(request):
            await asyncio.sleep(BODY_STALL_S / 4)
            await wire.send(request[at : at + 1])
            at += 1
        assert (await wire.answer()).status == 200


async def endless(call: Call) -> None:
    """Streams for as long as it is read; a request that wants no stream gets its answer."""
    if b'"stream":true' not in call.body:
        await Upstream().script(call)
        return
    await call.send(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(EVENTS[0]))
    piece = chunked(chunk_event({"content": "x" * 16_000}))
    while True:
        await call.send(piece)


async def deaf_client(gateway: Gateway) -> socket.socket:
    """A client with a small receive buffer that asks for a stream and never reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", gateway.port))
    await loop.sock_sendall(client, post(chat(stream=True)))
    return client


async def test_stream_nobody_reads_is_cut_and_costs_no_memory(gateway: Gateway, upstream: Upstream) -> None:
    """A client that stops reading holds back the provider, costs at most 256 KiB, and is cut after `reader_stall_s`."""
    upstream.script = endless
    assert (await ask(gateway, post(chat()))).status == 200
    before = gateway.resident_bytes()
    gateway.forget_peak()
    started = time.monotonic()
    clients = [await deaf_client(gateway) for _ in range(READERS)]
    try:
        async with good_traffic(gateway):
            streams = [call for number in range(READERS) if (call := await upstream.marked_call(number, "stream"))]
            ended = await asyncio.gather(*(call.closed(READER_STALL_S + 6) for call in streams))
    finally:
        for client in clients:
            client.close()
    assert min(ended) - started > READER_STALL_S * 0.8
    assert gateway.peak_bytes() - before < READERS * 256 * 1024 + 8 * MIB


async def test_slow_but_steady_reader_is_not_cut(gateway: Gateway, upstream: Upstream) -> None:
    """`reader_stall_s` limits the time without progress: a reader that is merely slow keeps its stream."""
    upstream.script = endless
    client = await deaf_client(gateway)
    loop = asyncio.get_running_loop()
    end = time.monotonic() + 2 * READER_STALL_S
    try:
        while time.monotonic() < end:
            async with asyncio.timeout(READER_STALL_S):
                received = await loop.sock_recv(client, 64_000)
            assert received != b""
            await asyncio.sleep(0.05)
        call = await upstream.call()
        assert not call.connection.closed.is_set()
    finally:
        client.close()
    await call.closed()


async def test_connections_are_bounded(start_gateway: StartGateway, upstream: Upstream) -> None:
    """A connection over `connections` is told 503 and closed; when another one leaves there is room again."""
    gateway = start_gateway({"limits": {"connections": 4}})
    async with contextlib.AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(Wire.open(gateway)) for _ in range(4)]
        for wire in wires:
            await wire.send(post(chat()))
            assert (await wire.answer()).status == 200
        async with Wire.open(gateway) as extra:
            with contextlib.suppress(ConnectionError):
                await extra.send(post(chat()))
            answer = await extra.answer()
            assert (answer.status, answer.error["type"]) == (503, "overloaded_error")
            assert answer.header("retry-after")
            await extra.rest()
        await wires[0].send(post(chat()))
        assert (await wires[0].answer()).status == 200
    assert len(upstream.calls) == 5
    assert (await ask(gateway, post(chat()))).status == 200
