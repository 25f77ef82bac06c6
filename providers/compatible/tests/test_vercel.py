"""Vercel's edits, speech and transcripts in the AI SDK's shape, for clients of OpenAI's: what is sent, and what is told."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import openai.types
import pytest
from providers.compatible.tests.asking import Json, Vendor, at, sent

AI = "https://ai-gateway.vercel.sh/v4/ai"
PNG = b"\x89PNG\r\n\x1a\n--"
DATA = b64encode(PNG).decode()
WAV = b"RIFF\x00\x00\x00\x00WAVE\r\n--"
DROP = {"x-headgate-unsupported": "drop"}


async def form(vendor: Vendor, path: str, *parts: Any, **headers: str) -> tuple[int, Json]:
    """What the gateway answers to a form of these parts."""
    reply = await vendor.client.post(path, files=list(parts), headers=headers)
    vendor.dropped = reply.headers.get("x-headgate-dropped")
    return reply.status_code, reply.json()


def fields(**values: str) -> list[Any]:
    return [(name, (None, value)) for name, value in values.items()]


async def test_speech() -> None:
    """Words of OpenAI's become those of the AI SDK; the model stands in a header, and the sound comes out of its JSON."""
    async with at("vercel") as vendor:
        vendor.answer({"audio": b64encode(b"ID3\x00").decode(), "warnings": []})
        asked = {"model": "mine/openai/tts-1", "input": "Grüße", "voice": "alloy", "speed": 2, "instructions": "slowly"}
        reply = await vendor.client.post("/v1/audio/speech", json={**asked, "response_format": "wav"})
        [call] = vendor.calls
    assert sent(call) == (
        "POST",
        f"{AI}/speech-model",
        {"text": "Grüße", "voice": "alloy", "outputFormat": "wav", "speed": 2, "instructions": "slowly"},
    )
    headers = dict(call.headers)
    assert {name: headers[name] for name in headers if name.startswith(b"ai-")} == {
        b"ai-gateway-protocol-version": b"0.0.1",
        b"ai-gateway-auth-method": b"api-key",
        b"ai-speech-model-specification-version": b"4",
        b"ai-model-id": b"openai/tts-1",
    }
    assert (reply.status_code, reply.content, reply.headers["content-type"]) == (200, b"ID3\x00", "audio/wav")


@pytest.mark.parametrize(
    ("members", "field"),
    [({"stream_format": "sse"}, "stream_format"), ({"response_format": "alaw"}, "response_format")],
)
async def test_speech_that_cannot_be_asked(members: Json, field: str) -> None:
    """It is refused by name; let drop, the rest is sent and the reply names it."""
    asked = {"model": "mine/openai/tts-1", "input": "Hi", **members}
    async with at("vercel") as vendor:
        vendor.answer({"audio": "SUQz"})
        status, told = await vendor.ask("POST", "/v1/audio/speech", asked)
        assert (status, told["error"]["param"], vendor.calls) == (400, field, [])
        reply = await vendor.client.post("/v1/audio/speech", json=asked, headers=DROP)
        assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)
        assert sent(vendor.calls[0])[2] == {"text": "Hi", "outputFormat": "mp3"}


@pytest.mark.parametrize("said", [{}, {"audio": 5}, {"audio": "%"}])
async def test_answers_without_sound(said: Json) -> None:
    """They are the vendor's mistake, and told as one."""
    async with at("vercel") as vendor:
        vendor.answer(said)
        status, told = await vendor.ask("POST", "/v1/audio/speech", {"model": "mine/openai/tts-1", "input": "Hi"})
    assert (status, told["error"]["code"]) == (502, "upstream_bad_reply")


async def test_a_model_that_no_header_can_hold() -> None:
    """It is refused before anything is sent."""
    async with at("vercel") as vendor:
        status, told = await vendor.ask("POST", "/v1/audio/speech", {"model": "mine/a\r\nb", "input": "Hi"})
        assert (status, told["error"]["param"], vendor.calls) == (400, "model", [])


async def test_a_transcript() -> None:
    """Sound is base64 in JSON; what OpenAI's models can be told stands among the options of their provider."""
    async with at("vercel") as vendor:
        vendor.answer({"text": "heard", "segments": [], "language": "de", "durationInSeconds": 1})
        more = fields(model="mine/openai/whisper-1", language="de", prompt="names", temperature="0.5")
        status, told = await form(vendor, "/v1/audio/transcriptions", *more, ("file", ("a.wav", WAV, "audio/wav")))
        [call] = vendor.calls
    assert (status, told, vendor.dropped) == (200, {"text": "heard"}, None)
    assert sent(call) == (
        "POST",
        f"{AI}/transcription-model",
        {
            "audio": b64encode(WAV).decode(),
            "mediaType": "audio/wav",
            "providerOptions": {"openai": {"language": "de", "prompt": "names", "temperature": 0.5}},
        },
    )
    headers = dict(call.headers)
    assert (headers[b"ai-model-id"], headers[b"ai-transcription-model-specification-version"]) == (
        b"openai/whisper-1",
        b"4",
    )


