"""Batches and fine-tuning with the `openai` package at vendors whose API for them is their own.

The gateway is in this process and the vendors are scripted, by the examples of their documents.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types import Batch
from openai.types.fine_tuning import FineTuningJob

from headgate.testing import Recorded, ReplayUpstream, gateway

Json = dict[str, Any]

_PROVIDERS: Mapping[str, Json] = {
    "mistral": {},
    "cohere": {},
    "together": {},
    "fireworks": {"account_id": "acme"},
}
_MISTRAL: Json = {
    "id": "b1",
    "object": "batch",
    "input_files": ["file-1"],
    "endpoint": "/v1/chat/completions",
    "errors": [],
    "status": "QUEUED",
    "created_at": 1700000000,
    "total_requests": 0,
    "completed_requests": 0,
    "succeeded_requests": 0,
    "failed_requests": 0,
}
_COHERE: Json = {
    "id": "b1",
    "name": "n",
    "input_dataset_id": "file-1",
    "model": "m",
    "status": "BATCH_STATUS_QUEUED",
    "created_at": "2024-01-15T09:30:00Z",
}
_TOGETHER: Json = {
    "id": "b1",
    "status": "VALIDATING",
    "input_file_id": "file-1",
    "endpoint": "/v1/chat/completions",
    "created_at": "2024-01-15T09:30:00Z",
}
_FIREWORKS: Json = {
    "name": "accounts/acme/batchInferenceJobs/b1",
    "state": "JOB_STATE_VALIDATING",
    "model": "m",
    "inputDatasetId": "accounts/acme/datasets/file-1",
    "createTime": "2024-01-15T09:30:00Z",
}
_BATCHES: Mapping[str, tuple[Json, Json, Any]] = {
    "mistral": (_MISTRAL, _MISTRAL, {"object": "list", "total": 1, "data": [_MISTRAL]}),
    "cohere": ({"batch": _COHERE}, {"batch": _COHERE}, {"batches": [_COHERE]}),
    "together": ({"job": _TOGETHER}, _TOGETHER, [_TOGETHER]),
    "fireworks": (_FIREWORKS, _FIREWORKS, {"batchInferenceJobs": [_FIREWORKS]}),
}
"""What each vendor answers when a batch is made, asked for, and listed."""
_TUNED: Json = {
    "id": "ft-1",
    "status": "running",
    "created_at": "2023-05-17T17:35:45.123Z",
    "updated_at": "2023-05-17T18:46:23.456Z",
    "model": "meta-llama/Llama-2-7b-hf",
    "training_file": "file-1",
}
_SUPERVISED: Json = {
    "name": "accounts/acme/supervisedFineTuningJobs/ft-1",
    "state": "JOB_STATE_RUNNING",
    "dataset": "accounts/acme/datasets/file-1",
    "baseModel": "accounts/fireworks/models/m",
    "createTime": "2024-01-15T09:30:00Z",
}
_TUNING: Mapping[str, tuple[Json, Json]] = {
    "together": (_TUNED, {"data": [_TUNED]}),
    "fireworks": (_SUPERVISED, {"supervisedFineTuningJobs": [_SUPERVISED]}),
}


@pytest.fixture
def upstream() -> ReplayUpstream:
    """The vendors."""
    return ReplayUpstream()


@pytest.fixture
async def client(upstream: ReplayUpstream) -> AsyncIterator[AsyncOpenAI]:
    """The package before a gateway with one deployment of each vendor, named as that is."""
    held = {name: {"provider": name, "api_key": "sk-0123456789", **more} for name, more in _PROVIDERS.items()}
    async with gateway(providers=held, upstream=upstream) as http:
        yield AsyncOpenAI(base_url="http://gateway.test/v1", api_key="none", http_client=http, max_retries=0)


def at(vendor: str) -> dict[str, str]:
    return {"x-headgate-provider": vendor}


def answered(*said: Any, status: int = 200) -> list[Recorded]:
    kind = (("content-type", "application/json"),)
    return [Recorded(status=status, headers=kind, body=json.dumps(each).encode()) for each in said]


@pytest.mark.parametrize("vendor", _BATCHES)
async def test_batches(client: AsyncOpenAI, upstream: ReplayUpstream, vendor: str) -> None:
    """A batch is made, asked for, found in the list and cancelled; each answer fits the types of the package."""
    made, told, listed = _BATCHES[vendor]
    batches, named = client.batches, at(vendor)
    upstream.answer("*", *answered(made))
    batch = await batches.create(
        input_file_id="file-1",
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_body={"model": f"{vendor}/m"},
        extra_headers=named,
    )
    upstream.answer("*", *answered(told))
    again = await batches.retrieve("b1", extra_headers=named)
    upstream.answer("*", *answered(listed))
    found = [each async for each in await batches.list(extra_headers=named)]
    for each in (batch, again, *found):
        assert (each.id, each.status, each.input_file_id) == ("b1", "validating", "file-1")
        Batch.model_validate(each.to_dict())
    assert len(found) == 1
    upstream.answer("*", *answered(told))
    if vendor == "fireworks":
        with pytest.raises(openai.BadRequestError, match="cannot cancel"):
            await batches.cancel("b1", extra_headers=named)
    else:
        assert (await batches.cancel("b1", extra_headers=named)).id == "b1"


@pytest.mark.parametrize("vendor", _TUNING)
async def test_fine_tuning(client: AsyncOpenAI, upstream: ReplayUpstream, vendor: str) -> None:
    """A job is made for the model's deployment, asked for, found in the list and cancelled."""
    told, listed = _TUNING[vendor]
    jobs, named = client.fine_tuning.jobs, at(vendor)
    upstream.answer("*", *answered(told))
    job = await jobs.create(
        model=f"{vendor}/meta",
        training_file="file-1",
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
    )
    again = await jobs.retrieve("ft-1", extra_headers=named)
    upstream.answer("*", *answered(listed))
    found = [each async for each in await jobs.list(extra_headers=named)]
    upstream.answer("*", *answered(told))
    cancelled = await jobs.cancel("ft-1", extra_headers=named)
    assert len(found) == 1
    for each in (job, again, cancelled, *found):
        assert (each.id, each.status, each.training_file) == ("ft-1", "running", "file-1")
        FineTuningJob.model_validate(each.to_dict())


