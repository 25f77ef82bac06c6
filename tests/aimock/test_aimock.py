"""The official `openai` package through the gateway to aimock: what the client gets, and what the mock received."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from pydantic import BaseModel
from tests.aimock.conftest import Aimock
from tests.harness import GATEWAY_KEY

pytestmark = pytest.mark.node

HELLO = "Hello, this reply was written down before: naïve \u2028 日本語 😀."
PROVIDER = {"x-headgate-provider": "ai"}
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


class Place(BaseModel):
    """What the structured fixture says."""

    city: str
    degrees: int


def asking(text: str) -> list[ChatCompletionMessageParam]:
    """One user message."""
    return [{"role": "user", "content": text}]


def received(aimock: Aimock) -> dict[str, Any]:
    """The only request in the journal."""
    entries = aimock.journal()
    assert len(entries) == 1
    return entries[0]


async def test_chat(client: AsyncOpenAI) -> None:
    """A whole reply arrives with the usage the provider stated."""
    reply = await client.chat.completions.create(model="gpt", messages=asking("hello"))
    assert reply.choices[0].message.content == HELLO
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (11, 7)
    assert reply.model == "gpt-4o"


async def test_stream(client: AsyncOpenAI) -> None:
    """A stream says the same in many pieces, and ends with its usage."""
    stream = await client.chat.completions.create(
        model="gpt", messages=asking("hello"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == HELLO
    assert len(chunks) > 8
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 18


async def test_tools(client: AsyncOpenAI) -> None:
    """A call comes whole and streamed, and its answer leads to the last word."""
    whole = await client.chat.completions.create(model="gpt", messages=asking("weather"), tools=[WEATHER])
    calls = whole.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert json.loads(calls[0].function.arguments) == {"city": "Bergen"}
    stream = client.chat.completions.stream(model="gpt", messages=asking("weather"), tools=[WEATHER])
    async with stream as events:
        final = await events.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    messages: list[ChatCompletionMessageParam] = [
        *asking("weather"),
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bergen"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "-3"},
    ]
    last = await client.chat.completions.create(model="gpt", messages=messages, tools=[WEATHER])
    assert last.choices[0].message.content == "It is cold in Bergen."


async def test_structured_output(client: AsyncOpenAI, aimock: Aimock) -> None:
    """`.parse` gives an instance, and the schema reached the provider."""
    reply = await client.chat.completions.parse(model="gpt", messages=asking("structured"), response_format=Place)
    assert reply.choices[0].message.parsed == Place(city="Bergen", degrees=-3)
    assert received(aimock)["body"]["response_format"]["json_schema"]["name"] == "Place"


async def test_embeddings(client: AsyncOpenAI) -> None:
    """A vector comes back as it was written, in both encodings."""
    for encoding in (openai.omit, "float"):
        reply = await client.embeddings.create(model="gpt", input=["vector"], encoding_format=encoding)
        assert reply.data[0].embedding == [0.25, -0.5, 0.125]


async def test_the_deployments_key_is_the_one_that_arrives(
    client: AsyncOpenAI, direct: AsyncOpenAI, aimock: Aimock
) -> None:
    """The mock lets only the deployment's key in: the caller's own is refused there, and works through the gateway."""
    with pytest.raises(openai.AuthenticationError):
        await direct.with_options(api_key=GATEWAY_KEY).chat.completions.create(model="gpt-4o", messages=asking("hello"))
    aimock.forget()
    await client.chat.completions.create(model="gpt", messages=asking("hello"))
    entry = received(aimock)
    assert entry["response"]["status"] == 200
    assert GATEWAY_KEY not in json.dumps(entry)


async def test_the_journal_knows_no_gateway(client: AsyncOpenAI, direct: AsyncOpenAI, aimock: Aimock) -> None:
    """Body, path and content type are those of a direct call; the package's own headers and the caller's stay behind."""
    body: dict[str, Any] = {"zeta": {"b": [1, 2.5, None, True]}, "user": "u\u2028é", "seed": 2**53 + 1}
    await direct.chat.completions.create(
        model="gpt-4o", messages=asking("hello"), temperature=0.1, tools=[WEATHER], extra_body=body
    )
    alone = received(aimock)
    aimock.forget()
    await client.chat.completions.create(
        model="gpt",
        messages=asking("hello"),
        temperature=0.1,
        tools=[WEATHER],
        extra_body=body,
        extra_headers={"x-own": "1", "x-headgate-trace-id": "t"},
    )
    through = received(aimock)
    assert through["body"] == alone["body"]
    assert list(through["body"]) == list(alone["body"])
    assert (through["method"], through["path"]) == (alone["method"], alone["path"])
    for name in ("content-length", "content-type"):
        assert through["headers"][name] == alone["headers"][name]
    own = ("x-stainless", "x-own", "x-headgate", "x-portkey", "cookie")
    assert [name for name in through["headers"] if name.startswith(own)] == []


async def test_a_refusal_is_retried_by_the_package(client: AsyncOpenAI, aimock: Aimock) -> None:
    """A 429 with `retry-after` reaches the package; its own retry is the only second request."""
    reply = await client.with_options(max_retries=1).chat.completions.create(model="gpt", messages=asking("slow down"))
    assert reply.choices[0].message.content == "Better now."
    assert [entry["response"]["status"] for entry in aimock.journal()] == [429, 200]


async def test_rate_limit_headers_pass(client: AsyncOpenAI, aimock: Aimock) -> None:
    """The limits a provider states and its `retry-after` reach the caller; without retries it was asked once."""
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="gpt", messages=asking("always refused"))
    headers = caught.value.response.headers
    assert (headers["retry-after"], headers["x-ratelimit-remaining-requests"]) == ("3", "0")
    assert caught.value.code == "rate_limit_exceeded"
    assert len(aimock.journal()) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_errors(client: AsyncOpenAI, stream: bool) -> None:
    """Errors keep status, type, code and field."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="gpt", messages=asking("bad request"), stream=stream)
    assert (caught.value.code, caught.value.param) == ("bad", "messages")
    with pytest.raises(openai.InternalServerError, match="it broke"):
        await client.chat.completions.create(model="gpt", messages=asking("server error"), stream=stream)
    with pytest.raises(openai.InternalServerError) as strict:
        await client.chat.completions.create(model="gpt", messages=asking("never heard of"), stream=stream)
    assert (strict.value.status_code, strict.value.code) == (503, "no_fixture_match")


