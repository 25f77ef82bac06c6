"""Small answers in the shapes of Anthropic, Google and OpenAI, for tests whose upstream has to be one of them.

Shapes: https://platform.claude.com/docs/en/api/messages, https://ai.google.dev/api/generate-content and
https://platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.door.upstream import CHAT_REPLY, STREAM_HEAD, Call, Script, json_response, sse
from tests.harness import chunked

CITY = {"city": "Bergen"}
CLAUDE_USAGE = {"input_tokens": 11, "output_tokens": 5}
GEMINI_USAGE = {"promptTokenCount": 11, "candidatesTokenCount": 5, "totalTokenCount": 16}


def claude_reply(block: Mapping[str, Any], stop: str) -> bytes:
    """A whole message of one content block."""
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [block],
    }
    return json_response({**message, "stop_reason": stop, "stop_sequence": None, "usage": CLAUDE_USAGE})


def gemini_candidate(part: Mapping[str, Any], finish: str | None = "STOP") -> dict[str, Any]:
    """A reply of one part, as it stands whole or in one event of a stream."""
    ended = {} if finish is None else {"finishReason": finish}
    candidate = {"content": {"role": "model", "parts": [part]}, "index": 0, **ended}
    named = {"modelVersion": "gemini-2.5-flash", "responseId": "r1"}
    return {"candidates": [candidate], "usageMetadata": GEMINI_USAGE, **named}


def openai_reply(message: Mapping[str, Any], finish: str) -> bytes:
    """A whole chat completion of one message."""
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}
    return json_response({**CHAT_REPLY, "choices": [choice]})


CLAUDE_SAYS = claude_reply({"type": "text", "text": "It is -3 in Bergen."}, "end_turn")
CLAUDE_CALLS = claude_reply({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": CITY}, "tool_use")
GEMINI_SAYS = json_response(gemini_candidate({"text": "It is -3 in Bergen."}))
GEMINI_CALLS = json_response(gemini_candidate({"functionCall": {"name": "weather", "args": CITY}}))
OPENAI_SAYS = openai_reply({"content": "It is -3 in Bergen."}, "stop")
OPENAI_CALLS = openai_reply(
    {
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": json.dumps(CITY)}}
        ]
    },
    "tool_calls",
)


def _event_stream(events: list[bytes]) -> bytes:
    return STREAM_HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"".join(map(chunked, events)) + b"0\r\n\r\n"


def _claude_events(block: Mapping[str, Any], deltas: list[Mapping[str, Any]], stop: str) -> bytes:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
    }
    told: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "usage": {**CLAUDE_USAGE}}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    return _event_stream([f"event: {each['type']}\n".encode() + sse(each) for each in told])


CLAUDE_STREAMS = _claude_events(
    {"type": "text", "text": ""},
    [{"type": "text_delta", "text": "It is "}, {"type": "text_delta", "text": "-3 in Bergen."}],
    "end_turn",
)
CLAUDE_STREAMS_A_CALL = _claude_events(
    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
    [
        {"type": "input_json_delta", "partial_json": '{"city": "Be'},
        {"type": "input_json_delta", "partial_json": 'rgen"}'},
    ],
    "tool_use",
)
GEMINI_STREAMS = _event_stream(
    [sse(gemini_candidate({"text": "It is "}, None)), sse(gemini_candidate({"text": "-3 in Bergen."}))]
)
GEMINI_STREAMS_A_CALL = _event_stream([sse(gemini_candidate({"functionCall": {"name": "weather", "args": CITY}}))])


def in_turn(*answers: bytes) -> Script:
    """A script that gives each request the next answer."""
    left = list(answers)

    async def script(call: Call) -> None:
        await call.send(left.pop(0))

    return script
