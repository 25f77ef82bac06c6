"""What an engine sends, how it waits for a slow server, and what it does when the answer comes before the request is out."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tracemalloc

import pytest
from core.tests import engines
from core.tests.engines import BRIEF_S, LOCAL, OK, Connection, Server, fetched, h1_only, header_pairs, refused, turns

from headgate.errors import ProviderError, ProviderTimeout
from headgate.secret import Secret
from headgate.testing import eventually
from headgate.upstream import Credential, Timeouts, Upstream, UpstreamRequest

server = engines.server
engine = engines.engine
loop_factory = engines.loop_factory
upstream = engines.upstream

UPLOAD = random.Random(8).randbytes(1024 * 1024) * 8
TOO_LARGE = b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge"


async def test_what_is_sent_is_what_was_given(server: Server, upstream: Upstream) -> None:
    """Method, path, query, headers and body reach the server; nothing is added but what HTTP needs."""
    seen: list[bytes] = []

    async def answer(connection: Connection) -> None:
        seen.append(connection.head + connection.body)
        await connection.send(OK)

    server.answer = answer
    pairs = header_pairs(("x-one", "1"), ("content-type", "text/x"))
    request = server.request("/v1/a%2Fb?q=%20x&y=%C3%A9", headers=pairs)
    assert await fetched(upstream, request) == b"ok"
    head, _, body = seen[0].partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert first == b"POST /v1/a%2Fb?q=%20x&y=%C3%A9 HTTP/1.1"
    assert sorted(line.lower() for line in lines) == sorted(
        [
            b"host: " + server.url[7:].encode(),
            b"x-one: 1",
            b"content-type: text/x",
            b"accept-encoding: identity",
            b"content-length: 2",
        ]
    )
    assert body == b"{}"


@pytest.mark.parametrize(
    ("rest", "target"),
    [
        ("", b"/"),
        ("/", b"/"),
        ("?a=b", b"/?a=b"),
        ("/a?b#c", b"/a?b"),
        ("/a/../b/./c", b"/a/../b/./c"),
        ("//a", b"//a"),
        ("/%7euser", b"/%7euser"),
        ("/a?b=c;d&e=%2B+", b"/a?b=c;d&e=%2B+"),
    ],
)
async def test_the_target_is_the_url_s(server: Server, upstream: Upstream, rest: str, target: bytes) -> None:
    """Path and query go out as they were written, without the fragment; an empty path is `/`."""
    seen: list[bytes] = []

    async def answer(connection: Connection) -> None:
        seen.append(connection.head.split(b" ")[1])
        await connection.send(OK)

    server.answer = answer
    await fetched(upstream, server.request(rest))
    assert seen == [target]


@pytest.mark.parametrize("rest", ["/a b", "/a\r\nx-evil: 1", "/a\nb", "/\x00", "/a\tb"])
async def test_a_target_cannot_add_headers(server: Server, upstream: Upstream, rest: str) -> None:
    """A space, tab, line break or NUL in a URL never reaches the wire as it is."""
    seen: list[bytes] = []

    async def answer(connection: Connection) -> None:
        seen.append(connection.head)
        await connection.send(OK)

    server.answer = answer
    with contextlib.suppress(ProviderError):
        await fetched(upstream, server.request(rest))
    for head in seen:
        assert len(head.split(b"\r\n")[0].split(b" ")) == 3
        assert b"\r\nx-evil" not in head
        assert b"\x00" not in head


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * 1024 * 1024])
async def test_a_body_of_any_size_is_sent(server: Server, upstream: Upstream, size: int) -> None:
    """Empty, small and large bodies arrive whole."""
    seen: list[bytes] = []

    async def answer(connection: Connection) -> None:
        seen.append(connection.body)
        await connection.send(OK)

    server.answer = answer
    body = random.Random(3).randbytes(size)
    await fetched(upstream, UpstreamRequest("POST", server.url, body=body, private_hosts=LOCAL))
    assert seen == [body]


@pytest.mark.parametrize(("method", "length"), [("GET", None), ("HEAD", None), ("POST", b"0"), ("PUT", b"0")])
async def test_an_empty_body_says_so(server: Server, upstream: Upstream, method: str, length: bytes | None) -> None:
    """A method that has a body sends `content-length: 0` without one (RFC 9110 section 8.6); GET and HEAD send none."""
    seen: list[bytes | None] = []

    async def answer(connection: Connection) -> None:
        seen.append(connection.header(b"content-length"))
        await connection.send(b"HTTP/1.1 204 No\r\n\r\n")

    server.answer = answer
    await fetched(upstream, server.request(method=method, body=b""))
    assert seen == [length]


async def test_header_bytes_pass_as_they_are(server: Server, upstream: Upstream) -> None:
    """What a client sent in UTF-8, or in no encoding at all, leaves and comes back as the same bytes."""
    seen: list[bytes | None] = []

    async def answer(connection: Connection) -> None:
        seen.append(connection.header(b"x-title"))
        await connection.send(b"HTTP/1.1 200 OK\r\nX-Back: caf\xc3\xa9 \xff\r\ncontent-length: 0\r\n\r\n")

    server.answer = answer
    response = await upstream.send(
        server.request(headers=header_pairs(("x-title", "Grüße".encode().decode("latin-1"))))
    )
    assert await response.read() == b""
    assert dict(response.headers)[b"x-back"] == b"caf\xc3\xa9 \xff"
    assert seen == ["Grüße".encode()]


async def test_a_header_may_come_twice(server: Server, upstream: Upstream) -> None:
    """Two values of one name stay two, in their order."""
    seen: list[bytes] = []

    async def answer(connection: Connection) -> None:
        seen.extend(line for line in connection.head.split(b"\r\n") if line.lower().startswith(b"x-a:"))
        await connection.send(OK)

    server.answer = answer
    await fetched(upstream, server.request(headers=header_pairs(("x-a", "1"), ("x-b", "2"), ("x-a", "3"))))
    assert seen == [b"x-a: 1", b"x-a: 3"]


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\x00b"])
async def test_header_values_cannot_add_headers(server: Server, upstream: Upstream, value: str) -> None:
    """A line break or NUL in a value is refused before anything is sent."""
    error = await refused(upstream, server.request(headers=header_pairs(("x-a", value))))
    assert "x-evil" not in error.message
    assert server.requests == 0


async def test_each_call_has_its_own_headers(server: Server, upstream: Upstream) -> None:
    """Calls to one place differ in headers, credential and length, and each is written as it is, bad ones never."""
    seen: list[list[bytes]] = []

    async def answer(connection: Connection) -> None:
        lines = connection.head.lower().split(b"\r\n")
        seen.append([line for line in lines if line.startswith((b"x-", b"content-length"))])
        await connection.send(OK)

    server.answer = answer
    origins = frozenset({server.url})
    one, two = header_pairs(("x-a", "1")), header_pairs(("x-a", "1"), ("x-b", "2"))
    first, second = (Credential("x-b", Secret(key), origins) for key in ("s1", "s2"))
    calls = [
        (one, None, b"1"),
        (one, None, b"22"),
        (two, None, b"1"),
        (two, first, b"1"),
        (two, second, b"1"),
        (two, None, b"1"),
    ]
    for headers, credential, body in calls:
        await fetched(upstream, server.request(headers=headers, credential=credential, body=body))
        await refused(upstream, server.request(headers=header_pairs(("x-a", "1\r\nx-evil: 1"))))
        await refused(upstream, server.request(headers=headers, credential=Credential("x-b", Secret("s\n"), origins)))
    one_byte = b"content-length: 1"
    assert [sorted(lines) for lines in seen] == [
        [one_byte, b"x-a: 1"],
        [b"content-length: 2", b"x-a: 1"],
        [one_byte, b"x-a: 1", b"x-b: 2"],
        [one_byte, b"x-a: 1", b"x-b: s1"],
        [one_byte, b"x-a: 1", b"x-b: s2"],
        [one_byte, b"x-a: 1", b"x-b: 2"],
    ]


@pytest.mark.parametrize("name", ["x-a\r\nx-evil", "x a", "x:a", "", "x\x00", "x\n"])
async def test_header_names_cannot_add_headers(server: Server, upstream: Upstream, name: str) -> None:
    """A name that is no token (RFC 9110 section 5.1) is refused before anything is sent."""
    error = await refused(upstream, server.request(headers=header_pairs((name, "1"))))
    assert error.message.isprintable()
    assert server.requests == 0


@pytest.mark.parametrize("method", ["GE T", "POST / HTTP/1.1\r\nx-evil: 1\r\n\r\n", "G\n", ""])
async def test_a_method_cannot_add_a_request(server: Server, upstream: Upstream, method: str) -> None:
    """A method that is no token is refused before anything is sent."""
    await refused(upstream, server.request(method=method))
    assert server.requests == 0


@h1_only
@pytest.mark.parametrize("name", ["content-length", "transfer-encoding", "connection", "host"])
async def test_the_framing_is_the_engine_s(server: Server, upstream: Upstream, name: str) -> None:
    """A caller's header never contradicts the framing: one content-length, no transfer-encoding, one host.

    aiohttp sends a caller's `content-length` and `transfer-encoding` as they are.
    """
    seen: list[bytes] = []

    async def answer(connection: Connection) -> None:
        seen.append(connection.head.lower())
        await connection.send(OK)

    server.answer = answer
    value = {"content-length": "1", "transfer-encoding": "chunked", "connection": "upgrade", "host": "evil.example"}
    with contextlib.suppress(ProviderError):
        await fetched(upstream, server.request(headers=header_pairs((name, value[name]))))
    for head in seen:
        assert head.count(b"\r\ncontent-length: 2\r\n") == head.count(b"\r\ncontent-length:") == 1
        assert head.count(b"\r\nhost: " + server.url[7:].encode() + b"\r\n") == head.count(b"\r\nhost:") == 1
        assert b"transfer-encoding" not in head
        assert b"upgrade" not in head


async def test_an_upload_waits_for_a_slow_server(server: Server, upstream: Upstream) -> None:
    """A server that does not read holds the writing: no more is out than socket buffers take, and nothing is lost."""
    server.reads_body = False
    reading = asyncio.Event()
    seen = bytearray()

    async def answer(connection: Connection) -> None:
        await reading.wait()
        while len(seen) < len(UPLOAD):
            seen.extend(await connection.reader.read(1 << 20))
        await connection.send(OK)

    server.answer = answer
    task = asyncio.create_task(fetched(upstream, server.request(body=UPLOAD)))
    await eventually(lambda: server.requests == 1, "the request arrived")
    await turns(50)
    assert not task.done()
    reading.set()
    assert await task == b"ok"
    assert seen == UPLOAD


@h1_only
async def test_a_waiting_upload_takes_no_memory(server: Server, upstream: Upstream) -> None:
    """While a server does not read, the body is not copied; aiohttp copies it once."""
    server.reads_body = False
    server.answer = engines.silent
    tracemalloc.start()
    task = asyncio.create_task(fetched(upstream, server.request(body=UPLOAD)))
    try:
        await eventually(lambda: server.requests == 1, "the request arrived")
        await turns(200)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        task.cancel()
    assert peak < 2 * 1024 * 1024
    await asyncio.gather(task, return_exceptions=True)


async def test_a_large_upload_waits_for_a_late_reply(server: Server, upstream: Upstream) -> None:
    """A body larger than every socket buffer is out before the reply begins, and both are whole."""
    seen: list[bytes] = []

    async def answer(connection: Connection) -> None:
        seen.append(connection.body)
        await asyncio.sleep(BRIEF_S)
        await connection.send(OK)

    server.answer = answer
    assert await fetched(upstream, server.request(body=UPLOAD)) == b"ok"
    assert seen == [UPLOAD]


async def test_an_upload_nobody_reads_ends_in_time(server: Server, upstream: Upstream) -> None:
    """The limit on the first byte also ends a call whose body cannot be written."""
    server.reads_body = False

    server.answer = engines.silent
    timeouts = Timeouts(first_byte_s=BRIEF_S)
    assert isinstance(await refused(upstream, server.request(body=UPLOAD, timeouts=timeouts)), ProviderTimeout)


async def early(connection: Connection, reply: bytes) -> None:
    await connection.reader.readexactly(65536)
    await connection.send(reply)


async def test_an_answer_during_the_upload(server: Server, upstream: Upstream) -> None:
    """A reply that comes while the body is being sent is the reply, and what follows is not confused with it."""
    server.reads_body = False

    async def answer(connection: Connection) -> None:
        if connection.header(b"content-length") == b"2":
            await connection.read_body()
            await connection.send(OK)
            return
        await early(connection, TOO_LARGE)
        with contextlib.suppress(asyncio.IncompleteReadError):
            await connection.reader.readexactly(len(UPLOAD) - 65536)

    server.answer = answer
    async with asyncio.timeout(engines.HANG_S):
        response = await upstream.send(server.request(body=UPLOAD))
        assert (response.status, await response.read()) == (413, b"large")
        response.close()
        assert await fetched(upstream, server.request()) == b"ok"


@h1_only
async def test_an_early_answer_costs_the_connection(server: Server, upstream: Upstream) -> None:
    """A connection on which the request was not written out is closed at once, and the rest of the body stays unsent.

    aiohttp goes on writing the body and uses the connection again.
    """
    server.reads_body = False
    drained: list[int] = []

    async def answer(connection: Connection) -> None:
        await early(connection, TOO_LARGE)
        await asyncio.sleep(0.02)
        drained.append(len(await connection.reader.read()))

    server.answer = answer
    async with asyncio.timeout(engines.HANG_S):
        response = await upstream.send(server.request(body=UPLOAD))
        assert (response.status, await response.read()) == (413, b"large")
        response.close()
        await eventually(lambda: server.open == 0, "the connection was closed")
    assert drained[0] < len(UPLOAD) - 65536 if drained else True


@pytest.mark.parametrize("ending", ["close", "half-close", "connection: close"])
async def test_an_early_answer_and_the_end(server: Server, upstream: Upstream, ending: str) -> None:
    """A server that answers and goes away while the body is being sent has answered."""
    server.reads_body = False

    async def answer(connection: Connection) -> None:
        said = b"HTTP/1.1 413 Too Large\r\nconnection: close\r\n" + TOO_LARGE.partition(b"\r\n")[2]
        await early(connection, said if ending == "connection: close" else TOO_LARGE)
        if ending == "half-close":
            connection.writer.write_eof()
            await connection.closed()
        else:
            connection.writer.close()

    server.answer = answer
    async with asyncio.timeout(engines.HANG_S):
        response = await upstream.send(server.request(body=UPLOAD))
        assert (response.status, await response.read()) == (413, b"large")
        response.close()
        server.reads_body, server.answer = True, engines.answering(OK)
        assert await fetched(upstream, server.request()) == b"ok"
    assert len(server.connections) == 2


async def test_an_early_answer_whose_body_is_long(server: Server, upstream: Upstream) -> None:
    """A streamed reply that begins before the request is out is relayed while both go on."""
    server.reads_body = False

    async def answer(connection: Connection) -> None:
        await early(connection, b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")
        await connection.reader.readexactly(len(UPLOAD) - 65536)
        await connection.send(b"more")

    server.answer = answer
    async with asyncio.timeout(engines.HANG_S):
        assert await fetched(upstream, server.request(body=UPLOAD)) == b"halfmore"
