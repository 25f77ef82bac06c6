"""Batches of Mistral, Together and Fireworks for clients of OpenAI's: what they are sent, and what is told of their answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import mistralai.client.models
import openai.types
import pytest
import together.types
from providers.compatible.tests.asking import KEY, Json, at, sent
from together.types import batch_create_params

OPENAI: Json = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
MISTRAL: Json = {
    "id": "b1",
    "object": "batch",
    "input_files": ["file-1"],
    "metadata": {"team": "a", "n": 3},
    "endpoint": "/v1/chat/completions",
    "model": "mistral-small-latest",
    "agent_id": None,
    "output_file": "file-2",
    "error_file": None,
    "errors": [],
    "outputs": None,
    "status": "RUNNING",
    "created_at": 1700000000,
    "total_requests": 10,
    "completed_requests": 4,
    "succeeded_requests": 3,
    "failed_requests": 1,
    "started_at": 1700000010,
    "completed_at": None,
}
TOGETHER: Json = {
    "id": "b2",
    "user_id": "u",
    "input_file_id": "file-1",
    "file_size_bytes": 10,
    "status": "IN_PROGRESS",
    "job_deadline": "2026-01-02T00:00:00Z",
    "created_at": "2026-01-01T00:00:00.500Z",
    "endpoint": "/v1/chat/completions",
    "progress": 12.5,
    "model_id": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "output_file_id": None,
    "error_file_id": None,
}
FIREWORKS: Json = {
    "name": "accounts/acme/batchInferenceJobs/b3",
    "displayName": "mine",
    "createTime": "2026-01-01T00:00:00Z",
    "updateTime": "2026-01-01T01:00:00.123456789Z",
    "createdBy": "a@acme.example",
    "state": "JOB_STATE_COMPLETED",
    "status": {"code": "OK", "message": ""},
    "model": "accounts/fireworks/models/llama-v3p1-8b-instruct",
    "inputDatasetId": "accounts/acme/datasets/in-1",
    "outputDatasetId": "accounts/acme/datasets/out-1",
    "jobProgress": {
        "percent": 100,
        "totalInputRequests": 10,
        "successfullyProcessedRequests": 9,
        "failedRequests": 1,
        "inputTokens": 100,
        "outputTokens": 50,
        "cachedInputTokenCount": 20,
    },
}


async def test_mistral_creates() -> None:
    """A batch becomes a job over a list of files, whose body and answer fit the types of Mistral's SDK."""
    async with at("mistral") as vendor:
        vendor.answer(MISTRAL)
        asked = {**OPENAI, "model": "mine/mistral-small-latest", "metadata": {"team": "a"}}
        status, told = await vendor.ask("POST", "/v1/batches", asked)
        assert status == 200
        assert vendor.dropped is None
        method, url, body = sent(vendor.calls[0])
        assert (method, url) == ("POST", "https://api.mistral.ai/v1/batch/jobs")
        assert body == {
            "input_files": ["file-1"],
            "endpoint": "/v1/chat/completions",
            "model": "mistral-small-latest",
            "metadata": {"team": "a"},
            "timeout_hours": 24,
        }
        assert dict(vendor.calls[0].headers)[b"content-type"] == b"application/json"
    mistralai.client.models.CreateBatchJobRequest.model_validate(body)
    mistralai.client.models.BatchJob.model_validate(MISTRAL)
    batch = openai.types.Batch.model_validate(told)
    assert (batch.id, batch.object, batch.status, batch.input_file_id) == ("b1", "batch", "in_progress", "file-1")
    assert (batch.created_at, batch.in_progress_at, batch.completed_at) == (1700000000, 1700000010, None)
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 10, "completed": 3, "failed": 1}
    assert (batch.metadata, batch.output_file_id, batch.errors) == ({"team": "a", "n": "3"}, "file-2", None)
    assert told["native_status"] == "RUNNING"