@pytest.mark.parametrize(
    ("kind", "told"), [("audio/mpeg", "audio/mpeg"), ("audio/x-m4a", "audio/mp4"), ("", "audio/wav")]
)
async def test_types_of_sound(kind: str, told: str) -> None:
    """Types are those of media, whatever name a client has for them; one that is not said is told by the sound."""
    async with at("vercel") as vendor:
        vendor.answer({"text": "heard"})
        part = ("file", ("a", WAV, kind or "application/octet-stream"))
        await form(vendor, "/v1/audio/transcriptions", *fields(model="mine/xai/stt"), part)
        assert sent(vendor.calls[0])[2]["mediaType"] == told


async def test_a_verbose_transcript() -> None:
    """Language, length and moments stand where OpenAI's clients look for them."""
    segments = [
        {"text": "Guten", "startSecond": 0.5, "endSecond": 1},
        {"text": "Tag", "startSecond": 1, "endSecond": 2},
    ]
    more = [("response_format", (None, "verbose_json")), ("timestamp_granularities[]", (None, "segment"))]
    file = ("file", ("a.wav", WAV, "audio/wav"))
    async with at("vercel") as vendor:
        vendor.answer(
            {"text": "Guten Tag", "segments": segments, "language": "de", "durationInSeconds": 2.5, "words": segments}
        )
        status, told = await form(vendor, "/v1/audio/transcriptions", *fields(model="mine/openai/w"), *more, file)
        assert sent(vendor.calls[0])[2].keys() == {"audio", "mediaType"}
        vendor.answer({"text": "Guten Tag", "segments": segments[:1], "language": None, "words": None})
        _, bare = await form(vendor, "/v1/audio/transcriptions", *fields(model="mine/openai/w"), *more, file)
        vendor.answer({"text": "", "segments": []})
        _, empty = await form(vendor, "/v1/audio/transcriptions", *fields(model="mine/openai/w"), *more, file)
    assert status == 200
    assert told == {
        "task": "transcribe",
        "language": "de",
        "duration": 2.5,
        "text": "Guten Tag",
        "segments": [
            {"id": 0, "start": 0.5, "end": 1, "text": "Guten"},
            {"id": 1, "start": 1, "end": 2, "text": "Tag"},
        ],
        "words": [{"word": "Guten", "start": 0.5, "end": 1}, {"word": "Tag", "start": 1, "end": 2}],
    }
    assert (bare["language"], bare["duration"], "words" in bare) == ("", 1, False)
    assert (empty["duration"], empty["segments"]) == (0, [])


@pytest.mark.parametrize("field", ["prompt", "temperature", "response_format", "timestamp_granularities[]"])
async def test_transcripts_that_cannot_be_asked(field: str) -> None:
    """What the AI SDK has no word for is refused by name; the language only hints, and is named."""
    file = ("file", ("a.wav", WAV, "audio/wav"))
    more = fields(model="mine/xai/stt", language="de", **{field: "srt"})
    async with at("vercel") as vendor:
        vendor.answer({"text": "heard"})
        status, told = await form(vendor, "/v1/audio/transcriptions", *more, file)
        assert (status, told["error"]["param"], vendor.calls) == (400, field, [])
        status, _ = await form(vendor, "/v1/audio/transcriptions", *more, file, **DROP)
        assert (status, set((vendor.dropped or "").split(", "))) == (200, {"language", field})
        assert set(sent(vendor.calls[0])[2]) == {"audio", "mediaType"}


