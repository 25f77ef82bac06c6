"""Clients that leave: the provider's connection is closed at once, and nothing of the exchange stays behind."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time

import pytest
from tests.door.conftest import MIB
from tests.door.upstream import CHAT_REPLY, EVENTS, STREAM_HEAD, Call, Script, Upstream, json_response
from tests.harness import Gateway, Wire, ask, chat, chunked, eventually, eventually_idle, post

TRIES = 30
CANCELS = int(os.environ.get("HEADGATE_CANCELS", "1000"))
CROWD = 25
WHOLE = json_response(CHAT_REPLY)


async def silent(call: Call) -> None:
    """Never answers."""
    await call.connection.closed.wait()


async def begins(call: Call) -> None:
    """Begins an answer and never ends it."""
    if b'"stream":true' in call.body:
        await call.send(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(EVENTS[0]))
    else:
        await call.send(WHOLE[:-10])
    await call.connection.closed.wait()


async def flows(call: Call) -> None:
    """Streams without end, an event every few milliseconds."""
    await call.send(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n")
    while True:
        await call.send(chunked(EVENTS[1]))
        await asyncio.sleep(0.005)


def leave(wire: Wire, how: str) -> None:
    if how == "rst":
        wire.reset()
    else:
        wire.close()


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize(
    ("script", "stream", "mark"),
    [
        pytest.param(silent, True, b"", id="stream before the head"),
        pytest.param(silent, False, b"", id="whole before the head"),
        pytest.param(begins, False, b"", id="whole in the body"),
        pytest.param(begins, True, EVENTS[0], id="stream that pauses"),
        pytest.param(flows, True, EVENTS[1] * 2, id="stream that flows"),
    ],
)
async def test_leaving_closes_the_upstream_connection(
    gateway: Gateway, upstream: Upstream, script: Script, stream: bool, mark: bytes, how: str
) -> None:
    """The provider sees the connection close within 100 ms (median) and never later than 1 s after the client left."""
    upstream.script = script
    delays: list[float] = []
    for number in range(TRIES):
        async with Wire.open(gateway) as wire:
            await wire.send(post(chat(stream=stream)))
            call = await upstream.call(number)
            if mark:
                await wire.until(mark[: len(mark) // 2])
            left = time.monotonic()
            leave(wire, how)
            delays.append(await call.closed(1.5) - left)
    assert statistics.median(delays) < 0.1
    assert max(delays) < 1.0


async def test_leaving_a_pipeline_closes_everything(gateway: Gateway, upstream: Upstream) -> None:
    """A client that leaves with more requests in the pipeline ends the running one, and the others never start."""
    upstream.script = silent
    async with Wire.open(gateway) as wire:
        await wire.send(post(chat(user="first")) + post(chat(user="second")) * 3)
        call = await upstream.call()
        left = time.monotonic()
        wire.reset()
        assert await call.closed(1.5) - left < 0.5
    await eventually_idle(gateway)
    assert len(upstream.calls) == 1


@pytest.mark.parametrize("size", [50_000, 100_000, 200_000, 1_000_000])
async def test_leaving_after_a_large_body_is_noticed(gateway: Gateway, upstream: Upstream, size: int) -> None:
    """However large the body was and in whatever pieces it came, the gateway still listens for the client's leaving."""
    upstream.script = silent
    for number in range(5):
        async with Wire.open(gateway) as wire:
            await wire.send(post(chat(pad="x" * size)))
            call = await upstream.call(number)
            left = time.monotonic()
            wire.close()
            assert await call.closed(1.5) - left < 0.5


async def cancel_some(gateway: Gateway, upstream: Upstream, count: int, rng: random.Random) -> None:
    """`count` streams from a crowd of clients, each left at a random moment in a random manner."""
    numbers = iter(range(count))

    async def client() -> None:
        for _ in numbers:
            async with Wire.open(gateway) as wire:
                stream = rng.random() < 0.8
                await wire.send(post(chat(stream=stream)))
                moment = rng.random()
                if moment > 0.8 and stream:
                    await wire.until(b"HTTP/1.1 200", 10)
                elif moment > 0.1:
                    await asyncio.sleep(rng.random() * 0.02)
                leave(wire, rng.choice(["fin", "rst"]))

    await asyncio.gather(*(client() for _ in range(CROWD)))
    await eventually_idle(gateway, 10)
    await eventually(
        lambda: all(connection.closed.is_set() for connection in upstream.connections),
        "every upstream connection was closed",
        10,
    )


@pytest.mark.timeout(30 + CANCELS / 30)
async def test_many_cancels_leave_nothing_behind(gateway: Gateway, upstream: Upstream) -> None:
    """After a thousand cancelled exchanges the descriptors, the memory and the exchanges in flight are as before."""
    rng = random.Random(20261121)

    async def script(call: Call) -> None:
        await asyncio.sleep(rng.random() * 0.01)
        await (flows if b'"stream":true' in call.body else begins)(call)

    upstream.script = script
    await cancel_some(gateway, upstream, 150, rng)
    descriptors, memory = gateway.descriptors(), gateway.resident_bytes()
    await cancel_some(gateway, upstream, CANCELS, rng)
    assert len(upstream.calls) > CANCELS // 10
    await eventually(lambda: gateway.descriptors() <= descriptors + 2, "the descriptors were closed")
    assert gateway.resident_bytes() - memory < 16 * MIB
    upstream.script = Upstream().script
    assert (await ask(gateway, post(chat()))).status == 200
