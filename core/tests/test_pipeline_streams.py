"""Replies that are streamed and kept: what is sent, counted and stored, and what a broken stream ends with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest
from core.tests.plans import BODY, Gate, Vendor, exchange, ok, plan_of, run
from typing_extensions import override

from headgate import pipeline
from headgate.dialects.sse import DONE, data_of, events_of
from headgate.errors import ProviderFailed
from headgate.exchange import Exchange, Reply
from headgate.hooks import Hooks, hookimpl
from headgate.operations import PASSTHROUGH
from headgate.plan import Plugin, Registry, compile_plan
from headgate.provider import DeploymentConfig, Provider
from headgate.relay import discard
from headgate.testing import Recorded, ReplayUpstream


def streaming(*pieces: bytes | Exception) -> Reply:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            await asyncio.sleep(0)
            if isinstance(piece, Exception):
                raise piece
            yield piece

    return Reply(200, chunks=chunks())


async def relayed(ex: Exchange, reply: Reply) -> bytes:
    sent: list[bytes] = []

    async def send(data: bytes) -> None:
        sent.append(data)

    assert reply.chunks is not None
    ex.reply = reply
    await pipeline.relay_stream(ex, reply.chunks, send)
    return b"".join(sent)


async def test_a_stream_is_sent_and_counted() -> None:
    """Bytes, their number, the time of the first, and the outcome."""
    ex = exchange()
    assert await relayed(ex, streaming(b"data: 1\n\n", DONE)) == b"data: 1\n\n" + DONE
    assert (ex.outcome, ex.reply_bytes, ex.reply_body) == ("complete", 9 + len(DONE), None)
    assert ex.ttft_s is not None
    assert ex.ttft_s > 0


async def test_a_broken_stream_ends_with_an_error_event() -> None:
    """What clients raise on, and no `[DONE]`."""
    ex = exchange()
    got = await relayed(ex, streaming(b"data: 1\n\n", ProviderFailed("cut", code="upstream_cut")))
    last = events_of(got)[-1]
    assert json.loads(data_of(last))["error"]["code"] == "upstream_cut"
    assert DONE not in got
    assert ex.outcome == "cut"
    assert ex.error is not None


async def test_an_opaque_stream_has_no_error_event() -> None:
    """The connection must be cut instead, so the error goes on."""
    ex = exchange(PASSTHROUGH)
    with pytest.raises(ProviderFailed):
        await relayed(ex, streaming(b"x", ProviderFailed("cut")))
    assert ex.outcome == "cut"


async def test_a_collected_stream_is_stored_whole() -> None:
    """A cache that asked for it gets all bytes, once the stream was complete."""
    gate = Gate()
    ex = exchange()
    ex.collect = True
    await relayed(ex, streaming(b"data: 1\n\n", DONE))
    await pipeline.finish(plan_of(gate), ex)
    assert gate.stored == [b"data: 1\n\n" + DONE]


async def test_what_is_collected_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream past the bound is sent and not kept; the bound is made small here."""
    monkeypatch.setattr(pipeline, "MAX_COLLECTED_BYTES", 10)
    gate = Gate()
    ex = exchange()
    ex.collect = True
    assert len(await relayed(ex, streaming(b"x" * 6, b"x" * 6))) == 12
    await pipeline.finish(plan_of(gate), ex)
    assert (gate.stored, ex.reply_body) == ([], None)


async def test_the_end_of_a_long_stream_is_kept_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stream past the bound at least `tail_bytes` of the end are kept, in whole chunks, and not taken for all of it."""
    monkeypatch.setattr(pipeline, "MAX_COLLECTED_BYTES", 10)
    gate = Gate()
    ex = exchange()
    ex.collect, ex.tail_bytes = True, 5
    assert len(await relayed(ex, streaming(b"a" * 6, b"b" * 6, b"c" * 3, b"d" * 3))) == 18
    await pipeline.finish(plan_of(gate), ex)
    assert (gate.stored, ex.reply_body, ex.reply_tail) == ([None], None, b"cccddd")


@pytest.mark.parametrize("outcome", ["cut", "error", "client_gone", ""])
async def test_only_a_complete_reply_is_stored(outcome: Any) -> None:
    """Nothing that ended otherwise may be served again."""
    gate = Gate()
    ex = exchange()
    ex.collect, ex.outcome, ex.reply = True, outcome, ok()
    await pipeline.finish(plan_of(gate), ex)
    assert gate.stored == []


@pytest.mark.parametrize("status", [199, 300, 400, 429, 500])
async def test_only_a_good_reply_is_stored(status: int) -> None:
    """An error of the provider is not served again."""
    gate = Gate()
    ex = exchange()
    ex.collect, ex.outcome, ex.reply = True, "complete", Reply(status)
    await pipeline.finish(plan_of(gate), ex)
    assert gate.stored == []


class Real(Provider):
    """Calls through an upstream, as providers do."""

    name = "real"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {"chat": "openai.chat"}

    @override
    def prepare(self, ex: Exchange) -> Any:
        from headgate.upstream import UpstreamRequest

        return UpstreamRequest("POST", "https://example.com/x", body=ex.body)


async def test_a_stream_that_ends_in_an_error_event_is_not_stored() -> None:
    """A provider's own error in the middle of a stream passes to the client, and the cache never serves it to another."""
    failing = Recorded.from_events({"choices": [{"delta": {"content": "a"}}]}, {"error": {"message": "overloaded"}})
    failing = failing.varied(body=failing.body.removesuffix(DONE))
    upstream = ReplayUpstream({"*": failing})
    gate = Gate()
    gate.collects = True
    plan = compile_plan(
        [Plugin("gate", gate)], Registry(), {"main": Real("main", DeploymentConfig(provider="real"), upstream)}, {}
    )
    ex = exchange()
    reply = await run(plan, ex, BODY.replace(b"}]}", b'}],"stream":true}'))
    assert b"overloaded" in await relayed(ex, reply)
    await pipeline.finish(plan, ex)
    assert gate.stored == []
    assert ex.outcome != "complete"


async def test_giving_up_a_guarded_stream_closes_the_providers() -> None:
    """Whether anybody has begun to read it or not."""
    for begin in (True, False):
        closed: list[str] = []

        async def chunks(closed: list[str] = closed) -> AsyncIterator[bytes]:
            try:
                for _ in range(9):
                    yield b'data: {"choices":[]}\n\n'
            finally:
                closed.append("provider")

        running = chunks()
        await anext(running)
        gate = Gate()
        reply = await run(plan_of(gate, Chunks(), main=Vendor(Reply(200, chunks=running))), exchange())
        assert reply.chunks is not None
        if begin:
            await anext(reply.chunks)
        await discard(reply)
        assert closed == ["provider"], begin


class Chunks(Hooks):
    @override
    @hookimpl
    async def guard_chunk(self, ex: Exchange, window: Any) -> str | None:
        return None

    @override
    @hookimpl
    async def guard_reply(self, ex: Exchange) -> None:
        return None


async def test_discarding_a_whole_reply_is_nothing() -> None:
    """There is nothing to close."""
    await discard(Reply(200, body=b"x"))
