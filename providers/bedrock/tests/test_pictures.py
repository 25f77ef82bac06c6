"""Pictures of Stability's models on Bedrock for clients of OpenAI's: what is asked, what comes back, what cannot be told."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_bedrock import Bedrock

Json = dict[str, Any]

CORE = "stability.stable-image-core-v1:1"
LARGE = "stability.sd3-5-large-v1:0"
ULTRA = "stability.stable-image-ultra-v1:1"
INPAINT = "us.stability.stable-image-inpaint-v1:0"
DROP = {"x-headgate-unsupported": "drop"}
MADE: Json = {"seeds": [2130420379], "finish_reasons": [None], "images": ["AA=="]}
"""The example of the vendor's page."""
PROFILE = "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/1arbu5hu2sjr"


DEPLOYED: Json = {
    "provider": "bedrock",
    "region": "us-west-2",
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI",
    "base_models": {PROFILE: CORE},
}
PICTURE = b"\x89PNG\r\n\x1a\n--b\xff"


async def asked(
    body: Json, answer: Json | Recorded = MADE, model: str = CORE, headers: Mapping[str, str] | None = None
) -> tuple[Any, ReplayUpstream]:
    """A client's reply to a request for pictures, and what Bedrock was asked."""
    upstream = ReplayUpstream({"*": answer if isinstance(answer, Recorded) else Recorded.from_json(answer)})
    async with gateway(Bedrock, providers={"aws": DEPLOYED}, upstream=upstream) as client:
        request = {"model": f"aws/{model}", "prompt": "a cat", **body}
        return await client.post("/v1/images/generations", json=request, headers=headers or {}), upstream


@pytest.mark.parametrize(
    ("body", "told", "dropped"),
    [
        ({}, {}, None),
        ({"size": "auto", "quality": "auto", "n": 1, "response_format": "b64_json", "stream": False}, {}, None),
        ({"size": "1024x1024"}, {"aspect_ratio": "1:1"}, "size"),
        ({"size": "1792x768"}, {"aspect_ratio": "21:9"}, "size"),
        ({"output_format": "jpeg", "user": "u"}, {"output_format": "jpeg"}, "user"),
        ({"output_format": None, "n": None}, {}, None),
        ({"seed": 7, "negative_prompt": "dogs"}, {"seed": 7, "negative_prompt": "dogs"}, None),
        ({"size": "1024x1024", "aspect_ratio": "4:5"}, {"aspect_ratio": "4:5"}, "size"),
    ],
)
async def test_a_picture_is_made(body: Json, told: Json, dropped: str | None) -> None:
    """A request is in the model's own words, signed, and the picture comes in OpenAI's shape."""
    reply, upstream = await asked(body)
    assert reply.json() == {"created": 0, "data": [{"b64_json": "AA=="}]}
    assert reply.headers.get("x-headgate-dropped") == dropped
    request = upstream.requests[-1]
    place = "stability.stable-image-core-v1%3A1/invoke"
    assert request.url == f"https://bedrock-runtime.us-west-2.amazonaws.com/model/{place}"
    assert json.loads(request.body) == {"prompt": "a cat", **told}
    assert b"authorization" in dict(request.headers)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("quality", "high"),
        ("size", "1000x999"),
        ("size", "large"),
        ("response_format", "url"),
        ("output_format", "webp"),
        ("output_compression", 80),
        ("background", "transparent"),
        ("style", "vivid"),
        ("stream", True),
    ],
)
async def test_what_cannot_be_told(field: str, value: object) -> None:
    """A wish that there are no words for is refused by name, or left out and named."""
    refused, upstream = await asked({field: value})
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, field, [])
    reply, upstream = await asked({field: value}, headers=DROP)
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)
    assert json.loads(upstream.requests[0].body) == {"prompt": "a cat"}


async def test_a_format_of_one_model() -> None:
    """Stable Diffusion 3.5 writes WebP too."""
    reply, upstream = await asked({"output_format": "webp"}, model=LARGE)
    assert (reply.status_code, json.loads(upstream.requests[0].body)["output_format"]) == (200, "webp")


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ({"finish_reasons": ["Filter reason: prompt"]}, 400, "content_policy_violation"),
        ({"seeds": [1], "finish_reasons": ["Filter reason: output image"], "images": ["AA=="]}, 400, None),
        ({"finish_reasons": ["Inference error"]}, 502, "upstream_bad_reply"),
        ({"finish_reasons": [None], "images": []}, 502, "upstream_bad_reply"),
        ({"images": "AA=="}, 502, "upstream_bad_reply"),
        (Recorded(headers=(("content-type", "text/html"),), body=b"<html>"), 502, "upstream_bad_reply"),
    ],
)
async def test_no_picture(answer: Json | Recorded, status: int, code: str | None) -> None:
    """What is refused for its content is the client's error, an answer without a picture the provider's."""
    reply, _ = await asked({}, answer)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code or "content_policy_violation")


async def test_an_error_of_aws() -> None:
    """An error keeps its status and message, in OpenAI's shape."""
    reply, _ = await asked({}, Recorded.from_json({"message": "Malformed input request"}, 400))
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "Malformed input request")


