"""Workers AI's pictures and sound, as OpenAI's clients ask for them and read them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from providers.compatible.tests.calls import Json

from headgate.forms import Part, parts_of
from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate.upstream import UpstreamRequest
from headgate_compatible import catalogue

DROP = {"x-headgate-unsupported": "drop"}
RUN = "https://api.cloudflare.com/client/v4/accounts/abc/ai/run"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PICTURE = base64.b64encode(PNG).decode()
SOUND = bytes(range(256)) * 3
HEARD = Recorded.from_json({"success": True, "result": {"text": "heard", "word_count": 1, "vtt": "WEBVTT"}})
TURBO = "@cf/openai/whisper-large-v3-turbo"


def client_of(upstream: ReplayUpstream) -> Any:
    """A client of a gateway with one account, known as `v`."""
    settings = {"provider": "cloudflare", "api_key": "sk-vendor-key", "vars": {"account_id": "abc"}}
    return gateway(catalogue()["cloudflare"], providers={"v": settings}, upstream=upstream)


async def asked(path: str, answer: Recorded, headers: Json | None = None, **given: Any) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what Cloudflare was asked."""
    upstream = ReplayUpstream({"*": answer})
    async with client_of(upstream) as client:
        return await client.post(path, headers=headers or {}, **given), upstream


def sent(upstream: ReplayUpstream) -> Json:
    """The JSON body of the last call."""
    request = upstream.requests[-1]
    assert dict(request.headers)[b"content-type"] == b"application/json"
    return json.loads(request.body)


def form(request: UpstreamRequest) -> list[Part]:
    """The form of a call."""
    kind, _, boundary = dict(request.headers)[b"content-type"].partition(b"; boundary=")
    assert kind == b"multipart/form-data"
    return parts_of(request.body, boundary)


def wrapped(result: Json) -> Recorded:
    """An answer in the envelope."""
    return Recorded.from_json({"result": result, "success": True, "errors": [], "messages": []})


# pictures


@pytest.mark.parametrize(
    "answer", [wrapped({"image": PICTURE}), Recorded(headers=(("content-type", "image/png"),), body=PNG)]
)
async def test_a_picture(answer: Recorded) -> None:
    """The model stands in the address alone, a size is told as two sides, and the picture is base64 however it came."""
    body = {"model": "v/@cf/leonardo/lucid-origin", "prompt": "Grüße", "size": "1024x768", "n": 1, "seed": 3}
    reply, upstream = await asked("/v1/images/generations", answer, json=body)
    assert reply.json() == {"created": 0, "data": [{"b64_json": PICTURE}]}
    assert reply.headers["content-type"] == "application/json"
    assert upstream.requests[-1].url == f"{RUN}/@cf/leonardo/lucid-origin"
    assert sent(upstream) == {"prompt": "Grüße", "width": 1024, "height": 768, "seed": 3}


async def test_a_picture_that_wants_a_form() -> None:
    """FLUX.2 takes forms even where there is only a prompt."""
    body = {"model": "v/@cf/black-forest-labs/flux-2-dev", "prompt": "Grüße", "size": "512x512", "steps": 25}
    reply, upstream = await asked("/v1/images/generations", wrapped({"image": PICTURE}), json=body)
    assert reply.json()["data"] == [{"b64_json": PICTURE}]
    assert form(upstream.requests[-1]) == [
        Part("prompt", "", "Grüße".encode()),
        Part("steps", "", b"25"),
        Part("width", "", b"512"),
        Part("height", "", b"512"),
    ]


async def test_an_edit_by_stable_diffusion() -> None:
    """Models that know no forms take JSON: the picture in base64, the mask by its bytes, and numbers as numbers."""
    answer = Recorded(headers=(("content-type", "image/png"),), body=PNG)
    model = "@cf/runwayml/stable-diffusion-v1-5-img2img"
    fields = {"model": f"v/{model}", "prompt": "p", "size": "512x256", "strength": "0.5", "num_steps": "8"}
    files = {"image": ("a.png", PNG, "image/png"), "mask": ("m.png", b"\x01\xff", "image/png")}
    reply, upstream = await asked("/v1/images/edits", answer, data=fields, files=files)
    shown = {"image_b64": PICTURE, "mask": [1, 255]}
    said: Json = {"prompt": "p", "width": 512, "height": 256, "strength": 0.5, "num_steps": 8, **shown}
    assert (sent(upstream), upstream.requests[-1].url) == (said, f"{RUN}/{model}")
    assert reply.json()["data"] == [{"b64_json": PICTURE}]
    refused, _ = await asked("/v1/images/edits", answer, data={**fields, "seed": "x"}, files=files)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "seed")


async def test_an_edit() -> None:
    """Pictures of OpenAI's form have numbered names in Cloudflare's, byte for byte, and its fields stand before them."""
    fields = {"model": "v/@cf/black-forest-labs/flux-2-dev", "prompt": "p", "size": "512x256", "n": "1", "user": "u"}
    files = [("image[]", ("a.png", PNG, "image/png")), ("image[]", ("b", b"\xff\xd8\xff", "image/jpeg"))]
    reply, upstream = await asked("/v1/images/edits", wrapped({"image": PICTURE}), data=fields, files=files)
    assert (reply.status_code, reply.json()["data"]) == (200, [{"b64_json": PICTURE}])
    assert reply.headers["x-headgate-dropped"] == "user"
    request = upstream.requests[-1]
    assert request.url == f"{RUN}/@cf/black-forest-labs/flux-2-dev"
    assert form(request) == [
        Part("prompt", "", b"p"),
        Part("width", "", b"512"),
        Part("height", "", b"256"),
        Part("input_image_0", "image/png", PNG, "a.png"),
        Part("input_image_1", "image/jpeg", b"\xff\xd8\xff", "b"),
    ]


