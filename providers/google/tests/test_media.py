"""Edits of pictures, voices and transcripts of Gemini's models for clients of OpenAI's: what is asked, and what comes back."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from google.genai.types import Content, GenerateContentConfig
from openai.types import ImagesResponse
from openai.types.audio import TranscriptionDiarized, TranscriptionVerbose
from typing_extensions import override

from headgate.chat import Usage
from headgate.exchange import Exchange
from headgate.hooks import Hooks, hookimpl
from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_google import Google
from headgate_vertex import Vertex

Json = dict[str, Any]
Files = list[tuple[str, tuple[str, bytes, str]]]

BASE = "https://generativelanguage.googleapis.com/v1beta"
PLACE = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google"
PROVIDERS = {
    "g": {"provider": "google", "api_key": "AIza-some-key"},
    "v": {"provider": "vertex", "project": "p", "location": "global", "api_key": "AIza-some-key"},
}
DROP = {"x-headgate-unsupported": "drop"}
PNG = b"\x89PNG\r\n\x1a\n\x00"
PNGS: Files = [("image", ("a.png", PNG, "image/png"))]
FORM: Files = [("user", ("u", b"u", "text/plain"))]
"""A form without a picture."""
HEARING = "gemini-3.5-transcribe"
SAMPLES = b"\x01\x00\x02\x00\xff\x7f"
USED: Json = {
    "promptTokenCount": 9,
    "candidatesTokenCount": 20,
    "totalTokenCount": 29,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2}, {"modality": "IMAGE", "tokenCount": 7}],
}


def said(*parts: Json, end: str = "STOP", used: Json = USED) -> Json:
    """An answer of `generateContent`."""
    return {
        "candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": end}],
        "usageMetadata": used,
    }


def inline(kind: str, data: bytes) -> Json:
    """A part with bytes."""
    return {"inlineData": {"mimeType": kind, "data": b64encode(data).decode()}}


def wav(samples: bytes, rate: int = 24_000, bits: int = 16, size: int | None = None) -> bytes:
    """A file of sound with a part that is none of its samples."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, bits)
    other = struct.pack("<4sI", b"LIST", 3) + b"abc\x00"
    data = struct.pack("<4sI", b"data", len(samples) if size is None else size) + samples
    return struct.pack("<4sI4s", b"RIFF", 4 + len(form + other + data), b"WAVE") + form + other + data


async def asked(
    path: str,
    answer: Json,
    *,
    status: int = 200,
    body: Json | None = None,
    form: Mapping[str, Any] | None = None,
    files: Files | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what Google was asked."""
    upstream = ReplayUpstream({"*": Recorded.from_json(answer, status)})
    async with gateway(Google, Vertex, providers=PROVIDERS, upstream=upstream) as client:
        if body is not None:
            reply = await client.post(path, json=body, headers=dict(headers or {}))
        else:
            reply = await client.post(path, data=dict(form or {}), files=files, headers=dict(headers or {}))
        return reply, upstream


def sent(upstream: ReplayUpstream) -> Json:
    """What Google was asked, which its own package knows."""
    request = upstream.requests[-1]
    assert dict(request.headers)[b"content-type"] == b"application/json"
    body: Json = json.loads(request.body)
    for content in body["contents"]:
        Content.model_validate(content)
    GenerateContentConfig.model_validate(body.get("generationConfig", {}))
    return body


# pictures


async def edited(
    answer: Json, *, model: str = "g/gemini-2.5-flash-image", files: Files | None = None, **form: str
) -> tuple[Any, ReplayUpstream]:
    """An edit of a picture."""
    return await asked(
        "/v1/images/edits",
        answer,
        form={"model": model, "prompt": "a hat", **form},
        files=files or PNGS,
    )


@pytest.mark.parametrize("vendor", ["g", "v"])
async def test_a_picture_is_edited(vendor: str) -> None:
    """Pictures stand behind the prompt, labelled or known by how they begin; the one that is made comes in OpenAI's shape."""
    files: Files = [
        ("image[]", ("a.png", PNG, "application/octet-stream")),
        ("image[]", ("b.webp", b"RIFFxxxxWEBP", "image/webp")),
    ]
    reply, upstream = await edited(
        said({"text": "Here."}, inline("image/png", b"made")),
        model=f"{vendor}/gemini-2.5-flash-image",
        files=files,
        size="1536x1024",
        n="1",
        input_fidelity="low",
    )
    told = ImagesResponse.model_validate(reply.json())
    assert told.data is not None
    assert [each.b64_json for each in told.data] == [b64encode(b"made").decode()]
    assert told.usage is not None
    assert told.usage.input_tokens_details.model_dump() == {"image_tokens": 7, "text_tokens": 2}
    assert (told.usage.total_tokens, reply.headers["x-headgate-dropped"]) == (29, "size")
    assert sent(upstream) == {
        "contents": [
            {
                "role": "user",
                "parts": [{"text": "a hat"}, inline("image/png", PNG), inline("image/webp", b"RIFFxxxxWEBP")],
            }
        ],
        "generationConfig": {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "3:2"}},
    }
    base = BASE if vendor == "g" else PLACE
    assert upstream.requests[-1].url == f"{base}/models/gemini-2.5-flash-image:generateContent"


