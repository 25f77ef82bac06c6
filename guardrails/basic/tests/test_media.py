"""Pictures, sound and files: what of them is judged, and that what cannot be judged is refused unless it is allowed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Literal

import pytest

from headgate import Provider
from headgate.testing import Client, Recorded, ReplayUpstream, gateway
from headgate_guard_basic import CheckConfig, GuardBasic, GuardBasicConfig

FORM = {"content-type": "multipart/form-data; boundary=b0undary", "x-headgate-provider": "vendor"}
SOUND = (
    b'--b0undary\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
    b'--b0undary\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--b0undary--\r\n'
)
VOICE = Recorded(headers=(("content-type", "audio/mpeg"),), body=b"\xff\xfb" * 100)
Side = Literal["request", "reply"]


class Vendor(Provider):
    name = "vendor"
    base_url = "https://vendor.example/v1"
    is_keyless = True
    dialects: ClassVar[Mapping[str, str]] = {
        "images.generate": "openai.images",
        "audio.speech": "openai.speech",
        "audio.transcriptions": "openai.transcription",
        "moderations": "openai.moderations",
        "files": "",
    }
    paths: ClassVar[Mapping[str, str]] = {
        "images.generate": "/images/generations",
        "audio.speech": "/audio/speech",
        "audio.transcriptions": "/audio/transcriptions",
        "moderations": "/moderations",
    }


@asynccontextmanager
async def guarded(
    answer: Recorded, *on: Side, passthrough: Literal["refuse", "allow"] = "refuse"
) -> AsyncGenerator[tuple[Client, ReplayUpstream]]:
    """A gateway that forbids the word `secret`."""
    check = CheckConfig("contains", list(on), {"words": ["secret"], "operator": "none"})
    upstream = ReplayUpstream({"*": answer})
    guard = GuardBasic(GuardBasicConfig([check], passthrough))
    async with gateway(Vendor, guard, providers={"vendor": {"provider": "vendor"}}, upstream=upstream) as client:
        yield client, upstream


def heard(text: str) -> Recorded:
    return Recorded.from_json({"text": text, "words": [{"word": word} for word in text.split()]})


def streamed(*pieces: str) -> Recorded:
    said: list[dict[str, Any]] = [{"type": "transcript.text.delta", "delta": piece} for piece in pieces]
    said.append({"type": "transcript.text.done", "text": "".join(pieces)})
    body = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in said)
    return Recorded(headers=(("content-type", "text/event-stream"),), body=body)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/images/generations", {"prompt": "a %s cat"}),
        ("/v1/audio/speech", {"input": "a %s word"}),
        ("/v1/audio/speech", {"input": "a word", "instructions": "%s"}),
        ("/v1/moderations", {"input": ["a", "%s"]}),
        ("/v1/moderations", {"input": [{"type": "text", "text": "%s"}]}),
    ],
)
async def test_requests_are_judged(path: str, body: dict[str, Any]) -> None:
    """What is to be drawn, said or moderated is text, and judged before anything leaves."""
    async with guarded(Recorded.from_json({"data": []}), "request") as (client, upstream):
        for word, status in (("secret", 446), ("plain", 200)):
            said = json.dumps({"model": "vendor/m", **body}).replace("%s", word)
            assert (await client.post(path, content=said)).status_code == status
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/files"])
async def test_a_body_that_is_sent_on_is_refused(path: str) -> None:
    """Where requests are judged, a body that nobody reads is refused before it leaves, unless that is allowed."""
    body = SOUND if path.endswith("transcriptions") else SOUND + b"\r\n" * 40_000
    async with guarded(heard("fine"), "request") as (client, upstream):
        reply = await client.post(path, content=body, headers=FORM)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "cannot_inspect")
    assert upstream.requests == []
    async with guarded(heard("fine"), "request", passthrough="allow") as (client, upstream):
        assert (await client.post(path, content=body, headers=FORM)).status_code == 200


async def test_reading_files_is_no_request_to_judge() -> None:
    """What has no body has nothing to hide."""
    async with guarded(Recorded.from_json({"data": []}), "request") as (client, _):
        assert (await client.get("/v1/files", headers=FORM)).status_code == 200


@pytest.mark.parametrize(
    "answer",
    [
        heard("a secret word"),
        Recorded(headers=(("content-type", "text/plain"),), body=b"a secret word\n"),
        Recorded.from_json({"segments": [{"text": "a secret word"}]}),
        streamed("a se", "cret word"),
    ],
    ids=["json", "text", "segments", "stream"],
)
async def test_transcripts_are_judged(answer: Recorded) -> None:
    """What was heard is judged in every form it may come in."""
    async with guarded(answer, "reply") as (client, _):
        reply = await client.post("/v1/audio/transcriptions", content=SOUND, headers=FORM)
    assert b"secret" not in reply.content
    assert b"hooks_failed" in reply.content


@pytest.mark.parametrize("answer", [heard("a plain word"), streamed("a pla", "in word")], ids=["json", "stream"])
async def test_good_transcripts_pass(answer: Recorded) -> None:
    """A transcript without the word comes as it was sent."""
    async with guarded(answer, "reply") as (client, _):
        reply = await client.post("/v1/audio/transcriptions", content=SOUND, headers=FORM)
    assert (reply.status_code, reply.content) == (200, answer.body)


async def test_a_voice_cannot_be_judged() -> None:
    """Where replies are judged, a reply that is sound is refused before it is made, unless that is allowed."""
    said = {"model": "vendor/m", "input": "hello"}
    async with guarded(VOICE, "reply") as (client, upstream):
        reply = await client.post("/v1/audio/speech", json=said)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "cannot_inspect")
    assert upstream.requests == []
    async with guarded(VOICE, "reply", passthrough="allow") as (client, _):
        reply = await client.post("/v1/audio/speech", json=said)
    assert (reply.status_code, reply.content) == (200, VOICE.body)


async def test_what_a_vendor_makes_of_a_prompt_is_judged() -> None:
    """A picture is no text, but the prompt that the vendor says it drew is."""
    answer = Recorded.from_json({"data": [{"b64_json": "aaaa", "revised_prompt": "a secret cat"}]})
    async with guarded(answer, "reply") as (client, _):
        reply = await client.post("/v1/images/generations", json={"model": "vendor/m", "prompt": "a cat"})
    assert reply.status_code == 446
    assert b"aaaa" not in reply.content
