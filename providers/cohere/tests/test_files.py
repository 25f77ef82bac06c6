"""Files of OpenAI's clients at Cohere, where they are datasets: what it is sent, and what is told of its answers."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cohere
import openai.types
import pytest

from headgate.testing import Client, Recorded, ReplayUpstream, gateway

Json = dict[str, Any]

DATASET: Json = {
    "id": "in-2gwgxq",
    "name": "in.jsonl",
    "created_at": "2024-01-15T09:30:00Z",
    "updated_at": "2024-01-15T09:31:00Z",
    "dataset_type": "batch-openai-chat-input",
    "validation_status": "processing",
    "validation_error": "",
    "schema": "{}",
    "dataset_parts": [],
}
PART: Json = {
    "id": "p0",
    "name": "part-0",
    "url": "https://storage.googleapis.com/cohere/part-0.avro?sig=1",
    "index": 0,
    "size_bytes": 70,
    "num_rows": 2,
    "original_url": "https://storage.googleapis.com/cohere/in.jsonl?sig=1",
}
HEADERS = {"x-headgate-provider": "cohere"}
LINES = b'{"custom_id":"1","body":{}}\n'
PATH = "/v1/datasets"
HERE = f"{PATH}/in-2gwgxq"


@asynccontextmanager
async def serving() -> AsyncGenerator[tuple[Client, ReplayUpstream]]:
    """A gateway before Cohere."""
    upstream = ReplayUpstream()
    deployed = {"cohere": {"provider": "cohere", "api_key": "sk-0123456789"}}
    async with gateway(providers=deployed, upstream=upstream) as client:
        yield client, upstream


def said(told: Any, status: int = 200) -> Recorded:
    return Recorded(status=status, headers=(("content-type", "application/json"),), body=json.dumps(told).encode())


async def upload(client: Client, content: bytes, fields: Json, after: Sequence[str] = ()) -> tuple[int, Json]:
    """What the gateway answers to a form; the fields named in `after` stand behind the file."""
    parts: list[Any] = [(name, (None, value)) for name, value in fields.items() if name not in after]
    parts += [("file", ("in.jsonl", content))]
    parts += [(name, (None, value)) for name, value in fields.items() if name in after]
    reply = await client.post("/v1/files", files=parts, headers=HEADERS)
    return reply.status_code, reply.json()


def filled(upstream: ReplayUpstream) -> None:
    """The vendor takes a dataset and tells of it."""
    cohere.Dataset.model_validate({**DATASET, "dataset_parts": [PART]})
    upstream.answer(PATH, said({"id": DATASET["id"]}))
    upstream.answer(HERE, said({"dataset": DATASET}))


@pytest.mark.parametrize("after", [(), ("purpose",)], ids=["purpose before", "purpose behind"])
@pytest.mark.parametrize("content", [LINES, LINES * 10_000], ids=["small", "large"])
async def test_create(content: bytes, after: Sequence[str]) -> None:
    """The file goes under the vendor's name with its type in the address, and what was made is asked for."""
    async with serving() as (client, upstream):
        filled(upstream)
        status, told = await upload(client, content, {"purpose": "batch"}, after)
        assert status == 200
        made, asked = upstream.requests
    url = urlsplit(made.url)
    assert (made.method, url.netloc, url.path) == ("POST", "api.cohere.com", PATH)
    assert parse_qs(url.query) == {
        "name": ["in.jsonl"],
        "type": ["batch-openai-chat-input"],
        "keep_original_file": ["true"],
    }
    boundary = dict(made.headers)[b"content-type"].partition(b"boundary=")[2]
    head = b'Content-Disposition: form-data; name="data"; filename="in.jsonl"\r\n'
    assert made.body.startswith(b"--" + boundary + b"\r\n" + head)
    assert made.body.endswith(b"\r\n\r\n" + content + b"\r\n--" + boundary + b"--\r\n")
    assert b"purpose" not in made.body
    assert (asked.method, asked.url, asked.body) == ("GET", f"https://api.cohere.com{HERE}", b"")
    assert b"content-type" not in dict(asked.headers)
    file = openai.types.FileObject.model_validate(told)
    assert (file.id, file.purpose, file.status, file.filename) == (DATASET["id"], "batch", "uploaded", "in.jsonl")
    assert (file.bytes, file.created_at, told["native_status"]) == (len(content), 1705311000, "processing")


async def test_a_type_of_ones_own() -> None:
    """The vendor's own field `type` passes, whatever the purpose is called."""
    async with serving() as (client, upstream):
        filled(upstream)
        fields = {"purpose": "user_data", "type": "batch-embed-v2-input"}
        assert (await upload(client, LINES, fields))[0] == 200
        query = parse_qs(urlsplit(upstream.requests[0].url).query)
    assert (query["type"], "purpose" in query) == (["batch-embed-v2-input"], False)


