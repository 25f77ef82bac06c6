"""Pictures, sound and vectors of Hyperbolic, Krutrim, Bytez and OVHcloud, as OpenAI's clients ask for them and read them."""

from __future__ import annotations

import base64
import json
from typing import Any

import openai.types
import openai.types.audio
import pytest
from providers.compatible.tests.calls import Json

from headgate.forms import boundary_of, parts_of
from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue

KEY = "sk-vendor-key"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PICTURE = base64.b64encode(PNG).decode()
SOUND = bytes(range(256)) * 3
WAV = ("talk.wav", b"RIFF" + bytes([255]), "audio/wav")
HEARD = base64.b64encode(WAV[1]).decode()
STORED = "https://files.example/made/1.wav?sig=x"
NUMBERED = Recorded.from_json({"images": [{"index": 0, "image": PICTURE, "random_seed": 7}], "inference_time": 1.5})
EMPTY = Recorded.from_json({})
IMAGES, EDITS, SPEECH = "/v1/images/generations", "/v1/images/edits", "/v1/audio/speech"
HEARING, TRANSLATING = "/v1/audio/transcriptions", "/v1/audio/translations"


async def asked(vendor: str, path: str, *answers: Recorded, **given: Any) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what the vendor was asked; `form` are fields of a form with sound, and `drop` lets it drop."""
    upstream = ReplayUpstream()
    upstream.answer("*", *answers)
    if "form" in given:
        given = {"data": given["form"], "files": {"file": WAV}}
    settings = {"provider": vendor, "api_key": KEY}
    async with gateway(catalogue()[vendor], providers={"v": settings}, upstream=upstream) as client:
        return await client.post(path, **given), upstream


def sent(upstream: ReplayUpstream, at: int = -1) -> Json:
    """The JSON body of a call."""
    return json.loads(upstream.requests[at].body)


# Hyperbolic


async def test_hyperbolic_draws() -> None:
    """A size is two numbers there, the model has another name, and the bytes stand where clients look for them."""
    body = {"model": "v/FLUX.1-dev", "prompt": "Grüße", "size": "1024x768", "steps": 20, "response_format": "b64_json"}
    reply, upstream = await asked("hyperbolic", IMAGES, NUMBERED, json=body)
    assert (reply.status_code, reply.json()["data"]) == (200, [{"b64_json": PICTURE}])
    openai.types.ImagesResponse.model_validate(reply.json())
    assert upstream.requests[0].url == "https://api.hyperbolic.xyz/v1/image/generation"
    assert sent(upstream) == {
        "model_name": "FLUX.1-dev",
        "prompt": "Grüße",
        "steps": 20,
        "width": 1024,
        "height": 768,
    }


async def test_hyperbolic_edits() -> None:
    """A picture of a form, or a data URI of OpenAI's JSON, is bare base64 there, and fields are numbers."""
    fields = {"model": "v/SDXL1.0-base", "prompt": "p", "strength": "0.6", "enable_refiner": "true", "n": "1"}
    files = {"image": ("a.png", PNG, "image/png")}
    reply, upstream = await asked("hyperbolic", EDITS, NUMBERED, data=fields, files=files)
    assert (reply.status_code, reply.json()["data"]) == (200, [{"b64_json": PICTURE}])
    said = {"model_name": "SDXL1.0-base", "prompt": "p", "image": PICTURE}
    assert sent(upstream) == {**said, "strength": 0.6, "enable_refiner": True}
    shown = [{"image_url": f"data:image/png;base64,{PICTURE}"}]
    body = {"model": "v/SDXL1.0-base", "prompt": "p", "images": shown}
    reply, upstream = await asked("hyperbolic", EDITS, NUMBERED, json=body)
    assert (reply.status_code, sent(upstream)) == (200, said)


