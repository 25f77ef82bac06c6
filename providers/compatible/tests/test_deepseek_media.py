"""DeepSeek's pictures, files and sound, as clients ask for them and read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from providers.compatible.tests.calls import DROP, Json, deploy_row, exchange, held, messages_request, sent_by

from headgate.errors import UnsupportedField
from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_compatible import catalogue

SOUND = bytes(range(256)) * 3
SHOWN = "data:image/png;base64,iVBORw0KGgo="
HEARD: Json = {"request_id": "r-1", "text": "Grüße", "duration_ms": 3200}


async def asked(path: str, answer: Recorded, **given: Any) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what DeepSeek was asked."""
    upstream = ReplayUpstream({"*": answer})
    settings = {"provider": "deepseek", "api_key": "sk-vendor-key"}
    async with gateway(catalogue()["deepseek"], providers={"v": settings}, upstream=upstream) as client:
        return await client.post(path, **given), upstream


def said(*parts: Json, role: str = "user") -> bytes:
    """What DeepSeek is sent for a chat request with these parts."""
    provider = deploy_row("deepseek")
    body = {"model": "deepseek-flash", "messages": [{"role": role, "content": list(parts)}]}
    return held(provider.prepare(exchange(provider, body)))


# files


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ({"file_id": "file-api-1"}, {"file_id": "file-api-1"}),
        ({"file_id": "file-api-1", "filename": "a.png"}, {"file_id": "file-api-1"}),
        ({"file_data": SHOWN, "filename": "a.png"}, {"file_data": SHOWN, "filename": "a.png"}),
    ],
    ids=["uploaded", "uploaded and named", "inline"],
)
def test_a_file_is_named_beside_its_type(file: Json, told: Json) -> None:
    """What OpenAI's clients put into `file` stands beside the type there, an id without a name, and all else stays as it is."""
    text: Json = {"type": "text", "text": 'read "file"'}
    content = json.loads(said(text, {"type": "file", "file": file}))["messages"][0]["content"]
    assert content == [text, {"type": "file", **told}]


@pytest.mark.parametrize(
    "content",
    [
        b'[ {"type": "file", "file_id": "file-api-1"} ]',
        b'[{"type":"file"}, {"type":"file","file":"f"}, 1]',
        b'"a \\"file\\" here"',
        b"7",
    ],
    ids=["theirs", "neither", "a text", "nothing of the kind"],
)
def test_other_files_keep_their_bytes(content: bytes) -> None:
    """A file as DeepSeek has it, and what is nobody's, pass byte for byte."""
    provider = deploy_row("deepseek")
    body = b'{"model": "m", "messages": [{"role": "user", "content": %b}, {"role": "user"}]}' % content
    assert held(provider.prepare(exchange(provider, body))) == body


def test_only_users_name_files() -> None:
    """A file in another's turn is the vendor's to refuse."""
    part: Json = {"type": "file", "file": {"file_id": "file-api-1"}}
    assert json.loads(said(part, role="system"))["messages"][0]["content"] == [part]


async def test_pictures_of_other_clients() -> None:
    """A translated request has its pictures by URL or bytes; a document goes by the id of a file alone, and is refused."""
    picture: Json = {"type": "image", "source": {"type": "url", "url": "https://p.example/1"}}
    sent, dropped = await sent_by("deepseek", messages_request({"role": "user", "content": [picture]}))
    shown = {"type": "image_url", "image_url": {"url": "https://p.example/1"}}
    assert (sent["messages"][0]["content"], dropped) == ([shown], [])
    paper: Json = {"type": "document", "source": {"type": "url", "url": "https://p.example/1.pdf"}}
    with pytest.raises(UnsupportedField, match=r"`messages\[0\].content` .*kind `file`"):
        await sent_by("deepseek", messages_request({"role": "user", "content": [paper]}))


@pytest.mark.parametrize("betas", ["", "files-api-2025-04-14", "context-1m-2025-08-07"])
@pytest.mark.parametrize(("below", "method"), [("", "GET"), ("?limit=3", "GET"), ("/file-api-1", "DELETE")])
async def test_files_of_anthropics_clients(betas: str, below: str, method: str) -> None:
    """Clients that name Anthropic's version have files in the shape they know, with the beta that is wanted there."""
    upstream = ReplayUpstream({"*": Recorded.from_json({"data": [], "has_more": False})})
    settings = {"provider": "deepseek", "api_key": "sk-vendor-key"}
    headers = {
        "x-headgate-provider": "v",
        "anthropic-version": "2023-06-01",
        **({"anthropic-beta": betas} if betas else {}),
    }
    async with gateway(catalogue()["deepseek"], providers={"v": settings}, upstream=upstream) as client:
        assert (await client.request(method, f"/v1/files{below}", headers=headers)).status_code == 200
        del headers["anthropic-version"]
        assert (await client.request(method, f"/v1/files{below}", headers=headers)).status_code == 200
    theirs, plain = upstream.requests
    assert theirs.url == f"https://api.deepseek.com/anthropic/v1/files{below}"
    sent = dict(theirs.headers)
    assert sent[b"anthropic-version"] == b"2023-06-01"
    wanted = {name for name in (betas, "files-api-2025-04-14") if name}
    assert set(sent[b"anthropic-beta"].decode().split(",")) == wanted
    assert plain.url == f"https://api.deepseek.com/files{below}"
    assert b"anthropic-beta" not in dict(plain.headers)


# sound


