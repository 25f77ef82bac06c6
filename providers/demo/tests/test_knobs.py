"""The demo obeys every knob, from the request field and from the header."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from headgate.errors import InvalidRequest, ProviderFailed, ProviderTimeout
from headgate.exchange import Reply, Target
from headgate.operations import CHAT, COMPLETIONS, EMBEDDINGS, Operation
from headgate.upstream import Timeouts

Ask = Callable[..., Awaitable[Reply]]
Events = Callable[..., Awaitable[list[bytes]]]

HELLO: list[Any] = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "good morning"}]


async def chat(ask: Ask, **asked: Any) -> ChatCompletion:
    return ChatCompletion.model_validate_json((await ask({"messages": HELLO, **asked})).body, strict=True)


async def chunks(events: Events, **asked: Any) -> list[ChatCompletionChunk]:
    found = await events({"messages": HELLO, **asked})
    return [ChatCompletionChunk.model_validate_json(event[6:], strict=True) for event in found[:-1]]


def text_of(completion: ChatCompletion) -> str:
    return completion.choices[0].message.content or ""


async def test_tokens(ask: Ask) -> None:
    """`tokens` makes the answer exactly that long, shorter or longer than it would be."""
    for wanted in (1, 5, 1000):
        reply = await chat(ask, demo={"tokens": wanted})
        assert reply.usage is not None
        assert reply.usage.completion_tokens == wanted
        assert len(text_of(reply).split()) == wanted


async def test_chunk_bytes(ask: Ask, events: Events) -> None:
    """`chunk_bytes` sets how much text one stream event holds; characters are never cut in two."""
    messages = [{"role": "user", "content": "\u00e9\U0001f600" * 10}]
    for size in (1, 4, 7, 10_000):
        streamed = await chunks(events, messages=messages, demo={"chunk_bytes": size})
        pieces = [text for chunk in streamed for choice in chunk.choices if (text := choice.delta.content)]
        assert "".join(pieces) == text_of(await chat(ask, messages=messages, demo={"chunk_bytes": size}))
        assert all(len(piece.encode()) <= max(size, 4) for piece in pieces)
        assert (len(pieces) == 1) == (size == 10_000)


async def test_header_knobs(ask: Ask) -> None:
    """The header drives it as the field does; where both speak, the field wins."""
    headers = {"x-headgate-demo": '{"tokens": 2, "status": 418}'}
    assert (await ask({"messages": HELLO}, headers=headers)).status == 418
    assert (await ask({"messages": HELLO}, headers={"x-portkey-demo": '{"status": 500}'})).status == 500
    reply = await ask({"messages": HELLO, "demo": {"status": None, "tokens": 4}}, headers=headers)
    assert json.loads(reply.body)["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize(
    ("field", "match"),
    [
        ({"latency": 5}, r"unknown `demo.latency` \(did you mean `latency_ms`\?\)"),
        ({"zzz": 5}, "unknown `demo.zzz`$"),
        ({"latency_ms": -1}, "`demo.latency_ms`"),
        ({"latency_ms": "5"}, "`demo.latency_ms`: expected `float`"),
        ({"tokens": 0}, "`demo.tokens`"),
        ({"status": 200}, "`demo.status`"),
        ({"hang": 1}, "`demo.hang`"),
        ([], "`demo` must be an object"),
        ("x", "`demo` must be an object"),
    ],
)
async def test_bad_knobs(ask: Ask, field: object, match: str) -> None:
    """A mistyped or impossible knob is a 400 that names it, from the field and from the header."""
    with pytest.raises(InvalidRequest, match=match):
        await ask({"messages": HELLO, "demo": field})
    with pytest.raises(InvalidRequest, match=match):
        await ask({"messages": HELLO}, headers={"x-headgate-demo": json.dumps(field)})


async def test_broken_header(ask: Ask) -> None:
    """A header that is no JSON is refused."""
    with pytest.raises(InvalidRequest, match="`demo`"):
        await ask({"messages": HELLO}, headers={"x-headgate-demo": "{"})


@pytest.mark.parametrize("status", [400, 401, 404, 418, 429, 500, 503, 599])
@pytest.mark.parametrize("operation", [CHAT, COMPLETIONS, EMBEDDINGS])
async def test_status(ask: Ask, status: int, operation: Operation) -> None:
    """`status` gives an error reply in OpenAI's envelope, whatever else the request holds; 429 says when to retry."""
    reply = await ask({"demo": {"status": status}, "stream": True}, operation)
    error = json.loads(reply.body)["error"]
    assert (reply.status, reply.chunks, sorted(error)) == (status, None, ["code", "message", "param", "type"])
    assert dict(reply.headers).get(b"retry-after") == (b"1" if status == 429 else None)


