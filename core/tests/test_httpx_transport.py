"""`ctx.http`: an httpx2 client whose requests take the gateway's one outbound path, with all its rules."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from core.tests import engines
from core.tests.engines import Server
from typing_extensions import override

from headgate.errors import ProviderFailed, ProviderTimeout
from headgate.testing import MockUpstream, Recorded, eventually
from headgate.upstream import Upstream, UpstreamRequest, UpstreamResponse
from headgate.upstream.httpx import UpstreamTransport
from headgate.upstream.interface import RawHeaders
from headgate.upstream.rules import vet_literal

server = engines.server
engine = engines.engine
loop_factory = engines.loop_factory
upstream = engines.upstream


class Response(UpstreamResponse):
    """A reply that says it was closed."""

    status = 200
    headers: RawHeaders = ((b"x-a", b"caf\xc3\xa9"), (b"content-encoding", b"gzip"), (b"set-cookie", b"a"))

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = pieces
        self.closed = 0

    @override
    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])

    @override
    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    @override
    def close(self) -> None:
        self.closed += 1


class Recorder(Upstream):
    """Notes what is sent and answers with one reply, or fails."""

    def __init__(self, answer: Response | Exception) -> None:
        self._answer = answer
        self.sent: list[UpstreamRequest] = []

    @override
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self.sent.append(request)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    @override
    async def close(self) -> None: ...


def client(upstream: Upstream) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=UpstreamTransport(upstream), trust_env=False)


async def test_a_request_becomes_an_outbound_one() -> None:
    """Method, URL, headers and body are the caller's; what belongs to the connection is the engine's."""
    upstream = Recorder(Response(b"a", b"b"))
    async with client(upstream) as http:
        reply = await http.post(
            "https://example.com/a%20b?c=%C3%A9", json={"x": 1}, headers={"X-One": "1", "Accept-Encoding": "br"}
        )
    sent = upstream.sent[0]
    assert (sent.method, sent.url, sent.body) == ("POST", "https://example.com/a%20b?c=%C3%A9", b'{"x":1}')
    names = {name.decode() for name, _ in sent.headers}
    assert {"x-one", "content-type"} <= names
    assert names.isdisjoint({"host", "accept-encoding", "content-length", "transfer-encoding", "connection"})
    assert sent.private_hosts == frozenset()
    assert sent.credential is None
    assert (reply.status_code, reply.content) == (200, b"ab")


async def test_reply_headers_pass_but_for_the_encoding() -> None:
    """The engine has undone the encoding, so the client must not try again; other bytes stay."""
    async with client(Recorder(Response(b"plain"))) as http:
        reply = await http.get("https://example.com/")
    assert (b"x-a", b"caf\xc3\xa9") in [(name.lower(), value) for name, value in reply.headers.raw]
    assert "content-encoding" not in reply.headers
    assert reply.text == "plain"


async def test_timeouts_are_taken_over() -> None:
    """The client's own limits apply: connect, and read for the first byte and for gaps."""
    upstream = Recorder(Response())
    async with client(upstream) as http:
        await http.get("https://example.com/", timeout=httpx2.Timeout(7, connect=2))
        await http.get("https://example.com/", timeout=None)
    limited, unlimited = (request.timeouts for request in upstream.sent)
    assert (limited.connect_s, limited.first_byte_s, limited.gap_s) == (2, 7, 7)
    assert unlimited.first_byte_s > 7


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ProviderFailed("gone"), httpx2.ConnectError), (ProviderTimeout("slow"), httpx2.ReadTimeout)],
)
async def test_failures_are_httpx_errors(error: Exception, expected: type[Exception]) -> None:
    """Code written for httpx catches what it always catches, before the reply and within it."""
    async with client(Recorder(error)) as http:
        with pytest.raises(expected):
            await http.get("https://example.com/")


@pytest.mark.parametrize(
    ("error", "expected"), [(ProviderFailed("cut"), httpx2.ReadError), (ProviderTimeout("slow"), httpx2.ReadTimeout)]
)
async def test_a_broken_body_is_an_httpx_error(error: Exception, expected: type[Exception]) -> None:
    """A body that is cut or stalls raises what httpx raises for it, and the reply is closed."""
    response = Response(b"half", error)
    async with client(Recorder(response)) as http:
        with pytest.raises(expected):
            await http.get("https://example.com/")
    assert response.closed