@pytest.mark.parametrize(
    ("native", "status", "place"),
    [
        ("QUEUED", "validating", ""),
        ("SUCCESS", "completed", "completed_at"),
        ("FAILED", "failed", "failed_at"),
        ("TIMEOUT_EXCEEDED", "expired", "expired_at"),
        ("CANCELLATION_REQUESTED", "cancelling", "cancelling_at"),
        ("CANCELLED", "cancelled", "cancelled_at"),
        ("SOMETHING_NEW", "in_progress", ""),
    ],
)
async def test_mistral_statuses(native: str, status: str, place: str) -> None:
    """Each of the vendor's words is one of OpenAI's, and the end has its time; an unknown one has not ended."""
    async with at("mistral") as vendor:
        vendor.answer(
            {**MISTRAL, "status": native, "completed_at": 1700000100, "errors": [{"message": "no", "count": 2}]}
        )
        _, told = await vendor.ask("GET", "/v1/batches/b1")
        assert sent(vendor.calls[0]) == ("GET", "https://api.mistral.ai/v1/batch/jobs/b1", None)
        assert b"content-type" not in dict(vendor.calls[0].headers)
    batch = openai.types.Batch.model_validate(told)
    assert (batch.status, told["native_status"]) == (status, native)
    ends = ("completed_at", "failed_at", "expired_at", "cancelled_at", "cancelling_at")
    assert [name for name in ends if told.get(name) is not None] == ([place] if place else [])
    assert batch.errors is not None
    assert [each.message for each in batch.errors.data or []] == ["no"]


async def test_mistral_pages() -> None:
    """A page of OpenAI's is found by its `after` in the vendor's numbered pages, no more of which are read than are needed."""
    jobs = [{**MISTRAL, "id": f"b{number}"} for number in range(230)]
    async with at("mistral") as vendor:
        pages = [{"object": "list", "total": 230, "data": jobs[at : at + 100]} for at in (0, 100, 200)]
        vendor.answer(pages[0])
        _, told = await vendor.ask("GET", "/v1/batches?limit=3")
        assert ([each["id"] for each in told["data"]], told["has_more"]) == (["b0", "b1", "b2"], True)
        assert (told["first_id"], told["last_id"], len(vendor.calls)) == ("b0", "b2", 1)
        vendor.answer(*pages)
        _, told = await vendor.ask("GET", "/v1/batches?after=b98&limit=100")
        assert [each["id"] for each in told["data"]] == [f"b{number}" for number in range(99, 199)]
        assert told["has_more"] is True
        queries = [parse_qs(urlsplit(call.url).query) for call in vendor.calls[1:]]
        assert [(query["page"], query["order_by"]) for query in queries] == [
            (["0"], ["-created"]),
            (["1"], ["-created"]),
        ]
        vendor.answer(*pages)
        _, told = await vendor.ask("GET", "/v1/batches?after=b219")
        assert (len(told["data"]), told["data"][-1]["id"], told["has_more"]) == (10, "b229", False)
        vendor.answer(*pages)
        status, told = await vendor.ask("GET", "/v1/batches?after=b999")
        assert (status, told["error"]["param"]) == (400, "after")


async def test_a_list_without_an_end() -> None:
    """A vendor whose pages never end is not asked for ever."""
    async with at("mistral") as vendor:
        vendor.answer({"object": "list", "total": 10**9, "data": [MISTRAL]})
        status, told = await vendor.ask("GET", "/v1/batches?after=b999")
        assert (status, told["error"]["param"], len(vendor.calls)) == (400, "after", 50)


async def test_mistral_cancels() -> None:
    """A batch is cancelled by its id, whatever stands in it."""
    async with at("mistral") as vendor:
        vendor.answer({**MISTRAL, "status": "CANCELLATION_REQUESTED"})
        _, told = await vendor.ask("POST", "/v1/batches/b%2F1%3Ax/cancel")
        assert sent(vendor.calls[0]) == ("POST", "https://api.mistral.ai/v1/batch/jobs/b%2F1%3Ax/cancel", None)
        assert told["status"] == "cancelling"


@pytest.mark.parametrize(
    ("vendor", "asked", "param"),
    [
        ("mistral", {**OPENAI, "endpoint": "/v1/responses"}, "endpoint"),
        (
            "mistral",
            {**OPENAI, "output_expires_after": {"anchor": "created_at", "seconds": 3600}},
            "output_expires_after",
        ),
        ("mistral", {**OPENAI, "completion_window": "soon"}, "completion_window"),
        ("mistral", {"endpoint": "/v1/embeddings"}, "input_file_id"),
        ("together", {**OPENAI, "endpoint": "/v1/embeddings"}, "endpoint"),
        ("together", {**OPENAI, "metadata": {"a": "b"}}, "metadata"),
        ("fireworks", OPENAI, "model"),
        ("fireworks", {**OPENAI, "model": "m", "metadata": {"a": "b"}}, "metadata"),
        ("fireworks", {**OPENAI, "model": "m", "completion_window": "48h"}, "completion_window"),
        ("fireworks", {**OPENAI, "model": "m", "endpoint": "/v1/completions"}, "endpoint"),
    ],
)
async def test_what_cannot_be_asked(vendor: str, asked: Json, param: str) -> None:
    """What a vendor cannot be told is a 400 that names it, and nothing is sent."""
    async with at(vendor) as held:
        status, told = await held.ask("POST", "/v1/batches", asked)
        assert (status, told["error"]["param"], held.calls) == (400, param, [])


