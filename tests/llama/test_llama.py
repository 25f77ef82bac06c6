"""A real model server behind the gateway, driven by the `openai` package. The words are noise, the protocol is not."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Literal

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel
from tests.harness import Gateway, eventually, eventually_idle
from tests.llama.conftest import CONTEXT, SLOTS, Llama
from tests.llama.make_model import vocabulary

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
ENDLESS = {"ignore_eos": True}


class Weather(BaseModel):
    """What a grammar can force even a random model to say."""

    is_cold: bool
    unit: Literal["c", "f"]


async def test_chat(client: AsyncOpenAI) -> None:
    """A whole reply parses, with usage and the reason it ended; a seed makes it come again."""
    first, second = [
        await client.chat.completions.create(
            model="tiny", messages=HELLO, max_completion_tokens=8, seed=3, temperature=0, extra_body=ENDLESS
        )
        for _ in range(2)
    ]
    assert first.choices[0].finish_reason == "length"
    assert first.choices[0].message.content == second.choices[0].message.content
    assert first.usage is not None
    assert first.usage.completion_tokens == 8


async def test_stream(client: AsyncOpenAI) -> None:
    """A stream says what the whole reply says, and ends with the usage that was asked for."""
    whole = await client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=40, temperature=0, extra_body=ENDLESS
    )
    stream = await client.chat.completions.create(
        model="tiny",
        messages=HELLO,
        max_tokens=40,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
        extra_body=ENDLESS,
    )
    chunks = [chunk async for chunk in stream]
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == whole.choices[0].message.content
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 40


async def test_logprobs(client: AsyncOpenAI) -> None:
    """`logprobs` come back in the package's types."""
    reply = await client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=2, logprobs=True, top_logprobs=3, extra_body=ENDLESS
    )
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    # one entry per piece of text: the server joins tokens that only together make a character
    assert {len(token.top_logprobs) for token in logprobs.content} == {3}


async def test_structured_output(client: AsyncOpenAI) -> None:
    """A schema becomes a grammar there, and an instance here."""
    reply = await client.chat.completions.parse(model="tiny", messages=HELLO, response_format=Weather, max_tokens=200)
    assert isinstance(reply.choices[0].message.parsed, Weather)


async def test_json_mode(client: AsyncOpenAI) -> None:
    """JSON mode gives JSON; a bias keeps a random model from opening objects for ever."""
    closing = str(vocabulary().index(b"}"))
    reply = await client.chat.completions.create(
        model="tiny",
        messages=HELLO,
        response_format={"type": "json_object"},
        logit_bias={closing: 100},
        max_tokens=200,
    )
    assert json.loads(reply.choices[0].message.content or "") == {}


async def test_completions(client: AsyncOpenAI) -> None:
    """Text completions, whole and streamed, say the same."""
    whole = await client.completions.create(
        model="tiny", prompt="hello", max_tokens=12, temperature=0, extra_body=ENDLESS
    )
    stream = await client.completions.create(
        model="tiny", prompt="hello", max_tokens=12, temperature=0, stream=True, extra_body=ENDLESS
    )
    assert "".join([chunk.choices[0].text async for chunk in stream]) == whole.choices[0].text
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 12


async def test_embeddings(client: AsyncOpenAI) -> None:
    """One unit vector per text, the same in the base64 form the package asks for as in floats."""
    packed = await client.embeddings.create(model="tiny", input=["one", "two"])
    plain = await client.embeddings.create(model="tiny", input=["one", "two"], encoding_format="float")
    assert len(packed.data) == 2
    for mine, other in zip(packed.data, plain.data, strict=True):
        assert math.isclose(math.hypot(*mine.embedding), 1, abs_tol=1e-3)
        assert mine.embedding == pytest.approx(other.embedding, abs=1e-5)


async def test_overlong_prompt_is_the_servers_400(client: AsyncOpenAI) -> None:
    """A prompt over the context is refused by the server, and its own words and numbers reach the caller."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "x" * (CONTEXT + 1000)}]
        )
    assert caught.value.type == "exceed_context_size_error"
    assert caught.value.response.json()["error"]["n_ctx"] == CONTEXT


async def test_the_deployments_key_is_used(gateway: Gateway, llama: Llama) -> None:
    """The server knows only the deployment's key: whatever the caller brings, the call succeeds."""
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-anything", max_retries=0) as client:
        reply = await client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=1)
        assert reply.object == "chat.completion"
    direct = AsyncOpenAI(base_url=f"http://127.0.0.1:{llama.port}/v1", api_key="sk-anything", max_retries=0)
    async with direct:
        with pytest.raises(openai.AuthenticationError):
            await direct.chat.completions.create(model="tiny", messages=HELLO, max_tokens=1)


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_leaving_frees_the_slots(gateway: Gateway, llama: Llama, client: AsyncOpenAI, how: str) -> None:
    """Streams left in the middle stop the work on the server at once, however they are left.

    The server notices a lost client only while it streams: a whole reply is worked on to its end, gateway or not.
    """

    async def leave() -> None:
        stream = await client.chat.completions.create(model="tiny", messages=HELLO, stream=True, extra_body=ENDLESS)
        async for _ in stream:
            if how == "close":
                await stream.close()
                return

    tasks = [asyncio.create_task(leave()) for _ in range(SLOTS)]
    if how == "cancel":
        await eventually(lambda: llama.metric("requests_processing") == SLOTS, "every slot was busy")
        for task in tasks:
            task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert len(done) == SLOTS
    await eventually_idle(gateway)
    await eventually(lambda: llama.metric("requests_processing") == 0, "every slot was free again", 3)


async def test_more_streams_than_slots(client: AsyncOpenAI) -> None:
    """Requests over the number of slots wait their turn, and every one is whole."""

    async def ask() -> int:
        stream = await client.chat.completions.create(
            model="tiny", messages=HELLO, max_tokens=30, stream=True, extra_body=ENDLESS
        )
        return sum([bool(choice.finish_reason) async for chunk in stream for choice in chunk.choices])

    assert await asyncio.gather(*(ask() for _ in range(SLOTS * 4))) == [1] * (SLOTS * 4)
