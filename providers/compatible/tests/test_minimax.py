"""MiniMax's transcripts and files, as OpenAI's clients ask for them and read them."""

from __future__ import annotations

import json
from typing import Any

import openai.types
import pytest
from openai.types import audio
from providers.compatible.tests.asking import KEY, Json, Vendor, at, sent

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue

PLACE = "https://api.minimax.io/v1/speech_to_text"
SOUND = b"RIFF" + bytes(range(256)) + b"\r\n--b"
FILE = ("talk.wav", SOUND, "audio/wav")
SEGMENTS = [
    {"start": 0.25, "end": 1.5, "text": "Grüße.", "speaker": "S1"},
    {"start": 1.5, "end": 2.0, "text": "Ja.", "speaker": "S2"},
]
PLAIN: Json = {"text": "Grüße. Ja.", "duration": 2.5, "trace_id": "t1"}
VERBOSE: Json = {**PLAIN, "n_speakers": 2, "segments": SEGMENTS}
USAGE: Json = {"type": "duration", "seconds": 2.5}
STREAM = (("content-type", "text/event-stream"),)
EVENTS = (
    b'data: {"index":0,"delta":"Gr\xc3\xbc\xc3\x9fe.","finish":false}\n\n'
    b'data: {"index":1,"delta":" Ja.","finish":false}\n\n'
    b'data: {"index":2,"delta":"","finish":true,"duration":2.5}\n\n'
)


async def heard(answer: Recorded, fields: Json | None = None, **settings: Any) -> tuple[Any, ReplayUpstream]:
    """A client's reply to a form with sound, and what MiniMax was asked."""
    upstream = ReplayUpstream({"*": answer})
    deployed = {"provider": "minimax", "api_key": KEY, **settings}
    async with gateway(catalogue()["minimax"], providers={"v": deployed}, upstream=upstream) as client:
        data = {"model": "v/asr-1.0", **(fields or {})}
        return await client.post("/v1/audio/transcriptions", data=data, files={"file": FILE}), upstream


def fields_of(upstream: ReplayUpstream) -> dict[str, bytes]:
    """The fields of the form that was sent, by name."""
    (request,) = upstream.requests
    boundary = dict(request.headers)[b"content-type"].partition(b"boundary=")[2]
    parts = request.body.split(b"--" + boundary + b"\r\n")[1:]
    heads = [part.partition(b"\r\n\r\n") for part in parts]
    return {
        head.partition(b'name="')[2].partition(b'"')[0].decode(): value.removesuffix(b"--" + boundary + b"--\r\n")[:-2]
        for head, _, value in heads
    }


async def test_it_hears() -> None:
    """A language is a header, the length of the sound is the usage, and the file goes last as it is."""
    fields: Json = {"language": "de", "temperature": "0", "response_format": "json"}
    reply, upstream = await heard(Recorded.from_json(PLAIN), fields)
    assert (reply.status_code, reply.json()) == (200, {"text": "Grüße. Ja.", "usage": USAGE})
    audio.Transcription.model_validate(reply.json())
    (request,) = upstream.requests
    assert (request.method, request.url, dict(request.headers)[b"language"]) == ("POST", PLACE, b"de")
    sent = fields_of(upstream)
    assert (list(sent), sent["file"]) == (["model", "response_format", "file"], SOUND)
    assert (sent["model"], sent["response_format"]) == (b"asr-1.0", b"json")


async def test_speakers() -> None:
    """Segments come with who speaks, in the format of OpenAI's that has speakers, and in the longer one."""
    reply, upstream = await heard(Recorded.from_json(VERBOSE), {"response_format": "diarized_json"})
    assert fields_of(upstream)["response_format"] == b"verbose_json"
    told = audio.TranscriptionDiarized.model_validate(reply.json())
    assert [(each.id, each.speaker, each.start, each.text) for each in told.segments] == [
        ("0", "S1", 0.25, "Grüße."),
        ("1", "S2", 1.5, "Ja."),
    ]
    assert (told.duration, told.usage.model_dump() if told.usage else None) == (2.5, USAGE)
    fields: Json = {"response_format": "verbose_json", "timestamp_granularities[]": "segment", "language": "de"}
    reply, upstream = await heard(Recorded.from_json(VERBOSE), fields)
    assert fields_of(upstream)["timestamp_level"] == b"sentence"
    segments = [{"id": at, **each} for at, each in enumerate(SEGMENTS)]
    assert reply.json() == {
        "task": "transcribe",
        "language": "de",
        "duration": 2.5,
        "text": "Grüße. Ja.",
        "usage": USAGE,
        "n_speakers": 2,
        "segments": segments,
    }


@pytest.mark.parametrize("field", ["timestamp_granularities[]", "timestamp_granularities"])
async def test_words(field: str) -> None:
    """Moments of words stand where OpenAI's clients look for words."""
    words = [{"start": 0.25, "end": 0.5, "text": "Grüße", "speaker": "S1"}]
    answer = Recorded.from_json({**VERBOSE, "segments": words})
    reply, upstream = await heard(answer, {"response_format": "verbose_json", field: "word"})
    assert fields_of(upstream)["timestamp_level"] == b"word"
    told = audio.TranscriptionVerbose.model_validate(reply.json())
    assert [(each.word, each.start) for each in told.words or ()] == [("Grüße", 0.25)]
    assert (told.segments, reply.json()["words"][0]["speaker"]) == (None, "S1")


