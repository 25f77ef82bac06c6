"""What containers on SageMaker have beside text: rankings, and pictures, speech and transcripts of AWS's own images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import openai.types
import openai.types.audio
import pytest
from providers.bedrock.tests.sagemaker_wire import BASE, REFUSED, Json, framed, model_error

from headgate.forms import parts_of
from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_bedrock import SageMaker
from headgate_bedrock.sagemaker import MOST_BYTES

DEPLOYED: Json = {
    "provider": "sagemaker",
    "region": "eu-west-1",
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI",
    "served_models": {"named": "openai/whisper-large-v3"},
}
ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
RANKED: Json = {
    "id": "rerank-1",
    "model": "BAAI/bge-reranker-v2-m3",
    "usage": {"total_tokens": 12},
    "results": [
        {"index": 1, "document": {"text": "b"}, "relevance_score": 0.9},
        {"index": 0, "document": {"text": "a"}, "relevance_score": 0.1},
    ],
}
SOUND = b"RIFF\x24\x00\x00\x00WAVEfmt \xff\r\n\r\n--x\r\n"


async def asked(
    path: str, answer: Recorded, *, headers: Mapping[str, str] | None = None, deployed: Json | None = None, **given: Any
) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what the endpoint was asked."""
    upstream = ReplayUpstream({"*": answer})
    async with gateway(SageMaker, providers={"sm": {**DEPLOYED, **(deployed or {})}}, upstream=upstream) as client:
        return await client.post(path, headers=headers or {}, **given), upstream


def form_in(request: Any) -> dict[str, bytes]:
    """The parts of a form that was sent, by name."""
    head = dict(request.headers)[b"content-type"]
    assert head.startswith(b"multipart/form-data; boundary=")
    return {part.name: part.content for part in parts_of(request.body, head.partition(b"boundary=")[2])}


async def test_rankings() -> None:
    """The body tells a container that it is to rank, and names no model; the answer comes in Cohere's shape."""
    body: Json = {"model": "sm/ranker", "query": "who?", "documents": ["a", "b"], "top_n": 2}
    reply, upstream = await asked("/v1/rerank", Recorded.from_json(RANKED), json=body)
    assert [(each["index"], each["relevance_score"]) for each in reply.json()["results"]] == [(1, 0.9), (0, 0.1)]
    request = upstream.requests[0]
    assert request.url == f"{BASE}/ranker/invocations"
    assert json.loads(request.body) == {"query": "who?", "documents": ["a", "b"], "top_n": 2}
    assert ATTRIBUTES not in dict(request.headers)


async def test_pictures() -> None:
    """A request goes on as it is, but for its model, with the path that the image's router sends it to."""
    body: Json = {"model": "sm/flux", "prompt": "a cat", "size": "512x512", "seed": 7}
    reply, upstream = await asked(
        "/v1/images/generations", Recorded.from_json({"created": 1, "data": [{"b64_json": "AA=="}]}), json=body
    )
    assert openai.types.ImagesResponse.model_validate(reply.json()).data == [openai.types.Image(b64_json="AA==")]
    request = upstream.requests[0]
    assert (request.url, json.loads(request.body)) == (
        f"{BASE}/flux/invocations",
        {"prompt": "a cat", "size": "512x512", "seed": 7},
    )
    assert dict(request.headers)[ATTRIBUTES] == b"route=/v1/images/generations"


async def test_speech() -> None:
    """Sound comes as the container sends it, with its own type, and any type is asked for."""
    wav = Recorded(headers=(("content-type", "audio/wav"),), body=SOUND)
    body: Json = {"model": "sm/tts", "input": "Grüße", "voice": "vivian", "language": "German"}
    reply, upstream = await asked("/v1/audio/speech", wav, json=body)
    assert (reply.content, reply.headers["content-type"]) == (SOUND, "audio/wav")
    head = dict(upstream.requests[0].headers)
    assert (head[ATTRIBUTES], head[b"accept"]) == (b"route=/v1/audio/speech", b"*/*")
    assert json.loads(upstream.requests[0].body) == {"input": "Grüße", "voice": "vivian", "language": "German"}


