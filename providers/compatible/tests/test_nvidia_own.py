"""What only a NIM of one's own has: Responses, Messages, counting, edits and sound; what NVIDIA hosts is spared it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from providers.compatible.tests.calls import Json

from headgate.forms import Part, boundary_of, parts_of
from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue

DROP = {"x-headgate-unsupported": "drop"}
OWN = {"base_url": "https://nim.example/v1"}
SOUND = b"RIFF\xff\x00WAVE"
WAV = Recorded(headers=(("content-type", "audio/wav"),), body=SOUND)
HEARD = Recorded.from_json({"text": "Grüße"})
FILE = {"file": ("a.wav", SOUND, "audio/wav")}
VOICE = "Magpie-Multilingual.EN-US.Aria.Happy"
SPEECH: Json = {"model": "v/magpie", "input": "Grüße", "voice": VOICE}
CHAT = Recorded.from_json(
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
)


async def asked(
    path: str, answer: Recorded, headers: Json | None = None, settings: Json = OWN, **given: Any
) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what was asked."""
    upstream = ReplayUpstream({"*": answer})
    held = {"provider": "nvidia", "api_key": "sk-vendor-key", **settings}
    async with gateway(catalogue()["nvidia"], providers={"v": held}, upstream=upstream) as client:
        return await client.post(f"/v1/{path}", headers=headers or {}, **given), upstream


def told(upstream: ReplayUpstream) -> list[Part]:
    """The parts of the form of the only call."""
    (request,) = upstream.requests
    assert request.credential is not None
    assert request.credential.origins == {"https://nim.example:443"}
    return parts_of(request.body, boundary_of(dict(request.headers)[b"content-type"]))


def fields(upstream: ReplayUpstream) -> Json:
    """The same as a mapping, a file by its content."""
    parts = told(upstream)
    assert len({part.name for part in parts}) == len(parts)
    return {part.name: part.content if part.content_type else part.content.decode() for part in parts}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("responses", {"model": "v/m", "input": "hi"}),
        ("messages", {"model": "v/m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}),
        ("messages/count_tokens", {"model": "v/m", "messages": [{"role": "user", "content": "hi"}]}),
    ],
)
async def test_other_chats_of_ones_own(path: str, body: Json) -> None:
    """They and counting go to the server as the client says them, and its answer comes back byte for byte."""
    answer = Recorded.from_json({"input_tokens": 7, "usage": {"input_tokens": 1, "output_tokens": 1}})
    reply, upstream = await asked(path, answer, json=body)
    assert (reply.status_code, reply.content) == (200, answer.body)
    (request,) = upstream.requests
    assert (request.url, json.loads(request.body)) == (f"https://nim.example/v1/{path}", {**body, "model": "m"})


async def test_other_chats_of_what_is_hosted() -> None:
    """There clients of Responses and of Messages are translated into chat, and tokens are estimated."""
    hosted: Json = {"settings": {}}
    said = [{"role": "user", "content": "hi"}]
    reply, upstream = await asked("responses", CHAT, json={"model": "v/m", "input": "hi"}, **hosted)
    assert (reply.status_code, reply.json()["output"][0]["content"][0]["text"]) == (200, "Hi")
    assert upstream.requests[-1].url == "https://integrate.api.nvidia.com/v1/chat/completions"
    reply, upstream = await asked("messages", CHAT, json={"model": "v/m", "max_tokens": 5, "messages": said}, **hosted)
    assert (reply.status_code, reply.json()["content"][0]["text"]) == (200, "Hi")
    assert upstream.requests[-1].url == "https://integrate.api.nvidia.com/v1/chat/completions"
    reply, upstream = await asked("messages/count_tokens", CHAT, json={"model": "v/m", "messages": said}, **hosted)
    assert (reply.status_code, reply.headers["x-headgate-estimated"], upstream.requests) == (200, "true", [])


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("audio/speech", {"json": SPEECH}),
        ("audio/transcriptions", {"data": {"model": "v/m"}, "files": FILE}),
        ("images/edits", {"data": {"model": "v/m", "prompt": "p"}, "files": {"image": ("a.png", b"\x89PNG")}}),
    ],
)
async def test_what_is_hosted_has_less(path: str, given: Json) -> None:
    """What only servers of one's own have is no operation of the models that NVIDIA hosts."""
    reply, upstream = await asked(path, WAV, settings={}, **given)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unsupported_operation")
    assert upstream.requests == []


