"""Pictures, sound, moderations, files, batches and fine-tuning with the `openai` package."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from tests.door.upstream import STREAM_HEAD, Call, Upstream, json_response, reply_with, response, sse
from tests.harness import CANARY, Gateway, chunked

PROVIDER = {"x-headgate-provider": "mock"}
PICTURE = base64.b64encode(bytes(range(256)) * 2000).decode()
USED = {
    "input_tokens": 50,
    "input_tokens_details": {"image_tokens": 40, "text_tokens": 10},
    "output_tokens": 30,
    "total_tokens": 80,
}
MIB = 1024 * 1024


def parts_of(call: Call) -> list[tuple[str, bytes]]:
    """The parts of a form, as (head, content)."""
    kind = call.header("content-type") or ""
    assert kind.startswith("multipart/form-data; boundary=")
    boundary = kind.partition("boundary=")[2].strip('"').encode()
    *parts, end = call.body.split(b"--" + boundary)
    assert (parts[0], end.strip()) == (b"", b"--")
    split = [part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n") for part in parts[1:]]
    return [(head.decode(), content) for head, _, content in split]


def fields_of(call: Call) -> dict[str, bytes]:
    return {head.partition('name="')[2].partition('"')[0]: content for head, content in parts_of(call)}


async def test_images_generate(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """Pictures are made by the model's deployment, and come back with what they used."""
    upstream.script = reply_with(json_response({"created": 1, "data": [{"b64_json": PICTURE}], "usage": USED}))
    made = await async_client.images.generate(model="m", prompt="a cat", size="1024x1024")
    assert made.data is not None
    assert made.data[0].b64_json == PICTURE
    assert made.usage is not None
    assert (made.usage.input_tokens, made.usage.output_tokens) == (50, 30)
    call = await upstream.call()
    assert (call.target, call.header("authorization")) == ("/v1/images/generations", f"Bearer {CANARY}")
    assert call.json == {"model": "some-model", "prompt": "a cat", "size": "1024x1024"}