@pytest.mark.parametrize(
    ("fields", "after", "words"),
    [
        ({}, (), "`purpose`"),
        ({"type": "batch-embed-v2-input"}, (), "`purpose`"),
        ({"purpose": "fine-tune"}, (), "cannot be `fine-tune`"),
        ({"purpose": "fine-tune"}, ("purpose",), "cannot be `fine-tune`"),
        ({"purpose": "batch", "type": "batch-embed-v2-input"}, ("type",), "before `file`"),
        ({}, ("purpose",), "`purpose`"),
    ],
)
async def test_what_is_refused(fields: Json, after: Sequence[str], words: str) -> None:
    """What the vendor has no type for is refused, also where a large file is on its way already: it is never whole there."""
    async with serving() as (client, upstream):
        filled(upstream)
        for content in (LINES,) if not after else (LINES * 10_000,):
            status, told = await upload(client, content, fields, after)
            assert (status, upstream.requests) == (400, [])
            assert words in told["error"]["message"]


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"validation_status": "queued"}, ("uploaded", "batch", None)),
        ({"validation_status": "validated", "dataset_type": "embed-input"}, ("processed", "user_data", None)),
        ({"validation_status": "skipped", "dataset_type": "chat-finetune-input"}, ("processed", "fine-tune", None)),
        ({"validation_status": "failed", "validation_error": "bad line"}, ("error", "batch", "bad line")),
        ({"validation_status": "new", "dataset_type": "batch-chat-v2-output"}, ("uploaded", "batch_output", None)),
    ],
)
async def test_retrieve(dataset: Json, expected: tuple[str, str, str | None]) -> None:
    """A dataset is told as a file, whose size is that of its parts."""
    async with serving() as (client, upstream):
        upstream.answer("*", said({"dataset": {**DATASET, "dataset_parts": [PART, PART], **dataset}}))
        told = (await client.get(f"/v1/files/{DATASET['id']}", headers=HEADERS)).json()
        assert upstream.requests[0].url == f"https://api.cohere.com{HERE}"
    file = openai.types.FileObject.model_validate(told)
    assert (file.status, file.purpose, file.status_details, file.bytes) == (*expected, 140)


async def test_list() -> None:
    """Pages are read by what was found before them, until one is empty, whatever the vendor's largest page is."""
    async with serving() as (client, upstream):
        other = {**DATASET, "id": "other"}
        upstream.answer(PATH, said({"datasets": [DATASET]}), said({"datasets": [other]}), said({"datasets": []}))
        told = (await client.get("/v1/files", headers=HEADERS)).json()
        assert [urlsplit(call.url).query for call in upstream.requests] == ["", "offset=1", "offset=2"]
        refused = await client.get("/v1/files?purpose=batch", headers=HEADERS)
    assert ([each["id"] for each in told["data"]], told["has_more"]) == ([DATASET["id"], "other"], False)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "purpose")


async def test_delete() -> None:
    """What is deleted is told by its id."""
    async with serving() as (client, upstream):
        upstream.answer("*", said({}))
        told = (await client.delete(f"/v1/files/{DATASET['id']}", headers=HEADERS)).json()
        assert (upstream.requests[0].method, urlsplit(upstream.requests[0].url).path) == ("DELETE", HERE)
    assert told == {"id": DATASET["id"], "object": "file", "deleted": True}


async def test_content_as_it_was_uploaded() -> None:
    """A file that the vendor has kept is read at its address, once, however many parts were made of it."""
    async with serving() as (client, upstream):
        upstream.answer(HERE, said({"dataset": {**DATASET, "dataset_parts": [{**PART, "index": 1}, PART]}}))
        upstream.answer("/cohere/in.jsonl", Recorded(body=LINES))
        reply = await client.get(f"/v1/files/{DATASET['id']}/content", headers=HEADERS)
        assert [call.url for call in upstream.requests[1:]] == [PART["original_url"]]
        assert upstream.requests[1].credential is None
    assert (reply.status_code, reply.content) == (200, LINES)


@pytest.mark.parametrize(
    ("parts", "code", "words"),
    [
        ([{**PART, "original_url": None}], "unsupported_content", "/v1/v1/datasets/in-2gwgxq"),
        ([PART, {**PART, "original_url": ""}], "unsupported_content", "is Avro"),
        ([], "no_content", "`processing`"),
    ],
)
async def test_content_that_nobody_could_read(parts: list[Json], code: str, words: str) -> None:
    """The vendor's Avro is refused by name and never passed on as if it were lines, and so is what is not there yet."""
    async with serving() as (client, upstream):
        upstream.answer("*", said({"dataset": {**DATASET, "dataset_parts": parts}}))
        reply = await client.get(f"/v1/files/{DATASET['id']}/content", headers=HEADERS)
        assert len(upstream.requests) == 1
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, code)
    assert words in reply.json()["error"]["message"]


async def test_errors() -> None:
    """The vendor's refusal of an upload keeps its status and its words."""
    async with serving() as (client, upstream):
        upstream.answer("*", said({"message": "invalid file"}, 422))
        status, told = await upload(client, LINES * 10_000, {"purpose": "batch"})
        assert (status, told["error"]["message"], len(upstream.requests)) == (422, "invalid file", 1)
