"""How replies are read: framing, interim replies, encodings, and what is refused because it is broken or cut."""

from __future__ import annotations

import asyncio
import gzip
import socket

import pytest
from core.tests import engines
from core.tests.engines import (
    BRIEF_S,
    HOST,
    LOCAL,
    OK,
    Connection,
    Server,
    answering,
    ending,
    fetched,
    h1_only,
    hanging,
    numbered,
    numbering,
    refused,
)

from headgate.errors import ProviderError, ProviderFailed
from headgate.testing import eventually
from headgate.upstream import Upstream, UpstreamRequest

server = engines.server
engine = engines.engine
loop_factory = engines.loop_factory
upstream = engines.upstream

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


# whole replies


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (HEAD + b"content-length: 0\r\n\r\n", b""),
        (HEAD + b"Content-Length:    2   \r\n\r\nok", b"ok"),
        (HEAD + b"content-length: 0002\r\n\r\nok", b"ok"),
        (CHUNKED + b"0\r\n\r\n", b""),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", b"ok"),
        (CHUNKED + b"00000002\r\nok\r\n000\r\n\r\n", b"ok"),
        (CHUNKED + b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789"),
        (CHUNKED + b'2;a=b;c="d"\r\nok\r\n0;last\r\n\r\n', b"ok"),
        (CHUNKED + b"2\r\nok\r\n0\r\nx-trailer: 1\r\nx-other: 2\r\n\r\n", b"ok"),
        (CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (HEAD + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 caf\xc3\xa9\r\ncontent-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\nx:\r\ny: \r\ncontent-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 599 Odd\r\ncontent-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\nHTTP/1.1 102 Wait\r\n\r\n" + OK, b"ok"),
    ],
)
async def test_replies_that_are_valid(server: Server, upstream: Upstream, reply: bytes, body: bytes) -> None:
    """Each framing HTTP has yields its body, and leaves a connection that the next call may use."""
    server.answer = answering(reply)
    async with asyncio.timeout(engines.HANG_S):
        assert await fetched(upstream, server.request()) == body
        server.answer = numbering()
        assert (await fetched(upstream, numbered(server, 4))).strip() == b"4"
    assert len(server.connections) == 1


@pytest.mark.parametrize(
    "reply",
    [
        HEAD + b"content-length: 10\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n",
        HEAD + b"\r\n",
    ],
    ids=["length", "chunked", "nothing"],
)
async def test_a_reply_to_head_has_no_body(server: Server, upstream: Upstream, reply: bytes) -> None:
    """What a reply to HEAD says of a body is what GET would bring: nothing is waited for (RFC 9110 section 9.3.2)."""
    server.answer = answering(reply)
    async with asyncio.timeout(engines.HANG_S):
        assert await fetched(upstream, server.request(method="HEAD", body=b"")) == b""
        server.answer = numbering()
        assert (await fetched(upstream, numbered(server, 4))).strip() == b"4"


@pytest.mark.parametrize("behind", [b"evil", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"])
@pytest.mark.parametrize("head", [b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 204 No\r\ncontent-length: 4\r\n\r\n"])
async def test_a_body_that_must_not_be(server: Server, upstream: Upstream, head: bytes, behind: bytes) -> None:
    """A 204 has no body whatever it says, and bytes that follow are nobody's (RFC 9112 section 6.3)."""
    server.answer = answering(head + behind)
    try:
        async with asyncio.timeout(engines.HANG_S):
            assert await fetched(upstream, server.request()) == b""
    except ProviderFailed:
        pass
    server.answer = numbering()
    async with asyncio.timeout(engines.HANG_S):
        assert (await fetched(upstream, numbered(server, 4))).strip() == b"4"


@pytest.mark.parametrize("head", [b"HTTP/1.1 304 Same\r\ncontent-length: 10\r\n\r\n", b"HTTP/1.1 304 Same\r\n\r\n"])
async def test_a_reply_nobody_asked_a_condition_for(server: Server, upstream: Upstream, head: bytes) -> None:
    """A 304 is no reply to a call without a condition: refused at once, like every 3xx."""
    server.answer = answering(head)
    assert (await refused(upstream, server.request())).error_code == "upstream_redirect"


async def test_a_body_until_close_is_whole(server: Server, upstream: Upstream) -> None:
    """Without a length the end of the connection is the end of the body (RFC 9112 section 6.3)."""
    server.answer = ending(b"HTTP/1.1 200 OK\r\n\r\n", b"all", b" of it")
    assert await fetched(upstream, server.request()) == b"all of it"


async def test_a_body_until_half_close_is_whole(server: Server, upstream: Upstream) -> None:
    """A server that ends only its own direction has ended the body, and the engine closes the other."""

    async def answer(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        connection.writer.write_eof()
        await connection.closed()

    server.answer = answer
    assert await fetched(upstream, server.request()) == b"all of it"
    await eventually(lambda: server.open == 0, "the engine closed its side")


async def test_headers_are_the_reply_s_own(server: Server, upstream: Upstream) -> None:
    """Names in lower case, values as they came, repeated ones kept in order; no interim reply's and no trailer's."""
    server.answer = answering(
        b"HTTP/1.1 103 Hints\r\nx-hint: 1\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-B:  two words \r\nX-a: 3\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\nx-late: 1\r\n\r\n"
    )
    response = await upstream.send(server.request())
    assert await response.read() == b"ok"
    given = [pair for pair in response.headers if pair[0] != b"transfer-encoding"]
    assert given == [(b"x-a", b"1"), (b"x-b", b"two words"), (b"x-a", b"3")]


async def test_error_statuses_are_replies(server: Server, upstream: Upstream) -> None:
    """A 4xx or 5xx with a body is what the provider says, not an exception."""
    server.answer = answering(b"HTTP/1.1 429 Slow\r\nretry-after: 3\r\ncontent-length: 4\r\n\r\nslow")
    response = await upstream.send(server.request())
    assert (response.status, dict(response.headers)[b"retry-after"], await response.read()) == (429, b"3", b"slow")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_redirects_are_refused(server: Server, upstream: Upstream, status: int) -> None:
    """No redirect is followed, wherever it leads, and its body is not shown."""
    head = f"HTTP/1.1 {status} Moved\r\nlocation: {server.url}/elsewhere\r\ncontent-length: 0\r\n\r\n"
    server.answer = answering(head.encode())
    error = await refused(upstream, server.request())
    assert (error.error_code, server.requests) == ("upstream_redirect", 1)


async def test_pieces_come_as_they_arrive(server: Server, upstream: Upstream) -> None:
    """`chunks` yields what is there and does not wait for more."""
    going_on = asyncio.Event()

    async def answer(connection: Connection) -> None:
        await connection.send(CHUNKED + b"3\r\none\r\n")
        await going_on.wait()
        await connection.send(b"3\r\ntwo\r\n0\r\n\r\n")

    server.answer = answer
    response = await upstream.send(server.request())
    got: list[bytes] = []
    async for piece in response.chunks():
        got.append(piece)
        going_on.set()
    assert got == [b"one", b"two"]


# broken replies


@pytest.mark.parametrize(
    "pieces",
    [
        (b"",),
        (b"HTTP/1.1 200 OK\r\n",),
        (b"garbage\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000 + b"\r\n",),
        (b"HTTP/1.1 200 OK\r\nx-long: " + b"y" * 1_000_000 + b"\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhalf\r\n",),
        (b"HTTP/1.1 100 Continue\r\n\r\n",),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",),
        (HEAD + b"content-length: -1\r\n\r\n",),
        (HEAD + b"content-length: +2\r\n\r\nok",),
        (HEAD + b"content-length: 2, 3\r\n\r\nok",),
        (HEAD + b"content-length: 99999999999999999999999\r\n\r\nok",),
        (HEAD + b"content-length: 0x2\r\n\r\nok",),
        (HEAD + b"x\x00y: 1\r\ncontent-length: 2\r\n\r\nok",),
        (HEAD + b"x y: 1\r\ncontent-length: 2\r\n\r\nok",),
        (b"HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nok",),
        (b"ICY 200 OK\r\ncontent-length: 2\r\n\r\nok",),
        (b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nok",),
    ],
)
async def test_a_broken_head_is_the_providers_failure(
    server: Server, upstream: Upstream, pieces: tuple[bytes, ...]
) -> None:
    """No reply, half of one, or one that is no HTTP: ProviderFailed, with words and without the address."""
    server.answer = ending(*pieces)
    error = await refused(upstream, server.request("/secret-path"))
    assert isinstance(error, ProviderFailed)
    assert error.message
    assert "secret-path" not in error.message
    await eventually(lambda: server.open == 0, "the connection was closed")


@h1_only
@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"3.0"])
async def test_another_version_is_refused(server: Server, upstream: Upstream, version: bytes) -> None:
    """A reply in a version that was not spoken is no reply; aiohttp takes it for HTTP/1."""
    server.answer = ending(b"HTTP/" + version + b" 200 OK\r\ncontent-length: 2\r\n\r\nok")
    assert isinstance(await refused(upstream, server.request()), ProviderFailed)


@h1_only
@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 12\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"transfer-encoding: gzip\r\n\r\nok",
        b"transfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"transfer-encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"transfer-encoding: identity\r\ncontent-length: 2\r\n\r\nok",
        b"transfer-encoding: xchunked\r\ncontent-length: 2\r\n\r\nok",
        b"transfer-encoding: chunked;a\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"content-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"content-length : 2\r\n\r\nok",
        b"x: y\r\n content-length: 5\r\ncontent-length: 2\r\n\r\nok",
        b"x: y\ncontent-length: 5\r\ncontent-length: 2\r\n\r\nok",
        b"x: y\rcontent-length: 5\r\ncontent-length: 2\r\n\r\nok",
        b"transfer-encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n2\r\nokx\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n",
    ],
)
async def test_framing_that_may_be_read_two_ways_is_refused(server: Server, upstream: Upstream, head: bytes) -> None:
    """Nothing is guessed where two readers could disagree on the end of a reply (RFC 9112 section 11.1).

    aiohttp accepts several of these: it reads replies leniently.
    """
    server.answer = ending(HEAD + head)
    assert isinstance(await refused(upstream, server.request()), ProviderFailed)
    await eventually(lambda: server.open == 0, "the connection was closed")


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"content-length: 2\r\ncontent-length: 20\r\n\r\nok",
        b"content-length: 20\r\ncontent-length: 2\r\n\r\nok",
        b"content-length: 2, 20\r\n\r\nok",
    ],
)
async def test_ambiguous_framing_poisons_nothing(server: Server, upstream: Upstream, head: bytes) -> None:
    """A reply with two framings is refused, or its connection is not used again: what is behind it reaches nobody."""
    server.answer = answering(HEAD + head + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
    try:
        body = await fetched(upstream, server.request(timeouts=engines.brief(gap_s=BRIEF_S)))
        assert body in {b"ok", b"2\r"}
    except ProviderError:
        pass
    server.answer = numbering()
    assert (await fetched(upstream, numbered(server, 4))).strip() == b"4"
    assert len(server.connections) == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nha",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nx: y\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
    ids=["length", "chunks", "chunk", "end", "trailer", "length, nothing", "chunks, nothing"],
)
@pytest.mark.parametrize("how", ["close", "half-close", "reset"])
async def test_a_cut_body_is_never_whole(server: Server, upstream: Upstream, reply: bytes, how: str) -> None:
    """A body that ends before its length or its last chunk is an error, read whole or in pieces."""

    async def answer(connection: Connection) -> None:
        await connection.send(reply)
        if how == "half-close":
            connection.writer.write_eof()
            await connection.closed()
        if how == "reset":
            await asyncio.sleep(0.01)
            connection.writer.transport.abort()
        connection.writer.close()

    server.answer = answer
    error = await refused(upstream, server.request())
    assert error.error_code == "upstream_cut"
    response = await upstream.send(server.request())
    got: list[bytes] = []

    async def read() -> None:
        async for piece in response.chunks():
            got.append(piece)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(ProviderFailed):
        await read()
    response.close()
    assert b"half".startswith(b"".join(got))


async def test_a_reset_is_a_failure(server: Server, upstream: Upstream) -> None:
    """A connection reset before the head, or within a body that only its end would delimit."""

    async def reset(connection: Connection) -> None:
        connection.writer.transport.abort()

    server.answer = reset
    assert isinstance(await refused(upstream, server.request()), ProviderFailed)

    async def reset_late(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await asyncio.sleep(0.01)
        connection.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0"
        )
        connection.writer.transport.abort()

    server.answer = reset_late
    assert (await refused(upstream, server.request())).error_code == "upstream_cut"


async def test_reading_on_after_an_error_is_an_error(server: Server, upstream: Upstream) -> None:
    """A cut reply never turns into a whole one when it is read again."""
    server.answer = ending(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    response = await upstream.send(server.request())
    for _ in range(2):
        with pytest.raises(ProviderFailed):
            await response.read()
    response.close()


async def test_nobody_listens(upstream: Upstream) -> None:
    """A refused connection is a failure that says so."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        url = f"http://{HOST}:{held.getsockname()[1]}"
        error = await refused(upstream, UpstreamRequest("POST", url, private_hosts=LOCAL))
    assert error.message == "`127.0.0.1` could not be reached: connection refused"


async def test_a_server_of_another_kind(upstream: Upstream, server: Server) -> None:
    """A server that speaks first, and no HTTP, is refused with words."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read(65536)
        writer.close()

    listening = await asyncio.start_server(greet, HOST, 0)
    url = f"http://{HOST}:{listening.sockets[0].getsockname()[1]}"
    error = await refused(upstream, UpstreamRequest("POST", url, private_hosts=LOCAL))
    assert "could not be reached" in error.message
    listening.close()


# encodings


@pytest.mark.parametrize(
    ("head", "body", "code"),
    [
        ("content-encoding: gzip", gzip.compress(b"hello"), ""),
        ("content-encoding: gzip", gzip.compress(b"hello")[:-4], "upstream_bad_encoding"),
        ("content-encoding: gzip", b"hello", "upstream_bad_encoding"),
        ("content-encoding: gzip", gzip.compress(bytes(40_000_000), 9), "upstream_bomb"),
        ("content-encoding: br", b"hello", "upstream_bad_encoding"),
        ("content-encoding: gzip, gzip", gzip.compress(gzip.compress(b"hello")), "upstream_bad_encoding"),
        ("content-encoding: gzip\r\ncontent-encoding: gzip", gzip.compress(b"hello"), "upstream_bad_encoding"),
    ],
    ids=["good", "cut", "false", "bomb", "unasked", "twice", "two headers"],
)
async def test_encoded_bodies(server: Server, upstream: Upstream, head: str, body: bytes, code: str) -> None:
    """An encoding is undone within bounds, or refused; never passed on, never half."""
    server.answer = answering(f"HTTP/1.1 200 OK\r\n{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    if not code:
        assert await fetched(upstream, server.request()) == b"hello"
        response = await upstream.send(server.request())
        assert b"".join([piece async for piece in response.chunks()]) == b"hello"
        return
    assert (await refused(upstream, server.request())).error_code == code


async def test_a_refused_encoding_gives_the_connection_up(server: Server, upstream: Upstream) -> None:
    """A reply refused for its encoding is not left half read in the pool."""
    server.answer = hanging(b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 9\r\n\r\nhalf")
    assert (await refused(upstream, server.request())).error_code == "upstream_bad_encoding"
    await eventually(lambda: server.open == 0, "the connection was closed")
