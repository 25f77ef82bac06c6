"""The Responses API and the chat helpers of the `openai` package: the demo natively, other vendors by translation."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import FunctionToolParam, ResponseInputParam
from pydantic import BaseModel
from tests.door.upstream import Upstream
from tests.sdk import vendors

ANSWER = "Hello from the Headgate demo. You said: hi there"
COLD = "It is -3 in Bergen."
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: FunctionToolParam = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}


class Place(BaseModel):
    """What a structured answer holds."""

    city: str


def test_whole_response(client: OpenAI) -> None:
    """A response parses into the package's own types, with its text and usage."""
    reply = client.responses.create(model="fast", input="hi there", instructions="Be kind.")
    assert (reply.output_text, reply.status) == (ANSWER, "completed")
    assert reply.usage is not None
    assert reply.usage.output_tokens == 9


def test_a_limit_makes_it_incomplete(client: OpenAI) -> None:
    """`max_output_tokens` ends the text, and the response says that it is incomplete and why."""
    reply = client.responses.create(model="fast", input="hi", max_output_tokens=2)
    assert (reply.output_text, reply.status) == ("Hello from ", "incomplete")
    assert reply.incomplete_details is not None
    assert reply.incomplete_details.reason == "max_output_tokens"


def test_stream_helper(client: OpenAI) -> None:
    """The helper accepts every event, in the order of their sequence numbers, and ends with the whole response."""
    with client.responses.stream(model="fast", input="hi there") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == ANSWER
    assert final.output_text == ANSWER


def test_parse(client: OpenAI) -> None:
    """`text_format` gives an object of the class, whole and by the stream helper."""
    assert client.responses.parse(model="fast", input="hi", text_format=Place).output_parsed == Place(city="text")
    with client.responses.stream(model="fast", input="hi", text_format=Place) as stream:
        assert stream.get_final_response().output_parsed == Place(city="text")


def test_a_function_is_called(client: OpenAI) -> None:
    """A required function is called, streamed as whole, and its output goes back."""
    whole = client.responses.create(model="fast", input="hi", tools=[WEATHER], tool_choice="required")
    with client.responses.stream(model="fast", input="hi", tools=[WEATHER], tool_choice="required") as stream:
        streamed = stream.get_final_response()
    for reply in (whole, streamed):
        calls = [(item.name, json.loads(item.arguments)) for item in reply.output if item.type == "function_call"]
        assert calls == [("weather", {"city": "text"})]
    call = next(item for item in whole.output if item.type == "function_call")
    history: ResponseInputParam = [
        {"role": "user", "content": "hi"},
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "-3"},
    ]
    last = client.responses.create(model="fast", input=history, tools=[WEATHER])
    assert last.output_text == "Hello from the Headgate demo. Your tool answered: -3"


def test_a_broken_stream_throws(client: OpenAI) -> None:
    """A stream that breaks off throws after what came, and no response is completed."""
    seen: list[str] = []
    broken = {"demo": {"fail_after_chunks": 6}}
    with (
        pytest.raises(openai.APIError, match="broke off"),
        client.responses.stream(model="fast", input="hi", extra_body=broken) as stream,
    ):
        seen.extend(event.type for event in stream)
    assert seen.count("response.output_text.delta") >= 1
    assert "response.completed" not in seen


@pytest.mark.parametrize(("status", "kind"), [(404, openai.NotFoundError), (429, openai.RateLimitError)])
@pytest.mark.parametrize("stream", [False, True])
def test_errors(client: OpenAI, status: int, kind: type[openai.APIStatusError], stream: bool) -> None:
    """A provider's error is the exception of its status, also when a stream was asked for."""
    with pytest.raises(kind, match=f"status {status}"):
        client.responses.create(model="fast", input="hi", stream=stream, extra_body={"demo": {"status": status}})


