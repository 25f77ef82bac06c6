"""What a server says of how long it keeps a connection, and connections that could be kept but are lost by mistake."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
from core.tests import engines
from core.tests.engines import (
    HOST,
    Authority,
    Connection,
    Server,
    answering,
    fetched,
    h1_only,
    resolve_to,
    serving,
)

from headgate.testing import eventually
from headgate.upstream import Tls, Upstream

server = engines.server
engine = engines.engine
loop_factory = engines.loop_factory
upstream = engines.upstream
authority = engines.authority


def saying(*lines: bytes) -> engines.Answer:
    """A reply of two bytes with these header lines."""
    return answering(b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"content-length: 2", b"", b"ok")))


@h1_only
@pytest.mark.parametrize(
    ("said", "connections"),
    [
        (b"timeout=60", 1),
        (b"timeout=5, max=100", 1),
        (b"timeout=2", 1),
        (b"timeout=1", 3),
        (b"timeout=0", 3),
        (b"Timeout=1,max=100", 3),
        (b'timeout="1"', 3),
        (b"max=100 , timeout = 1", 3),
        (b"max=1", 3),
        (b"max=0", 3),
        (b"timeout=5, max=2", 2),
        (b"timeout=", 1),
        (b"timeout=-1", 1),
        (b"timeout=" + b"9" * 5000, 1),
        (b"soon, x=1, =, ,", 1),
        (b"\xff\xfe", 1),
    ],
)
async def test_a_server_says_how_long_it_keeps(
    server: Server, upstream: Upstream, said: bytes, connections: int
) -> None:
    """`keep-alive: timeout=N, max=M`: nothing is sent in the last second, nor past M calls; the rest of it is passed over."""
    server.answer = saying(b"Keep-Alive: " + said)
    for _ in range(3):
        assert await fetched(upstream, server.request()) == b"ok"
    assert len(server.connections) == connections
    await eventually(lambda: server.open == int(connections < 3), "what is not kept was closed")


@h1_only
async def test_the_last_second_is_not_used(server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection kept for two seconds is used for one: a request in the last could cross the server's end."""
    server.answer = saying(b"keep-alive: timeout=2")
    for expected, wait_s in ((1, 0.1), (1, 1.02), (2, 0.0)):
        assert await fetched(upstream, server.request()) == b"ok"
        assert len(server.connections) == expected
        await asyncio.sleep(wait_s)
    await eventually(lambda: server.open == 1, "the first connection was closed")


@pytest.mark.parametrize(
    ("lines", "connections"),
    [
        ((b"connection: CLOSE",), 3),
        ((b"Connection: keep-alive, Close",), 3),
        ((b"connection: close , x",), 3),
        ((b"connection: x,close\t",), 3),
        ((b"connection: x", b"connection: close"), 3),
        ((b"connection: keep-alive", b"connection: close"), 3),
        ((b"connection: close", b"connection: keep-alive"), 3),
        ((b"connection: closed",), 1),
        ((b"connection: x-close",), 1),
        ((b"connection: close-notify, x",), 1),
        ((b"x-connection: close",), 1),
    ],
)
async def test_close_in_any_spelling(
    server: Server, upstream: Upstream, lines: tuple[bytes, ...], connections: int
) -> None:
    """`close` is a word in a list, in any case; a word that contains it is another (RFC 9110 section 7.6.1)."""
    server.answer = saying(*lines)
    for _ in range(3):
        assert await fetched(upstream, server.request()) == b"ok"
    assert len(server.connections) == connections


# TLS


@pytest.fixture
async def secure(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """A server over TLS 1.3."""
    resolve_to(monkeypatch, HOST)
    context = authority.server()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 8
    async with serving(context) as held:
        yield held


async def test_session_tickets_cost_no_connection(secure: Server, upstream: Upstream, authority: Authority) -> None:
    """TLS 1.3 servers send session tickets after the handshake: they are no stray data."""
    for _ in range(20):
        assert await fetched(upstream, secure.named(tls=Tls(ca_file=authority.file))) == b"ok"
    assert len(secure.connections) == 1


@pytest.mark.parametrize("framing", [b"content-length: 150000\r\n", b""], ids=["length", "close"])
@pytest.mark.parametrize("size", [40_000, 150_000])
async def test_an_end_behind_unread_data_waits(
    secure: Server, upstream: Upstream, authority: Authority, framing: bytes, size: int
) -> None:
    """A TLS server that has said all and closed loses nothing of it, however late the reader comes."""
    body = bytes(range(250)) * (size // 250)

    async def answer(connection: Connection) -> None:
        head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + framing.replace(b"150000", b"%d" % size)
        await connection.send(head + b"\r\n" + body[:35_000])
        await asyncio.sleep(0.03)
        await connection.send(body[35_000:])
        sock = connection.writer.get_extra_info("socket")
        with socket.socket(fileno=os.dup(sock.fileno())) as below:
            connection.writer.close()  # says close_notify
            await asyncio.sleep(0.03)
            below.shutdown(socket.SHUT_WR)  # and does not wait for ours

    secure.answer = answer
    response = await upstream.send(secure.named(tls=Tls(ca_file=authority.file)))
    await asyncio.sleep(0.1)
    assert await response.read() == body


@pytest.mark.parametrize("size", [10_000_000])
async def test_a_slow_reader_of_tls(secure: Server, upstream: Upstream, authority: Authority, size: int) -> None:
    """Stopping and going on again and again loses nothing either."""
    body = bytes(range(250)) * (size // 250)

    async def answer(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        for at in range(0, size, 100_000):
            await connection.send(body[at : at + 100_000])
        connection.writer.close()

    secure.answer = answer
    response = await upstream.send(secure.named(tls=Tls(ca_file=authority.file)))
    got: list[bytes] = []
    async for piece in response.chunks():
        got.append(piece)
        if len(got) % 20 == 0:
            await asyncio.sleep(0.002)
    assert b"".join(got) == body