async def test_pictures_in_json() -> None:
    """An edit that comes as JSON has its pictures in data URIs; an address is refused by name."""
    body: Json = {"model": "g/gemini-2.5-flash-image", "prompt": "a hat"}
    uri = f"data:image/png;base64,{b64encode(PNG).decode()}"
    _, upstream = await asked(
        "/v1/images/edits", said(inline("image/png", b"made")), body={**body, "images": [{"image_url": uri}]}
    )
    assert sent(upstream)["contents"][0]["parts"] == [{"text": "a hat"}, inline("image/png", PNG)]
    refused, upstream = await asked(
        "/v1/images/edits", {}, body={**body, "images": [{"image_url": "https://a.example/b.png"}]}
    )
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, "images", [])


@pytest.mark.parametrize(
    ("vendor", "field", "value"),
    [
        ("g", "n", "2"),
        ("g", "quality", "high"),
        ("g", "input_fidelity", "high"),
        ("g", "background", "transparent"),
        ("g", "stream", "true"),
        ("g", "strength", "0.5"),
        ("g", "output_format", "png"),
        ("g", "output_compression", "80"),
        ("v", "output_format", "webp"),
    ],
)
async def test_what_an_edit_cannot_be_told(vendor: str, field: str, value: str) -> None:
    """A wish that there are no words for is refused by name, or left out and named."""
    model = f"{vendor}/gemini-2.5-flash-image"
    form: Json = {field: value}
    refused, upstream = await edited({}, model=model, **form)
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, field, [])
    reply, _ = await asked(
        "/v1/images/edits",
        said(inline("image/png", b"made")),
        form={"model": model, "prompt": "a hat", field: value},
        files=PNGS,
        headers=DROP,
    )
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)


async def test_the_form_of_an_edit_on_vertex() -> None:
    """Vertex AI can be told the form of pictures, the Gemini API cannot."""
    _, upstream = await edited(
        said(inline("image/jpeg", b"made")),
        model="v/gemini-2.5-flash-image",
        output_format="jpeg",
        output_compression="80",
    )
    config = {"imageOutputOptions": {"mimeType": "image/jpeg", "compressionQuality": 80}}
    assert sent(upstream)["generationConfig"]["imageConfig"] == config


async def test_edits_that_cannot_be() -> None:
    """A mask and a form without a picture are refused by name; so is a number that is none."""
    mask: Files = [*PNGS, ("mask", ("m.png", PNG, "image/png"))]
    asking: list[tuple[Files, Json, str]] = [
        (mask, {}, "mask"),
        (FORM, {"size": "auto"}, "image"),
        (PNGS, {"n": "two"}, "n"),
    ]
    for files, form, param in asking:
        refused, upstream = await edited({}, files=files, **form)
        assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, param, [])


@pytest.mark.parametrize(("size", "ratio"), [("1024x1280", "4:5"), ("1280x1024", "5:4"), ("2016x864", "21:9")])
async def test_proportions(size: str, ratio: str) -> None:
    """A size is told by its proportions, in the words that Google has for them."""
    _, upstream = await edited(said(inline("image/png", b"made")), size=size)
    assert sent(upstream)["generationConfig"]["imageConfig"] == {"aspectRatio": ratio}


async def test_what_a_picture_used() -> None:
    """Kinds of tokens that the vendor leaves out are none; when it was asked for is a time where that is told."""
    used = {**USED, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}]}
    answer = {**said(inline("image/png", b"made"), used=used), "createTime": "2026-11-22T07:00:00.123456Z"}
    reply, _ = await asked("/v1/images/generations", answer, body={"model": "v/gemini-3-pro-image", "prompt": "a hat"})
    told = ImagesResponse.model_validate(reply.json())
    assert told.usage is not None
    assert told.usage.input_tokens_details.model_dump() == {"image_tokens": 0, "text_tokens": 9}
    assert told.created == 1_795_330_800


