"""Counting tokens for clients of any API at vendors that count: the number is the vendor's, of what it would be sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import MessageTokensCount
from google.genai.types import CountTokensResponse
from openai.types.responses import InputTokenCountResponse

from headgate.testing import Client, Recorded, ReplayUpstream, gateway

Json = dict[str, Any]

TOOL: Json = {"name": "weather", "description": "of a city", "input_schema": {"type": "object", "properties": {}}}
MESSAGES: Json = {
    "model": "d/MODEL",
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "hi"}],
    "tools": [TOOL],
    "thinking": {"type": "enabled", "budget_tokens": 2000},
}
GENERATE: Json = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
    "tools": [{"functionDeclarations": [{"name": "weather", "description": "of a city"}]}],
    "generationConfig": {"maxOutputTokens": 300, "temperature": 0.5},
}
RESPONSES: Json = {
    "model": "d/MODEL",
    "instructions": "Be brief.",
    "input": "hi",
    "tools": [{"type": "function", "name": "weather", "description": "of a city", "parameters": {"type": "object"}}],
}
CLIENTS = ("messages", "generate", "nested", "responses")
CLAUDE = "claude-sonnet-4-5"
ANTHROPIC = Recorded.from_json({"input_tokens": 42})
VENDORS: dict[str, tuple[Json, str, Json]] = {
    "anthropic": ({}, CLAUDE, {"input_tokens": 42}),
    "google": ({}, "gemini-2.5-flash", {"totalTokens": 42}),
    "bedrock": (
        {"region": "us-east-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret-key-1"},
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        {"inputTokens": 42},
    ),
    "openai": ({}, "gpt-5.1", {"object": "response.input_tokens", "input_tokens": 42}),
    "minimax": ({}, "MiniMax-M3", {"object": "response.input_tokens", "input_tokens": 42}),
    "deepinfra": ({}, "moonshotai/Kimi-K2.5", {"input_tokens": 42}),
    "moonshot": ({}, "kimi-k2.5", {"data": {"total_tokens": 42}}),
    "zai": ({}, "glm-4.6", {"id": "1", "usage": {"prompt_tokens": 42, "total_tokens": 42}}),
}


def deployment(vendor: str) -> Json:
    settings = VENDORS[vendor][0]
    return {"provider": vendor, **(settings or {"api_key": "sk-vendor-0f1e2d3c"})}


async def ask(client: Client, asked: str, model: str) -> tuple[int, Json, str | None]:
    """Count as a client of one API; the status, the answer and whether it is called an estimate."""
    if asked == "messages":
        reply = await client.post("/v1/messages/count_tokens", json={**MESSAGES, "model": f"d/{model}"})
    elif asked == "responses":
        reply = await client.post("/v1/responses/input_tokens", json={**RESPONSES, "model": f"d/{model}"})
    else:
        body = GENERATE if asked == "generate" else {"generateContentRequest": {"model": "models/x", **GENERATE}}
        reply = await client.post(f"/v1beta/models/d/{model}:countTokens", json=body)
    return reply.status_code, reply.json(), reply.headers.get("x-headgate-estimated")


def number(asked: str, said: Json) -> int | None:
    """The number, read by the types of the client's SDK."""
    if asked == "messages":
        return MessageTokensCount.model_validate(said).input_tokens
    if asked == "responses":
        assert said["object"] == "response.input_tokens"
        return InputTokenCountResponse.model_validate(said).input_tokens
    return CountTokensResponse.model_validate(said).total_tokens


@pytest.mark.parametrize("asked", CLIENTS)
@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_vendors_number(vendor: str, asked: str) -> None:
    """Whoever asks, the vendor counts, once, and the client reads its number."""
    _, model, answer = VENDORS[vendor]
    upstream = ReplayUpstream({"*": Recorded.from_json(answer)})
    async with gateway(providers={"d": deployment(vendor)}, upstream=upstream) as client:
        status, said, estimated = await ask(client, asked, model)
    assert (status, number(asked, said), estimated) == (200, 42, None)
    assert len(upstream.requests) == 1


SENT: dict[str, tuple[str, set[str]]] = {
    "anthropic": ("https://api.anthropic.com/v1/messages/count_tokens", {"model", "messages", "system", "tools"}),
    "google": (
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:countTokens",
        {"generateContentRequest"},
    ),
    "bedrock": (
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens",
        {"input"},
    ),
    "openai": ("https://api.openai.com/v1/responses/input_tokens", {"model", "input", "tools"}),
    "minimax": ("https://api.minimax.io/v1/responses/input_tokens", {"model", "input", "tools"}),
    "deepinfra": (
        "https://api.deepinfra.com/anthropic/v1/messages/count_tokens",
        {"model", "messages", "system", "tools"},
    ),
    "moonshot": ("https://api.moonshot.ai/v1/tokenizers/estimate-token-count", {"model", "messages", "tools"}),
    "zai": ("https://api.z.ai/api/paas/v4/tokenizer", {"model", "messages", "tools"}),
}


