"""Requests and replies in OpenAI's shape, for tests that need any well-formed exchange.

Shapes: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.testing.recorded import Recorded

PATH = "/v1/chat/completions"
USAGE = (9, 3)
"""Prompt and completion tokens of every sample below."""
_USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
_HEAD = {"id": "chatcmpl-sample", "created": 1_700_000_000, "model": "sample-model"}
_ARGUMENTS = '{"city": "Montréal",\n "unit":"c"}'


def chat_request(text: str = "Hello", model: str = "demo/echo", **members: Any) -> dict[str, Any]:
    """The body of a chat completion request with one user message; `members` are added to it. Added in 0.1."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **members}


def chat_reply(message: Mapping[str, Any], finish: str = "stop") -> dict[str, Any]:
    """A chat completion with one choice."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}


def chat_chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    """One chunk of a streamed chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}


def usage_chunk() -> dict[str, Any]:
    """The chunk that carries usage, sent last when `stream_options.include_usage` asks for it."""
    return {**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": _USAGE}


def _call(members: Mapping[str, Any]) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, **members}]}


REQUEST = b'{"model": "sample-model",  "messages":[{"role":"user","content":"Gr\xc3\xbc\xc3\x9fe"}],"temperature":0.10}'
"""A request whose spacing, number format and key order would not survive being encoded again."""
REPLY = Recorded.from_json(chat_reply({"content": "Hello there, Jürgen"}))
TOOL_REPLY = Recorded.from_json(
    chat_reply(
        {
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": _ARGUMENTS}}
            ],
        },
        "tool_calls",
    )
)
STREAM = Recorded.from_events(
    chat_chunk({"role": "assistant", "content": ""}),
    chat_chunk({"content": "Hello"}),
    chat_chunk({"content": " there,\u2028 "}),
    chat_chunk({"content": "Jürgen \U0001f600"}),
    chat_chunk({}, "stop"),
    usage_chunk(),
)
TOOL_STREAM = Recorded.from_events(
    chat_chunk(
        {
            "role": "assistant",
            **_call({"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}),
        }
    ),
    chat_chunk(_call({"function": {"arguments": _ARGUMENTS[:9]}})),
    chat_chunk(_call({"function": {"arguments": _ARGUMENTS[9:]}})),
    chat_chunk({}, "tool_calls"),
    usage_chunk(),
)


def _error(status: int, kind: str, code: str) -> Recorded:
    error = {"message": f"sample of {status}", "type": kind, "param": None, "code": code}
    return Recorded.from_json({"error": error}, status)


ERRORS = {
    400: _error(400, "invalid_request_error", "invalid_value"),
    401: _error(401, "invalid_request_error", "invalid_api_key"),
    403: _error(403, "invalid_request_error", "unsupported_country_region_territory"),
    404: _error(404, "invalid_request_error", "model_not_found"),
    429: _error(429, "requests", "rate_limit_exceeded").varied(
        headers=(("content-type", "application/json"), ("retry-after", "7"))
    ),
    500: _error(500, "server_error", "server_error"),
    502: Recorded(status=502, headers=(("content-type", "text/html"),), body=b"<html>Bad Gateway</html>"),
    503: Recorded(status=503, headers=(("content-type", "text/plain"),), body=b"overloaded"),
}
"""Error replies by status; the last two are of a proxy before the vendor and no JSON."""
