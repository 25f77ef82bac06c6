"""Containers on SageMaker that send a request where its route says: Responses, Messages and counting are their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import anthropic.types
import openai.types.responses
import pytest
from providers.bedrock.tests.sagemaker_wire import BASE, Json, exception, framed, model_error

from headgate.testing import Recorded, ReplayUpstream, gateway
from headgate_bedrock import SageMaker

ROUTED: Json = {
    "provider": "sagemaker",
    "region": "eu-west-1",
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI",
    "served_models": {"named": "openai/gpt-oss-20b"},
    "has_routes": True,
}
ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "openai/gpt-oss-20b",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
RESPONSE: Json = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "openai/gpt-oss-20b",
    "status": "completed",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 4,
    },
}
ASKED: Mapping[str, Json] = {
    "/v1/messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9},
    "/v1/responses": {"input": "Hi"},
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "Hi"}]},
}
CHAT: Json = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


async def asked(
    path: str, answer: Recorded, model: str = "named", deployed: Json | None = None, **body: Any
) -> tuple[Any, ReplayUpstream]:
    """A client's reply, and what the endpoint was asked."""
    upstream = ReplayUpstream({"*": answer})
    async with gateway(SageMaker, providers={"sm": {**ROUTED, **(deployed or {})}}, upstream=upstream) as client:
        return await client.post(path, json={"model": f"sm/{model}", **ASKED[path], **body}), upstream


@pytest.mark.parametrize(
    ("path", "answer"),
    [("/v1/messages", MESSAGE), ("/v1/responses", RESPONSE), ("/v1/messages/count_tokens", {"input_tokens": 3})],
)
async def test_a_container_is_asked_by_route(path: str, answer: Json) -> None:
    """The client's body goes on with the name that the container knows, and the path that is meant; so comes its answer."""
    reply, upstream = await asked(path, Recorded.from_json(answer))
    assert reply.json() == answer
    (request,) = upstream.requests
    assert request.url == f"{BASE}/named/invocations"
    assert dict(request.headers)[ATTRIBUTES] == f"route={path}".encode()
    assert json.loads(request.body) == {"model": "openai/gpt-oss-20b", **ASKED[path]}
    if path == "/v1/messages":
        anthropic.types.Message.model_validate(reply.json())
    if path == "/v1/responses":
        openai.types.responses.Response.model_validate(reply.json())


async def test_a_container_without_routes() -> None:
    """It is asked for chat, whatever a client speaks, and tokens are estimated."""
    for path in ("/v1/messages", "/v1/responses"):
        reply, upstream = await asked(path, Recorded.from_json(CHAT), deployed={"has_routes": False})
        assert "Hi" in reply.text
        assert ATTRIBUTES not in dict(upstream.requests[0].headers)
        assert json.loads(upstream.requests[0].body)["messages"] == [{"role": "user", "content": "Hi"}]
    reply, upstream = await asked("/v1/messages/count_tokens", Recorded(), deployed={"has_routes": False})
    assert (reply.headers["x-headgate-estimated"], upstream.requests) == ("true", [])


async def test_a_model_without_a_name() -> None:
    """Messages and counting need one there: without it chat is asked for, and tokens are estimated. Responses need none."""
    reply, upstream = await asked("/v1/messages", Recorded.from_json(CHAT), model="other")
    assert reply.json()["content"][0]["text"] == "Hi"
    assert ATTRIBUTES not in dict(upstream.requests[0].headers)
    reply, upstream = await asked("/v1/messages/count_tokens", Recorded(), model="other")
    assert (reply.headers["x-headgate-estimated"], upstream.requests) == ("true", [])
    reply, upstream = await asked("/v1/responses", Recorded.from_json(RESPONSE), model="other")
    assert reply.json() == RESPONSE
    assert json.loads(upstream.requests[0].body) == {"input": "Hi"}


async def test_tools_that_a_container_is_not_known_to_take() -> None:
    """They are offered in chat, as functions; and what asks for a store, which is off there, is left out and named."""
    reply, upstream = await asked("/v1/responses", Recorded.from_json(CHAT), tools=[{"type": "custom", "name": "f"}])
    assert reply.status_code == 200
    assert json.loads(upstream.requests[0].body)["tools"][0]["type"] == "function"
    reply, upstream = await asked("/v1/responses", Recorded.from_json(RESPONSE), store=True)
    assert reply.headers["x-headgate-dropped"] == "store"
    assert json.loads(upstream.requests[0].body) == {"model": "openai/gpt-oss-20b", "input": "Hi"}


async def test_a_stream() -> None:
    """The container's events come as it writes them, and an exception as an error of the client's own API."""
    events = b'event: message_start\ndata: {"type":"message_start","message":%s}\n\n' % json.dumps(MESSAGE).encode()
    ended = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    reply, upstream = await asked("/v1/messages", framed(events + ended), stream=True)
    assert reply.content == events + ended
    assert upstream.requests[0].url == f"{BASE}/named/invocations-response-stream"
    broken = exception("ModelStreamError", Message="it broke", ErrorCode="StreamBroken")
    reply, _ = await asked("/v1/messages", framed(events, 7, broken), stream=True)
    kind, data = reply.text.split("\n\n")[1].split("\n")
    assert (kind, json.loads(data.removeprefix("data: "))["error"]["message"]) == ("event: error", "it broke")
    created = (
        b'event: response.created\ndata: {"type":"response.created","response":%s}\n\n' % json.dumps(RESPONSE).encode()
    )
    reply, _ = await asked("/v1/responses", framed(created, 7, broken), stream=True)
    kind, data = reply.text.split("\n\n")[1].split("\n")
    said = json.loads(data.removeprefix("data: "))
    assert (kind, said["type"], said["message"]) == ("event: error", "error", "it broke")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_errors_of_messages(path: str) -> None:
    """A container's refusal is an error of Anthropic's."""
    refused = '{"type":"error","error":{"type":"invalid_request_error","message":"too long"}}'
    reply, _ = await asked(path, model_error(400, refused))
    said = reply.json()
    assert (reply.status_code, said["type"]) == (400, "error")
    assert (said["error"]["type"], said["error"]["message"]) == ("invalid_request_error", "too long")


async def test_errors_of_responses() -> None:
    """A container's refusal is an error of OpenAI's."""
    refused = '{"error":{"message":"too long","type":"BadRequestError","param":null,"code":400}}'
    reply, _ = await asked("/v1/responses", model_error(400, refused))
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "too long")
