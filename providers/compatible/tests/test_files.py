"""Files of OpenAI's clients at Fireworks, where they are datasets: what it is sent, and what is told of its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import openai.types
import pytest
from providers.compatible.tests.asking import KEY, Json, Vendor, at, sent

from headgate.forms import boundary_of, parts_of
from headgate.testing import Recorded, ReplayUpstream, gateway

API = "https://api.fireworks.ai/v1/accounts/acme/datasets"
PATH = "/v1/accounts/acme/datasets"
MADE: Json = {
    "name": "accounts/acme/datasets/batch-1",
    "displayName": "in.jsonl",
    "createTime": "2026-08-30T03:48:42.645723285Z",
    "state": "UPLOADING",
    "status": {"code": "OK", "message": ""},
    "exampleCount": "1",
    "userUploaded": {},
    "sourceJobName": "",
}
UPLOADED: Json = {
    "bytes": 26,
    "created_at": 1788061722,
    "filename": "in.jsonl",
    "id": "accounts/acme/datasets/batch-1",
    "object": "file",
    "purpose": "dataset",
}
LINES = b'{"custom_id":"1","body":{}}'
SMALL, LARGE = LINES, LINES * 10_000


async def upload(
    vendor: Vendor, content: bytes = LINES, fields: Json | None = None, after: Sequence[str] = (), **headers: str
) -> tuple[int, Json]:
    """What the gateway answers to a form; the fields named in `after` stand behind the file."""
    given = {"purpose": "batch"} if fields is None else fields
    parts: list[Any] = [(name, (None, value)) for name, value in given.items() if name not in after]
    parts += [("file", ("in.jsonl", content, "application/jsonl"))]
    parts += [(name, (None, value)) for name, value in given.items() if name in after]
    named = {"x-headgate-provider": "mine", **headers}
    reply = await vendor.client.post("/v1/files", files=parts, headers=named)
    vendor.dropped = reply.headers.get("x-headgate-dropped")
    return reply.status_code, reply.json()


def filled(vendor: Vendor) -> None:
    """The vendor makes a dataset and takes what is uploaded."""
    vendor.answer(MADE, path=PATH)
    vendor.answer(UPLOADED, path=f"{PATH}/batch-1:upload")


@pytest.mark.parametrize("after", [(), ("purpose",)], ids=["purpose before", "purpose behind"])
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_create(content: bytes, after: Sequence[str]) -> None:
    """One call makes a dataset with an id of its purpose, a second one fills it with the file and nothing else."""
    async with at("fireworks") as vendor:
        filled(vendor)
        status, told = await upload(vendor, content, after=after)
        assert (status, vendor.dropped) == (200, None)
        method, url, body = sent(vendor.calls[0])
        assert (method, url) == ("POST", API)
        known = body.pop("datasetId")
        assert known.startswith("batch-")
        assert (len(known), known.lower()) == (38, known)
        assert body == {"dataset": {"displayName": "in.jsonl", "userUploaded": {}, "exampleCount": "1"}}
        filling = vendor.calls[1]
    assert (filling.method, filling.url) == ("POST", f"{API}/batch-1:upload")
    kind = dict(filling.headers)[b"content-type"]
    boundary = kind.partition(b"boundary=")[2]
    head = (
        b'Content-Disposition: form-data; name="file"; filename="in.jsonl"\r\nContent-Type: application/jsonl\r\n\r\n'
    )
    assert filling.body == b"--" + boundary + b"\r\n" + head + content + b"\r\n--" + boundary + b"--\r\n"
    file = openai.types.FileObject.model_validate(told)
    assert (file.id, file.purpose, file.status) == ("batch-1", "batch", "uploaded")
    assert (file.bytes, file.created_at, file.filename) == (26, 1788061722, "in.jsonl")


READ: Mapping[str, Json] = {
    "ai21": {"fileId": "f", "name": "in.jsonl", "status": "UPLOADED"},
    "minimax": {"file": {"file_id": 5, "filename": "in.jsonl"}, "base_resp": {"status_code": 0}},
    "openrouter": {"id": "f", "filename": "in.jsonl", "size_bytes": 5, "created_at": "2025-01-01T00:00:00Z"},
}


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("vendor", READ)
async def test_files_that_models_read(vendor: str, content: bytes) -> None:
    """Their purpose may stand behind them, as JavaScript's package writes it, and is told as it was said."""
    async with at(vendor) as there:
        there.answer(READ[vendor])
        status, told = await upload(there, content, {"purpose": "user_data"}, ("purpose",))
        assert (status, told["purpose"]) == (200, "user_data")
        if vendor != "minimax":  # which has its own word for it
            status, told = await upload(there, content, {"purpose": "assistants"}, ("purpose",))
            assert (status, told["purpose"]) == (200, "assistants")
        calls = len(there.calls)
        status, told = await upload(there, SMALL, {"purpose": "batch"}, ("purpose",))
        assert (status, told["error"]["param"], len(there.calls)) == (400, "purpose", calls)