@pytest.mark.parametrize(
    ("fields", "pictures", "param"),
    [({"n": "2"}, 1, "n"), ({"quality": "high"}, 1, "quality"), ({"size": "big"}, 1, "size"), ({}, 5, "image")],
)
async def test_what_an_edit_cannot_be(fields: Json, pictures: int, param: str) -> None:
    """A wish that the models have no words for is refused by name, or left out and named."""
    given: Json = {
        "data": {"model": "v/m", "prompt": "p", **fields},
        "files": [("image[]", ("a.png", PNG, "image/png"))] * pictures,
    }
    answer = wrapped({"image": PICTURE})
    refused, upstream = await asked("/v1/images/edits", answer, **given)
    assert (refused.json()["error"]["param"], upstream.requests) == (param, [])
    reply, _ = await asked("/v1/images/edits", answer, DROP, **given)
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, param)


# speech


@pytest.mark.parametrize(
    ("kind", "encoding", "label"),
    [
        (None, {"encoding": "mp3"}, "audio/mpeg"),
        ("opus", {"encoding": "opus", "container": "ogg"}, "audio/ogg"),
        ("wav", {"encoding": "linear16", "container": "wav"}, "audio/wav"),
        ("pcm", {"encoding": "linear16", "container": "none", "sample_rate": 24000}, "audio/pcm"),
    ],
)
async def test_aura_speaks(kind: str | None, encoding: Json, label: str) -> None:
    """A format is an encoding and a container there, and the sound is labelled with what was asked for."""
    body = {
        "model": "v/@cf/deepgram/aura-2-en",
        "input": "Grüße",
        "voice": "luna",
        "response_format": kind,
        "speed": 1.0,
    }
    answer = Recorded(headers=(("content-type", "audio/mpeg"),), body=SOUND)
    reply, upstream = await asked("/v1/audio/speech", answer, json=body)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, label, SOUND)
    assert sent(upstream) == {"text": "Grüße", "speaker": "luna", **encoding}


async def test_melotts_speaks() -> None:
    """It has no voices and speaks MP3, which stands in the envelope."""
    body = {"model": "v/@cf/myshell-ai/melotts", "input": "hi", "voice": "alloy", "lang": "fr"}
    reply, upstream = await asked("/v1/audio/speech", wrapped({"audio": base64.b64encode(SOUND).decode()}), json=body)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, "audio/mpeg", SOUND)
    assert sent(upstream) == {"prompt": "hi", "lang": "fr"}
    refused, upstream = await asked("/v1/audio/speech", HEARD, json={**body, "response_format": "wav"})
    assert (refused.json()["error"]["param"], upstream.requests) == ("response_format", [])


# transcripts


@pytest.mark.parametrize(("operation", "task"), [("transcriptions", "transcribe"), ("translations", "translate")])
async def test_the_large_whisper_hears(operation: str, task: str) -> None:
    """Sound goes as base64 with the task, and the text comes back where OpenAI's clients look for it."""
    fields = {"model": f"v/{TURBO}", "prompt": "names", "response_format": "json"}
    fields |= {"language": "de"} if task == "transcribe" else {}
    files = {"file": ("a.wav", SOUND, "audio/wav")}
    reply, upstream = await asked(f"/v1/audio/{operation}", HEARD, data=fields, files=files)
    assert (reply.status_code, reply.json()) == (200, {"text": "heard"})
    assert upstream.requests[-1].url == f"{RUN}/{TURBO}"
    said = {"audio": base64.b64encode(SOUND).decode(), "task": task, "initial_prompt": "names"}
    assert sent(upstream) == {**said, **({"language": "de"} if task == "transcribe" else {})}


async def test_the_small_whisper_hears() -> None:
    """It takes the numbers of the bytes and nothing else: a language is left out and named, a prompt is refused."""
    given: Json = {"files": {"file": ("a.wav", b"RIFF\xff", "audio/wav")}}
    fields = {"model": "v/@cf/openai/whisper", "language": "de"}
    reply, upstream = await asked("/v1/audio/transcriptions", HEARD, data=fields, **given)
    assert (reply.json(), reply.headers["x-headgate-dropped"]) == ({"text": "heard"}, "language")
    assert sent(upstream) == {"audio": [*b"RIFF\xff"]}
    refused, upstream = await asked("/v1/audio/transcriptions", HEARD, data={**fields, "prompt": "a"}, **given)
    assert (refused.json()["error"]["param"], upstream.requests) == ("prompt", [])
    refused, upstream = await asked("/v1/audio/translations", HEARD, data={"model": fields["model"]}, **given)
    assert (refused.json()["error"]["code"], upstream.requests) == ("unsupported_model", [])


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/v1/images/generations", {"json": {"model": "v/m", "prompt": "p"}}),
        ("/v1/audio/speech", {"json": {"model": "v/m", "input": "hi"}}),
        ("/v1/audio/transcriptions", {"data": {"model": "v/m"}, "files": {"file": ("a.wav", b"RIFF", "audio/wav")}}),
    ],
)
@pytest.mark.parametrize("answer", [wrapped({}), Recorded.from_json([1])])
async def test_odd_answers(path: str, given: Json, answer: Recorded) -> None:
    """An answer without what was asked for is the provider's failure."""
    reply, _ = await asked(path, answer, **given)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")