@pytest.mark.parametrize("vendor", ["g", "v"])
@pytest.mark.parametrize("path", ["/v1/images/edits", "/v1/audio/transcriptions", "/v1/audio/speech"])
async def test_errors_in_the_envelope_of_openai(vendor: str, path: str) -> None:
    """Google's own error keeps its status and its words; its number and its status are told as OpenAI's clients read them."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}]
    told = {"error": {"code": 429, "message": "exhausted", "status": "RESOURCE_EXHAUSTED", "details": details}}
    model = {"edits": "gemini-2.5-flash-image", "speech": "gemini-3.8-flash-tts"}.get(path.rpartition("/")[2], HEARING)
    members = {"model": f"{vendor}/{model}", "prompt": "a hat"} if "images" in path else {"model": f"{vendor}/{model}"}
    if path.endswith("speech"):
        reply, _ = await asked(path, told, status=429, body={**members, "input": "Hello", "voice": "Kore"})
    else:
        reply, _ = await asked(path, told, status=429, form=members, files=PNGS if "images" in path else SOUND)
    error = reply.json()["error"]
    assert (reply.status_code, error["message"], error["code"]) == (429, "exhausted", "RESOURCE_EXHAUSTED")
    assert (error["type"], "status" in error, reply.headers["retry-after"]) == ("rate_limit_error", False, "17")


async def test_no_edit_is_made() -> None:
    """What is refused for its content is the client's error; Google's own keeps its status and message."""
    reply, _ = await edited({"candidates": [{"finishReason": "IMAGE_SAFETY"}]})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_policy_violation")
    reply, _ = await asked(
        "/v1/images/edits",
        {"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}},
        status=404,
        form={"model": "g/gemini-9", "prompt": "a"},
        files=PNGS,
    )
    assert (reply.status_code, reply.json()["error"]["message"]) == (404, "no such model")


# voices


async def spoken(answer: Json, model: str = "g/gemini-3.8-flash-tts", **body: Any) -> tuple[Any, ReplayUpstream]:
    """A text that is to be said."""
    return await asked("/v1/audio/speech", answer, body={"model": model, "input": "Hello", "voice": "Kore", **body})


@pytest.mark.parametrize("vendor", ["g", "v"])
@pytest.mark.parametrize(
    ("model", "part", "voice"),
    [
        (
            "gemini-3.8-flash-tts",
            {"text": "Hello", "speechMetadata": {"style": "cheerfully"}},
            {"voice": "Kore"},
        ),
        (
            "gemini-2.5-flash-preview-tts",
            {"text": "cheerfully: Hello"},
            {"prebuiltVoiceConfig": {"voiceName": "Kore"}},
        ),
    ],
)
async def test_a_text_is_said(vendor: str, model: str, part: Json, voice: Json) -> None:
    """How it is said is told as the model reads it, and samples of the answer are a file of sound."""
    answer = said(inline("audio/L16;codec=pcm;rate=24000", SAMPLES[:2]), inline("audio/L16;rate=24000", SAMPLES[2:]))
    reply, upstream = await spoken(answer, f"{vendor}/{model}", instructions="cheerfully", speed=1)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "audio/wav")
    size = len(SAMPLES)
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, 24_000, 48_000, 2, 16)
    assert reply.content == head + struct.pack("<4sI", b"data", size) + SAMPLES
    assert sent(upstream) == {
        "contents": [{"role": "user", "parts": [part]}],
        "generationConfig": {"responseModalities": ["AUDIO"], "speechConfig": {"voiceConfig": voice}},
    }
    base = BASE if vendor == "g" else PLACE
    assert upstream.requests[-1].url == f"{base}/models/{model}:generateContent"


@pytest.mark.parametrize(
    "answer",
    [
        inline("audio/wav", wav(SAMPLES)),
        inline("audio/wav", wav(SAMPLES, size=0xFFFFFFFF)),
        inline("audio/L16", SAMPLES),
    ],
)
async def test_plain_samples(answer: Json) -> None:
    """`pcm` are the samples alone, whatever form they come in."""
    reply, _ = await spoken(said(answer), response_format="pcm")
    assert (reply.headers["content-type"], reply.content) == ("audio/pcm", SAMPLES)


async def test_a_voice_of_ones_own() -> None:
    """A voice by its id is told so, and no voice is the model's own choice."""
    answer = said(inline("audio/wav", wav(SAMPLES)))
    _, upstream = await spoken(answer, voice={"id": "voice_abc"})
    assert sent(upstream)["generationConfig"]["speechConfig"] == {"voiceConfig": {"voice": "voice_abc"}}
    _, upstream = await spoken(answer, voice=None)
    assert "speechConfig" not in sent(upstream)["generationConfig"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("response_format", "mp3"),
        ("response_format", ["wav"]),
        ("speed", 1.5),
        ("stream_format", "sse"),
        ("stream", True),
        ("input", ["Hello"]),
        ("instructions", {"style": "calm"}),
        ("voice", {"id": 5}),
    ],
)
async def test_what_a_voice_cannot_be_told(field: str, value: object) -> None:
    """A wish that there are no words for is refused by name, and so is a member of another type."""
    body: Json = {field: value}
    refused, upstream = await spoken({}, **body)
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, field, [])


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (said(end="PROHIBITED_CONTENT"), 400),
        (said({"text": "no"}), 502),
        (said(inline("audio/mpeg", b"ID3")), 502),
        (said(inline("audio/wav", wav(SAMPLES, bits=8))), 502),
        (said(inline("audio/wav", b"RIFF\x00\x00\x00\x00WAVE")), 502),
        (said({"inlineData": {"mimeType": "audio/L16", "data": "?"}}), 502),
    ],
)
async def test_no_sound(answer: Json, status: int) -> None:
    """A refusal is the client's error, sound that cannot be told the provider's."""
    reply, _ = await spoken(answer)
    assert reply.status_code == status


