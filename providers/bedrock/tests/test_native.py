"""OpenAI's and Anthropic's own APIs at Bedrock, for deployments that want their clients to be answered by them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from headgate.errors import StartupError
from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_bedrock import Bedrock

Json = dict[str, Any]

KEYS: Json = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI"}
DEPLOYED: Json = {"provider": "bedrock", "region": "us-west-2"}
NATIVE: Json = {"chat": "native", "responses": "native", "messages": "native"}
RUNTIME = "https://bedrock-runtime.us-west-2.amazonaws.com"
MANTLE = "https://bedrock-mantle.us-west-2.api.aws"
CHAT: Json = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "openai.gpt-oss-20b-1:0",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
RESPONSE: Json = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "openai.gpt-oss-20b-1:0",
    "status": "completed",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-7",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
CONVERSED: Json = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
}
ASKED: dict[str, Json] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello"}], "logit_bias": {"1": 1}},
    "/v1/responses": {"input": "Hello", "previous_response_id": "resp_0"},
    "/v1/messages": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9, "mcp_servers": []},
}
OPENAIS, CLAUDE = "openai.gpt-oss-20b-1:0", "anthropic.claude-opus-4-7"


async def asked(
    path: str, model: str, answer: Json | Recorded, settings: Json, headers: dict[str, str] | None = None, **body: Any
) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what Bedrock was asked."""
    upstream = ReplayUpstream({"*": answer if isinstance(answer, Recorded) else Recorded.from_json(answer)})
    async with gateway(Bedrock, providers={"aws": {**DEPLOYED, **settings}}, upstream=upstream) as client:
        request = {"model": f"aws/{model}", **ASKED[path], **body}
        return await client.post(path, json=request, headers=headers or {}), upstream


@pytest.mark.parametrize("keys", [KEYS, {"api_key": "bedrock-api-key-1"}])
@pytest.mark.parametrize(
    ("path", "model", "answer", "url", "service"),
    [
        ("/v1/chat/completions", OPENAIS, CHAT, f"{RUNTIME}/openai/v1/chat/completions", "bedrock"),
        ("/v1/responses", OPENAIS, RESPONSE, f"{RUNTIME}/openai/v1/responses", "bedrock"),
        ("/v1/messages", CLAUDE, MESSAGE, f"{MANTLE}/anthropic/v1/messages", "bedrock-mantle"),
    ],
)
async def test_an_own_client_is_answered_by_its_own_api(
    keys: Json, path: str, model: str, answer: Json, url: str, service: str
) -> None:
    """A request passes with all its members and the vendor's name of the model, signed for the endpoint or with its key."""
    reply, upstream = await asked(path, model, answer, {**NATIVE, **keys})
    assert (reply.status_code, reply.json()) == (200, answer)
    request = upstream.requests[-1]
    assert request.url == url
    assert json.loads(request.body) == {"model": model, **ASKED[path]}
    headers = dict(request.headers)
    if "api_key" in keys:
        assert request.credential is not None
        assert request.credential.field() == (b"authorization", b"Bearer bedrock-api-key-1")
    else:
        assert f"/us-west-2/{service}/aws4_request".encode() in headers[b"authorization"]
    assert headers.get(b"anthropic-version") == (b"2023-06-01" if path == "/v1/messages" else None)


def test_the_answers_are_the_sdks() -> None:
    """What these tests answer with are answers of the official SDKs."""
    ChatCompletion.model_validate(CHAT)
    Response.model_validate(RESPONSE)
    Message.model_validate(MESSAGE)


async def test_what_a_client_says_of_anthropics_api() -> None:
    """Versions and betas of the client pass."""
    said = {"anthropic-version": "2024-01-01", "anthropic-beta": "context-1m"}
    _, upstream = await asked("/v1/messages", CLAUDE, MESSAGE, {**NATIVE, **KEYS}, said)
    headers = dict(upstream.requests[-1].headers)
    assert (headers[b"anthropic-version"], headers[b"anthropic-beta"]) == (b"2024-01-01", b"context-1m")


@pytest.mark.parametrize("cut", [1, 7, 4096])
async def test_a_stream_passes(cut: int) -> None:
    """Events of a stream reach the client as they are, however they are cut on their way."""
    first = {**CHAT, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    streamed = Recorded.from_events(first).varied(sizes=(cut,))
    reply, upstream = await asked("/v1/chat/completions", OPENAIS, streamed, {**NATIVE, **KEYS}, stream=True)
    assert reply.content == streamed.body
    assert upstream.requests[-1].url == f"{RUNTIME}/openai/v1/chat/completions"


@pytest.mark.parametrize("path", list(ASKED))
async def test_others_are_answered_by_converse(path: str) -> None:
    """Unless the deployment wants that, clients of every API are translated into Converse."""
    body = {"logit_bias": None, "previous_response_id": None, "mcp_servers": None}
    reply, upstream = await asked(
        path, OPENAIS, CONVERSED, KEYS, **{name: None for name in body if name in ASKED[path]}
    )
    assert reply.status_code == 200
    assert upstream.requests[-1].url == f"{RUNTIME}/model/openai.gpt-oss-20b-1%3A0/converse"


async def test_a_client_of_another_api_is_translated() -> None:
    """A client of an API that is not native is answered by Converse all the same."""
    settings = {**KEYS, "chat": "native"}
    reply, upstream = await asked("/v1/messages", OPENAIS, CONVERSED, settings, mcp_servers=None)
    assert reply.json()["content"] == [{"type": "text", "text": "Hi"}]
    assert upstream.requests[-1].url.endswith("/converse")


async def test_a_place_of_ones_own() -> None:
    """At a base URL of the deployment's own all of it is below that."""
    settings = {**NATIVE, **KEYS, "base_url": "https://bedrock.example"}
    for path, model, answer, place in (
        ("/v1/messages", CLAUDE, MESSAGE, "/anthropic/v1/messages"),
        ("/v1/responses", OPENAIS, RESPONSE, "/openai/v1/responses"),
    ):
        _, upstream = await asked(path, model, answer, settings)
        assert upstream.requests[-1].url == f"https://bedrock.example{place}"


async def test_an_error_of_the_vendors() -> None:
    """An error keeps its status and its message."""
    said = {"error": {"message": "model isn't supported on this route", "type": "invalid_request_error"}}
    answer = Recorded.from_json(said, 400)
    reply, _ = await asked("/v1/chat/completions", OPENAIS, answer, {**NATIVE, **KEYS})
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "model isn't supported on this route")


@pytest.mark.parametrize("way", ["chat", "responses", "messages"])
async def test_no_guardrail_is_gone_round(way: str) -> None:
    """A deployment whose chats go through a guardrail cannot have some that do not."""
    settings = {**KEYS, "guardrail": {"identifier": "g-1"}, way: "native"}
    with pytest.raises(StartupError, match=f"`guardrail` and `{way}: native` exclude each other"):
        await asked("/v1/chat/completions", OPENAIS, CHAT, settings)
