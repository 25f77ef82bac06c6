"""What the tests of Vertex AI share: a deployment with a user's credentials, exchanges with it, and sample answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headgate.dialects import Dialect, OpenAIChat
from headgate.dialects.anthropic.messages import AnthropicMessages
from headgate.dialects.google.generate import GoogleGenerate
from headgate.exchange import Attempt, Exchange, Target
from headgate.operations import (
    GENERATE,
    Operation,
)
from headgate.provider import Provider
from headgate.secret import Secret
from headgate.testing import Recorded, ReplayUpstream
from headgate_vertex import Vertex, VertexConfig

USER = '{"type": "authorized_user", "client_id": "c", "client_secret": "user-secret", "refresh_token": "user-refresh"}'
GEMINI, CLAUDE, LLAMA = "gemini-2.5-flash", "claude-sonnet-4-5@20250929", "meta/llama-4-scout-maas"
REGION = "https://europe-west4-aiplatform.googleapis.com/v1"
PLACE = "/projects/my-project/locations/europe-west4"
DIALECTS: Mapping[str, Dialect] = {"generate": GoogleGenerate(), "messages": AnthropicMessages(), "chat": OpenAIChat()}
TOKEN = Recorded.from_json({"access_token": "ya29.token", "expires_in": 3600})
BODY = b'{ "contents": [{"parts": [{"text": "Gr\xc3\xbc\xc3\x9fe"}]}] }'


def gemini(*parts: Mapping[str, Any], finish: str | None = None, used: bool = False) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}}
    usage = {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12}} if used else {}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], "responseId": "r1", **usage}


def streamed(*chunks: Mapping[str, Any]) -> Recorded:
    body = b"".join(b"data: " + msgspec.json.encode(one) + b"\r\n\r\n" for one in chunks)
    return Recorded(headers=(("content-type", "text/event-stream"),), body=body, framing="chunked")


CALL = {"functionCall": {"name": "weather", "args": {"city": "Bern"}}}
CLAUDE_REPLY = {
    "id": "msg_vrtx_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 3},
}


def deploy(upstream: ReplayUpstream | None = None, **config: Any) -> Vertex:
    held: dict[str, Any] = {
        "provider": "vertex",
        "project": "my-project",
        "location": "europe-west4",
        "credentials": Secret(USER),
        **config,
    }
    given = {name: value for name, value in held.items() if value is not None}
    return Vertex("main", VertexConfig(**given), upstream or ReplayUpstream({"/token": TOKEN}))


def exchange(
    provider: Provider | None = None,
    operation: Operation = GENERATE,
    *,
    model: str = GEMINI,
    body: bytes = BODY,
    stream: bool = False,
    target: Target | None = None,
    headers: Mapping[str, str] | None = None,
    **request: Any,
) -> Exchange:
    raw = {name.encode(): value.encode() for name, value in (headers or {}).items()}
    ex = Exchange(operation, raw, request_id="r", trace_id="t", dialect=DIALECTS.get(operation.name), **request)
    ex.body, ex.model, ex.stream = body, model, stream
    provider = provider or deploy()
    ex.attempt = Attempt(target or Target(deployment="main"), provider, model, 0.0)
    spoken = provider.spoken(ex, model)
    ex.attempt.operation = spoken[0] if spoken else ""
    if spoken and ex.dialect is not None and spoken[1] != ex.dialect.name:
        ex.attempt.dialect = DIALECTS[spoken[0]]
    return ex
