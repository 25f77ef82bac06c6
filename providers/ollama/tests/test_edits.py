"""Edits of pictures for clients of OpenAI's, which Ollama takes as JSON with one picture."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import openai.types
import pytest

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_ollama import Ollama

Json = dict[str, Any]

PNG = b"\x89PNG\r\n\x1a\n--b\xff"
URI = f"data:image/png;base64,{b64encode(PNG).decode()}"
MADE: Json = {"created": 1, "data": [{"b64_json": "AA=="}]}
DROP = {"x-headgate-unsupported": "drop"}
FORM: Json = {"model": "local/x/flux2-klein", "prompt": "Grüße", "size": "1024x768", "seed": "7"}
FILE = ("image", ("a.png", PNG, "image/png"))


async def asked(
    answer: Recorded | None = None, headers: Mapping[str, str] | None = None, **given: Any
) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what the server was asked."""
    upstream = ReplayUpstream({"*": answer or Recorded.from_json(MADE)})
    deployed: Json = {"local": {"provider": "ollama", "base_url": "http://127.0.0.1:11434"}}
    async with gateway(Ollama, providers=deployed, upstream=upstream) as client:
        return await client.post("/v1/images/edits", headers=headers or {}, **given), upstream


async def test_a_form() -> None:
    """A form is told as JSON, with its picture as a data URI, and the answer comes as it is."""
    reply, upstream = await asked(data={**FORM, "n": "1", "response_format": "b64_json"}, files=[FILE])
    assert openai.types.ImagesResponse.model_validate(reply.json()).data == [openai.types.Image(b64_json="AA==")]
    (request,) = upstream.requests
    assert request.url == "http://127.0.0.1:11434/v1/images/edits"
    assert dict(request.headers)[b"content-type"] == b"application/json"
    assert json.loads(request.body) == {
        "model": "x/flux2-klein",
        "prompt": "Grüße",
        "size": "1024x768",
        "seed": 7,
        "image": URI,
    }


async def test_a_body() -> None:
    """A JSON body with OpenAI's words for a picture has the server's; another goes on byte for byte but for its model."""
    reply, upstream = await asked(json={"model": "local/m", "prompt": "p", "images": [{"image_url": URI}]})
    assert (reply.status_code, json.loads(upstream.requests[0].body)) == (
        200,
        {"model": "m", "prompt": "p", "image": URI},
    )
    _, upstream = await asked(json={"model": "local/m", "prompt": "p", "image": "AA=="})
    assert json.loads(upstream.requests[0].body) == {"model": "m", "prompt": "p", "image": "AA=="}


@pytest.mark.parametrize(
    ("data", "files", "param"),
    [
        ({}, [FILE, FILE], "image"),
        ({}, [FILE, ("mask", ("m.png", PNG, "image/png"))], "mask"),
        ({"quality": "high"}, [FILE], "quality"),
        ({"n": "2"}, [FILE], "n"),
        ({"stream": "true"}, [FILE], "stream"),
    ],
)
async def test_what_cannot_be_told(data: Json, files: list[Any], param: str) -> None:
    """What the server has no words for is refused by name, or left out and named."""
    refused, upstream = await asked(data={**FORM, **data}, files=files)
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, param, [])
    reply, upstream = await asked(headers=DROP, data={**FORM, **data}, files=files)
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, param)
    assert set(json.loads(upstream.requests[0].body)) == {"model", "prompt", "size", "seed", "image"}


async def test_an_error_of_the_server() -> None:
    """Its status and words come to the client."""
    told = Recorded.from_json({"error": {"message": "model not found", "type": "not_found_error"}}, 404)
    reply, _ = await asked(told, data=FORM, files=[FILE])
    assert (reply.status_code, reply.json()["error"]["message"]) == (404, "model not found")
