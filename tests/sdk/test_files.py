"""Files with the `openai` package at vendors that keep datasets: uploaded, used for a batch, and its results read.

The gateway is in this process and the vendors are scripted, by the examples of their documents.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types import FileObject

from headgate.testing import Recorded, ReplayUpstream, gateway

Json = dict[str, Any]

LINES = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}}\n' * 2000
RESULTS = b'{"custom_id": "1", "response": {"choices": []}}\n'
_ACCOUNT = "accounts/acme"
_DATASETS = f"/v1/{_ACCOUNT}/datasets"


@pytest.fixture
def upstream() -> ReplayUpstream:
    """The vendors."""
    return ReplayUpstream()


@pytest.fixture
async def client(upstream: ReplayUpstream) -> AsyncIterator[AsyncOpenAI]:
    """The package before a gateway with a deployment of each vendor, named as that is."""
    held = {
        "cohere": {"provider": "cohere", "api_key": "sk-0123456789"},
        "fireworks": {"provider": "fireworks", "api_key": "sk-0123456789", "account_id": "acme"},
    }
    async with gateway(providers=held, upstream=upstream) as http:
        yield AsyncOpenAI(base_url="http://gateway.test/v1", api_key="none", http_client=http, max_retries=0)


def answered(told: Any) -> Recorded:
    return Recorded(headers=(("content-type", "application/json"),), body=json.dumps(told).encode())


async def test_fireworks(client: AsyncOpenAI, upstream: ReplayUpstream) -> None:
    """A file is uploaded, waited for, listed, given to a batch, whose results are read, and deleted."""
    named = {"x-headgate-provider": "fireworks"}
    dataset: Json = {"name": f"{_ACCOUNT}/datasets/batch-1", "createTime": "2026-01-01T00:00:00Z", "state": "UPLOADING"}
    upstream.answer(_DATASETS, answered(dataset), answered({"datasets": [dataset]}))
    uploaded: Json = {"id": dataset["name"], "bytes": len(LINES), "created_at": 1767225600, "filename": "in.jsonl"}
    upstream.answer(f"{_DATASETS}/batch-1:upload", answered(uploaded))
    upstream.answer(f"{_DATASETS}/batch-1", answered({**dataset, "state": "READY"}))
    file = await client.files.create(file=("in.jsonl", LINES), purpose="batch", extra_headers=named)
    assert LINES in upstream.requests[1].body
    ready = await client.files.retrieve(file.id, extra_headers=named)
    found = [each async for each in await client.files.list(extra_headers=named)]
    for each in (file, ready, *found):
        assert (each.id, each.purpose) == ("batch-1", "batch")
        FileObject.model_validate(each.to_dict())
    assert (file.bytes, file.status, ready.status, len(found)) == (len(LINES), "uploaded", "processed", 1)

    job: Json = {
        "name": f"{_ACCOUNT}/batchInferenceJobs/b1",
        "state": "JOB_STATE_COMPLETED",
        "inputDatasetId": dataset["name"],
        "outputDatasetId": f"{_ACCOUNT}/datasets/out-1",
    }
    upstream.answer(f"/v1/{_ACCOUNT}/batchInferenceJobs", answered(job))
    batch = await client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_body={"model": "fireworks/m"},
        extra_headers=named,
    )
    assert json.loads(upstream.requests[-1].body)["inputDatasetId"] == dataset["name"]
    signed = {"dataset/out-1/BIJOutputSet.jsonl": "https://storage.example/r.jsonl?sig=1"}
    upstream.answer(f"{_DATASETS}/out-1:getDownloadEndpoint", answered({"filenameToSignedUrls": signed}))
    upstream.answer("/r.jsonl", Recorded(body=RESULTS))
    assert batch.output_file_id == "out-1"
    content = await client.files.content(batch.output_file_id, extra_headers=named)
    assert content.content == RESULTS
    deleted = await client.files.delete(file.id, extra_headers=named)
    assert (deleted.id, deleted.deleted) == ("batch-1", True)


async def test_cohere(client: AsyncOpenAI, upstream: ReplayUpstream) -> None:
    """A file is uploaded, waited for and given to a batch; its results are Avro, which is said."""
    named = {"x-headgate-provider": "cohere"}
    dataset: Json = {"id": "in-1", "name": "in.jsonl", "dataset_type": "batch-openai-chat-input"}
    upstream.answer("/v1/datasets", answered({"id": "in-1"}))
    upstream.answer(
        "/v1/datasets/in-1",
        answered({"dataset": {**dataset, "validation_status": "processing"}}),
        answered({"dataset": {**dataset, "validation_status": "validated"}}),
    )
    file = await client.files.create(file=("in.jsonl", LINES), purpose="batch", extra_headers=named)
    ready = await client.files.retrieve(file.id, extra_headers=named)
    for each in (file, ready):
        FileObject.model_validate(each.to_dict())
    assert (file.id, file.bytes, file.status, ready.status) == ("in-1", len(LINES), "uploaded", "processed")
    upstream.answer("/v1/datasets/out-1", answered({"dataset": {"id": "out-1", "dataset_parts": [{"url": "x"}]}}))
    with pytest.raises(openai.BadRequestError, match="is Avro") as caught:
        await client.files.content("out-1", extra_headers=named)
    assert caught.value.code == "unsupported_content"
