"""The short way of a body: pieces go to a sink as they are read, and whatever needs a reader waits for one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from core.tests import engines
from core.tests.engines import BRIEF_S, Connection, Server, answering, ending, h1_only, hanging, numbered, numbering

from headgate.errors import ProviderFailed, ProviderTimeout
from headgate.testing import eventually
from headgate.upstream import Pouring, Timeouts, Upstream, UpstreamResponse
from headgate.upstream.h1_response import HIGH_BYTES

server = engines.server
engine = engines.engine
loop_factory = engines.loop_factory
upstream = engines.upstream

pytestmark = h1_only

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
Sink = Callable[[bytes], bool]


def framed(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


async def pour(response: UpstreamResponse, sink: Sink) -> None:
    assert isinstance(response, Pouring)
    await response.pour(sink)


async def poured(response: UpstreamResponse, wants: Callable[[], bool] = lambda: True) -> tuple[bytes, int]:
    """The whole body, by turns read and poured; and how many pieces were poured. A sink wants more as `wants` says."""
    pieces: list[bytes] = []
    count = 0

    def sink(piece: bytes) -> bool:
        nonlocal count
        count += 1
        pieces.append(piece)
        return wants()

    async for piece in response.chunks():
        pieces.append(piece)
        await pour(response, sink)
    return b"".join(pieces), count


async def test_a_body_is_poured_in_order(server: Server, upstream: Upstream) -> None:
    """Nothing is lost, doubled or moved, most of it needs no reader, and the connection is kept."""

    async def answer(connection: Connection) -> None:
        await connection.send(CHUNKED)
        for number in range(50):
            await connection.send(framed(b"%03d" % number))
            await asyncio.sleep(0.001)
        await connection.send(b"0\r\n\r\n")

    server.answer = answer
    for _ in range(2):
        body, count = await poured(await upstream.send(server.request()))
        assert body == b"".join(b"%03d" % number for number in range(50))
        assert count > 10
    assert len(server.connections) == 1


@pytest.mark.parametrize("seed", range(8))
async def test_a_sink_that_wants_no_more_loses_nothing(server: Server, upstream: Upstream, seed: int) -> None:
    """Whatever the sizes of the pieces and wherever the sink stops, the body is whole: reading goes on behind each stop."""
    rng = random.Random(seed)
    pieces = [rng.randbytes(rng.choice((1, 100, 20_000, HIGH_BYTES, 300_000))) for _ in range(40)]

    async def answer(connection: Connection) -> None:
        await connection.send(CHUNKED)
        for piece in pieces:
            await connection.send(framed(piece))
            if rng.random() < 0.3:
                await asyncio.sleep(0.001)
        await connection.send(b"0\r\n\r\n")

    server.answer = answer
    response = await upstream.send(server.request(timeouts=Timeouts(gap_s=20.0)))
    body, _ = await poured(response, lambda: rng.random() < 0.5)
    assert body == b"".join(pieces)


async def test_a_sink_that_stops_with_the_last_piece_leaves_the_socket_open(server: Server, upstream: Upstream) -> None:
    """A read so large that the socket is left alone, all of it taken before the sink stops: the rest still comes."""
    size = 5 * HIGH_BYTES

    async def answer(connection: Connection) -> None:
        await connection.send(CHUNKED + framed(b"first"))
        await asyncio.sleep(0.02)
        await connection.send(framed(b"x" * size))
        await asyncio.sleep(0.1)
        await connection.send(framed(b"last") + b"0\r\n\r\n")

    server.answer = answer
    response = await upstream.send(server.request(timeouts=Timeouts(gap_s=20.0)))
    taken = 0

    def sink(piece: bytes) -> bool:
        nonlocal taken
        taken += len(piece)
        return taken < size

    chunks = response.chunks()
    assert await anext(chunks) == b"first"
    await pour(response, sink)
    assert taken == size
    assert await anext(chunks) == b"last"


async def test_what_waits_already_is_left_to_the_reader(server: Server, upstream: Upstream) -> None:
    """Nothing is poured past pieces that came before, nor after the end."""
    server.answer = answering(CHUNKED + framed(b"all") + b"0\r\n\r\n")
    response = await upstream.send(server.request())
    await pour(response, lambda _: pytest.fail("poured"))
    assert await response.read() == b"all"
    await pour(response, lambda _: pytest.fail("poured"))


async def test_an_encoded_body_is_left_to_the_reader(server: Server, upstream: Upstream) -> None:
    """A body that must be decoded is never poured as it came."""
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
    server.answer = hanging(head)
    response = await upstream.send(server.request())
    async with asyncio.timeout(engines.HANG_S):
        await pour(response, lambda _: pytest.fail("poured"))
    response.close()


async def test_a_cut_while_pouring_is_told_to_the_reader(server: Server, upstream: Upstream) -> None:
    """Every piece before the cut is handed on, then reading raises."""

    async def answer(connection: Connection) -> None:
        await connection.send(CHUNKED + framed(b"a"))
        await asyncio.sleep(0.02)
        await ending(framed(b"b"))(connection)

    server.answer = answer
    response = await upstream.send(server.request())
    chunks, got = response.chunks(), list[bytes]()
    got.append(await anext(chunks))
    await pour(response, lambda piece: not got.append(piece))
    rest = response.read()
    with pytest.raises(ProviderFailed):
        await rest
    assert b"".join(got) == b"ab"


async def test_silence_while_pouring_is_a_timeout(server: Server, upstream: Upstream) -> None:
    """`gap_s` counts from the last piece that was poured."""

    async def answer(connection: Connection) -> None:
        await connection.send(CHUNKED)
        for _ in range(5):
            await connection.send(framed(b"x"))
            await asyncio.sleep(BRIEF_S / 2)
        await connection.closed()

    server.answer = answer
    response = await upstream.send(server.request(timeouts=Timeouts(gap_s=BRIEF_S)))
    got: list[bytes] = []

    async def all_of_it() -> None:
        async for piece in response.chunks():
            got.append(piece)
            await pour(response, lambda piece: not got.append(piece))

    with pytest.raises(ProviderTimeout):
        await all_of_it()
    assert got == [b"x"] * 5
    await eventually(lambda: server.open == 0, "the connection was closed")


async def test_a_sink_that_fails_fails_its_reader(server: Server, upstream: Upstream) -> None:
    """What a sink raises comes out of `pour`, and the connection's own callbacks go on."""

    async def answer(connection: Connection) -> None:
        await connection.send(CHUNKED + framed(b"a"))
        await asyncio.sleep(0.02)
        await connection.send(framed(b"b"))

    def sink(_: bytes) -> bool:
        raise LookupError("sink")

    server.answer = answer
    response = await upstream.send(server.request())
    await anext(response.chunks())
    with pytest.raises(LookupError):
        await pour(response, sink)
    response.close()
    await eventually(lambda: server.open == 0, "the connection was closed")


async def test_cancelling_while_pouring_closes_the_connection(server: Server, upstream: Upstream) -> None:
    """A task that is cancelled while its body is poured gets nothing more, and the pool stays clean."""
    got: list[bytes] = []

    async def answer(connection: Connection) -> None:
        await connection.send(CHUNKED)
        while True:
            await connection.send(framed(b"x"))
            await asyncio.sleep(0.001)

    async def read() -> None:
        response = await upstream.send(server.request())
        try:
            async for _ in response.chunks():
                await pour(response, lambda piece: not got.append(piece))
        finally:
            response.close()

    server.answer = answer
    task = asyncio.create_task(read())
    await eventually(lambda: len(got) > 5, "the body was poured")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    count = len(got)
    await eventually(lambda: server.open == 0, "the connection was closed")
    assert len(got) == count
    server.answer = numbering()
    assert (await engines.fetched(upstream, numbered(server, 7))).strip() == b"7"