async def test_fail_after_chunks(ask: Ask) -> None:
    """A stream breaks off after exactly that many chunks, as a failed provider does."""
    reply = await ask({"messages": HELLO, "stream": True, "demo": {"fail_after_chunks": 3}})
    assert reply.chunks is not None
    received = [await anext(reply.chunks) for _ in range(3)]
    with pytest.raises(ProviderFailed) as caught:
        await anext(reply.chunks)
    assert all(chunk.startswith(b"data: ") for chunk in received)
    assert (caught.value.provider, caught.value.deployment) == ("demo", "try")
    assert caught.value.error_code == "upstream_cut"
    assert reply.usage is None


async def test_fail_before_anything(ask: Ask) -> None:
    """Zero chunks, or no stream at all, fails before there is a reply, so that something else can be tried."""
    for asked in ({"stream": True, "demo": {"fail_after_chunks": 0}}, {"demo": {"fail_after_chunks": 2}}):
        with pytest.raises(ProviderFailed):
            await ask({"messages": HELLO, **asked})


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the demo would have slept, instead of sleeping it."""
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", nap)
    return naps


async def test_no_sleep_unless_asked(ask: Ask, events: Events, slept: list[float]) -> None:
    """Without latency there is no sleep at all."""
    await chat(ask)
    await chunks(events)
    assert slept == []


async def test_latency_and_gaps(ask: Ask, events: Events, slept: list[float]) -> None:
    """`latency_ms` waits before the reply, errors too; `chunk_gap_ms` waits between chunks."""
    await ask({"messages": HELLO, "demo": {"latency_ms": 250, "status": 500}})
    assert slept == [0.25]
    slept.clear()
    streamed = await events({"messages": HELLO, "demo": {"chunk_gap_ms": 20}})
    assert slept == [0.02] * (len(streamed) - 1)


@pytest.mark.parametrize(
    ("headers", "target_s", "limit_s"),
    [({}, 0, 7), ({}, 2, 2), ({"x-headgate-request-timeout": "1500"}, 2, 1.5), ({}, 9, 7)],
)
async def test_hang(ask: Ask, slept: list[float], headers: dict[str, str], target_s: float, limit_s: float) -> None:
    """`hang` never answers: it is waited for as long as a silent provider would be, then it is a timeout."""
    target = Target(deployment="try", request_timeout_s=target_s)
    asked = {"messages": HELLO, "demo": {"hang": True}}
    with pytest.raises(ProviderTimeout) as caught:
        await ask(asked, headers=headers, target=target, timeouts=Timeouts(first_byte_s=7))
    assert (slept, caught.value.provider) == ([limit_s], "demo")


async def test_latency_beyond_the_timeout(ask: Ask, slept: list[float]) -> None:
    """A latency longer than the timeout is a timeout; one as long as it is an answer."""
    timeouts = Timeouts(first_byte_s=1)
    assert (await ask({"messages": HELLO, "demo": {"latency_ms": 1000}}, timeouts=timeouts)).is_ok
    with pytest.raises(ProviderTimeout):
        await ask({"messages": HELLO, "demo": {"latency_ms": 1001}}, timeouts=timeouts)
    assert slept == [1, 1]


async def test_hanging_can_be_cancelled(ask: Ask) -> None:
    """A caller who leaves takes the waiting with them."""
    task = asyncio.ensure_future(ask({"messages": HELLO, "demo": {"hang": True}}))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