async def test_other_makers() -> None:
    """Models of others make no pictures here any more, which is said by name; what an ARN hides is told by the deployment."""
    reply, upstream = await asked({}, model="amazon.nova-canvas-v1:0")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unsupported_model")
    assert "amazon.nova-canvas-v1:0" in reply.json()["error"]["message"]
    assert upstream.requests == []
    reply, upstream = await asked({}, model=PROFILE)
    assert (reply.status_code, len(upstream.requests)) == (200, 1)


# edits


async def edited(
    fields: Mapping[str, str],
    model: str = ULTRA,
    files: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[Any, ReplayUpstream]:
    """A client's reply to a form for an edit, and what Bedrock was asked."""
    upstream = ReplayUpstream({"*": Recorded.from_json(MADE)})
    async with gateway(Bedrock, providers={"aws": DEPLOYED}, upstream=upstream) as client:
        form = {"model": f"aws/{model}", "prompt": "a hat", **fields}
        parts = {"image": ("a.png", PICTURE, "image/png")} if files is None else files
        return await client.post("/v1/images/edits", data=form, files=parts, headers=headers or {}), upstream


@pytest.mark.parametrize(
    ("model", "fields", "told"),
    [
        (ULTRA, {}, {}),
        (ULTRA, {"n": "1", "size": "auto", "quality": "auto", "stream": "false", "partial_images": "0"}, {}),
        (
            ULTRA,
            {"strength": "0.5", "seed": "7", "output_format": "png"},
            {"strength": 0.5, "seed": 7, "output_format": "png"},
        ),
        (LARGE, {"strength": "1"}, {"strength": 1, "mode": "image-to-image"}),
        (INPAINT, {"grow_mask": "3", "output_format": "webp"}, {"grow_mask": 3, "output_format": "webp"}),
    ],
)
async def test_a_picture_is_edited(model: str, fields: Json, told: Json) -> None:
    """A form is JSON with the picture in base64, signed; fields of the vendor's own pass as what they are."""
    reply, upstream = await edited(fields, model)
    assert reply.json() == {"created": 0, "data": [{"b64_json": "AA=="}]}
    assert "x-headgate-dropped" not in reply.headers
    request = upstream.requests[0]
    segment = model.replace(":", "%3A")
    assert request.url == f"https://bedrock-runtime.us-west-2.amazonaws.com/model/{segment}/invoke"
    assert json.loads(request.body) == {"prompt": "a hat", **told, "image": base64.b64encode(PICTURE).decode()}
    headers = dict(request.headers)
    assert (headers[b"content-type"], b"authorization" in headers) == (b"application/json", True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", "2"),
        ("size", "1024x1024"),
        ("quality", "high"),
        ("input_fidelity", "high"),
        ("output_format", "webp"),
        ("stream", "true"),
    ],
)
async def test_edits_that_cannot_be_told(field: str, value: str) -> None:
    """A wish that there are no words for is refused by name, or left out and named."""
    refused, upstream = await edited({field: value})
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, field, [])
    reply, upstream = await edited({field: value}, headers=DROP)
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)
    assert set(json.loads(upstream.requests[0].body)) == {"prompt", "image"}


@pytest.mark.parametrize(
    ("files", "param"),
    [
        ({"mask": ("m.png", PICTURE, "image/png"), "image": ("a.png", PICTURE, "image/png")}, "mask"),
        ([("image[]", ("a.png", PICTURE, "image/png")), ("image[]", ("b.png", PICTURE, "image/png"))], "image"),
        ({"other": ("a.txt", b"a", "text/plain")}, "image"),
    ],
)
async def test_pictures_of_an_edit(files: Any, param: str) -> None:
    """There is one picture, and no mask: the vendor's are black and white where OpenAI's are transparent."""
    reply, upstream = await edited({}, files=files)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, param, [])


@pytest.mark.parametrize(
    ("model", "fields", "code"),
    [
        (CORE, {}, "unsupported_model"),
        ("amazon.titan-image-generator-v2:0", {}, "unsupported_model"),
        (LARGE, {}, "missing_strength"),
        (ULTRA, {"strength": "much"}, "invalid_request"),
    ],
)
async def test_edits_that_no_model_makes(model: str, fields: Json, code: str) -> None:
    """What a model cannot do, or needs, is said before it is called."""
    reply, upstream = await edited(fields, model)
    assert (reply.status_code, reply.json()["error"]["code"], upstream.requests) == (400, code, [])


async def test_edits_come_in_forms() -> None:
    """A body of another kind is refused by name."""
    upstream = ReplayUpstream()
    async with gateway(Bedrock, providers={"aws": DEPLOYED}, upstream=upstream) as client:
        reply = await client.post("/v1/images/edits", json={"model": f"aws/{ULTRA}", "prompt": "a hat"})
    assert (400 <= reply.status_code < 500, upstream.requests) == (True, [])


@pytest.mark.parametrize(
    ("status", "kind", "stands_for"),
    [(403, "InvalidSignatureException", 401), (408, "ModelTimeoutException", 504), (424, "ModelErrorException", 502)],
)
async def test_errors_of_the_service(status: int, kind: str, stands_for: int) -> None:
    """What AWS refuses is told with the exception's name, and with the status that it stands for."""
    head = (("content-type", "application/json"), ("x-amzn-errortype", f"{kind}:http://internal.amazon.com/"))
    reply, _ = await asked({}, Recorded.from_json({"message": "no"}, status).varied(headers=head))
    error = reply.json()["error"]
    assert (reply.status_code, error["message"], error["code"]) == (stands_for, "no", kind)