async def test_a_cut_stream_raises(client: AsyncOpenAI) -> None:
    """A stream whose connection breaks is an error after what came, never a finished reply."""
    stream = await client.chat.completions.create(model="gpt", messages=asking("cut"), stream=True)
    said: list[str] = []

    async def read() -> None:
        async for chunk in stream:
            said.extend(choice.delta.content or "" for choice in chunk.choices)
            assert not any(choice.finish_reason for choice in chunk.choices)

    with pytest.raises(openai.APIError) as caught:
        await read()
    assert "This sentence".startswith("".join(said)[:5])
    assert caught.value.code == "upstream_cut"


async def test_responses_pass_through(client: AsyncOpenAI, aimock: Aimock) -> None:
    """The Responses API, which the gateway only passes on, works whole and streamed."""
    whole = await client.responses.create(model="gpt-4o", input="hello", extra_headers=PROVIDER)
    assert whole.output_text == HELLO
    said: list[str] = []
    async with client.responses.stream(model="gpt-4o", input="hello", extra_headers=PROVIDER) as stream:
        said.extend([event.delta async for event in stream if event.type == "response.output_text.delta"])
        final = await stream.get_final_response()
    assert "".join(said) == final.output_text == HELLO
    assert [entry["path"] for entry in aimock.journal()] == ["/v1/responses", "/v1/responses"]


async def test_files_pass_through(client: AsyncOpenAI) -> None:
    """An uploaded file is listed, comes back byte for byte, and can be deleted."""
    data = b'{"custom_id": "1"}\n' * 20_000
    made = await client.files.create(file=("batch.jsonl", data), purpose="batch", extra_headers=PROVIDER)
    assert made.bytes == len(data)
    listed = await client.files.list(extra_headers=PROVIDER)
    assert made.id in [item.id for item in listed.data]
    content = await client.files.content(made.id, extra_headers=PROVIDER)
    assert content.content == data
    deleted = await client.files.delete(made.id, extra_headers=PROVIDER)
    assert deleted.deleted
