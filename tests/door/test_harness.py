"""The tools of these tests, tried on each other: a tool that sees nothing would let every other test pass."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path

import pytest
from tests.door.upstream import CHAT_REPLY, EVENTS, STREAM_HEAD, Call, Upstream, json_response, stream_response
from tests.harness import CANARY, Gateway, Wire, ask, assert_no_secret, chat, chunked, merged, post


async def test_wire_reads_what_the_upstream_sends(upstream: Upstream) -> None:
    """Whole and chunked replies are read to their end, and the next request over the same connection as well."""

    async def script(call: Call) -> None:
        await call.send(stream_response() if b"true" in call.body else json_response(CHAT_REPLY))

    upstream.script = script
    async with Wire.open(upstream.port) as wire:
        await wire.send(post(chat()) + post(chat(stream=True)))
        first, second = await wire.answer(), await wire.answer()
    assert (first.status, first.json, first.is_whole) == (200, CHAT_REPLY, True)
    assert (second.status, second.body, second.is_whole) == (200, b"".join(EVENTS), True)
    assert [call.method for call in upstream.calls] == ["POST", "POST"]


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_wire_tells_a_cut_reply(upstream: Upstream, how: str) -> None:
    """A chunked reply without its last chunk is not whole."""

    async def script(call: Call) -> None:
        await call.send(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(EVENTS[0]))
        if how == "rst":
            call.reset()
        else:
            call.fin()

    upstream.script = script
    answer = await ask(upstream.port, post(chat(stream=True)))
    assert (answer.body, answer.is_whole) == (EVENTS[0], False)


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_upstream_notes_when_it_is_left(upstream: Upstream, how: str) -> None:
    """The upstream learns at once that its client has closed, and says when."""

    async def script(call: Call) -> None:
        await call.connection.closed.wait()

    upstream.script = script
    async with Wire.open(upstream.port) as wire:
        await wire.send(post(chat()))
        call = await upstream.call()
        with pytest.raises(AssertionError):
            await call.closed(0.05)
        left = time.monotonic()
        if how == "rst":
            wire.reset()
        else:
            wire.close()
        assert 0 <= await call.closed() - left < 0.1


async def test_upstream_waits_for_a_slow_reader(upstream: Upstream) -> None:
    """Sending stops while nobody reads, and goes on when somebody does."""
    sent = 0

    async def script(call: Call) -> None:
        nonlocal sent
        while True:
            await call.send(b"x" * 100_000)
            sent += 100_000

    upstream.script = script
    async with Wire.open(upstream.port) as wire:
        await wire.send(post(chat()))
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 50_000_000
        async with asyncio.timeout(5):
            while sent == before:
                await asyncio.get_running_loop().sock_recv(wire.socket, 1_000_000)


def test_secrets_are_found() -> None:
    """A planted secret is found as it is, in another case, and in base64 at any offset."""
    coded = [base64.b64encode(b"x" * pad + CANARY.encode()).decode() for pad in range(4)]
    for data in (CANARY, CANARY.lower(), CANARY.upper(), *coded):
        with pytest.raises(AssertionError):
            assert_no_secret(f"before {data} after".encode(), "this")
    assert_no_secret(b"nothing here", "this")


async def test_secret_in_a_reply_fails_the_test(upstream: Upstream) -> None:
    """Whoever receives a planted secret over a Wire fails on leaving it."""
    upstream.script = lambda call: call.send(json_response({"key": CANARY}))
    with pytest.raises(AssertionError):
        await ask(upstream.port, post(chat()))


def test_gateway_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A process that ends before it is ready is an error with its output, not a wait for the deadline."""
    gateway = Gateway(tmp_path, {"nonsense": True})
    with pytest.raises(AssertionError, match="nonsense"):
        gateway.start()


def test_configurations_are_merged() -> None:
    """Changes reach into mappings and replace everything else."""
    assert merged({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"c": 3}, "d": [2]}) == {"a": {"b": 1, "c": 3}, "d": [2]}
