"""Vendors whose operations were found by their lists: 302.AI, AI Badgr, DeepSeek, Lemonfox, Lightning AI and Nebius."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message, MessageTokensCount
from openai.types import ImagesResponse
from openai.types.audio import Translation
from providers.compatible.tests.asking import at, sent
from providers.compatible.tests.calls import Json

from headgate.forms import parts_of
from headgate.upstream import UpstreamRequest

DROP = {"x-headgate-unsupported": "drop"}
ASKED: Json = {"model": "mine/claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
SAID: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-8",
    "content": [{"type": "text", "text": "ho"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
CHATTED: Json = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ho"}}],
}
REFUSED: Json = {"error": {"message": "no such model", "type": "invalid_request_error", "code": None, "param": None}}
TOOL: Json = {"name": "f", "input_schema": {"type": "object", "maxProperties": 12345678901234567890123}}
SOUND = ("talk.wav", b"RIFF\0\0\0\0WAVEfmt ", "audio/wav")


def form_of(call: UpstreamRequest) -> list[tuple[str, bytes]]:
    """The fields of a form, and the content of its files."""
    assert isinstance(call.body, bytes)
    kind = dict(call.headers)[b"content-type"]
    return [(part.name, part.content) for part in parts_of(call.body, kind.partition(b"boundary=")[2])]


@pytest.mark.parametrize(
    ("name", "there"),
    [("lightning", "https://lightning.ai/v1/messages"), ("aibadgr", "https://aibadgr.com/api/v1/messages")],
)
async def test_messages_of_those_that_say_so(name: str, there: str) -> None:
    """Where a deployment says so, Messages go as they are, and errors keep their status and words."""
    async with at(name, messages="native") as vendor:
        vendor.answer(SAID)
        status, told = await vendor.ask("POST", "/v1/messages", ASKED)
        vendor.answer({"type": "error", "error": {"type": "not_found_error", "message": "no such model"}}, status=404)
        refused = await vendor.ask("POST", "/v1/messages", ASKED)
    assert (status, Message.model_validate(told).content[0].type) == (200, "text")
    assert sent(vendor.calls[0]) == ("POST", there, {**ASKED, "model": "claude-opus-4-8"})
    assert dict(vendor.calls[0].headers)[b"anthropic-version"] == b"2023-06-01"
    assert (refused[0], refused[1]["error"]["message"]) == (404, "no such model")


@pytest.mark.parametrize(
    ("name", "settings", "model"),
    [
        ("lightning", {}, "anthropic/claude-opus-4-8"),
        ("lightning", {"messages": "native"}, "lightning-ai/gpt-oss-120b"),
        ("aibadgr", {}, "premium"),
    ],
)
async def test_messages_by_chat(name: str, settings: Json, model: str) -> None:
    """Where a deployment says nothing, and for models that are not Claude at Lightning AI, they are a chat."""
    async with at(name, **settings) as vendor:
        vendor.answer(CHATTED)
        status, told = await vendor.ask("POST", "/v1/messages", {**ASKED, "model": f"mine/{model}"})
    assert (status, told["content"]) == (200, [{"type": "text", "text": "ho"}])
    assert vendor.calls[0].url.endswith("/api/v1/chat/completions")


@pytest.mark.parametrize(
    ("model", "there"),
    [
        ("qwen3-rerank", "/v1/reranks"),
        ("Qwen/Qwen3-Reranker-8B", "/v1/reranks"),
        ("jina-reranker-v2", "/v1/rerank"),
        ("BAAI/bge-reranker-v2-m3", "/v1/rerank"),
    ],
)
async def test_where_302ai_ranks(model: str, there: str) -> None:
    """Qwen's rankings are at an address of their own, also below another base URL."""
    asked = {"model": f"mine/{model}", "query": "q", "documents": ["a", "b"]}
    for base in ("https://api.302.ai", "https://api.302ai.cn"):
        async with at("302ai", base_url=f"{base}/v1") as vendor:
            vendor.answer(
                {"model": model, "results": [{"index": 1, "relevance_score": 0.5}], "usage": {"total_tokens": 7}}
            )
            status, told = await vendor.ask("POST", "/v1/rerank", asked)
        assert (status, told["results"][0]["index"]) == (200, 1)
        assert sent(vendor.calls[0])[:2] == ("POST", base + there)