async def test_events_and_checkpoints(client: AsyncOpenAI, upstream: ReplayUpstream) -> None:
    """Both are read by pages, as the package asks for them."""
    event = {"object": "fine-tune-event", "type": "warning", "level": "warning", "message": "m", "created_at": ""}
    upstream.answer("*", *answered({"data": [event] * 3}))
    events = await client.fine_tuning.jobs.list_events("ft-1", limit=2, extra_headers=at("together"))
    assert [each.id async for each in events] == ["ftevent-ft-1-2", "ftevent-ft-1-1", "ftevent-ft-1-0"]
    saved = {"checkpoint_type": "Final", "created_at": "2026-01-01T00:00:00Z", "path": "s3://a", "step": 5}
    upstream.answer("*", *answered({"data": [saved]}))
    kept = await client.fine_tuning.jobs.checkpoints.list("ft-1", extra_headers=at("together"))
    assert [(each.id, each.step_number) async for each in kept] == [("ft-1:5", 5)]


async def test_long_lists(client: AsyncOpenAI, upstream: ReplayUpstream) -> None:
    """The package walks a list to its end by ids, whatever the vendor's pages are."""
    jobs = [{**_MISTRAL, "id": f"b{number}"} for number in range(130)]
    pages = [{"object": "list", "total": 130, "data": jobs[at : at + 100]} for at in (0, 100)]

    found: list[str] = []
    upstream.answer("*", *answered(pages[0]))
    page = await client.batches.list(limit=60, extra_headers=at("mistral"))
    while True:
        found += [each.id for each in page.data]
        if not page.has_next_page():
            break
        upstream.answer("*", *answered(*pages))
        page = await page.get_next_page()
    assert found == [f"b{number}" for number in range(130)]


@pytest.mark.parametrize(
    ("vendor", "body"),
    [
        ("mistral", {"object": "error", "message": "no such batch", "type": "invalid", "code": "1000"}),
        ("cohere", {"message": "no such batch"}),
        ("together", {"error": {"message": "no such batch", "type": "invalid_request_error", "code": "none"}}),
        ("fireworks", {"code": 5, "message": "no such batch", "details": []}),
    ],
)
async def test_errors(client: AsyncOpenAI, upstream: ReplayUpstream, vendor: str, body: Json) -> None:
    """A refusal is raised by its status, in the vendor's words."""
    upstream.answer("*", *answered(body, status=404))
    with pytest.raises(openai.NotFoundError) as caught:
        await client.batches.retrieve("b1", extra_headers=at(vendor))
    assert "no such batch" in caught.value.message


async def test_a_field_that_cannot_be_sent(client: AsyncOpenAI, upstream: ReplayUpstream) -> None:
    """What a vendor cannot be told is raised with its name before anything is sent."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.fine_tuning.jobs.create(model="together/meta", training_file="file-1", metadata={"a": "b"})
    assert (caught.value.param, upstream.requests) == ("metadata", [])
