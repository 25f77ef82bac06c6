"""Limits of size and of time, each with words of its own, and back-pressure: nothing piles up because somebody is slow."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from core.tests import engines
from core.tests.engines import (
    BRIEF_S,
    LOCAL,
    Answer,
    Connection,
    Engine,
    Server,
    answering,
    black_hole,
    dripping,
    fetched,
    h1_only,
    hanging,
    limit,
    refused,
    turns,
)

from headgate.errors import ProviderFailed, ProviderTimeout
from headgate.testing import eventually
from headgate.upstream import Timeouts, Upstream, UpstreamRequest

server = engines.server
engine = engines.engine
loop_factory = engines.loop_factory
upstream = engines.upstream

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
DRIP = b"HTTP/1.1 200 OK\r\n\r\n"


# sizes


def flooding(start: bytes, piece: bytes) -> Answer:
    """Send `piece` after `start` as fast as it is taken, at most 64 MiB of it."""

    async def answer(connection: Connection) -> None:
        await connection.send(start)
        for _ in range(64 * 1024 * 1024 // len(piece)):
            await connection.send(piece)

    return answer


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (HEAD, b"x" * 8192),
        (HEAD + b"x: ", b"y" * 8192),
        (HEAD, b"x: y\r\n" * 1000),
        (HEAD, b"x: " + b"y" * 8000 + b"\r\n"),
        (b"HTTP/1.1 200 ", b"O" * 8192),
    ],
    ids=["name", "value", "small headers", "large headers", "reason"],
)
async def test_an_endless_head_is_refused(server: Server, upstream: Upstream, start: bytes, piece: bytes) -> None:
    """A head that never ends is refused long before it fills memory."""
    server.answer = flooding(start, piece)
    tracemalloc.start()
    try:
        error = await refused(upstream, server.request())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(error, ProviderFailed)
    assert peak < 8 * 1024 * 1024
    await eventually(lambda: server.open == 0, "the connection was closed")


@h1_only
@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"\r\n" * 4096),
        (CHUNKED + b"2;", b"x" * 8192),
        (CHUNKED + b"2", b";x=y" * 2048),
        (CHUNKED + b"0", b"0" * 8192),
        (CHUNKED + b"2\r\nok\r\n0\r\nx: ", b"y" * 8192),
        (CHUNKED + b"2\r\nok\r\n0\r\n", b"x: y\r\n" * 1000),
    ],
    ids=["103", "100", "empty lines", "extension", "extensions", "zeros", "trailer", "trailers"],
)
async def test_a_flood_around_the_body_is_refused(
    server: Server, upstream: Upstream, start: bytes, piece: bytes
) -> None:
    """Interim replies, chunk extensions and trailers without end are refused; aiohttp sets no limit to several."""
    server.answer = flooding(start, piece)
    assert isinstance(await refused(upstream, server.request()), ProviderFailed)
    await eventually(lambda: server.open == 0, "the connection was closed")


@h1_only
async def test_too_many_interim_replies_are_refused(server: Server, upstream: Upstream) -> None:
    """A few interim replies are fine, a hundred are not, even if a reply follows; aiohttp takes any number."""
    server.answer = answering(b"HTTP/1.1 103 Early\r\n\r\n" * 5 + engines.OK)
    assert await fetched(upstream, server.request()) == b"ok"
    server.answer = answering(b"HTTP/1.1 103 Early\r\n\r\n" * 100 + engines.OK)
    assert isinstance(await refused(upstream, server.request()), ProviderFailed)


@h1_only
async def test_too_many_headers_are_refused(server: Server, upstream: Upstream) -> None:
    """A thousand small headers are no head of a reply; aiohttp limits their size alone."""
    server.answer = answering(HEAD + b"x: y\r\n" * 1000 + b"content-length: 0\r\n\r\n")
    assert isinstance(await refused(upstream, server.request()), ProviderFailed)


async def test_many_headers_are_taken(server: Server, upstream: Upstream) -> None:
    """What providers send in earnest passes: 60 headers, one of 4 KB."""
    lines = b"".join(b"x-%d: %d\r\n" % (number, number) for number in range(60))
    server.answer = answering(HEAD + lines + b"set-cookie: " + b"c" * 4000 + b"\r\ncontent-length: 0\r\n\r\n")
    response = await upstream.send(server.request())
    assert await response.read() == b""
    assert dict(response.headers)[b"x-59"] == b"59"


@pytest.mark.parametrize("head", [HEAD + b"content-length: 5000\r\n\r\n", CHUNKED + b"3e9\r\n", DRIP])
async def test_a_reply_may_be_64_mebibytes(
    server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    """What is read whole is bounded; the bound is made small here."""
    limit(monkeypatch, "MAX_BODY_BYTES", 1000)
    server.answer = answering(head + b"x" * 1001)
    assert (await refused(upstream, server.request())).error_code == "upstream_too_large"
    await eventually(lambda: server.open == 0, "the connection was closed")


@pytest.mark.parametrize(
    ("head", "piece"), [(DRIP, b"x" * 8192), (CHUNKED, b"2000\r\n" + b"x" * 8192 + b"\r\n")], ids=["close", "chunks"]
)
async def test_an_endless_body_is_refused(
    server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, head: bytes, piece: bytes
) -> None:
    """A body without end is given up at the bound, and its connection closed."""
    limit(monkeypatch, "MAX_BODY_BYTES", 1024 * 1024)
    server.answer = flooding(head, piece)
    assert (await refused(upstream, server.request())).error_code == "upstream_too_large"
    await eventually(lambda: server.open == 0, "the connection was closed")


# back-pressure


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunks"])
async def test_nobody_reading_holds_the_server(server: Server, upstream: Upstream, is_chunked: bool) -> None:
    """While nobody reads `chunks`, the server can write no more than socket buffers and a little; then all arrives."""
    size = 32 * 1024 * 1024
    piece = bytes(range(256)) * 256
    sent = 0

    async def answer(connection: Connection) -> None:
        nonlocal sent
        await connection.send(CHUNKED if is_chunked else HEAD + b"content-length: %d\r\n\r\n" % size)
        for _ in range(size // len(piece)):
            await connection.send(b"10000\r\n" + piece + b"\r\n" if is_chunked else piece)
            sent += len(piece)
        if is_chunked:
            await connection.send(b"0\r\n\r\n")

    server.answer = answer
    response = await upstream.send(server.request())
    before = -1
    while sent > before:
        before = sent
        await asyncio.sleep(0.05)
    assert sent < 12 * 1024 * 1024
    got = 0
    async for data in response.chunks():
        offset = got % 256
        assert data[:512] == (piece[offset:] + piece)[: min(len(data), 512)]
        got += len(data)
    assert got == size


async def test_an_unread_body_takes_little_memory(server: Server, upstream: Upstream) -> None:
    """What waits for a reader is a fraction of a mebibyte, in the engine; the rest waits in the socket."""
    blob = b"x" * (8 * 1024 * 1024)

    async def answer(connection: Connection) -> None:
        await connection.send(HEAD + b"content-length: %d\r\n\r\n" % len(blob))
        for at in range(0, len(blob), 65536):
            await connection.send(blob[at : at + 65536])

    server.answer = answer
    tracemalloc.start()
    try:
        response = await upstream.send(server.request())
        for _ in range(10):
            await turns(20)
            await asyncio.sleep(0.01)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    response.close()
    assert peak < 2 * 1024 * 1024


async def test_a_slow_reader_is_not_the_providers_silence(server: Server, upstream: Upstream) -> None:
    """The gap counts while the gateway waits for the provider, not while a slow client keeps the gateway waiting."""

    async def answer(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\none")
        for piece in (b"two", b"six"):
            await asyncio.sleep(0.02)
            await connection.send(piece)

    server.answer = answer
    response = await upstream.send(server.request(timeouts=Timeouts(gap_s=BRIEF_S)))
    got = b""
    async for piece in response.chunks():
        got += piece
        if got != b"one":
            await asyncio.sleep(BRIEF_S * 2.5)
    assert got == b"onetwosix"


# deadlines


async def test_no_connection_in_time(engine: Engine, upstream: Upstream) -> None:
    """A host that does not answer the connection is a timeout that says so."""
    with black_hole() as port:
        request = UpstreamRequest(
            "GET",
            f"http://127.0.0.2:{port}/",
            private_hosts=LOCAL | {"127.0.0.2"},
            timeouts=Timeouts(connect_s=BRIEF_S),
        )
        error = await refused(upstream, request)
    assert isinstance(error, ProviderTimeout)
    assert error.message == f"no connection to `127.0.0.2` within {BRIEF_S:g} s"


async def test_no_first_byte_in_time(server: Server, upstream: Upstream) -> None:
    """A server that says nothing, or half a head, is given up and its connection closed."""
    for pieces in ((), (b"HTTP/1.1 200 OK\r\nx:",), (b"HTTP/1.1 103 Hints\r\n\r\n",)):
        server.answer = hanging(*pieces)
        error = await refused(upstream, server.request(timeouts=Timeouts(first_byte_s=BRIEF_S)))
        assert isinstance(error, ProviderTimeout)
        assert error.message == f"no answer from `127.0.0.1` within {BRIEF_S:g} s"
        await eventually(lambda: server.open == 0, "the connection was closed")


async def test_a_head_that_drips_ends_in_time(server: Server, upstream: Upstream) -> None:
    """Bytes now and then do not extend the time a head may take."""
    server.answer = dripping(HEAD, b"x", 0.02)
    error = await refused(upstream, server.request(timeouts=Timeouts(first_byte_s=BRIEF_S)))
    assert isinstance(error, ProviderTimeout)
    assert "no answer" in error.message


@pytest.mark.parametrize("how", ["read", "chunks"])
async def test_a_gap_ends_the_body(server: Server, upstream: Upstream, how: str) -> None:
    """Silence within a body longer than `gap_s` is a timeout, and the connection is closed."""
    server.answer = hanging(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    response = await upstream.send(server.request(timeouts=Timeouts(gap_s=BRIEF_S)))

    async def read() -> None:
        if how == "read":
            await response.read()
        async for _ in response.chunks():
            pass

    with pytest.raises(ProviderTimeout) as caught:
        async with asyncio.timeout(engines.HANG_S):
            await read()
    assert caught.value.message == f"the reply was silent for {BRIEF_S:g} s"
    await eventually(lambda: server.open == 0, "the connection was closed")
    response.close()


async def test_a_slow_body_within_the_gap_is_whole(server: Server, upstream: Upstream) -> None:
    """Pieces that each come in time may take longer together."""

    async def answer(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(BRIEF_S / 3)
            await connection.send(b"x")

    server.answer = answer
    assert await fetched(upstream, server.request(timeouts=Timeouts(gap_s=BRIEF_S))) == b"x" * 8


async def test_the_whole_call_has_a_limit(server: Server, upstream: Upstream) -> None:
    """A body that keeps coming is ended by `total_s`, even where the gap is longer than that."""
    server.answer = dripping(DRIP, b"x", 0.02)
    for gap_s in (0.1, 120):
        error = await refused(upstream, server.request(timeouts=Timeouts(gap_s=gap_s, total_s=BRIEF_S)))
        assert isinstance(error, ProviderTimeout)
        assert error.message == f"the reply took longer than {BRIEF_S:g} s"
        await eventually(lambda: server.open == 0, "the connection was closed")


async def test_the_whole_call_begins_with_the_call(server: Server, upstream: Upstream) -> None:
    """`total_s` also ends a call whose first byte does not come."""
    server.answer = hanging()
    error = await refused(upstream, server.request(timeouts=Timeouts(total_s=BRIEF_S)))
    assert isinstance(error, ProviderTimeout)


async def test_time_before_the_head_counts(server: Server, upstream: Upstream) -> None:
    """What the head took is taken off the time the body has."""

    async def answer(connection: Connection) -> None:
        await asyncio.sleep(0.5)
        await dripping(DRIP, b"x", 0.02)(connection)

    server.answer = answer
    response = await upstream.send(server.request(timeouts=Timeouts(gap_s=0.3, total_s=0.6)))
    got: list[bytes] = []

    async def read() -> None:
        async for piece in response.chunks():
            got.append(piece)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(ProviderTimeout):
        await read()
    response.close()
    assert len(b"".join(got)) < 15


async def test_a_slow_reader_does_not_outlive_the_call(server: Server, upstream: Upstream) -> None:
    """`total_s` also ends a reply that nobody reads: its connection does not stay open for ever."""
    server.answer = dripping(DRIP, b"x" * 100, 0.01)
    response = await upstream.send(server.request(timeouts=Timeouts(total_s=BRIEF_S)))
    reading = response.chunks()
    await anext(reading)
    await asyncio.sleep(BRIEF_S * 2)
    with pytest.raises(ProviderTimeout):
        async for _ in reading:
            pass
    response.close()
    await eventually(lambda: server.open == 0, "the connection was closed")


async def test_many_limits_run_beside_each_other(server: Server, upstream: Upstream) -> None:
    """Each call ends by its own limit, whatever the order in which they were set."""
    server.answer = hanging()
    loop = asyncio.get_running_loop()

    async def call(limit_s: float) -> float:
        began = loop.time()
        error = await refused(upstream, server.request(timeouts=Timeouts(first_byte_s=limit_s)))
        assert f"within {limit_s:g} s" in error.message
        return loop.time() - began - limit_s

    late = await asyncio.gather(*(call(limit_s) for limit_s in (0.3, 0.1, 0.2, 0.4, 0.15, 0.1, 0.35)))
    assert all(-0.01 < seconds < 0.1 for seconds in late)


async def test_a_limit_of_one_call_is_not_the_next_ones(server: Server, upstream: Upstream) -> None:
    """A short limit of a call that is over does not touch the call that has its connection now."""
    assert await fetched(upstream, server.request(timeouts=Timeouts(first_byte_s=BRIEF_S, total_s=BRIEF_S))) == b"ok"

    async def slow(connection: Connection) -> None:
        await asyncio.sleep(BRIEF_S * 2)
        await connection.send(engines.OK)

    server.answer = slow
    assert await fetched(upstream, server.request()) == b"ok"
    assert len(server.connections) == 1
