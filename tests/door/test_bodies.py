"""Request bodies: limits by operation, what a client that sends too much gets to read, and memory."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from tests.conftest import StartGateway
from tests.door.conftest import BODY_LIMITS, KIB, MIB
from tests.door.upstream import Call, Upstream
from tests.harness import Answer, Gateway, Wire, ask, chat, chunked, eventually, head, post

TARGETS = {
    "chat": b"/v1/chat/completions",
    "completions": b"/v1/completions",
    "embeddings": b"/v1/embeddings",
    "passthrough": b"/v1/vector_stores",
}
CROWD = 32
ROOM = 32 * MIB
PROVIDER = b"x-headgate-provider: mock\r\n"


def sized(size: int) -> bytes:
    """A chat body of exactly `size` bytes."""
    return chat(pad="x" * (size - len(chat(pad=""))))


async def flood(wire: Wire, limit: int, piece: bytes) -> int:
    """Send `piece` over and over until the gateway closes or `limit` bytes are sent; how many were."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < limit:
            await wire.send(piece)
            sent += len(piece)
    return sent


def assert_too_large(answer: Answer) -> None:
    assert answer.status == 413
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["code"] == "body_too_large"


@pytest.mark.parametrize("operation", TARGETS)
async def test_declared_size_over_the_limit_is_refused_unread(
    gateway: Gateway, upstream: Upstream, operation: str
) -> None:
    """A `content-length` over the operation's limit is a 413 with the error envelope, before any body byte is sent."""
    length = b"content-length: %d\r\n" % (BODY_LIMITS[operation] + 1)
    started = time.monotonic()
    assert_too_large(await ask(gateway, head(length + PROVIDER, TARGETS[operation])))
    assert time.monotonic() - started < 0.8
    assert upstream.calls == []


@pytest.mark.parametrize("operation", TARGETS)
async def test_counted_size_over_the_limit_is_refused(gateway: Gateway, upstream: Upstream, operation: str) -> None:
    """A chunked body has no declared size: it is counted, and refused with a 413 when it passes the limit."""
    limit = BODY_LIMITS[operation]
    async with Wire.open(gateway) as wire:
        await wire.send(head(b"transfer-encoding: chunked\r\n" + PROVIDER, TARGETS[operation]))
        sent = await flood(wire, limit + 32 * KIB, chunked(b" " * 16 * KIB))
        assert sent >= limit
        assert_too_large(await wire.answer())
    assert upstream.calls == []


async def test_body_at_the_limit_is_taken(gateway: Gateway, upstream: Upstream) -> None:
    """The limit itself is allowed, and the provider receives every byte but the model's name."""
    body = sized(BODY_LIMITS["chat"])
    answer = await ask(gateway, post(body))
    assert answer.status == 200
    assert upstream.calls[0].body == body.replace(b'"m"', b'"some-model"', 1)


async def test_client_that_sends_everything_first_reads_the_413(gateway: Gateway, upstream: Upstream) -> None:
    """Most clients send their whole body before they read: they must find the 413, not a reset connection."""
    async with Wire.open(gateway) as wire:
        await wire.send(post(sized(BODY_LIMITS["chat"] + 64 * KIB)))
        assert_too_large(await wire.answer())
    assert upstream.calls == []


async def test_client_that_goes_on_after_the_refusal_reads_the_413(gateway: Gateway, upstream: Upstream) -> None:
    """A chunked body that goes on for a while past the limit does not cost the client its 413."""
    async with Wire.open(gateway) as wire:
        await wire.send(head(b"transfer-encoding: chunked\r\n"))
        await flood(wire, BODY_LIMITS["chat"] + 512 * KIB, chunked(b" " * 64 * KIB))
        assert_too_large(await wire.answer())
    assert upstream.calls == []


async def test_endless_body_is_cut_and_costs_no_memory(gateway: Gateway, upstream: Upstream) -> None:
    """A body without end is cut within seconds, and memory grows by little more than the limit."""
    before = gateway.resident_bytes()
    gateway.forget_peak()
    limit = 2048 * MIB
    async with Wire.open(gateway) as wire, asyncio.timeout(8):
        await wire.send(head(b"transfer-encoding: chunked\r\n"))
        sent = await flood(wire, limit, chunked(b"[" * 256 * KIB))
    assert sent < limit
    assert gateway.peak_bytes() - before < 16 * MIB
    assert upstream.calls == []


async def test_all_bodies_together_are_bounded(start_gateway: StartGateway, upstream: Upstream) -> None:
    """Bodies held at one time stay under `inflight_bytes`: what is over it gets a 503, and the room is given back.

    Memory grows by no more than three times that, for the pieces, the whole and the copy that goes to the provider.
    """
    gateway = start_gateway({"limits": {"inflight_bytes": ROOM, "body_bytes": {"chat": 4 * MIB}}})
    assert (await ask(gateway, post(sized(4 * MIB)))).status == 200
    before = gateway.resident_bytes()
    gateway.forget_peak()
    body = sized(4 * MIB)
    finish = asyncio.Event()
    refused_early: list[Answer] = []

    async def client() -> Answer:
        async with Wire.open(gateway) as wire:
            with contextlib.suppress(ConnectionError):
                await wire.send(post(body)[:-1])
            waiting = asyncio.create_task(wire.answer(20))
            await asyncio.wait({waiting, finishing}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                refused_early.append(waiting.result())
            else:
                await wire.send(body[-1:])
            return await waiting

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        finishing = group.create_task(finish.wait())
        tasks = [group.create_task(client()) for _ in range(CROWD)]
        await eventually(lambda: len(refused_early) >= CROWD - 8, "all bodies but those that fit were refused", 15)
        assert (await ask(gateway, head(method=b"GET", target=b"/v1/ready"))).status == 200
        finish.set()
    answers = [task.result() for task in tasks]
    refused = [answer for answer in answers if answer.status != 200]
    assert 1 <= len(answers) - len(refused) <= 8
    assert {answer.status for answer in refused} == {503}
    assert all(answer.header("retry-after") for answer in refused)
    assert gateway.peak_bytes() - before < 4 * ROOM + 16 * MIB
    assert len(upstream.calls) == 1 + len(answers) - len(refused)
    assert (await ask(gateway, post(body))).status == 200


async def test_exchanges_at_one_time_are_bounded(start_gateway: StartGateway, upstream: Upstream) -> None:
    """More than `in_flight` exchanges at one time: the rest is refused at once with 503 and Retry-After."""
    gateway = start_gateway({"limits": {"in_flight": 3}})
    go = asyncio.Event()
    answer_whole = upstream.script

    async def script(call: Call) -> None:
        await go.wait()
        await answer_whole(call)

    upstream.script = script
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(gateway, post(chat()))) for _ in range(3)]
        await upstream.call(2)
        refused = await ask(gateway, post(chat()), deadline_s=1)
        go.set()
    assert refused.status == 503
    assert refused.error["code"] == "overloaded"
    assert refused.header("retry-after")
    assert [task.result().status for task in tasks] == [200, 200, 200]
    assert len(upstream.calls) == 3