async def test_302ai_translates() -> None:
    """A form of sound goes as it is."""
    async with at("302ai") as vendor:
        vendor.answer({"text": "hello"})
        reply = await vendor.client.post(
            "/v1/audio/translations", data={"model": "mine/whisper-1"}, files={"file": SOUND}
        )
    assert (reply.status_code, Translation.model_validate(reply.json()).text) == (200, "hello")
    assert vendor.calls[0].url == "https://api.302.ai/v1/audio/translations"


# DeepSeek


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_usual_tools_of_anthropics_have_no_type_at_deepseek(path: str) -> None:
    """It refuses the type of tools that says nothing; others keep theirs, and numbers stay what they are."""
    tools = [{"type": "custom", **TOOL}, {"type": "web_search_20250305", "name": "web_search"}, TOOL]
    async with at("deepseek") as vendor:
        vendor.answer({"input_tokens": 12} if path.endswith("tokens") else SAID)
        status, _ = await vendor.ask("POST", path, {**ASKED, "tools": tools})
    call = vendor.calls[0]
    assert (status, sent(call)[1]) == (200, f"https://api.deepseek.com/anthropic{path}")
    assert sent(call)[2]["tools"] == [TOOL, tools[1], TOOL]


@pytest.mark.parametrize("tools", ["custom", ["custom"], [{"name": "custom"}], None])
async def test_tools_that_are_left_to_deepseek(tools: Any) -> None:
    """What is no list of tools, or has no such type, is the vendor's to judge."""
    body = {**ASKED, "tools": tools, "metadata": {"user_id": "custom"}}
    async with at("deepseek") as vendor:
        vendor.answer(SAID)
        await vendor.ask("POST", "/v1/messages", body)
    assert sent(vendor.calls[0])[2] == {**body, "model": "claude-opus-4-8"}


async def test_deepseek_counts() -> None:
    """Tokens are the vendor's number for clients of every API; where others are refused, they are estimated, and that is said."""
    async with at("deepseek") as vendor:
        vendor.answer({"input_tokens": 17883})
        status, told = await vendor.ask("POST", "/v1/messages/count_tokens", ASKED)
        responses = {"model": "mine/deepseek-flash", "input": "hi"}
        _, counted = await vendor.ask("POST", "/v1/responses/input_tokens", responses)
        vendor.answer({"type": "error", "error": {"type": "not_found_error", "message": "gone"}}, status=404)
        estimated = await vendor.client.post("/v1/responses/input_tokens", json=responses)
    assert (status, MessageTokensCount.model_validate(told).input_tokens) == (200, 17883)
    assert counted["input_tokens"] == 17883
    assert (estimated.status_code, estimated.headers["x-headgate-estimated"]) == (200, "true")
    assert {call.url for call in vendor.calls} == {"https://api.deepseek.com/anthropic/v1/messages/count_tokens"}


# Lemonfox


@pytest.mark.parametrize("temperature", [{}, {"temperature": "0"}])
async def test_lemonfox_translates(temperature: Json) -> None:
    """A translation is a transcript with a field that says so; the file stays what it is."""
    fields = {"model": "mine/whisper-1", "prompt": "names", "response_format": "verbose_json", **temperature}
    async with at("lemonfox") as vendor:
        vendor.answer({"task": "translate", "text": "hello", "language": "german", "duration": 1.0})
        reply = await vendor.client.post("/v1/audio/translations", data=fields, files={"file": SOUND})
    assert (reply.status_code, Translation.model_validate(reply.json()).text) == (200, "hello")
    assert vendor.calls[0].url == "https://api.lemonfox.ai/v1/audio/transcriptions"
    assert b'name="file"; filename="talk.wav"\r\nContent-Type: audio/wav\r\n' in vendor.calls[0].body
    assert sorted(form_of(vendor.calls[0])) == [
        ("file", SOUND[1]),
        ("model", b"whisper-1"),
        ("prompt", b"names"),
        ("response_format", b"verbose_json"),
        ("translate", b"true"),
    ]


