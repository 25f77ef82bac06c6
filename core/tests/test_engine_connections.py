"""Keeping connections: which are used again, which are not, and what happens when a server closes one at a bad moment.

The rule for a lost connection (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1): an end that could be seen before the request
was written costs nothing, another connection is used; a POST that was written, or written in part, is never sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections import Counter

import pytest
from core.tests import engines
from core.tests.engines import (
    BRIEF_S,
    HOST,
    LOCAL,
    OK,
    Connection,
    Engine,
    Server,
    answering,
    ending,
    fetched,
    h1_only,
    hanging,
    limit,
    numbered,
    refused,
    turns,
    watch_connecting,
)

from headgate.errors import ProviderError, ProviderFailed
from headgate.testing import eventually
from headgate.upstream import Upstream, UpstreamRequest

server = engines.server
engine = engines.engine
loop_factory = engines.loop_factory
upstream = engines.upstream


async def test_a_connection_is_used_again(server: Server, upstream: Upstream) -> None:
    """Replies read to their end leave a connection that the next call takes."""
    for _ in range(5):
        assert await fetched(upstream, server.request()) == b"ok"
    assert (len(server.connections), server.requests) == (1, 5)


CHUNKED = b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "connections"),
    [
        (OK, 1),
        (b"HTTP/1.1 200 OK\r\n" + CHUNKED, 1),
        (b"HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n" + CHUNKED, 1),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", 1),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", 3),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n" + CHUNKED, 3),
        (b"HTTP/1.1 200 OK\r\nconnection: foo, close\r\ncontent-length: 2\r\n\r\nok", 3),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 3),
    ],
    ids=["length", "chunks", "keep-alive", "1.0 kept", "close", "chunks, close", "close in a list", "1.0"],
)
async def test_what_a_reply_says_of_its_connection(
    server: Server, upstream: Upstream, reply: bytes, connections: int
) -> None:
    """HTTP/1.1 is kept unless it says `close`; HTTP/1.0 only if it says `keep-alive` (RFC 9112 section 9.3)."""
    server.answer = answering(reply)
    for _ in range(3):
        assert await fetched(upstream, server.request()) == b"ok"
    assert len(server.connections) == connections


async def test_a_connection_that_must_close_is_closed(server: Server, upstream: Upstream) -> None:
    """After `connection: close` the engine closes too, without waiting for the server."""
    server.answer = answering(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
    assert await fetched(upstream, server.request()) == b"ok"
    await eventually(lambda: server.open == 0, "the connection was closed")


async def test_calls_at_once_use_connections_of_their_own(server: Server, upstream: Upstream) -> None:
    """Nothing waits for a slot; and calls that come later find the connections again."""
    together = asyncio.Barrier(100)

    async def answer(connection: Connection) -> None:
        await together.wait()
        await connection.send(OK)

    server.answer = answer
    for _ in range(2):
        replies = await asyncio.gather(*(fetched(upstream, server.request()) for _ in range(100)))
        assert set(replies) == {b"ok"}
    assert len(server.connections) == 100


@h1_only
async def test_idle_connections_are_bounded(
    server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than `MAX_IDLE` wait for one origin, the rest are closed; aiohttp has no such bound."""
    limit(monkeypatch, "MAX_IDLE", 3)
    together = asyncio.Barrier(10)

    async def answer(connection: Connection) -> None:
        await together.wait()
        await connection.send(OK)

    server.answer = answer
    await asyncio.gather(*(fetched(upstream, server.request()) for _ in range(10)))
    await eventually(lambda: server.open <= 3, "the rest were closed")
    await turns()
    assert server.open == 3


