"""SIGTERM: readiness fails first, nothing new is taken, what runs is finished, and what cannot be is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

from tests.conftest import StartGateway
from tests.door.upstream import CHAT_REPLY, DONE, EVENTS, STREAM_HEAD, Call, Upstream, json_response
from tests.harness import Answer, Gateway, Wire, ask, chat, chunked, eventually, head, post

READY = head(method=b"GET", target=b"/v1/ready")
STREAMS = 5


class Held:
    """A script that begins every reply and ends it when `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, call: Call) -> None:
        if b'"stream":true' not in call.body:
            await self.go.wait()
            await call.send(json_response(CHAT_REPLY))
            return
        await call.send(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(EVENTS[0]))
        await self.go.wait()
        await call.send(b"".join(map(chunked, EVENTS[1:])) + b"0\r\n\r\n")


async def running_stream(gateway: Gateway, stack: contextlib.AsyncExitStack) -> Wire:
    """A stream that has begun."""
    wire = await stack.enter_async_context(Wire.open(gateway))
    await wire.send(post(chat(stream=True)))
    await wire.until(EVENTS[0])
    return wire


async def is_refused(gateway: Gateway) -> bool:
    """Whether a new connection is not taken."""
    try:
        async with Wire.open(gateway) as wire:
            await wire.send(READY)
            await wire.answer(1)
    except (ConnectionError, EOFError):
        return True
    return False


async def until_refused(gateway: Gateway, deadline_s: float = 3.0) -> None:
    end = time.monotonic() + deadline_s
    while not await is_refused(gateway):
        assert time.monotonic() < end, "new connections were still taken"
        await asyncio.sleep(0.02)


async def until_exit(gateway: Gateway, deadline_s: float) -> int:
    """The exit code, within the deadline."""
    await eventually(lambda: gateway.process.poll() is not None, "the process ended", deadline_s)
    return gateway.process.returncode


async def test_running_replies_are_finished(start_gateway: StartGateway, upstream: Upstream) -> None:
    """After SIGTERM readiness answers 503, then connections are refused, and all replies that run come whole.

    A connection that was kept open tells the first; the process ends with 0 soon after the last reply.
    """
    gateway = start_gateway({"server": {"drain_s": 20, "drain_delay_s": 0.3}})
    upstream.script = held = Held()
    async with contextlib.AsyncExitStack() as stack:
        kept = await stack.enter_async_context(Wire.open(gateway))
        await kept.send(READY)
        assert (await kept.answer()).status == 200
        streams = [await running_stream(gateway, stack) for _ in range(STREAMS)]
        whole = await stack.enter_async_context(Wire.open(gateway))
        await whole.send(post(chat()))
        await upstream.call(STREAMS)

        gateway.terminate()
        await asyncio.sleep(0)
        statuses = [200]
        async with asyncio.timeout(10):
            while statuses[-1] == 200:
                await kept.send(READY)
                statuses.append((await kept.answer()).status)
        assert statuses[-1] == 503
        await until_refused(gateway)
        assert gateway.process.poll() is None

        held.go.set()
        for stream in streams:
            answer = await stream.answer()
            assert (answer.status, answer.is_whole, answer.body) == (200, True, b"".join(EVENTS))
        assert (await whole.answer()).json == CHAT_REPLY
        assert await until_exit(gateway, 3) == 0


async def test_new_connections_are_taken_while_readiness_fails(start_gateway: StartGateway, upstream: Upstream) -> None:
    """During `drain_delay_s` requests on new connections are still served, so that a balancer can look away first."""
    gateway = start_gateway({"server": {"drain_s": 5, "drain_delay_s": 1.0}})
    gateway.terminate()
    ready: list[Answer] = []

    async def asks() -> bool:
        ready.append(await ask(gateway, READY))
        return ready[-1].status == 503

    end = time.monotonic() + 0.5
    while not await asks():
        assert time.monotonic() < end
    assert (await ask(gateway, post(chat()))).status == 200
    await until_refused(gateway)
    assert await until_exit(gateway, 3) == 0


async def test_streams_past_the_deadline_are_told(start_gateway: StartGateway, upstream: Upstream) -> None:
    """Past `drain_s` a stream ends with an error event, a reply or a body that has not come is a 503, and the exit code is 0."""
    gateway = start_gateway({"server": {"drain_s": 1.0, "drain_delay_s": 0.1}})
    upstream.script = Held()
    async with contextlib.AsyncExitStack() as stack:
        streams = [await running_stream(gateway, stack) for _ in range(STREAMS)]
        whole = await stack.enter_async_context(Wire.open(gateway))
        await whole.send(post(chat()))
        await upstream.call(STREAMS)
        stalled = await stack.enter_async_context(Wire.open(gateway))
        await stalled.send(head(b"content-length: 100\r\n"))
        started = time.monotonic()
        gateway.terminate()
        for stream in streams:
            answer = await stream.answer(5)
            assert (answer.status, answer.is_whole) == (200, True)
            assert answer.body.startswith(EVENTS[0] + b'data: {"error"')
            assert json.loads(answer.body[len(EVENTS[0]) + 6 :])["error"]["type"] == "overloaded_error"
            assert DONE not in answer.body
        lasted = time.monotonic() - started
        for wire in (whole, stalled):
            answer = await wire.answer(5)
            assert (answer.status, answer.error["type"]) == (503, "overloaded_error")
            assert answer.header("retry-after")
        assert 0.9 < lasted < 2.5
        assert await until_exit(gateway, 3) == 0


async def test_idle_connections_do_not_hold_the_process(start_gateway: StartGateway) -> None:
    """Kept connections, silent ones and half-sent heads do not keep a gateway from ending."""
    gateway = start_gateway({"server": {"drain_s": 20, "drain_delay_s": 0}})
    async with contextlib.AsyncExitStack() as stack:
        for start in (READY, b"", b"POST /v1/chat/comp"):
            wire = await stack.enter_async_context(Wire.open(gateway))
            if start:
                await wire.send(start)
            if start == READY:
                await wire.answer()
        gateway.terminate()
        assert await until_exit(gateway, 3) == 0


async def test_second_request_of_a_draining_connection_is_told(start_gateway: StartGateway, upstream: Upstream) -> None:
    """A request behind the one that runs when SIGTERM comes is answered whole, or the connection is closed for it."""
    gateway = start_gateway({"server": {"drain_s": 5, "drain_delay_s": 0}})
    upstream.script = held = Held()
    async with Wire.open(gateway) as wire:
        await wire.send(post(chat(stream=True)) + post(chat()))
        await wire.until(EVENTS[0])
        gateway.terminate()
        await until_refused(gateway)
        held.go.set()
        answer = await wire.answer()
        assert (answer.is_whole, answer.body) == (True, b"".join(EVENTS))
        with contextlib.suppress(EOFError, ConnectionError):
            second = await wire.answer()
            assert second.is_whole
            assert second.status in {200, 503}
    assert await until_exit(gateway, 3) == 0
