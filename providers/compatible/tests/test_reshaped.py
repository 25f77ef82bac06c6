"""Pictures, speech and moderations of vendors with shapes of their own, as OpenAI's clients ask for them and read them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from providers.compatible.tests.calls import Json, deploy_row, exchange

from headgate.errors import ProviderFailed
from headgate.forms import Part, form_of, parts_of
from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue

DROP = {"x-headgate-unsupported": "drop"}
SOUND = bytes(range(256)) * 3
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
WELL = {"status_code": 0, "status_msg": "success"}


def client_of(name: str, upstream: ReplayUpstream) -> Any:
    """A client of a gateway with one vendor, known as `v`."""
    return gateway(
        catalogue()[name], providers={"v": {"provider": name, "api_key": "sk-vendor-key"}}, upstream=upstream
    )


async def asked(name: str, path: str, body: Json, answer: Recorded, **headers: str) -> tuple[Any, ReplayUpstream]:
    """A client's reply to `body`, and what the vendor was asked."""
    upstream = ReplayUpstream({"*": answer})
    async with client_of(name, upstream) as client:
        return await client.post(path, json={"model": "v/m", **body}, headers=headers), upstream


def sent(upstream: ReplayUpstream) -> Json:
    """The JSON body of the last call."""
    return json.loads(upstream.requests[-1].body)


# pictures


@pytest.mark.parametrize(
    ("name", "body", "wanted", "answer", "data"),
    [
        (
            "minimax",
            {"prompt": "a cat", "size": "1536x1024", "n": 2, "response_format": "b64_json", "quality": "auto"},
            {"model": "m", "prompt": "a cat", "n": 2, "response_format": "base64", "width": 1536, "height": 1024},
            {"data": {"image_base64": ["AA==", "AQ=="]}, "base_resp": WELL},
            [{"b64_json": "AA=="}, {"b64_json": "AQ=="}],
        ),
        (
            "minimax",
            {"prompt": "a cat", "size": "auto", "aspect_ratio": "16:9"},
            {"model": "m", "prompt": "a cat", "aspect_ratio": "16:9"},
            {"data": {"image_urls": ["https://p.example/1"]}, "base_resp": WELL},
            [{"url": "https://p.example/1"}],
        ),
        (
            "siliconflow",
            {"prompt": "a cat", "size": "1024x1024", "n": 2, "response_format": "url"},
            {"model": "m", "prompt": "a cat", "image_size": "1024x1024", "batch_size": 2},
            {"images": [{"url": "https://p.example/1"}], "timings": {"inference": 0.5}, "seed": 1},
            [{"url": "https://p.example/1"}],
        ),
    ],
)
async def test_pictures_in_other_words(name: str, body: Json, wanted: Json, answer: Json, data: list[Json]) -> None:
    """A vendor is asked in its own words, and its pictures stand where OpenAI's clients look for them."""
    reply, upstream = await asked(name, "/v1/images/generations", body, Recorded.from_json(answer))
    assert (reply.status_code, reply.json()["data"], reply.json()["created"]) == (200, data, 0)
    assert "x-headgate-dropped" not in reply.headers
    assert sent(upstream) == wanted


async def test_fireworks_answers_with_the_picture() -> None:
    """The model stands in the address, a size is told as proportions, and the picture itself becomes base64."""
    answer = Recorded(headers=(("content-type", "image/png"),), body=PNG)
    body = {
        "model": "v/accounts/fireworks/models/flux-1-schnell-fp8",
        "prompt": "a cat",
        "size": "1536x1024",
        "seed": 3,
    }
    reply, upstream = await asked("fireworks", "/v1/images/generations", body, answer)
    assert reply.json() == {"created": 0, "data": [{"b64_json": base64.b64encode(PNG).decode()}]}
    assert (reply.headers["content-type"], reply.headers["x-headgate-dropped"]) == ("application/json", "size")
    request = upstream.requests[-1]
    there = "https://api.fireworks.ai/inference/v1/workflows/accounts/fireworks/models/flux-1-schnell-fp8/text_to_image"
    assert (request.url, dict(request.headers)[b"accept"]) == (there, b"image/png")
    assert sent(upstream) == {"prompt": "a cat", "aspect_ratio": "3:2", "seed": 3}


