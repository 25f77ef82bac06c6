"""Files and batches of SiliconFlow's Chinese host, as OpenAI's clients ask for them and read them."""

from __future__ import annotations

from typing import Any

import openai.types
import pytest
from providers.compatible.tests.asking import Json, at, sent

CHINESE = {"base_url": "https://api.siliconflow.cn/v1"}
FILE: Json = {"id": "file-1", "object": "file", "bytes": 806, "filename": "a.jsonl", "purpose": "batch"}
OK: Json = {"code": 20000, "message": "Ok", "status": True}
BATCH: Json = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "input_file_id": "file-1",
    "completion_window": "24h",
    "status": "in_queue",
    "output_file_id": None,
    "error_file_id": None,
    "created_at": 1741685413,
}
FORM: Json = {"data": {"purpose": "batch"}, "files": {"file": ("a.jsonl", b'{"custom_id":"1"}', "application/json")}}


async def uploaded(vendor: Any) -> Any:
    """The reply to an upload."""
    return await vendor.client.post("/v1/files", headers={"x-headgate-provider": "mine"}, **FORM)


async def test_uploads() -> None:
    """The form passes; the file comes out of its envelope, with the time where clients look for it."""
    async with at("siliconflow", **CHINESE) as vendor:
        vendor.answer({**OK, "data": {**FILE, "createdAt": 1741685396}})
        reply = await uploaded(vendor)
        (call,) = vendor.calls
    assert (call.method, call.url) == ("POST", "https://api.siliconflow.cn/v1/files")
    assert b'name="purpose"\r\n\r\nbatch\r\n' in call.body
    assert b'{"custom_id":"1"}' in call.body
    told = reply.json()
    assert (reply.status_code, told) == (200, {**FILE, "created_at": 1741685396, "status": "processed"})
    openai.types.FileObject.model_validate(told)


@pytest.mark.parametrize("answer", [{**OK, "data": {}}, {**OK, "data": None}, {"code": 20012, "message": "no"}])
async def test_uploads_without_a_file(answer: Json) -> None:
    """An envelope without a file is the provider's failure."""
    async with at("siliconflow", **CHINESE) as vendor:
        vendor.answer(answer)
        reply = await uploaded(vendor)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


async def test_errors() -> None:
    """They keep their status and words."""
    async with at("siliconflow", **CHINESE) as vendor:
        vendor.answer({"code": 50505, "message": "overloaded", "data": None}, status=503)
        reply = await uploaded(vendor)
    assert (reply.status_code, reply.json()["error"]["message"]) == (503, "overloaded")


async def test_lists() -> None:
    """The purpose that is needed is told, all is asked for at once, and pages are cut from that."""
    held = [{**FILE, "id": f"file-{at}", "created_at": 1741777570, "line_count": 2} for at in range(3)]
    for query in ("?limit=1&after=file-0", "?limit=1&after=file-0&purpose=batch"):
        async with at("siliconflow", **CHINESE) as vendor:
            vendor.answer({**OK, "data": {"data": held, "object": "file"}})
            status, told = await vendor.ask("GET", f"/v1/files{query}")
            assert [each.url for each in vendor.calls] == [
                "https://api.siliconflow.cn/v1/files?purpose=batch&limit=10000"
            ]
        files = [openai.types.FileObject.model_validate(each) for each in told["data"]]
        assert (status, [each.id for each in files], told["has_more"]) == (200, ["file-1"], True)
        assert (files[0].created_at, files[0].status) == (1741777570, "processed")
    async with at("siliconflow", **CHINESE) as vendor:
        status, told = await vendor.ask("GET", "/v1/files?purpose=vision")
        assert (status, told["error"]["param"], vendor.calls) == (400, "purpose", [])


async def test_batches() -> None:
    """They are OpenAI's, but for a status that OpenAI's clients do not know."""
    asked = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    async with at("siliconflow", **CHINESE) as vendor:
        vendor.answer(BATCH)
        status, told = await vendor.ask(
            "POST", "/v1/batches", {**asked, "replace": {"model": "deepseek-ai/DeepSeek-V3"}}
        )
        method, url, body = sent(vendor.calls[0])
    assert (status, method, url) == (200, "POST", "https://api.siliconflow.cn/v1/batches")
    assert body == {**asked, "replace": {"model": "deepseek-ai/DeepSeek-V3"}}
    assert told == {**BATCH, "status": "validating"}
    openai.types.Batch.model_validate(told)
    done = {**BATCH, "status": "completed", "output_file_id": "https://results.example/1"}
    async with at("siliconflow", **CHINESE) as vendor:
        vendor.answer(done, {"object": "list", "data": [done, BATCH], "has_more": False}, BATCH)
        assert await vendor.ask("GET", "/v1/batches/batch_1") == (200, done)
        _, listed = await vendor.ask("GET", "/v1/batches?limit=2")
        assert [each["status"] for each in listed["data"]] == ["completed", "validating"]
        await vendor.ask("POST", "/v1/batches/batch_1/cancel")
        assert vendor.calls[2].url == "https://api.siliconflow.cn/v1/batches/batch_1/cancel"


@pytest.mark.parametrize("base", ["", "https://api.siliconflow.com/v1", "https://api.notsiliconflow.cn/v1"])
async def test_elsewhere(base: str) -> None:
    """No other host has them."""
    async with at("siliconflow", **({"base_url": base} if base else {})) as vendor:
        for path in ("/v1/files", "/v1/batches"):
            status, told = await vendor.ask("GET", path)
            assert (status, told["error"]["code"], vendor.calls) == (400, "unsupported_operation", [])