async def test_an_idle_connection_is_closed_in_time(
    engine: Engine, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody uses for `IDLE_S` is closed by the engine."""
    limit(monkeypatch, "IDLE_S", 0.05)
    if engine.__name__ == "H1Upstream":
        limit(monkeypatch, "_SWEEP_S", 0.02)
    upstream = engine()
    await fetched(upstream, server.request())
    assert server.open == 1
    await eventually(lambda: server.open == 0, "the idle connection was closed")
    assert await fetched(upstream, server.request()) == b"ok"
    await upstream.close()


async def test_small_writes_are_not_held_back(
    server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TCP_NODELAY is set on every connection."""
    begun = watch_connecting(monkeypatch)
    await fetched(upstream, server.request())
    assert [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in begun] == [1]


async def test_private_hosts_do_not_share_connections(server: Server, upstream: Upstream) -> None:
    """A connection that one deployment may have is not lent to a call that may not reach that address."""
    assert await fetched(upstream, server.request()) == b"ok"
    error = await refused(upstream, UpstreamRequest("POST", server.url))
    assert error.error_code == "upstream_denied"
    assert server.requests == 1


async def test_closing_closes_everything(engine: Engine, server: Server) -> None:
    """After `close` no connection is left, idle or in use."""
    upstream = engine()
    await fetched(upstream, server.request())
    server.answer = hanging(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
    response = await upstream.send(server.request())
    await upstream.close()
    response.close()
    await eventually(lambda: server.open == 0, "every connection was closed")


@h1_only
@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200 OK\r\n\r\nhalf",)], ids=["head", "body"])
async def test_closing_ends_the_calls_under_way(engine: Engine, server: Server, pieces: tuple[bytes, ...]) -> None:
    """Whoever still waits when the engine closes gets an error: no hang, and no half body that looks whole.

    aiohttp leaves a call waiting for its head for ever, and ends a body without a length as if it were whole.
    """
    upstream = engine()
    server.answer = hanging(*pieces)
    waiting = asyncio.create_task(fetched(upstream, server.request()))
    await eventually(lambda: server.requests == 1, "the call is under way")
    await turns()
    await upstream.close()
    with pytest.raises(ProviderError):
        async with asyncio.timeout(engines.HANG_S):
            await waiting
    await eventually(lambda: server.open == 0, "the connection was closed")


# a server that closes


async def test_a_stale_connection_is_replaced(server: Server, upstream: Upstream) -> None:
    """A server that has closed an idle connection is called over a new one."""
    server.answer = ending(OK)
    for number in range(1, 4):
        assert await fetched(upstream, server.request()) == b"ok"
        await eventually(lambda: server.open == 0, "the server closed")
        await asyncio.sleep(0.01)
        assert len(server.connections) == number


@pytest.mark.parametrize("how", ["half-close", "reset"])
async def test_an_end_while_idle_is_seen(server: Server, upstream: Upstream, how: str) -> None:
    """The end of an idle connection, or half of it, takes it out of the pool, and the engine closes its side."""

    async def answer(connection: Connection) -> None:
        await connection.send(OK)
        if how == "reset":
            await asyncio.sleep(0.01)
            connection.writer.transport.abort()
        else:
            connection.writer.write_eof()
            await connection.closed()

    server.answer = answer
    for _ in range(3):
        assert await fetched(upstream, server.request()) == b"ok"
        await eventually(lambda: server.open == 0, "the engine closed its side")
        await turns()
    assert len(server.connections) == 3


class Direct:
    """A server whose end of the connection is a blocking socket, so that the test acts without the loop taking a turn."""

    def __init__(self) -> None:
        self.listening = socket.create_server((HOST, 0))
        self.listening.setblocking(False)
        self.held: list[socket.socket] = []

    def request(self, body: bytes = b"{}") -> UpstreamRequest:
        url = f"http://{HOST}:{self.listening.getsockname()[1]}"
        return UpstreamRequest("POST", url, body=body, private_hosts=LOCAL)

    async def serve(self, upstream: Upstream) -> socket.socket:
        """Answer one call on a new connection; returns the server's end of it, idle now."""
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(fetched(upstream, self.request()))
        sock, _ = await loop.sock_accept(self.listening)
        self.held.append(sock)
        await loop.sock_recv(sock, 65536)
        sock.sendall(OK)
        assert await task == b"ok"
        return sock

    def close(self) -> None:
        for sock in (self.listening, *self.held):
            sock.close()


@h1_only
@pytest.mark.parametrize("how", ["close", "reset", "half-close", "408", "garbage", "reply", "byte"])
async def test_what_came_while_idle_is_seen_before_writing(upstream: Upstream, how: str) -> None:
    """An idle connection with anything to read, even if the loop has not looked yet, is not used: the POST is safe.

    aiohttp writes first: it takes bytes that lay there for the reply, and loses the POST to an end that had come.
    """
    direct = Direct()
    try:
        sock = await direct.serve(upstream)
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        if how in {"close", "reset"}:
            sock.close()
        elif how == "half-close":
            sock.shutdown(socket.SHUT_WR)
        else:
            stray = {"408": b"HTTP/1.1 408 Idle\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "byte": b"\n"}
            sock.sendall(
                stray.get(how, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil" if how == "reply" else b"xx")
            )
        async with asyncio.timeout(engines.HANG_S):
            await direct.serve(upstream)
        if sock.fileno() >= 0:
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(65536) == b""
    finally:
        direct.close()


@h1_only
@pytest.mark.parametrize("stray", [b"HTTP/1.1 408 Idle\r\nconnection: close\r\n\r\n", b"garbage", b"\0", OK * 3])
async def test_data_on_an_idle_connection_drops_it(server: Server, upstream: Upstream, stray: bytes) -> None:
    """Bytes nobody asked for are nobody's reply: the connection is closed, and the next call has its own.

    aiohttp keeps such bytes and hands them to the next call.
    """
    sent = asyncio.Event()

    async def answer(connection: Connection) -> None:
        await connection.send(OK)
        if connection is server.connections[0]:
            await asyncio.sleep(0.02)
            await connection.send(stray)
            sent.set()

    server.answer = answer
    assert await fetched(upstream, server.request()) == b"ok"
    await sent.wait()
    await turns()
    server.answer = engines.numbering()
    assert (await fetched(upstream, numbered(server, 7))).strip() == b"7"
    assert len(server.connections) == 2
    await eventually(lambda: server.open == 1, "the first connection was closed")


@pytest.mark.parametrize("behind", [b"x", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"\0" * 70])
async def test_data_behind_a_reply_drops_the_connection(server: Server, upstream: Upstream, behind: bytes) -> None:
    """More bytes than the reply has, in the same packet: the next call has a new connection and its own reply."""
    server.answer = answering(OK + behind)
    with contextlib.suppress(ProviderFailed):
        assert await fetched(upstream, server.request()) == b"ok"
    server.answer = engines.numbering()
    assert (await fetched(upstream, numbered(server, 7))).strip() == b"7"
    assert len(server.connections) == 2


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("used", [0, 1], ids=["new", "reused"])
async def test_a_post_that_was_written_is_never_sent_again(
    server: Server, upstream: Upstream, how: str, used: int
) -> None:
    """A server that took the whole request and closed without a byte may have acted on it: the call fails."""
    for _ in range(used):
        assert await fetched(upstream, server.request()) == b"ok"

    async def answer(connection: Connection) -> None:
        if how == "reset":
            connection.writer.transport.abort()
        connection.writer.close()

    server.answer = answer
    error = await refused(upstream, server.request())
    assert isinstance(error, ProviderFailed)
    assert "could not be reached" in error.message
    await turns()
    assert (server.requests, len(server.connections)) == (used + 1, 1)


@pytest.mark.parametrize("used", [0, 1], ids=["new", "reused"])
@pytest.mark.parametrize("how", ["close", "reset", "half-close, close"])
async def test_a_post_that_was_begun_is_never_sent_again(
    server: Server, upstream: Upstream, how: str, used: int
) -> None:
    """A server that saw the head of a large request and went away may have acted on it."""
    for _ in range(used):
        assert await fetched(upstream, server.request()) == b"ok"
    server.reads_body = False

    async def answer(connection: Connection) -> None:
        await connection.reader.readexactly(65536)
        if how == "half-close, close":
            connection.writer.write_eof()
        if how != "close":
            connection.writer.transport.abort()
        connection.writer.close()

    server.answer = answer
    assert isinstance(await refused(upstream, server.request(body=bytes(8 * 1024 * 1024))), ProviderFailed)
    await turns()
    assert (server.requests, len(server.connections)) == (used + 1, 1)


@pytest.mark.parametrize("used", [0, 1], ids=["new", "reused"])
@pytest.mark.parametrize("how", ["close", "reset", "half-close, close"])
async def test_a_large_post_and_an_end_in_one_moment(upstream: Upstream, how: str, used: int) -> None:
    """As before, with the end complete before the loop looks again: however it shows, the request is not sent again."""
    direct = Direct()
    loop = asyncio.get_running_loop()
    try:
        sock = await direct.serve(upstream) if used else None
        task = asyncio.create_task(refused(upstream, direct.request(bytes(8 * 1024 * 1024))))
        if sock is None:
            sock, _ = await loop.sock_accept(direct.listening)
            sock.setblocking(False)
        assert await loop.sock_recv(sock, 65536)
        if how == "half-close, close":
            sock.shutdown(socket.SHUT_WR)
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        sock.close()
        assert isinstance(await task, ProviderFailed)
        with pytest.raises(BlockingIOError):
            direct.listening.accept()
    finally:
        direct.close()


async def test_no_request_is_seen_twice(server: Server, upstream: Upstream) -> None:
    """A server that closes at random moments sees no request a second time, and every reply is its own call's."""
    rng = random.Random(21)
    seen: Counter[bytes] = Counter()
    loop = asyncio.get_running_loop()
    number_back = engines.numbering()

    async def answer(connection: Connection) -> None:
        seen[connection.header(b"x-number") or b""] += 1
        writer = connection.writer
        if rng.random() < 0.3:
            loop.call_later(rng.random() * 0.004, writer.transport.abort if rng.random() < 0.5 else writer.close)
        if rng.random() < 0.3:
            await asyncio.sleep(rng.random() * 0.002)
        await number_back(connection)

    server.answer = answer
    outcomes: Counter[str] = Counter()

    async def work(first: int) -> None:
        for number in range(first, first + 50):
            try:
                assert int(await fetched(upstream, numbered(server, number))) == number
                outcomes["answered"] += 1
                assert seen[str(number).encode()] == 1
            except ProviderFailed:
                outcomes["failed"] += 1
            await asyncio.sleep(rng.random() * 0.002)

    async with asyncio.timeout(engines.HANG_S):
        await asyncio.gather(*(work(number * 50) for number in range(20)))
    assert max(seen.values()) == 1
    assert outcomes["answered"] > 500
    assert outcomes.total() == 1000


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_the_idle_end_and_the_next_call_meet(server: Server, upstream: Upstream, body: bytes) -> None:
    """A server that closes idle connections just when the next call comes: each call is answered or fails, in time."""
    rng = random.Random(22)

    async def answer(connection: Connection) -> None:
        await connection.send(OK)
        await asyncio.sleep(rng.random() * 0.002)
        connection.writer.close()

    server.answer = answer
    failed = 0
    for _ in range(100):
        try:
            async with asyncio.timeout(engines.HANG_S):
                assert await fetched(upstream, server.request(body=body)) == b"ok"
        except ProviderFailed:
            failed += 1
        await asyncio.sleep(rng.random() * 0.002)
    assert failed < 60
    assert server.requests <= 100


async def test_a_call_after_a_failure_starts_afresh(server: Server, upstream: Upstream) -> None:
    """A failure of any kind leaves nothing behind that a later call could meet."""
    for broken in (b"", b"HTTP/1.1 2", b"x" * 100, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nha"):
        server.answer = ending(broken)
        await refused(upstream, server.request(timeouts=engines.brief(gap_s=BRIEF_S)))
        server.answer = engines.numbering()
        assert (await fetched(upstream, numbered(server, 5))).strip() == b"5"


@h1_only
async def test_a_lost_call_is_repeated_once(server: Server, upstream: Upstream) -> None:
    """Of many idle connections that all die when they are used, one is tried, and then a new one.

    aiohttp goes on through its pool.
    """
    together = asyncio.Barrier(3)

    async def answer(connection: Connection) -> None:
        if connection.served > 1:
            connection.writer.close()
            return
        if len(server.connections) <= 3:
            await together.wait()
        await connection.send(OK)

    server.answer = answer
    await asyncio.gather(*(fetched(upstream, server.request()) for _ in range(3)))
    assert await fetched(upstream, UpstreamRequest("GET", server.url, private_hosts=LOCAL)) == b"ok"
    assert (len(server.connections), server.requests) == (4, 5)