async def test_an_edit() -> None:
    """Pictures and mask go as base64 with their types; what comes back is in OpenAI's shape with its usage."""
    async with at("vercel") as vendor:
        usage = {"inputTokens": 5, "outputTokens": 7, "totalTokens": None}
        vendor.answer({"images": [DATA, DATA], "warnings": [{"type": "other", "message": "late"}], "usage": usage})
        pictures = [
            ("image[]", ("a.png", PNG, "image/png")),
            ("image[]", ("b", b"\xff\xd8\xff", "application/octet-stream")),
        ]
        more = fields(model="mine/bfl/flux", prompt="a cat", n="2", size="1024x512", seed="7", user="u")
        status, told = await form(vendor, "/v1/images/edits", *more, *pictures, ("mask", ("m.png", PNG, "image/png")))
        [call] = vendor.calls
    assert (status, vendor.dropped) == (200, "user")
    assert sent(call) == (
        "POST",
        f"{AI}/image-model",
        {
            "prompt": "a cat",
            "n": 2,
            "size": "1024x512",
            "seed": 7,
            "files": [
                {"type": "file", "mediaType": "image/png", "data": DATA},
                {"type": "file", "mediaType": "image/jpeg", "data": b64encode(b"\xff\xd8\xff").decode()},
            ],
            "mask": {"type": "file", "mediaType": "image/png", "data": DATA},
        },
    )
    assert dict(call.headers)[b"ai-model-id"] == b"bfl/flux"
    made = openai.types.ImagesResponse.model_validate({**told, "usage": None})
    assert [each.b64_json for each in made.data or ()] == [DATA, DATA]
    assert told["usage"] == {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    assert told["warnings"] == [{"type": "other", "message": "late"}]


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"inputTokens": 5, "outputTokens": None, "totalTokens": 9}, (5, 4, 9)),
        ({"outputTokens": 4, "totalTokens": 9}, (5, 4, 9)),
        ({"inputTokens": 5, "outputTokens": 4, "totalTokens": 10}, (5, 4, 10)),
        ({"totalTokens": 9}, (None, None, 9)),
    ],
)
async def test_usage_that_is_told_in_part(usage: Json, told: Sequence[int | None]) -> None:
    """The number that two others say is told, and no other."""
    async with at("vercel") as vendor:
        vendor.answer({"images": [DATA], "usage": usage})
        _, said = await form(
            vendor, "/v1/images/edits", *fields(model="mine/bfl/flux", prompt="a cat"), ("image", ("a.png", PNG))
        )
    assert tuple(said["usage"].get(name) for name in ("input_tokens", "output_tokens", "total_tokens")) == told


async def test_an_edit_in_json() -> None:
    """Pictures by their addresses stay such, and data URIs become files."""
    url = "https://pictures.example/1.png"
    images = [{"image_url": url}, {"image_url": f"data:image/png;base64,{DATA}"}]
    async with at("vercel") as vendor:
        vendor.answer({"images": [DATA]})
        asked = {"model": "mine/bfl/flux", "prompt": "a cat", "images": images, "size": "auto"}
        status, told = await vendor.ask("POST", "/v1/images/edits", asked)
        assert sent(vendor.calls[0])[2] == {
            "n": 1,
            "prompt": "a cat",
            "files": [{"type": "url", "url": url}, {"type": "file", "mediaType": "image/png", "data": DATA}],
        }
        assert (status, told["data"]) == (200, [{"b64_json": DATA}])
        status, told = await vendor.ask("POST", "/v1/images/edits", {**asked, "images": ["a"]})
        assert (status, told["error"]["param"]) == (400, "images")


@pytest.mark.parametrize(
    ("more", "field"),
    [({"quality": "high"}, "quality"), ({"response_format": "url"}, "response_format"), ({"size": "big"}, "size")],
)
async def test_edits_that_cannot_be_asked(more: dict[str, str], field: str) -> None:
    """What the AI SDK has no word for is a 400 that names it, in a form and in JSON."""
    asked = {"model": "mine/bfl/flux", "prompt": "a cat", **more}
    async with at("vercel") as vendor:
        status, told = await form(vendor, "/v1/images/edits", *fields(**asked), ("image", ("a.png", PNG, "image/png")))
        assert (status, told["error"]["param"]) == (400, field)
        status, told = await vendor.ask(
            "POST", "/v1/images/edits", {**asked, "images": [{"image_url": "https://a.b/c"}]}
        )
        assert (status, told["error"]["param"], vendor.calls) == (400, field, [])


async def test_an_edit_without_pictures() -> None:
    """An answer that holds none is the vendor's mistake; its own errors pass with status and words."""
    part = ("image", ("a.png", PNG, "image/png"))
    async with at("vercel") as vendor:
        vendor.answer({"images": []})
        status, told = await form(vendor, "/v1/images/edits", *fields(model="mine/bfl/flux"), part)
        assert (status, told["error"]["code"]) == (502, "upstream_bad_reply")
        vendor.answer({"error": {"message": "no such model", "type": "model_not_found"}}, status=404)
        status, told = await form(vendor, "/v1/images/edits", *fields(model="mine/none"), part)
        assert (status, told["error"]["message"]) == (404, "no such model")
        assert json.loads(vendor.calls[1].body)["files"]
