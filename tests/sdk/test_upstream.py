"""What reaches the provider when the `openai` package calls, and what becomes of it when the package leaves."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam
from tests.door.upstream import EVENTS, STREAM_HEAD, Call, Upstream, reply_fitting
from tests.harness import CANARY, GATEWAY_KEY, chunked

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


async def trickle(call: Call) -> None:
    """Start a stream, say two things, and hold the line."""
    await call.send(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n")
    for event in EVENTS[:2]:
        await call.send(chunked(event))
    await call.connection.closed.wait()


async def silence(call: Call) -> None:
    """Say nothing at all."""
    await call.connection.closed.wait()


@pytest.mark.parametrize("stream", [False, True])
async def test_the_body_is_that_of_a_direct_call(async_client: AsyncOpenAI, upstream: Upstream, stream: bool) -> None:
    """But for the model's name the provider gets, byte for byte, what the package would have sent it without a gateway."""
    upstream.script = reply_fitting()
    body = {"reasoning_effort": "low", "zeta": {"b": 1, "a": [1.0, 1e300, 12345678901234567890]}, "user": "u\u2028é"}
    direct = AsyncOpenAI(base_url=f"http://127.0.0.1:{upstream.port}/v1", api_key=GATEWAY_KEY, max_retries=0)
    async with direct:
        for client, model in ((async_client, "m"), (direct, "some-model")):
            await client.chat.completions.create(
                model=model, messages=HELLO, temperature=0.1, stream=stream, extra_body=body
            )
    through, alone = upstream.calls
    assert through.body == alone.body
    assert json.loads(through.body)["zeta"] == body["zeta"]


async def test_the_callers_key_stays_behind(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """The provider sees the deployment's key, and nothing the package says about itself."""
    await async_client.chat.completions.create(model="m", messages=HELLO, extra_headers={"cookie": "a=b", "x-own": "1"})
    call = await upstream.call()
    assert call.header("authorization") == f"Bearer {CANARY}"
    assert call.target == "/v1/chat/completions"
    names = {name for name, _ in call.headers}
    assert not {
        name for name in names if name.startswith(("x-stainless", "x-headgate", "x-portkey", "cookie", "x-own"))
    }
    assert (call.header("user-agent") or "").startswith("headgate/")
    assert GATEWAY_KEY not in repr(call.headers)


async def test_documented_headers_pass(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """The vendor's own request headers reach it, and what `x-headgate-forward-headers` names."""
    await async_client.chat.completions.create(
        model="m",
        messages=HELLO,
        extra_headers={
            "idempotency-key": "once",
            "x-client-request-id": "mine-1",
            "x-team": "red",
            "x-headgate-forward-headers": "x-team",
        },
    )
    call = await upstream.call()
    seen = [call.header(name) for name in ("idempotency-key", "x-client-request-id", "x-team")]
    assert seen == ["once", "mine-1", "red"]


async def test_a_large_prompt_arrives_whole(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """Megabytes of prompt, as images make them, reach the provider byte for byte."""
    prompt = "0123456789abcdef" * 400_000
    await async_client.chat.completions.create(model="m", messages=[{"role": "user", "content": prompt}])
    assert (await upstream.call()).json["messages"][0]["content"] == prompt


async def test_a_stream_arrives_piece_by_piece(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """An event reaches the caller when the provider has sent it, not when the stream is over."""
    upstream.script = trickle
    stream = await async_client.chat.completions.create(model="m", messages=HELLO, stream=True)
    pieces = stream.__aiter__()
    first, second = await anext(pieces), await anext(pieces)
    assert first.choices[0].delta.role == "assistant"
    assert second.choices[0].delta.content
    await stream.close()


@pytest.mark.parametrize("how", ["close", "cancel", "break"])
async def test_a_stream_that_is_left_is_left_upstream(async_client: AsyncOpenAI, upstream: Upstream, how: str) -> None:
    """However a stream is left, the provider's connection is closed at once and its work is over."""
    upstream.script = trickle
    arrived = asyncio.Event()

    async def read() -> None:
        stream = await async_client.chat.completions.create(model="m", messages=HELLO, stream=True)
        async with stream:
            async for _ in stream:
                arrived.set()
                if how == "break":
                    break
                if how == "close":
                    await stream.close()
                    break

    task = asyncio.create_task(read())
    await asyncio.wait_for(arrived.wait(), 5)
    if how == "cancel":
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await (await upstream.call()).closed(2)


async def test_a_call_that_is_cancelled_is_left_upstream(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """A caller that gives up before the reply began leaves nothing running."""
    upstream.script = silence
    task = asyncio.create_task(async_client.chat.completions.create(model="m", messages=HELLO))
    call = await upstream.call()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await call.closed(2)


async def test_the_packages_timeout_leaves_upstream(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """The package's own timeout, between two pieces of a stream as before the first, ends the provider's work."""
    upstream.script = trickle
    stream = await async_client.chat.completions.create(model="m", messages=HELLO, stream=True, timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        async for _ in stream:
            pass
    await (await upstream.call()).closed(2)


async def test_cancelled_calls_leave_no_stuck_connection(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """After forty cancelled calls the next ones are answered as if nothing had been."""
    upstream.script = silence
    tasks = [asyncio.create_task(async_client.chat.completions.create(model="m", messages=HELLO)) for _ in range(40)]
    await upstream.call(39)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for call in upstream.calls:
        await call.closed(2)
    upstream.script = reply_fitting()
    replies = await asyncio.gather(
        *(async_client.chat.completions.create(model="m", messages=HELLO) for _ in range(40))
    )
    assert {reply.choices[0].message.content for reply in replies} == {"Hello"}