async def test_a_filtered_picture_of_fireworks_is_none() -> None:
    """A header says that what comes is not the picture that was asked for."""
    headers = (("content-type", "image/png"), ("finish-reason", "CONTENT_FILTERED"))
    body = {"model": "v/accounts/fireworks/models/flux-1-schnell-fp8", "prompt": "a cat"}
    reply, _ = await asked("fireworks", "/v1/images/generations", body, Recorded(headers=headers, body=PNG))
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_policy_violation")
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("name", "path", "field", "value"),
    [
        ("siliconflow", "/v1/images/generations", "response_format", ["url"]),
        ("siliconflow", "/v1/images/generations", "size", [1, 2]),
        ("siliconflow", "/v1/images/generations", "n", [1]),
        ("fireworks", "/v1/images/generations", "n", [1]),
        ("fireworks", "/v1/images/generations", "size", [1, 2]),
        ("fireworks", "/v1/images/generations", "response_format", {"type": "url"}),
        ("bytez", "/v1/images/generations", "size", [1, 2]),
        ("together", "/v1/images/generations", "response_format", ["url"]),
        ("vercel", "/v1/audio/speech", "response_format", ["mp3"]),
        ("minimax", "/v1/images/generations", "quality", "high"),
        ("minimax", "/v1/images/generations", "background", "transparent"),
        ("minimax", "/v1/images/generations", "size", "large"),
        ("minimax", "/v1/images/generations", "stream", True),
        ("siliconflow", "/v1/images/generations", "response_format", "b64_json"),
        ("fireworks", "/v1/images/generations", "n", 2),
        ("fireworks", "/v1/images/generations", "size", "1000x999"),
        ("fireworks", "/v1/images/generations", "response_format", "url"),
        ("minimax", "/v1/audio/speech", "response_format", "aac"),
        ("minimax", "/v1/audio/speech", "instructions", "Whisper."),
        ("xai", "/v1/audio/speech", "response_format", "aac"),
        ("xai", "/v1/audio/speech", "stream_format", "sse"),
    ],
)
async def test_what_a_vendor_cannot_be_told(name: str, path: str, field: str, value: object) -> None:
    """A wish that a vendor has no words for is refused by name, or left out and named."""
    body = {"prompt": "a cat", "input": "hi", field: value}
    answer = Recorded.from_json({"error": {"message": "stop"}}, 400)
    refused, upstream = await asked(name, path, body, answer)
    assert (refused.json()["error"].get("param"), upstream.requests) == (field, [])
    reply, upstream = await asked(name, path, body, answer, **DROP)
    assert (reply.headers["x-headgate-dropped"], len(upstream.requests)) == (field, 1)


@pytest.mark.parametrize(
    ("name", "operation", "answer"),
    [
        ("minimax", "images.generate", Recorded.from_json({"data": {}, "base_resp": WELL})),
        ("minimax", "images.generate", Recorded(body=PNG)),
        ("minimax", "audio.speech", Recorded.from_json({"data": {"audio": "xyz"}, "base_resp": WELL})),
        ("minimax", "audio.speech", Recorded.from_json({"data": None, "base_resp": WELL})),
        ("siliconflow", "images.generate", Recorded.from_json({"images": []})),
        ("siliconflow", "images.generate", Recorded(body=PNG)),
        ("fireworks", "images.generate", Recorded.from_json({"finishReason": "CONTENT_FILTERED"})),
        ("mistral", "moderations", Recorded(body=b"no JSON")),
        ("zhipu", "moderations", Recorded(body=b"no JSON")),
        ("zhipu", "moderations", Recorded.from_json({"result_list": []})),
        ("zhipu", "moderations", Recorded.from_json({"result_list": [{"content_type": "text"}]})),
    ],
)
async def test_odd_answers(name: str, operation: str, answer: Recorded) -> None:
    """An answer without what was asked for is the provider's failure, and says whose."""
    provider = deploy_row(name, ReplayUpstream({"*": answer}))
    with pytest.raises(ProviderFailed, match="answered with no") as caught:
        await provider.call(exchange(provider, {"model": "m", "prompt": "a", "input": "a"}, operation))
    assert (caught.value.provider, caught.value.deployment) == (name, "mine")


