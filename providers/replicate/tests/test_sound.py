"""Voices and transcripts: what a model's schema makes of OpenAI's request, and what its prediction is to the client."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from providers.replicate.tests.replicate_calls import answers, deploy, error_of, pieces_of
from providers.replicate.tests.replicate_wire import Json, described, inputs, prediction

from headgate.builtin import Core
from headgate.dialects import Gaps
from headgate.errors import InvalidRequest, ProviderFailed, UnsupportedField
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.forms import Part, form_of
from headgate.operations import SPEECH, TRANSCRIPTIONS, Operation
from headgate.testing import Recorded, ReplayUpstream
from headgate.upload import Upload
from headgate_replicate import sound

TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
KOKORO = described(text=TEXT, voice={"enum": ["af_bella", "am_adam"]}, speed=NUMBER)
MINIMAX = described(text=TEXT, voice_id=TEXT, speed=NUMBER, emotion=TEXT, audio_format={"enum": ["mp3", "wav", "flac"]})
GUIDED = described(prompt=TEXT, voice=TEXT)
GPT = described(audio_file=TEXT, language=TEXT, prompt=TEXT, temperature=NUMBER)
WHISPER = described(
    audio=TEXT,
    language={"enum": ["auto", "de"]},
    initial_prompt=TEXT,
    temperature=NUMBER,
    translate={"type": "boolean"},
)
DIARIZER = described(file=TEXT, file_url=TEXT, num_speakers={"type": "integer"})
URL = "https://replicate.delivery/xezq/1.mp3"
BYTES = b"ID3\x04\x00"
FILE = Part("file", "audio/mpeg", BYTES)
HEARD = f"data:audio/mpeg;base64,{b64encode(BYTES).decode()}"


def spoken(model: Json, gaps: Gaps | None = None, **members: Any) -> Json:
    """The input that is sent for a request of a voice."""
    body = json.dumps({"model": "o/n", "input": "Grüße", **members}).encode()
    told: Json = json.loads(sound.encode_speech(body, "", inputs(model), gaps or Gaps("replicate")))
    return told["input"]


def heard(model: Json, *parts: Part, gaps: Gaps | None = None, values: Mapping[str, Any] | None = None) -> Json:
    """The input that is sent for a form."""
    model_part = Part("model", "", b"o/n")
    body = sound.encode_transcription((model_part, *parts), values or {}, "", inputs(model), gaps or Gaps("replicate"))
    told: Json = json.loads(body)
    return told["input"]


async def call(
    upstream: ReplayUpstream, operation: Operation, parts: tuple[Part, ...] = (FILE,), model: str = "o/n"
) -> Reply:
    """A client's reply."""
    provider = deploy(upstream)
    dialects = {dialect.name: dialect for dialect in Core().dialects()}
    kind = b"multipart/form-data; boundary=b" if operation.is_form else b"application/json"
    ex = Exchange(operation, {b"content-type": kind}, request_id="r", trace_id="t", dialect=dialects[operation.dialect])
    if operation.is_form:
        pieces = [form_of((Part("model", "", b"o/n"), *parts), b"b"), b""]

        async def pull() -> bytes:
            return pieces.pop(0)

        ex.upload = Upload(pull, lambda _: None, kind, len(pieces[0]), b"b")
        await ex.upload.find_model(1000)
    else:
        ex.body = json.dumps({"model": model, "input": "hello"}).encode()
    ex.model, ex.principal = model, Principal("k")
    ex.attempt = Attempt(Target(deployment="main"), provider, model, 0.0)
    ex.attempt.operation = operation.name
    try:
        return await provider.call(ex)
    finally:
        await provider.predictions.settled()


def made(output: object) -> Recorded:
    return Recorded.from_json(prediction(output=output), 201)


# voices


