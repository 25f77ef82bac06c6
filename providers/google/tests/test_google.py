"""What leaves the gateway for the Gemini API and what comes back, relayed and translated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest
from typing_extensions import override

from headgate.chat import ChatRequest, Image, Message, Opaque, Text, Thinking
from headgate.dialects import Dialect, Gaps, OpenAIChat
from headgate.dialects.google.generate import GoogleGenerate
from headgate.errors import InvalidRequest, ProviderFailed, StartupError
from headgate.exchange import Attempt, Exchange, Principal, Reply, Target
from headgate.operations import (
    BATCHES,
    CHAT,
    EMBED_CONTENT,
    EMBED_CONTENTS,
    EMBEDDINGS,
    GENERATE,
    GENERATE_BATCH,
    GENERATE_CACHES,
    GENERATE_COUNT,
    GENERATE_LIVE,
    GENERATE_UPLOADS,
    IMAGES_GENERATE,
    PASSTHROUGH,
    Operation,
)
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import ProviderContract, Recorded, ReplayUpstream, gateway
from headgate_google import Google

BASE = "https://generativelanguage.googleapis.com/v1beta"
MODEL = "gemini-2.5-flash"
BODY = b'{ "contents": [{"parts": [{"text": "Gr\xc3\xbc\xc3\x9fe"}]}],\n "generationConfig": {"temperature": 0.10} }'
HEAD = {"modelVersion": MODEL, "responseId": "resp_sample"}
USED = {
    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 1, "totalTokenCount": 12}
}
CALL = {"functionCall": {"name": "weather", "args": {"city": "Montr\u00e9al"}}, "thoughtSignature": "c2ln"}
GOOGLE = GoogleGenerate()


def chunk(*parts: Mapping[str, Any], finish: str | None = None, used: bool = False) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **HEAD, **(USED if used else {})}


def streamed(*chunks: Mapping[str, Any]) -> Recorded:
    body = b"".join(b"data: " + msgspec.json.encode(one) + b"\r\n\r\n" for one in chunks)
    return Recorded(headers=(("content-type", "text/event-stream"),), body=body, framing="chunked")


def failed(status: int, word: str) -> Recorded:
    return Recorded.from_json({"error": {"code": status, "message": f"sample of {status}", "status": word}}, status)


REPLY = Recorded.from_json(chunk({"text": "Hello there, Jürgen"}, finish="STOP", used=True))
STREAM = streamed(
    chunk({"text": "Hello"}),
    chunk({"text": " there,\u2028 "}),
    chunk({"text": "Jürgen \U0001f600"}),
    chunk({"text": "", "thoughtSignature": "c2ln"}, finish="STOP", used=True),
)


class TestContract(ProviderContract):
    """The Gemini API keeps what every provider promises, for clients of its own dialect."""

    provider = Google
    operation = GENERATE
    url = f"{BASE}/models/{MODEL}:generateContent"
    request = BODY
    reply = REPLY
    stream = STREAM
    tool_reply = Recorded.from_json(chunk({"text": "Let me see."}, CALL, finish="STOP", used=True))
    tool_stream = streamed(chunk(CALL), chunk({"text": ""}, finish="STOP", used=True))
    usage = (9, 3)
    errors: ClassVar[Mapping[int, Recorded]] = {
        400: failed(400, "INVALID_ARGUMENT"),
        403: failed(403, "PERMISSION_DENIED"),
        404: failed(404, "NOT_FOUND"),
        429: failed(429, "RESOURCE_EXHAUSTED"),
        503: failed(503, "UNAVAILABLE"),
        502: Recorded(status=502, headers=(("content-type", "text/html"),), body=b"<html>Bad Gateway</html>"),
    }

    @property
    @override
    def dialect(self) -> Dialect:
        return GOOGLE

    @override
    def exchange(self, provider: Provider, *, stream: bool = False) -> Exchange:
        ex = exchange(provider, stream=stream)
        ex.principal = Principal("contract")
        return ex


def deploy(upstream: ReplayUpstream | None = None, **config: Any) -> Google:
    held: dict[str, Any] = {"provider": "google", "api_key": Secret("AIza-deployment"), **config}
    return Google("main", Google.Config(**held), upstream or ReplayUpstream())


def exchange(
    provider: Provider | None = None,
    operation: Operation = GENERATE,
    *,
    model: str = MODEL,
    body: bytes = BODY,
    stream: bool = False,
    target: Target | None = None,
    **request: Any,
) -> Exchange:
    dialects = {"generate": GOOGLE, "chat": OpenAIChat()}
    ex = Exchange(operation, {}, request_id="r", trace_id="t", dialect=dialects.get(operation.name), **request)
    ex.body, ex.model, ex.stream = body, model, stream
    ex.attempt = Attempt(target or Target(deployment="main"), provider or deploy(), model, 0.0)
    return ex


@pytest.mark.parametrize(
    ("operation", "model", "stream", "path"),
    [
        (GENERATE, MODEL, False, f"/models/{MODEL}:generateContent"),
        (GENERATE, MODEL, True, f"/models/{MODEL}:streamGenerateContent?alt=sse"),
        (GENERATE, f"models/{MODEL}", False, f"/models/{MODEL}:generateContent"),
        (GENERATE, "tunedModels/mine", False, "/tunedModels/mine:generateContent"),
        (GENERATE_COUNT, MODEL, False, f"/models/{MODEL}:countTokens"),
        (EMBED_CONTENTS, MODEL, False, f"/models/{MODEL}:batchEmbedContents"),
        (EMBED_CONTENT, MODEL, False, f"/models/{MODEL}:embedContent"),
        (GENERATE, "../files?x=#", False, "/models/..%2Ffiles%3Fx%3D%23:generateContent"),
        (GENERATE, "tunedModels/a/../b", False, "/tunedModels/a%2F..%2Fb:generateContent"),
    ],
)
def test_where_calls_go(operation: Operation, model: str, stream: bool, path: str) -> None:
    """The model and the method stand in the path, whose pieces hold whatever characters a name has."""
    assert deploy().prepare(exchange(None, operation, model=model, stream=stream)).url == BASE + path


def test_embeddings_name_the_model_that_is_meant() -> None:
    """A client's alias gives way to the model, also inside of a batch; a target's overrides are put in, the rest stays."""
    body = b'{"requests":[{"model":"models/alias","title":"T"},{"model":"models/alias"}]}'
    sent = deploy().prepare(exchange(None, EMBED_CONTENTS, body=body)).body
    assert sent == body.replace(b"alias", MODEL.encode())
    target = Target(deployment="main", override_params={"outputDimensionality": 8})
    sent = deploy().prepare(exchange(None, EMBED_CONTENT, body=b'{"content":{}}', target=target)).body
    assert msgspec.json.decode(sent) == {"content": {}, "model": f"models/{MODEL}", "outputDimensionality": 8}


@pytest.mark.parametrize(
    ("operation", "body", "wanted"),
    [
        (GENERATE_CACHES, {"model": "models/alias", "contents": []}, {"model": f"models/{MODEL}", "contents": []}),
        (GENERATE_CACHES, {"ttl": "60s"}, {"ttl": "60s"}),
        (
            GENERATE_BATCH,
            {"batch": {"model": "models/alias", "inputConfig": {"fileName": "files/a"}}},
            {"batch": {"model": f"models/{MODEL}", "inputConfig": {"fileName": "files/a"}}},
        ),
        (
            GENERATE_BATCH,
            {"batch": {"input_config": {"requests": {"requests": [{"request": {"model": "models/other"}}, {}]}}}},
            {"batch": {"input_config": {"requests": {"requests": [{"request": {"model": f"models/{MODEL}"}}, {}]}}}},
        ),
        (GENERATE_BATCH, {"batch": {"inputConfig": {"requests": 5}, "model": 1}}, None),
    ],
)
def test_what_is_kept_is_for_the_model_that_was_allowed(operation: Operation, body: Any, wanted: Any) -> None:
    """Wherever a body names a model it is the one that the path or the alias stands for, in each request of a batch too."""
    wanted = wanted or {"batch": {"inputConfig": {"requests": 5}, "model": f"models/{MODEL}"}}
    sent = deploy().prepare(exchange(None, operation, body=msgspec.json.encode(body))).body
    assert msgspec.json.decode(sent) == wanted


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (b'{"contents":  []}', b'{"contents":  []}'),
        (b'{"generateContentRequest":  {"contents": []}}', b'{"generateContentRequest":  {"contents": []}}'),
        (
            b'{"contents":[],"systemInstruction":{}}',
            f'{{"generateContentRequest":{{"model":"models/{MODEL}","contents":[],"systemInstruction":{{}}}}}}'.encode(),
        ),
        (
            b'{"model":"projects/p/models/alias","contents":[]}',
            f'{{"generateContentRequest":{{"model":"models/{MODEL}","contents":[]}}}}'.encode(),
        ),
        (
            b'{"generateContentRequest":{"model":"models/mine/alias","contents":[]}}',
            f'{{"generateContentRequest":{{"model":"models/{MODEL}","contents":[]}}}}'.encode(),
        ),
        (b'{"generate_content_request":  {"contents": []}}', b'{"generate_content_request":  {"contents": []}}'),
    ],
)
def test_counts_in_both_shapes(asked: bytes, sent: bytes) -> None:
    """Clients of Vertex AI put beside the contents what the Gemini API takes one level deeper; the model is that of the path."""
    assert deploy().prepare(exchange(None, GENERATE_COUNT, body=asked)).body == sent


@pytest.mark.parametrize(
    ("base", "version"),
    [("https://own.example", "v1beta"), ("https://own.example/v1", "v1"), ("https://own.example/g/v1", "v1")],
)
def test_what_stands_beside_the_version(base: str, version: str) -> None:
    """Uploads and sessions stay at the host of a base URL, whether or not it ends in a version."""
    provider, root = deploy(base_url=base), base.removesuffix("/v1")
    uploads = provider.url_for(exchange(provider, GENERATE_UPLOADS, path="/upload/v1beta/files"))
    assert uploads == f"{root}/upload/{version}/files"
    live = provider.url_for(exchange(provider, GENERATE_LIVE, path=GENERATE_LIVE.path))
    assert live == root + GENERATE_LIVE.path.replace("v1beta", version)


def test_passthrough_keeps_its_path() -> None:
    """Any other path is called below the base URL."""
    ex = exchange(None, PASSTHROUGH, path="/v1/cachedContents", query=b"pageSize=5")
    assert deploy().prepare(ex).url == f"{BASE}/cachedContents?pageSize=5"


@pytest.mark.parametrize(
    ("path", "method", "query", "wanted"),
    [
        ("/v1/batches", "POST", b"", "/openai/batches"),
        ("/v1/batches", "GET", b"limit=2", "/openai/batches?limit=2"),
        ("/v1/batches/batches%2Fb1", "GET", b"", "/openai/batches/batches%2Fb1"),
        ("/v1/batches/b1/cancel", "POST", b"", "/openai/batches/b1/cancel"),
    ],
)
def test_batches_are_in_the_layer(path: str, method: str, query: bytes, wanted: str) -> None:
    """Batches in OpenAI's shape go to Google's layer for it as they come, with the key as that layer takes it."""
    body = b'{"input_file_id": "files/abc",  "endpoint": "/v1/chat/completions", "completion_window": "24h"}'
    request = deploy().prepare(exchange(None, BATCHES, model="", body=body, path=path, method=method, query=query))
    assert (request.url, request.body) == (BASE + wanted, body)
    assert request.credential is not None
    assert request.credential.field() == (b"authorization", b"Bearer AIza-deployment")


async def test_pictures_are_made_in_the_layer() -> None:
    """A client of OpenAI's pictures gets them from Google's layer for that, under the model's own name; so do its errors."""
    made = Recorded.from_json({"created": 1, "data": [{"b64_json": "aGVsbG8="}]})
    upstream = ReplayUpstream({"*": made})
    config = {"g": {"provider": "google", "api_key": "AIza-deployment"}}
    body = {"model": "g/gemini-2.5-flash-image", "prompt": "Grüße", "n": 1, "response_format": "b64_json"}
    async with gateway(Google, providers=config, upstream=upstream) as client:
        reply = await client.post("/v1/images/generations", json=body)
        assert (reply.status_code, reply.content) == (200, made.body)
        upstream.answer("*", Recorded.from_json([{"error": {"code": 429, "message": "slow down"}}], 429))
        refused = await client.post("/v1/images/generations", json=body)
    assert (refused.status_code, refused.json()["error"]["message"]) == (429, "slow down")
    request = upstream.requests[-1]
    assert request.url == f"{BASE}/openai/images/generations"
    assert json.loads(request.body) == {**body, "model": "gemini-2.5-flash-image"}
    assert request.credential is not None
    assert request.credential.field() == (b"authorization", b"Bearer AIza-deployment")
    target = Target(deployment="main", override_params={"n": 2})
    sent = deploy().prepare(exchange(None, IMAGES_GENERATE, body=b'{"model":"x","prompt":"p"}', target=target)).body
    assert json.loads(sent) == {"model": MODEL, "prompt": "p", "n": 2}