@pytest.mark.parametrize(
    ("path", "members", "param"),
    [
        (IMAGES, {"n": 2}, "n"),
        (IMAGES, {"response_format": "url"}, "response_format"),
        (IMAGES, {"size": "big"}, "size"),
        (IMAGES, {"quality": "hd"}, "quality"),
        (EDITS, {"images": [{"image_url": "https://p.example/1"}]}, "image"),
        (EDITS, {"mask": "x"}, "mask"),
        (SPEECH, {"response_format": "wav"}, "response_format"),
        (SPEECH, {"instructions": "softly"}, "instructions"),
    ],
)
async def test_what_hyperbolic_cannot_be_told(path: str, members: Json, param: str) -> None:
    """A wish that it has no words for is refused by name, and nothing is sent."""
    body = {"model": "v/m", "prompt": "p", "input": "hi", "voice": "EN-US", **members}
    reply, upstream = await asked("hyperbolic", path, NUMBERED, json=body)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, param, [])


async def test_hyperbolic_takes_no_words_for_numbers() -> None:
    """A field of a form that is a number there and none in it is refused by name."""
    fields = {"model": "v/m", "prompt": "p", "strength": "much"}
    reply, upstream = await asked("hyperbolic", EDITS, NUMBERED, data=fields, files={"image": ("a.png", PNG)})
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, "strength", [])


async def test_hyperbolic_speaks() -> None:
    """The sound comes out of its base64 as MP3; a voice is a speaker there, and the language stands beside it."""
    body = {
        "model": "v/MeloTTS",
        "input": "Hola",
        "voice": "ES",
        "language": "ES",
        "speed": 1.2,
        "response_format": "mp3",
    }
    answer = Recorded.from_json({"audio": base64.b64encode(SOUND).decode(), "inference_time": 1, "sample_rate": 44100})
    reply, upstream = await asked("hyperbolic", SPEECH, answer, json=body)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, "audio/mpeg", SOUND)
    assert upstream.requests[0].url == "https://api.hyperbolic.xyz/v1/audio/generation"
    assert sent(upstream) == {"text": "Hola", "speaker": "ES", "model": "MeloTTS", "language": "ES", "speed": 1.2}


# Krutrim


async def test_krutrim_draws() -> None:
    """Sides are always said there, and the number of pictures in its words."""
    made = Recorded.from_json({"created": 5, "data": [{"b64_json": PICTURE}] * 2, "error": None})
    body = {"model": "v/diffusion1XL", "prompt": "Grüße", "n": 2, "seed": 3}
    reply, upstream = await asked("krutrim", IMAGES, made, json=body)
    assert (reply.status_code, reply.json()) == (200, {"created": 5, "data": [{"b64_json": PICTURE}] * 2})
    assert upstream.requests[0].url == "https://cloud.olakrutrim.com/v1/images/generations/diffusion"
    said = {"modelName": "diffusion1XL", "prompt": "Grüße", "numOutputImages": 2, "seed": 3}
    assert sent(upstream) == {**said, "imageWidth": 1024, "imageHeight": 1024}
    _, upstream = await asked("krutrim", IMAGES, made, json={"model": "v/m", "prompt": "p", "size": "512x768"})
    assert (sent(upstream)["imageWidth"], sent(upstream)["imageHeight"]) == (512, 768)


async def test_krutrim_says_why_there_is_no_picture() -> None:
    """An error in an answer that is a good one by its status is the provider's failure."""
    made = Recorded.from_json({"created": 5, "data": [], "error": "NSFW"})
    reply, _ = await asked("krutrim", IMAGES, made, json={"model": "v/m", "prompt": "p"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")
    assert "NSFW" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (HEARING, {"task": "transcribe", "language": "hi", "temperature": 0.2}),
        (TRANSLATING, {"task": "translate", "language": "english", "temperature": 0.2}),
    ],
)
async def test_krutrim_hears(path: str, said: Json) -> None:
    """Sound goes as base64 in JSON with the task; the text comes out of the predictions."""
    language = {"language": "hi"} if path == HEARING else {}
    form = {"model": "v/openai/whisper-large-v3", "temperature": "0.2", "response_format": "json", **language}
    answer = Recorded.from_json({"predictions": {"text": "नमस्ते", "chunks": []}})
    reply, upstream = await asked("krutrim", path, answer, form=form)
    assert (reply.status_code, reply.json()) == (200, {"text": "नमस्ते"})
    openai.types.audio.Transcription.model_validate(reply.json())
    assert upstream.requests[0].url == f"https://cloud.olakrutrim.com{path}"
    assert dict(upstream.requests[0].headers)[b"content-type"] == b"application/json"
    assert sent(upstream) == {"file": HEARD, "modelName": "openai/whisper-large-v3", **said}


