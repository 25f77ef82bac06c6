"""The aiohttp engine against a server of raw bytes: reuse, deadlines, broken replies, denied addresses, cancelling."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from headgate.errors import ProviderError, ProviderFailed, ProviderTimeout
from headgate.secret import Secret
from headgate.testing import eventually
from headgate.upstream import Credential, Timeouts, UpstreamRequest, UpstreamResponse
from headgate.upstream.aiohttp_engine import AiohttpUpstream

HOST = "127.0.0.1"
LOCAL = frozenset({HOST})
BRIEF_S = 0.15
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Answer = Callable[["Connection"], Awaitable[None]]


class Connection:
    """One connection of the raw server: the request's head and body as they came, and a way to write bytes back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""
        self.body = b""
        self.served = 0

    async def read_request(self) -> bool:
        """Take in one request; False when the client has closed instead."""
        try:
            self.head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        lines = self.head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        self.body = await self.reader.readexactly(length)
        self.served += 1
        return True

    def header(self, name: bytes) -> bytes | None:
        lines = self.head.split(b"\r\n")[1:]
        return next((line.partition(b": ")[2] for line in lines if line.lower().startswith(name + b":")), None)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def closed(self) -> None:
        """Wait until the client has closed."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


class Server:
    """Listens on loopback; `answer` is run for each request. `open` counts the connections that are open now."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.requests = 0
        self.open = 0
        self.url = ""
        self.answer: Answer = answering(OK)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self.connections.append(connection)
        self.open += 1
        try:
            while await connection.read_request():
                self.requests += 1
                await self.answer(connection)
                if writer.is_closing():
                    break
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()

    def request(self, path: str = "/", **changes: Any) -> UpstreamRequest:
        return UpstreamRequest("POST", self.url + path, body=b"{}", private_hosts=LOCAL, **changes)


def answering(*pieces: bytes) -> Answer:
    """Send these bytes, and leave the connection open."""

    async def answer(connection: Connection) -> None:
        for piece in pieces:
            await connection.send(piece)

    return answer


def ending(*pieces: bytes) -> Answer:
    """Send these bytes and close."""

    async def answer(connection: Connection) -> None:
        await answering(*pieces)(connection)
        connection.writer.close()

    return answer


def hanging(*pieces: bytes) -> Answer:
    """Send these bytes and stay silent until the client closes."""

    async def answer(connection: Connection) -> None:
        await answering(*pieces)(connection)
        await connection.closed()

    return answer


def dripping(head: bytes, piece: bytes, gap_s: float) -> Answer:
    """Send the head, then one piece after another without end."""

    async def answer(connection: Connection) -> None:
        await connection.send(head)
        while True:
            await connection.send(piece)
            await asyncio.sleep(gap_s)

    return answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    held = Server()
    listening = await asyncio.start_server(held, HOST, 0)
    held.url = f"http://{HOST}:{listening.sockets[0].getsockname()[1]}"
    yield held
    listening.close()
    for connection in held.connections:
        connection.writer.transport.abort()
    await eventually(lambda: held.open == 0, "every connection has ended")


@pytest.fixture
async def upstream() -> AsyncIterator[AiohttpUpstream]:
    held = AiohttpUpstream()
    yield held
    await held.close()


async def fetched(upstream: AiohttpUpstream, request: UpstreamRequest) -> bytes:
    response = await upstream.send(request)
    try:
        return await response.read()
    finally:
        response.close()


async def refused(upstream: AiohttpUpstream, request: UpstreamRequest) -> ProviderError:
    """The error of a call that must fail, within seconds."""
    with pytest.raises(ProviderError) as caught:
        async with asyncio.timeout(3):
            await fetched(upstream, request)
    return caught.value


# what goes out


