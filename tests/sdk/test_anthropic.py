"""The `anthropic` package: against the demo, which speaks its dialect, and against other vendors by translation."""

from __future__ import annotations

from typing import Any, cast

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_async_tool
from anthropic.types import Message, MessageParam, ToolParam
from anthropic.types.beta import BetaMessageParam
from tests.door.upstream import Upstream, json_response
from tests.harness import CANARY
from tests.sdk import vendors

HELLO: list[MessageParam] = [{"role": "user", "content": "hi there"}]
ASK: list[BetaMessageParam] = [{"role": "user", "content": "is it cold?"}]
ANSWER = "Hello from the Headgate demo. You said: hi there"
COLD = "It is -3 in Bergen."
WEATHER: ToolParam = {
    "name": "weather",
    "description": "the weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
KINDS: dict[int, type[anthropic.APIStatusError]] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    529: anthropic.InternalServerError,
}


def test_whole_message(claude: Anthropic) -> None:
    """A message parses into the package's own types, with its stop reason and usage."""
    reply = claude.messages.create(model="fast", max_tokens=100, messages=HELLO)
    assert [block.text for block in reply.content if block.type == "text"] == [ANSWER]
    assert (reply.type, reply.role, reply.stop_reason) == ("message", "assistant", "end_turn")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (2, 9)


def test_limits_are_honoured(claude: Anthropic) -> None:
    """`max_tokens` and `stop_sequences` reach the provider, and the stop reason says which of them ended the text."""
    short = claude.messages.create(model="fast", max_tokens=2, messages=HELLO)
    assert short.stop_reason == "max_tokens"
    stopped = claude.messages.create(model="fast", max_tokens=50, messages=HELLO, stop_sequences=["Headgate"])
    assert [block.text for block in stopped.content if block.type == "text"] == ["Hello from the "]


def test_stream_helper(claude: Anthropic) -> None:
    """`text_stream` says the same as the whole reply in pieces, and the final message adds up."""
    with claude.messages.stream(model="fast", max_tokens=100, messages=HELLO) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert (len(pieces), "".join(pieces)) == (9, ANSWER)
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 9)


def test_raw_events(claude: Anthropic) -> None:
    """A stream without the helper has the package's event types, each block opened and closed once."""
    events = list(claude.messages.create(model="fast", max_tokens=100, messages=HELLO, stream=True))
    kinds = [event.type for event in events if event.type != "content_block_delta"]
    blocks = ["content_block_start", "content_block_stop"]
    assert kinds == ["message_start", *blocks, "message_delta", "message_stop"]


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "weather"}])
def test_a_tool_is_called(claude: Anthropic, choice: Any) -> None:
    """A forced tool is called with input that fits its schema, streamed as whole."""
    asked: dict[str, Any] = {"model": "fast", "max_tokens": 100, "messages": HELLO, "tools": [WEATHER]}
    replies = [cast("Message", claude.messages.create(**asked, tool_choice=choice))]
    with claude.messages.stream(**asked, tool_choice=choice) as stream:
        replies.append(stream.get_final_message())
    for reply in replies:
        calls = [(block.name, block.input) for block in reply.content if block.type == "tool_use"]
        assert (calls, reply.stop_reason) == ([("weather", {"city": "text"})], "tool_use")


def test_count_tokens(claude: Anthropic) -> None:
    """Counting works for a provider that cannot count; the header says that it is an estimate."""
    raw = claude.messages.with_raw_response.count_tokens(model="fast", messages=HELLO)
    assert raw.headers["x-headgate-estimated"] == "true"
    more = claude.messages.count_tokens(model="fast", messages=HELLO, tools=[WEATHER], system="Be brief.")
    assert 0 < raw.parse().input_tokens < more.input_tokens