@pytest.mark.parametrize(
    ("model", "path", "told"),
    [
        ("whisperx", "/v1/audio/transcriptions", {"language": b"de"}),
        ("whisperx", "/v1/audio/translations", {"language": b"de"}),
        ("named", "/v1/audio/transcriptions", {"model": b"openai/whisper-large-v3", "language": b"de"}),
    ],
)
async def test_transcripts(model: str, path: str, told: Json) -> None:
    """A form is sent whole and signed, its file byte for byte, and names the model that the deployment says, else none."""
    reply, upstream = await asked(
        path,
        Recorded.from_json({"text": "Grüße"}),
        data={"model": f"sm/{model}", "language": "de"},
        files={"file": ("a.wav", SOUND, "audio/wav")},
    )
    assert openai.types.audio.Transcription.model_validate(reply.json()).text == "Grüße"
    request = upstream.requests[0]
    assert form_in(request) == {**told, "file": SOUND}
    assert b'filename="a.wav"' in request.body
    head = dict(request.headers)
    assert head[ATTRIBUTES] == f"route={path}".encode()
    assert request.pieces is None
    assert head[b"authorization"].startswith(b"AWS4-HMAC-SHA256 ")


async def test_edits() -> None:
    """Pictures and mask go on beside the words."""
    reply, upstream = await asked(
        "/v1/images/edits",
        Recorded.from_json({"created": 1, "data": [{"b64_json": "AA=="}]}),
        data={"model": "sm/qwen", "prompt": "snow"},
        files=[("image", ("a.png", b"\x89PNG1", "image/png")), ("mask", ("m.png", b"\x89PNG2", "image/png"))],
    )
    assert reply.json()["data"] == [{"b64_json": "AA=="}]
    assert form_in(upstream.requests[0]) == {"prompt": b"snow", "image": b"\x89PNG1", "mask": b"\x89PNG2"}
    assert dict(upstream.requests[0].headers)[ATTRIBUTES] == b"route=/v1/images/edits"


async def test_a_transcript_as_a_stream() -> None:
    """A form that asks for a stream goes where SageMaker streams, and the container's events come whole, however they are cut."""
    events = b'data: {"type":"transcript.text.delta","delta":"Gr\xc3\xbc"}\n\ndata: {"type":"transcript.text.done"}\n\n'
    reply, upstream = await asked(
        "/v1/audio/transcriptions",
        framed(events, 5),
        data={"model": "sm/whisper", "stream": "true"},
        files={"file": ("a.wav", SOUND, "audio/wav")},
    )
    assert upstream.requests[0].url == f"{BASE}/whisper/invocations-response-stream"
    assert dict(upstream.requests[0].headers)[b"accept"] == b"application/vnd.amazon.eventstream"
    assert (reply.content, reply.headers["content-type"]) == (events, "text/event-stream")


@pytest.mark.parametrize(
    ("headers", "own", "told"),
    [
        ({}, {}, b"route=/v1/audio/speech"),
        ({ATTRIBUTES.decode(): "accept_eula=true"}, {}, b"accept_eula=true,route=/v1/audio/speech"),
        ({ATTRIBUTES.decode(): "route=/v1/audio/generate"}, {}, b"route=/v1/audio/generate"),
        ({}, {ATTRIBUTES.decode(): "c=1"}, b"c=1,route=/v1/audio/speech"),
    ],
)
async def test_attributes_of_ones_own(headers: Json, own: Json, told: bytes) -> None:
    """What the caller or the deployment says stays; a path of theirs goes before the usual one."""
    wav = Recorded(headers=(("content-type", "audio/wav"),), body=SOUND)
    body: Json = {"model": "sm/tts", "input": "hi", "voice": "v"}
    _, upstream = await asked("/v1/audio/speech", wav, headers=headers, deployed={"headers": own}, json=body)
    assert dict(upstream.requests[0].headers)[ATTRIBUTES] == told


async def test_a_container_that_refuses_a_form() -> None:
    """Its own status and words come to the client."""
    reply, _ = await asked(
        "/v1/audio/transcriptions",
        model_error(400, REFUSED),
        data={"model": "sm/llama"},
        files={"file": ("a.wav", SOUND, "audio/wav")},
    )
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "the context is 4096 tokens")


async def test_a_form_that_is_too_large() -> None:
    """More than an endpoint takes is refused before anything is sent."""
    sound = b"\0" * (MOST_BYTES + 1)
    reply, upstream = await asked(
        "/v1/audio/transcriptions",
        Recorded.from_json({"text": ""}),
        data={"model": "sm/whisper"},
        files={"file": ("a.wav", sound, "audio/wav")},
    )
    assert (reply.status_code, upstream.requests) == (413, [])