@pytest.mark.parametrize(("field", "value"), [("prompt", "names"), ("response_format", "verbose_json")])
async def test_what_krutrim_hears_without(field: str, value: str) -> None:
    """What its Whisper has no words for, or no answer, is refused by name."""
    reply, upstream = await asked("krutrim", HEARING, EMPTY, form={"model": "v/m", field: value})
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, field, [])


async def test_krutrim_speaks() -> None:
    """The sound is fetched from where the vendor put it, without the key; the language stands beside OpenAI's members."""
    body = {"model": "v/tts", "input": "Grüße", "voice": "male", "input_language": "eng"}
    there = Recorded.from_json({"status": "success", "data": {"audio_file": STORED}})
    sound = Recorded(headers=(("content-type", "audio/wav"),), body=SOUND)
    reply, upstream = await asked("krutrim", SPEECH, there, sound, json=body)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, "audio/wav", SOUND)
    assert [each.url for each in upstream.requests] == ["https://cloud.olakrutrim.com/api/v1/languagelabs/tts", STORED]
    assert sent(upstream, 0) == {"input_text": "Grüße", "input_speaker": "male", "input_language": "eng"}
    assert upstream.requests[1].credential is None
    assert KEY.encode() not in b"".join(value for _, value in upstream.requests[1].headers)


async def test_krutrim_without_a_voice() -> None:
    """A voice that was dropped is the one that its SDK says."""
    body = {"model": "v/tts", "input": "Grüße", "voice": "alloy", "input_language": "eng"}
    there = Recorded.from_json({"status": "success", "data": {"audio_file": STORED}})
    sound = Recorded(headers=(("content-type", "audio/wav"),), body=SOUND)
    reply, upstream = await asked(
        "krutrim", SPEECH, there, sound, json=body, headers={"x-headgate-unsupported": "drop"}
    )
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, "voice")
    assert sent(upstream, 0) == {"input_text": "Grüße", "input_speaker": "male", "input_language": "eng"}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input_language": None}, "input_language"),
        ({"voice": "alloy"}, "voice"),
        ({"speed": 2}, "speed"),
        ({"response_format": "opus"}, "response_format"),
    ],
)
async def test_what_krutrim_cannot_say(members: Json, param: str) -> None:
    """A missing language, another voice and what Bhashik has no words for are refused by name."""
    body = {"model": "v/tts", "input": "hi", "voice": "female", "input_language": "hin", **members}
    reply, upstream = await asked("krutrim", SPEECH, EMPTY, json=body)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, param, [])


# Bytez


async def test_bytez_draws() -> None:
    """A model is at its own address, under a key with its own scheme, and what it made is one too."""
    body = {"model": "v/dreamlike-art/photoreal-2.0", "prompt": "Grüße", "params": {"width": 512}, "quality": "auto"}
    answer = Recorded.from_json({"error": None, "output": "https://cdn.bytez.com/1.png"})
    reply, upstream = await asked("bytez", IMAGES, answer, json=body)
    assert (reply.status_code, reply.json()["data"]) == (200, [{"url": "https://cdn.bytez.com/1.png"}])
    request = upstream.requests[0]
    assert request.url == "https://api.bytez.com/models/v2/dreamlike-art/photoreal-2.0"
    assert request.credential is not None
    assert request.credential.field() == (b"authorization", f"Key {KEY}".encode())
    assert sent(upstream) == {"text": "Grüße", "params": {"width": 512}}


