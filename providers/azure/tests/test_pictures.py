"""Pictures by MAI-Image and FLUX.2 at Foundry, for clients of OpenAI's."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from openai.types import ImagesResponse

from headgate.forms import parts_of
from headgate.testing import Recorded, ReplayUpstream, gateway

Json = dict[str, Any]

HOST = "https://res.services.ai.azure.com"
MADE: Json = {
    "created": 1791229019,
    "model": "MAI-Image-2.6-Flash",
    "size": "768x768",
    "usage": {"num_output_tokens": 576, "num_input_text_tokens": 10, "num_input_image_tokens": 4},
    "data": [{"b64_json": "iVBORw0KGgo="}],
}
MAI = "MAI-Image-2.5"
PICTURES = [("image[]", ("a.png", b"\x89PNG-a", "image/png")), ("image[]", ("b.jpg", b"\xff\xd8b", "image/jpeg"))]


def at(upstream: ReplayUpstream, **more: Any) -> Any:
    settings = {"provider": "azure-foundry", "resource": "res", "api_key": "k-0123456789", **more}
    return gateway(providers={"d": settings}, upstream=upstream)


def upstream_with(answer: Json, status: int = 200) -> ReplayUpstream:
    return ReplayUpstream({"*": Recorded.from_json(answer, status)})


@pytest.mark.parametrize("place", [{}, {"base_url": f"{HOST}/openai/v1"}, {"api_version": "2025-04-01-preview"}])
async def test_mai_makes_a_picture(place: Json) -> None:
    """Sizes are two numbers there, usage has other names, and the address stands beside OpenAI's API."""
    upstream = upstream_with(MADE)
    async with at(upstream, deployments={MAI: "my-mai"}, **place) as client:
        asked = {"model": f"d/{MAI}", "prompt": "a fox", "size": "1360x768", "n": 1, "quality": "auto"}
        reply = await client.post("/v1/images/generations", json={**asked, "web_grounding": False})
    [request] = upstream.requests
    assert (request.method, request.url) == ("POST", f"{HOST}/mai/v1/images/generations")
    assert request.credential is not None
    assert request.credential.field() == (b"api-key", b"k-0123456789")
    assert json.loads(request.body) == {
        "model": "my-mai",
        "prompt": "a fox",
        "width": 1360,
        "height": 768,
        "web_grounding": False,
    }
    told = ImagesResponse.model_validate(reply.json())
    assert (told.created, (told.data or [])[0].b64_json) == (1791229019, "iVBORw0KGgo=")
    assert told.usage is not None
    assert (told.usage.input_tokens, told.usage.output_tokens, told.usage.total_tokens) == (14, 576, 590)
    assert told.usage.input_tokens_details.image_tokens == 4


async def test_mai_edits() -> None:
    """Pictures go in fields of one name, whatever the client calls them, with the name of the deployment."""
    upstream = upstream_with(MADE)
    async with at(upstream, mai=["painter"]) as client:
        fields = {"model": "d/painter", "prompt": "both", "size": "1024x1024", "response_format": "b64_json"}
        reply = await client.post("/v1/images/edits", data=fields, files=PICTURES)
    assert reply.status_code == 200
    [request] = upstream.requests
    assert request.url == f"{HOST}/mai/v1/images/edits"
    kind = dict(request.headers)[b"content-type"]
    parts = parts_of(request.body, kind.partition(b"boundary=")[2])
    assert [(part.name, part.content_type, part.content, part.filename) for part in parts] == [
        ("model", "", b"painter", ""),
        ("prompt", "", b"both", ""),
        ("width", "", b"1024", ""),
        ("height", "", b"1024", ""),
        ("image", "image/png", b"\x89PNG-a", "a.png"),
        ("image", "image/jpeg", b"\xff\xd8b", "b.jpg"),
    ]


