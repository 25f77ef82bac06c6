"""Pictures, sound and paths of their own at vendors whose bodies are not OpenAI's: what each is sent, and what comes back."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from mistralai.client.models import SpeechRequest
from openrouter.components import ImageGenerationRequest, STTRequest
from providers.compatible.tests.calls import BY_NAME, Json, deploy_row, exchange

from headgate.chat import ChatRequest, Image, Message, Text
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest, ProviderFailed
from headgate.forms import Part, parts_of
from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue
from headgate_compatible.vendors import as_json, edits

DROP = {"x-headgate-unsupported": "drop"}
SOUND = bytes(range(256)) * 3
SPOKEN = Recorded.from_json({"audio_data": base64.b64encode(SOUND).decode()})
MADE = Recorded.from_json({"created": 1, "data": [{"url": "https://pictures.example/1.jpeg"}]})
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
JPEG = b"\xff\xd8\xff\xe0" + bytes(9)


def client_of(name: str, upstream: ReplayUpstream) -> Any:
    """A client of a gateway with one vendor, known as `v`."""
    return gateway(
        catalogue()[name], providers={"v": {"provider": name, "api_key": "sk-vendor-key"}}, upstream=upstream
    )


def sent(upstream: ReplayUpstream) -> Json:
    """The JSON body of the last call."""
    request = upstream.requests[-1]
    assert dict(request.headers)[b"content-type"] == b"application/json"
    assert request.pieces is None
    return json.loads(request.body)


def shown(content: bytes, kind: str) -> Json:
    """A picture as xAI takes it."""
    return {"type": "image_url", "url": f"data:{kind};base64,{base64.b64encode(content).decode()}"}


# Mistral's speech


@pytest.mark.parametrize(
    ("asked", "wanted", "kind"),
    [
        ({"voice": "gb_jane_neutral"}, {"voice_id": "gb_jane_neutral", "response_format": "mp3"}, "audio/mpeg"),
        ({"voice": {"id": "voice_1"}, "response_format": "wav"}, {"voice_id": "voice_1", "response_format": "wav"}, "audio/wav"),
        ({"voice_id": "v", "voice": "x", "response_format": "opus"}, {"voice_id": "v", "response_format": "opus"}, "audio/opus"),
        ({"ref_audio": "AAAA", "speed": 1.0, "instructions": ""}, {"ref_audio": "AAAA", "response_format": "mp3"}, "audio/mpeg"),
        ({"response_format": None, "stream_format": "audio"}, {"response_format": "mp3"}, "audio/mpeg"),
    ],
)  # fmt: skip
async def test_mistral_speaks(asked: Json, wanted: Json, kind: str) -> None:
    """A voice is an id there, and the sound in Mistral's JSON reaches the client as sound, labelled with its format."""
    upstream = ReplayUpstream({"*": SPOKEN})
    async with client_of("mistral", upstream) as client:
        body = {"model": "v/voxtral-mini-tts-3-0", "input": "Grüße", **asked}
        reply = await client.post("/v1/audio/speech", json=body)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, kind, SOUND)
    assert upstream.requests[-1].url == "https://api.mistral.ai/v1/audio/speech"
    assert sent(upstream) == {"model": "voxtral-mini-tts-3-0", "input": "Grüße", **wanted}
    assert not SpeechRequest.model_validate(sent(upstream)).additional_properties


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("instructions", "Whisper."),
        ("speed", 1.5),
        ("response_format", "aac"),
        ("response_format", ["mp3"]),
        ("stream_format", "sse"),
        ("stream", True),
    ],
)
async def test_what_mistral_cannot_say(field: str, value: object) -> None:
    """A wish that Mistral has no words for is refused by name, or left out and named, never lost without a word."""
    upstream = ReplayUpstream({"*": SPOKEN})
    async with client_of("mistral", upstream) as client:
        body = {"model": "v/m", "input": "hi", "voice": "a", field: value}
        refused = await client.post("/v1/audio/speech", json=body)
        assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, field, [])
        reply = await client.post("/v1/audio/speech", json=body, headers=DROP)
    assert (reply.headers["x-headgate-dropped"], reply.content) == (field, SOUND)
    assert sent(upstream) == {"model": "m", "input": "hi", "voice_id": "a", "response_format": "mp3"}