async def test_bytez_keeps_its_scheme_for_tasks() -> None:
    """Its API in OpenAI's shape takes the key as OpenAI's SDK sends it."""
    _, upstream = await asked("bytez", "/v1/completions", EMPTY, json={"model": "v/m", "prompt": "p"})
    credential = upstream.requests[0].credential
    assert credential is not None
    assert credential.field() == (b"authorization", f"Bearer {KEY}".encode())


async def test_bytez_hears() -> None:
    """Sound goes as a data URI, and the text comes back where clients look for it; a language only hints."""
    answer = Recorded.from_json({"error": None, "output": "heard"})
    reply, upstream = await asked("bytez", HEARING, answer, form={"model": "v/openai/whisper-base", "language": "de"})
    assert (reply.status_code, reply.json(), reply.headers["x-headgate-dropped"]) == (
        200,
        {"text": "heard"},
        "language",
    )
    assert upstream.requests[0].url == "https://api.bytez.com/models/v2/openai/whisper-base"
    assert sent(upstream) == {"base64": f"data:audio/wav;base64,{HEARD}"}


async def test_bytez_speaks() -> None:
    """The sound is fetched from where it stands, without the key; the voice is named as left out."""
    body = {"model": "v/suno/bark-small", "input": "hi", "voice": "alloy"}
    there = Recorded.from_json({"error": None, "output": STORED})
    sound = Recorded(headers=(("content-type", "audio/wav"),), body=SOUND)
    reply, upstream = await asked("bytez", SPEECH, there, sound, json=body)
    assert (reply.status_code, reply.content, reply.headers["content-type"]) == (200, SOUND, "audio/wav")
    assert [each.url for each in upstream.requests] == ["https://api.bytez.com/models/v2/suno/bark-small", STORED]
    assert (sent(upstream, 0), upstream.requests[1].credential) == ({"text": "hi"}, None)


async def test_bytez_embeds_text_by_text() -> None:
    """Each text is a call there, and the vectors come back in the order of the texts; usage is not told."""
    answers = [Recorded.from_json({"error": None, "output": output}) for output in ([0.5, 1], [[2.0, 3]])]
    body = {"model": "v/nomic-ai/nomic-embed-text-v1.5", "input": ["a", "b"]}
    reply, upstream = await asked("bytez", "/v1/embeddings", *answers, json=body)
    held = openai.types.CreateEmbeddingResponse.model_validate(reply.json())
    assert [(each.index, each.embedding) for each in held.data] == [(0, [0.5, 1.0]), (1, [2.0, 3.0])]
    assert [sent(upstream, at) for at in (0, 1)] == [{"text": "a"}, {"text": "b"}]
    assert {each.url for each in upstream.requests} == {
        "https://api.bytez.com/models/v2/nomic-ai/nomic-embed-text-v1.5"
    }


@pytest.mark.parametrize("error", ["model is gone", None])
@pytest.mark.parametrize("path", [IMAGES, SPEECH, HEARING, "/v1/embeddings"])
async def test_bytez_fails(path: str, error: str | None) -> None:
    """An answer that holds an error, or nothing, is the provider's failure, told in its own words."""
    answer = Recorded.from_json({"error": error, "output": None})
    wanted = {"prompt": "p"} if path == IMAGES else {"input": "a"}
    given: Json = {"form": {"model": "v/m"}} if path == HEARING else {"json": {"model": "v/m", **wanted}}
    reply, _ = await asked("bytez", path, answer, **given)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")
    assert (error or "") in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "members", "param"),
    [
        (IMAGES, {"size": "512x512"}, "size"),
        (IMAGES, {"n": 2}, "n"),
        (IMAGES, {"response_format": "b64_json"}, "response_format"),
        (SPEECH, {"speed": 2}, "speed"),
        (SPEECH, {"response_format": "mp3"}, "response_format"),
        ("/v1/embeddings", {"dimensions": 8}, "dimensions"),
        ("/v1/embeddings", {"input": [[1, 2]]}, "input"),
    ],
)
async def test_what_bytez_cannot_be_told(path: str, members: Json, param: str) -> None:
    """A wish that a task has no words for is refused by name, and nothing is sent."""
    body = {"model": "v/m", "prompt": "p", "input": "hi", **members}
    reply, upstream = await asked("bytez", path, EMPTY, json=body)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, param, [])