async def test_what_is_sent_is_what_was_given(server: Server, upstream: AiohttpUpstream) -> None:
    """Method, path, query, headers and body reach the server; nothing is added but what HTTP needs."""
    seen: list[bytes] = []

    async def answer(connection: Connection) -> None:
        seen.append(connection.head + connection.body)
        await connection.send(OK)

    server.answer = answer
    request = server.request("/v1/a%2Fb?q=%20x&y=%C3%A9", headers=(("x-one", "1"), ("content-type", "text/x")))
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


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * 1024 * 1024])
async def test_a_body_of_any_size_is_sent(server: Server, upstream: AiohttpUpstream, size: int) -> None:
    """Empty, small and large bodies arrive whole."""
    seen: list[bytes] = []

    async def answer(connection: Connection) -> None:
        seen.append(connection.body)
        await connection.send(OK)

    server.answer = answer
    body = random.Random(3).randbytes(size)
    await fetched(upstream, UpstreamRequest("POST", server.url, body=body, private_hosts=LOCAL))
    assert seen == [body]


async def test_header_bytes_pass_as_they_are(server: Server, upstream: AiohttpUpstream) -> None:
    """Header text stands for bytes (latin-1) both ways: what a client sent in UTF-8 leaves as the same bytes."""
    seen: list[bytes | None] = []

    async def answer(connection: Connection) -> None:
        seen.append(connection.header(b"x-title"))
        await connection.send(b"HTTP/1.1 200 OK\r\nX-Back: caf\xc3\xa9 \xff\r\ncontent-length: 0\r\n\r\n")

    server.answer = answer
    response = await upstream.send(server.request(headers=(("x-title", "Grüße".encode().decode("latin-1")),)))
    assert await response.read() == b""
    assert dict(response.headers)[b"x-back"] == b"caf\xc3\xa9 \xff"
    assert seen == ["Grüße".encode()]


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\x00b"])
async def test_header_values_cannot_add_headers(server: Server, upstream: AiohttpUpstream, value: str) -> None:
    """A line break or NUL in a value is refused before anything is sent."""
    error = await refused(upstream, server.request(headers=(("x-a", value),)))
    assert "x-evil" not in error.message
    assert server.requests == 0


# credentials


async def test_a_credential_goes_to_its_origin(server: Server, upstream: AiohttpUpstream) -> None:
    """The header is set, whatever the caller put there before."""
    seen: list[bytes | None] = []

    async def answer(connection: Connection) -> None:
        seen.append(connection.header(b"authorization"))
        await connection.send(OK)

    server.answer = answer
    credential = Credential("authorization", Secret("sk-1"), frozenset({server.url}), "Bearer ")
    await fetched(upstream, server.request(headers=(("Authorization", "mine"),), credential=credential))
    assert seen == [b"Bearer sk-1"]


@pytest.mark.parametrize("origin", ["https://127.0.0.1:{port}", "http://localhost:{port}", "http://127.0.0.1:1", ""])
async def test_a_credential_goes_nowhere_else(server: Server, upstream: AiohttpUpstream, origin: str) -> None:
    """Another scheme, host or port is another origin: nothing is sent and the secret is not in the error."""
    bound = frozenset({origin.format(port=server.url.rpartition(":")[2])})
    error = await refused(upstream, server.request(credential=Credential("x-key", Secret("sk-canary"), bound)))
    assert error.error_code == "upstream_denied"
    assert "sk-canary" not in str(error)
    assert server.requests == 0


# connections


async def test_a_connection_is_used_again(server: Server, upstream: AiohttpUpstream) -> None:
    """Replies read to their end leave a connection that the next call takes."""
    for _ in range(5):
        assert await fetched(upstream, server.request()) == b"ok"
    assert (len(server.connections), server.requests) == (1, 5)


async def test_calls_at_once_use_connections_of_their_own(server: Server, upstream: AiohttpUpstream) -> None:
    """Nothing waits for a slot."""
    together = asyncio.Barrier(20)

    async def answer(connection: Connection) -> None:
        await together.wait()
        await connection.send(OK)

    server.answer = answer
    replies = await asyncio.gather(*(fetched(upstream, server.request()) for _ in range(20)))
    assert set(replies) == {b"ok"}
    assert len(server.connections) == 20