async def test_what_is_let_drop() -> None:
    """With `unsupported: drop` the rest is sent, and what was left out is named."""
    async with at("together") as vendor:
        vendor.answer({"job": TOGETHER})
        asked = {**OPENAI, "metadata": {"a": "b"}}
        status, _ = await vendor.ask("POST", "/v1/batches", asked, **{"x-headgate-unsupported": "drop"})
        assert (status, vendor.dropped) == (200, "metadata")
        assert "metadata" not in sent(vendor.calls[0])[2]


@pytest.mark.parametrize(
    ("vendor", "method", "path"),
    [
        ("mistral", "DELETE", "/v1/batches/b1"),
        ("mistral", "GET", "/v1/batches/b1/events"),
        ("mistral", "POST", "/v1/batches/b1/pause"),
        ("fireworks", "POST", "/v1/batches/b1/cancel"),
        ("mistral", "GET", "/v1/batches?limit=0"),
        ("mistral", "GET", "/v1/batches?limit=101"),
        ("mistral", "GET", "/v1/batches?limit=%C2%B2"),
        ("mistral", "GET", "/v1/batches/b1?limit=3"),
        ("mistral", "GET", "/v1/batches?status=RUNNING"),
    ],
)
async def test_what_there_is_not(vendor: str, method: str, path: str) -> None:
    """What the vendor has no call for is a 400, and nothing is sent."""
    async with at(vendor) as held:
        status, told = await held.ask(method, path)
        assert (status, held.calls) == (400, [])
        assert told["error"]["message"]


async def test_together() -> None:
    """A new job comes in an envelope, a list as a bare array; bodies and answers fit the types of Together's SDK."""
    async with at("together") as vendor:
        vendor.answer({"job": TOGETHER, "warning": "no credit"})
        _, told = await vendor.ask("POST", "/v1/batches", {**OPENAI, "model": "meta", "priority": 3})
        method, url, body = sent(vendor.calls[0])
        assert (method, url) == ("POST", "https://api.together.ai/v1/batches")
        assert body == {**OPENAI, "model_id": "meta", "priority": 3}
        assert set(body) <= set(batch_create_params.BatchCreateParams.__annotations__)
        older = {**TOGETHER, "id": "b0", "created_at": "2025-01-01T00:00:00Z", "status": "FAILED", "error": "no"}
        vendor.answer([older, TOGETHER])
        _, listed = await vendor.ask("GET", "/v1/batches")
        vendor.answer({**TOGETHER, "status": "CANCELLED", "completed_at": "2026-01-01T00:01:00Z"})
        _, ended = await vendor.ask("POST", "/v1/batches/b2/cancel")
        assert sent(vendor.calls[2])[:2] == ("POST", "https://api.together.ai/v1/batches/b2/cancel")
    together.types.BatchJob.model_validate(TOGETHER)
    batch = openai.types.Batch.model_validate(told)
    assert (batch.id, batch.status, batch.created_at, batch.expires_at) == ("b2", "in_progress", 1767225600, 1767312000)
    assert (told["progress"], told["warning"], batch.model) == (12.5, "no credit", TOGETHER["model_id"])
    assert [(each["id"], each["status"]) for each in listed["data"]] == [("b2", "in_progress"), ("b0", "failed")]
    assert listed["data"][1]["errors"]["data"] == [{"message": "no"}]
    assert listed["has_more"] is False
    assert (ended["status"], ended["cancelled_at"]) == ("cancelled", 1767225660)