async def test_edits() -> None:
    """They are OpenAI's."""
    made = Recorded.from_json({"created": 1, "data": [{"b64_json": "aGk="}]})
    given: Json = {
        "data": {"model": "v/m", "prompt": "p", "n": "2"},
        "files": {"image": ("a.png", b"\x89PNG", "image/png")},
    }
    reply, upstream = await asked("images/edits", made, **given)
    assert (reply.status_code, reply.content) == (200, made.body)
    assert upstream.requests[0].url == "https://nim.example/v1/images/edits"


async def test_speech() -> None:
    """A form with the text, the voice and the language of its name; what else the server knows passes, the model does not."""
    reply, upstream = await asked(
        "audio/speech", WAV, json={**SPEECH, "response_format": "wav", "sample_rate_hz": 22050}
    )
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, "audio/wav", SOUND)
    assert upstream.requests[0].url == "https://nim.example/v1/audio/synthesize"
    assert fields(upstream) == {"text": "Grüße", "language": "en-US", "voice": VOICE, "sample_rate_hz": "22050"}
    _, upstream = await asked("audio/speech", WAV, json={**SPEECH, "language": "de-DE", "speed": 1})
    assert fields(upstream) == {"text": "Grüße", "language": "de-DE", "voice": VOICE}
    _, upstream = await asked("audio/speech", WAV, json={**SPEECH, "voice": "alloy"})
    assert fields(upstream) == {"text": "Grüße", "voice": "alloy"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("response_format", "mp3"), ("response_format", ["wav"]), ("speed", 2)),
        *(("instructions", "softly"), ("stream_format", "sse")),
    ],
)
async def test_speech_that_it_has_no_words_for(field: str, value: object) -> None:
    """It is refused by name, or left out where the client wants that."""
    refused, upstream = await asked("audio/speech", WAV, json={**SPEECH, field: value})
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, field, [])
    reply, upstream = await asked("audio/speech", WAV, DROP, json={**SPEECH, field: value})
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)
    assert fields(upstream) == {"text": "Grüße", "language": "en-US", "voice": VOICE}


async def test_errors_of_speech() -> None:
    """An error keeps its status and words."""
    wrong = Recorded.from_json({"error": "no such voice"}, 400)
    reply, _ = await asked("audio/speech", wrong, json=SPEECH)
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "no such voice")


async def test_transcripts() -> None:
    """The language chooses the model; without one the model is named."""
    data = {"model": "v/parakeet", "language": "en-US", "temperature": "0", "response_format": "json"}
    reply, upstream = await asked("audio/transcriptions", HEARD, data=data, files=FILE)
    assert (reply.status_code, reply.content) == (200, HEARD.body)
    assert upstream.requests[0].url == "https://nim.example/v1/audio/transcriptions"
    wanted = {"language": "en-US", "temperature": "0", "response_format": "json", "file": SOUND}
    assert (fields(upstream), told(upstream)[-1].content_type) == (wanted, "audio/wav")
    _, upstream = await asked("audio/transcriptions", HEARD, data={"model": "v/parakeet"}, files=FILE)
    assert fields(upstream) == {"model": "parakeet", "file": SOUND}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", "names"),
        ("response_format", "verbose_json"),
        ("stream", "true"),
        ("timestamp_granularities[]", "word"),
    ],
)
async def test_transcripts_that_it_has_no_words_for(field: str, value: str) -> None:
    """It is refused by name, or left out where the client wants that."""
    data = {"model": "v/m", "language": "en-US", field: value}
    refused, upstream = await asked("audio/transcriptions", HEARD, data=data, files=FILE)
    assert (refused.status_code, refused.json()["error"]["param"], upstream.requests) == (400, field, [])
    reply, upstream = await asked("audio/transcriptions", HEARD, DROP, data=data, files=FILE)
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)
    assert fields(upstream) == {"language": "en-US", "file": SOUND}


async def test_a_form_without_sound() -> None:
    """It is refused before anything is sent."""
    given: Json = {"data": {"model": "v/m"}, "files": {"other": ("a.wav", SOUND, "audio/wav")}}
    reply, upstream = await asked("audio/transcriptions", HEARD, **given)
    assert (reply.status_code, upstream.requests) == (400, [])