async def test_a_stale_connection_is_replaced(server: Server, upstream: AiohttpUpstream) -> None:
    """A server that has closed an idle connection is called over a new one."""
    server.answer = ending(OK)
    for number in range(1, 4):
        assert await fetched(upstream, server.request()) == b"ok"
        await eventually(lambda: server.open == 0, "the server closed")
        await asyncio.sleep(0.01)
        assert len(server.connections) == number


async def test_private_hosts_do_not_share_connections(server: Server, upstream: AiohttpUpstream) -> None:
    """A connection that one deployment may have is not lent to a call that may not reach that address."""
    assert await fetched(upstream, server.request()) == b"ok"
    error = await refused(upstream, UpstreamRequest("POST", server.url))
    assert error.error_code == "upstream_denied"
    assert server.requests == 1


async def test_closing_closes_everything(server: Server) -> None:
    """After `close` no connection is left, idle or in use."""
    upstream = AiohttpUpstream()
    await fetched(upstream, server.request())
    server.answer = hanging(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
    response = await upstream.send(server.request())
    await upstream.close()
    response.close()
    await eventually(lambda: server.open == 0, "every connection was closed")


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
    ],
    ids=["nothing", "half a head", "garbage", "bad length", "two lengths", "many headers", "long header", "bad chunk"],
)
async def test_a_broken_head_is_the_providers_failure(
    server: Server, upstream: AiohttpUpstream, pieces: tuple[bytes, ...]
) -> None:
    """No reply, half of one, or one that is no HTTP: ProviderFailed, with words and without the address."""
    server.answer = ending(*pieces)
    error = await refused(upstream, server.request("/secret-path"))
    assert isinstance(error, ProviderFailed)
    assert error.message
    assert "secret-path" not in error.message


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nha",
    ],
    ids=["length", "chunks", "chunk"],
)
async def test_a_cut_body_is_never_whole(server: Server, upstream: AiohttpUpstream, reply: bytes) -> None:
    """A body that ends before its length or its last chunk is an error, read whole or in pieces."""
    server.answer = ending(reply)
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