async def test_a_number_of_ones_own() -> None:
    """The vendor's own field for the number of lines passes, and the id says what the file is for."""
    async with at("fireworks") as vendor:
        filled(vendor)
        status, _ = await upload(vendor, fields={"purpose": "fine-tune", "exampleCount": "3"})
        assert status == 200
        body = sent(vendor.calls[0])[2]
    assert body["dataset"]["exampleCount"] == "3"
    assert body["datasetId"].startswith("fine-tune-")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "purpose"),
        ({"purpose": "assistants"}, "purpose"),
        ({"purpose": "batch", "expires_after[anchor]": "created_at"}, "expires_after[anchor]"),
    ],
)
async def test_what_cannot_be_asked(fields: Json, param: str) -> None:
    """What the vendor cannot be told is a 400 that names it, and nothing is sent."""
    async with at("fireworks") as vendor:
        status, told = await upload(vendor, fields=fields)
        assert (status, told["error"]["param"], vendor.calls) == (400, param, [])


async def test_what_is_let_drop() -> None:
    """With `unsupported: drop` the file is kept all the same, and what was left out is named, wherever it stood."""
    fields = {"purpose": "batch", "expires_after[anchor]": "created_at"}
    async with at("fireworks") as vendor:
        filled(vendor)
        for after in ((), ("expires_after[anchor]",)):
            status, _ = await upload(vendor, LARGE, fields, after, **{"x-headgate-unsupported": "drop"})
            assert (status, vendor.dropped) == (200, "expires_after[anchor]")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"purpose": "fine-tune"}, "before `file`"),
        ({"purpose": "vision"}, "cannot be `vision`"),
        ({"exampleCount": "3", "purpose": "batch"}, "before `file`"),
        ({"mode": "x", "purpose": "batch"}, "`mode` cannot be sent"),
    ],
)
async def test_what_comes_too_late(fields: Json, words: str) -> None:
    """A field behind a large file that would have changed the calls is refused, and the dataset that was made is deleted."""
    async with at("fireworks") as vendor:
        filled(vendor)
        vendor.answer({}, path=f"{PATH}/batch-1")
        status, told = await upload(vendor, LARGE, fields, tuple(fields))
        assert (status, [call.method for call in vendor.calls]) == (400, ["POST", "DELETE"])
        assert words in told["error"]["message"]
        assert vendor.calls[1].url == f"{API}/batch-1"


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_an_upload_that_fails(content: bytes) -> None:
    """The vendor's refusal is relayed, and the empty dataset does not stay."""
    async with at("fireworks") as vendor:
        vendor.answer(MADE, path=PATH)
        vendor.answer({"code": 3, "message": "too many lines"}, path=f"{PATH}/batch-1:upload", status=400)
        vendor.answer({"code": 13, "message": "later"}, path=f"{PATH}/batch-1", status=500)
        status, told = await upload(vendor, content)
        assert (status, told["error"]["message"]) == (400, "too many lines")
        assert [call.method for call in vendor.calls] == ["POST", "POST", "DELETE"]


