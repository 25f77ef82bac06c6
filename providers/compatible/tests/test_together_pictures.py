"""Pictures at Together, as OpenAI's clients ask for them and read them."""

from __future__ import annotations

import base64
import json
from typing import Any

import openai.types
import pytest
import together.types
from providers.compatible.tests.calls import Json

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue

DROP = {"x-headgate-unsupported": "drop"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SHOWN = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
FILE = ("image", ("a.png", PNG, "image/png"))
DATA = [{"index": 0, "b64_json": "aGk=", "type": "b64_json"}]
ANSWER = {"id": "img-1", "model": "m", "object": "list", "data": DATA}
MADE = Recorded.from_json(ANSWER)


async def asked(path: str, answer: Recorded = MADE, headers: Json | None = None, **given: Any) -> tuple[Any, list[Any]]:
    """A client's reply, and the bodies that Together was sent."""
    upstream = ReplayUpstream({"*": answer})
    settings = {"provider": "together", "api_key": "sk-vendor-key"}
    async with gateway(catalogue()["together"], providers={"v": settings}, upstream=upstream) as client:
        reply = await client.post(f"/v1/images/{path}", headers=headers or {}, **given)
    assert {each.url for each in upstream.requests} <= {"https://api.together.ai/v1/images/generations"}
    return reply, [json.loads(each.body) for each in upstream.requests]


async def test_pictures() -> None:
    """A size goes as width and height, `b64_json` as `base64`, and the answer, complete, has OpenAI's shape."""
    together.types.ImageFile.model_validate(ANSWER)
    body = {"prompt": "Grüße", "size": "1024x768", "n": 2, "response_format": "b64_json", "steps": 4, "quality": "auto"}
    reply, sent = await asked("generations", json={"model": "v/m", **body})
    assert (reply.status_code, reply.json()) == (200, {"created": 0, **ANSWER})
    openai.types.ImagesResponse.model_validate(reply.json())
    told = {
        "model": "m",
        "prompt": "Grüße",
        "n": 2,
        "width": 1024,
        "height": 768,
        "response_format": "base64",
        "steps": 4,
    }
    assert sent == [told]


async def test_togethers_own_words() -> None:
    """They pass, and so does a request that says little."""
    body = {"prompt": "p", "width": 512, "height": 256, "response_format": "url", "output_format": "png"}
    _, sent = await asked("generations", json={"model": "v/m", **body})
    assert sent == [{"model": "m", **body}]
    _, sent = await asked(
        "generations", json={"model": "v/m", "prompt": "p", "size": "auto", "response_format": "base64"}
    )
    assert sent == [{"model": "m", "prompt": "p", "response_format": "base64"}]


@pytest.mark.parametrize(
    ("model", "count", "told"),
    [
        ("black-forest-labs/FLUX.1-kontext-pro", 1, {"image_url": SHOWN}),
        ("black-forest-labs/FLUX.2-pro", 1, {"image_url": SHOWN}),
        ("black-forest-labs/FLUX.2-pro", 2, {"reference_images": [SHOWN, SHOWN]}),
        ("black-forest-labs/FLUX.2-dev", 1, {"reference_images": [SHOWN]}),
        ("google/flash-image-2.5", 1, {"reference_images": [SHOWN]}),
    ],
)
async def test_edits(model: str, count: int, told: Json) -> None:
    """Pictures of a form, or of OpenAI's JSON, stand where the model looks for them."""
    fields = {"model": f"v/{model}", "prompt": "p"}
    form = {**fields, "size": "512x256", "seed": "7", "guidance": "2.5", "disable_safety_checker": "true", "n": "1"}
    reply, sent = await asked("edits", data=form, files=[FILE] * count)
    assert (reply.status_code, reply.json()) == (200, {"created": 0, **ANSWER})
    values = {"width": 512, "height": 256, "seed": 7, "guidance": 2.5, "disable_safety_checker": True, "n": 1}
    assert sent == [{"model": model, "prompt": "p", **values, **told}]
    reply, sent = await asked("edits", json={**fields, "images": [{"image_url": SHOWN}] * count})
    assert (reply.status_code, sent) == (200, [{"model": model, "prompt": "p", **told}])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("background", "transparent"),
        ("input_fidelity", "high"),
        ("output_format", "webp"),
        ("quality", "high"),
        ("response_format", "file"),
        ("size", "large"),
    ],
)
async def test_what_has_no_words_there(field: str, value: str) -> None:
    """It is refused by name before anything is sent, or left out where the client wants that."""
    form = {"model": "v/FLUX.2-pro", "prompt": "p", field: value}
    refused, sent = await asked("edits", data=form, files=[FILE])
    assert (refused.status_code, refused.json()["error"]["param"], sent) == (400, field, [])
    refused, sent = await asked("generations", json=form)
    assert (refused.status_code, refused.json()["error"]["param"], sent) == (400, field, [])
    reply, sent = await asked("edits", headers=DROP, data=form, files=[FILE])
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)
    assert sent == [{"model": "FLUX.2-pro", "prompt": "p", "image_url": SHOWN}]


async def test_masks_and_second_pictures() -> None:
    """No model has a mask, and Kontext takes one picture."""
    form: Json = {"model": "v/FLUX.1-kontext-pro", "prompt": "p"}
    refused, sent = await asked("edits", data=form, files=[FILE, ("mask", ("m.png", PNG, "image/png"))])
    assert (refused.status_code, refused.json()["error"]["param"], sent) == (400, "mask", [])
    refused, sent = await asked("edits", json={**form, "images": [{"image_url": SHOWN}], "mask": {"image_url": SHOWN}})
    assert (refused.status_code, refused.json()["error"]["param"], sent) == (400, "mask", [])
    refused, sent = await asked("edits", data=form, files=[FILE, FILE])
    assert (refused.status_code, refused.json()["error"]["param"], sent) == (400, "image", [])


async def test_answers_without_pictures() -> None:
    """One is the provider's failure; an error keeps its status and words."""
    body = {"model": "v/m", "prompt": "p"}
    reply, _ = await asked("generations", Recorded.from_json({"id": "img-1", "data": []}), json=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")
    wrong = Recorded.from_json({"error": {"message": "no such model", "type": "invalid_request_error"}}, 404)
    reply, _ = await asked("generations", wrong, json=body)
    assert (reply.status_code, reply.json()["error"]["message"]) == (404, "no such model")