async def test_fireworks() -> None:
    """Jobs stand below the account of the deployment, beside the base URL; datasets are named by their ids."""
    async with at("fireworks") as vendor:
        vendor.answer(FIREWORKS)
        asked = {
            **OPENAI,
            "input_file_id": "in-1",
            "model": FIREWORKS["model"],
            "inferenceParameters": {"maxTokens": 5},
        }
        _, told = await vendor.ask("POST", "/v1/batches", asked)
        method, url, body = sent(vendor.calls[0])
        assert (method, url) == ("POST", "https://api.fireworks.ai/v1/accounts/acme/batchInferenceJobs")
        assert body == {
            "model": FIREWORKS["model"],
            "inputDatasetId": "accounts/acme/datasets/in-1",
            "inferenceParameters": {"maxTokens": 5},
        }
        vendor.answer({"batchInferenceJobs": [FIREWORKS], "nextPageToken": "t 1"}, {"batchInferenceJobs": [FIREWORKS]})
        _, listed = await vendor.ask("GET", "/v1/batches?limit=1")
        assert len(listed["data"]) == 1
        assert listed["has_more"] is True
        assert parse_qs(urlsplit(vendor.calls[2].url).query) == {
            "pageSize": ["200"],
            "orderBy": ["createTime desc"],
            "pageToken": ["t 1"],
        }
    batch = openai.types.Batch.model_validate(told)
    assert (batch.id, batch.status, batch.completed_at) == ("b3", "completed", 1767229200)
    assert (batch.input_file_id, batch.output_file_id) == ("in-1", "out-1")
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 10, "completed": 9, "failed": 1}
    assert batch.usage is not None
    assert (batch.usage.total_tokens, batch.usage.input_tokens_details.cached_tokens) == (150, 20)


async def test_fireworks_of_another_address() -> None:
    """A deployment with a base URL of its own has its jobs there; one of another account has full names."""
    async with at("fireworks", base_url="http://127.0.0.1:9/v1", account_id="accounts/other") as vendor:
        vendor.answer({**FIREWORKS, "state": "JOB_STATE_FAILED", "status": {"code": "INTERNAL", "message": "no"}})
        _, told = await vendor.ask("GET", "/v1/batches/b3")
        assert vendor.calls[0].url == "http://127.0.0.1:9/v1/accounts/other/batchInferenceJobs/b3"
        assert (told["id"], told["status"]) == ("accounts/acme/batchInferenceJobs/b3", "failed")
        assert told["errors"]["data"] == [{"code": "INTERNAL", "message": "no"}]


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/v1/accounts/acme/datasets", "/v1/accounts/acme/datasets"),
        ("/v1/accounts/acme/datasets/d:upload?a=b", "/v1/accounts/acme/datasets/d:upload?a=b"),
        ("/v1/accounts/acme/apiKeys", "/inference/v1/accounts/acme/apiKeys"),
        ("/v1/accounts/acme/datasetsx", "/inference/v1/accounts/acme/datasetsx"),
    ],
)
async def test_fireworks_datasets(path: str, url: str) -> None:
    """What jobs read is passed through to where it is administered, and nothing else of an account."""
    async with at("fireworks") as vendor:
        vendor.answer({"name": "d"})
        await vendor.ask("POST", path, {"datasetId": "d"})
        assert vendor.calls[0].url == f"https://api.fireworks.ai{url}"
        status, _ = await vendor.ask("POST", "/v1/accounts/acme/datasets/%2e%2e/apiKeys", {})
        assert (status, len(vendor.calls)) == (400, 1)


