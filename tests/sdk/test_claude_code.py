"""What Claude Code asks of a gateway: it is there, its beta paths and headers, its bodies on any vendor, and errors it can read.

Sources: https://code.claude.com/docs/en/llm-gateway and
https://github.com/router-for-me/CLIProxyAPI/issues/5905 (its first connections).
"""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from tests.door.upstream import Upstream, json_response
from tests.harness import Gateway, ask, head, post
from tests.sdk import vendors

BETAS = "claude-code-20250219,interleaved-thinking-2025-05-14,nobody-knows-2030-01-01"
HEADERS = f"anthropic-version: 2023-06-01\r\nanthropic-beta: {BETAS}\r\nx-app: cli\r\nx-api-key: k\r\n".encode()
MARK = {"type": "ephemeral"}
BODY: dict[str, Any] = {
    "max_tokens": 32_000,
    "system": [{"type": "text", "text": "You are terse.", "cache_control": MARK}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "is it cold?", "cache_control": MARK}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "look", "signature": "c2lnbmVk"},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bergen"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "-3", "cache_control": MARK}],
        },
    ],
    "tools": [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}],
    "metadata": {"user_id": "user_1_account__session_2"},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "high"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
}


@pytest.mark.parametrize("target", [b"/", b"/api/hello", b"/v1/health", b"/v1/ready", b"/v1/models"])
async def test_it_is_there(gateway: Gateway, target: bytes) -> None:
    """A HEAD says what a GET would, without a body."""
    answer = await ask(gateway, head(target=target, method=b"HEAD"))
    whole = await ask(gateway, head(target=target, method=b"GET"))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("content-length") == str(len(whole.body))


@pytest.mark.parametrize(
    ("model", "answer", "target", "betas"),
    [
        ("claude", vendors.CLAUDE_SAYS, "/v1/messages?beta=true", BETAS),
        ("gemini", vendors.GEMINI_SAYS, "/v1beta/models/gemini-2.5-flash:generateContent", None),
        ("m", vendors.OPENAI_SAYS, "/v1/chat/completions", None),
    ],
)
async def test_its_bodies_reach_any_vendor(
    gateway: Gateway, upstream: Upstream, model: str, answer: bytes, target: str, betas: str | None
) -> None:
    """Cache marks, thinking, effort and context management fail nowhere; betas go to Anthropic alone, unknown ones too."""
    upstream.script = vendors.in_turn(answer)
    body = json.dumps({**BODY, "model": model}).encode()
    reply = await ask(gateway, post(body, HEADERS, b"/v1/messages?beta=true"))
    assert (reply.status, reply.json["content"][0]["text"]) == (200, "It is -3 in Bergen.")
    call = await upstream.call()
    assert (call.target, call.header("anthropic-beta")) == (target, betas)
    assert b"beta" not in call.body


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("fast", None),
        ("m", {"object": "response.input_tokens", "input_tokens": 42}),
        ("claude", {"input_tokens": 42}),
        ("gemini", {"totalTokens": 42}),
    ],
)
async def test_it_counts_on_any_vendor(gateway: Gateway, upstream: Upstream, model: str, answer: Any) -> None:
    """It counts with the same betas and the same body: OpenAI, Anthropic and Google are asked; the demo is estimated."""
    upstream.script = vendors.in_turn(json_response(answer or {}))
    counted = {name: BODY[name] for name in ("system", "messages", "tools", "thinking", "context_management")}
    body = json.dumps({**counted, "model": model}).encode()
    reply = await ask(gateway, post(body, HEADERS, b"/v1/messages/count_tokens?beta=true"))
    assert reply.status == 200
    assert (reply.json["input_tokens"] == 42, reply.header("x-headgate-estimated")) == (
        (True, None) if answer else (False, "true")
    )


async def test_the_beta_client(async_claude: AsyncAnthropic) -> None:
    """The package's beta face streams and counts with betas that nobody knows."""
    messages: Any = BODY["messages"][:1]
    asked: dict[str, Any] = {"model": "fast", "messages": messages, "betas": ["nobody-knows-2030-01-01"]}
    async with async_claude.beta.messages.stream(**asked, max_tokens=99) as stream:
        final = await stream.get_final_message()
    assert final.stop_reason == "end_turn"
    assert (await async_claude.beta.messages.count_tokens(**asked)).input_tokens > 0


def test_what_there_is_not(claude: Anthropic) -> None:
    """What the gateway has not, and no deployment is named for, is an error that names what there is, and the request."""
    with pytest.raises(anthropic.NotFoundError, match=r"POST /v1/messages/count_tokens.*x-headgate-provider") as caught:
        claude.get("/v1/messages/drafts", cast_to=object)
    assert caught.value.type == "not_found_error"
    assert caught.value.request_id == caught.value.response.headers["x-headgate-request-id"]
    with pytest.raises(anthropic.BadRequestError, match="x-headgate-provider") as files:
        claude.beta.files.list()
    assert files.value.type == "invalid_request_error"


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE"])
@pytest.mark.parametrize("path", [b"/v1/messages", b"/v1/messages/count_tokens"])
async def test_methods_there_are_not(gateway: Gateway, method: bytes, path: bytes) -> None:
    """A wrong method is Anthropic's error with the right one, whoever asks."""
    answer = await ask(gateway, head(target=path, method=method))
    assert (answer.status, answer.header("allow")) == (405, "POST")
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert "`POST /v1/messages`, `POST /v1/messages/count_tokens`" in answer.json["error"]["message"]


async def test_outside_of_every_api(gateway: Gateway) -> None:
    """Where nothing is at all, the headers tell whose error it is."""
    for headers, shape in ((HEADERS, "not_found_error"), (b"", "invalid_request_error")):
        answer = await ask(gateway, head(headers, b"/nothing", b"GET"))
        assert (answer.status, answer.json["error"]["type"]) == (404, shape)