async def test_mistrals_errors_and_odd_answers() -> None:
    """An error of its own is one in OpenAI's shape; an answer without sound is the provider's failure."""
    wrong = Recorded.from_json(
        {"object": "error", "message": "no such voice", "type": "invalid_voice", "code": "1"}, 404
    )
    upstream = ReplayUpstream({"*": wrong})
    provider = deploy_row("mistral", upstream)
    reply = await provider.call(exchange(provider, {"model": "m", "input": "hi"}, "audio.speech"))
    assert (reply.status, json.loads(reply.body)["error"]["message"]) == (404, "no such voice")
    for answer in (
        Recorded.from_json({"audio": "AAAA"}),
        Recorded.from_json({"audio_data": "%%%"}),
        Recorded(body=SOUND),
    ):
        upstream.answer("*", answer)
        with pytest.raises(ProviderFailed, match="no sound") as caught:
            await provider.call(exchange(provider, {"model": "m", "input": "hi"}, "audio.speech"))
        assert (caught.value.provider, caught.value.deployment) == ("mistral", "mine")


# what is passed through


@pytest.mark.parametrize(
    ("name", "path", "url"),
    [
        ("mistral", "/v1/ocr", "https://api.mistral.ai/v1/ocr"),
        ("mistral", "/v1/batch/jobs", "https://api.mistral.ai/v1/batch/jobs"),
        ("together", "/v1/fine-tunes", "https://api.together.ai/v1/fine-tunes"),
    ],
)
async def test_shapes_of_their_own_pass(name: str, path: str, url: str) -> None:
    """What has no operation here goes to the vendor as it is, with the deployment's key, and its answer comes back so."""
    answer = Recorded.from_json({"pages": [{"index": 0, "markdown": "# Grüße"}]})
    upstream = ReplayUpstream({"*": answer})
    body = b'{"model": "mistral-ocr-latest",  "document": {"type": "document_url", "document_url": "https://a.example/a.pdf"}}'
    headers = {"x-headgate-provider": "v", "content-type": "application/json"}
    async with client_of(name, upstream) as client:
        reply = await client.post(path, content=body, headers=headers)
    assert (reply.status_code, reply.content) == (200, answer.body)
    request = upstream.requests[-1]
    assert (request.url, request.body) == (url, body)
    assert request.credential is not None
    assert request.credential.secret.reveal() == "sk-vendor-key"


# xAI's edits of pictures


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ([("image", ("a.png", PNG, "image/png"))], {"image": shown(PNG, "image/png")}),
        ([("image[]", ("a", JPEG, "application/octet-stream"))], {"image": shown(JPEG, "image/jpeg")}),
        (
            [("image[]", ("a.png", PNG, "image/png")), ("image[]", ("b.webp", b"RIFF", "image/webp"))],
            {"images": [shown(PNG, "image/png"), shown(b"RIFF", "image/webp")]},
        ),
    ],
)
async def test_forms_of_pictures_are_json_for_xai(files: Any, wanted: Json) -> None:
    """The form of OpenAI's clients is sent as xAI's JSON, pictures byte for byte, numbers as numbers, under the model's name."""
    upstream = ReplayUpstream({"*": MADE})
    fields = {"model": "v/grok-imagine-image", "prompt": "Grüße", "n": "2", "response_format": "url", "size": "auto"}
    async with client_of("xai", upstream) as client:
        reply = await client.post("/v1/images/edits", data=fields, files=files)
    assert (reply.status_code, reply.content) == (200, MADE.body)
    assert upstream.requests[-1].url == "https://api.x.ai/v1/images/edits"
    said = {"model": "grok-imagine-image", "prompt": "Grüße", "n": 2, "response_format": "url"}
    assert sent(upstream) == {**said, **wanted}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"image": {"type": "image_url", "url": "https://a.example/1.png"}}, None),
        ({"images": [{"url": "https://a.example/1.png"}]}, None),
        ({"images": [{"image_url": "https://a.example/1.png"}]}, {"image": {"type": "image_url", "url": "https://a.example/1.png"}}),
        (
            {"images": [{"image_url": "data:,1"}, {"image_url": "data:,2"}]},
            {"images": [{"type": "image_url", "url": "data:,1"}, {"type": "image_url", "url": "data:,2"}]},
        ),
        ({"images": [{"image_url": 5}]}, None),
    ],
)  # fmt: skip
async def test_pictures_in_json(body: Json, wanted: Json | None) -> None:
    """JSON in xAI's words goes as it is; pictures in OpenAI's are told in xAI's, and what is neither is the vendor's to judge."""
    upstream = ReplayUpstream({"*": MADE})
    async with client_of("xai", upstream) as client:
        reply = await client.post("/v1/images/edits", json={"model": "v/grok", "prompt": "p", **body})
    assert reply.status_code == 200
    assert sent(upstream) == {"model": "grok", "prompt": "p", **(wanted or body)}


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/images/edits"])
async def test_pictures_of_xai_have_a_time(path: str) -> None:
    """XAI tells none, where OpenAI's clients read a number; an answer without pictures is its failure."""
    data = [{"url": "https://imgen.x.ai/1.jpg", "revised_prompt": ""}]
    upstream = ReplayUpstream({"*": Recorded.from_json({"data": data, "usage": {"cost_in_usd_ticks": 2}})})
    body = {"model": "v/grok-imagine-image", "prompt": "p"}
    async with client_of("xai", upstream) as client:
        reply = await client.post(path, json=body)
    assert reply.json() == {"created": 0, "data": data, "usage": {"cost_in_usd_ticks": 2}}
    async with client_of("xai", ReplayUpstream({"*": Recorded.from_json({"data": []})})) as client:
        reply = await client.post(path, json=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


async def test_what_xai_cannot_edit() -> None:
    """A mask, and any field that xAI has not, is refused by name, or left out and named."""
    upstream = ReplayUpstream({"*": MADE})
    files = [("image", ("a.png", PNG, "image/png")), ("mask", ("m.png", PNG, "image/png"))]
    async with client_of("xai", upstream) as client:
        fields = {"model": "v/grok", "prompt": "p", "background": "transparent"}
        refused = await client.post("/v1/images/edits", data=fields, files=files)
        assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, "background", [])
        refused = await client.post("/v1/images/edits", data={"model": "v/grok", "prompt": "p"}, files=files)
        assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, "mask", [])
        reply = await client.post("/v1/images/edits", data=fields, files=files, headers=DROP)
    assert reply.headers["x-headgate-dropped"] == "background, mask"
    assert sent(upstream) == {"model": "grok", "prompt": "p", "image": shown(PNG, "image/png")}


