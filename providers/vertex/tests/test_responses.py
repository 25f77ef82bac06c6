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


@pytest.mark.parametrize(
    ("path", "body", "is_anthropic"),
    [
        ("/v1/responses", {"model": f"v/{GROK}", "input": "Hello"}, False),
        ("/v1/chat/completions", {"model": "v/mistral-medium-3", "messages": TURNS}, False),
        ("/v1/completions", {"model": "v/codestral-2", "prompt": "def f("}, False),
        ("/v1/messages", {"model": "v/claude-sonnet-4-5", "messages": TURNS, "max_tokens": 9}, True),
    ],
)
async def test_errors_of_the_front_door(path: str, body: Json, is_anthropic: bool) -> None:
    """Where a maker's API passes, what Vertex AI itself has against a call is told in its envelope, with when to come back."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}]
    error = {"code": 429, "message": "quota exceeded", "status": "RESOURCE_EXHAUSTED", "details": details}
    reply, _ = await asked(path, body, Recorded.from_json({"error": error}, 429))
    told = reply.json()
    assert (reply.status_code, reply.headers["retry-after"], told.get("type")) == (
        429,
        "17",
        "error" if is_anthropic else None,
    )
    assert (told["error"]["message"], told["error"]["type"]) == ("quota exceeded", "rate_limit_error")


async def test_errors_of_the_maker() -> None:
    """What the model's own API has against a call passes as it is."""
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}
    body: Json = {"model": "v/claude-sonnet-4-5", "messages": TURNS, "max_tokens": 9}
    reply, _ = await asked("/v1/messages", body, Recorded.from_json(error, 400))
    assert (reply.status_code, reply.json()) == (400, error)
