"""Completions and embeddings of the demo, judged by the official SDK's types."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse

from headgate.errors import InvalidRequest
from headgate.exchange import Reply
from headgate.operations import COMPLETIONS, EMBEDDINGS

Ask = Callable[..., Awaitable[Reply]]
Events = Callable[..., Awaitable[list[bytes]]]

# completions


async def complete(ask: Ask, **asked: Any) -> Completion:
    reply = await ask(asked, COMPLETIONS)
    return Completion.model_validate_json(reply.body, strict=True)


async def test_completions(ask: Ask) -> None:
    """A completion echoes its prompt and counts words."""
    reply = await complete(ask, prompt="once upon")
    assert [choice.text for choice in reply.choices] == ["Hello from the Headgate demo. You said: once upon"]
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (2, 9, 11)


async def test_completions_of_many(ask: Ask) -> None:
    """Several prompts times `n`, tokens as prompts, echo, stop and limit are honoured."""
    reply = await complete(ask, prompt=["a", [1, 2, 3]], n=2)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    assert reply.choices[2].text.endswith("3 tokens")
    assert (await complete(ask, prompt=[1, 2])).choices[0].text.endswith("2 tokens")
    assert (await complete(ask, prompt="a ", echo=True, max_tokens=1)).choices[0].text == "a Hello "
    assert (await complete(ask, prompt="a", max_tokens=1)).choices[0].finish_reason == "length"
    assert (await complete(ask, prompt="a", stop=" from")).choices[0].text == "Hello"


async def test_completions_stream(ask: Ask, events: Events) -> None:
    """A streamed completion reassembles to the whole one, with usage where asked for."""
    asked = {"prompt": ["a", "b c"], "stream_options": {"include_usage": True}}
    whole = await complete(ask, **asked)
    found = await events(asked, COMPLETIONS)
    assert found[-1] == b"data: [DONE]\n\n"
    streamed: list[Any] = [json.loads(event[6:]) for event in found[:-1]]
    for choice in whole.choices:
        said = [held for chunk in streamed for held in chunk["choices"] if held["index"] == choice.index]
        assert "".join(held["text"] for held in said) == choice.text
        assert [held["finish_reason"] for held in said] == [None] * (len(said) - 1) + ["stop"]
    assert whole.usage is not None
    assert streamed[-1]["choices"] == []
    assert streamed[-1]["usage"] == whole.usage.model_dump(exclude_none=True)
    assert Completion.model_validate(streamed[-1]).usage == whole.usage
    assert len(await events({"prompt": ["a", "b c"]}, COMPLETIONS)) == len(found) - 1


@pytest.mark.parametrize("prompt", [None, [], 5, [None], ["a", 1.5], ["a"] * 129, [[True]]])
async def test_bad_prompts(ask: Ask, prompt: object) -> None:
    """A prompt that is none is refused by name."""
    with pytest.raises(InvalidRequest, match="`prompt`"):
        await complete(ask, prompt=prompt)


# embeddings


async def embed(ask: Ask, **asked: Any) -> CreateEmbeddingResponse:
    reply = await ask(asked, EMBEDDINGS)
    assert reply.usage is not None
    return CreateEmbeddingResponse.model_validate_json(reply.body)


async def test_embeddings(ask: Ask) -> None:
    """Equal texts have equal unit vectors, other texts others; tokens are counted."""
    reply = await embed(ask, input=["a b", "c", "a b"], encoding_format="float")
    first, second, third = (item.embedding for item in reply.data)
    assert [item.index for item in reply.data] == [0, 1, 2]
    assert first == third != second
    assert len(first) == 256
    assert math.isclose(math.hypot(*first), 1, rel_tol=1e-5)
    assert (reply.usage.prompt_tokens, reply.usage.total_tokens) == (5, 5)


async def test_embedding_forms(ask: Ask) -> None:
    """`dimensions` sets the length; base64 holds the very same 32-bit floats."""
    floats = (await embed(ask, input="x", dimensions=3)).data[0].embedding
    body = (await ask({"input": "x", "dimensions": 3, "encoding_format": "base64"}, EMBEDDINGS)).body
    packed = base64.b64decode(json.loads(body)["data"][0]["embedding"])
    assert list(struct.unpack("<3f", packed)) == floats
    assert (await embed(ask, input=[1, 2], dimensions=3)).data[0].embedding != floats
    assert len((await embed(ask, input=[[1, 2], [3]], dimensions=3)).data) == 2


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "input"), ({"input": []}, "input"), ({"input": ["a"] * 2049}, "input"), ({"input": {"a": 1}}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"), ({"input": "a", "dimensions": 5000}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": ["a"] * 2048, "dimensions": 4096}, "input"),
    ],
)  # fmt: skip
async def test_bad_embeddings(ask: Ask, asked: dict[str, Any], field: str) -> None:
    """What cannot be embedded is refused by name, and a request cannot ask for an endless reply."""
    with pytest.raises(InvalidRequest) as caught:
        await ask(asked, EMBEDDINGS)
    assert caught.value.param == field
