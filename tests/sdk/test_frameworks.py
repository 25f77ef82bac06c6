"""Frameworks on top of the official packages: `langchain-openai` and `pydantic-ai`, whole, streamed, and with a tool."""

# LangChain's signatures leave some type arguments open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

import pytest
from anthropic import AsyncAnthropic
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic import BaseModel, SecretStr
from pydantic_ai import Agent
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from tests.door.upstream import Upstream
from tests.harness import GATEWAY_KEY, Gateway
from tests.sdk import vendors

ANSWER = "Hello from the Headgate demo. You said: hi there"
COLD = "It is -3 in Bergen."


class Weather(BaseModel):
    """The weather of a city."""

    city: str


@pytest.fixture(params=["chat", "responses"])
def langchain(request: pytest.FixtureRequest, gateway: Gateway) -> ChatOpenAI:
    """LangChain's model of the demo, once over chat completions and once over the Responses API."""
    return chat_openai(gateway, "fast", use_responses_api=request.param == "responses", stream_usage=True)


def chat_openai(gateway: Gateway, model: str, **settings: Any) -> ChatOpenAI:
    """LangChain's model of a name of the gateway, without retries of its own."""
    key = SecretStr(GATEWAY_KEY)
    return ChatOpenAI(base_url=f"{gateway.url}/v1", api_key=key, model=model, max_retries=0, timeout=10, **settings)


def added(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    """The chunks of a stream as one message."""
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def test_langchain_invoke_and_stream(langchain: ChatOpenAI) -> None:
    """`invoke` gives text and usage, and `stream` adds up to the same."""
    whole = langchain.invoke("hi there")
    chunks = list(langchain.stream("hi there"))
    streamed = added(chunks)
    assert (str(whole.text), str(streamed.text)) == (ANSWER, ANSWER)
    assert len(chunks) > 5
    for message in (whole, streamed):
        assert message.usage_metadata is not None
        assert (message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]) == (2, 9)


def test_langchain_tools(langchain: ChatOpenAI) -> None:
    """A bound tool that is required is called, streamed as whole."""
    bound = langchain.bind_tools([Weather], tool_choice="required")
    streamed = added([chunk for chunk in bound.stream("hi") if isinstance(chunk, AIMessageChunk)])
    for message in (bound.invoke("hi"), streamed):
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("Weather", {"city": "text"})]


def test_langchain_structured_output(langchain: ChatOpenAI) -> None:
    """`with_structured_output` gives an object of the class."""
    assert langchain.with_structured_output(Weather).invoke("hi") == Weather(city="text")


@pytest.mark.parametrize("is_responses", [False, True])
@pytest.mark.parametrize(
    ("model", "answers"),
    [
        ("claude", (vendors.CLAUDE_CALLS, vendors.CLAUDE_SAYS)),
        ("gemini", (vendors.GEMINI_CALLS, vendors.GEMINI_SAYS)),
    ],
)
async def test_langchain_and_another_vendor(
    gateway: Gateway, upstream: Upstream, model: str, answers: tuple[bytes, ...], is_responses: bool
) -> None:
    """A round with a tool works on other vendors: the call, the tool's answer under its id, the last word."""
    upstream.script = vendors.in_turn(*answers)
    asked = HumanMessage("is it cold?")
    async with DefaultAsyncHttpxClient() as http:  # by default one client is shared by every event loop
        chat = chat_openai(gateway, model, use_responses_api=is_responses, http_async_client=http)
        bound = chat.bind_tools([Weather])
        call = await bound.ainvoke([asked])
        made = call.tool_calls[0]
        assert made["args"] == vendors.CITY
        last = await bound.ainvoke([asked, call, ToolMessage("degrees: -3", tool_call_id=made["id"])])
    assert str(last.text) == COLD
    assert b"degrees: -3" in (await upstream.call(1)).body


def agents_model(kind: str, name: str, openai: AsyncOpenAI, anthropic: AsyncAnthropic) -> Model:
    """The model of pydantic-ai that speaks a dialect."""
    if kind == "anthropic":
        return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=anthropic))
    provider = OpenAIProvider(openai_client=openai)
    return OpenAIChatModel(name, provider=provider) if kind == "chat" else OpenAIResponsesModel(name, provider=provider)


@pytest.mark.parametrize("kind", ["chat", "responses", "anthropic"])
async def test_pydantic_ai_runs_and_streams(kind: str, async_client: AsyncOpenAI, async_claude: AsyncAnthropic) -> None:
    """An agent answers with text and usage, streams the same, and gives typed output by way of a tool."""
    model = agents_model(kind, "fast", async_client, async_claude)
    whole = await Agent(model).run("hi there")
    assert (whole.output, whole.usage.input_tokens, whole.usage.output_tokens) == (ANSWER, 2, 9)
    async with Agent(model).run_stream("hi there") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert "".join(pieces) == ANSWER
    assert len(pieces) > 5
    assert (await Agent(model, output_type=Weather).run("hi")).output == Weather(city="text")


@pytest.mark.parametrize("kind", ["chat", "responses", "anthropic"])
@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("claude", (vendors.CLAUDE_CALLS, vendors.CLAUDE_SAYS)),
        ("gemini", (vendors.GEMINI_CALLS, vendors.GEMINI_SAYS)),
    ],
)
async def test_pydantic_ai_and_a_tool(
    kind: str,
    name: str,
    answers: tuple[bytes, ...],
    async_client: AsyncOpenAI,
    async_claude: AsyncAnthropic,
    upstream: Upstream,
) -> None:
    """An agent's loop with a tool comes to its end on every vendor."""
    upstream.script = vendors.in_turn(*answers)
    asked: list[str] = []
    agent = Agent(agents_model(kind, name, async_client, async_claude))

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return "degrees: -3"

    assert weather.__name__ == "weather"
    assert ((await agent.run("is it cold?")).output, asked) == (COLD, ["Bergen"])
    assert b"degrees: -3" in (await upstream.call(1)).body


@pytest.mark.parametrize("kind", ["chat", "anthropic"])
async def test_pydantic_ai_streams_a_loop(
    kind: str, async_client: AsyncOpenAI, async_claude: AsyncAnthropic, upstream: Upstream
) -> None:
    """A streamed run calls its tool out of another vendor's stream and ends with streamed text."""
    upstream.script = vendors.in_turn(vendors.GEMINI_STREAMS_A_CALL, vendors.GEMINI_STREAMS)
    agent = Agent(agents_model(kind, "gemini", async_client, async_claude))

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"{city}: -3"

    assert weather.__name__ == "weather"
    async with agent.run_stream("is it cold?") as stream:
        assert await stream.get_output() == COLD
    assert b"Bergen: -3" in (await upstream.call(1)).body
