"""Tool calls with the `openai` package: forced, named, streamed, parsed, and answered."""

from __future__ import annotations

import json
from collections.abc import Iterable

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from pydantic import BaseModel

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "is it cold in Bergen?"}]


class Weather(BaseModel):
    """What the tool takes."""

    city: str
    unit: str


def tool(name: str) -> ChatCompletionFunctionToolParam:
    """A strict function tool with two string arguments."""
    parameters: dict[str, object] = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "strict": True, "parameters": parameters}}


TOOLS = [tool("weather"), tool("tides")]


def streamed_call(chunks: Iterable[ChatCompletionChunk]) -> tuple[str, str, str]:
    """Id, name and arguments of the one call of a stream, put together as a client must."""
    identity, name, arguments = "", "", ""
    for chunk in chunks:
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                assert call.index == 0
                assert call.function is not None
                identity += call.id or ""
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    return identity, name, arguments


def test_required_tool_is_called(client: OpenAI) -> None:
    """`tool_choice: required` gives a call whose arguments fit the schema, and no text."""
    reply = client.chat.completions.create(model="fast", messages=ASK, tools=TOOLS, tool_choice="required")
    choice = reply.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    assert choice.message.tool_calls is not None
    call = choice.message.tool_calls[0]
    assert call.type == "function"
    assert Weather.model_validate_json(call.function.arguments).unit in {"c", "f"}


def test_named_tool_is_called(client: OpenAI) -> None:
    """A tool named in `tool_choice` is the one that is called."""
    reply = client.chat.completions.create(
        model="fast", messages=ASK, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "tides"}}
    )
    calls = reply.choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.name for call in calls if call.type == "function"] == ["tides"]


def test_tools_may_stay_unused(client: OpenAI) -> None:
    """Without a forced choice the demo speaks, and `none` forbids a call."""
    for reply in (
        client.chat.completions.create(model="fast", messages=ASK, tools=TOOLS),
        client.chat.completions.create(model="fast", messages=ASK, tools=TOOLS, tool_choice="none"),
    ):
        assert reply.choices[0].message.tool_calls is None
        assert reply.choices[0].finish_reason == "stop"


def test_streamed_call_equals_the_whole_one(client: OpenAI) -> None:
    """A streamed call comes in pieces that add up to the arguments of the whole reply."""
    body = {"demo": {"chunk_bytes": 4}}
    whole = client.chat.completions.create(
        model="fast", messages=ASK, tools=TOOLS, tool_choice="required", extra_body=body
    )
    calls = whole.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    stream = client.chat.completions.create(
        model="fast", messages=ASK, tools=TOOLS, tool_choice="required", extra_body=body, stream=True
    )
    identity, name, arguments = streamed_call(stream)
    assert identity.startswith("call_")
    assert (name, arguments) == ("weather", calls[0].function.arguments)


def test_parsed_call(client: OpenAI) -> None:
    """`.parse` with a model as tool gives arguments of that model."""
    reply = client.chat.completions.parse(
        model="fast", messages=ASK, tools=[openai.pydantic_function_tool(Weather)], tool_choice="required"
    )
    calls = reply.choices[0].message.tool_calls
    assert calls is not None
    assert isinstance(calls[0].function.parsed_arguments, Weather)


def test_stream_helper_understands_the_call(client: OpenAI) -> None:
    """The package's accumulator reports the arguments as done, and parses them."""
    with client.chat.completions.stream(
        model="fast", messages=ASK, tools=[openai.pydantic_function_tool(Weather)], tool_choice="required"
    ) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    assert [event.name for event in done] == ["Weather"]
    assert isinstance(done[0].parsed_arguments, Weather)
    assert final.choices[0].finish_reason == "tool_calls"


def test_the_tools_answer_goes_back(client: OpenAI) -> None:
    """A whole round: the call, the tool's answer, and the model's last word about it."""
    first = client.chat.completions.create(model="fast", messages=ASK, tools=TOOLS, tool_choice="required")
    calls = first.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    spoken: ChatCompletionMessageParam = {
        "role": "assistant",
        "tool_calls": [
            {
                "id": calls[0].id,
                "type": "function",
                "function": {"name": calls[0].function.name, "arguments": calls[0].function.arguments},
            }
        ],
    }
    answer: ChatCompletionMessageParam = {
        "role": "tool",
        "tool_call_id": calls[0].id,
        "content": json.dumps({"degrees": -3}),
    }
    last = client.chat.completions.create(model="fast", messages=[*ASK, spoken, answer], tools=TOOLS)
    assert last.choices[0].message.content == 'Hello from the Headgate demo. Your tool answered: {"degrees": -3}'


def test_a_tool_that_was_not_offered_is_a_400(client: OpenAI) -> None:
    """Naming a tool that is not among `tools` is refused, and the error names the field."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="fast", messages=ASK, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "moon"}}
        )
    assert caught.value.param == "tool_choice"