async def test_fireworks_without_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment that names no account says what is missing; the environment may name it."""
    monkeypatch.delenv("FIREWORKS_ACCOUNT_ID", raising=False)
    async with at("fireworks", account_id="") as vendor:
        status, told = await vendor.ask("GET", "/v1/batches/b3")
        assert (status, told["error"]["code"], vendor.calls) == (400, "missing_account_id", [])
    monkeypatch.setenv("FIREWORKS_ACCOUNT_ID", "env")
    async with at("fireworks", account_id="") as vendor:
        vendor.answer(FIREWORKS)
        await vendor.ask("GET", "/v1/batches/b3")
        assert "/accounts/env/" in vendor.calls[0].url


@pytest.mark.parametrize(
    ("vendor", "status", "body", "words"),
    [
        (
            "mistral",
            404,
            {"object": "error", "message": "no such job", "type": "not_found", "code": "1"},
            "no such job",
        ),
        ("mistral", 422, {"detail": [{"loc": ["body", "model"], "msg": "required"}]}, "required"),
        ("together", 401, {"error": {"message": "bad key", "type": "auth", "code": "k"}}, "bad key"),
        ("fireworks", 404, {"code": 5, "message": "job not found", "details": []}, "job not found"),
        ("fireworks", 500, b"<html>", "500"),
    ],
)
async def test_errors(vendor: str, status: int, body: Any, words: str) -> None:
    """The vendor's error keeps its status and its words, in OpenAI's envelope."""
    async with at(vendor) as held:
        held.answer(body, status=status)
        got, told = await held.ask("GET", "/v1/batches/b1")
        assert got == status
        assert words in told["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"no", b'"text"'])
async def test_answers_that_are_none(body: bytes) -> None:
    """An answer that holds no job is the provider's failure."""
    async with at("mistral") as vendor:
        vendor.answer(body)
        status, told = await vendor.ask("GET", "/v1/batches/b1")
        assert (status, told["error"]["type"]) == (502, "upstream_error")


async def test_the_key_stays_here() -> None:
    """A vendor that tells its key in a job is not repeated."""
    async with at("mistral") as vendor:
        vendor.answer({**MISTRAL, "model": KEY})
        _, told = await vendor.ask("GET", "/v1/batches/b1")
        assert told["model"] == "[redacted]"


VOYAGE: Json = {
    "id": "batch-abc123",
    "object": "batch",
    "endpoint": "/v1/embeddings",
    "errors": None,
    "input_file_id": "file-1",
    "completion_window": "12h",
    "model": "voyage-4-large",
    "status": "completed",
    "output_file_id": "file-2",
    "error_file_id": None,
    "request_counts": {"total": 2, "completed": 2, "failed": 0},
    "metadata": {"corpus": "policies"},
    "created_at": "2025-11-19T02:47:42.031781+00:00",
    "completed_at": "2025-11-19T02:48:09.221885+00:00",
    "failed_at": None,
    "expected_completion_at": "2025-11-19T10:47:42.031781+00:00",
}


@pytest.mark.parametrize(
    "model",
    [{"model": "mine/voyage-4-large"}, {"request_params": {"model": "voyage-4-large", "input_type": "document"}}],
    ids=["OpenAI's way", "Voyage's way"],
)
async def test_voyage_creates(model: Json) -> None:
    """The model stands among the parameters of all requests, the window is Voyage's, and times are numbers."""
    asked: Json = {**OPENAI, "endpoint": "/v1/embeddings", "metadata": {"corpus": "policies"}, **model}
    async with at("voyage") as vendor:
        vendor.answer(VOYAGE)
        status, told = await vendor.ask("POST", "/v1/batches", asked)
        assert (status, vendor.dropped) == (200, None)
        assert sent(vendor.calls[0]) == (
            "POST",
            "https://api.voyageai.com/v1/batches",
            {
                "input_file_id": "file-1",
                "endpoint": "/v1/embeddings",
                "completion_window": "12h",
                "request_params": {"model": "voyage-4-large"} | model.get("request_params", {}),
                "metadata": {"corpus": "policies"},
            },
        )
    batch = openai.types.Batch.model_validate(told)
    assert (batch.id, batch.status, batch.output_file_id) == ("batch-abc123", "completed", "file-2")
    assert (batch.created_at, batch.completed_at, batch.failed_at) == (1763520462, 1763520489, None)
    assert (told["expected_completion_at"], batch.metadata) == (1763549262, {"corpus": "policies"})


async def test_voyage_pages() -> None:
    """Lists go on behind the last batch; the SDK's page of them is found."""
    async with at("voyage") as vendor:
        jobs = [{**VOYAGE, "id": f"batch-{number}"} for number in range(3)]
        vendor.answer({"data": jobs[:2], "has_more": True}, {"data": jobs[2:], "has_more": False})
        _, told = await vendor.ask("GET", "/v1/batches?after=batch-1")
        assert [call.url.partition("?")[2] for call in vendor.calls] == ["limit=100", "limit=100&after=batch-1"]
        assert ([each["id"] for each in told["data"]], told["has_more"]) == (["batch-2"], False)
        status, told = await vendor.ask("POST", "/v1/batches", OPENAI)
        assert (status, told["error"]["code"], len(vendor.calls)) == (400, "missing_model", 2)