@pytest.mark.parametrize(
    ("model", "members", "wanted"),
    [
        (KOKORO, {"voice": "am_adam", "speed": 1.5}, {"text": "Grüße", "voice": "am_adam", "speed": 1.5}),
        (
            MINIMAX,
            {"voice": "Wise_Woman", "response_format": "wav", "emotion": "happy"},
            {"text": "Grüße", "voice_id": "Wise_Woman", "audio_format": "wav", "emotion": "happy"},
        ),
        (GUIDED, {"voice": "calm", "speed": 1, "stream_format": "audio"}, {"prompt": "Grüße", "voice": "calm"}),
        (GUIDED, {"voice": None, "instructions": None}, {"prompt": "Grüße"}),
    ],
)
def test_a_voice_by_the_schema(model: Json, members: Json, wanted: Json) -> None:
    """Text, voice, speed and format go where the model takes them."""
    assert spoken(model, **members) == wanted


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (KOKORO, "voice", "alloy"),
        (MINIMAX, "voice", {"id": "v"}),
        (MINIMAX, "response_format", "opus"),
        (KOKORO, "response_format", "mp3"),
        (GUIDED, "speed", 2),
        (KOKORO, "instructions", "calmly"),
        (KOKORO, "stream_format", "sse"),
        (MINIMAX, "text", "more"),
    ],
)
def test_what_a_voice_has_no_input_for(model: Json, field: str, value: object) -> None:
    """Such a wish is refused by name, or left out and named."""
    wish: Json = {field: value}
    with pytest.raises(UnsupportedField) as caught:
        spoken(model, **wish)
    assert caught.value.param == field
    gaps = Gaps("replicate", "drop")
    assert (list(spoken(model, gaps, **wish).values()), gaps.dropped) == (["Grüße"], [field])


async def test_speech() -> None:
    """The client gets the file that the prediction names, which is fetched without the key."""
    upstream = answers(KOKORO, begin=made(URL))
    upstream.answer("/xezq/1.mp3", Recorded(headers=(("content-type", "audio/mpeg"),), body=BYTES))
    reply = await call(upstream, SPEECH)
    assert (reply.status, dict(reply.headers)[b"content-type"]) == (200, b"audio/mpeg")
    assert b"".join(await pieces_of(reply)) == BYTES
    schema, begun, fetched = upstream.requests
    assert (schema.method, begun.url) == ("GET", "https://api.replicate.com/v1/models/o/n/predictions")
    assert json.loads(begun.body) == {"input": {"text": "hello"}}
    assert (fetched.method, fetched.url, fetched.headers, fetched.credential) == ("GET", URL, (), None)


@pytest.mark.parametrize("output", [None, [], "no address", "http://replicate.delivery/1", [URL, URL], {"audio": URL}])
async def test_no_file_of_sound(output: object) -> None:
    """An output that is no address of one file is the provider's failure, and nothing is fetched."""
    upstream = answers(KOKORO, begin=made(output))
    with pytest.raises(ProviderFailed, match="no file of sound") as caught:
        await call(upstream, SPEECH)
    assert (caught.value.provider, len(upstream.requests)) == ("replicate", 2)


async def test_a_file_that_is_gone() -> None:
    """A file that its storage does not have is the provider's failure."""
    upstream = answers(KOKORO, begin=made([URL]))
    upstream.answer("/xezq/1.mp3", Recorded(status=404))
    with pytest.raises(ProviderFailed, match="status 404") as caught:
        await call(upstream, SPEECH)
    assert caught.value.provider == "replicate"


# transcripts


@pytest.mark.parametrize(
    ("model", "fields", "wanted", "dropped"),
    [
        (
            GPT,
            {"language": "en", "prompt": "names", "temperature": "0.5", "response_format": "json", "stream": "false"},
            {"audio_file": HEARD, "language": "en", "prompt": "names", "temperature": 0.5},
            [],
        ),
        (
            WHISPER,
            {"language": "de", "prompt": "names", "translate": "true"},
            {"audio": HEARD, "language": "de", "initial_prompt": "names", "translate": True},
            [],
        ),
        (WHISPER, {"language": "xx"}, {"audio": HEARD}, ["language"]),
        (DIARIZER, {"language": "de", "num_speakers": "3"}, {"file": HEARD, "num_speakers": 3}, ["language"]),
    ],
)
def test_a_form_by_the_schema(model: Json, fields: dict[str, str], wanted: Json, dropped: list[str]) -> None:
    """The sound goes as a data URI where the model takes it, and a field as the model's schema types it."""
    gaps = Gaps("replicate")
    parts = [Part(name, "", value.encode()) for name, value in fields.items()]
    assert (heard(model, *parts, FILE, gaps=gaps), gaps.dropped) == (wanted, dropped)


