"""Batches of Cohere for clients of OpenAI's: what it is sent, and what is told of its answers."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import cohere.batches
import openai.types
import pytest

from headgate.testing import Client, Recorded, ReplayUpstream, gateway

Json = dict[str, Any]

ASKED: Json = {
    "input_file_id": "my-requests-dataset",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
    "model": "cohere/batch-command",
}
BATCH: Json = {
    "name": "my-batch",
    "input_dataset_id": "my-requests-dataset",
    "model": "batch-command",
    "id": "9439e0e3-49a4-4336-93e3-485fc420bc18",
    "creator_id": "b5e1ffb9-49a1-4653-9927-94083316309d",
    "org_id": "62603116-1750-4c04-b1b6-9d5046764bc4",
    "status": "BATCH_STATUS_IN_PROGRESS",
    "created_at": "2024-01-15T09:30:00Z",
    "updated_at": "2024-01-15T09:31:00Z",
    "output_dataset_id": "my-batch-output-c2waz1",
    "input_tokens": "70",
    "output_tokens": "5",
    "num_records": 5000,
    "num_successful_records": 8,
    "num_failed_records": 1,
}
"""The example of https://docs.cohere.com/reference/get-batch, with tokens."""
HEADERS = {"x-headgate-provider": "cohere"}


@asynccontextmanager
async def serving(answer: Recorded | None = None) -> AsyncGenerator[tuple[Client, ReplayUpstream]]:
    """A gateway before Cohere, which answers everything with `answer`."""
    upstream = ReplayUpstream({"*": answer} if answer is not None else {})
    deployed = {"cohere": {"provider": "cohere", "api_key": "sk-0123456789"}}
    async with gateway(providers=deployed, upstream=upstream) as client:
        yield client, upstream


def said(told: Json, status: int = 200) -> Recorded:
    return Recorded(status=status, headers=(("content-type", "application/json"),), body=json.dumps(told).encode())


async def test_create() -> None:
    """A dataset stands in the place of the file; what the SDK sends for the same is sent."""
    async with serving(said({"batch": BATCH})) as (client, upstream):
        reply = await client.post("/v1/batches", json=ASKED, headers=HEADERS)
        call = upstream.requests[0]
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, "completion_window")
    assert (call.method, call.url) == ("POST", "https://api.cohere.com/v2/batches")
    body = json.loads(call.body)
    official = cohere.batches.Batch(
        name="my-requests-dataset", input_dataset_id="my-requests-dataset", model="batch-command"
    )
    assert body == official.model_dump(exclude_none=True)
    batch = openai.types.Batch.model_validate(reply.json())
    assert (batch.id, batch.status, batch.endpoint) == (BATCH["id"], "in_progress", "/v1/chat/completions")
    assert (batch.completion_window, batch.created_at, batch.model) == ("24h", 1705311000, "batch-command")
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 5000, "completed": 8, "failed": 1}
    assert batch.usage is not None
    assert (batch.usage.input_tokens, batch.usage.output_tokens, batch.usage.total_tokens) == (70, 5, 75)


async def test_a_name_of_ones_own() -> None:
    """The vendor's own member `name` passes."""
    async with serving(said({"batch": BATCH})) as (client, upstream):
        await client.post("/v1/batches", json={**ASKED, "name": "mine"}, headers=HEADERS)
        assert json.loads(upstream.requests[0].body)["name"] == "mine"


@pytest.mark.parametrize(
    ("native", "status", "place"),
    [
        ("BATCH_STATUS_QUEUED", "validating", None),
        ("BATCH_STATUS_COMPLETED", "completed", "completed_at"),
        ("BATCH_STATUS_FAILED", "failed", "failed_at"),
        ("BATCH_STATUS_CANCELED", "cancelled", "cancelled_at"),
    ],
)
async def test_retrieve(native: str, status: str, place: str | None) -> None:
    """Each of the vendor's words is one of OpenAI's; what nobody tells is empty, what failed says why."""
    told = {**BATCH, "status": native, "status_reason": "no records"}
    async with serving(said({"batch": told})) as (client, upstream):
        reply = await client.get(f"/v1/batches/{BATCH['id']}", headers=HEADERS)
        assert upstream.requests[0].url == f"https://api.cohere.com/v2/batches/{BATCH['id']}"
    batch = openai.types.Batch.model_validate(reply.json())
    assert (batch.status, batch.endpoint, batch.output_file_id) == (status, "", "my-batch-output-c2waz1")
    assert place is None or reply.json()[place] == 1705311060
    assert (batch.errors is not None) == (status == "failed")


async def test_list() -> None:
    """Pages with tokens become OpenAI's."""
    pages = [
        {"batches": [{**BATCH, "id": "b1"}, {**BATCH, "id": "b2"}], "next_page_token": "t"},
        {"batches": [{**BATCH, "id": "b3"}]},
    ]
    async with serving() as (client, upstream):
        upstream.answer("*", *map(said, pages))
        reply = await client.get("/v1/batches?after=b2", headers=HEADERS)
        assert [call.url.partition("?")[2] for call in upstream.requests] == [
            "page_size=1000",
            "page_size=1000&page_token=t",
        ]
    assert ([each["id"] for each in reply.json()["data"]], reply.json()["has_more"]) == (["b3"], False)


async def test_cancel() -> None:
    """A cancellation is answered with nothing, so the batch is asked for."""
    async with serving() as (client, upstream):
        upstream.answer("/v2/batches/b1:cancel", said({}))
        upstream.answer("/v2/batches/b1", said({"batch": {**BATCH, "status": "BATCH_STATUS_CANCELING"}}))
        reply = await client.post("/v1/batches/b1/cancel", headers=HEADERS)
        assert [(call.method, call.url, call.body) for call in upstream.requests] == [
            ("POST", "https://api.cohere.com/v2/batches/b1:cancel", b""),
            ("GET", "https://api.cohere.com/v2/batches/b1", b""),
        ]
    assert (reply.json()["status"], reply.json()["cancelling_at"]) == ("cancelling", 1705311060)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": None}, "model"),
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"endpoint": "/v1/responses"}, "endpoint"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600}}, "output_expires_after"),
    ],
)
async def test_what_cannot_be_asked(more: Json, param: str) -> None:
    """What Cohere cannot be told is a 400 that names it, and nothing is sent."""
    async with serving() as (client, upstream):
        reply = await client.post("/v1/batches", json={**ASKED, **more}, headers=HEADERS)
        assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, param, [])


async def test_errors() -> None:
    """The vendor's error keeps its status and its words, in OpenAI's envelope."""
    refused = said({"message": "batch not found"}, 404)
    async with serving(refused) as (client, _):
        reply = await client.get("/v1/batches/b1", headers=HEADERS)
    assert (reply.status_code, reply.json()["error"]["message"]) == (404, "batch not found")