@pytest.mark.parametrize(("wanted", "kind"), [({}, "wav"), ({"response_format": "pcm"}, "pcm")])
async def test_speech(wanted: Json, kind: str) -> None:
    """A text is spoken by a voice of theirs, as WAV where no format is named; what only they know passes."""
    idle: Json = {"model": "v/tts", "input": "Grüße", "voice": "tide", "speed": 1.0, "filter_markdown": False}
    answer = Recorded(headers=(("content-type", "audio/wav"),), body=SOUND)
    reply, upstream = await asked("/v1/audio/speech", answer, json=idle | wanted)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, "audio/wav", SOUND)
    assert upstream.requests[-1].url == "https://api.deepseek.com/v1/tools/tts"
    sent = json.loads(upstream.requests[-1].body)
    assert sent == {"text": "Grüße", "voice_id": "tide", "format": kind, "filter_markdown": False}


@pytest.mark.parametrize(
    ("field", "value"),
    [("response_format", "mp3"), ("speed", 2), ("instructions", "slowly"), ("stream_format", "sse")],
)
async def test_what_speech_cannot_be_told(field: str, value: object) -> None:
    """A wish that there are no words for is refused by name, or left out and named."""
    body: Json = {"model": "v/tts", "input": "hi", field: value}
    reply, upstream = await asked("/v1/audio/speech", Recorded(body=SOUND), json=body)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, field, [])
    headers = {name.decode(): given.decode() for name, given in DROP.items()}
    reply, upstream = await asked("/v1/audio/speech", Recorded(body=SOUND), json=body, headers=headers)
    assert (reply.status_code, reply.headers["x-headgate-dropped"]) == (200, field)
    assert json.loads(upstream.requests[-1].body) == {"text": "hi", "format": "wav"}


async def test_transcripts() -> None:
    """The sound alone is sent, and the text of the answer stands where clients look for it; a language only hints."""
    fields = {"model": "v/asr", "language": "de", "response_format": "json"}
    files = {"file": ("a.wav", b"RIFF" + SOUND, "audio/wav")}
    reply, upstream = await asked("/v1/audio/transcriptions", Recorded.from_json(HEARD), data=fields, files=files)
    assert (reply.status_code, reply.json(), reply.headers["x-headgate-dropped"]) == (200, HEARD, "language")
    request = upstream.requests[-1]
    assert request.url == "https://api.deepseek.com/v1/tools/asr"
    body = held(request)
    assert b'name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF' + SOUND in body
    assert body.count(b"Content-Disposition") == 1


@pytest.mark.parametrize(("field", "value"), [("response_format", "srt"), ("prompt", "p"), ("stream", "true")])
async def test_what_transcripts_cannot_be_told(field: str, value: str) -> None:
    """A wish that there are no words for is refused by name, and nothing is sent."""
    files = {"file": ("a.wav", SOUND, "audio/wav")}
    fields = {"model": "v/asr", field: value}
    reply, upstream = await asked("/v1/audio/transcriptions", Recorded.from_json(HEARD), data=fields, files=files)
    assert (reply.status_code, reply.json()["error"]["param"], upstream.requests) == (400, field, [])


# what is at `/beta`

STRICT: Json = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}}
LOOSE: Json = {"type": "function", "function": {"name": "f", "strict": False, "parameters": {"type": "object"}}}
ASK: Json = {"role": "user", "content": 'say "strict" and "prefix"'}
BEGUN: Json = {"role": "assistant", "content": "```python", "prefix": True}
PLAIN_CHAT = "https://api.deepseek.com/chat/completions"
BETA_CHAT = "https://api.deepseek.com/beta/chat/completions"


@pytest.mark.parametrize(
    ("more", "base", "url"),
    [
        ({"tools": [LOOSE, STRICT]}, "", BETA_CHAT),
        ({"messages": [ASK, BEGUN]}, "", BETA_CHAT),
        ({"messages": [ASK, BEGUN], "stream": True}, "https://api.deepseek.com/v1", BETA_CHAT),
        ({"tools": [STRICT]}, "https://api.deepseek.com/beta", BETA_CHAT),
        ({"tools": [STRICT]}, "https://mirror.example/v1", "https://mirror.example/v1/chat/completions"),
        ({}, "", PLAIN_CHAT),
        ({"tools": [LOOSE]}, "", PLAIN_CHAT),
        ({"messages": [BEGUN, ASK]}, "", PLAIN_CHAT),
        ({"messages": [ASK, {**BEGUN, "prefix": False}]}, "", PLAIN_CHAT),
        ({"tools": "strict", "messages": 1}, "", PLAIN_CHAT),
    ],
    ids=["strict", "prefix", "v1", "beta", "mirror", "plain", "loose", "an old prefix", "no prefix", "nonsense"],
)
def test_what_is_beta_goes_there(more: Json, base: str, url: str) -> None:
    """Strict tools and answers with a beginning are known below `/beta` alone; the body stays as it is, and so do other hosts."""
    provider = deploy_row("deepseek", base_url=base)
    body = {"model": "deepseek-flash", "messages": [ASK], **more}
    request = provider.prepare(exchange(provider, body))
    assert (request.url, json.loads(held(request))) == (url, body)


async def test_a_strict_tool_of_another_api_goes_there() -> None:
    """A tool that a translated request calls strict is one as well."""
    tool: Json = {"name": "f", "strict": True, "input_schema": {"type": "object", "properties": {}}}
    upstream = ReplayUpstream({"*": Recorded.from_json({"error": {"message": "no"}}, 400)})
    settings = {"provider": "deepseek", "api_key": "sk-vendor-key", "messages": "chat"}
    async with gateway(catalogue()["deepseek"], providers={"v": settings}, upstream=upstream) as client:
        body: Json = {"model": "v/deepseek-flash", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        await client.post("/v1/messages", json={**body, "tools": [tool]})
        await client.post("/v1/messages", json=body)
    assert [each.url for each in upstream.requests] == [BETA_CHAT, PLAIN_CHAT]
