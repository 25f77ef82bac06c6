"""What a client may not hold of the gateway: its memory, its connections, its one thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from tests.door.conftest import KIB, MIB, READER_STALL_S
from tests.door.upstream import CHAT_REPLY, EVENTS, STREAM_HEAD, Call, Upstream, json_response
from tests.harness import Gateway, Wire, ask, chat, chunked, eventually, head, post

from headgate.server.heads import target_of

CHUNKED = b"transfer-encoding: chunked\r\n"
BEGUN = head(CHUNKED) + chunked(chat())
ENDLESS = {
    "trailer": b"0\r\nx: " + b"x" * MIB,
    "trailer's name": b"0\r\n" + b"x" * MIB,
    "chunk extension": b"1;x=" + b"x" * MIB,
}


async def held(call: Call, end: asyncio.Event | None = None) -> None:
    """A stream that goes on until the end comes."""
    end = end or asyncio.Event()
    await call.send(STREAM_HEAD + b"connection: close\r\n\r\n" + EVENTS[0])
    while not end.is_set():
        await call.send(EVENTS[1])
        await asyncio.sleep(0.1)
    await call.send(b"".join(EVENTS[1:]))
    call.fin()


@pytest.mark.parametrize("kind", ENDLESS)
async def test_what_stands_behind_chunks_ends(gateway: Gateway, upstream: Upstream, kind: str) -> None:
    """Without an end of its own it is refused for its size, before the body counts as stalled."""
    async with Wire.open(gateway) as wire:
        await wire.send(BEGUN + ENDLESS[kind])
        assert (await wire.answer()).status in {400, 431}
    assert upstream.calls == []


async def test_what_stands_behind_chunks_ends_in_a_pipeline(gateway: Gateway, upstream: Upstream) -> None:
    """Behind a reply that runs nothing more is taken of it."""
    upstream.script = held
    async with Wire.open(gateway) as wire:
        await wire.send(post(chat(stream=True)))
        await wire.until(b"data: ")
        with pytest.raises((TimeoutError, ConnectionError)):
            await asyncio.wait_for(wire.send(BEGUN + b"0\r\nx: " + b"x" * 16 * MIB), 3)
    assert len(upstream.calls) == 1


async def test_bodies_in_a_pipeline_wait_with_the_client(gateway: Gateway, upstream: Upstream) -> None:
    """While a reply runs only a little of what is asked behind it is read; it is served when its turn comes."""
    end = asyncio.Event()

    async def script(call: Call) -> None:
        if call.json.get("stream"):
            await held(call, end)
        else:
            await call.send(json_response(CHAT_REPLY))

    upstream.script = script
    behind = post(chat(user="x" * 60 * KIB)) * 50
    async with contextlib.AsyncExitStack() as opened:
        wires = [await opened.enter_async_context(Wire.open(gateway)) for _ in range(20)]
        for wire in wires:
            await wire.send(post(chat(stream=True)))
            await wire.until(b"data: ")
        before = gateway.resident_bytes()
        sending = [asyncio.ensure_future(wire.send(behind)) for wire in wires]
        await asyncio.sleep(2)
        assert gateway.resident_bytes() - before < 25 * MIB
        end.set()
        for wire in wires:
            assert [(await wire.answer()).status for _ in range(51)] == [200] * 51
        await asyncio.gather(*sending)


async def test_short_requests_in_a_pipeline_may_end_anywhere(gateway: Gateway) -> None:
    """However many are sent in pieces that never end where a request does."""
    request = b"GET /v1/health HTTP/1.1\r\nhost: g\r\nx: " + b"x" * 1_500 + b"\r\n\r\n"
    async with Wire.open(gateway) as wire:
        await wire.send(request[:700])
        for _ in range(200):
            await wire.send(request[700:] + request[:700])
            assert (await wire.answer(method="GET")).status == 200


async def test_replies_that_nobody_reads_end(gateway: Gateway) -> None:
    """A connection that is to be closed is not kept by a client that does not take the last of its reply."""
    before = gateway.descriptors()
    request = b"GET /nothing HTTP/1.1\r\nhost: g\r\n\r\n"
    wires = [socket.socket() for _ in range(8)]
    try:
        for wire in wires:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            wire.connect(("127.0.0.1", gateway.port))
            wire.sendall(request * 60 + request.replace(b"host: g\r\n", b"host: g\r\nconnection: close\r\n"))
        await eventually(lambda: gateway.descriptors() >= before + len(wires), "they are connected")
        await eventually(lambda: gateway.descriptors() <= before, "they are closed", READER_STALL_S * 4 + 5)
    finally:
        for wire in wires:
            wire.close()


def test_long_targets_are_not_remembered() -> None:
    """The usual ones are, which are few and short."""
    short, long = b"/v1/" + b"x" * 100, b"/v1/" + b"x" * 2_000
    assert target_of(short) is target_of(short)
    assert target_of(long) is not target_of(long)


OFFERS = {
    "h2c": b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    "another": b"connection: upgrade\r\nupgrade: irc/6.9\r\n",
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("cut", [0, 1, 60])
async def test_offers_of_another_protocol_are_not_taken_up(
    gateway: Gateway, upstream: Upstream, offer: bytes, cut: int
) -> None:
    """The request is served in HTTP/1.1 with all of its body, and so are those behind it: Java's clients offer HTTP/2."""
    body = chat()
    sized = head(b"content-length: %d\r\n" % len(body) + offer) + body
    pieces = head(CHUNKED + offer) + chunked(body) + b"0\r\n\r\n"
    asked = head(offer, b"/v1/models", b"GET")
    async with Wire.open(gateway) as wire:
        for request in (sized, pieces, sized + pieces + asked, post(body), sized):
            at = len(request) - cut
            await wire.send(request[:at])
            await asyncio.sleep(0.02)
            await wire.send(request[at:])
            count = 3 if request.startswith(sized) and request.endswith(asked) else 1
            assert [(await wire.answer()).status for _ in range(count)] == [200] * count
    assert len(upstream.calls) == 6
    assert all(call.json["messages"] == [{"role": "user", "content": "hi"}] for call in upstream.calls)
    assert all(call.header(name) is None for call in upstream.calls for name in ("upgrade", "http2-settings"))


async def test_offers_do_not_take_a_body_away(gateway: Gateway, upstream: Upstream) -> None:
    """What is passed through arrives whole, without the offer."""
    named = b"x-headgate-provider: mock\r\ncontent-length: 22\r\n" + OFFERS["h2c"]
    answer = await ask(gateway, head(named, b"/v1/some/thing") + b'{"a": "0123456789abc"}')
    assert answer.status == 200
    (call,) = upstream.calls
    assert call.body == b'{"a": "0123456789abc"}'
    assert {name for name, _ in call.headers} & {"upgrade", "http2-settings"} == set()


async def test_old_clients_get_replies_they_know(gateway: Gateway, upstream: Upstream) -> None:
    """HTTP/1.0 knows neither chunks nor `100 Continue` (RFC 9112 section 6.1, RFC 9110 section 10.1.1)."""
    upstream.script = streamed
    body = chat(stream=True)
    lines = b"expect: 100-continue\r\ncontent-length: %d\r\n" % len(body)
    answer = await ask(gateway, head(lines).replace(b"HTTP/1.1", b"HTTP/1.0") + body)
    assert (answer.status, answer.interim) == (200, ())
    assert answer.header("transfer-encoding") is None
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert answer.body.startswith(b"data: ")


async def streamed(call: Call) -> None:
    """A whole stream."""
    await call.send(STREAM_HEAD + b"connection: close\r\n\r\n" + b"".join(EVENTS))
    call.fin()
