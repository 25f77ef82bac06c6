"""Estimates of tokens: about right, and said to be estimates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headgate.chat import ChatRequest, Image, Message, Text, Tool, ToolCall, ToolResult
from headgate.counting import IMAGE_TOKENS, MESSAGE_TOKENS, count_request, count_text
from headgate.testing import gateway


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("abcd", 1), ("abcde", 2), ("\u4f60\u597d\u5417", 2), ("a" * 400, 100)]
)
def test_texts(text: str, tokens: int) -> None:
    """Four ASCII characters are a token, and one and a half of others."""
    assert count_text(text) == tokens


def test_everything_a_model_reads_counts() -> None:
    """Messages, calls, results, pictures and the definitions of tools."""
    parts = (Text("a" * 40), ToolCall("c", "f", "{}"), ToolResult("c", (Text("b" * 8), Image(url="https://x/y"))))
    plain = count_request(ChatRequest("m", (Message("user", parts),)))
    assert plain == MESSAGE_TOKENS + 10 + 1 + 1 + 2 + IMAGE_TOKENS
    assert count_request(ChatRequest("m", (Message("user", parts),), tools=(Tool("look_up_a_word"),))) > plain


@pytest.mark.parametrize(
    ("path", "body", "member"),
    [
        (
            "/v1/messages/count_tokens",
            {"model": "demo/echo", "messages": [{"role": "user", "content": "a" * 400}]},
            "input_tokens",
        ),
        (
            "/v1beta/models/demo/echo:countTokens",
            {"contents": [{"role": "user", "parts": [{"text": "a" * 400}]}]},
            "totalTokens",
        ),
        ("/v1/responses/input_tokens", {"model": "demo/echo", "input": "a" * 400}, "input_tokens"),
    ],
)
async def test_a_vendor_that_cannot_count(path: str, body: dict[str, Any], member: str) -> None:
    """The answer has the shape the client knows, and a header says that nobody was asked."""
    async with gateway() as client:
        reply = await client.post(path, json=body)
    said = json.loads(reply.content)
    assert (reply.status_code, said[member]) == (200, 100 + MESSAGE_TOKENS)
    assert said.keys() - {member} <= {"object"}
    assert reply.headers["x-headgate-estimated"] == "true"