@pytest.mark.parametrize("status", KINDS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_providers_error_keeps_its_status(claude: Anthropic, status: int, stream: bool) -> None:
    """A provider's error is the package's class for its status, with its words, also when a stream was asked for."""
    with pytest.raises(KINDS[status], match=f"status {status}") as caught:
        claude.messages.create(
            model="fast", max_tokens=9, messages=HELLO, stream=stream, extra_body={"demo": {"status": status}}
        )
    assert caught.value.status_code == status


def test_unknown_model(claude: Anthropic) -> None:
    """The gateway's own errors come in Anthropic's envelope and name what is wrong."""
    with pytest.raises(anthropic.NotFoundError, match="claude-nobody") as caught:
        claude.messages.create(model="claude-nobody", max_tokens=9, messages=HELLO)
    assert caught.value.type == "not_found_error"


def test_a_broken_stream_throws(claude: Anthropic) -> None:
    """A stream that breaks off throws after what came, and never looks finished."""
    said: list[str] = []
    broken = {"demo": {"fail_after_chunks": 5}}
    with (
        pytest.raises(anthropic.APIStatusError, match="broke off"),
        claude.messages.stream(model="fast", max_tokens=100, messages=HELLO, extra_body=broken) as stream,
    ):
        said.extend(stream.text_stream)
    assert ANSWER.startswith("".join(said))
    assert said != []


@pytest.mark.parametrize(
    ("model", "answers"),
    [
        ("gemini", (vendors.GEMINI_CALLS, vendors.GEMINI_SAYS)),
        ("m", (vendors.OPENAI_CALLS, vendors.OPENAI_SAYS)),
        ("claude", (vendors.CLAUDE_CALLS, vendors.CLAUDE_SAYS)),
    ],
)
async def test_the_tool_runner(
    async_claude: AsyncAnthropic, upstream: Upstream, model: str, answers: tuple[bytes, ...]
) -> None:
    """The package's tool runner goes round its loop whatever vendor answers: call, result, last word."""
    upstream.script = vendors.in_turn(*answers)
    asked: list[str] = []

    @beta_async_tool
    async def weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return "degrees: -3"

    runner = async_claude.beta.messages.tool_runner(
        model=model, max_tokens=99, messages=ASK, tools=[weather], thread=False
    )
    last = await runner.until_done()
    assert [block.text for block in last.content if block.type == "text"] == [COLD]
    assert asked == ["Bergen"]
    first, second = upstream.calls
    assert b"the weather of a city" in first.body.lower()
    assert b"degrees: -3" in second.body


async def test_the_tool_runner_as_it_comes(async_claude: AsyncAnthropic, upstream: Upstream) -> None:
    """The runner's defaults, which ask the server to hold the conversation, work on another vendor too."""
    upstream.script = vendors.in_turn(vendors.GEMINI_CALLS, vendors.GEMINI_SAYS)

    @beta_async_tool
    async def weather(city: str) -> str:
        """The weather of a city."""
        return f"{city}: -3"

    runner = async_claude.beta.messages.tool_runner(model="gemini", max_tokens=99, messages=ASK, tools=[weather])
    last = await runner.until_done()
    assert [block.text for block in last.content if block.type == "text"] == [COLD]
    assert b"is it cold?" in (await upstream.call(1)).body


@pytest.mark.parametrize(
    ("model", "text", "call"),
    [
        ("gemini", vendors.GEMINI_STREAMS, vendors.GEMINI_STREAMS_A_CALL),
        ("claude", vendors.CLAUDE_STREAMS, vendors.CLAUDE_STREAMS_A_CALL),
    ],
)
async def test_streams_of_vendors(
    async_claude: AsyncAnthropic, upstream: Upstream, model: str, text: bytes, call: bytes
) -> None:
    """The helper adds up the streams of other vendors as it does Anthropic's own: text, a call, usage."""
    upstream.script = vendors.in_turn(text, call)
    async with async_claude.messages.stream(model=model, max_tokens=99, messages=HELLO) as stream:
        assert "".join([piece async for piece in stream.text_stream]) == COLD
        final = await stream.get_final_message()
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("end_turn", 11, 5)
    async with async_claude.messages.stream(model=model, max_tokens=99, messages=HELLO, tools=[WEATHER]) as stream:
        final = await stream.get_final_message()
    calls = [(block.name, block.input) for block in final.content if block.type == "tool_use"]
    assert (calls, final.stop_reason) == ([("weather", vendors.CITY)], "tool_use")


async def test_another_vendors_error(async_claude: AsyncAnthropic, upstream: Upstream) -> None:
    """Google's error comes in Anthropic's envelope: the class of its status, Google's words, Anthropic's type."""
    refusal = {"error": {"code": 429, "message": "quota exceeded", "status": "RESOURCE_EXHAUSTED"}}
    upstream.script = vendors.in_turn(json_response(refusal, "429 Too Many Requests"))
    with pytest.raises(anthropic.RateLimitError, match="quota exceeded") as caught:
        await async_claude.messages.create(model="gemini", max_tokens=9, messages=HELLO)
    assert caught.value.type == "rate_limit_error"


async def test_what_a_vendor_counts(async_claude: AsyncAnthropic, upstream: Upstream) -> None:
    """Where the provider counts, its own number comes back, and it is not called an estimate."""
    upstream.script = vendors.in_turn(json_response({"input_tokens": 42}))
    raw = await async_claude.messages.with_raw_response.count_tokens(model="claude", messages=HELLO)
    counted = await raw.parse()
    assert (counted.input_tokens, raw.headers.get("x-headgate-estimated")) == (42, None)
    call = await upstream.call()
    assert (call.target, call.header("x-api-key")) == ("/v1/messages/count_tokens", CANARY)


def test_errors_tell_the_request(claude: Anthropic) -> None:
    """An error names the gateway's request where the package looks for it, so that a report can be traced."""
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.messages.create(model="claude-nobody", max_tokens=9, messages=HELLO)
    assert caught.value.request_id == caught.value.response.headers["x-headgate-request-id"]


def test_the_demos_errors_have_anthropics_types(claude: Anthropic) -> None:
    """The demo's own errors come in Anthropic's envelope too."""
    with pytest.raises(anthropic.InternalServerError) as caught:
        claude.messages.create(model="fast", max_tokens=9, messages=HELLO, extra_body={"demo": {"status": 529}})
    assert caught.value.type == "overloaded_error"