async def test_a_reply_nobody_reads_is_closed() -> None:
    """Leaving a stream early gives the connection up."""
    response = Response(b"a", b"b")
    async with client(Recorder(response)) as http, http.stream("GET", "https://example.com/"):
        assert not response.closed
    assert response.closed


async def test_the_real_engine_keeps_its_rules(mock_upstream: MockUpstream, upstream: Upstream) -> None:
    """Through `ctx.http` too, loopback is denied: plugins cannot be led inside."""
    mock_upstream.answer("*", Recorded.from_json({"ok": True}))
    async with client(upstream) as http:
        for url in (mock_upstream.url, mock_upstream.url.replace("127.0.0.1", "localhost")):
            with pytest.raises(httpx2.ConnectError, match="may not be reached"):
                await http.get(url)
    assert mock_upstream.requests == []


@pytest.fixture
def reachable(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on loopback that stands for one outside."""

    def denied_reason(host: str, **_: object) -> str:
        return ""

    monkeypatch.setattr("headgate.upstream.rules.denied_reason", denied_reason)
    vet_literal.cache_clear()
    yield server
    vet_literal.cache_clear()


async def test_replies_come_through_a_real_engine(reachable: Server, upstream: Upstream) -> None:
    """Whole and streamed bodies, errors and replies without a body; the connection is kept."""
    pieces = (
        b"HTTP/1.1 200 OK\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"3\r\none\r\n",
        b"3\r\ntwo\r\n0\r\n\r\n",
    )
    async with client(upstream) as http:
        reachable.answer = engines.answering(*pieces)
        reply = await http.post(reachable.url + "/a?b=c", json={"x": 1})
        assert (reply.status_code, reply.content, reply.headers["x-a"]) == (200, b"onetwo", "1")
        async with http.stream("GET", reachable.url) as streamed:
            assert b"".join([piece async for piece in streamed.aiter_bytes()]) == b"onetwo"
        zipped = gzip.compress(b"plain")
        head = b"HTTP/1.1 404 No\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(zipped)
        reachable.answer = engines.answering(head + zipped)
        reply = await http.get(reachable.url)
        assert (reply.status_code, reply.text) == (404, "plain")
        reachable.answer = engines.answering(b"HTTP/1.1 204 No\r\n\r\n")
        assert (await http.delete(reachable.url)).content == b""
        assert len(reachable.connections) == 1
        reachable.answer = engines.answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
        assert (await http.head(reachable.url)).headers["content-length"] == "9"


async def test_failures_come_through_a_real_engine(reachable: Server, upstream: Upstream) -> None:
    """No answer, a silent body, a cut body and a redirect are httpx errors, and leave no connection."""
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"
    expected = [
        (engines.hanging(), httpx2.ReadTimeout),
        (engines.hanging(half), httpx2.ReadTimeout),
        (engines.ending(half), httpx2.ReadError),
        (engines.ending(), httpx2.ConnectError),
        (engines.ending(b"HTTP/1.1 302 Go\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"), httpx2.ConnectError),
    ]
    async with client(upstream) as http:
        for answer, error in expected:
            reachable.answer = answer
            with pytest.raises(error):
                await http.get(reachable.url, timeout=0.1)
            await eventually(lambda: reachable.open == 0, "the connection was closed")


async def test_a_stream_left_early_closes_the_connection(reachable: Server, upstream: Upstream) -> None:
    """Leaving `stream` in the middle, or being cancelled there, gives the engine's connection up."""
    reachable.answer = engines.hanging(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
    async with client(upstream) as http:
        async with http.stream("GET", reachable.url) as reply:
            async for _ in reply.aiter_bytes():
                break
        await eventually(lambda: reachable.open == 0, "the connection was closed")
        task = asyncio.create_task(http.get(reachable.url))
        await eventually(lambda: reachable.requests == 2, "the call is under way")
        await engines.turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: reachable.open == 0, "the connection was closed")


async def test_cancelling_closes_the_reply() -> None:
    """A plugin's call that is cancelled while it reads gives the connection up."""
    reading = asyncio.Event()

    class Endless(Response):
        @override
        async def chunks(self) -> AsyncIterator[bytes]:
            yield b"x"
            reading.set()
            await asyncio.Event().wait()

    response = Endless()
    async with client(Recorder(response)) as http:
        task = asyncio.create_task(http.get("https://example.com/"))
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert response.closed
