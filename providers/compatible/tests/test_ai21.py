"""AI21's library as files and its batches, which hold their requests, for clients of OpenAI's: what is sent, and what is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import openai.types
import pytest
from providers.compatible.tests.asking import KEY, Json, Vendor, at, sent

from headgate.forms import boundary_of, parts_of

API = "https://api.ai21.com/studio/v1"
REQUEST: Json = {"custom_id": "request-001", "body": {"model": "jamba-mini", "messages": []}}
ASKED: Json = {
    "input_file_id": "",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
    "requests": [REQUEST, {**REQUEST, "custom_id": "Grüße"}],
}
BATCH: Json = {
    "id": "b-1",
    "status": "PENDING",
    "endpoint": "/v1/chat/completions",
    "created_at": 1732000000,
    "completed_at": None,
    "cancelled_at": None,
    "request_counts": {"total": 2, "completed": 0, "failed": 0},
    "metadata": {"a": "b"},
    "output_file": None,
    "error_file": None,
}
FILE: Json = {
    "fileId": "da13301a",
    "name": "koala.txt",
    "fileType": "text",
    "sizeBytes": 7,
    "createdBy": "someone",
    "creationDate": "2024-06-24",
    "lastUpdated": "2024-06-24",
    "status": "UPLOADED",
}


async def test_a_batch() -> None:
    """A form with the endpoint and the requests as lines of OpenAI's; it names no file that they came from."""
    async with at("ai21") as vendor:
        vendor.answer(BATCH)
        status, told = await vendor.ask("POST", "/v1/batches", {**ASKED, "metadata": {"a": "b"}})
        [call] = vendor.calls
    assert (status, call.method, call.url) == (200, "POST", f"{API}/batches")
    parts = {each.name: each for each in parts_of(call.body, boundary_of(dict(call.headers)[b"content-type"]))}
    assert set(parts) == {"endpoint", "metadata", "file"}
    assert (parts["endpoint"].content, parts["metadata"].content) == (b"/v1/chat/completions", b'{"a":"b"}')
    assert b'filename="requests.jsonl"' in call.body
    lines = [json.loads(line) for line in parts["file"].content.splitlines()]
    assert lines == [{"method": "POST", "url": "/v1/chat/completions", **each} for each in ASKED["requests"]]
    batch = openai.types.Batch.model_validate(told)
    assert (batch.id, batch.status, batch.input_file_id, batch.output_file_id) == ("b-1", "validating", "", None)
    assert (batch.endpoint, batch.created_at, batch.metadata) == ("/v1/chat/completions", 1732000000, {"a": "b"})


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input_file_id": "file-1"}, "input_file_id"),
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": "48h"}, "completion_window"),
        ({"requests": None}, "requests"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600}}, "output_expires_after"),
        ({"model": "jamba-mini"}, "model"),
    ],
)
async def test_batches_that_cannot_be_asked(members: Json, param: str) -> None:
    """What the vendor cannot be told is a 400 that names it, and nothing is sent."""
    async with at("ai21") as vendor:
        status, told = await vendor.ask("POST", "/v1/batches", {**ASKED, **members})
        assert (status, vendor.calls) == (400, [])
    assert told["error"]["param"].startswith(param)


@pytest.mark.parametrize(
    ("said", "status", "end"),
    [
        ({"status": "PROCESSING"}, "in_progress", {}),
        ({"status": "STALE"}, "in_progress", {}),
        ({"status": "COMPLETED", "completed_at": 9}, "completed", {"completed_at": 9}),
        ({"status": "FAILED", "completed_at": 9}, "failed", {"failed_at": 9}),
        ({"status": "EXPIRED", "completed_at": 9}, "expired", {"expired_at": 9}),
        ({"status": "CANCELLED", "cancelled_at": 8, "completed_at": 9}, "cancelled", {"cancelled_at": 8}),
    ],
)
async def test_statuses(said: Json, status: str, end: Mapping[str, int]) -> None:
    """The vendor's words in OpenAI's, with their time; files of results are told by the batch's own id."""
    async with at("ai21") as vendor:
        vendor.answer({**BATCH, **said, "output_file": "gs://a", "error_file": "gs://b"})
        _, told = await vendor.ask("GET", "/v1/batches/b-1")
        assert sent(vendor.calls[0]) == ("GET", f"{API}/batches/b-1", None)
    batch = openai.types.Batch.model_validate(told)
    assert (batch.status, told["native_status"]) == (status, said["status"])
    assert (batch.output_file_id, batch.error_file_id) == ("b-1", "b-1-errors")
    ends = ("completed_at", "failed_at", "expired_at", "cancelled_at")
    assert {name: told[name] for name in ends if told.get(name)} == end


async def test_cancel_and_list() -> None:
    """A batch is cancelled by its id; lists are arrays that go on behind the last one until one is empty."""
    async with at("ai21") as vendor:
        vendor.answer(BATCH, path="/studio/v1/batches/b-1/cancel")
        vendor.answer([{**BATCH, "id": "b-1"}, {**BATCH, "id": "b-2"}], [{**BATCH, "id": "b-3"}], [])
        status, _ = await vendor.ask("POST", "/v1/batches/b-1/cancel")
        assert (status, sent(vendor.calls[0])) == (200, ("POST", f"{API}/batches/b-1/cancel", None))
        _, told = await vendor.ask("GET", "/v1/batches?after=b-1")
        assert [call.url for call in vendor.calls[1:]] == [
            f"{API}/batches?limit=100",
            f"{API}/batches?limit=100&after=b-2",
            f"{API}/batches?limit=100&after=b-3",
        ]
    assert ([each["id"] for each in told["data"]], told["has_more"]) == (["b-2", "b-3"], False)


