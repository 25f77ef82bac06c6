"""Pictures, speech and transcripts of Monster API, which are processes there, for OpenAI's clients, who wait."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import openai.types
import openai.types.audio
import pytest
from providers.compatible.tests.calls import Json

from headgate.forms import boundary_of, parts_of
from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue
from headgate_compatible.vendors import awaited

KEY = "sk-vendor-key"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SOUND = bytes(range(256)) * 3
HOST = "https://api.monsterapi.ai/v1"
MADE = "https://files.example/made/1"
IMAGES, EDITS, SPEECH, HEARING = (
    *("/v1/images/generations", "/v1/images/edits"),
    *("/v1/audio/speech", "/v1/audio/transcriptions"),
)
BEGUN = Recorded.from_json({"process_id": "p/1", "status_url": "https://elsewhere.example/p"})
WAV = ("talk.wav", b"RIFF" + bytes([255]), "audio/wav")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause of these tests is longer than a moment."""
    monkeypatch.setattr(awaited, "POLL_S", 0.001)


def process(status: str, **result: Any) -> Recorded:
    """A process as Monster API tells it."""
    return Recorded.from_json({"process_id": "p/1", "status": status, "result": result})


DRAWN = process("COMPLETED", output=[MADE])


async def asked(
    path: str, answers: Sequence[Recorded], settings: Json | None = None, **given: Any
) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what Monster API was asked."""
    upstream = ReplayUpstream()
    upstream.answer("*", *answers)
    said = {"provider": "monsterapi", "api_key": KEY, **(settings or {})}
    async with gateway(catalogue()["monsterapi"], providers={"v": said}, upstream=upstream) as client:
        reply = await client.post(path, **given)
    assert all(response.is_closed for response in upstream.responses)
    return reply, upstream


def fields(upstream: ReplayUpstream) -> tuple[Json, Any]:
    """The fields of the form that began a process, and its last part."""
    began = upstream.requests[0]
    *parts, file = parts_of(began.body, boundary_of(dict(began.headers)[b"content-type"]))
    return {each.name: each.content.decode() for each in parts}, file


async def test_a_picture_is_waited_for() -> None:
    """A size is a shape and a number another member there, and the process is asked after, with the key, until it is over."""
    body = {"model": "v/sdxl-base", "prompt": "Grüße", "n": 2, "size": "1024x768", "steps": 40, "style": "anime"}
    answers = [BEGUN, process("IN_QUEUE"), process("IN_PROGRESS"), process("COMPLETED", output=[MADE, MADE])]
    reply, upstream = await asked(IMAGES, answers, json=body)
    assert (reply.status_code, reply.json()["data"]) == (200, [{"url": MADE}] * 2)
    openai.types.ImagesResponse.model_validate(reply.json())
    assert reply.headers["x-headgate-dropped"] == "size"
    began, *looks = upstream.requests
    assert (began.method, began.url) == ("POST", f"{HOST}/generate/sdxl-base")
    said = {"prompt": "Grüße", "samples": 2, "aspect_ratio": "landscape", "steps": 40, "style": "anime"}
    assert json.loads(began.body) == said
    assert [(each.method, each.url, each.body) for each in looks] == [("GET", f"{HOST}/status/p%2F1", b"")] * 3
    for each in upstream.requests:
        assert each.credential is not None
        assert each.credential.origins == frozenset({"https://api.monsterapi.ai:443"})


@pytest.mark.parametrize(("size", "shape"), [("512x512", "square"), ("512x768", "portrait"), ("auto", None)])
async def test_the_shape_of_a_picture(size: str, shape: str | None) -> None:
    """There are three shapes, and none is said where the caller leaves it open."""
    _, upstream = await asked(IMAGES, [BEGUN, DRAWN], json={"model": "v/m", "prompt": "p", "size": size})
    assert json.loads(upstream.requests[0].body).get("aspect_ratio") == shape


async def test_an_edit() -> None:
    """The picture of a form is a file of a form there; one in JSON is an address."""
    form = {"model": "v/img2img", "prompt": "Grüße", "strength": "0.6", "n": "1", "response_format": "url"}
    files = {"image": ("a.png", PNG, "image/png")}
    reply, upstream = await asked(EDITS, [BEGUN, DRAWN], data=form, files=files)
    assert (reply.status_code, reply.json()["data"]) == (200, [{"url": MADE}])
    told, file = fields(upstream)
    assert told == {"prompt": "Grüße", "strength": "0.6"}
    assert (file.name, file.content_type, file.content) == ("init_image_url", "image/png", PNG)
    assert [each.url for each in upstream.requests] == [f"{HOST}/generate/img2img", f"{HOST}/status/p%2F1"]
    body = {"model": "v/pix2pix", "prompt": "p", "images": [{"image_url": MADE}]}
    reply, upstream = await asked(EDITS, [BEGUN, DRAWN], json=body)
    assert (reply.status_code, reply.json()["data"]) == (200, [{"url": MADE}])
    assert json.loads(upstream.requests[0].body) == {"prompt": "p", "init_image_url": MADE}


async def test_speech() -> None:
    """A voice is a speaker there; the sound is fetched from its address without the key."""
    sound = Recorded(headers=(("content-type", "audio/wav"),), body=SOUND)
    body = {"model": "v/sunoai-bark", "input": "Hola", "voice": "es_speaker_1", "text_temp": 0.4}
    reply, upstream = await asked(SPEECH, [BEGUN, process("IN_PROGRESS"), DRAWN, sound], json=body)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, "audio/wav", SOUND)
    assert upstream.requests[0].url == f"{HOST}/generate/sunoai-bark"
    assert json.loads(upstream.requests[0].body) == {"prompt": "Hola", "speaker": "es_speaker_1", "text_temp": 0.4}
    assert (upstream.requests[-1].url, upstream.requests[-1].credential) == (MADE, None)


async def test_a_transcript() -> None:
    """Sound is a file of a form there, and the text stands where OpenAI's clients look for it."""
    form = {"model": "v/whisper", "language": "de", "prompt": "Headgate", "response_format": "json"}
    reply, upstream = await asked(HEARING, [BEGUN, process("COMPLETED", text="Grüße")], data=form, files={"file": WAV})
    assert (reply.status_code, reply.json()) == (200, {"text": "Grüße"})
    openai.types.audio.Transcription.model_validate(reply.json())
    told, file = fields(upstream)
    assert told == {"language": "de", "prompt": "Headgate"}
    assert (file.name, file.content_type, file.content) == ("file", "audio/wav", WAV[1])
    assert upstream.requests[0].url == f"{HOST}/generate/whisper"