async def test_what_lemonfox_cannot_be_told() -> None:
    """Another temperature is refused by its name, or left out and named; errors keep their status and words."""
    fields = {"model": "mine/whisper-1", "temperature": "0.5"}
    async with at("lemonfox") as vendor:
        vendor.answer({"text": "hello"})
        refused = await vendor.client.post("/v1/audio/translations", data=fields, files={"file": SOUND})
        assert not vendor.calls
        reply = await vendor.client.post("/v1/audio/translations", data=fields, files={"file": SOUND}, headers=DROP)
        vendor.answer(REFUSED, status=401)
        failed = await vendor.client.post(
            "/v1/audio/translations", data={"model": "mine/whisper-1"}, files={"file": SOUND}
        )
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "temperature")
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, "temperature")
    assert dict(form_of(vendor.calls[0])).keys() == {"model", "translate", "file"}
    assert failed.json()["error"]["message"] == "no such model"


# Nebius


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, {}),
        ({"size": "auto", "n": 1, "quality": "auto", "background": "auto"}, {}),
        ({"size": "1024x768", "output_format": "jpeg"}, {"width": 1024, "height": 768, "response_extension": "jpg"}),
        (
            {"response_format": "b64_json", "seed": 4, "width": 64},
            {"response_format": "b64_json", "seed": 4, "width": 64},
        ),
    ],
)
async def test_nebius_draws(asked: Json, told: Json) -> None:
    """The size is two sides, a kind of files has Nebius' word, and the answer gets the time that OpenAI's clients look for."""
    async with at("nebius") as vendor:
        vendor.answer({"data": [{"url": "https://p.example/1"}], "id": "img-1"})
        body = {"model": "mine/black-forest-labs/flux-schnell", "prompt": "Grüße", **asked}
        status, said = await vendor.ask("POST", "/v1/images/generations", body)
    there = "https://api.tokenfactory.nebius.com/v1/images/generations"
    model = {"model": "black-forest-labs/flux-schnell", "prompt": "Grüße"}
    assert sent(vendor.calls[0]) == ("POST", there, {**model, **told})
    pictures = ImagesResponse.model_validate(said).data or []
    assert (status, said["id"], [each.url for each in pictures]) == (200, "img-1", ["https://p.example/1"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("n", 2), ("quality", "hd"), ("style", "vivid"), ("size", "big"), ("output_format", "gif"), ("stream", True)),
        *(("n", [1]), ("size", [1, 2]), ("output_format", ["png"]), ("output_format", {"a": 1})),
    ],
)
async def test_what_nebius_cannot_be_told(name: str, value: Any) -> None:
    """It is refused by its name, or left out and named."""
    body = {"model": "mine/flux", "prompt": "p", name: value}
    async with at("nebius") as vendor:
        vendor.answer({"data": [{"b64_json": "AA=="}], "id": "img-1"})
        status, refused = await vendor.ask("POST", "/v1/images/generations", body)
        assert (status, refused["error"]["param"], vendor.calls) == (400, name, [])
        assert (await vendor.ask("POST", "/v1/images/generations", body, **DROP))[0] == 200
    assert (vendor.dropped, json.loads(vendor.calls[0].body or b"")) == (name, {"model": "flux", "prompt": "p"})


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        ({"detail": [{"loc": ["body", "width"], "msg": "too large", "type": "value_error"}]}, 422, 422),
        (REFUSED, 404, 404),
        ({"data": [], "id": "img-1"}, 200, 502),
    ],
)
async def test_pictures_that_nebius_does_not_make(answer: Json, status: int, told: int) -> None:
    """An error keeps its status; an answer without pictures is one."""
    async with at("nebius") as vendor:
        vendor.answer(answer, status=status)
        said = await vendor.ask("POST", "/v1/images/generations", {"model": "mine/flux", "prompt": "p"})
    assert (said[0], "error" in said[1]) == (told, True)