@pytest.mark.parametrize("form", ["srt", "vtt"])
async def test_subtitles(form: str) -> None:
    """Subtitles are the vendor's own document."""
    body = "1\n00:00:00,250 --> 00:00:01,500\nGrüße.\n".encode()
    answer = Recorded(headers=(("content-type", "text/plain"),), body=body)
    reply, upstream = await heard(answer, {"response_format": form})
    assert (reply.status_code, reply.content, fields_of(upstream)["response_format"]) == (200, body, form.encode())


async def test_a_bare_text() -> None:
    """A format that the vendor has not is made of one that it has."""
    reply, upstream = await heard(Recorded.from_json(PLAIN), {"response_format": "text"})
    assert (reply.text, reply.headers["content-type"]) == ("Grüße. Ja.", "text/plain; charset=utf-8")
    assert fields_of(upstream)["response_format"] == b"json"


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
async def test_a_stream(size: int) -> None:
    """Pieces come as OpenAI's events however the vendor's are cut, and the whole text behind them."""
    answer = Recorded(headers=STREAM, body=EVENTS, sizes=(size,), framing="chunked")
    reply, upstream = await heard(answer, {"stream": "true"})
    assert fields_of(upstream)["stream"] == b"true"
    told = [json.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line]
    assert [each["type"] for each in told] == [*["transcript.text.delta"] * 2, "transcript.text.done"]
    assert ([each.get("delta") for each in told[:2]], told[2]["text"]) == (["Grüße.", " Ja."], "Grüße. Ja.")
    assert told[2]["usage"] == USAGE
    assert all(response.is_closed for response in upstream.responses)


@pytest.mark.parametrize(
    ("body", "status"), [({"base_resp": {"status_code": 1002, "status_msg": "slow"}}, 429), (PLAIN, 502)]
)
async def test_no_stream(body: Json, status: int) -> None:
    """What comes in the place of a stream, an error with a good status, is no empty stream."""
    reply, upstream = await heard(Recorded.from_json(body), {"stream": "true"})
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")
    assert ("slow" in reply.json()["error"]["message"]) is (status == 429)
    assert len(upstream.requests) == 1


async def test_a_stream_that_breaks_off() -> None:
    """A stream without the vendor's end has no end for the client either."""
    cut = Recorded(headers=STREAM, body=EVENTS[: EVENTS.rindex(b"data:")], framing="chunked")
    reply, _ = await heard(cut, {"stream": "true"})
    assert "transcript.text.done" not in reply.text
    assert "upstream_cut" in reply.text


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "Headgate"}, "prompt"),
        ({"temperature": "0.5"}, "temperature"),
        ({"response_format": "ttml"}, "response_format"),
        ({"response_format": "verbose_json", "stream": "true"}, "stream"),
        ({"timestamp_granularities[]": ["word", "segment"]}, "timestamp_granularities"),
        ({"language": "de\r\nx: y"}, "language"),
    ],
)
async def test_what_hearing_cannot_be_told(fields: Json, param: str) -> None:
    """A wish that the vendor has no words for is refused by name, and nothing is sent."""
    reply, upstream = await heard(Recorded.from_json(PLAIN), fields)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, param, [])


async def test_it_drops_what_it_cannot_be_told() -> None:
    """Where a deployment says so, such a wish is left out and named."""
    fields: Json = {"prompt": "Headgate", "response_format": "ttml"}
    reply, _ = await heard(Recorded.from_json(PLAIN), fields, unsupported="drop")
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, "prompt, response_format")


@pytest.mark.parametrize(("code", "status"), [(1004, 401), (1002, 429), (9999, 502)])
async def test_errors_with_a_good_status(code: int, status: int) -> None:
    """An error in the body of a good answer is one, with the status that its code means."""
    answer = Recorded.from_json({"base_resp": {"status_code": code, "status_msg": "no"}})
    for form in ("json", "srt"):
        reply, _ = await heard(answer, {"response_format": form})
        assert (reply.status_code, reply.json()["error"]["message"]) == (status, "no")


@pytest.mark.parametrize("body", [b"{}", b"no"])
async def test_no_transcript(body: bytes) -> None:
    """An answer without a text is the provider's failure."""
    reply, _ = await heard(Recorded(headers=(("content-type", "application/json"),), body=body))
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_bad_reply")


# files

FILES = "https://api.minimax.io/v1/files"
ID = "265012345678901234"
OK: Json = {"base_resp": {"status_code": 0, "status_msg": "success"}}
KEPT: Json = {"bytes": 265, "created_at": 1700469398, "filename": "talk.wav", "purpose": "voice_clone"}
TOLD: Json = {
    "id": ID,
    "object": "file",
    "bytes": 265,
    "created_at": 1700469398,
    "filename": "talk.wav",
    "purpose": "user_data",
    "native_purpose": "voice_clone",
    "status": "processed",
    "status_details": None,
    "native_status": None,
}


