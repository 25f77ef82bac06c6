"""Structured output with the `openai` package: schemas by hand, by `.parse`, and streamed."""

from __future__ import annotations

import json
from typing import Literal

from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, Field

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "plan a day"}]


class Step(BaseModel):
    """One step of a plan."""

    title: str
    minutes: int


class Plan(BaseModel):
    """A plan with every kind of member a schema commonly has."""

    name: str
    kind: Literal["work", "rest"]
    steps: list[Step] = Field(min_length=1)
    weather: str | None
    is_long: bool


def test_json_schema(client: OpenAI) -> None:
    """The content is JSON that fits the schema given as `response_format`."""
    reply = client.chat.completions.create(
        model="fast",
        messages=ASK,
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "point",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {"x": {"type": "number"}, "label": {"type": "string"}},
                    "required": ["x", "label"],
                    "additionalProperties": False,
                },
            },
        },
    )
    point = json.loads(reply.choices[0].message.content or "")
    assert point.keys() == {"x", "label"}
    assert isinstance(point["label"], str)


def test_json_object(client: OpenAI) -> None:
    """JSON mode gives a JSON object."""
    reply = client.chat.completions.create(model="fast", messages=ASK, response_format={"type": "json_object"})
    assert json.loads(reply.choices[0].message.content or "") == {"echo": "plan a day"}


def test_parse(client: OpenAI) -> None:
    """`.parse` with a pydantic model gives an instance of it."""
    reply = client.chat.completions.parse(model="fast", messages=ASK, response_format=Plan)
    assert isinstance(reply.choices[0].message.parsed, Plan)
    assert reply.choices[0].message.refusal is None


async def test_async_parse(async_client: AsyncOpenAI) -> None:
    """The asynchronous `.parse` gives the same."""
    reply = await async_client.chat.completions.parse(model="fast", messages=ASK, response_format=Plan)
    assert isinstance(reply.choices[0].message.parsed, Plan)


def test_streamed_parse(client: OpenAI) -> None:
    """A streamed structured answer is parsed when it is done, and equals the whole one."""
    whole = client.chat.completions.parse(model="fast", messages=ASK, response_format=Plan)
    with client.chat.completions.stream(
        model="fast", messages=ASK, response_format=Plan, extra_body={"demo": {"chunk_bytes": 5}}
    ) as stream:
        pieces = sum(event.type == "content.delta" for event in stream)
        final = stream.get_final_completion()
    assert pieces > 5
    assert final.choices[0].message.parsed == whole.choices[0].message.parsed
