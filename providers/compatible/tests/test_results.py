"""Batches of xAI and OpenRouter and files of OpenRouter, for clients of OpenAI's: what is sent, and what is told of answers."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai.types
import pytest
from providers.compatible.tests.asking import KEY, Json, Vendor, at, sent

OPENAI: Json = {"input_file_id": "file_1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
XAI: Json = {
    "batch_id": "batch_1934e8b5",
    "name": "nightly",
    "create_time": "2025-11-11",
    "expire_time": "2025-11-12T00:00:00Z",
    "create_api_key_id": "key_123",
    "cancel_time": None,
    "cancel_by_xai_message": None,
    "state": {"num_requests": 3, "num_pending": 0, "num_success": 2, "num_error": 1, "num_cancelled": 0},
}
COMPLETION: Json = {"id": "e7c2", "object": "chat.completion", "choices": []}
LINE: Json = {
    "id": "batch_req_123",
    "custom_id": "req-0001",
    "response": {"status_code": 200, "request_id": "request_123", "body": COMPLETION},
    "error": None,
}
OPENROUTER: Json = {
    "id": "batch_123",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "model": "openai/gpt-4o",
    "completion_window": "24h",
    "status": "completed",
    "created_at": 1782097200,
    "finalized_at": 1782100800,
    "request_counts": {"total": 1, "completed": 1, "failed": 0},
    "usage": {
        "prompt_tokens": 20,
        "completion_tokens": 40,
        "total_tokens": 60,
        "cost": 0.000225,
        "is_byok": False,
        "prompt_tokens_details": {"cached_tokens": 4},
    },
    "results": [LINE],
    "error": None,
}
HELD: Json = {
    "id": "file_011C",
    "type": "file",
    "filename": "a.pdf",
    "mime_type": "application/pdf",
    "size_bytes": 8,
    "created_at": "2025-04-15T18:37:24.100435Z",
    "downloadable": False,
}


async def content(vendor: Vendor, file: str) -> tuple[int, bytes]:
    """What the gateway answers to `files.content`."""
    reply = await vendor.client.get(f"/v1/files/{file}/content", headers={"x-headgate-provider": "mine"})
    return reply.status_code, reply.content


def lines_of(body: bytes) -> list[Json]:
    return [json.loads(line) for line in body.splitlines()]


async def test_xai_creates() -> None:
    """A batch has a name and a file; that of the file where the client writes none."""
    async with at("xai") as vendor:
        vendor.answer({**XAI, "state": {"num_requests": 0}})
        status, told = await vendor.ask("POST", "/v1/batches", OPENAI)
        _, named = await vendor.ask("POST", "/v1/batches", {**OPENAI, "name": "nightly"})
        assert sent(vendor.calls[0]) == (
            "POST",
            "https://api.x.ai/v1/batches",
            {"name": "file_1", "input_file_id": "file_1"},
        )
        assert sent(vendor.calls[1])[2] == {"name": "nightly", "input_file_id": "file_1"}
        assert (status, vendor.dropped) == (200, "completion_window")
    batch = openai.types.Batch.model_validate(told)
    assert (batch.id, batch.status, batch.input_file_id) == ("batch_1934e8b5", "validating", "file_1")
    assert (batch.endpoint, batch.created_at, batch.expires_at) == ("/v1/chat/completions", 1762819200, 1762905600)
    assert (batch.output_file_id, named["name"]) == (None, "nightly")


@pytest.mark.parametrize(
    ("said", "status", "output", "place"),
    [
        ({}, "completed", "batch_1934e8b5", ""),
        ({"state": {"num_requests": 3, "num_pending": 1}}, "in_progress", None, ""),
        ({"state": None}, "validating", None, ""),
        ({"cancel_time": "1970-01-01T00:00:09Z"}, "cancelled", "batch_1934e8b5", "cancelled_at"),
        ({"cancel_time": "1970-01-01T00:00:09Z", "cancel_by_xai_message": "bad line"}, "failed", None, "failed_at"),
    ],
)
async def test_xai_statuses(said: Json, status: str, output: str | None, place: str) -> None:
    """What is counted says how far a batch is; one that has ended is its own output."""
    async with at("xai") as vendor:
        vendor.answer({**XAI, **said})
        _, told = await vendor.ask("GET", "/v1/batches/batch_1934e8b5")
        assert sent(vendor.calls[0]) == ("GET", "https://api.x.ai/v1/batches/batch_1934e8b5", None)
    batch = openai.types.Batch.model_validate(told)
    assert (batch.status, batch.output_file_id) == (status, output)
    ends = ("completed_at", "failed_at", "cancelled_at", "cancelling_at")
    assert {name: told[name] for name in ends if told.get(name)} == ({place: 9} if place else {})
    assert [each.message for each in (batch.errors.data if batch.errors else None) or []] == (
        ["bad line"] if status == "failed" else []
    )
    if status == "completed":
        assert batch.request_counts is not None
        assert batch.request_counts.to_dict() == {"total": 3, "completed": 2, "failed": 1}


async def test_xai_lists_and_cancels() -> None:
    """Lists go on by the vendor's token; a batch is cancelled behind a colon."""
    async with at("xai") as vendor:
        first = {"batches": [{**XAI, "batch_id": f"batch_{n}"} for n in range(3)], "pagination_token": "t/2"}
        vendor.answer(first, {"batches": [{**XAI, "batch_id": "batch_3"}], "pagination_token": None}, XAI)
        _, told = await vendor.ask("GET", "/v1/batches?limit=3&after=batch_0")
        assert [each["id"] for each in told["data"]] == ["batch_1", "batch_2", "batch_3"]
        assert told["has_more"] is False
        assert [call.url for call in vendor.calls] == [
            "https://api.x.ai/v1/batches?limit=100",
            "https://api.x.ai/v1/batches?limit=100&pagination_token=t%2F2",
        ]
        status, _ = await vendor.ask("POST", "/v1/batches/batch_1/cancel")
        assert (status, sent(vendor.calls[2])) == (200, ("POST", "https://api.x.ai/v1/batches/batch_1:cancel", None))