# speech


@pytest.mark.parametrize(
    ("kind", "sound", "label"),
    [
        (None, {"format": "mp3"}, "audio/mpeg"),
        ("wav", {"format": "wav"}, "audio/wav"),
        ("pcm", {"format": "pcm", "sample_rate": 24000}, "audio/pcm"),
        ("opus", {"format": "opus", "sample_rate": 24000}, "audio/opus"),
    ],
)
async def test_minimax_speaks(kind: str | None, sound: Json, label: str) -> None:
    """Voice, speed and format have places of their own, and the sound in hexadecimal reaches the client as sound."""
    answer = Recorded.from_json({"data": {"audio": SOUND.hex(), "status": 2}, "base_resp": WELL})
    body = {"input": "Grüße", "voice": "narrator", "speed": 1.5, "response_format": kind, "language_boost": "auto"}
    reply, upstream = await asked("minimax", "/v1/audio/speech", body, answer)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, label, SOUND)
    assert upstream.requests[-1].url == "https://api.minimax.io/v1/t2a_v2"
    assert sent(upstream) == {
        "model": "m",
        "text": "Grüße",
        "voice_setting": {"voice_id": "narrator", "speed": 1.5},
        "audio_setting": sound,
        "language_boost": "auto",
        "stream": False,
        "output_format": "hex",
    }


@pytest.mark.parametrize(
    ("code", "status"), [(1004, 401), (1002, 429), (1008, 402), (2013, 400), (1000, 502), (9999, 502)]
)
@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/audio/speech"])
async def test_minimaxs_errors(path: str, code: int, status: int) -> None:
    """What MiniMax tells with status 200 is an error in OpenAI's shape, with the status that it stands for."""
    answer = Recorded.from_json({"base_resp": {"status_code": code, "status_msg": "no luck"}})
    reply, _ = await asked("minimax", path, {"prompt": "a", "input": "a"}, answer)
    error = reply.json()["error"]
    assert (reply.status_code, error["message"], error["code"]) == (status, "no luck", str(code))


async def test_xai_speaks() -> None:
    """The one model is not named, a language is, and the sound passes as it comes."""
    answer = Recorded(headers=(("content-type", "audio/mpeg"),), body=SOUND)
    body = {"input": "hi", "voice": {"id": "eve"}, "response_format": "wav", "speed": 1.25}
    reply, upstream = await asked("xai", "/v1/audio/speech", body, answer)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, "audio/mpeg", SOUND)
    assert upstream.requests[-1].url == "https://api.x.ai/v1/tts"
    assert sent(upstream) == {
        "text": "hi",
        "language": "auto",
        "output_format": {"codec": "wav"},
        "voice_id": "eve",
        "speed": 1.25,
    }


# transcripts


