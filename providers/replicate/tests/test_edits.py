"""Edits of pictures and translations of sound: what a model's schema makes of OpenAI's forms, and what its prediction is."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from providers.replicate.tests.replicate_wire import Json, described, prediction

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_replicate import Replicate

API = "https://api.replicate.com/v1"
TEXT: Json = {"type": "string"}
FILE: Json = {"type": "string", "format": "uri"}
FILES: Json = {"type": "array", "items": FILE}
NUMBER: Json = {"type": "number"}
KONTEXT = described(prompt=TEXT, input_image=FILE, seed={"type": "integer"}, aspect_ratio={"enum": ["1:1", "3:2"]})
BANANA = described(prompt=TEXT, image_input=FILES, output_format={"enum": ["jpg", "png"]})
GPT = described(
    prompt=TEXT, input_images=FILES, number_of_images={"type": "integer"}, quality={"enum": ["low", "high"]}
)
FILL = described(prompt=TEXT, image=FILE, mask=FILE, guidance=NUMBER)
WHISPER = described(audio=FILE, language={"enum": ["auto", "de"]}, translate={"type": "boolean"})
FAST = described(audio=FILE, task={"enum": ["transcribe", "translate"]})
PNG, JPEG, WAV = b"\x89PNG\r\n\x1a\n--", b"\xff\xd8\xff\xe0", b"RIFF\x00\x00\x00\x00WAVE"
SHOWN = f"data:image/png;base64,{b64encode(PNG).decode()}"
SHOWN_JPEG = f"data:image/jpeg;base64,{b64encode(JPEG).decode()}"
URL = "https://replicate.delivery/xezq/1.webp"
DROP = {"x-headgate-unsupported": "drop"}


async def asked(
    path: str, model: Json, output: Any, headers: Json | None = None, **given: Any
) -> tuple[Any, list[Json]]:
    """A client's reply, and the inputs that predictions were begun with."""
    upstream = ReplayUpstream(
        {
            "/v1/models/o/n": Recorded.from_json(model),
            "/v1/models/o/n/predictions": Recorded.from_json(prediction(output=output), 201),
        }
    )
    settings = {"mine": {"provider": "replicate", "api_key": "r8_0f1e2d3c4b5a"}}
    async with gateway(Replicate, providers=settings, upstream=upstream) as client:
        reply = await client.post(path, headers=headers or {}, **given)
    begun = [call for call in upstream.requests if call.method == "POST"]
    assert all(call.url == f"{API}/models/o/n/predictions" for call in begun)
    assert all(dict(call.headers)[b"content-type"] == b"application/json" for call in begun)
    return reply, [json.loads(call.body)["input"] for call in begun]


def form(*files: tuple[str, bytes, str], **fields: str) -> Json:
    """A form of a client with these files and fields."""
    parts: list[Any] = [(name, ("a", content, kind)) for name, content, kind in files]
    return {"files": parts, "data": {"model": "mine/o/n", "prompt": "p", **fields}}


TWO = [SHOWN, SHOWN_JPEG]
ONE, OTHER = ("image", PNG, "image/png"), ("image[]", JPEG, "application/octet-stream")


@pytest.mark.parametrize(
    ("model", "given", "told"),
    [
        (KONTEXT, form(ONE, seed="7"), {"input_image": SHOWN, "seed": 7}),
        (BANANA, form(("image[]", PNG, ""), OTHER, output_format="jpeg"), {"image_input": TWO, "output_format": "jpg"}),
        (GPT, form(ONE, n="2", quality="high"), {"input_images": [SHOWN], "number_of_images": 2, "quality": "high"}),
        (FILL, form(ONE, ("mask", JPEG, "image/jpeg"), guidance="7.5"), {"image": SHOWN, "mask": SHOWN_JPEG, "guidance": 7.5}),
        (KONTEXT, form(ONE, size="1536x1024", stream="false"), {"input_image": SHOWN, "aspect_ratio": "3:2"}),
    ],
)  # fmt: skip
async def test_an_edit_by_the_schema(model: Json, given: Json, told: Json) -> None:
    """Pictures and mask go where the model takes them, as data URIs, other fields as its schema types them."""
    reply, [begun] = await asked("/v1/images/edits", model, URL, **given)
    assert begun == {"prompt": "p", **told}
    assert (reply.status_code, reply.json()["data"]) == (200, [{"url": URL}])


