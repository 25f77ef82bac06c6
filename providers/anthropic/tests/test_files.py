"""Files at Anthropic: as they are for its own clients, in OpenAI's shape for those of OpenAI."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types.beta import BetaFileMetadata
from openai.types import FileDeleted, FileObject

from headgate.testing import Client, Recorded, ReplayUpstream, gateway
from headgate.upstream import UpstreamRequest

Json = dict[str, Any]

KEY = "sk-ant-0f1e2d3c4b5a"
HELD: Json = {
    "id": "file_011C",
    "type": "file",
    "filename": "a.pdf",
    "mime_type": "application/pdf",
    "size_bytes": 8,
    "created_at": "2025-04-15T18:37:24.100435Z",
    "downloadable": False,
}
NAMED = {"x-headgate-provider": "d"}
OWN = {**NAMED, "anthropic-version": "2023-06-01", "anthropic-beta": "files-api-2025-04-14,other-2026-01-01"}
FILE = {"file": ("a.pdf", b"%PDF-1.4", "application/pdf")}


def at(upstream: ReplayUpstream) -> Any:
    return gateway(providers={"d": {"provider": "anthropic", "api_key": KEY}}, upstream=upstream)


def said(request: UpstreamRequest) -> tuple[str, str, bytes | None]:
    return request.method, request.url, dict(request.headers).get(b"anthropic-beta")


async def upload(client: Client, headers: Json, **fields: str) -> Any:
    return await client.post("/v1/files", headers=headers, data=fields, files=FILE)


@pytest.mark.parametrize("purpose", ["user_data", "assistants"])
async def test_an_upload_of_openais_client(purpose: str) -> None:
    """The file goes alone, with the beta that files need, and is told as OpenAI's client reads files."""
    upstream = ReplayUpstream({"*": Recorded.from_json(HELD)})
    async with at(upstream) as client:
        reply = await upload(client, NAMED, purpose=purpose)
    told = FileObject.model_validate(reply.json())
    assert (reply.status_code, told.id, told.bytes, told.filename) == (200, "file_011C", 8, "a.pdf")
    assert (told.purpose, told.created_at, told.status) == (purpose, 1744742244, "processed")
    [request] = upstream.requests
    assert said(request) == ("POST", "https://api.anthropic.com/v1/files", b"files-api-2025-04-14")
    assert b'name="file"; filename="a.pdf"' in request.body
    assert b"%PDF-1.4" in request.body
    assert b"purpose" not in request.body


async def test_a_purpose_that_files_there_have_not() -> None:
    """Nothing is sent, and the purposes there are are named."""
    upstream = ReplayUpstream({"*": Recorded.from_json(HELD)})
    async with at(upstream) as client:
        reply = await upload(client, NAMED, purpose="fine-tune")
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, "purpose", [])
    assert "user_data, assistants, vision" in reply.json()["error"]["message"]


async def test_anthropics_own_client() -> None:
    """Its form, its betas and its answer pass as they are."""
    upstream = ReplayUpstream({"*": Recorded.from_json(HELD)})
    async with at(upstream) as client:
        reply = await client.post("/v1/files?beta=true", headers=OWN, files=FILE)
    assert BetaFileMetadata.model_validate(reply.json()).size_bytes == 8
    assert reply.json() == HELD
    [request] = upstream.requests
    assert said(request) == ("POST", "https://api.anthropic.com/v1/files?beta=true", OWN["anthropic-beta"].encode())


async def test_one_file() -> None:
    """Read, deleted and its content taken; the content comes as it is."""
    upstream = ReplayUpstream(
        {
            "/v1/files/file_011C": [
                Recorded.from_json(HELD),
                Recorded.from_json({"id": "file_011C", "type": "file_deleted"}),
            ],
            "/v1/files/file_011C/content": Recorded(headers=(("content-type", "text/plain"),), body=b"made by Claude"),
        }
    )
    async with at(upstream) as client:
        held = await client.get("/v1/files/file_011C", headers=NAMED)
        gone = await client.request("DELETE", "/v1/files/file_011C", headers=NAMED)
        content = await client.get("/v1/files/file_011C/content", headers=NAMED)
    assert FileObject.model_validate(held.json()).purpose == "user_data"
    assert FileDeleted.model_validate(gone.json()).deleted
    assert content.content == b"made by Claude"
    assert [request.method for request in upstream.requests] == ["GET", "DELETE", "GET"]
    assert {said(request)[2] for request in upstream.requests} == {b"files-api-2025-04-14"}


@pytest.mark.parametrize(
    ("more", "end", "query"),
    [
        ({"next_page": "page_2"}, {"next_page": None}, "page=page_2"),
        ({"has_more": True, "last_id": "file_2"}, {"has_more": False, "last_id": "file_3"}, "after_id=file_2"),
    ],
)
async def test_a_list_over_pages(more: Json, end: Json, query: str) -> None:
    """OpenAI's `after` and `limit` hold over the vendor's pages, whichever way these go on."""
    first = {"data": [{**HELD, "id": f"file_{at}"} for at in range(3)], **more}
    last = {"data": [{**HELD, "id": "file_3", "expires_at": "1970-01-01T00:00:09Z"}], **end}
    upstream = ReplayUpstream({"*": [Recorded.from_json(first), Recorded.from_json(last)]})
    async with at(upstream) as client:
        reply = await client.get("/v1/files?after=file_1&limit=2", headers=NAMED)
    assert ([one["id"] for one in reply.json()["data"]], reply.json()["has_more"]) == (["file_2", "file_3"], False)
    assert [one.get("expires_at") for one in reply.json()["data"]] == [None, 9]
    assert [request.url.partition("?")[2] for request in upstream.requests] == [
        "limit=1000",
        f"limit=1000&{query}",
    ]