async def test_a_dataset_that_cannot_be_made() -> None:
    """Where the first call fails nothing is uploaded and nothing is taken back."""
    async with at("fireworks") as vendor:
        vendor.answer({"code": 7, "message": "no credit"}, status=403)
        status, told = await upload(vendor, LARGE)
        assert (status, told["error"]["message"], len(vendor.calls)) == (403, "no credit", 1)
        vendor.answer({})
        status, told = await upload(vendor)
        assert (status, told["error"]["code"]) == (502, "upstream_bad_reply")


@pytest.mark.parametrize(("content", "is_early"), [(SMALL, True), (LARGE, True), (LARGE, False)])
async def test_another_target(content: bytes, *, is_early: bool) -> None:
    """A target that fails before it has the file leaves all of it to the next one; one that took a large one is the last."""
    upstream = ReplayUpstream()
    busy = Recorded(status=503, headers=(("content-type", "application/json"),), body=b'{"message":"busy"}')
    made = Recorded.from_json({**MADE, "name": "accounts/b/datasets/batch-1"})
    upstream.answer("/v1/accounts/a/datasets", busy if is_early else made)
    upstream.answer("/v1/accounts/a/datasets/batch-1", Recorded.from_json({}))
    upstream.answer("/v1/accounts/a/datasets/batch-1:upload", busy)
    upstream.answer("/v1/accounts/b/datasets", made)
    upstream.answer("/v1/accounts/b/datasets/batch-1:upload", Recorded.from_json(UPLOADED))
    deployed = {name: {"provider": "fireworks", "api_key": KEY, "account_id": name} for name in ("a", "b")}
    tree = {"strategy": {"mode": "fallback"}, "targets": [{"provider": "@a"}, {"provider": "@b"}]}
    async with gateway(providers=deployed, upstream=upstream, config={"plugins": ["router-standard"]}) as client:
        parts: list[Any] = [("purpose", (None, "batch")), ("file", ("in.jsonl", content))]
        reply = await client.post("/v1/files", files=parts, headers={"x-headgate-config": json.dumps(tree)})
    assert reply.status_code == (200 if is_early else 503)
    if is_early:
        assert upstream.requests[-1].url.endswith("/b/datasets/batch-1:upload")
        assert b"\r\n\r\n" + content + b"\r\n--" in upstream.requests[-1].body


async def test_a_file_too_large() -> None:
    """What is larger than the vendor takes in one form is refused before anything is sent."""
    async with at("fireworks") as vendor:
        headers = {
            "x-headgate-provider": "mine",
            "content-type": "multipart/form-data; boundary=b",
            "content-length": str(151 * 1024 * 1024),
        }
        reply = await vendor.client.post("/v1/files", content=b"", headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"], vendor.calls) == (413, "body_too_large", [])


@pytest.mark.parametrize("body", [{"json": {"purpose": "batch"}}, {"content": b""}])
async def test_what_is_no_form(body: Any) -> None:
    """A file comes in a form and in nothing else."""
    async with at("fireworks") as vendor:
        reply = await vendor.client.post("/v1/files", headers={"x-headgate-provider": "mine"}, **body)
        assert (reply.status_code, reply.json()["error"]["code"], vendor.calls) == (400, "invalid_form", [])


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"state": "READY"}, ("processed", "batch", None)),
        (
            {"state": "READY", "sourceJobName": "accounts/acme/batchInferenceJobs/b"},
            ("processed", "batch_output", None),
        ),
        ({"state": "READY", "name": "accounts/acme/datasets/mine"}, ("processed", "user_data", None)),
        ({"name": "accounts/acme/datasets/fine-tune-1"}, ("uploaded", "fine-tune", None)),
        ({"state": "SOMETHING_NEW"}, ("uploaded", "batch", None)),
        ({"status": {"code": "INVALID_ARGUMENT", "message": "bad line"}}, ("error", "batch", "bad line")),
    ],
)
async def test_retrieve(dataset: Json, expected: tuple[str, str, str | None]) -> None:
    """A dataset is told as a file, its state as a status; what it holds is not told by the vendor, so it has no size."""
    async with at("fireworks") as vendor:
        vendor.answer({**MADE, **dataset})
        status, told = await vendor.ask("GET", "/v1/files/batch-1")
        assert (status, *sent(vendor.calls[0])) == (200, "GET", f"{API}/batch-1", None)
    file = openai.types.FileObject.model_validate(told)
    assert (file.status, file.purpose, file.status_details) == expected
    assert (file.bytes, file.created_at, file.filename) == (0, 1788061722, "in.jsonl")