async def test_a_wrong_key_for_pictures_is_401() -> None:
    """A 400 of xAI's for a wrong key is told as 401 when pictures are made or edited too."""
    wrong = Recorded.from_json({"code": "x", "error": "Incorrect API key provided: xa***23."}, 400)
    fields = {"model": "v/grok", "prompt": "p"}
    async with client_of("xai", ReplayUpstream({"*": wrong})) as client:
        files = {"image": ("a.png", PNG, "image/png")}
        edited = await client.post("/v1/images/edits", data=fields, files=files)
        made = await client.post("/v1/images/generations", json=fields)
    for reply in (edited, made):
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_large_forms_for_xai(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form comes whole whatever its pieces; one that is too large to be held is told so, and nothing is sent."""
    upstream = ReplayUpstream({"*": MADE})
    picture = PNG * 4000
    async with client_of("xai", upstream) as client:
        files = {"image": ("a.png", picture, "image/png")}
        reply = await client.post("/v1/images/edits", data={"model": "v/grok", "prompt": "p"}, files=files)
        assert (reply.status_code, sent(upstream)["image"]) == (200, shown(picture, "image/png"))
        upstream.requests.clear()
        monkeypatch.setattr(as_json, "MAX_BYTES", 100_000)
        reply = await client.post("/v1/images/edits", data={"model": "v/grok", "prompt": "p"}, files=files)
    assert (reply.status_code, reply.json()["error"]["code"], upstream.requests) == (413, "body_too_large", [])


async def test_overrides_of_edits() -> None:
    """What a target overrides is put into the JSON that is made of a form, as values of their own kind."""
    body = {"model": "m", "prompt": "p", "images": [{"image_url": "data:,1"}]}
    provider = deploy_row("xai")
    request = provider.prepare(exchange(provider, body, "images.edit", {"n": 3}))
    assert json.loads(request.body)["n"] == 3
    parts = [Part("n", "", b"1"), Part("prompt", "", b"p")]
    made = edits.from_form(parts, {"n": 3, "model": "m"}, Gaps("xai"), edits.XAI)
    assert json.loads(made) == {"n": 3, "prompt": "p", "model": "m"}
    with pytest.raises(InvalidRequest, match="`prompt` is not valid UTF-8"):
        edits.from_form([Part("prompt", "", b"\xff")], {}, Gaps("xai"), edits.XAI)


# BytePlus' and Recraft's edits


async def test_edits_by_byteplus() -> None:
    """A form, or JSON in OpenAI's words, is a request for pictures after those; what it has not is refused by name."""
    upstream = ReplayUpstream({"*": MADE})
    fields = {"model": "v/seedream-4-5-251128", "prompt": "Grüße", "n": "1", "size": "2K", "quality": "auto"}
    files = [("image[]", ("a.png", PNG, "image/png")), ("image[]", ("b", JPEG, "application/octet-stream"))]
    said: Json = {"model": "seedream-4-5-251128", "prompt": "Grüße", "size": "2K"}
    uris = [shown(PNG, "image/png")["url"], shown(JPEG, "image/jpeg")["url"]]
    async with client_of("byteplus", upstream) as client:
        reply = await client.post("/v1/images/edits", data=fields, files=files)
        assert (reply.status_code, reply.content, sent(upstream)) == (200, MADE.body, {**said, "image": uris})
        assert upstream.requests[-1].url == "https://ark.ap-southeast.bytepluses.com/api/v3/images/generations"
        await client.post("/v1/images/edits", json={**said, "model": "v/m", "images": [{"image_url": "data:,1"}]})
        assert sent(upstream) == {**said, "model": "m", "image": "data:,1"}
        refused = await client.post("/v1/images/edits", data={**fields, "n": "2"}, files=files)
    assert (refused.status_code, refused.json()["error"]["param"], len(upstream.requests)) == (400, "n", 2)


async def test_edits_by_recraft() -> None:
    """The form goes on with one picture and how far the edit may go from it."""
    upstream = ReplayUpstream({"*": MADE})
    fields = {"model": "v/recraftv4_1", "prompt": "winter", "strength": "0.4", "quality": "auto"}
    async with client_of("recraft", upstream) as client:
        reply = await client.post("/v1/images/edits", data=fields, files={"image[]": ("a.png", PNG, "image/png")})
    request = upstream.requests[-1]
    assert (reply.status_code, reply.content) == (200, MADE.body)
    assert request.url == "https://external.api.recraft.ai/v1/images/imageToImage"
    boundary = dict(request.headers)[b"content-type"].partition(b"boundary=")[2]
    held = [(part.name, part.content) for part in parts_of(request.body, boundary)]
    assert sorted(held) == [("image", PNG), ("model", b"recraftv4_1"), ("prompt", b"winter"), ("strength", b"0.4")]


@pytest.mark.parametrize(
    ("fields", "pictures", "param"),
    [
        ({}, ["image"], "strength"),
        ({"strength": "1"}, [], "image"),
        ({"strength": "1"}, ["image[]", "image[]"], "image"),
        ({"strength": "1"}, ["image", "mask"], "mask"),
    ],
)
async def test_what_recraft_cannot_edit(fields: dict[str, str], pictures: list[str], param: str) -> None:
    """An edit without its strength, of none or several pictures, or with a mask is a 400 that names the field."""
    upstream = ReplayUpstream({"*": MADE})
    files = [(name, ("a.png", PNG, "image/png")) for name in [*pictures, "other"]]
    async with client_of("recraft", upstream) as client:
        reply = await client.post("/v1/images/edits", data={"model": "v/m", "prompt": "p", **fields}, files=files)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, param, [])


