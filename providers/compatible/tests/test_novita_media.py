"""Novita's pictures and sound, as OpenAI's clients ask for them and read them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from providers.compatible.tests.calls import Json

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SHOWN = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
SOUND = bytes(range(256)) * 3
MADE = Recorded.from_json({"images": ["https://p.example/1", "https://p.example/2"]})
DATA = [{"url": "https://p.example/1"}, {"url": "https://p.example/2"}]


async def asked(path: str, answer: Recorded, **given: Any) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what Novita was asked."""
    upstream = ReplayUpstream({"*": answer})
    settings = {"provider": "novita", "api_key": "sk-vendor-key"}
    async with gateway(catalogue()["novita"], providers={"v": settings}, upstream=upstream) as client:
        return await client.post(path, **given), upstream


def sent(upstream: ReplayUpstream) -> Json:
    """The JSON body of the last call."""
    return json.loads(upstream.requests[-1].body)


async def test_seedream_draws() -> None:
    """The model stands in the address, a size passes, and the addresses of pictures stand where clients look for them."""
    body = {
        "model": "v/seedream-5.0-lite",
        "prompt": "Grüße",
        "size": "2048x2048",
        "watermark": False,
        "quality": "auto",
    }
    reply, upstream = await asked("/v1/images/generations", MADE, json=body)
    assert (reply.status_code, reply.json()) == (200, {"created": 0, "data": DATA})
    assert upstream.requests[-1].url == "https://api.novita.ai/v3/seedream-5.0-lite"
    assert sent(upstream) == {"prompt": "Grüße", "size": "2048x2048", "watermark": False}


@pytest.mark.parametrize(("model", "member"), [("seedream-4.5", "image"), ("seedream-4.0", "images")])
async def test_seedream_edits(model: str, member: str) -> None:
    """Pictures of a form, or of OpenAI's JSON, stand in the member that the model has for them."""
    fields = {"model": f"v/{model}", "prompt": "p", "size": "auto", "watermark": "false", "n": "1"}
    reply, upstream = await asked("/v1/images/edits", MADE, data=fields, files={"image": ("a.png", PNG, "image/png")})
    assert (reply.status_code, reply.json()["data"]) == (200, DATA)
    assert sent(upstream) == {"prompt": "p", "watermark": False, member: [SHOWN]}
    body = {"model": f"v/{model}", "prompt": "p", "images": [{"image_url": SHOWN}]}
    reply, upstream = await asked("/v1/images/edits", MADE, json=body)
    assert (reply.status_code, reply.json()["data"]) == (200, DATA)
    assert sent(upstream) == {"prompt": "p", member: [SHOWN]}


@pytest.mark.parametrize(("field", "value"), [("n", 2), ("response_format", "b64_json"), ("background", "transparent")])
async def test_what_seedream_cannot_be_told(field: str, value: object) -> None:
    """A wish that it has no words for is refused by name, and nothing is sent."""
    body = {"model": "v/seedream-5.0-lite", "prompt": "p", field: value}
    reply, upstream = await asked("/v1/images/generations", MADE, json=body)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, field, [])


async def test_minimax_speaks_there() -> None:
    """MiniMax's models take what they take at MiniMax, and answer with the sound in hexadecimal."""
    body = {"model": "v/minimax-speech-2.8-hd", "input": "Grüße", "voice": "Calm_Woman", "response_format": "wav"}
    reply, upstream = await asked("/v1/audio/speech", Recorded.from_json({"audio": SOUND.hex()}), json=body)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, "audio/wav", SOUND)
    assert upstream.requests[-1].url == "https://api.novita.ai/v3/minimax-speech-2.8-hd"
    assert sent(upstream) == {
        "text": "Grüße",
        "voice_setting": {"voice_id": "Calm_Woman"},
        "audio_setting": {"format": "wav"},
        "stream": False,
        "output_format": "hex",
    }
    refused, upstream = await asked("/v1/audio/speech", MADE, json={**body, "response_format": "opus"})
    assert (refused.json()["error"]["param"], upstream.requests) == ("response_format", [])