# transcripts

SOUND: Files = [("file", ("talk.mp3", b"ID3\x00", "audio/mpeg"))]
HEARD: Json = {
    "promptTokenCount": 30,
    "candidatesTokenCount": 4,
    "totalTokenCount": 34,
    "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}],
}
TURNS = (
    {
        "audioTranscription": {
            "text": "Hello there.",
            "speakerLabel": "spk_1",
            "languageCode": "en-US",
            "words": [
                {"word": "Hello", "endOffset": "0.400s"},
                {"word": "there.", "startOffset": "0.400s", "endOffset": "1s"},
            ],
        }
    },
    {
        "audioTranscription": {
            "text": "Hi.",
            "speakerLabel": "spk_2",
            "words": [{"word": "Hi.", "startOffset": "1.5s", "endOffset": "1.800s"}],
        }
    },
)


async def heard(answer: Json, model: str = "g/gemini-3.5-transcribe", **form: Any) -> tuple[Any, ReplayUpstream]:
    """A transcript of sound."""
    return await asked("/v1/audio/transcriptions", answer, form={"model": model, **form}, files=SOUND)


@pytest.mark.parametrize("vendor", ["g", "v"])
@pytest.mark.parametrize("part", [{"text": "Hello there."}, {"audioTranscription": {"text": "Hello there."}}])
async def test_sound_is_written_down(vendor: str, part: Json) -> None:
    """Sound is content, a language a hint, and the text of the answer a transcript with its tokens."""
    model = f"{vendor}/gemini-3.5-transcribe"
    reply, upstream = await heard(
        said(part, used=HEARD), model, language="en", temperature="0", customVocabulary=["Cortado", "Macchiato"]
    )
    usage = {"input_tokens": 30, "output_tokens": 4, "total_tokens": 34, "input_token_details": {"audio_tokens": 30}}
    assert reply.json() == {"text": "Hello there.", "usage": {"type": "tokens", **usage}}
    told = {"languageCodes": ["en"], "customVocabulary": ["Cortado", "Macchiato"]}
    assert sent(upstream) == {
        "contents": [{"role": "user", "parts": [inline("audio/mp3", b"ID3\x00")]}],
        "generationConfig": {"audioTranscriptionConfig": told},
    }
    base = BASE if vendor == "g" else PLACE
    assert upstream.requests[-1].url == f"{base}/models/gemini-3.5-transcribe:generateContent"


async def test_nothing_asked_and_nothing_heard() -> None:
    """Sound alone needs no configuration, and silence is an empty transcript."""
    reply, upstream = await heard(said(used={}))
    assert (reply.json()["text"], "generationConfig" in sent(upstream)) == ("", False)


