"""Requests and answers nobody has recorded: what clients may send and vendors may say, and what is easily lost on the way."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.replay.corpus import Recording
from tests.replay.reading import Json, members, parse
from tests.replay.targets import PNG

_PIXEL = base64.b64encode(PNG).decode()
_ARGUMENTS = (
    '{"n": 9007199254740993, "f": 1.10, "deep": {"x": [-0.5, 12345678901234567890]}, "s": "Grüße \\ud83d\\ude00"}'
)
"""Numbers that do not survive a double, and characters that do not survive a careless splitter."""
_TOOL: Json = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks something up.",
        "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
}
_USER: Json = {"role": "user", "content": "Look it up."}


def _call(call_id: str, arguments: str, name: str = "look_up") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _result(call_id: str, content: Any) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


_MESSAGES: dict[str, list[Json]] = {
    "two-user-turns": [_USER, {"role": "user", "content": "And quickly."}],
    "developer": [{"role": "developer", "content": "Be brief."}, _USER],
    "two-systems": [{"role": "system", "content": "Be brief."}, {"role": "system", "content": "Be kind."}, _USER],
    "blank-assistant": [_USER, {"role": "assistant", "content": ""}, {"role": "user", "content": "Well?"}],
    "trailing-space": [_USER, {"role": "assistant", "content": "I did. "}, {"role": "user", "content": "Well?"}],
    "null-content": [
        _USER,
        {"role": "assistant", "content": None, "tool_calls": [_call("call_1", '{"n": 1}')]},
        _result("call_1", "one"),
    ],
    "text-and-calls": [
        _USER,
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [_call("call_1", '{"n": 1}'), _call("call_2", '{"n": 2}')],
        },
        _result("call_2", "two"),
        _result("call_1", "one"),
        {"role": "user", "content": "So?"},
    ],
    "odd-ids": [
        _USER,
        {"role": "assistant", "content": None, "tool_calls": [_call("a b/ç", '{"n": 1}'), _call("a b_ç", '{"n": 2}')]},
        _result("a b_ç", "two"),
        _result("a b/ç", "one"),
    ],
    "long-ids": [
        _USER,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [_call("c" * 90 + "1", '{"n": 1}'), _call("c" * 90 + "2", '{"n": 2}')],
        },
        _result("c" * 90 + "1", "one"),
        _result("c" * 90 + "2", "two"),
    ],
    "no-arguments": [
        _USER,
        {"role": "assistant", "content": None, "tool_calls": [_call("call_1", "")]},
        _result("call_1", "one"),
    ],
    "numbers": [
        _USER,
        {"role": "assistant", "content": None, "tool_calls": [_call("call_1", _ARGUMENTS)]},
        _result("call_1", _ARGUMENTS),
    ],
    "namespace": [  # which OpenAI gave a call, before another provider takes over
        _USER,
        {"role": "assistant", "content": None, "tool_calls": [{**_call("call_1", '{"n": 1}'), "namespace": "crm"}]},
        _result("call_1", "one"),
    ],
    "two-rounds": [
        _USER,
        {"role": "assistant", "content": None, "tool_calls": [_call("call_1", '{"n": 1}')]},
        _result("call_1", "one"),
        {"role": "assistant", "content": "Once more.", "tool_calls": [_call("call_2", '{"n": 2}')]},
        _result("call_2", ""),
        {"role": "user", "content": "So?"},
    ],
    "system-between": [
        _USER,
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "And quickly."},
    ],
    "picture": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;charset=utf-8;base64,{_PIXEL}"}},
                {"type": "image_url", "image_url": {"url": "https://pictures.example/one.png", "detail": "low"}},
            ],
        }
    ],
    "unicode": [{"role": "user", "content": "Grüße\u2028 \U0001f600 \u0000 \ufeff 中"}],
}


def made_requests() -> list[Recording]:
    """OpenAI chat requests with everything that a client may send, each with a tool on offer."""
    return [
        _recording(
            f"made-{name}", "chat", {"model": "m", "messages": messages, "tools": [_TOOL], "max_tokens": 64}, b""
        )
        for name, messages in _MESSAGES.items()
    ]


def made_answers() -> list[Recording]:
    """An answer of each vendor that calls a tool twice, with numbers that a double cannot hold."""
    given = parse(_ARGUMENTS)
    text = json.dumps
    chat = {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [_call("call_1", _ARGUMENTS), _call("call_2", "")],
    }
    bodies: dict[str, tuple[str, Any]] = {
        "chat": ("mistral", _chat_answer(chat)),
        "responses": ("openai", _response()),
        "messages": ("anthropic", _message(given)),
        "generateContent": ("google", _generated(given)),
        "converse": ("bedrock", _conversed(given)),
        "cohere-chat": ("cohere", {"id": "c", "message": {**chat, "content": [{"type": "text", "text": "I look."}]}}),
        "ollama-chat": ("ollama", _lined(given)),
    }
    return [
        _recording("made-numbers", shape, None, text(_raw(body)).replace('"@', "").replace('@"', "").encode(), vendor)
        for shape, (vendor, body) in bodies.items()
    ]


def _recording(name: str, shape: str, request: Json | None, body: bytes, vendor: str = "made") -> Recording:
    return Recording(name, vendor, shape, "", request, 200, {}, body, stream=False)


def _chat_answer(message: Json) -> Json:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    }


def _response() -> Json:
    items = [
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look_up", "arguments": _ARGUMENTS},
        {"type": "function_call", "id": "fc_2", "call_id": "call_2", "name": "look_up", "arguments": ""},
    ]
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "I look."}],
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m",
        "output": [message, *items],
        "usage": {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
    }


def _message(given: Any) -> Json:
    calls: list[Json] = [
        {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": given},
        {"type": "tool_use", "id": "toolu_2", "name": "look_up", "input": {}},
    ]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "I look."}, *calls],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 3},
    }


def _generated(given: Any) -> Json:
    calls: list[Json] = [
        {"functionCall": {"name": "look_up", "args": given}},
        {"functionCall": {"name": "look_up", "args": {}}},
    ]
    content: Json = {"role": "model", "parts": [{"text": "I look."}, *calls]}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12},
        "modelVersion": "m",
        "responseId": "r1",
    }


def _conversed(given: Any) -> Json:
    calls: list[Json] = [
        {"toolUse": {"toolUseId": "tooluse_1", "name": "look_up", "input": given}},
        {"toolUse": {"toolUseId": "tooluse_2", "name": "look_up", "input": {}}},
    ]
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": "I look."}, *calls]}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 9, "outputTokens": 3, "totalTokens": 12},
    }


def _lined(given: Any) -> Json:
    calls: list[Json] = [
        {"function": {"name": "look_up", "arguments": given}},
        {"function": {"name": "look_up", "arguments": {}}},
    ]
    return {
        "model": "m",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": "I look.", "tool_calls": calls},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 9,
        "eval_count": 3,
    }


def _raw(value: Any) -> Any:
    """Fractions as marked text, so that they can be written as they were read."""
    if isinstance(value, dict):
        return {name: _raw(held) for name, held in members(value).items()}
    if isinstance(value, list):
        return [_raw(held) for held in value]  # pyright: ignore[reportUnknownVariableType] - any JSON
    return value if isinstance(value, str | int | float | None) else f"@{value}@"
