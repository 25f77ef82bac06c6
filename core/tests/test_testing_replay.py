"""Vendors that misbehave: recorded answers over a socket and without one, cut, stalled and in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from headgate import (
    ProviderFailed,
    ProviderTimeout,
    Secret,
    Timeouts,
    Upstream,
    UpstreamRequest,
)
from headgate.testing import (
    MockUpstream,
    Recorded,
    ReplayUpstream,
    samples,
)
from headgate.upstream import Credential
from headgate.upstream.aiohttp_engine import AiohttpUpstream


@pytest.fixture
async def engine() -> AsyncIterator[AiohttpUpstream]:
    engine = AiohttpUpstream()
    yield engine
    await engine.close()


def call_to(mock: MockUpstream, path: str = "/x", **limits: float) -> UpstreamRequest:
    return UpstreamRequest(
        "POST", mock.url + path, body=b"hello", private_hosts=frozenset({"127.0.0.1"}), timeouts=Timeouts(**limits)
    )


async def read(upstream: Upstream, request: UpstreamRequest, seen: list[bytes] | None = None) -> tuple[int, bytes]:
    """Status and body; what came before an error is in `seen`."""
    pieces: list[bytes] = [] if seen is None else seen
    response = await upstream.send(request)
    try:
        async for piece in response.chunks():
            pieces.append(piece)  # noqa: PERF401 - kept when it raises
    finally:
        response.close()
    return response.status, b"".join(pieces)


async def connect(mock: MockUpstream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = mock.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "whole": {},
    "chunked": {"framing": "chunked"},
    "to the end": {"framing": "close"},
    "bytes": {"framing": "chunked", "sizes": (1,)},
    "in turn": {"sizes": (3, 50)},
    "random": {"framing": "close", "seed": 7},
    "late": {"delay_s": 0.01, "gap_s": 0.005, "sizes": (100,)},
}


@pytest.mark.parametrize("variant", VARIANTS)
async def test_recorded_bytes_arrive(mock_upstream: MockUpstream, engine: AiohttpUpstream, variant: str) -> None:
    """However an answer is framed, cut into pieces or delayed, its status, headers and bytes arrive."""
    mock_upstream.answer("/x", samples.STREAM.varied(status=201, **VARIANTS[variant]))
    response = await engine.send(call_to(mock_upstream, "/x?q=1"))
    assert (response.status, await response.read()) == (201, samples.STREAM.body)
    response.close()
    assert (b"content-type", b"text/event-stream") in response.headers
    received = mock_upstream.requests[0]
    assert (received.method, received.path, received.body) == ("POST", "/x?q=1", b"hello")
    assert received.sent_bytes == len(samples.STREAM.body)


@pytest.mark.parametrize("variant", ["whole", "chunked", "bytes", "in turn", "random"])
async def test_replay_equals_mock(mock_upstream: MockUpstream, engine: AiohttpUpstream, variant: str) -> None:
    """The upstream in memory gives what the engine gives over a socket."""
    recorded = samples.STREAM.varied(**VARIANTS[variant])
    mock_upstream.answer("*", recorded)
    real = await read(engine, call_to(mock_upstream))
    replayed = await read(ReplayUpstream({"*": recorded}), call_to(mock_upstream))
    assert replayed == real


@pytest.mark.parametrize("cut", ["fin", "rst"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [0, 1, 100])
async def test_cuts(mock_upstream: MockUpstream, engine: AiohttpUpstream, cut: str, framing: str, size: int) -> None:
    """A reply that is cut raises in both upstreams, and after a FIN all bytes before the cut were seen."""
    recorded = samples.STREAM.varied(cut_at=size, cut=cut, framing=framing, sizes=(10,))
    mock_upstream.answer("*", recorded)
    for upstream in (engine, ReplayUpstream({"*": recorded})):
        seen: list[bytes] = []
        with pytest.raises(ProviderFailed):
            await read(upstream, call_to(mock_upstream), seen)
        got = b"".join(seen)
        assert recorded.body[:size].startswith(got)
        assert cut == "rst" or len(got) == size


async def test_a_reset_ends_a_close_delimited_reply(mock_upstream: MockUpstream, engine: AiohttpUpstream) -> None:
    """Where only the end of the connection ends the body, a FIN looks like a proper end and an RST does not."""
    ended = Recorded(body=b"abcdef", framing="close", cut_at=3)
    mock_upstream.answer("*", ended, ended.varied(cut="rst"))
    replayed = ReplayUpstream({"*": [ended, ended.varied(cut="rst")]})
    for upstream in (engine, replayed):
        assert await read(upstream, call_to(mock_upstream)) == (200, b"abc")
        with pytest.raises(ProviderFailed):
            await read(upstream, call_to(mock_upstream))
    reader, writer = await connect(mock_upstream)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


@pytest.mark.parametrize("stall_at", [-1, 0, 5])
async def test_stalls(mock_upstream: MockUpstream, engine: AiohttpUpstream, stall_at: int) -> None:
    """A vendor that falls silent meets the limits of the call, in both upstreams, and sees the connection close."""
    mock_upstream.answer("*", samples.REPLY.varied(stall_at=stall_at))
    for upstream in (engine, ReplayUpstream({"*": samples.REPLY.varied(stall_at=stall_at)})):
        with pytest.raises(ProviderTimeout):
            await read(upstream, call_to(mock_upstream, first_byte_s=0.2, gap_s=0.05))
    received = await mock_upstream.request()
    assert await received.closed() >= received.arrived_at
    assert received.sent_bytes == max(0, stall_at)


async def test_answers_come_in_order(mock_upstream: MockUpstream, engine: AiohttpUpstream) -> None:
    """A path gives its answers in turn and then the last one again; another path is not concerned."""
    mock_upstream.answer("/x", samples.ERRORS[429], samples.REPLY)
    mock_upstream.answer("*", samples.ERRORS[500])
    paths = ("/x", "/y", "/x", "/x")
    assert [(await read(engine, call_to(mock_upstream, path)))[0] for path in paths] == [429, 500, 200, 200]


async def test_pipelined_requests(mock_upstream: MockUpstream) -> None:
    """Requests that come at once on one connection are answered one after the other."""
    mock_upstream.answer("/a", Recorded(body=b"1"))
    mock_upstream.answer("/b", Recorded(body=b"2"))
    reader, writer = await connect(mock_upstream)
    writer.write(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\nGET /b HTTP/1.1\r\nhost: x\r\n\r\n")
    seen = b""
    while not seen.endswith(b"2"):
        seen += await reader.read(1000)
    assert seen.count(b"HTTP/1.1 200 OK") == 2
    writer.write(b"\x00garbage\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_replay_keeps_the_rules_of_an_engine() -> None:
    """In memory, too, a credential goes to its origin alone and a redirect is not followed."""
    upstream = ReplayUpstream({"*": Recorded(status=302)})
    credential = Credential("authorization", Secret("sk-sample"), frozenset({"https://a.example:443"}))
    with pytest.raises(ProviderFailed, match="not bound"):
        await upstream.send(UpstreamRequest("GET", "https://b.example/", credential=credential))
    with pytest.raises(ProviderFailed, match="redirect"):
        await upstream.send(UpstreamRequest("GET", "https://a.example/", credential=credential))
    assert (len(upstream.requests), upstream.responses) == (2, [])


def test_an_answer_is_needed() -> None:
    """Putting no answer for a path is a mistake, said at once."""
    with pytest.raises(ValueError, match="no answer was given for `/x`"):
        ReplayUpstream().answer("/x")
