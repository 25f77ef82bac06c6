"""Responses of the OpenAI layer on Vertex AI, which it has for xAI's models alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_vertex import Vertex

Json = dict[str, Any]

LAYER = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi"
GROK, LLAMA = "xai/grok-4.20-reasoning", "meta/llama-4-scout-maas"
PART: Json = {"type": "output_text", "text": "Hi", "annotations": []}
ITEM: Json = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [PART]}
ANSWER: Json = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": GROK,
    "status": "completed",
    "output": [ITEM],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
CHAT: Json = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
}


async def asked(path: str, body: Json, answer: Json | Recorded) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what Vertex AI was asked."""
    upstream = ReplayUpstream({"*": answer if isinstance(answer, Recorded) else Recorded.from_json(answer)})
    providers = {"v": {"provider": "vertex", "project": "p", "location": "global", "api_key": "AIza-some-key"}}
    async with gateway(Vertex, providers=providers, upstream=upstream) as client:
        return await client.post(path, json=body), upstream


async def test_a_client_of_responses_is_answered_by_them() -> None:
    """A request for a model of xAI's passes with all that it says, and so does the answer."""
    body: Json = {"input": "Hello", "max_output_tokens": 9, "reasoning": {"effort": "low"}, "store": False}
    reply, upstream = await asked("/v1/responses", {"model": f"v/{GROK}", **body}, ANSWER)
    Response.model_validate(ANSWER)
    assert (reply.status_code, reply.json()) == (200, ANSWER)
    assert upstream.requests[-1].url == f"{LAYER}/responses"
    assert json.loads(upstream.requests[-1].body) == {"model": GROK, **body}


@pytest.mark.parametrize("size", [1, 13])
async def test_a_stream_passes(size: int) -> None:
    """Events reach the client as they are, however they are cut on their way."""
    event = (
        b'event: response.completed\ndata: {"type":"response.completed","response":%s}\n\n'
        % json.dumps(ANSWER).encode()
    )
    streamed = Recorded(headers=(("content-type", "text/event-stream"),), body=event, framing="chunked", sizes=(size,))
    reply, _ = await asked("/v1/responses", {"model": f"v/{GROK}", "input": "Hello", "stream": True}, streamed)
    assert reply.content == event


@pytest.mark.parametrize(
    ("path", "model", "said"),
    [
        ("/v1/responses", LLAMA, {"input": "Hello", "store": False}),
        ("/v1/chat/completions", GROK, {"messages": [{"role": "user", "content": "Hello"}]}),
        ("/v1/messages", GROK, {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9}),
    ],
)
async def test_chat_for_all_others(path: str, model: str, said: Json) -> None:
    """Other models, and clients of other APIs, are answered by the layer's chat."""
    reply, upstream = await asked(path, {"model": f"v/{model}", **said}, CHAT)
    assert (reply.status_code, upstream.requests[-1].url) == (200, f"{LAYER}/chat/completions")


TURNS = [{"role": "user", "content": "Hello"}]
QUOTA: Json = {
    "code": 429,
    "message": "quota exceeded",
    "status": "RESOURCE_EXHAUSTED",
    "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}],
}
BAD_KEY: Json = {
    "code": 400,
    "message": "API key not valid. Please pass a valid API key.",
    "status": "INVALID_ARGUMENT",
    "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
}
CLAUDE, CODESTRAL = "v/claude-sonnet-4-5", "v/codestral-2"


@pytest.mark.parametrize("is_listed", [False, True])
@pytest.mark.parametrize(
    ("path", "body", "is_anthropic"),
    [
        ("/v1/responses", {"model": f"v/{GROK}", "input": "Hello"}, False),
        ("/v1/chat/completions", {"model": "v/mistral-medium-3", "messages": TURNS}, False),
        ("/v1/completions", {"model": CODESTRAL, "prompt": "def f("}, False),
        ("/v1/messages", {"model": CLAUDE, "messages": TURNS, "max_tokens": 9}, True),
        # translated
        ("/v1/chat/completions", {"model": CLAUDE, "messages": TURNS}, False),
        ("/v1/messages", {"model": "v/mistral-medium-3", "messages": TURNS, "max_tokens": 9}, True),
        ("/v1/messages", {"model": f"v/{LLAMA}", "messages": TURNS, "max_tokens": 9}, True),
    ],
)
async def test_errors_of_the_front_door(path: str, body: Json, is_listed: bool, is_anthropic: bool) -> None:
    """What Vertex AI itself has against a call is told in the client's envelope, with when to come back.

    Where a stream was asked for it comes in a list.
    """
    for error, status, kind in ((QUOTA, 429, "rate_limit_error"), (BAD_KEY, 401, "authentication_error")):
        held: Json = {"error": error}
        answer = Recorded.from_json([held] if is_listed else held, error["code"])
        reply, _ = await asked(path, {**body, "stream": is_listed}, answer)
        told = reply.json()
        assert (reply.status_code, reply.headers.get("retry-after")) == (status, "17" if status == 429 else None)
        assert told.get("type") == ("error" if is_anthropic else None)
        assert (told["error"]["message"], told["error"]["type"]) == (error["message"], kind)


async def test_errors_of_counting() -> None:
    """Tokens that cannot be counted now are an error in the envelope of the client, with when to come back."""
    counting: tuple[tuple[str, Json], ...] = (
        ("/v1/messages/count_tokens", {"model": CLAUDE, "messages": TURNS}),
        (f"/v1beta/models/{CLAUDE}:countTokens", {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}),
    )
    for path, body in counting:
        reply, _ = await asked(path, body, Recorded.from_json({"error": QUOTA}, 429))
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "17")
        assert reply.json()["error"].get("code") == (429 if "contents" in body else None)


async def test_errors_of_the_maker() -> None:
    """What the model's own API has against a call passes as it is."""
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}
    body: Json = {"model": CLAUDE, "messages": TURNS, "max_tokens": 9}
    reply, _ = await asked("/v1/messages", body, Recorded.from_json(error, 400))
    assert (reply.status_code, reply.json()) == (400, error)
    reply, _ = await asked("/v1/chat/completions", body, Recorded.from_json(error, 400))
    told = reply.json()["error"]
    assert (reply.status_code, told["message"], told["code"]) == (400, "no", "invalid_request_error")