# OVHcloud


async def test_ovhcloud_speaks() -> None:
    """A model is a host there, its language that of its name, and the key goes to that host."""
    body = {"model": "v/nvr-tts-de-de", "input": "Grüße", "voice": "German-DE-Male-1", "response_format": "wav"}
    sound = Recorded(headers=(("content-type", "audio/wav"),), body=SOUND)
    reply, upstream = await asked("ovhcloud", SPEECH, sound, json={**body, "sample_rate_hz": 22050})
    assert (reply.status_code, reply.content) == (200, SOUND)
    request = upstream.requests[0]
    host = "https://nvr-tts-de-de.endpoints.kepler.ai.cloud.ovh.net"
    assert request.url == f"{host}/api/v1/tts/text_to_audio"
    assert request.credential is not None
    assert request.credential.origins == {f"{host}:443"}
    assert sent(upstream) == {
        "text": "Grüße",
        "language_code": "de-DE",
        "encoding": 1,
        "sample_rate_hz": 22050,
        "voice_name": "German-DE-Male-1",
    }


@pytest.mark.parametrize("model", ["evil.example/x?", "nvr-tts-en-us.evil", "whisper-large-v3", "nvr-tts-en-US"])
async def test_ovhcloud_speaks_at_no_other_host(model: str) -> None:
    """What is no model of speech becomes no address, and no key goes anywhere."""
    reply, upstream = await asked("ovhcloud", SPEECH, EMPTY, json={"model": f"v/{model}", "input": "a"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unsupported_model")
    assert upstream.requests == []


async def test_ovhcloud_behind_another_address() -> None:
    """A base URL of the operator's has speech below it, where OpenAI's clients would ask for it, and gets the key."""
    upstream = ReplayUpstream({"*": Recorded(headers=(("content-type", "audio/wav"),), body=SOUND)})
    settings = {"provider": "ovhcloud", "api_key": KEY, "base_url": "https://own.example/v1"}
    async with gateway(catalogue()["ovhcloud"], providers={"v": settings}, upstream=upstream) as client:
        await client.post(SPEECH, json={"model": "v/nvr-tts-en-us", "input": "a"})
    request = upstream.requests[0]
    assert request.url == "https://own.example/v1/audio/speech"
    assert request.credential is not None
    assert request.credential.origins == {"https://own.example:443"}


@pytest.mark.parametrize(("field", "value"), [("response_format", "mp3"), ("speed", 2), ("instructions", "softly")])
async def test_what_ovhcloud_cannot_say(field: str, value: object) -> None:
    """What Riva has no words for is refused by name."""
    body = {"model": "v/nvr-tts-en-us", "input": "a", field: value}
    reply, upstream = await asked("ovhcloud", SPEECH, EMPTY, json=body)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, field, [])


async def test_ovhcloud_translates() -> None:
    """Sound to translate is sound to transcribe with a prompt that says so, as JSON where nothing is said."""
    form = {"model": "v/whisper-large-v3", "temperature": "0.2"}
    answer = Recorded.from_json({"text": "heard", "usage": {"type": "duration", "seconds": 5}})
    reply, upstream = await asked("ovhcloud", TRANSLATING, answer, form=form)
    assert (reply.status_code, reply.content) == (200, answer.body)
    request = upstream.requests[0]
    assert request.url == "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1/audio/transcriptions"
    kind = dict(request.headers)[b"content-type"]
    parts = {part.name: part for part in parts_of(request.body, boundary_of(kind))}
    assert {name: part.content for name, part in parts.items()} == {
        "prompt": b"<|translate|>",
        "response_format": b"json",
        "model": b"whisper-large-v3",
        "temperature": b"0.2",
        "file": WAV[1],
    }
    assert parts["file"].content_type == "audio/wav"
    _, upstream = await asked("ovhcloud", TRANSLATING, answer, form={**form, "response_format": "text"})
    assert b'name="response_format"\r\n\r\ntext\r\n' in upstream.requests[0].body


@pytest.mark.parametrize(("field", "value"), [("prompt", "names"), ("response_format", "srt"), ("stream", "true")])
async def test_what_ovhcloud_does_not_translate(field: str, value: str) -> None:
    """A prompt of the caller's, and formats that are not there, are refused by name."""
    reply, upstream = await asked("ovhcloud", TRANSLATING, EMPTY, form={"model": "v/m", field: value})
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, field, [])