async def test_list() -> None:
    """Pages of the vendor's are walked by their tokens; a filter that it does not have is refused."""
    async with at("fireworks") as vendor:
        other = {**MADE, "name": "accounts/acme/datasets/batch-0"}
        vendor.answer({"datasets": [MADE], "nextPageToken": "t 1"}, {"datasets": [other]})
        _, told = await vendor.ask("GET", "/v1/files?limit=10000")
        assert [each["id"] for each in told["data"]] == ["batch-1", "batch-0"]
        assert (told["has_more"], told["last_id"]) == (False, "batch-0")
        queries = [parse_qs(urlsplit(call.url).query) for call in vendor.calls]
        assert queries[1] == {"pageSize": ["200"], "orderBy": ["createTime desc"], "pageToken": ["t 1"]}
        for query in ("purpose=batch", "order=asc", "limit=10001"):
            status, told = await vendor.ask("GET", f"/v1/files?{query}")
            assert (status, told["error"]["param"], len(vendor.calls)) == (400, query.partition("=")[0], 2)


async def test_delete() -> None:
    """What is deleted is told by its id."""
    async with at("fireworks") as vendor:
        vendor.answer(b"")
        assert await vendor.ask("DELETE", "/v1/files/batch-1") == (
            200,
            {"id": "batch-1", "object": "file", "deleted": True},
        )
        assert sent(vendor.calls[0]) == ("DELETE", f"{API}/batch-1", None)


async def test_content() -> None:
    """Results are read where the vendor's signed address says, without the key, and failed requests are not among them."""
    async with at("fireworks") as vendor:
        signed = "https://storage.googleapis.com/fw/BIJOutputSet.jsonl?X-Goog-Signature=1"
        named = {"dataset/out-1/error-data": "https://no.example/", "dataset/out-1/BIJOutputSet.jsonl": signed}
        vendor.answer({"filenameToSignedUrls": named}, path=f"{PATH}/out-1:getDownloadEndpoint")
        vendor.answer(LARGE, path="/fw/BIJOutputSet.jsonl")
        reply = await vendor.client.get("/v1/files/out-1/content", headers={"x-headgate-provider": "mine"})
        assert (reply.status_code, reply.content) == (200, LARGE)
        told, read = vendor.calls
        assert (told.method, told.url, told.body) == ("GET", f"{API}/out-1:getDownloadEndpoint", b"")
        assert (read.method, read.url, read.credential, read.headers) == ("GET", signed, None, ())
        assert KEY not in str(read)
        assert read.private_hosts == frozenset()


@pytest.mark.parametrize(
    ("named", "code"),
    [({}, "no_content"), ({"a/error-data": "https://x.example"}, "no_content"), ({"a": "no"}, "upstream_bad_reply")],
)
async def test_content_that_is_not_there(named: Json, code: str) -> None:
    """A dataset that holds nothing to read is an error, never an empty file."""
    async with at("fireworks") as vendor:
        vendor.answer({"filenameToSignedUrls": named})
        _, told = await vendor.ask("GET", "/v1/files/out-1/content")
        assert (told["error"]["code"], len(vendor.calls)) == (code, 1)