@pytest.mark.parametrize("vendor", [vendor for vendor in SENT if vendor != "google"])
async def test_what_is_counted(vendor: str) -> None:
    """System text, turns and tools go along; what only steers the answer does not."""
    upstream = ReplayUpstream({"*": Recorded.from_json(VENDORS[vendor][2])})
    async with gateway(providers={"d": deployment(vendor)}, upstream=upstream) as client:
        await ask(client, "generate", VENDORS[vendor][1])
    [request] = upstream.requests
    sent = json.loads(request.body)
    assert (request.method, request.url, set(sent)) == ("POST", *SENT[vendor])
    assert all(word.encode() in request.body for word in ("Be brief.", "hi", "weather"))
    assert b"maxTokens" not in request.body
    assert b"max_tokens" not in request.body


async def test_what_gemini_counts() -> None:
    """The Gemini API counts a whole request, one level deeper, with the model's full name."""
    upstream = ReplayUpstream({"*": Recorded.from_json(VENDORS["google"][2])})
    async with gateway(providers={"d": deployment("google")}, upstream=upstream) as client:
        await ask(client, "messages", "gemini-2.5-flash")
    [request] = upstream.requests
    inner = json.loads(request.body)["generateContentRequest"]
    assert (request.url, inner["model"]) == (SENT["google"][0], "models/gemini-2.5-flash")
    assert {"contents", "systemInstruction", "tools"} <= set(inner)


@pytest.mark.parametrize(
    ("model", "url", "members"),
    [
        (
            "gemini-2.5-pro",
            "publishers/google/models/gemini-2.5-pro:countTokens",
            {"contents", "tools", "systemInstruction"},
        ),
        (f"{CLAUDE}@20250929", "publishers/anthropic/models/count-tokens:rawPredict", {"model", "messages", "tools"}),
    ],
)
async def test_vertex_counts_by_the_model(model: str, url: str, members: set[str]) -> None:
    """Gemini there takes its members at the top; Claude is named in the body, and no version goes along."""
    answer = {"totalTokens": 42} if model.startswith("gemini") else {"input_tokens": 42}
    upstream = ReplayUpstream({"*": Recorded.from_json(answer)})
    held = {"provider": "vertex", "project": "p", "location": "global", "api_key": "sk-vendor-0f1e2d3c"}
    async with gateway(providers={"d": held}, upstream=upstream) as client:
        status, said, _ = await ask(client, "responses", model)
    [request] = upstream.requests
    sent = json.loads(request.body)
    assert (status, said["input_tokens"]) == (200, 42)
    assert request.url.endswith(url)
    assert members <= set(sent)
    assert "anthropic_version" not in sent


@pytest.mark.parametrize("status", [400, 403, 404, 422])
async def test_a_vendor_that_does_not_count_this(status: int) -> None:
    """Models, accounts and regions that cannot count are estimated, and the header says so."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"message": "doesn't support counting tokens"}, status)})
    async with gateway(providers={"d": deployment("bedrock")}, upstream=upstream) as client:
        code, said, estimated = await ask(client, "messages", VENDORS["bedrock"][1])
    assert (code, estimated) == (200, "true")
    assert said["input_tokens"] > 0


@pytest.mark.parametrize(
    ("status", "kind"), [(401, "authentication_error"), (429, "rate_limit_error"), (500, "api_error")]
)
async def test_other_refusals_are_told(status: int, kind: str) -> None:
    """A wrong key, a limit and a fault of the vendor reach the client in its own words, as they would of the request itself."""
    refused = Recorded.from_json({"error": {"code": status, "message": "no", "status": "X"}}, status)
    async with gateway(providers={"d": deployment("google")}, upstream=ReplayUpstream({"*": refused})) as client:
        code, said, _ = await ask(client, "messages", "gemini-2.5-flash")
    assert (code, said["type"], said["error"]["type"], said["error"]["message"]) == (status, "error", kind, "no")


async def test_an_answer_without_a_number() -> None:
    """It is the vendor's fault, and said."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"tokens": "many"})})
    async with gateway(providers={"d": deployment("zai")}, upstream=upstream) as client:
        code, said, _ = await ask(client, "messages", "glm-4.6")
    assert (code, said["error"]["message"]) == (502, "the reply says no `usage.total_tokens`")


async def test_what_a_vendor_cannot_be_sent_is_estimated() -> None:
    """A file by another provider's id cannot be sent, and so not counted there."""
    body = {
        "model": "d/gemini-2.5-flash",
        "messages": [
            {"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "file_1"}}]}
        ],
    }
    upstream = ReplayUpstream()
    async with gateway(providers={"d": deployment("google")}, upstream=upstream) as client:
        reply = await client.post("/v1/messages/count_tokens", json=body)
    assert (reply.status_code, reply.headers.get("x-headgate-estimated"), upstream.requests) == (200, "true", [])


async def test_what_a_target_overrides_is_counted() -> None:
    """The request is counted as it would be sent, and the vendor's headers reach the client."""
    counted = ANTHROPIC.varied(headers=(*ANTHROPIC.headers, ("request-id", "req_vendor")))
    upstream = ReplayUpstream({"*": counted})
    overrides = {"systemInstruction": {"parts": [{"text": "Other words."}]}}
    models = {"m": {"provider": "d", "model": CLAUDE, "override_params": overrides}}
    async with gateway(providers={"d": deployment("anthropic")}, models=models, upstream=upstream) as client:
        reply = await client.post("/v1beta/models/m:countTokens", json=GENERATE)
    assert (reply.json(), reply.headers["request-id"]) == ({"totalTokens": 42}, "req_vendor")
    [request] = upstream.requests
    assert b"Other words." in request.body
    assert b"Be brief." not in request.body