async def test_xai_hears() -> None:
    """A form goes on as one with the fields that xAI knows and the file behind them, and its text comes back."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"text": "heard", "duration": 1.5})})
    fields = {"model": "v/grok-stt", "language": "en", "response_format": "json", "diarize": "true", "temperature": ""}
    async with client_of("xai", upstream) as client:
        files = {"file": ("a.wav", b"RIFF\r\n--x", "audio/wav")}
        reply = await client.post("/v1/audio/transcriptions", data=fields, files=files)
    assert (reply.status_code, reply.json()) == (200, {"text": "heard", "duration": 1.5})
    request = upstream.requests[-1]
    kind = dict(request.headers)[b"content-type"]
    assert (request.url, kind.partition(b";")[0]) == ("https://api.x.ai/v1/stt", b"multipart/form-data")
    parts = parts_of(request.body, kind.partition(b"boundary=")[2])
    assert parts == [
        Part("language", "", b"en"),
        Part("diarize", "", b"true"),
        Part("file", "audio/wav", b"RIFF\r\n--x", "a.wav"),
    ]


@pytest.mark.parametrize(
    ("vendor", "operation", "answer"),
    [
        ("xai", "transcriptions", Recorded.from_json({"text": "heard ☃", "duration": 1.5})),
        ("novita", "transcriptions", Recorded.from_json({"text": "heard ☃"})),
        ("deepseek", "transcriptions", Recorded.from_json({"text": "heard ☃"})),
        (
            "dashscope",
            "transcriptions",
            Recorded.from_json({"output": {"choices": [{"message": {"content": [{"text": "heard ☃"}]}}]}}),
        ),
        (
            "dashscope",
            "translations",
            Recorded.from_events({"choices": [{"delta": {"content": "heard ☃"}, "finish_reason": "stop"}]}),
        ),
    ],
)
async def test_texts_alone(vendor: str, operation: str, answer: Recorded) -> None:
    """Who asks for the text alone gets it, though the vendor has no such format; an error stays one."""
    fields, files = {"model": "v/m", "response_format": "text"}, {"file": ("a.wav", b"RIFF", "audio/wav")}
    upstream = ReplayUpstream({"*": answer})
    async with client_of(vendor, upstream) as client:
        reply = await client.post(f"/v1/audio/{operation}", data=fields, files=files)
    assert (reply.status_code, reply.text) == (200, "heard ☃")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert b"response_format" not in upstream.requests[-1].body
    failing = ReplayUpstream({"*": Recorded.from_json({"error": {"message": "no"}}, 400)})
    async with client_of(vendor, failing) as client:
        reply = await client.post(f"/v1/audio/{operation}", data=fields, files=files)
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "no")


@pytest.mark.parametrize(("field", "value"), [("prompt", "names"), ("response_format", "srt"), ("temperature", "0.5")])
async def test_what_xai_cannot_be_told_of_sound(field: str, value: str) -> None:
    """A wish about a transcript that xAI has no words for is refused by name, or left out and named."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"text": "heard"})})
    given: Json = {"data": {"model": "v/m", field: value}, "files": {"file": ("a.wav", b"RIFF", "audio/wav")}}
    async with client_of("xai", upstream) as client:
        refused = await client.post("/v1/audio/transcriptions", **given)
        assert (refused.json()["error"]["param"], upstream.requests) == (field, [])
        reply = await client.post("/v1/audio/transcriptions", headers=DROP, **given)
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)


WAV = b"RIFF\x18\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80>\x00\x00\x00}\x00\x00"
"""The beginning of a file with 16,000 samples a second."""


async def test_reka_hears() -> None:
    """A form becomes JSON with the sound as an address and the rate that the file says, and the text is OpenAI's."""
    answer = {"transcript": "heard", "transcript_translation_with_timestamp": [{"start": 0, "end": 1}]}
    upstream = ReplayUpstream({"*": Recorded.from_json(answer)})
    given: Json = {
        "data": {"model": "v/m", "language": "en", "temperature": "0.5", "max_tokens": "10", "response_format": "json"},
        "files": {"file": ("a.wav", WAV, "audio/wav")},
    }
    async with client_of("reka", upstream) as client:
        reply = await client.post("/v1/audio/transcriptions", **given)
    assert (reply.status_code, reply.json()) == (200, {"text": "heard"})
    assert reply.headers["x-headgate-dropped"] == "language"
    request = upstream.requests[-1]
    assert request.url == "https://api.reka.ai/v1/transcription_or_translation"
    assert dict(request.headers)[b"content-type"] == b"application/json"
    assert sent(upstream) == {
        "audio_url": f"data:audio/wav;base64,{base64.b64encode(WAV).decode()}",
        "sampling_rate": 16000,
        "temperature": 0.5,
        "max_tokens": 10,
    }


@pytest.mark.parametrize(
    ("fields", "content", "param"),
    [
        ({}, b"ID3\x04", "file"),
        ({}, WAV[:20], "file"),
        ({"temperature": "warm"}, WAV, "temperature"),
        ({"prompt": "names"}, WAV, "prompt"),
        ({"response_format": "verbose_json"}, WAV, "response_format"),
    ],
)
async def test_what_reka_cannot_be_sent(fields: Json, content: bytes, param: str) -> None:
    """What is no WAV file, or a wish that Reka has no words for, is refused by name before anything is sent."""
    upstream = ReplayUpstream()
    given: Json = {"data": {"model": "v/m", **fields}, "files": {"file": ("a.wav", content, "audio/wav")}}
    async with client_of("reka", upstream) as client:
        reply = await client.post("/v1/audio/transcriptions", **given)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, param, [])