async def test_without_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment that names no account says what is missing before anything is taken."""
    monkeypatch.delenv("FIREWORKS_ACCOUNT_ID", raising=False)
    async with at("fireworks", account_id="") as vendor:
        status, told = await upload(vendor, LARGE)
        assert (status, told["error"]["code"], vendor.calls) == (400, "missing_account_id", [])


async def test_batches_count_what_was_done() -> None:
    """A batch that did more than its dataset was said to hold tells how many it did."""
    async with at("fireworks") as vendor:
        progress = {"totalInputRequests": 1, "totalProcessedRequests": 3, "successfullyProcessedRequests": 3}
        vendor.answer({"name": "accounts/acme/batchInferenceJobs/b3", "jobProgress": progress})
        _, told = await vendor.ask("GET", "/v1/batches/b3")
        assert told["request_counts"] == {"total": 3, "completed": 3, "failed": 0}


@pytest.mark.parametrize("after", [(), ("purpose",)], ids=["purpose before", "purpose behind"])
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_uploads_to_together(content: bytes, after: Sequence[str]) -> None:
    """The form goes where files are taken, with the file's name in a field and Together's word for batches."""
    path = "/v1/files/upload"
    made: Json = {
        "id": "file-1",
        "object": "file",
        "bytes": 1,
        "created_at": 1,
        "filename": "in.jsonl",
        "purpose": "batch-api",
    }
    async with at("together") as vendor:
        vendor.answer(made, path=path)
        status, told = await upload(vendor, content, after=after)
    (call,) = vendor.calls
    expected = {**made, "purpose": "batch", "status": "processed", "status_details": None, "native_status": None}
    assert (status, told, call.method, call.url) == (200, expected, "POST", f"https://api.together.ai{path}")
    parts = {part.name: part.content for part in parts_of(call.body, boundary_of(dict(call.headers)[b"content-type"]))}
    assert parts == {"purpose": b"batch-api", "file": content, "file_name": b"in.jsonl", "file_type": b"jsonl"}


TOGETHER: Json = {
    "id": "file-1",
    "object": "file",
    "bytes": 3,
    "created_at": 1763780400,
    "filename": "in.jsonl",
    "purpose": "fine-tune",
    "FileType": "jsonl",
}


@pytest.mark.parametrize(
    ("said", "status", "details"),
    [
        ({}, "processed", None),
        ({"Processed": False}, "uploaded", None),
        ({"Processed": False, "processing_status": "PENDING"}, "uploaded", None),
        ({"Processed": True, "processing_status": "COMPLETED"}, "processed", None),
        (
            {"processing_status": "INVALID_FORMAT", "validation_report": {"valid": False, "error": "line 1"}},
            "error",
            "line 1",
        ),
        ({"processing_status": "FAILED", "validation_report": None}, "error", None),
        ({"processing_status": "FAILED", "validation_report": "line 1"}, "error", "line 1"),
        ({"processing_status": "FAILED", "validation_report": [{"error": "line 1"}]}, "error", None),
        ({"processing_status": "new"}, "processed", None),
    ],
)
async def test_files_of_together(said: Json, status: str, details: str | None) -> None:
    """Who waits for a file is told when it is looked through, and what came of it."""
    async with at("together") as vendor:
        vendor.answer({**TOGETHER, **said})
        _, told = await vendor.ask("GET", "/v1/files/file-1")
        file = openai.types.FileObject.model_validate(told)
        assert (file.status, file.status_details, file.purpose) == (status, details, "fine-tune")
        assert vendor.calls[0].url == "https://api.together.ai/v1/files/file-1"


async def test_lists_of_files_of_together() -> None:
    """Lists can be of one purpose; what is deleted is told in OpenAI's words, and contents pass."""
    async with at("together") as vendor:
        vendor.answer({"data": [TOGETHER, {**TOGETHER, "id": "file-2", "purpose": "batch-api"}]})
        _, told = await vendor.ask("GET", "/v1/files?purpose=batch")
        assert [(each["id"], each["purpose"]) for each in told["data"]] == [("file-2", "batch")]
        vendor.answer({"id": "file-2", "deleted": True})
        _, gone = await vendor.ask("DELETE", "/v1/files/file-2")
        assert gone == {"id": "file-2", "object": "file", "deleted": True}
        vendor.answer(b"lines")
        reply = await vendor.client.get("/v1/files/file-1/content", headers={"x-headgate-provider": "mine"})
        assert reply.content == b"lines"
        vendor.answer({"error": {"message": "gone", "type": "not_found"}}, status=404)
        assert (await vendor.ask("GET", "/v1/files/file-9"))[0] == 404
    assert [(call.method, call.url.removeprefix("https://api.together.ai/v1/files")) for call in vendor.calls] == [
        ("GET", ""),
        ("DELETE", "/file-2"),
        ("GET", "/file-1/content"),
        ("GET", "/file-9"),
    ]