def test_a_base_url_of_the_caller() -> None:
    """The call goes there, and the deployment's key is not bound to it."""
    ex = exchange()
    ex.base_url = "https://proxy.example/v1beta/"
    request = deploy().prepare(ex)
    assert request.url == f"https://proxy.example/v1beta/models/{MODEL}:generateContent"
    assert request.credential is not None
    assert request.credential.origins == frozenset({"https://generativelanguage.googleapis.com:443"})


def test_the_key_is_a_header() -> None:
    """Google's own header carries it, without a prefix."""
    credential = deploy().prepare(exchange()).credential
    assert credential is not None
    assert credential.field() == (b"x-goog-api-key", b"AIza-deployment")


def test_bytes_are_forwarded() -> None:
    """A body of Google's own dialect goes out as it came; a target's overrides replace whole members."""
    assert deploy().prepare(exchange()).body == BODY
    target = Target(deployment="main", override_params={"generationConfig": {"temperature": 1}, "labels": {}})
    sent = deploy().prepare(exchange(target=target)).body
    assert json.loads(sent) == {**json.loads(BODY), "generationConfig": {"temperature": 1}, "labels": {}}


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either of the usual variables switches it on, the newer name first."""
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert Google.from_environment() is None
    monkeypatch.setenv("GOOGLE_API_KEY", "a")
    assert Google.from_environment() == {"provider": "google", "api_key": "env:GOOGLE_API_KEY"}
    monkeypatch.setenv("GEMINI_API_KEY", "b")
    assert Google.from_environment() == {"provider": "google", "api_key": "env:GEMINI_API_KEY"}


def test_a_key_is_needed() -> None:
    """A deployment without a key cannot start, and the message says where the key usually is."""
    with pytest.raises(StartupError, match="GEMINI_API_KEY"):
        deploy(api_key=None)


def test_what_it_speaks() -> None:
    """Chat of any dialect becomes `generate`; what Gemini's dialect does not have is refused."""
    provider = deploy()
    assert provider.spoken(exchange(), MODEL) == ("generate", "google.generate")
    assert provider.spoken(exchange(None, CHAT), MODEL) == ("generate", "google.generate")
    assert provider.spoken(exchange(None, GENERATE_COUNT), MODEL) == ("generate.count_tokens", "")
    assert provider.spoken(exchange(None, EMBEDDINGS), MODEL) == ("embeddings", "google.embed")