def kept(**other: Any) -> Json:
    """A file as MiniMax tells it, whose id is a number."""
    return {"file": {"file_id": int(ID), **KEPT, **other}, **OK}


async def upload(vendor: Vendor, content: bytes, purpose: str) -> tuple[int, Json]:
    """What the gateway answers to a form with a file."""
    parts: list[Any] = [("purpose", (None, purpose)), ("file", ("talk.wav", content, "audio/wav"))]
    reply = await vendor.client.post("/v1/files", files=parts, headers={"x-headgate-provider": "mine"})
    return reply.status_code, reply.json()


@pytest.mark.parametrize("content", [SOUND, SOUND * 10_000], ids=["small", "large"])
@pytest.mark.parametrize(("purpose", "native"), [("user_data", "video_understanding"), ("voice_clone", "voice_clone")])
async def test_upload(content: bytes, purpose: str, native: str) -> None:
    """A file goes on behind what it is for, in the vendor's word, with its name; its id is a text, however large."""
    async with at("minimax") as vendor:
        vendor.answer(kept())
        assert await upload(vendor, content, purpose) == (200, TOLD)
        (call,) = vendor.calls
        boundary = dict(call.headers)[b"content-type"].partition(b"boundary=")[2]
    assert (call.method, call.url) == ("POST", f"{FILES}/upload")
    assert call.body == b"".join(
        (
            b'--%b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n%b\r\n' % (boundary, native.encode()),
            b'--%b\r\nContent-Disposition: form-data; name="file"; filename="talk.wav"\r\n' % boundary,
            b"Content-Type: audio/wav\r\n\r\n%b\r\n--%b--\r\n" % (content, boundary),
        )
    )
    openai.types.FileObject.model_validate(TOLD)


async def test_no_such_purpose() -> None:
    """What the vendor keeps no files for is refused, and nothing is sent."""
    async with at("minimax") as vendor:
        status, told = await upload(vendor, SOUND, "batch")
        assert (status, told["error"]["param"], vendor.calls) == (400, "purpose", [])


async def test_it_tells_files() -> None:
    """One, and all of a purpose, the newest first."""
    async with at("minimax") as vendor:
        vendor.answer(kept())
        assert await vendor.ask("GET", f"/v1/files/{ID}") == (200, TOLD)
        assert sent(vendor.calls[0]) == ("GET", f"{FILES}/retrieve?file_id={ID}", None)
    held = [{"file_id": at, **KEPT, "created_at": at} for at in (1, 3, 2)]
    async with at("minimax") as vendor:
        vendor.answer({"files": held, **OK})
        _, told = await vendor.ask("GET", "/v1/files?purpose=user_data&limit=2")
        assert sent(vendor.calls[0]) == ("GET", f"{FILES}/list?purpose=video_understanding", None)
        assert ([each["id"] for each in told["data"]], told["has_more"]) == (["3", "2"], True)
        await vendor.ask("GET", "/v1/files?after=2")
        assert vendor.calls[1].url == f"{FILES}/list"


async def test_it_deletes() -> None:
    """A file is deleted with its purpose, which is asked for first."""
    async with at("minimax") as vendor:
        vendor.answer(kept(), {"file_id": int(ID), **OK})
        assert await vendor.ask("DELETE", f"/v1/files/{ID}") == (200, {"id": ID, "object": "file", "deleted": True})
        assert [sent(call) for call in vendor.calls] == [
            ("GET", f"{FILES}/retrieve?file_id={ID}", None),
            ("POST", f"{FILES}/delete", {"file_id": ID, "purpose": "voice_clone"}),
        ]


async def test_its_content() -> None:
    """Content comes from the address that the vendor tells, which gets no key; a file without one has none."""
    async with at("minimax") as vendor:
        vendor.answer(kept(download_url="https://files.example/1?sign=a"), path="/v1/files/retrieve")
        vendor.upstream.answer("/1", Recorded(headers=(("content-type", "audio/mpeg"),), body=SOUND))
        reply = await vendor.client.get(f"/v1/files/{ID}/content", headers={"x-headgate-provider": "mine"})
        assert (reply.status_code, reply.content, reply.headers["content-type"]) == (200, SOUND, "audio/mpeg")
        assert (vendor.calls[1].url, vendor.calls[1].credential) == ("https://files.example/1?sign=a", None)
    async with at("minimax") as vendor:
        vendor.answer(kept())
        status, told = await vendor.ask("GET", f"/v1/files/{ID}/content")
        assert (status, told["error"]["code"]) == (400, "unsupported_content")


async def test_errors_of_files() -> None:
    """An error with a good status is one, and ends what would have followed."""
    async with at("minimax") as vendor:
        vendor.answer({"base_resp": {"status_code": 2013, "status_msg": "invalid params, file not found"}})
        for method in ("GET", "DELETE"):
            status, told = await vendor.ask(method, f"/v1/files/{ID}")
            assert (status, told["error"]["message"]) == (400, "invalid params, file not found")
        assert [call.method for call in vendor.calls] == ["GET", "GET"]
