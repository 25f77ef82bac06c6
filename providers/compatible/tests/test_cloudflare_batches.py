"""Batches of Workers AI, for clients of OpenAI's: what its models are sent, and what is told of what they say."""

from __future__ import annotations

import json
from typing import Any

import openai.types
import pytest
from providers.compatible.tests.asking import Json, Vendor, at, sent

MODEL = "@cf/meta/llama-3.3-70b-instruct-fp8-fast"
RUN = f"https://api.cloudflare.com/client/v4/accounts/acc-1/ai/run/{MODEL}?queueRequest=true"
BODY: Json = {"messages": [{"role": "user", "content": "Grüße"}]}
ASKED: Json = {
    "model": f"mine/{MODEL}",
    "input_file_id": "",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
    "requests": [
        {"custom_id": "a", "body": BODY, "method": "POST", "url": "/v1/chat/completions"},
        {"custom_id": "b", "body": {**BODY, "model": MODEL}},
    ],
}
QUEUED: Json = {"status": "queued", "request_id": "768f15b7", "model": MODEL}
USAGE: Json = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
ENDED: Json = {
    "responses": [
        {"id": 0, "result": {"response": "Hi"}, "success": True, "external_reference": "a"},
        {"id": 1, "result": None, "success": False, "external_reference": "b", "error": {"code": 5, "message": "no"}},
        {"id": 2, "success": False, "external_reference": "c"},
    ],
    "usage": USAGE,
}


def said(result: Json) -> Json:
    return {"result": result, "success": True, "errors": [], "messages": []}


def cloudflare() -> Any:
    return at("cloudflare", vars={"account_id": "acc-1"})


async def begun(vendor: Vendor) -> str:
    """The id of a new batch."""
    vendor.answer(said(QUEUED))
    _, told = await vendor.ask("POST", "/v1/batches", ASKED)
    return told["id"]


async def test_a_batch() -> None:
    """All requests go to their model in one call, each with its id; what comes back has an id that holds the model too."""
    async with cloudflare() as vendor:
        vendor.answer(said(QUEUED))
        status, told = await vendor.ask("POST", "/v1/batches", ASKED)
        assert (status, vendor.dropped) == (200, "completion_window")
        requests = [{**BODY, "external_reference": name} for name in ("a", "b")]
        assert sent(vendor.calls[0]) == ("POST", RUN, {"requests": requests})
    batch = openai.types.Batch.model_validate(told)
    assert (batch.status, batch.endpoint, batch.model, batch.output_file_id) == (
        "validating",
        "/v1/chat/completions",
        MODEL,
        None,
    )
    assert batch.id.startswith("batch_")
    assert "/" not in batch.id


@pytest.mark.parametrize(
    ("result", "status"),
    [({"status": "queued"}, "validating"), ({"status": "running"}, "in_progress"), ({}, "in_progress")],
)
async def test_a_batch_that_runs(result: Json, status: str) -> None:
    """It is asked for at its model, by the vendor's id; its results are not there yet."""
    async with cloudflare() as vendor:
        known = await begun(vendor)
        vendor.answer(said(result))
        _, told = await vendor.ask("GET", f"/v1/batches/{known}")
        assert sent(vendor.calls[1]) == ("POST", RUN, {"request_id": "768f15b7"})
        assert (told["id"], told["status"], told["output_file_id"]) == (known, status, None)
        code, told = await vendor.ask("GET", f"/v1/files/{known}/content")
        assert (code, told["error"]["code"]) == (400, "no_content")


async def test_a_batch_that_is_over() -> None:
    """It counts its answers and is its own file of results, in lines of OpenAI's."""
    async with cloudflare() as vendor:
        known = await begun(vendor)
        vendor.answer(said(ENDED))
        _, told = await vendor.ask("GET", f"/v1/batches/{known}")
        batch = openai.types.Batch.model_validate(told)
        assert (batch.status, batch.output_file_id, batch.endpoint) == ("completed", known, "/v1/chat/completions")
        assert batch.request_counts is not None
        assert batch.request_counts.to_dict() == {"total": 3, "completed": 1, "failed": 2}
        assert batch.usage is not None
        assert (batch.usage.input_tokens, batch.usage.output_tokens) == (12, 3)
        reply = await vendor.client.get(f"/v1/files/{known}/content", headers={"x-headgate-provider": "mine"})
        assert sent(vendor.calls[2]) == ("POST", RUN, {"request_id": "768f15b7"})
    lines = [json.loads(line) for line in reply.content.splitlines()]
    assert [(each["custom_id"], each["error"]) for each in lines] == [
        ("a", None),
        ("b", {"code": "5", "message": "no"}),
        ("c", {"code": "failed", "message": "no answer was told"}),
    ]
    assert lines[0]["response"] == {"status_code": 200, "request_id": "", "body": {"response": "Hi"}}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input_file_id": "file-1"}, "input_file_id"),
        ({"endpoint": "/v1/responses"}, "endpoint"),
        ({"model": None}, "model"),
        ({"model": "mine/../../tokens"}, None),
        ({"requests": None}, "requests"),
        ({"requests": [{"custom_id": "a"}]}, "requests[0].body"),
        ({"requests": [{"custom_id": "a", "body": {"model": "other"}}]}, "requests[0].body.model"),
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"requests": [{"custom_id": "a", "body": BODY, "url": "/v1/embeddings"}]}, "requests[0].url"),
        ({"requests": [{"custom_id": "a", "body": BODY, "method": "GET"}]}, "requests[0].method"),
        ({"requests": [{"custom_id": "a", "body": BODY, "priority": 1}]}, "requests[0].priority"),
    ],
)
async def test_batches_that_cannot_be_asked(members: Json, param: str | None) -> None:
    """What the vendor cannot be told is a 400 that names it, and nothing is sent."""
    async with cloudflare() as vendor:
        status, told = await vendor.ask("POST", "/v1/batches", {**ASKED, **members})
        assert (status, told["error"]["param"] if param else param, vendor.calls) == (400, param, [])


@pytest.mark.parametrize("known", ["batch_", "batch_%25%25", "batch_YQ", "file-1", "batch_YQpiCi4uL3gKYw"])
async def test_ids_that_no_batch_has(known: str) -> None:
    """They are refused before anything is sent."""
    async with cloudflare() as vendor:
        status, _ = await vendor.ask("GET", f"/v1/batches/{known}")
        assert (status, vendor.calls) == (400, [])


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/{id}/cancel")])
async def test_what_there_is_not(method: str, path: str) -> None:
    """Workers AI neither lists batches nor cancels one."""
    async with cloudflare() as vendor:
        known = await begun(vendor)
        status, told = await vendor.ask(method, "/v1/batches" + path.replace("{id}", known))
        assert (status, told["error"]["code"], len(vendor.calls)) == (400, "unsupported_operation", 1)


async def test_errors() -> None:
    """The vendor's errors have its status and words; so has an answer that names no batch."""
    async with cloudflare() as vendor:
        vendor.answer({"success": False, "errors": [{"code": 7003, "message": "no such model"}]}, status=404)
        status, told = await vendor.ask("POST", "/v1/batches", ASKED)
        assert status == 404
        assert "no such model" in told["error"]["message"]
        vendor.answer(said({}))
        status, told = await vendor.ask("POST", "/v1/batches", ASKED)
        assert (status, told["error"]["code"]) == (502, "upstream_bad_reply")