# OpenRouter's forms


async def test_forms_of_pictures_are_references_for_openrouter() -> None:
    """The form of OpenAI's clients is a request for pictures after others, whose format is base64 whether asked for or not."""
    upstream = ReplayUpstream({"*": MADE})
    fields = {"model": "v/openai/gpt-image-1", "prompt": "Grüße", "n": "2", "size": "1024x1024"}
    usual = {"response_format": "b64_json", "stream": "false", "moderation": "auto"}
    files = [("image[]", ("a.png", PNG, "image/png")), ("image[]", ("b", JPEG, "application/octet-stream"))]
    async with client_of("openrouter", upstream) as client:
        reply = await client.post("/v1/images/edits", data=fields | usual, files=files)
    assert (reply.status_code, reply.content) == (200, MADE.body)
    assert upstream.requests[-1].url == "https://openrouter.ai/api/v1/images"
    said = {"model": "openai/gpt-image-1", "prompt": "Grüße", "n": 2, "size": "1024x1024"}
    uris = (shown(PNG, "image/png")["url"], shown(JPEG, "image/jpeg")["url"])
    assert sent(upstream) == {**said, "input_references": [referred(uri) for uri in uris]}
    ImageGenerationRequest.model_validate(sent(upstream))


def referred(url: str) -> Json:
    """A picture as OpenRouter takes it."""
    return {"type": "image_url", "image_url": {"url": url}}


async def test_pictures_in_json_for_openrouter() -> None:
    """Pictures in OpenAI's words are told in OpenRouter's, and those in its own go as they are."""
    upstream = ReplayUpstream({"*": MADE})
    own = {"input_references": [referred("data:,1")]}
    async with client_of("openrouter", upstream) as client:
        for body in ({"images": [{"image_url": "data:,1"}]}, own):
            reply = await client.post("/v1/images/edits", json={"model": "v/m", "prompt": "p", **body})
            assert (reply.status_code, sent(upstream)) == (200, {"model": "m", "prompt": "p", **own})


