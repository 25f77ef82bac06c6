"""Batches of Jina for clients of OpenAI's: what is sent, what is told of answers, and results as files."""

from __future__ import annotations

from typing import Any

import openai.types
import pytest
from providers.compatible.tests.asking import KEY, Json, at, sent

from headgate.testing import Recorded

ASKED: Json = {
    "input_file_id": "",
    "endpoint": "/v1/embeddings",
    "completion_window": "24h",
    "model": "jina-embeddings-v5-text-small",
    "input": ["Grüße", "two"],
}
NEW: Json = {"batch_id": "batch_1a", "status": "submitted", "created_at": 1234567890}
DONE: Json = {
    "batch_id": "batch_1a",
    "status": "completed",
    "stats": {"total": 1000, "completed": 998, "failed": 2, "total_tokens": 31890},
    "output_url": "/v1/batch/batch_1a/output",
    "created_at": 1234567890,
    "completed_at": 1234567899,
}
"""The vendor's own examples."""
MINE = {"x-headgate-provider": "mine"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, {"input": ["Grüße", "two"]}),
        (
            {"task": "retrieval.passage", "dimensions": 256, "normalized": True},
            {"input": ["Grüße", "two"], "task": "retrieval.passage", "dimensions": 256, "normalized": True},
        ),
        ({"input": None, "input_file_id": "gs://b/a.jsonl"}, {"input_file": "gs://b/a.jsonl"}),
    ],
)
async def test_a_batch_is_made(asked: Json, told: Json) -> None:
    """Texts or a place in Cloud Storage go in the vendor's words; the window, which it has not, is named."""
    async with at("jina") as vendor:
        vendor.answer(NEW)
        status, said = await vendor.ask("POST", "/v1/batches", {**ASKED, **asked})
        assert sent(vendor.calls[0]) == (
            "POST",
            "https://api.jina.ai/v1/batch/embeddings",
            {"model": "jina-embeddings-v5-text-small", **told},
        )
        assert (status, vendor.dropped) == (200, "completion_window")
    batch = openai.types.Batch.model_validate(said)
    assert (batch.id, batch.status, batch.endpoint, batch.created_at) == (
        "batch_1a",
        "validating",
        "/v1/embeddings",
        1234567890,
    )
    assert (batch.input_file_id, batch.output_file_id, batch.error_file_id) == (told.get("input_file", ""), None, None)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"input_file_id": "file-1", "input": None}, "input_file_id"),
        ({"input": None}, "input"),
        ({"input_file_id": "gs://b/a.jsonl"}, "input"),
        ({"model": None}, "model"),
        ({"endpoint": "/v1/chat/completions"}, "endpoint"),
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"input": [1]}, "input"),
    ],
)
async def test_what_cannot_be_told(asked: Json, param: str) -> None:
    """What there are no words for is refused by its name, and nothing is sent."""
    async with at("jina") as vendor:
        status, told = await vendor.ask("POST", "/v1/batches", {**ASKED, **asked})
        assert (status, told["error"]["param"], vendor.calls) == (400, param, [])


@pytest.mark.parametrize(
    ("said", "status", "output", "errors"),
    [
        ({}, "completed", "batch_1a", "batch_1a-errors"),
        ({"stats": {"total": 1, "completed": 1, "failed": 0}}, "completed", "batch_1a", None),
        ({"status": "processing", "completed_at": None, "stats": None}, "in_progress", None, None),
        ({"status": "failed", "stats": None}, "failed", None, "batch_1a-errors"),
        ({"status": "cancelled", "stats": None}, "cancelled", None, None),
    ],
)
async def test_statuses(said: Json, status: str, output: str | None, errors: str | None) -> None:
    """A batch that has ended is its own output, and what failed stands beside it."""
    async with at("jina") as vendor:
        vendor.answer({**DONE, **said})
        _, told = await vendor.ask("GET", "/v1/batches/batch_1a")
        assert sent(vendor.calls[0]) == ("GET", "https://api.jina.ai/v1/batch/batch_1a", None)
    batch = openai.types.Batch.model_validate(told)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == (status, output, errors)
    if not said:
        assert batch.request_counts is not None
        assert batch.request_counts.to_dict() == {"total": 1000, "completed": 998, "failed": 2}
        assert batch.usage is not None
        assert (batch.usage.input_tokens, batch.completed_at) == (31890, 1234567899)


async def test_a_batch_is_cancelled_and_asked_for() -> None:
    """What the answer to a cancellation holds is not documented: the batch itself says what became of it."""
    async with at("jina") as vendor:
        vendor.answer({"message": "ok"}, {**DONE, "status": "cancelled"})
        _, told = await vendor.ask("POST", "/v1/batches/batch_1a/cancel")
        assert [sent(call)[:2] for call in vendor.calls] == [
            ("DELETE", "https://api.jina.ai/v1/batch/batch_1a"),
            ("GET", "https://api.jina.ai/v1/batch/batch_1a"),
        ]
        assert told["status"] == "cancelled"


@pytest.mark.parametrize(("file", "place"), [("batch_1a", "output"), ("batch_1a-errors", "errors")])
async def test_results(file: str, place: str) -> None:
    """The lines of results are relayed byte for byte, with the key."""
    lines = b'{"custom_id":"request-0","response":{"status_code":200,"body":{"data":[{"embedding":[0.10]}]}}}\n'
    async with at("jina") as vendor:
        vendor.upstream.answer("*", Recorded(headers=(("content-type", "application/jsonl"),), body=lines))
        reply = await vendor.client.get(f"/v1/files/{file}/content", headers=MINE)
        request: Any = vendor.calls[0]
        assert (request.method, request.url) == ("GET", f"https://api.jina.ai/v1/batch/batch_1a/{place}")
        assert request.credential.secret.reveal() == KEY
        assert (reply.status_code, reply.content) == (200, lines)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/batches"),
        ("GET", "/v1/files/file-1/content"),
        ("GET", "/v1/files"),
        ("DELETE", "/v1/files/batch_1a"),
    ],
)
async def test_what_there_is_not(method: str, path: str) -> None:
    """No list of batches, and no files but results."""
    async with at("jina") as vendor:
        reply = await vendor.client.request(method, path, headers=MINE)
        assert (reply.status_code, reply.json()["error"]["code"], vendor.calls) == (400, "unsupported_operation", [])


async def test_an_error_of_the_vendor() -> None:
    """Its status and words come to the client."""
    async with at("jina") as vendor:
        vendor.upstream.answer("*", Recorded.from_json({"detail": "no such batch"}, 404))
        status, told = await vendor.ask("GET", "/v1/batches/batch_x")
        assert (status, told["error"]["message"]) == (404, "no such batch")