def test_policy() -> None:
    """Requests are adapted to the model, addresses judged, and only Google's own signatures of this account sent."""
    provider = deploy()
    request = ChatRequest("gemini-3-flash-preview", (Message("user", (Text("hi"),)),), thinking=Thinking("none"))
    gaps = Gaps("google")
    assert provider.adapt(request, gaps).thinking == Thinking("minimal")
    assert gaps.dropped == ["reasoning_effort"]
    assert provider.fetches(Image(url="https://x.example/a.png"))
    assert not provider.fetches(Image(url="https://x.example/a"))
    assert provider.understands(Opaque("google", "c2ln", provider.account))
    assert not provider.understands(Opaque("google", "c2ln", "another"))
    assert not provider.understands(Opaque("anthropic", "c2ln"))


# translated

CHAT_BODY: dict[str, Any] = {
    "model": MODEL,
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_x_0", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.50}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_x_0", "content": "fine"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "max_completion_tokens": 100,
    "user": "u",
}


async def translated(
    recorded: Recorded, *, stream: bool = False, **changes: Any
) -> tuple[Reply, ReplayUpstream, Exchange]:
    """A call of an OpenAI client."""
    upstream = ReplayUpstream({"*": recorded})
    provider = deploy(upstream)
    body = msgspec.json.encode({**CHAT_BODY, "stream": stream, **changes})
    ex = exchange(provider, CHAT, body=body, stream=stream)
    assert ex.attempt is not None
    ex.attempt.operation, ex.attempt.dialect = "generate", GOOGLE
    return await provider.call(ex), upstream, ex