async def test_xai_results() -> None:
    """The content of a batch is a line for each of its results, page after page, without the deployment's key."""
    pages = [
        {
            "results": [
                {
                    "batch_request_id": "r1",
                    "batch_result": {"response": {"chat_get_completion": {**COMPLETION, "echo": KEY}}},
                }
            ],
            "pagination_token": "r1",
        },
        {
            "results": [
                {"batch_request_id": "r2", "batch_result": {"error": {"code": 3, "message": "boom"}}},
                {"batch_request_id": "r3", "batch_result": None, "error_message": "late"},
            ]
        },
    ]
    async with at("xai") as vendor:
        vendor.answer(*pages)
        status, body = await content(vendor, "batch_1")
        urls = [call.url for call in vendor.calls]
        assert [call.credential is not None for call in vendor.calls] == [True, True]
    assert status == 200
    first, *others = lines_of(body)
    assert (first["custom_id"], first["error"]) == ("r1", None)
    assert (first["response"]["status_code"], first["response"]["request_id"]) == (200, "e7c2")
    assert first["response"]["body"]["object"] == "chat.completion"
    assert KEY.encode() not in body
    assert others == [
        {"id": "batch_req_r2", "custom_id": "r2", "response": None, "error": {"code": "3", "message": "boom"}},
        {"id": "batch_req_r3", "custom_id": "r3", "response": None, "error": {"code": "failed", "message": "late"}},
    ]
    assert urls == [
        "https://api.x.ai/v1/batches/batch_1/results?limit=1000",
        "https://api.x.ai/v1/batches/batch_1/results?limit=1000&pagination_token=r1",
    ]


async def test_xai_refuses_results() -> None:
    """An error in the place of the first page is the answer; one in the place of a later page ends the content early."""
    async with at("xai") as vendor:
        vendor.answer({"error": "no such batch", "code": "not-found"}, status=404)
        status, body = await content(vendor, "batch_1")
    assert (status, b"no such batch" in body) == (404, True)
    async with at("xai") as vendor:
        vendor.answer({"results": [], "pagination_token": "t"}, b"gone")
        with pytest.raises(httpx2.RemoteProtocolError, match="broke the reply off"):
            await content(vendor, "batch_1")


async def test_xai_files() -> None:
    """Files are OpenAI's there: they pass as they come, and so does their content."""
    async with at("xai") as vendor:
        vendor.answer(b'{"custom_id":"1"}')
        assert await content(vendor, "file_1") == (200, b'{"custom_id":"1"}')
        assert vendor.calls[0].url == "https://api.x.ai/v1/files/file_1/content"


async def test_xai_lists_files() -> None:
    """Lists go on by the vendor's token, so that OpenAI's clients, who ask by the last file, come to an end."""
    held: list[Json] = [
        {"id": f"file_{at}", "bytes": 3, "created_at": 1762819200, "filename": "a.jsonl", "purpose": ""}
        for at in range(3)
    ]
    async with at("xai") as vendor:
        vendor.answer({"data": held[:2], "pagination_token": "t"}, {"data": held[2:], "pagination_token": None})
        _, told = await vendor.ask("GET", "/v1/files?after=file_0")
        assert [call.url for call in vendor.calls] == [
            "https://api.x.ai/v1/files?limit=100",
            "https://api.x.ai/v1/files?limit=100&pagination_token=t",
        ]
    files = [openai.types.FileObject.model_validate(each) for each in told["data"]]
    assert ([each.id for each in files], told["has_more"]) == (["file_1", "file_2"], False)
    assert (files[0].bytes, files[0].created_at, files[0].purpose) == (3, 1762819200, "user_data")


