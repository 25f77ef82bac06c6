"""Pictures of Gemini on Vertex AI for clients of OpenAI's: what is asked, what comes back, and what cannot be told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_vertex import Vertex

Json = dict[str, Any]

DROP = {"x-headgate-unsupported": "drop"}
USED = {"promptTokenCount": 5, "candidatesTokenCount": 1290, "thoughtsTokenCount": 10, "totalTokenCount": 1305}
MADE: Json = {
    "candidates": [
        {
            "content": {
                "parts": [
                    {"text": "Here."},
                    {"inlineData": {"mimeType": "image/png", "data": "AQ=="}, "thought": True},
                    {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
                ]
            },
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": USED,
}


async def asked(
    body: Json, answer: Json, status: int = 200, headers: Mapping[str, str] | None = None
) -> tuple[Any, ReplayUpstream]:
    """A client's reply to a request for pictures, and what Vertex AI was asked."""
    upstream = ReplayUpstream({"*": Recorded.from_json(answer, status)})
    providers = {"v": {"provider": "vertex", "project": "p", "location": "global", "api_key": "AIza-some-key"}}
    async with gateway(Vertex, providers=providers, upstream=upstream) as client:
        request = {"model": "v/gemini-2.5-flash-image", "prompt": "a cat", **body}
        return await client.post("/v1/images/generations", json=request, headers=headers or {}), upstream


@pytest.mark.parametrize(
    ("body", "image", "dropped"),
    [
        ({}, None, None),
        ({"size": "auto", "quality": "auto", "n": 1, "response_format": "b64_json"}, None, None),
        ({"size": "1536x1024"}, {"aspectRatio": "3:2"}, "size"),
        ({"size": "2100x900"}, {"aspectRatio": "21:9"}, "size"),
        (
            {"output_format": "jpeg", "output_compression": 80},
            {"imageOutputOptions": {"mimeType": "image/jpeg", "compressionQuality": 80}},
            None,
        ),
    ],
)
async def test_a_picture_is_made(body: Json, image: Json | None, dropped: str | None) -> None:
    """A prompt is content of `generateContent`, and the picture of the answer with its tokens is in OpenAI's shape."""
    reply, upstream = await asked(body, MADE)
    usage = {"input_tokens": 5, "output_tokens": 1300, "total_tokens": 1305}
    assert reply.json() == {"created": 0, "data": [{"b64_json": "AA=="}], "usage": usage}
    assert reply.headers.get("x-headgate-dropped") == dropped
    request = upstream.requests[-1]
    place = "projects/p/locations/global/publishers/google/models/gemini-2.5-flash-image"
    assert request.url == f"https://aiplatform.googleapis.com/v1/{place}:generateContent"
    config: Json = {"responseModalities": ["IMAGE"], **({"imageConfig": image} if image else {})}
    contents = [{"role": "user", "parts": [{"text": "a cat"}]}]
    assert json.loads(request.body) == {"contents": contents, "generationConfig": config}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("quality", "high"),
        ("size", "1000x999"),
        ("size", "large"),
        ("response_format", "url"),
        ("output_format", "webp"),
        ("style", "vivid"),
    ],
)
async def test_what_cannot_be_told(field: str, value: object) -> None:
    """A wish that there are no words for is refused by name, or left out and named."""
    refused, upstream = await asked({field: value}, MADE)
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, field, [])
    reply, _ = await asked({field: value}, MADE, headers=DROP)
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", ["a"]),
        ("size", {}),
        ("output_format", ["png"]),
        ("output_compression", "much"),
        ("prompt", 5),
        ("images", {"image_url": "data:image/png;base64,AA=="}),
    ],
)
async def test_a_wrong_type(field: str, value: object) -> None:
    """A member of another type is the client's error, whatever may be left out."""
    for headers in ({}, DROP):
        refused, upstream = await asked({field: value}, MADE, headers=headers)
        assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, field, [])


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, 400, "content_policy_violation"),
        ({"candidates": [{"finishReason": "IMAGE_SAFETY"}]}, 400, "content_policy_violation"),
        ({"candidates": [{"content": {"parts": [{"text": "no"}]}, "finishReason": "STOP"}]}, 502, "upstream_bad_reply"),
    ],
)
async def test_no_picture(answer: Json, status: int, code: str) -> None:
    """What is refused for its content is the client's error, an answer without a picture the provider's."""
    reply, _ = await asked({}, answer)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


async def test_an_error_of_google() -> None:
    """An error keeps its status and message, in OpenAI's shape."""
    reply, _ = await asked({}, {"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}}, 404)
    assert (reply.status_code, reply.json()["error"]["message"]) == (404, "no such model")


async def test_other_models_make_none() -> None:
    """Claude on Vertex AI has no pictures, and nothing is sent."""
    reply, upstream = await asked({"model": "v/claude-sonnet-4-5"}, MADE)
    assert (400 <= reply.status_code < 500, upstream.requests) == (True, [])