async def read(reply: Reply, pieces: list[bytes] | None = None) -> bytes:
    held: list[bytes] = [] if pieces is None else pieces
    if reply.chunks is None:
        return reply.body
    async for piece in reply.chunks:
        held.append(piece)  # noqa: PERF401 - what came before an error counts
    return b"".join(held)


async def test_a_translated_call() -> None:
    """An OpenAI client's request reaches Gemini in Google's words, and its answer comes back in OpenAI's."""
    reply, upstream, ex = await translated(REPLY)
    [sent] = upstream.requests
    assert sent.url == f"{BASE}/models/{MODEL}:generateContent"
    assert b'"args":{"a":1.50}' in sent.body
    assert json.loads(sent.body) == {
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1.5}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "fine"}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}],
        "generationConfig": {"maxOutputTokens": 100},
    }
    assert ex.dropped == ["user"]
    body = json.loads(reply.body)
    assert body["choices"][0]["message"]["content"] == "Hello there, Jürgen"
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (9, 3)
    assert reply.usage is not None


async def test_a_translated_stream() -> None:
    """A stream comes back as OpenAI's, whole and with its end; the same as an array that is labelled as JSON."""
    reply, upstream, _ = await translated(STREAM, stream=True)
    body = await read(reply)
    assert upstream.requests[0].url.endswith(":streamGenerateContent?alt=sse")
    assert (
        "".join(
            json.loads(event[6:])["choices"][0]["delta"].get("content") or ""
            for event in body.split(b"\n\n")
            if event.startswith(b"data: {") and b'"choices":[{' in event
        )
        == "Hello there,\u2028 Jürgen \U0001f600"
    )
    assert body.endswith(b"data: [DONE]\n\n")
    chunks = [json.loads(event[6:]) for event in STREAM.body.split(b"\r\n\r\n") if event]
    as_array, _, _ = await translated(Recorded.from_json(chunks), stream=True)
    assert b'"content":"Hello there,\xe2\x80\xa8 J\xc3\xbcrgen' in await read(as_array)


