"""Embeddings, completions, the model list and passed-through paths with the `openai` package."""

from __future__ import annotations

import json
import math

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from tests.door.upstream import Upstream, json_response, reply_with
from tests.harness import CANARY

PROVIDER = {"x-headgate-provider": "mock"}


def test_embeddings(client: OpenAI) -> None:
    """One vector per text, in order, the same in the base64 form the package asks for by default as in floats."""
    packed = client.embeddings.create(model="fast", input=["one", "two"], dimensions=16)
    plain = client.embeddings.create(model="fast", input=["one", "two"], dimensions=16, encoding_format="float")
    assert [item.index for item in packed.data] == [0, 1]
    assert [len(item.embedding) for item in packed.data] == [16, 16]
    assert [item.embedding for item in packed.data] == [item.embedding for item in plain.data]
    assert packed.data[0].embedding != packed.data[1].embedding
    assert math.isclose(math.hypot(*packed.data[0].embedding), 1, abs_tol=1e-3)
    assert packed.usage.prompt_tokens == 2


def test_completion(client: OpenAI) -> None:
    """A text completion, whole and streamed with usage, says the same."""
    whole = client.completions.create(model="fast", prompt="once upon")
    *chunks, last = client.completions.create(
        model="fast", prompt="once upon", stream=True, stream_options={"include_usage": True}
    )
    assert whole.object == "text_completion"
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert last.usage is not None
    assert last.usage == whole.usage


def test_model_list(client: OpenAI) -> None:
    """Aliases and the models of every deployment are listed; each listed alias can be called."""
    models = {model.id: model.owned_by for model in client.models.list()}
    assert models["fast"] == "headgate"
    assert models["demo/echo"] == "demo"
    assert "mock/*" in models


async def test_async_operations(async_client: AsyncOpenAI) -> None:
    """The asynchronous client gets embeddings, completions and the model list."""
    vectors = await async_client.embeddings.create(model="fast", input="one")
    assert len(vectors.data) == 1
    stream = await async_client.completions.create(model="fast", prompt="once", stream=True)
    assert "once" in "".join([chunk.choices[0].text async for chunk in stream if chunk.choices])
    assert "fast" in [model.id async for model in async_client.models.list()]


async def test_other_paths_pass_through(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """A path the gateway does not model goes to the deployment that the header names, with its credential."""
    upstream.script = reply_with(json_response({"id": "mod-1", "model": "omni", "results": []}))
    reply = await async_client.moderations.create(input="some words", extra_headers=PROVIDER)
    assert (reply.id, reply.results) == ("mod-1", [])
    call = await upstream.call()
    assert (call.method, call.target, call.header("authorization")) == ("POST", "/v1/moderations", f"Bearer {CANARY}")
    assert call.json["input"] == "some words"


async def test_a_file_upload_passes_through(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """A multipart upload keeps its boundary and every byte of the file."""
    told = {"id": "file-1", "bytes": 5, "created_at": 1, "filename": "a.jsonl", "object": "file", "purpose": "batch"}
    upstream.script = reply_with(json_response({**told, "status": "processed"}))
    data = bytes(range(256)) * 200
    made = await async_client.files.create(file=("a.jsonl", data), purpose="batch", extra_headers=PROVIDER)
    assert made.id == "file-1"
    call = await upstream.call()
    kind = call.header("content-type") or ""
    assert kind.startswith("multipart/form-data; boundary=")
    assert data in call.body
    assert kind.partition("boundary=")[2].encode() in call.body


async def test_a_listing_keeps_its_query(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """The query string of a passed-through path reaches the provider."""
    upstream.script = reply_with(json_response({"object": "list", "data": [], "has_more": False}))
    await async_client.files.list(purpose="batch", limit=3, extra_headers=PROVIDER)
    assert (await upstream.call()).target in {"/v1/files?purpose=batch&limit=3", "/v1/files?limit=3&purpose=batch"}


async def test_binary_content_comes_back_byte_for_byte(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """What a passed-through path answers is not touched, whatever it is."""
    data = json.dumps({"custom_id": "1"}).encode() + b"\r\n\x00\xff" + bytes(range(256))
    upstream.script = reply_with(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n%s" % (len(data), data)
    )
    got = await async_client.files.content("file-1", extra_headers=PROVIDER)
    assert got.content == data


def test_a_path_without_a_provider_is_a_400(client: OpenAI) -> None:
    """A passed-through path needs to be told where it goes."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.list()
    assert caught.value.code == "missing_provider"