async def test_reka_without_a_transcript() -> None:
    """An answer without a text is the provider's failure."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"translation": "x"})})
    given: Json = {"data": {"model": "v/m"}, "files": {"file": ("a.wav", WAV, "audio/wav")}}
    async with client_of("reka", upstream) as client:
        reply = await client.post("/v1/audio/transcriptions", **given)
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


def test_a_form_is_read_as_it_was_written() -> None:
    """Fields and files of a form that is written here are the same again when it is read."""
    parts = [Part("a", "", "Grüße".encode()), Part("file", "audio/wav", bytes(range(256)), "Grüße.wav")]
    assert parts_of(form_of(parts, b"edge"), b"edge") == parts


# moderations


async def test_mistral_flags() -> None:
    """Results say whether any category was met, which Mistral's do not; where they do, no byte is changed."""
    results = [{"categories": {"sexual": False, "pii": True}}, {"categories": {"sexual": False}}]
    answer = Recorded.from_json({"id": "1", "model": "m", "results": results})
    reply, upstream = await asked("mistral", "/v1/moderations", {"input": ["a", "b"]}, answer)
    assert [each["flagged"] for each in reply.json()["results"]] == [True, False]
    assert sent(upstream) == {"model": "m", "input": ["a", "b"]}
    told = Recorded(headers=(("content-type", "application/json"),), body=b'{"results":  [{"flagged": false}]}')
    reply, _ = await asked("mistral", "/v1/moderations", {"input": "a"}, told)
    assert reply.content == told.body


JUDGED: Json = {"content_type": "text", "risk_level": "PASS", "risk_type": []}
PICTURE: Json = {"content_type": "image", "risk_level": "REVIEW", "risk_type": ["porn"]}
PARTS: list[Json] = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://p.example/1"}}]


@pytest.mark.parametrize(
    ("given", "wanted", "judged", "flagged", "found"),
    [
        ("a", "a", [JUDGED], False, {}),
        (["a"], "a", [{**JUDGED, "risk_type": None}], False, {}),
        (PARTS, PARTS, [JUDGED, PICTURE], True, {"porn": True}),
        ("a", "a", [{**JUDGED, "risk_level": "REJECT", "risk_type": ["x", "y"]}], True, {"x": True, "y": True}),
    ],
)
async def test_zhipu_judges(given: object, wanted: object, judged: list[Json], flagged: bool, found: Json) -> None:
    """One text, or parts, are one result: flagged unless all of it passes, its categories the risks that were found."""
    answer = Recorded.from_json({"id": "1", "created": 5, "result_list": judged, "usage": {"moderation_text": {}}})
    reply, upstream = await asked("zhipu", "/v1/moderations", {"input": given}, answer)
    assert upstream.requests[-1].url == "https://open.bigmodel.cn/api/paas/v4/moderations"
    assert sent(upstream) == {"model": "m", "input": wanted}
    [result] = reply.json()["results"]
    assert (reply.json()["id"], reply.json()["model"], reply.json()["usage"]) == ("1", "m", {"moderation_text": {}})
    assert (result["flagged"], result["categories"], result["category_scores"]) == (flagged, found, {})
    assert result["risk_levels"] == [each["risk_level"] for each in judged]


async def test_zhipu_judges_one_text_at_a_time() -> None:
    """Several texts would come to one result: they are refused by name, and nothing is sent."""
    reply, upstream = await asked("zhipu", "/v1/moderations", {"input": ["a", "b"]}, Recorded.from_json({}), **DROP)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, "input", [])


async def test_zhipus_refusal_is_told() -> None:
    """An error passes with its status and words."""
    answer = Recorded.from_json({"error": {"code": "1210", "message": "bad model"}}, 400)
    reply, _ = await asked("zhipu", "/v1/moderations", {"input": "a"}, answer)
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "bad model")