async def test_translated_calls_come_back() -> None:
    """Calls have ids and OpenAI's finish reason; the signature travels along and returns to Google."""
    tools = Recorded.from_json(chunk(CALL, finish="STOP"))
    reply, _, _ = await translated(tools)
    choice = json.loads(reply.body)["choices"][0]
    [call] = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert call["extra_content"]["google"]["thought_signature"] == "c2ln"
    answer = {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
    messages = [{"role": "user", "content": "hi"}, choice["message"], answer]
    _, upstream, _ = await translated(REPLY, messages=messages)
    sent = json.loads(upstream.requests[0].body)["contents"]
    assert sent[1]["parts"] == [CALL]
    assert sent[2]["parts"] == [{"functionResponse": {"name": "weather", "response": {"output": "sunny"}}}]


async def test_a_blocked_prompt() -> None:
    """It is an empty answer with `content_filter`, and the reason is there to be read."""
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, **HEAD}
    reply, _, _ = await translated(Recorded.from_json(blocked))
    choice = json.loads(reply.body)["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", "")
    assert choice["promptFeedback"] == {"blockReason": "SAFETY"}


async def test_translated_errors() -> None:
    """Google's errors come back in OpenAI's envelope; a bad key is 401, even where a stream was asked for."""
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    error = {"error": {"code": 400, "message": "bad key", "status": "INVALID_ARGUMENT", "details": details}}
    recorded = Recorded.from_json(error, 400).varied(headers=(("content-type", "text/event-stream"),))
    for stream in (False, True):
        reply, _, _ = await translated(recorded, stream=stream)
        assert reply.status == 401
        told = json.loads(reply.body)["error"]
        assert (told["message"], told["code"]) == ("bad key", "API_KEY_INVALID")


async def test_a_translated_stream_that_is_cut() -> None:
    """It raises, and no finish is made up."""
    reply, _, _ = await translated(streamed(chunk({"text": "Hel"}), chunk({"text": "lo"})), stream=True)
    pieces: list[bytes] = []
    with pytest.raises(ProviderFailed):
        await read(reply, pieces)
    assert b"[DONE]" not in b"".join(pieces)


async def test_an_error_in_mid_stream() -> None:
    """It is an error event for the client, and the stream ends there."""
    broken = streamed(
        chunk({"text": "Hel"}), {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    )
    reply, _, _ = await translated(broken.varied(sizes=(40,)), stream=True)
    body = await read(reply)
    assert b"Hel" in body
    assert b"overloaded" in body
    assert b"[DONE]" not in body
    assert reply.has_error_event


async def test_what_cannot_be_said_is_refused() -> None:
    """A field that Gemini has no word for is refused before anything is sent."""
    with pytest.raises(InvalidRequest, match="logit_bias"):
        await translated(REPLY, logit_bias={"1": 5})