async def test_behind_another_address() -> None:
    """A deployment with a base URL of its own has processes there too."""
    own = {"base_url": "https://monster.example/v1"}
    _, upstream = await asked(IMAGES, [BEGUN, DRAWN], own, json={"model": "v/m", "prompt": "p"})
    there = "https://monster.example/v1"
    assert [each.url for each in upstream.requests] == [f"{there}/generate/m", f"{there}/status/p%2F1"]


@pytest.mark.parametrize(
    ("path", "members", "param"),
    [
        (IMAGES, {"response_format": "b64_json"}, "response_format"),
        (IMAGES, {"style": "vivid"}, "style"),
        (IMAGES, {"quality": "hd"}, "quality"),
        (EDITS, {"images": [{"image_url": "data:image/png;base64,AA=="}]}, "images"),
        (EDITS, {"images": [{"image_url": MADE}, {"image_url": MADE}]}, "image"),
        (EDITS, {"images": [{"image_url": MADE}], "mask": "x"}, "mask"),
        (EDITS, {"images": [{"image_url": MADE}], "n": 2}, "n"),
        (EDITS, {"images": [{"image_url": MADE}], "size": "512x512"}, "size"),
        (SPEECH, {"response_format": "mp3"}, "response_format"),
        (SPEECH, {"speed": 2}, "speed"),
    ],
)
async def test_what_cannot_be_told(path: str, members: Json, param: str) -> None:
    """A wish that it has no words for is refused by name, and nothing is sent."""
    said = {"input": "hi", "voice": "v"} if path == SPEECH else {"prompt": "p"}
    reply, upstream = await asked(path, [BEGUN, DRAWN], json={"model": "v/m", **said, **members})
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, param, [])


@pytest.mark.parametrize(
    ("path", "form", "param"),
    [
        (EDITS, {"prompt": "p"}, "image"),
        (EDITS, {"prompt": "p", "mask": "x"}, "mask"),
        (HEARING, {"response_format": "srt"}, "response_format"),
        (HEARING, {"diarize": "true"}, "diarize"),
        (HEARING, {"temperature": "warm"}, "temperature"),
    ],
)
async def test_what_a_form_cannot_tell(path: str, form: Json, param: str) -> None:
    """A field that it does not know, or that is missing, is refused by name, and nothing is sent."""
    files = {"file": WAV} if path == HEARING else {"other" if param == "image" else "image": ("a.png", PNG)}
    headers = {"x-headgate-unsupported": "drop"} if param == "image" else {}
    given: Json = {"data": {"model": "v/m", **form}, "files": files, "headers": headers}
    reply, upstream = await asked(path, [BEGUN, DRAWN], **given)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, param, [])


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([Recorded.from_json({"message": "hi"})], "process_id"),
        ([Recorded.from_json({"process_id": ".."})], "process_id"),
        ([BEGUN, process("FAILED", reason="NSFW")], "NSFW"),
        ([BEGUN, process("COMPLETED")], "no pictures"),
        ([BEGUN, process("COMPLETED", output=["javascript:1"])], "no pictures"),
        ([BEGUN, *[Recorded.from_json({})] * 3], "ended as"),
    ],
)
async def test_other_ends(answers: Sequence[Recorded], told: str) -> None:
    """A process that is none, fails or makes nothing is the provider's failure, and says why."""
    reply, _ = await asked(IMAGES, answers, json={"model": "v/m", "prompt": "p"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")
    assert told in reply.json()["error"]["message"]


@pytest.mark.parametrize("answer", [process("FAILED"), process("COMPLETED"), process("COMPLETED", output=[])])
async def test_no_sound_and_no_text(answer: Recorded) -> None:
    """Nothing is passed off as speech or as a transcript."""
    reply, _ = await asked(SPEECH, [BEGUN, answer], json={"model": "v/m", "input": "hi", "voice": "v"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")
    reply, _ = await asked(HEARING, [BEGUN, answer], data={"model": "v/m"}, files={"file": WAV})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


async def test_errors_pass() -> None:
    """An error of the vendor is one of the error tree, and begins nothing that would be asked after."""
    wrong = Recorded.from_json({"message": "Unauthorized"}, status=401)
    reply, upstream = await asked(IMAGES, [wrong], json={"model": "v/m", "prompt": "p"})
    assert (reply.status_code, len(upstream.requests)) == (401, 1)
    assert "error" in reply.json()


async def test_no_model_leads_elsewhere() -> None:
    """A model's name stands in the address, and cannot leave its place."""
    reply, upstream = await asked(IMAGES, [BEGUN, DRAWN], json={"model": "v/../status", "prompt": "p"})
    assert (reply.status_code, upstream.requests) == (400, [])