async def test_an_edit_in_json() -> None:
    """Pictures by their addresses go as they are, for Replicate fetches them; so does a mask."""
    images = [{"image_url": URL}, {"image_url": SHOWN}]
    body = {"model": "mine/o/n", "prompt": "p", "images": images}
    reply, [begun] = await asked("/v1/images/edits", BANANA, [URL], json=body)
    assert (reply.status_code, begun) == (200, {"prompt": "p", "image_input": [URL, SHOWN]})
    body |= {"images": images[:1], "mask": {"image_url": URL}}
    _, [begun] = await asked("/v1/images/edits", FILL, [URL], json=body)
    assert begun == {"prompt": "p", "image": URL, "mask": URL}


@pytest.mark.parametrize(
    ("model", "given", "param"),
    [
        (KONTEXT, form(ONE, OTHER), "image"),
        (KONTEXT, form(ONE, ("mask", PNG, "image/png")), "mask"),
        (KONTEXT, form(ONE, quality="high"), "quality"),
        (KONTEXT, form(ONE, n="2"), "n"),
        (KONTEXT, form(("other", PNG, "image/png")), "other"),
        (KONTEXT, form(ONE, seed="much"), "seed"),
        (described(prompt=TEXT), form(ONE), "model"),
        (KONTEXT, {"json": {"model": "mine/o/n", "images": [URL]}}, "images"),
        (KONTEXT, {"json": {"model": "mine/o/n", "images": []}}, "image"),
        (KONTEXT, {"json": {"model": "mine/o/n", "images": [{"image_url": URL}], "mask": {"image_url": URL}}}, "mask"),
    ],
)
async def test_what_an_edit_has_no_input_for(model: Json, given: Json, param: str) -> None:
    """It is refused by name, and nothing is begun."""
    reply, begun = await asked("/v1/images/edits", model, URL, **given)
    assert (reply.status_code, reply.json()["error"]["param"], begun) == (400, param, [])


async def test_what_is_let_drop() -> None:
    """The rest is sent, and the reply names what was not."""
    given = form(ONE, ("mask", PNG, "image/png"), quality="high", user="u")
    reply, [begun] = await asked("/v1/images/edits", KONTEXT, URL, DROP, **given)
    assert begun == {"prompt": "p", "input_image": SHOWN}
    assert set(reply.headers["x-headgate-dropped"].split(", ")) == {"mask", "quality", "user"}


async def test_a_variation() -> None:
    """A picture without a prompt goes where a model that wants none takes it."""
    redux = described(redux_image=FILE, num_outputs={"type": "integer"})
    parts: Json = {"files": [("image", ("a", PNG, "image/png"))], "data": {"model": "mine/o/n", "n": "2"}}
    reply, [begun] = await asked("/v1/images/variations", redux, [URL, URL], **parts)
    assert begun == {"redux_image": SHOWN, "num_outputs": 2}
    assert (reply.status_code, len(reply.json()["data"])) == (200, 2)


# translations


def heard(**fields: str) -> Json:
    return {"files": [("file", ("a.wav", WAV, "audio/wav"))], "data": {"model": "mine/o/n", **fields}}


SOUND = f"data:audio/wav;base64,{b64encode(WAV).decode()}"


@pytest.mark.parametrize(
    ("model", "output", "told"),
    [
        (WHISPER, {"transcription": "gehört", "translation": "heard"}, {"translate": True}),
        (WHISPER, {"transcription": "heard", "translation": None}, {"translate": True}),
        (FAST, {"text": "heard", "chunks": []}, {"task": "translate"}),
        (FAST, ["he", "ard"], {"task": "translate"}),
    ],
)
async def test_a_translation(model: Json, output: Any, told: Json) -> None:
    """A model is asked for English where its schema has a word for that, and its English comes back."""
    reply, [begun] = await asked("/v1/audio/translations", model, output, **heard())
    assert begun == {"audio": SOUND, **told}
    assert (reply.status_code, reply.json()) == (200, {"text": "heard"})


@pytest.mark.parametrize(
    "model", [described(audio=FILE), described(audio=FILE, translate=TEXT), described(audio=FILE, task={"enum": ["a"]})]
)
async def test_a_model_that_translates_nothing(model: Json) -> None:
    """It is refused, and nothing is begun; transcripts it makes all the same."""
    reply, begun = await asked("/v1/audio/translations", model, "heard", **heard())
    assert (reply.status_code, reply.json()["error"]["code"], begun) == (400, "unsupported_model", [])
    reply, begun = await asked("/v1/audio/transcriptions", model, "heard", **heard())
    assert (reply.status_code, begun) == (200, [{"audio": SOUND}])


async def test_a_transcript_beside_a_translation() -> None:
    """A transcript is what was said, whatever else the model tells."""
    output = {"transcription": "gehört", "translation": "heard"}
    reply, [begun] = await asked("/v1/audio/transcriptions", WHISPER, output, **heard(language="de"))
    assert (begun, reply.json()) == ({"audio": SOUND, "language": "de"}, {"text": "gehört"})
