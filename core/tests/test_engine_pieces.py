"""Request bodies that come in pieces: how they are framed, who waits for whom, and what ends them early."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence

import pytest
from core.tests import engines
from core.tests.engines import BRIEF_S, LOCAL, OK, Connection, Server, brief, fetched, refused, turns

from headgate.errors import BodyTooLarge, ProviderError, ProviderFailed, ProviderTimeout
from headgate.testing import eventually
from headgate.upstream import Pieces, Timeouts, Upstream, UpstreamRequest

server = engines.server
engine = engines.engine
loop_factory = engines.loop_factory
upstream = engines.upstream

DATA = random.Random(11).randbytes(1024 * 1024)
UPLOAD = [DATA[at : at + 65536] for at in range(0, len(DATA), 65536)] * 8
SIZE = sum(map(len, UPLOAD))
TOO_LARGE = b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge"


class Source:
    """Gives pieces, and counts those that were taken. It goes on when `gate` is set, and raises `error` at its end."""

    def __init__(self, pieces: Sequence[bytes], error: Exception | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.taken = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await self.gate.wait()
        if self.taken == len(self.pieces):
            if self.error is not None:
                raise self.error
            raise StopAsyncIteration
        self.taken += 1
        return self.pieces[self.taken - 1]


def sending(
    server: Server, source: AsyncIterator[bytes], length: int | None = None, timeouts: Timeouts | None = None
) -> UpstreamRequest:
    pieces = Pieces(source, length)
    return UpstreamRequest("POST", server.url, private_hosts=LOCAL, pieces=pieces, timeouts=timeouts or Timeouts())


async def dechunked(connection: Connection) -> bytes:
    body = bytearray()
    while True:
        size = int((await connection.reader.readline()).strip(), 16)
        body += await connection.reader.readexactly(size)
        assert await connection.reader.readexactly(2) == b"\r\n"
        if size == 0:
            return bytes(body)


def collecting(seen: list[tuple[bytes | None, bytes | None, bytes]]) -> engines.Answer:
    """Note the framing and the body of each request."""

    async def answer(connection: Connection) -> None:
        length, coding = connection.header(b"content-length"), connection.header(b"transfer-encoding")
        body = await connection.reader.readexactly(int(length)) if length else await dechunked(connection)
        seen.append((length, coding, body))
        await connection.send(OK)

    return answer


@pytest.mark.parametrize(
    "pieces", [[], [b"one"], [b"", b"one", b"", b"two"], UPLOAD], ids=["none", "one", "gaps", "8 MiB"]
)
async def test_a_body_of_unknown_length_is_chunked(server: Server, upstream: Upstream, pieces: list[bytes]) -> None:
    """Without a length the body is chunked; an empty piece is not taken for the end."""
    server.reads_body = False
    seen: list[tuple[bytes | None, bytes | None, bytes]] = []
    server.answer = collecting(seen)
    for _ in range(2):
        assert await fetched(upstream, sending(server, Source(pieces))) == b"ok"
    assert [(length, (coding or b"").lower(), body) for length, coding, body in seen] == 2 * [
        (None, b"chunked", b"".join(pieces))
    ]
    assert len(server.connections) == 1


async def test_a_body_of_known_length_says_it(server: Server, upstream: Upstream) -> None:
    """With a length the body goes out as it is, and the connection is used again."""
    server.reads_body = False
    seen: list[tuple[bytes | None, bytes | None, bytes]] = []
    server.answer = collecting(seen)
    for _ in range(2):
        assert await fetched(upstream, sending(server, Source(UPLOAD), SIZE)) == b"ok"
    assert [(length, coding) for length, coding, _ in seen] == 2 * [(b"%d" % SIZE, None)]
    assert all(body == b"".join(UPLOAD) for _, _, body in seen)
    assert len(server.connections) == 1


@pytest.mark.parametrize("size", [SIZE - 1, SIZE + 1], ids=["too long", "too short"])
async def test_a_body_of_another_length_fails(server: Server, upstream: Upstream, size: int) -> None:
    """A body that is not as long as it was said to be is never taken for a whole one."""
    server.reads_body = False
    whole: list[bytes] = []

    async def answer(connection: Connection) -> None:
        whole.append(await connection.reader.readexactly(size))
        await connection.closed()

    server.answer = answer
    error = await refused(upstream, sending(server, Source(UPLOAD), size))
    assert error.error_code == "upstream_bad_body"
    await eventually(lambda: server.open == 0, "the connection was closed")
    assert whole == []


async def test_a_server_that_does_not_read_holds_the_source(server: Server, upstream: Upstream) -> None:
    """No more is taken than the sockets between have room for, and nothing is lost when the server goes on."""
    server.reads_body = False
    reading = asyncio.Event()
    seen: list[bytes] = []

    async def answer(connection: Connection) -> None:
        await reading.wait()
        seen.append(await connection.reader.readexactly(8 * SIZE))
        await connection.send(OK)

    server.answer = answer
    source = Source(UPLOAD * 8)
    task = asyncio.create_task(fetched(upstream, sending(server, source, 8 * SIZE)))
    await eventually(lambda: server.requests == 1, "the request arrived")
    await turns(200)
    assert source.taken < len(source.pieces) // 4
    reading.set()
    assert await task == b"ok"
    assert source.taken == len(source.pieces)


async def test_the_source_holds_the_server(server: Server, upstream: Upstream) -> None:
    """A piece goes out when it is there, not when the next one is."""
    server.reads_body = False
    first = asyncio.Event()

    async def answer(connection: Connection) -> None:
        assert await connection.reader.readexactly(5) == b"first"
        first.set()
        assert await connection.reader.readexactly(6) == b"second"
        await connection.send(OK)

    server.answer = answer
    source = Source([b"first", b"second"])

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await source.gate.wait()
        yield b"second"

    source.gate.clear()
    task = asyncio.create_task(fetched(upstream, sending(server, pieces(), 11)))
    async with asyncio.timeout(engines.HANG_S):
        await first.wait()
        source.gate.set()
        assert await task == b"ok"


async def test_what_a_piece_raises_is_raised(server: Server, upstream: Upstream) -> None:
    """An error of the source ends the call with that very error, and the server sees a body that is cut."""
    server.reads_body = False
    cut: list[bytes] = []

    async def answer(connection: Connection) -> None:
        cut.append(await connection.reader.read(-1))

    server.answer = answer
    error = BodyTooLarge("the body is larger than it may be")
    with pytest.raises(BodyTooLarge) as caught:
        async with asyncio.timeout(engines.HANG_S):
            await fetched(upstream, sending(server, Source([b"some"], error)))
    assert caught.value is error
    await eventually(lambda: server.open == 0, "the connection was closed")
    assert b"0\r\n\r\n" not in b"".join(cut)


async def test_an_error_beside_a_running_reply_ends_it(server: Server, upstream: Upstream) -> None:
    """A reply that has begun is broken off when the source of the request fails."""
    server.reads_body = False
    server.answer = engines.hanging(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
    going_on = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"some"
        await going_on.wait()
        raise BodyTooLarge("too much")

    response = await upstream.send(sending(server, pieces()))
    going_on.set()
    with pytest.raises(BodyTooLarge):
        async with asyncio.timeout(engines.HANG_S):
            await response.read()
    response.close()


async def test_an_early_refusal_stops_the_source(server: Server, upstream: Upstream) -> None:
    """After an answer that is no success nothing more is taken, the answer is read, and the connection is given up."""
    server.reads_body = False

    async def answer(connection: Connection) -> None:
        await connection.reader.readexactly(65536)
        await connection.send(TOO_LARGE)
        await connection.closed()

    server.answer = answer
    source = Source(UPLOAD * 32)  # more than the buffers of two sockets take
    async with asyncio.timeout(engines.HANG_S):
        response = await upstream.send(sending(server, source))
        assert (response.status, await response.read()) == (413, b"large")
        response.close()
        await eventually(lambda: server.open == 0, "the connection was closed")
        taken = source.taken
        server.reads_body, server.answer = True, engines.answering(OK)
        assert await fetched(upstream, server.request()) == b"ok"
    assert source.taken == taken < len(source.pieces)
    assert len(server.connections) == 2


async def test_a_refusal_before_the_client_goes_on(server: Server, upstream: Upstream) -> None:
    """An answer is there at once, though the rest of the body is still waited for; then nobody waits any more."""
    server.reads_body = False

    async def answer(connection: Connection) -> None:
        await connection.reader.readexactly(4)
        await connection.send(TOO_LARGE)
        await connection.closed()

    server.answer = answer
    left = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"some"
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    async with asyncio.timeout(engines.HANG_S):
        response = await upstream.send(sending(server, pieces(), 8))
        assert (response.status, await response.read()) == (413, b"large")
        response.close()
        await left.wait()


async def test_a_success_goes_on_beside_the_body(server: Server, upstream: Upstream) -> None:
    """A reply that begins well before the body is out is relayed while the rest is taken."""
    server.reads_body = False

    async def answer(connection: Connection) -> None:
        await connection.reader.readexactly(65536)
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")
        await connection.reader.readexactly(SIZE - 65536)
        await connection.send(b"more")

    server.answer = answer
    source = Source(UPLOAD)
    async with asyncio.timeout(engines.HANG_S):
        assert await fetched(upstream, sending(server, source, SIZE)) == b"halfmore"
    assert source.taken == len(UPLOAD)


async def test_a_reply_that_ends_first_ends_the_body(server: Server, upstream: Upstream) -> None:
    """A whole success that did not wait for the body is the reply; what was not taken stays untaken."""
    server.reads_body = False

    async def answer(connection: Connection) -> None:
        await connection.reader.readexactly(65536)
        await connection.send(OK)
        await connection.closed()

    server.answer = answer
    source = Source(UPLOAD * 8)
    async with asyncio.timeout(engines.HANG_S):
        assert await fetched(upstream, sending(server, source)) == b"ok"
        await eventually(lambda: server.open == 0, "the connection was closed")
    assert source.taken < len(source.pieces)


async def test_a_caller_that_leaves_stops_the_source(server: Server, upstream: Upstream) -> None:
    """A cancelled call closes the connection and takes nothing more."""
    server.reads_body = False
    server.answer = engines.hanging()
    source = Source(UPLOAD * 8)
    task = asyncio.create_task(fetched(upstream, sending(server, source)))
    await eventually(lambda: server.requests == 1 and source.taken > 0, "the request is under way")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await eventually(lambda: server.open == 0, "the connection was closed")
    taken = source.taken
    await turns(50)
    assert source.taken == taken


async def test_waiting_for_a_piece_is_not_the_server_s_delay(server: Server, upstream: Upstream) -> None:
    """`first_byte_s` runs while the server has to take or to answer something, and begins anew with each piece."""
    server.reads_body = False
    seen: list[tuple[bytes | None, bytes | None, bytes]] = []
    server.answer = collecting(seen)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(BRIEF_S)
            yield b"a"

    request = sending(server, pieces(), timeouts=brief(first_byte_s=BRIEF_S * 0.8))
    assert await fetched(upstream, request) == b"ok"
    assert [body for _, _, body in seen] == [b"aaa"]


async def test_a_server_that_does_not_answer_is_given_up(server: Server, upstream: Upstream) -> None:
    """After the last piece the reply must begin within `first_byte_s`."""
    server.reads_body = False
    server.answer = engines.silent
    error = await refused(upstream, sending(server, Source([b"a"]), timeouts=brief(first_byte_s=BRIEF_S)))
    assert isinstance(error, ProviderTimeout)


async def test_a_server_that_does_not_read_is_given_up(server: Server, upstream: Upstream) -> None:
    """A piece that cannot be written within `first_byte_s` ends the call."""
    server.reads_body = False
    server.answer = engines.silent
    source = Source(UPLOAD * 8)
    error = await refused(upstream, sending(server, source, timeouts=brief(first_byte_s=BRIEF_S)))
    assert isinstance(error, ProviderTimeout)
    assert source.taken < len(source.pieces)


async def test_a_source_without_end_is_bounded_by_the_whole_call(server: Server, upstream: Upstream) -> None:
    """`total_s` runs while a piece is waited for too."""
    server.reads_body = False
    server.answer = engines.silent
    source = Source([b"a"])
    source.gate.clear()
    error = await refused(upstream, sending(server, source, timeouts=brief(total_s=BRIEF_S)))
    assert isinstance(error, ProviderTimeout)


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_lost_connection_is_not_repeated(server: Server, upstream: Upstream, method: str) -> None:
    """What was taken cannot be taken again, so a call whose kept connection died fails, whatever its method."""
    assert await fetched(upstream, server.request()) == b"ok"
    server.reads_body = False
    server.answer = engines.ending()
    source = Source([b"a", b"b"])
    request = UpstreamRequest(method, server.url, private_hosts=LOCAL, pieces=Pieces(source, 2))
    assert isinstance(await refused(upstream, request), ProviderFailed)
    assert server.requests == 2


async def test_nothing_is_taken_without_a_connection(upstream: Upstream) -> None:
    """A server that cannot be reached costs nothing of the body: it can still go elsewhere."""
    source = Source([b"a"])
    request = UpstreamRequest("POST", "http://127.0.0.1:9", private_hosts=LOCAL, pieces=Pieces(source))
    with contextlib.suppress(ProviderError):
        await fetched(upstream, request)
    assert source.taken == 0
