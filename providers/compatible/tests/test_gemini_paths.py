"""Gemini's own API at vendors that have it for Gemini's models: clients of Google's are relayed and not translated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types
from providers.compatible.tests.asking import KEY, Json, at, sent

from headgate.testing import Recorded
from headgate.upstream import origin_of

ROOTS: dict[str, tuple[str, str, Json]] = {
    "302ai": ("https://api.302.ai/v1beta/models", "x-goog-api-key", {}),
    "cometapi": ("https://api.cometapi.com/v1beta/models", "authorization", {}),
    "databricks": (
        "https://acme.cloud.databricks.com/serving-endpoints/gemini/v1beta/models",
        "authorization",
        {"vars": {"host": "acme.cloud.databricks.com"}},
    ),
}
MODEL = "databricks-gemini-2-5-pro"
ASKED = (
    b'{"contents":[{"role":"user","parts":[{"text":"Gr\xc3\xbc\xc3\x9fe"}]}],"generationConfig":{"topK":7,"odd":null}}'
)
ANSWER: Json = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Ja."}]}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 6},
    "modelVersion": "gemini-2.5-pro",
    "responseId": "r1",
}


@pytest.mark.parametrize("name", ROOTS)
async def test_whole_answers(name: str) -> None:
    """What a client of Google's says, and what it is answered, passes byte for byte; the key goes where the vendor has it."""
    root, header, settings = ROOTS[name]
    async with at(name, **settings) as vendor:
        vendor.answer(ANSWER)
        path = f"/v1beta/models/mine/{MODEL}:generateContent"
        reply = await vendor.client.post(path, content=ASKED, headers={"content-type": "application/json"})
        [call] = vendor.calls
        assert (call.method, call.url, call.body) == ("POST", f"{root}/{MODEL}:generateContent", ASKED)
        held: Any = call.credential
        assert (held.secret.reveal(), held.header, held.origins) == (KEY, header, {origin_of(root)})
        assert held.prefix == ("" if header == "x-goog-api-key" else "Bearer ")
        assert (reply.status_code, reply.json()) == (200, ANSWER)
    assert types.GenerateContentResponse.model_validate(reply.json()).text == "Ja."


@pytest.mark.parametrize("name", ROOTS)
@pytest.mark.parametrize("sse", [True, False])
async def test_streams(name: str, sse: bool) -> None:
    """A stream is asked for as events; a client that wants an array gets one."""
    root, _, settings = ROOTS[name]
    events = b"".join(b"data: " + json.dumps(ANSWER).encode() + b"\r\n\r\n" for _ in range(2))
    async with at(name, **settings) as vendor:
        recorded = Recorded(headers=(("content-type", "text/event-stream"),), body=events)
        vendor.upstream.answer("*", recorded)
        path = f"/v1beta/models/mine/{MODEL}:streamGenerateContent" + ("?alt=sse" if sse else "")
        reply = await vendor.client.post(path, content=ASKED, headers={"content-type": "application/json"})
        assert vendor.calls[0].url == f"{root}/{MODEL}:streamGenerateContent?alt=sse"
        assert reply.status_code == 200
        assert reply.content == events if sse else reply.json() == [ANSWER, ANSWER]


@pytest.mark.parametrize("name", ROOTS)
async def test_other_models_are_translated(name: str) -> None:
    """Another model than Gemini is asked in a dialect that the vendor has it in."""
    _, _, settings = ROOTS[name]
    said = {"role": "assistant", "content": "Ja."}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    completion = {"id": "c", "object": "chat.completion", "created": 1, "model": "llama-4", "choices": [choice]}
    async with at(name, **settings) as vendor:
        vendor.answer(completion)
        path = "/v1beta/models/mine/llama-4:generateContent"
        asked = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
        status, told = await vendor.ask("POST", path, asked)
        assert sent(vendor.calls[0])[1].endswith("/chat/completions")
        assert (status, told["candidates"][0]["content"]["parts"]) == (200, [{"text": "Ja."}])


@pytest.mark.parametrize("name", ROOTS)
async def test_other_clients_of_gemini(name: str) -> None:
    """A client of chat asks Gemini as it did before: in OpenAI's shape."""
    _, _, settings = ROOTS[name]
    async with at(name, **settings) as vendor:
        vendor.answer({"id": "c", "object": "chat.completion", "created": 1, "model": MODEL, "choices": []})
        asked = {"model": f"mine/{MODEL}", "messages": [{"role": "user", "content": "Hi"}]}
        await vendor.ask("POST", "/v1/chat/completions", asked)
        assert sent(vendor.calls[0])[1].endswith("/chat/completions")


@pytest.mark.parametrize("row", [{}, {"paths": {"generate": "/../models"}}])
async def test_a_server_of_ones_own(row: Json) -> None:
    """A server that no row describes is asked for the model and the method too."""
    async with at("compatible", base_url="https://own.example/v1beta", operations=["generate"], row=row) as vendor:
        vendor.answer(ANSWER)
        root = "https://own.example" + ("" if row else "/v1beta") + "/models/gemini-2"
        status, _ = await vendor.ask("POST", "/v1beta/models/mine/gemini-2:generateContent", json.loads(ASKED))
        vendor.upstream.answer("*", Recorded(headers=(("content-type", "text/event-stream"),), body=b"data: {}\n\n"))
        path = "/v1beta/models/mine/gemini-2:streamGenerateContent?alt=sse"
        await vendor.client.post(path, json=json.loads(ASKED))
        urls = [call.url for call in vendor.calls]
    assert (status, urls) == (200, [f"{root}:generateContent", f"{root}:streamGenerateContent?alt=sse"])


async def test_behind_a_short_address() -> None:
    """A base URL without a path keeps its host."""
    async with at("cometapi", base_url="https://own.example") as vendor:
        vendor.answer(ANSWER)
        status, _ = await vendor.ask("POST", f"/v1beta/models/mine/{MODEL}:generateContent", json.loads(ASKED))
        assert (status, vendor.calls[0].url) == (200, f"https://own.example/v1beta/models/{MODEL}:generateContent")


async def test_errors() -> None:
    """An error in Google's words stays one."""
    error = {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}
    async with at("cometapi") as vendor:
        vendor.upstream.answer("*", Recorded.from_json(error, 429))
        status, told = await vendor.ask("POST", f"/v1beta/models/mine/{MODEL}:generateContent", {"contents": []})
        assert (status, told) == (429, error)