@pytest.mark.parametrize(
    ("path", "file", "field", "value"),
    [
        ("/v1/images/edits", "image", "response_format", "url"),
        ("/v1/images/edits", "image", "input_fidelity", "high"),
        ("/v1/audio/transcriptions", "file", "prompt", "Names: Grüße"),
        ("/v1/audio/transcriptions", "file", "response_format", "srt"),
        ("/v1/audio/transcriptions", "file", "stream", "true"),
    ],
)
async def test_what_openrouter_cannot_be_told(path: str, file: str, field: str, value: str) -> None:
    """A field that OpenRouter has not is refused by name, or left out and named."""
    upstream = ReplayUpstream({"*": MADE})
    content = (file, SOUND, "audio/wav") if file == "file" else (file, PNG, "image/png")
    asked: Json = {"data": {"model": "v/m", field: value}, "files": {file: content}}
    async with client_of("openrouter", upstream) as client:
        refused = await client.post(path, **asked)
        assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, field, [])
        reply = await client.post(path, headers=DROP, **asked)
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)
    assert field not in sent(upstream)


@pytest.mark.parametrize(
    ("label", "content", "kind"),
    [
        ("audio/wav", b"", "wav"),
        ("audio/mpeg; rate=1", b"", "mp3"),
        ("audio/x-m4a", b"", "m4a"),
        ("application/octet-stream", b"OggS..", "ogg"),
        ("video/mp4", b"\0\0\0\x18ftypM4A ", "m4a"),
    ],
)
async def test_sound_is_json_for_openrouter(label: str, content: bytes, kind: str) -> None:
    """A form is sent as JSON, the sound byte for byte with the name of its format, and the transcript comes back as it is."""
    answer = Recorded.from_json({"text": "Grüße", "usage": {"type": "duration", "seconds": 3}})
    upstream = ReplayUpstream({"*": answer})
    fields = {"model": "v/openai/whisper-1", "language": "de", "temperature": "0.5", "response_format": "verbose_json"}
    grains = {"timestamp_granularities[]": ["word", "segment"]}
    async with client_of("openrouter", upstream) as client:
        files = {"file": ("talk", content + SOUND, label)}
        reply = await client.post("/v1/audio/transcriptions", data=fields | grains, files=files)
    assert (reply.status_code, reply.content) == (200, answer.body)
    assert sent(upstream) == {
        "model": "openai/whisper-1",
        "language": "de",
        "temperature": 0.5,
        "response_format": "verbose_json",
        "timestamp_granularities": ["word", "segment"],
        "input_audio": {"data": base64.b64encode(content + SOUND).decode(), "format": kind},
    }
    STTRequest.model_validate(sent(upstream))


@pytest.mark.parametrize(
    ("fields", "label", "param"),
    [({}, "application/octet-stream", "file"), ({"temperature": "warm"}, "audio/wav", "temperature")],
)
async def test_sound_that_openrouter_cannot_be_sent(fields: Json, label: str, param: str) -> None:
    """A file that nothing tells the format of is refused, and so is a number that is none; nothing is sent."""
    upstream = ReplayUpstream({"*": MADE})
    async with client_of("openrouter", upstream) as client:
        files = {"file": ("talk", b"\1\2\3\4", label)}
        reply = await client.post("/v1/audio/transcriptions", data={"model": "v/m", **fields}, files=files)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, param, [])


# Groq's embeddings


async def test_groqs_embeddings() -> None:
    """Groq's SDK has embeddings in OpenAI's shape; a request for them goes out as it came."""
    provider = deploy_row("groq")
    body = b'{"model": "m",  "input": ["a", "b"], "encoding_format": "float"}'
    request = provider.prepare(exchange(provider, body, "embeddings"))
    assert (request.url, request.body) == ("https://api.groq.com/openai/v1/embeddings", body)
    assert BY_NAME["embeddings"].dialect == provider.dialects["embeddings"]


# Cerebras' pictures


def test_cerebras_sees_bytes_alone() -> None:
    """Pictures by address are fetched here, since Cerebras takes only what stands in the request."""
    provider = deploy_row("cerebras")
    assert not provider.fetches(Image(url="https://a.example/1.png"))
    picture = Image(data="AAAA", media_type="image/png")
    request = ChatRequest(model="gemma-4-31b", messages=(Message("user", (Text("what is it?"), picture)),))
    assert provider.adapt(request, Gaps("cerebras")).messages == request.messages