@pytest.mark.parametrize(("file", "kind"), [("b-1", "output"), ("b-1-errors", "error")])
async def test_results(file: str, kind: str) -> None:
    """They are the content of the file that the batch names, as it comes, without the deployment's key."""
    said = b'{"custom_id":"request-001"}\n' + KEY.encode()
    async with at("ai21") as vendor:
        vendor.answer(said, path="/studio/v1/batches/b-1/results")
        reply = await vendor.client.get(f"/v1/files/{file}/content", headers={"x-headgate-provider": "mine"})
        assert vendor.calls[0].url == f"{API}/batches/b-1/results?file_type={kind}"
    assert (reply.status_code, reply.content) == (200, said.replace(KEY.encode(), b"[redacted]"))


async def test_errors() -> None:
    """The vendor's errors have its status and words."""
    async with at("ai21") as vendor:
        vendor.answer({"detail": "no such batch"}, status=404)
        for method, path in (("GET", "/v1/batches/b-9"), ("GET", "/v1/files/b-9/content"), ("GET", "/v1/files/f")):
            status, told = await vendor.ask(method, path)
            assert (status, told["error"]["message"]) == (404, "no such batch")


# files


async def upload(vendor: Vendor, content: bytes = b"content", **fields: str) -> tuple[int, Json]:
    """What the gateway answers to a form with one file."""
    parts: list[Any] = [(name, (None, value)) for name, value in fields.items()]
    named = {"x-headgate-provider": "mine"}
    reply = await vendor.client.post(
        "/v1/files", files=[*parts, ("file", ("koala.txt", content, "text/plain"))], headers=named
    )
    return reply.status_code, reply.json()


@pytest.mark.parametrize("known", ["fileId", "id"])
@pytest.mark.parametrize("content", [b"content", b"content" * 20_000], ids=["small", "large"])
async def test_an_upload(content: bytes, known: str) -> None:
    """The file goes in its form without the purpose; a second call tells of it, for the first says an id alone."""
    async with at("ai21") as vendor:
        vendor.answer({known: "da13301a"}, path="/studio/v1/library/files")
        vendor.answer(FILE, path="/studio/v1/library/files/da13301a")
        status, told = await upload(vendor, content, purpose="user_data")
        assert [(call.method, call.url) for call in vendor.calls] == [
            ("POST", f"{API}/library/files"),
            ("GET", f"{API}/library/files/da13301a"),
        ]
        call = vendor.calls[0]
    [part] = parts_of(call.body, boundary_of(dict(call.headers)[b"content-type"]))
    assert (part.name, part.content_type, part.content) == ("file", "text/plain", content)
    assert status == 200
    file = openai.types.FileObject.model_validate(told)
    assert (file.id, file.bytes, file.filename, file.purpose) == ("da13301a", 7, "koala.txt", "user_data")
    assert (file.created_at, file.status) == (1719187200, "uploaded")


@pytest.mark.parametrize("purpose", ["batch", "fine-tune"])
async def test_uploads_that_cannot_be_asked(purpose: str) -> None:
    """The library keeps what is read; a batch holds its requests itself."""
    async with at("ai21") as vendor:
        status, told = await upload(vendor, purpose=purpose)
        assert (status, told["error"]["param"], vendor.calls) == (400, "purpose", [])


@pytest.mark.parametrize(
    ("said", "status", "details"),
    [
        ({"status": "PROCESSED"}, "processed", None),
        ({"status": "PROCESSING"}, "uploaded", None),
        ({"status": "PARSING_FAILED", "errorMessage": "no text"}, "error", "no text"),
    ],
)
async def test_a_file(said: Json, status: str, details: str | None) -> None:
    """What became of a file, in OpenAI's words."""
    async with at("ai21") as vendor:
        vendor.answer({**FILE, **said})
        _, told = await vendor.ask("GET", "/v1/files/da13301a")
    assert (told["status"], told["status_details"], told["native_status"]) == (status, details, said["status"])


async def test_files_are_listed_and_deleted() -> None:
    """Lists are arrays, page after page by an offset; the end of a file is answered with nothing."""
    first = [{**FILE, "fileId": f"f{n}"} for n in range(1000)]
    async with at("ai21") as vendor:
        vendor.answer(first, [{**FILE, "fileId": "last"}], path="/studio/v1/library/files")
        vendor.answer(b"", path="/studio/v1/library/files/f1", status=204)
        _, told = await vendor.ask("GET", "/v1/files?limit=2&after=f999")
        assert [call.url for call in vendor.calls] == [
            f"{API}/library/files?offset=0&limit=1000",
            f"{API}/library/files?offset=1000&limit=1000",
        ]
        assert ([each["id"] for each in told["data"]], told["has_more"]) == (["last"], False)
        _, gone = await vendor.ask("DELETE", "/v1/files/f1")
        assert sent(vendor.calls[2]) == ("DELETE", f"{API}/library/files/f1", None)
    assert gone == {"id": "f1", "object": "file", "deleted": True}
