"""Reads answers of Cohere's chat, version 2. https://docs.cohere.com/reference/chat and /reference/chat-stream"""

from __future__ import annotations

from tests.replay.reading import (
    Answer,
    Call,
    Json,
    Reading,
    Usage,
    arguments_of,
    count,
    events_of,
    members,
    objects,
    parse,
    settled,
)

FINISH = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
}


def read_whole(body: bytes) -> Reading:
    """An answer."""
    data = members(parse(body))
    return _reading(members(data.get("message")), data)


def read_stream(body: bytes) -> Reading:
    """The named events of a stream."""
    blocks: dict[int, Json] = {}
    calls: dict[int, Json] = {}
    plan = ""
    end: Json = {}
    for event in events_of(body):
        if event.data.strip() == "[DONE]":
            continue
        data = event.json
        delta, at = members(data.get("delta")), count(data.get("index"))
        message = members(delta.get("message"))
        match data.get("type"):
            case "content-start" | "content-delta":
                for name, value in members(message.get("content")).items():
                    held = blocks.setdefault(at, {})
                    held[name] = held.get(name, "") + value if name != "type" else value
            case "tool-plan-delta":
                plan += str(message.get("tool_plan") or "")
            case "tool-call-start" | "tool-call-delta":
                piece = members(message.get("tool_calls"))
                call = calls.setdefault(at, {"id": piece.get("id"), "function": {"arguments": ""}})
                function = members(piece.get("function"))
                call["function"]["arguments"] += function.get("arguments") or ""
                call["function"].setdefault("name", function.get("name"))
            case "message-end":
                end = delta
            case _:
                pass
    whole = {
        "content": [blocks[index] for index in sorted(blocks)],
        "tool_calls": [calls[index] for index in sorted(calls)],
        "tool_plan": plan,
    }
    return _reading(whole, end)


def _reading(message: Json, data: Json) -> Reading:
    """The tool plan is what the model says before its calls."""
    calls: list[Call] = []
    for call in objects(message.get("tool_calls")):
        function = members(call.get("function"))
        given = arguments_of(str(function.get("arguments") or ""))
        calls.append(Call(str(function.get("name")), given, str(call.get("id") or "")))
    content = objects(message.get("content"))
    answer = Answer(
        text=str(message.get("tool_plan") or "") + "".join(str(block.get("text") or "") for block in content),
        reasoning="".join(str(block.get("thinking") or "") for block in content),
        calls=tuple(calls),
        finish=FINISH.get(str(data.get("finish_reason"))),
    )
    return Reading((settled(answer),), _usage(members(data.get("usage"))))


def _usage(usage: Json) -> Usage | None:
    """`tokens` is what the model read and wrote; `billed_units` is what is paid for."""
    tokens = members(usage.get("tokens"))
    if not tokens:
        return None
    return Usage(
        count(tokens.get("input_tokens")), count(tokens.get("output_tokens")), count(usage.get("cached_tokens"))
    )