# all of them


@pytest.mark.parametrize(
    ("vendor", "path", "form"),
    [
        ("hyperbolic", IMAGES, None),
        ("hyperbolic", SPEECH, None),
        ("krutrim", IMAGES, None),
        ("krutrim", SPEECH, None),
        ("krutrim", HEARING, {"model": "v/m"}),
        ("krutrim", TRANSLATING, {"model": "v/m"}),
    ],
)
@pytest.mark.parametrize(
    "answer", [EMPTY, Recorded.from_json({"images": [], "audio": "%", "predictions": [], "data": {}})]
)
async def test_odd_answers(vendor: str, path: str, form: Json | None, answer: Recorded) -> None:
    """An answer without what was asked for is the provider's failure."""
    body = {"model": "v/m", "prompt": "p", "input": "hi", "input_language": "eng"}
    given: Json = {"form": form} if form is not None else {"json": body}
    reply, _ = await asked(vendor, path, answer, **given)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


@pytest.mark.parametrize("vendor", ["bytez", "hyperbolic", "krutrim", "ovhcloud"])
async def test_errors_pass(vendor: str) -> None:
    """An error of the vendor's is one in the client's envelope, with its status and words, and nothing is fetched."""
    answer = Recorded.from_json({"error": {"message": "slow down", "type": "t"}}, 429)
    model = "v/nvr-tts-en-us" if vendor == "ovhcloud" else "v/m"
    body = {"model": model, "input": "hi", "input_language": "eng"}
    reply, upstream = await asked(vendor, SPEECH, answer, json=body)
    assert (reply.status_code, reply.json()["error"]["message"]) == (429, "slow down")
    assert len(upstream.requests) == 1


async def test_a_sound_that_is_gone() -> None:
    """Storage that has no sound is the provider's failure."""
    there = Recorded.from_json({"error": None, "output": STORED})
    reply, _ = await asked("bytez", SPEECH, there, Recorded(status=404), json={"model": "v/m", "input": "hi"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


@pytest.mark.parametrize(
    ("vendor", "path", "body", "url"),
    [
        (
            "matterai",
            "/v1/messages",
            {"max_tokens": 5, "messages": [{"role": "user", "content": "a"}]},
            "https://api2.matterai.so/v1/messages",
        ),
        ("matterai", "/v1/responses", {"input": "a"}, "https://api2.matterai.so/v1/responses"),
        (
            "featherless",
            "/v1/messages",
            {"max_tokens": 5, "messages": [{"role": "user", "content": "a"}]},
            "https://api.featherless.ai/v1/messages",
        ),
    ],
)
async def test_own_chats_where_a_deployment_says_so(vendor: str, path: str, body: Json, url: str) -> None:
    """Messages and Responses of these vendors are asked with `native`; else they are translated into the chat."""
    for way in ("native", ""):
        upstream = ReplayUpstream({"*": EMPTY})
        ways = {path.removeprefix("/v1/"): way} if way else {}
        settings = {"provider": vendor, "api_key": KEY, **ways}
        async with gateway(catalogue()[vendor], providers={"v": settings}, upstream=upstream) as client:
            await client.post(path, json={"model": "v/m", **body})
        asked_for = upstream.requests[0].url
        assert asked_for == (url if way else asked_for)
        assert asked_for.endswith("/chat/completions") == (not way)