async def test_openrouter_creates() -> None:
    """The requests stand last in the body, as its page wants; what else is told is OpenAI's."""
    asked: Json = {
        "input_file_id": "",
        "requests": [{"custom_id": "1", "body": {"messages": []}}],
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "model": "mine/openai/gpt-4o",
        "provider": {"only": ["openai"]},
        "callback_url": "https://me.example/told",
    }
    begun: Json = {
        "status": "validating",
        "usage": None,
        "results": None,
        "finalized_at": None,
        "expires_at": 1782183600,
    }
    async with at("openrouter") as vendor:
        vendor.answer({**OPENROUTER, **begun})
        status, told = await vendor.ask("POST", "/v1/batches", asked)
        method, url, body = sent(vendor.calls[0])
    assert (status, method, url) == (200, "POST", "https://openrouter.ai/api/v1/batches")
    assert list(body) == ["endpoint", "model", "completion_window", "callback_url", "provider", "requests"]
    assert (body["model"], body["requests"]) == ("openai/gpt-4o", [{"custom_id": "1", "body": {"messages": []}}])
    batch = openai.types.Batch.model_validate(told)
    assert (batch.id, batch.status, batch.output_file_id, batch.usage) == ("batch_123", "validating", None, None)
    assert batch.expires_at == 1782183600
    assert "results" not in told


REFUSED: list[tuple[Json, str]] = [
    ({**OPENAI, "model": "m"}, "input_file_id"),
    ({"endpoint": "/v1/chat/completions", "requests": []}, "model"),
    ({"endpoint": "/v1/images/generations", "model": "m", "requests": [{}]}, "endpoint"),
    ({"endpoint": "/v1/embeddings", "model": "m"}, "requests"),
    ({"endpoint": "/v1/embeddings", "model": "m", "requests": [{}], "metadata": {"a": "b"}}, "metadata"),
]


@pytest.mark.parametrize(("asked", "param"), REFUSED)
async def test_openrouter_refuses(asked: Json, param: str) -> None:
    """What it cannot be asked is a 400 that names the member, and nothing is sent."""
    async with at("openrouter") as vendor:
        status, told = await vendor.ask("POST", "/v1/batches", asked)
        assert (status, told["error"]["param"], len(vendor.calls)) == (400, param, 0)


async def test_openrouter_tells() -> None:
    """A batch that has ended tells its end, what it cost and its results; its content is a line for each of them."""
    async with at("openrouter") as vendor:
        vendor.answer(OPENROUTER)
        _, told = await vendor.ask("GET", "/v1/batches/batch_123")
        status, body = await content(vendor, "batch_123")
        assert [call.url for call in vendor.calls] == ["https://openrouter.ai/api/v1/batches/batch_123"] * 2
    batch = openai.types.Batch.model_validate(told)
    assert (batch.status, batch.completed_at, batch.output_file_id) == ("completed", 1782100800, "batch_123")
    assert batch.usage is not None
    assert (batch.usage.input_tokens, batch.usage.output_tokens, told["cost"]) == (20, 40, 0.000225)
    assert batch.usage.input_tokens_details.cached_tokens == 4
    assert (status, lines_of(body), told["results"]) == (200, [LINE], [LINE])


async def test_openrouter_has_no_results_yet() -> None:
    """The content of a batch that runs is a 400 with its status, and there is no way to cancel it."""
    async with at("openrouter") as vendor:
        vendor.answer({**OPENROUTER, "status": "in_progress", "results": None})
        status, body = await content(vendor, "batch_123")
        error = json.loads(body)["error"]
        assert (status, error["code"], "in_progress" in error["message"]) == (400, "no_content", True)
        status, told = await vendor.ask("POST", "/v1/batches/batch_123/cancel")
        assert (status, told["error"]["code"], len(vendor.calls)) == (400, "unsupported_operation", 1)


async def test_openrouter_lists() -> None:
    """Pages go on behind the last batch; why one failed is told."""
    failed = {**OPENROUTER, "id": "batch_2", "status": "failed", "results": None, "error": {"message": "no"}}
    async with at("openrouter") as vendor:
        vendor.answer(
            {"object": "list", "data": [OPENROUTER], "last_id": "batch_123", "has_more": True},
            {"object": "list", "data": [failed], "last_id": "batch_2", "has_more": False},
        )
        _, told = await vendor.ask("GET", "/v1/batches")
        assert [call.url.rpartition("/")[2] for call in vendor.calls] == [
            "batches?limit=100",
            "batches?limit=100&after=batch_123",
        ]
    assert [(each["id"], each["status"]) for each in told["data"]] == [
        ("batch_123", "completed"),
        ("batch_2", "failed"),
    ]
    assert (told["data"][1]["errors"]["data"], told["data"][1]["failed_at"]) == ([{"message": "no"}], 1782100800)