async def test_flux() -> None:
    """A picture and an edit have one address, told by the model; pictures to go by are base64 with a number."""
    upstream = upstream_with({"data": [{"b64_json": "aGk="}]})
    async with at(upstream) as client:
        asked = {"model": "d/FLUX.2-pro", "prompt": "a fox", "size": "1024x768", "output_format": "jpeg", "seed": 7}
        made = await client.post("/v1/images/generations", json=asked)
        fields = {"model": "d/FLUX.2-flex", "prompt": "7", "size": "auto", "seed": "7", "guidance": "2.5"}
        edited = await client.post("/v1/images/edits", data=fields, files=PICTURES)
    assert [ImagesResponse.model_validate(reply.json()).created for reply in (made, edited)] == [0, 0]
    first, second = upstream.requests
    assert first.url == f"{HOST}/providers/blackforestlabs/v1/flux-2-pro?api-version=preview"
    assert json.loads(first.body) == {
        "model": "FLUX.2-pro",
        "prompt": "a fox",
        "width": 1024,
        "height": 768,
        "output_format": "jpeg",
        "seed": 7,
    }
    assert second.url == f"{HOST}/providers/blackforestlabs/v1/flux-2-flex?api-version=preview"
    assert dict(second.headers)[b"content-type"] == b"application/json"
    assert json.loads(second.body) == {
        "model": "FLUX.2-flex",
        "prompt": "7",
        "seed": 7,
        "guidance": 2.5,
        "input_image": b64encode(b"\x89PNG-a").decode(),
        "input_image_2": b64encode(b"\xff\xd8b").decode(),
    }


@pytest.mark.parametrize("model", ["gpt-image-1", "mai-image-custom", "FLUX.1-Kontext-pro"])
async def test_other_models(model: str) -> None:
    """They are OpenAI's API's, and pass as they come."""
    upstream = upstream_with({"created": 1, "data": [{"b64_json": "aGk="}]})
    async with at(upstream) as client:
        await client.post("/v1/images/generations", json={"model": f"d/{model}", "prompt": "a", "size": "9x9"})
    [request] = upstream.requests
    assert request.url == f"{HOST}/openai/v1/images/generations"
    assert json.loads(request.body) == {"model": model, "prompt": "a", "size": "9x9"}


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"n": 2}, "n"),
        ({"quality": "high"}, "quality"),
        ({"response_format": "url"}, "response_format"),
        ({"output_format": "jpeg"}, "output_format"),
        ({"stream": True}, "stream"),
        ({"size": "big"}, "size"),
        ({"size": [768, 768]}, "size"),
    ],
)
async def test_what_is_refused(asked: Json, param: str) -> None:
    """What has no words there is refused, or dropped and named."""
    upstream = upstream_with(MADE)
    async with at(upstream) as client:
        body = {"model": f"d/{MAI}", "prompt": "a", **asked}
        refused = await client.post("/v1/images/generations", json=body)
        sent = len(upstream.requests)
        headers = {"x-headgate-unsupported": "drop"}
        dropped = await client.post("/v1/images/generations", json={**body, "user": "u"}, headers=headers)
    assert (refused.status_code, refused.json()["error"]["param"], sent) == (400, param, 0)
    assert set(dropped.headers["x-headgate-dropped"].split(", ")) == {param, "user"}
    assert json.loads(upstream.requests[0].body) == {"model": MAI, "prompt": "a"}


async def test_refused_forms() -> None:
    """A mask has no place there, and an edit in JSON no pictures."""
    upstream = upstream_with(MADE)
    files = [*PICTURES, ("mask", ("m.png", b"m", "image/png"))]
    async with at(upstream) as client:
        masked = await client.post("/v1/images/edits", data={"model": f"d/{MAI}", "prompt": "a"}, files=files)
        asked = {"model": f"d/{MAI}", "prompt": "a", "images": [{"image_url": "https://a.example/a.png"}]}
        plain = await client.post("/v1/images/edits", json=asked)
    assert (masked.status_code, masked.json()["error"]["param"]) == (400, "mask")
    assert plain.status_code == 400
    assert upstream.requests == []


async def test_errors() -> None:
    """The vendor's error passes with its status; an answer without pictures is its failure."""
    error = {"error": {"code": "unsupported_request_value", "message": "'width' must be at least 768 pixels."}}
    async with at(upstream_with(error, 400)) as client:
        reply = await client.post("/v1/images/generations", json={"model": f"d/{MAI}", "prompt": "a"})
    assert (reply.status_code, "768" in reply.json()["error"]["message"]) == (400, True)
    async with at(upstream_with({"data": []})) as client:
        reply = await client.post("/v1/images/generations", json={"model": f"d/{MAI}", "prompt": "a"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")
