"""Chat with the `openai` package: whole, streamed, and what the raw response carries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi there"}]
ANSWER = "Hello from the Headgate demo. You said: hi there"


def text_of(chunks: Sequence[ChatCompletionChunk], index: int = 0) -> str:
    """What a stream says for one choice."""
    choices = (choice for chunk in chunks for choice in chunk.choices)
    return "".join(choice.delta.content or "" for choice in choices if choice.index == index)


def test_whole_reply(client: OpenAI) -> None:
    """A chat completion parses into the package's own types, with usage."""
    reply = client.chat.completions.create(model="fast", messages=HELLO)
    assert reply.object == "chat.completion"
    assert [(choice.message.content, choice.finish_reason) for choice in reply.choices] == [(ANSWER, "stop")]
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_deployment_and_model_may_be_named_in_full(client: OpenAI) -> None:
    """`deployment/model` needs no alias, and the provider sees the model alone."""
    assert client.chat.completions.create(model="demo/any-name", messages=HELLO).model == "any-name"


def test_choices_and_limits_are_honoured(client: OpenAI) -> None:
    """`n`, `max_completion_tokens` and `stop` reach the provider."""
    reply = client.chat.completions.create(model="fast", messages=HELLO, n=3)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    short = client.chat.completions.create(model="fast", messages=HELLO, max_completion_tokens=2)
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("Hello from ", "length")
    stopped = client.chat.completions.create(model="fast", messages=HELLO, stop=["Headgate"])
    assert stopped.choices[0].message.content == "Hello from the "


def test_unicode_comes_back_unharmed(client: OpenAI) -> None:
    """Text beyond ASCII, line separators and emoji survive, whole and streamed."""
    said = "naïve \u2028 日本語 \U0001f600 \x7f \\n"
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": said}]
    whole = client.chat.completions.create(model="fast", messages=messages)
    assert whole.choices[0].message.content == f"Hello from the Headgate demo. You said: {said}"
    chunks = list(client.chat.completions.create(model="fast", messages=messages, stream=True))
    assert text_of(chunks) == whole.choices[0].message.content


def test_stream(client: OpenAI) -> None:
    """A stream starts with the role, says the same as the whole reply, and finishes once; without usage unless asked."""
    chunks = list(client.chat.completions.create(model="fast", messages=HELLO, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert text_of(chunks) == ANSWER
    finishes = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert finishes == ["stop"]
    assert [chunk.usage for chunk in chunks if chunk.usage] == []
    assert len({chunk.id for chunk in chunks}) == 1


def test_stream_with_usage(client: OpenAI) -> None:
    """`stream_options.include_usage` brings one last chunk with usage and no choices."""
    options = client.chat.completions.create(
        model="fast", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = options
    assert text_of(chunks) == ANSWER
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 9


def test_stream_of_several_choices(client: OpenAI) -> None:
    """Choices of one stream are told apart by their index."""
    chunks = list(client.chat.completions.create(model="fast", messages=HELLO, stream=True, n=2))
    assert text_of(chunks, 0) == ANSWER
    assert text_of(chunks, 1) == ANSWER.replace("demo.", "demo. Answer 2.")


def test_stream_helper(client: OpenAI) -> None:
    """The package's own accumulator accepts every event and ends with the whole message."""
    with client.chat.completions.stream(model="fast", messages=HELLO) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == ANSWER


def test_raw_response_headers(client: OpenAI) -> None:
    """Every reply names its request, its trace and who answered, under both names; ids are new for each."""
    seen = [
        client.chat.completions.with_raw_response.create(
            model="fast", messages=HELLO, extra_headers={"x-headgate-trace-id": "trace-7"}
        )
        for _ in range(2)
    ]
    headers = seen[0].headers
    assert headers["x-headgate-request-id"] != seen[1].headers["x-headgate-request-id"]
    assert (headers["x-headgate-trace-id"], headers["x-portkey-trace-id"]) == ("trace-7", "trace-7")
    assert (headers["x-headgate-provider"], headers["x-portkey-provider"]) == ("demo", "demo")
    assert headers["x-headgate-deployment"] == "demo"
    assert headers["content-type"] == "application/json"
    parsed = seen[0].parse()
    assert parsed.choices[0].message.content == ANSWER
    assert seen[0].request_id == headers["x-request-id"]


def test_raw_stream_headers(client: OpenAI) -> None:
    """A stream carries the same headers before its first event."""
    with client.chat.completions.with_streaming_response.create(model="fast", messages=HELLO, stream=True) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-headgate-provider"] == "demo"
        assert list(response.iter_lines())[-2] == "data: [DONE]"


def test_gateway_fields_reach_the_demo(client: OpenAI) -> None:
    """What the package does not know passes through `extra_body`."""
    reply = client.chat.completions.create(model="fast", messages=HELLO, extra_body={"demo": {"tokens": 3}})
    assert reply.choices[0].message.content == "Hello from the"


async def test_async_whole_and_streamed(async_client: AsyncOpenAI) -> None:
    """The asynchronous client gets the same answers."""
    reply = await async_client.chat.completions.create(model="fast", messages=HELLO)
    assert reply.choices[0].message.content == ANSWER
    stream = await async_client.chat.completions.create(model="fast", messages=HELLO, stream=True)
    assert text_of([chunk async for chunk in stream]) == ANSWER


async def test_many_at_once(async_client: AsyncOpenAI) -> None:
    """Sixty streams at once each get their own words."""

    async def ask(number: int) -> str:
        stream = await async_client.chat.completions.create(
            model="fast",
            messages=[{"role": "user", "content": f"number {number}"}],
            stream=True,
            extra_body={"demo": {"chunk_gap_ms": 5}},
        )
        return text_of([chunk async for chunk in stream])

    said = await asyncio.gather(*(ask(number) for number in range(60)))
    assert said == [f"Hello from the Headgate demo. You said: number {number}" for number in range(60)]


@pytest.mark.parametrize("size", [1, 3, 4096])
def test_a_long_stream_is_whole(client: OpenAI, size: int) -> None:
    """Whatever the size of its pieces, a stream loses and adds nothing."""
    tokens = 2000 if size > 1 else 200
    body = {"demo": {"tokens": tokens, "chunk_bytes": size}}
    whole = client.chat.completions.create(model="fast", messages=HELLO, extra_body=body)
    chunks = list(client.chat.completions.create(model="fast", messages=HELLO, stream=True, extra_body=body))
    assert text_of(chunks) == whole.choices[0].message.content