@pytest.mark.parametrize(
    ("name", "value"),
    [("response_format", "srt"), ("stream", "true"), ("timestamp_granularities[]", "word"), ("prompt", "names")],
)
def test_what_no_transcript_has(name: str, value: str) -> None:
    """A field that the model has no input for is refused by name."""
    with pytest.raises(UnsupportedField) as caught:
        heard(DIARIZER, FILE, Part(name, "", value.encode()))
    assert caught.value.param == name


def test_overrides() -> None:
    """What a target overrides takes the place of the client's field."""
    parts = (FILE, Part("temperature", "", b"1"))
    assert heard(GPT, *parts, values={"temperature": 0}) == {"audio_file": HEARD, "temperature": 0}
    with pytest.raises(UnsupportedField, match="beam_size"):
        heard(GPT, FILE, values={"beam_size": 5})


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (Part("file", "application/octet-stream", b"RIFF"), "audio/wav"),
        (Part("file", "video/webm; codecs=opus", b"?"), "video/webm"),
        (Part("file", "", b"?"), "application/octet-stream"),
    ],
)
def test_the_kind_of_sound(part: Part, kind: str) -> None:
    """A file is named by its label if that says what sound it is, else by how it begins."""
    assert heard(GPT, part) == {"audio_file": f"data:{kind};base64,{b64encode(part.content).decode()}"}


@pytest.mark.parametrize(
    ("parts", "param"), [((), "file"), ((FILE, Part("temperature", "", b"warm")), "temperature"),
                         ((FILE, Part("prompt", "", b"\xff")), "prompt")],
)  # fmt: skip
def test_bad_forms(parts: tuple[Part, ...], param: str) -> None:
    """A form without a file, and a value of another type, are the client's mistakes."""
    with pytest.raises(InvalidRequest) as caught:
        heard(GPT, *parts)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "output",
    ["Grüße", ["Grü", "ße"], {"text": "Grüße", "chunks": []}, {"transcription": "Grüße", "detected_language": "de"}],
)
async def test_transcripts(output: object) -> None:
    """The prediction's text is OpenAI's transcript, in whichever shape the model tells it."""
    upstream = answers(GPT, begin=made(output))
    reply = await call(upstream, TRANSCRIPTIONS)
    assert (reply.status, json.loads(reply.body)) == (200, {"text": "Grüße"})
    schema, begun = upstream.requests
    assert (schema.body, schema.pieces, begun.pieces) == (b"", None, None)
    assert dict(begun.headers)[b"content-type"] == b"application/json"
    assert json.loads(begun.body) == {"input": {"audio_file": HEARD}}


@pytest.mark.parametrize("output", [None, 7, [None], {"segments": []}])
async def test_no_text(output: object) -> None:
    """An output without a text is the provider's failure."""
    with pytest.raises(ProviderFailed, match="no text"):
        await call(answers(GPT, begin=made(output)), TRANSCRIPTIONS)


async def test_the_wrong_model() -> None:
    """A model that takes no text to say, or no sound, is refused by the inputs it lacks."""
    with pytest.raises(InvalidRequest, match="takes no `text` or `prompt`"):
        await call(answers(DIARIZER), SPEECH)
    with pytest.raises(InvalidRequest, match="takes no `audio` or `audio_file` or `file`"):
        await call(answers(KOKORO), TRANSCRIPTIONS)


@pytest.mark.parametrize(("operation", "model"), [(SPEECH, KOKORO), (TRANSCRIPTIONS, GPT)])
async def test_a_prediction_that_failed(operation: Operation, model: Json) -> None:
    """Its words are an error in OpenAI's shape."""
    failed = Recorded.from_json(prediction("failed", error="too long"), 201)
    reply = await call(answers(model, begin=failed), operation)
    assert (reply.status, "too long" in error_of(reply)["message"]) == (502, True)