async def test_a_plain_transcript() -> None:
    """`text` is the transcript itself; turns of several speakers follow each other."""
    reply, _ = await heard(said(*TURNS), response_format="text")
    assert (reply.headers["content-type"], reply.text) == ("text/plain; charset=utf-8", "Hello there. Hi.")


async def test_words_and_their_times() -> None:
    """`verbose_json` with words has their times; one that begins at once is told no beginning by the vendor."""
    form: Json = {"response_format": "verbose_json", "timestamp_granularities[]": ["word"]}
    reply, upstream = await heard(said(*TURNS), **form)
    body: Json = reply.json()
    assert body.pop("usage")["total_tokens"] == 29  # in tokens, which OpenAI tells of other forms alone
    told = TranscriptionVerbose.model_validate(body)
    assert (told.text, told.language, told.duration) == ("Hello there. Hi.", "en-US", 1.8)
    assert told.words is not None
    assert [(each.word, each.start, each.end) for each in told.words] == [
        ("Hello", 0, 0.4),
        ("there.", 0.4, 1),
        ("Hi.", 1.5, 1.8),
    ]
    assert sent(upstream)["generationConfig"]["audioTranscriptionConfig"] == {"wordTimestamp": True}


async def test_speakers_and_their_turns() -> None:
    """`diarized_json` has the turns of speakers, with the times of their words."""
    reply, upstream = await heard(said(*TURNS), response_format="diarized_json", chunking_strategy="auto")
    told = TranscriptionDiarized.model_validate(reply.json())
    assert [(each.speaker, each.start, each.end, each.text) for each in told.segments] == [
        ("spk_1", 0, 1, "Hello there."),
        ("spk_2", 1.5, 1.8, "Hi."),
    ]
    config = {"wordTimestamp": True, "diarization": True}
    assert sent(upstream)["generationConfig"]["audioTranscriptionConfig"] == config


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"prompt": "Cortado"}, "prompt"),
        ({"temperature": "0.7"}, "temperature"),
        ({"response_format": "srt"}, "response_format"),
        ({"response_format": "verbose_json"}, "timestamp_granularities"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities"),
        ({"include[]": "logprobs"}, "include[]"),
        ({"stream": "true"}, "stream"),
        ({"model": "g/gemini-2.5-flash"}, "model"),
    ],
)
async def test_what_a_transcript_cannot_be_told(form: Json, param: str) -> None:
    """A wish that there are no words for is refused by name, and so is a model that would answer the sound."""
    refused, upstream = await heard({}, **form)
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, param, [])


class Ledger(Hooks):
    """Keeps what exchanges used."""

    def __init__(self) -> None:
        self.used: list[Usage | None] = []

    @override
    @hookimpl
    async def record(self, ex: Exchange) -> None:
        self.used.append(ex.reply.usage if ex.reply else None)


@pytest.mark.parametrize("kind", ["json", "text"])
async def test_usage_of_a_transcript(kind: str) -> None:
    """What was used is recorded whatever the form, with the tokens that were thought, of which OpenAI's shape tells nothing."""
    ledger, answer = Ledger(), said(*TURNS, used={**HEARD, "thoughtsTokenCount": 3})
    upstream = ReplayUpstream({"*": Recorded.from_json(answer)})
    async with gateway(ledger, Google, providers={"g": PROVIDERS["g"]}, upstream=upstream) as client:
        form = {"model": f"g/{HEARING}", "response_format": kind}
        assert (await client.post("/v1/audio/transcriptions", data=form, files=SOUND)).status_code == 200
    (used,) = ledger.used
    assert used is not None
    assert (used.prompt, used.completion, used.reasoning) == (30, 7, 3)


async def test_no_transcript() -> None:
    """A refusal is the client's error, and a form without sound is refused before anything is sent."""
    reply, _ = await heard({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_policy_violation")
    refused, upstream = await asked(
        "/v1/audio/transcriptions", {}, form={"model": "g/gemini-3.5-transcribe"}, files=[("x", ("a", b"b", "c/d"))]
    )
    assert (refused.status_code, upstream.requests) == (400, [])


@pytest.mark.parametrize("model", ["v/claude-sonnet-4-5", "v/meta/llama-4-scout-maas"])
async def test_other_models_of_vertex(model: str) -> None:
    """Models of others on Vertex AI neither draw nor speak nor listen, and nothing is sent."""
    for reply, upstream in (await spoken({}, model), await heard({}, model), await edited({}, model=model)):
        assert (400 <= reply.status_code < 500, upstream.requests) == (True, [])