async def test_glm_speaks_there() -> None:
    """GLM-TTS answers with the sound itself, as WAV where nothing is said, and knows no MP3."""
    body = {"model": "v/glm-tts", "input": "hi", "voice": "tongtong", "speed": 1.5}
    answer = Recorded(headers=(("content-type", "audio/wav"),), body=SOUND)
    reply, upstream = await asked("/v1/audio/speech", answer, json=body)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, "audio/wav", SOUND)
    assert sent(upstream) == {"input": "hi", "voice": "tongtong", "speed": 1.5, "response_format": "wav"}
    refused, upstream = await asked("/v1/audio/speech", answer, json={**body, "response_format": "mp3"})
    assert (refused.json()["error"]["param"], upstream.requests) == ("response_format", [])


async def test_glm_hears_there() -> None:
    """Sound goes as an address of its own bytes, and the text comes back as it is."""
    fields = {"model": "v/glm-asr", "language": "de", "prompt": "names"}
    given: Json = {"data": fields, "files": {"file": ("a.wav", b"RIFF\xff", "audio/wav")}}
    answer = Recorded.from_json({"text": "Grüße"})
    reply, upstream = await asked("/v1/audio/transcriptions", answer, **given)
    assert (reply.status_code, reply.content, reply.headers["x-headgate-dropped"]) == (200, answer.body, "language")
    assert upstream.requests[-1].url == "https://api.novita.ai/v3/glm-asr"
    uri = f"data:audio/wav;base64,{base64.b64encode(b'RIFF' + bytes([255])).decode()}"
    assert sent(upstream) == {"prompt": "names", "file": uri}


@pytest.mark.parametrize(
    ("path", "model", "answer"),
    [
        ("/v1/images/generations", "seedream-5.0-lite", Recorded.from_json({"images": []})),
        ("/v1/audio/speech", "minimax-speech-2.8-hd", Recorded.from_json({"audio": "xyz"})),
        ("/v1/audio/speech", "minimax-speech-2.8-hd", Recorded.from_json({"task_id": "1"})),
    ],
)
async def test_odd_answers(path: str, model: str, answer: Recorded) -> None:
    """An answer without what was asked for is the provider's failure."""
    reply, _ = await asked(path, answer, json={"model": f"v/{model}", "prompt": "p", "input": "hi"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


async def test_a_form_without_sound() -> None:
    """A form that holds no file is refused before anything is sent."""
    given: Json = {"data": {"model": "v/glm-asr"}, "files": {"other": ("a.wav", b"RIFF", "audio/wav")}}
    reply, upstream = await asked("/v1/audio/transcriptions", Recorded.from_json({"text": "a"}), **given)
    assert (reply.status_code, upstream.requests) == (400, [])


async def test_reimagine_varies() -> None:
    """A picture goes as base64, and the one that is made comes back as such."""
    fields = {"model": "v/reimagine", "n": "1", "response_format": "b64_json", "user": "u"}
    given: Json = {"data": fields, "files": {"image": ("a.png", PNG, "image/png")}}
    answer = Recorded.from_json({"image_file": "aGk=", "image_type": "png"})
    reply, upstream = await asked("/v1/images/variations", answer, **given)
    assert (reply.status_code, reply.json()) == (200, {"created": 0, "data": [{"b64_json": "aGk="}]})
    assert reply.headers["x-headgate-dropped"] == "user"
    assert upstream.requests[-1].url == "https://api.novita.ai/v3/reimagine"
    assert sent(upstream) == {"image_file": base64.b64encode(PNG).decode()}
    reply, _ = await asked("/v1/images/variations", Recorded.from_json({"image_type": "png"}), **given)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


@pytest.mark.parametrize(("field", "value"), [("n", "2"), ("response_format", "url"), ("size", "256x256")])
async def test_what_reimagine_cannot_be_told(field: str, value: str) -> None:
    """It is refused by name, and nothing is sent."""
    given: Json = {
        "data": {"model": "v/reimagine", field: value},
        "files": {"image": ("a.png", PNG, "image/png")},
    }
    reply, upstream = await asked("/v1/images/variations", MADE, **given)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, field, [])


async def test_a_variation_of_two_pictures() -> None:
    """There is one to a request."""
    picture = ("image", ("a.png", PNG, "image/png"))
    reply, upstream = await asked("/v1/images/variations", MADE, data={"model": "v/reimagine"}, files=[picture] * 2)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, "image", [])