async def test_a_reset_is_a_failure(server: Server, upstream: AiohttpUpstream) -> None:
    """A connection reset before the head or within the body."""

    async def reset(connection: Connection) -> None:
        connection.writer.transport.abort()

    server.answer = reset
    assert isinstance(await refused(upstream, server.request()), ProviderFailed)

    async def reset_late(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        await asyncio.sleep(0.01)
        connection.writer.transport.abort()

    server.answer = reset_late
    assert (await refused(upstream, server.request())).error_code == "upstream_cut"


async def test_a_body_until_close_is_whole(server: Server, upstream: AiohttpUpstream) -> None:
    """Without a length the end of the connection is the end of the body (RFC 9112 section 6.3)."""
    server.answer = ending(b"HTTP/1.1 200 OK\r\n\r\n", b"all", b" of it")
    assert await fetched(upstream, server.request()) == b"all of it"


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_redirects_are_refused(server: Server, upstream: AiohttpUpstream, status: int) -> None:
    """No redirect is followed, wherever it leads, and its body is not shown."""
    head = f"HTTP/1.1 {status} Moved\r\nlocation: {server.url}/elsewhere\r\ncontent-length: 0\r\n\r\n"
    server.answer = answering(head.encode())
    error = await refused(upstream, server.request())
    assert (error.error_code, server.requests) == ("upstream_redirect", 1)


async def test_error_statuses_are_replies(server: Server, upstream: AiohttpUpstream) -> None:
    """A 4xx or 5xx with a body is what the provider says, not an exception."""
    server.answer = answering(b"HTTP/1.1 429 Slow\r\nretry-after: 3\r\ncontent-length: 4\r\n\r\nslow")
    response = await upstream.send(server.request())
    assert (response.status, dict(response.headers)[b"retry-after"], await response.read()) == (429, b"3", b"slow")


async def test_nobody_listens(upstream: AiohttpUpstream) -> None:
    """A refused connection is a failure that says so."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        url = f"http://{HOST}:{held.getsockname()[1]}"
        error = await refused(upstream, UpstreamRequest("POST", url, private_hosts=LOCAL))
    assert error.message == "`127.0.0.1` could not be reached: connection refused"


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
async def test_encoded_bodies(server: Server, upstream: AiohttpUpstream, head: str, body: bytes, code: str) -> None:
    """An encoding is undone within bounds, or refused; never passed on, never half."""
    server.answer = answering(f"HTTP/1.1 200 OK\r\n{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    if not code:
        assert await fetched(upstream, server.request()) == b"hello"
        return
    assert (await refused(upstream, server.request())).error_code == code


async def test_a_reply_may_be_64_mebibytes(
    server: Server, upstream: AiohttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read whole is bounded; the bound is made small here."""
    monkeypatch.setattr("headgate.upstream.aiohttp_engine.MAX_BODY_BYTES", 1000)
    server.answer = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n" + b"x" * 1001)
    assert (await refused(upstream, server.request())).error_code == "upstream_too_large"


# denied addresses


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Make every name resolve to these addresses; the names asked for are noted."""
    asked: list[str] = []

    async def resolve(self: Any, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        asked.append(host)
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    monkeypatch.setattr("headgate.upstream.aiohttp_engine.ThreadedResolver.resolve", resolve)
    return asked


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("169.254.169.254",),
        ("10.0.0.1", "8.8.8.8"),
        ("8.8.8.8", "10.0.0.1"),
        ("::1",),
        ("::ffff:127.0.0.1",),
        ("64:ff9b::7f00:1",),
        ("100.64.0.1",),
        ("168.63.129.16",),
    ],
)
async def test_a_name_with_a_denied_address_is_refused(
    server: Server, upstream: AiohttpUpstream, monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    """One denied address among those a name has refuses the name; nothing is connected to."""
    resolve_to(monkeypatch, *addresses)
    port = server.url.rpartition(":")[2]
    error = await refused(upstream, UpstreamRequest("GET", f"http://api.example.com:{port}/"))
    assert error.error_code == "upstream_denied"
    assert "allow_private" in error.message
    assert server.connections == []


async def test_a_private_name_may_be_allowed(
    server: Server, upstream: AiohttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's own name may be private, but no other name, and never a metadata service."""
    port = server.url.rpartition(":")[2]
    allowed = frozenset({"models.internal"})
    request = UpstreamRequest("GET", f"http://models.internal:{port}/", private_hosts=allowed)
    asked = resolve_to(monkeypatch, "127.0.0.1")
    assert await fetched(upstream, request) == b"ok"
    assert asked == ["models.internal"]
    other = UpstreamRequest("GET", f"http://other.internal:{port}/", private_hosts=allowed)
    assert (await refused(upstream, other)).error_code == "upstream_denied"
    resolve_to(monkeypatch, "169.254.169.254")
    fresh = AiohttpUpstream()
    assert (await refused(fresh, request)).error_code == "upstream_denied"
    await fresh.close()


async def test_the_vetted_address_is_the_one_used(
    server: Server, upstream: AiohttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that points elsewhere when it is asked again (DNS rebinding) is vetted again or not asked at all."""
    port = server.url.rpartition(":")[2]
    answers = [["8.8.8.8"], ["127.0.0.1"]]
    connected: list[str] = []

    async def resolve(self: Any, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        address = answers.pop(0)[0] if len(answers) > 1 else answers[0][0]
        entry = {"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
        return [entry]

    async def start_connection(addr_infos: Any, **_: Any) -> Any:
        connected.extend(info[4][0] for info in addr_infos)
        raise OSError(111, "Connection refused")

    monkeypatch.setattr("headgate.upstream.aiohttp_engine.ThreadedResolver.resolve", resolve)
    monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", start_connection)
    for _ in range(3):
        await refused(upstream, UpstreamRequest("GET", f"http://rebind.example.com:{port}/"))
    assert set(connected) <= {"8.8.8.8"}
    assert server.connections == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[fe80::1%25lo]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "\uff11\uff12\uff17.0.0.1",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "8.8.8.8@127.0.0.1",
        "127.0.0.1:80@127.0.0.1",
        "127.0.0.1\\@8.8.8.8",
        "8.8.8.8\\@127.0.0.1",
        "127.0.0.1#@8.8.8.8",
        "127.0.0.1?@8.8.8.8",
        "\t127.0.0.1",
        "127.0.0.1\n",
        "127.0.\t0.1",
        "[::1",
        "[127.0.0.1]",
        "",
    ],
)
async def test_no_way_of_writing_loopback_reaches_it(server: Server, upstream: AiohttpUpstream, host: str) -> None:
    """Whatever form an address takes in a URL, loopback is not connected to, and the caller gets a ProviderError."""
    port = server.url.rpartition(":")[2]
    url = f"http://{host}:{port}/" if not host.endswith(("8.8.8.8", "\n")) else f"http://{host.strip()}/"
    url = url.replace("127.0.0.1#", f"127.0.0.1:{port}#").replace("127.0.0.1?", f"127.0.0.1:{port}?")
    with pytest.raises(ProviderError):
        async with asyncio.timeout(5):
            await fetched(upstream, UpstreamRequest("GET", url, timeouts=Timeouts(connect_s=0.2, first_byte_s=1)))
    assert server.connections == []


# deadlines


async def test_no_connection_in_time(upstream: AiohttpUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not answer the connection is a timeout that says so."""

    async def start_connection(**_: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", start_connection)
    error = await refused(upstream, UpstreamRequest("GET", "http://8.8.8.8/", timeouts=Timeouts(connect_s=BRIEF_S)))
    assert isinstance(error, ProviderTimeout)
    assert "connection" in error.message


async def test_no_first_byte_in_time(server: Server, upstream: AiohttpUpstream) -> None:
    """A server that says nothing, or half a head, is given up and its connection closed."""
    for pieces in ((), (b"HTTP/1.1 200 OK\r\nx:",)):
        server.answer = hanging(*pieces)
        error = await refused(upstream, server.request(timeouts=Timeouts(first_byte_s=BRIEF_S)))
        assert isinstance(error, ProviderTimeout)
        await eventually(lambda: server.open == 0, "the connection was closed")


async def test_a_gap_ends_the_body(server: Server, upstream: AiohttpUpstream) -> None:
    """Silence within a body longer than `gap_s` is a timeout, and the connection is closed."""
    server.answer = hanging(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    error = await refused(upstream, server.request(timeouts=Timeouts(gap_s=BRIEF_S)))
    assert isinstance(error, ProviderTimeout)
    assert "silent" in error.message
    await eventually(lambda: server.open == 0, "the connection was closed")


async def test_a_slow_body_within_the_gap_is_whole(server: Server, upstream: AiohttpUpstream) -> None:
    """Pieces that each come in time may take longer together."""

    async def answer(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(BRIEF_S / 3)
            await connection.send(b"x")

    server.answer = answer
    assert await fetched(upstream, server.request(timeouts=Timeouts(gap_s=BRIEF_S))) == b"x" * 8


async def test_a_slow_reader_is_not_the_providers_silence(server: Server, upstream: AiohttpUpstream) -> None:
    """The gap counts while the gateway waits for the provider, not while a slow client keeps the gateway waiting."""
    server.answer = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf", b"more")
    response = await upstream.send(server.request(timeouts=Timeouts(gap_s=BRIEF_S)))
    got = b""
    async for piece in response.chunks():
        got += piece
        await asyncio.sleep(BRIEF_S * 2.5)
    assert got == b"halfmore"


DRIP = b"HTTP/1.1 200 OK\r\n\r\n"


async def test_the_whole_call_has_a_limit(server: Server, upstream: AiohttpUpstream) -> None:
    """A body that keeps coming is ended by `total_s`, even where the gap is longer than that."""
    server.answer = dripping(DRIP, b"x", 0.02)
    error = await refused(upstream, server.request(timeouts=Timeouts(gap_s=0.1, total_s=BRIEF_S)))
    assert isinstance(error, ProviderTimeout)
    assert "longer than" in error.message
    error = await refused(upstream, server.request(timeouts=Timeouts(gap_s=120, total_s=BRIEF_S)))
    assert isinstance(error, ProviderTimeout)


async def test_the_whole_call_begins_with_the_call(server: Server, upstream: AiohttpUpstream) -> None:
    """`total_s` also ends a call whose first byte does not come."""
    server.answer = hanging()
    error = await refused(upstream, server.request(timeouts=Timeouts(total_s=BRIEF_S)))
    assert isinstance(error, ProviderTimeout)


async def test_time_before_the_head_counts(server: Server, upstream: AiohttpUpstream) -> None:
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


# giving up


async def test_closing_a_response_closes_its_connection(server: Server, upstream: AiohttpUpstream) -> None:
    """A reply that is not read to its end costs its connection, and closing twice is fine."""
    server.answer = hanging(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    response = await upstream.send(server.request())
    assert server.open == 1
    response.close()
    response.close()
    await eventually(lambda: server.open == 0, "the connection was closed")


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200 OK\r\n",), (b"HTTP/1.1 200 OK\r\n\r\nhalf",)])
async def test_cancelling_closes_the_connection(
    server: Server, upstream: AiohttpUpstream, pieces: tuple[bytes, ...]
) -> None:
    """A cancelled call, at whatever point, leaves no connection behind."""
    server.answer = hanging(*pieces)
    task = asyncio.create_task(fetched(upstream, server.request()))
    await eventually(lambda: server.requests == 1, "the request arrived")
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: server.open == 0, "the connection was closed")


async def test_a_thousand_random_cancels_leave_nothing(server: Server, upstream: AiohttpUpstream) -> None:
    """Calls cancelled at random moments lose no connection, and no reply goes to another call."""
    rng = random.Random(11)

    async def answer(connection: Connection) -> None:
        number = connection.header(b"x-number") or b""
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n")
        await asyncio.sleep(0)
        await connection.send(number.rjust(8))

    async def call(number: int) -> None:
        body = await fetched(upstream, server.request(headers=(("x-number", str(number)),)))
        assert int(body) == number

    server.answer = answer
    cancelled = 0
    for start in range(0, 1000, 50):
        tasks = [asyncio.create_task(call(start + at)) for at in range(50)]
        for task in tasks:
            asyncio.get_running_loop().call_later(rng.random() * 0.02, task.cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        cancelled += sum(isinstance(result, asyncio.CancelledError) for result in results)
    assert cancelled > 50
    await call(1000)
    await upstream.close()
    await eventually(lambda: server.open == 0, "every connection was closed")


async def test_the_rest_of_a_cancelled_reply_is_nobodys(server: Server, upstream: AiohttpUpstream) -> None:
    """A call that is given up in the middle of its body never leaves the rest for the next one."""

    async def answer(connection: Connection) -> None:
        number = connection.header(b"x-number") or b""
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" + number)
        await asyncio.sleep(0.005)
        await connection.send(number)

    server.answer = answer
    for number in range(9):
        response: UpstreamResponse = await upstream.send(server.request(headers=(("x-number", str(number)),)))
        async for _ in response.chunks():
            break
        response.close()
        assert await fetched(upstream, server.request(headers=(("x-number", "9"),))) == b"99"