@pytest.mark.parametrize(
    ("model", "text", "call", "streams", "streams_call"),
    [
        (
            "claude",
            vendors.CLAUDE_SAYS,
            vendors.CLAUDE_CALLS,
            vendors.CLAUDE_STREAMS,
            vendors.CLAUDE_STREAMS_A_CALL,
        ),
        (
            "gemini",
            vendors.GEMINI_SAYS,
            vendors.GEMINI_CALLS,
            vendors.GEMINI_STREAMS,
            vendors.GEMINI_STREAMS_A_CALL,
        ),
    ],
)
async def test_other_vendors(
    async_client: AsyncOpenAI,
    upstream: Upstream,
    model: str,
    text: bytes,
    call: bytes,
    streams: bytes,
    streams_call: bytes,
) -> None:
    """Other vendors answer `responses`: text, a call, and both by the stream helper, with the vendor's usage."""
    upstream.script = vendors.in_turn(text, call, streams, streams_call)
    said = await async_client.responses.create(model=model, input="is it cold?")
    called = await async_client.responses.create(model=model, input="is it cold?", tools=[WEATHER])
    async with async_client.responses.stream(model=model, input="is it cold?") as stream:
        said_again = await stream.get_final_response()
    async with async_client.responses.stream(model=model, input="is it cold?", tools=[WEATHER]) as stream:
        called_again = await stream.get_final_response()
    for reply in (said, said_again):
        assert (reply.output_text, reply.status) == (COLD, "completed")
        assert reply.usage is not None
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (11, 5)
    for reply in (called, called_again):
        calls = [(item.name, json.loads(item.arguments)) for item in reply.output if item.type == "function_call"]
        assert calls == [("weather", vendors.CITY)]


@pytest.mark.parametrize(
    ("model", "streams", "streams_call"),
    [
        ("claude", vendors.CLAUDE_STREAMS, vendors.CLAUDE_STREAMS_A_CALL),
        ("gemini", vendors.GEMINI_STREAMS, vendors.GEMINI_STREAMS_A_CALL),
    ],
)
async def test_the_chat_helper_and_other_vendors(
    async_client: AsyncOpenAI, upstream: Upstream, model: str, streams: bytes, streams_call: bytes
) -> None:
    """`chat.completions.stream` adds up other vendors' streams: text, a call, and the usage that was asked for."""
    upstream.script = vendors.in_turn(streams, streams_call)
    asked: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": "is it cold?"}],
        "stream_options": {"include_usage": True},
    }
    async with async_client.chat.completions.stream(**asked) as stream:
        said = await stream.get_final_completion()
    tool = openai.pydantic_function_tool(Place, name="weather")
    async with async_client.chat.completions.stream(**asked, tools=[tool]) as stream:
        called = await stream.get_final_completion()
    assert (said.choices[0].message.content, said.choices[0].finish_reason) == (COLD, "stop")
    assert said.usage is not None
    assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (11, 5)
    calls = called.choices[0].message.tool_calls or []
    assert [call.function.parsed_arguments for call in calls] == [Place(city="Bergen")]
    assert called.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("model", ["claude", "gemini"])
async def test_parse_and_other_vendors(async_client: AsyncOpenAI, upstream: Upstream, model: str) -> None:
    """`chat.completions.parse` gives an object of the class, and the vendor was told the schema."""
    text = json.dumps(vendors.CITY)
    answer = {
        "claude": vendors.claude_reply({"type": "text", "text": text}, "end_turn"),
        "gemini": vendors.json_response(vendors.gemini_candidate({"text": text})),
    }
    upstream.script = vendors.in_turn(answer[model])
    reply = await async_client.chat.completions.parse(
        model=model, messages=[{"role": "user", "content": "where?"}], response_format=Place
    )
    assert reply.choices[0].message.parsed == Place(city="Bergen")
    assert b'"city"' in (await upstream.call()).body


def test_without_the_plugin_its_name_is_said(client: OpenAI) -> None:
    """Where nothing keeps responses, what needs them is refused by the name of the plugin that would."""
    with pytest.raises(openai.BadRequestError, match="enable the plugin `responses`") as refused:
        client.responses.create(model="claude", input="hi", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"
    for ask in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.BadRequestError, match="enable the plugin `responses`"):
            ask("resp_1")
    with pytest.raises(openai.BadRequestError, match="enable the plugin `responses`"):
        client.responses.input_items.list("resp_1")