async def upload(vendor: Vendor, purpose: str) -> Any:
    return await vendor.client.post(
        "/v1/files",
        headers={"x-headgate-provider": "mine"},
        data={"purpose": purpose},
        files={"file": ("a.pdf", b"%PDF-1.4", "application/pdf")},
    )


async def test_openrouter_uploads() -> None:
    """The file goes alone, and is told as OpenAI's client reads files."""
    async with at("openrouter") as vendor:
        vendor.answer(HELD)
        reply = await upload(vendor, "user_data")
        call = vendor.calls[0]
    told = openai.types.FileObject.model_validate(reply.json())
    assert (told.id, told.bytes, told.filename, told.purpose) == ("file_011C", 8, "a.pdf", "user_data")
    assert (told.created_at, told.status) == (1744742244, "processed")
    assert (call.method, call.url) == ("POST", "https://openrouter.ai/api/v1/files")
    assert b'name="file"; filename="a.pdf"' in call.body
    assert b"purpose" not in call.body


async def test_openrouter_reads_no_batches_from_files() -> None:
    """A purpose that files there have not is a 400, and nothing is sent."""
    async with at("openrouter") as vendor:
        reply = await upload(vendor, "batch")
        assert (reply.status_code, reply.json()["error"]["param"], len(vendor.calls)) == (400, "purpose", 0)


async def test_openrouter_keeps_files() -> None:
    """Files are listed by the vendor's cursor, told, deleted, and their content is relayed."""
    async with at("openrouter") as vendor:
        pages: list[Json] = [
            {"data": [HELD], "has_more": True, "first_id": "file_011C", "last_id": "file_011C", "cursor": "c="},
            {"data": [{**HELD, "id": "file_2"}], "has_more": False, "cursor": None},
        ]
        vendor.answer(*pages, HELD, {"id": "file_011C", "type": "file_deleted"}, b"%PDF-1.4")
        _, listed = await vendor.ask("GET", "/v1/files")
        _, one = await vendor.ask("GET", "/v1/files/file_011C")
        _, gone = await vendor.ask("DELETE", "/v1/files/file_011C")
        assert await content(vendor, "file_011C") == (200, b"%PDF-1.4")
        asked = [(call.method, call.url.removeprefix("https://openrouter.ai/api/v1/files")) for call in vendor.calls]
    assert [openai.types.FileObject.model_validate(each).id for each in listed["data"]] == ["file_011C", "file_2"]
    assert openai.types.FileObject.model_validate(one).bytes == 8
    assert openai.types.FileDeleted.model_validate(gone).deleted is True
    assert asked == [
        ("GET", "?limit=1000"),
        ("GET", "?limit=1000&cursor=c%3D"),
        ("GET", "/file_011C"),
        ("DELETE", "/file_011C"),
        ("GET", "/file_011C/content"),
    ]


async def test_together_lists_files() -> None:
    """The list is one page and says so: a client that asked for more would be given the same page for ever."""
    file: Json = {
        "id": "file-1",
        "created_at": 7,
        "filename": "a.jsonl",
        "bytes": 2,
        "purpose": "batch-api",
        "Processed": True,
    }
    async with at("together") as vendor:
        vendor.answer({"data": [file, {**file, "id": "file-2", "Processed": False}]})
        _, told = await vendor.ask("GET", "/v1/files?limit=10")
        _, behind = await vendor.ask("GET", "/v1/files?after=file-2")
    assert [(each["id"], each["status"]) for each in told["data"]] == [("file-1", "processed"), ("file-2", "uploaded")]
    assert (told["has_more"], behind["data"], vendor.calls[0].url) == (False, [], "https://api.together.ai/v1/files")


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
async def test_groq_lists(path: str) -> None:
    """Groq tells whole lists and does not say so; OpenAI's clients come to the end of them, and errors pass."""
    held: list[Json] = [{"id": "a", "bytes": 1}, {"id": "b", "bytes": 2}]
    async with at("groq") as vendor:
        vendor.answer({"object": "list", "data": held})
        _, told = await vendor.ask("GET", path)
        _, behind = await vendor.ask("GET", f"{path}?after=a")
        vendor.answer({"error": {"message": "no key", "type": "invalid_request_error"}}, status=401)
        status, error = await vendor.ask("GET", path)
    assert told == {"object": "list", "data": held, "has_more": False}
    assert (behind["data"], behind["has_more"]) == (held[1:], False)
    assert (status, error["error"]["message"]) == (401, "no key")