async def test_images_generate_as_a_stream(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """Partial pictures come one after the other, then the whole one."""
    said = [
        {"type": "image_generation.partial_image", "b64_json": PICTURE, "partial_image_index": 0},
        {"type": "image_generation.completed", "b64_json": PICTURE, "usage": USED},
    ]
    stream = b"".join(chunked(b"event: %s\n" % str(each["type"]).encode() + sse(each)) for each in said)
    upstream.script = reply_with(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + stream + b"0\r\n\r\n")
    events = await async_client.images.generate(model="m", prompt="a cat", stream=True, partial_images=1)
    assert [event.type async for event in events] == [each["type"] for each in said]
    assert (await upstream.call()).json["stream"] is True


async def test_images_edit(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """Several pictures and a mask go as a form to the model's deployment; only the model's name is another."""
    upstream.script = reply_with(json_response({"created": 1, "data": [{"b64_json": PICTURE}], "usage": USED}))
    pictures = [("a.png", b"\x89PNG" + bytes(range(256))), ("b.png", b"\x89PNG" * 9)]
    made = await async_client.images.edit(
        model="m", image=pictures, mask=("mask.png", b"\x89PNGmask"), prompt="a grey cat", n=2
    )
    assert made.data is not None
    assert made.data[0].b64_json == PICTURE
    call = await upstream.call()
    assert call.target == "/v1/images/edits"
    assert call.header("content-length") == str(len(call.body))
    parts = parts_of(call)
    assert [content for head, content in parts if 'name="image[]"' in head] == [data for _, data in pictures]
    fields = fields_of(call)
    assert (fields["model"], fields["prompt"], fields["n"]) == (b"some-model", b"a grey cat", b"2")
    assert fields["mask"] == b"\x89PNGmask"


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_images_variations(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """A form that names no model goes where the header says, and is refused where it says OpenAI, which has retired it."""
    upstream.script = reply_with(json_response({"created": 1, "data": [{"url": "https://a.example/1.png"}]}))
    images: Any = async_client.images
    there = {"x-headgate-provider": "deepinfra"}
    made = await images.create_variation(image=("a.png", b"\x89PNG"), extra_headers=there)
    assert made.data[0].url == "https://a.example/1.png"
    assert fields_of(await upstream.call()) == {"image": b"\x89PNG"}
    with pytest.raises(openai.BadRequestError) as caught:
        await images.create_variation(image=("a.png", b"\x89PNG"))
    assert caught.value.code == "missing_model"
    with pytest.raises(openai.BadRequestError) as caught:
        await images.create_variation(image=("a.png", b"\x89PNG"), extra_headers=PROVIDER)
    assert caught.value.code == "unsupported_operation"


async def test_a_large_transcription(gateway: Gateway, async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """A recording of 20 MB is transcribed, and the gateway holds none of it."""
    upstream.script = reply_with(json_response({"text": "heard", "usage": {"type": "duration", "seconds": 600}}))
    sound = bytes(range(256)) * (20 * MIB // 256)

    async def transcribe() -> str:
        heard = await async_client.audio.transcriptions.create(
            model="m", file=("talk.wav", io.BytesIO(sound)), language="en", timestamp_granularities=["word"]
        )
        return heard.text

    assert await transcribe() == "heard"
    before = gateway.resident_bytes()
    gateway.forget_peak()
    assert await transcribe() == "heard"
    assert gateway.peak_bytes() - before < 4 * MIB
    fields = fields_of(await upstream.call(1))
    assert fields["file"] == sound
    assert (fields["model"], fields["language"], fields["timestamp_granularities[]"]) == (b"some-model", b"en", b"word")


async def test_a_transcription_as_text(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """Plain text and subtitles come as they are."""
    subtitles = b"1\n00:00:00,000 --> 00:00:01,000\nheard\n"
    upstream.script = reply_with(response(subtitles, headers=b"content-type: text/plain\r\n"))
    heard: Any = await async_client.audio.transcriptions.create(
        model="m", file=("talk.wav", b"RIFF"), response_format="srt"
    )
    assert heard == subtitles.decode()


async def test_a_transcription_as_a_stream(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """Pieces of the text come as they are heard."""
    said = [
        {"type": "transcript.text.delta", "delta": "I "},
        {"type": "transcript.text.delta", "delta": "heard"},
        {"type": "transcript.text.done", "text": "I heard"},
    ]
    stream = b"".join(chunked(sse(each)) for each in said)
    upstream.script = reply_with(STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + stream + b"0\r\n\r\n")
    events = await async_client.audio.transcriptions.create(model="m", file=("talk.wav", b"RIFF"), stream=True)
    assert [event.type async for event in events] == [each["type"] for each in said]
    assert fields_of(await upstream.call())["stream"] == b"true"


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_a_translation(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """Speech in another language becomes English text."""
    upstream.script = reply_with(json_response({"text": "hello"}))
    translations: Any = async_client.audio.translations
    heard = await translations.create(model="m", file=("talk.wav", b"RIFF"))
    assert heard.text == "hello"
    assert (await upstream.call()).target == "/v1/audio/translations"


async def test_speech_is_streamed(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """Sound reaches the client as it is made: the first of it is heard while the vendor still speaks."""
    first, rest = bytes(range(256)) * 8, b"\xff\xfb" * 4000
    heard = asyncio.Event()

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n")
        await call.send(chunked(first))
        async with asyncio.timeout(5):
            await heard.wait()
        await call.send(chunked(rest) + b"0\r\n\r\n")

    upstream.script = script
    got = b""
    async with async_client.audio.speech.with_streaming_response.create(
        model="m", voice="alloy", input="hello there"
    ) as speech:
        assert speech.headers["content-type"] == "audio/mpeg"
        async for piece in speech.iter_bytes(512):
            got += piece
            if len(got) >= len(first) // 2:
                heard.set()
    assert got == first + rest
    assert (await upstream.call()).json == {"model": "some-model", "voice": "alloy", "input": "hello there"}


async def test_moderations(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """Moderations go to the model's deployment, or without a model to the deployment that is named."""
    upstream.script = reply_with(json_response({"id": "modr-1", "model": "omni", "results": []}))
    assert (await async_client.moderations.create(model="m", input=["one", "two"])).id == "modr-1"
    assert (await async_client.moderations.create(input="one", extra_headers=PROVIDER)).id == "modr-1"
    assert [call.json for call in upstream.calls] == [
        {"model": "some-model", "input": ["one", "two"]},
        {"input": "one"},
    ]


def stored(number: int) -> dict[str, Any]:
    return {
        "id": f"file-{number}",
        "object": "file",
        "bytes": 5,
        "created_at": 1,
        "filename": "a.jsonl",
        "purpose": "batch",
        "status": "processed",
    }


async def test_files(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """A file is stored, listed, read and deleted."""
    data = b'{"custom_id": "1"}\r\n\x00\xff' * 100_000

    async def script(call: Call) -> None:
        match call.method, call.target.partition("?")[0]:
            case "POST", "/v1/files":
                await call.send(json_response(stored(1)))
            case "GET", "/v1/files":
                await call.send(json_response({"object": "list", "data": [stored(1), stored(2)], "has_more": False}))
            case "GET", "/v1/files/file-1":
                await call.send(json_response(stored(1)))
            case "GET", "/v1/files/file-1/content":
                await call.send(response(data, headers=b"content-type: application/octet-stream\r\n"))
            case "DELETE", "/v1/files/file-1":
                await call.send(json_response({"id": "file-1", "object": "file", "deleted": True}))
            case _:
                await call.send(json_response({}, "404 Not Found"))

    upstream.script = script
    files = async_client.with_options(default_headers=PROVIDER).files
    made = await files.create(file=("a.jsonl", data), purpose="batch")
    assert made.id == "file-1"
    assert fields_of(upstream.calls[0])["file"] == data
    assert [item.id async for item in await files.list(purpose="batch")] == ["file-1", "file-2"]
    assert (await files.retrieve("file-1")).bytes == 5
    assert (await files.content("file-1")).content == data
    assert (await files.delete("file-1")).deleted


async def test_uploads_in_parts(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """A large file goes up in parts."""
    told = {
        "id": "upload_1",
        "object": "upload",
        "bytes": 4,
        "created_at": 1,
        "expires_at": 2,
        "filename": "a",
        "purpose": "batch",
        "status": "pending",
    }

    async def script(call: Call) -> None:
        is_part = call.target.endswith("/parts")
        part = {"id": "part_1", "object": "upload.part", "created_at": 1, "upload_id": "upload_1"}
        await call.send(json_response(part if is_part else told))

    upstream.script = script
    uploads = async_client.with_options(default_headers=PROVIDER).uploads
    made = await uploads.create(bytes=4, filename="a", mime_type="text/jsonl", purpose="batch")
    part = await uploads.parts.create(made.id, data=b"a" * 200_000)
    assert (await uploads.complete(made.id, part_ids=[part.id])).id == "upload_1"
    assert [call.target for call in upstream.calls] == [
        "/v1/uploads",
        "/v1/uploads/upload_1/parts",
        "/v1/uploads/upload_1/complete",
    ]


async def test_batches(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """Batches are made, listed and cancelled."""
    told = {
        "id": "batch_1",
        "object": "batch",
        "completion_window": "24h",
        "created_at": 1,
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-1",
        "status": "validating",
    }

    async def script(call: Call) -> None:
        is_list = call.method == "GET"
        await call.send(json_response({"object": "list", "data": [told], "has_more": False} if is_list else told))

    upstream.script = script
    batches = async_client.with_options(default_headers=PROVIDER).batches
    made = await batches.create(input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h")
    assert made.id == "batch_1"
    assert [item.id async for item in await batches.list(limit=1)] == ["batch_1"]
    assert (await batches.cancel("batch_1")).id == "batch_1"
    assert [(call.method, call.target) for call in upstream.calls] == [
        ("POST", "/v1/batches"),
        ("GET", "/v1/batches?limit=1"),
        ("POST", "/v1/batches/batch_1/cancel"),
    ]


async def test_fine_tuning(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """A job is made for the model's deployment; what follows names the deployment itself."""
    told = {"id": "ftjob-1", "object": "fine_tuning.job", "model": "some-model", "status": "queued", "created_at": 1}
    upstream.script = reply_with(json_response(told))
    jobs = async_client.fine_tuning.jobs
    assert (await jobs.create(model="m", training_file="file-1")).id == "ftjob-1"
    assert (await jobs.retrieve("ftjob-1", extra_headers=PROVIDER)).model == "some-model"
    assert upstream.calls[0].json == {"model": "some-model", "training_file": "file-1"}
    assert upstream.calls[1].target == "/v1/fine_tuning/jobs/ftjob-1"


async def test_errors_are_the_vendor_s(async_client: AsyncOpenAI, upstream: Upstream) -> None:
    """A refusal of a form is raised as the package raises it for the vendor."""
    told = {"error": {"message": "Audio file is too short", "type": "invalid_request_error", "code": "audio_too_short"}}
    upstream.script = reply_with(json_response(told, "400 Bad Request"))
    with pytest.raises(openai.BadRequestError) as caught:
        await async_client.audio.transcriptions.create(model="m", file=("a.wav", b"RIFF"))
    assert caught.value.code == "audio_too_short"
    assert json.loads(caught.value.response.content) == told
