"""Reads answers of Bedrock's Converse, streams by botocore's own frame parser.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and API_runtime_ConverseStream.html
"""

from __future__ import annotations

from typing import Any

from botocore.eventstream import EventStreamBuffer  # pyright: ignore[reportMissingTypeStubs] - botocore has no types
from tests.replay.reading import (
    Answer,
    Call,
    Json,
    Reading,
    Usage,
    arguments_of,
    count,
    members,
    objects,
    parse,
    settled,
)

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


def read_whole(body: bytes) -> Reading:
    """The answer of Converse."""
    data = members(parse(body))
    return _reading(objects(members(members(data.get("output")).get("message")).get("content")), data)


def read_stream(body: bytes) -> Reading:
    """The frames of ConverseStream, blocks by their index."""
    blocks: dict[int, Json] = {}
    beside: Json = {}
    error = None
    for kind, data in frames_of(body):
        block = blocks.setdefault(count(data.get("contentBlockIndex")), {}) if kind.startswith("contentBlock") else {}
        match kind:
            case "contentBlockStart":
                block.update(members(data.get("start")))
            case "contentBlockDelta":
                _grow(block, members(data.get("delta")))
            case "messageStop" | "metadata":
                beside.update(data)
            case "messageStart" | "contentBlockStop":
                pass
            case _:
                error = str(data.get("message"))
    for block in blocks.values():
        use = members(block.get("toolUse"))
        if use:
            use["input"] = arguments_of(use["input"]) if isinstance(use.get("input"), str) else use.get("input") or {}
    reading = _reading([blocks[index] for index in sorted(blocks)], beside)
    return Reading(reading.answers, reading.usage, error=error)


def frames_of(body: bytes) -> list[tuple[str, Json]]:
    """Kind and payload of every frame; checksums are checked."""
    buffer: Any = EventStreamBuffer()
    buffer.add_data(body)
    found: list[tuple[str, Json]] = []
    for frame in buffer:
        kind = frame.headers.get(":event-type") or frame.headers.get(":exception-type")
        found.append((str(kind), members(parse(frame.payload or b"{}"))))
    return found


def _grow(block: Json, delta: Json) -> None:
    for name, value in delta.items():
        match name:
            case "text":
                block["text"] = block.get("text", "") + value
            case "toolUse":
                use = block.setdefault("toolUse", {})
                use["input"] = use.get("input", "") + members(value).get("input", "")
            case "reasoningContent":
                held = block.setdefault("reasoningContent", {"reasoningText": {}})
                piece = members(value)
                if "redactedContent" in piece:
                    held["redactedContent"] = piece["redactedContent"]
                for part in ("text", "signature"):
                    if part in piece:
                        held["reasoningText"][part] = held["reasoningText"].get(part, "") + piece[part]
            case _:
                pass


def _reading(blocks: list[Json], data: Json) -> Reading:
    text, thought = "", ""
    calls: list[Call] = []
    opaque: list[str] = []
    for block in blocks:
        text += str(block.get("text") or "")
        reasoning = members(block.get("reasoningContent"))
        said = members(reasoning.get("reasoningText"))
        thought += str(said.get("text") or "")
        opaque += [str(held) for held in (said.get("signature"), reasoning.get("redactedContent")) if held]
        if "toolUse" in block:
            use = members(block["toolUse"])
            calls.append(Call(str(use.get("name")), use.get("input") or {}, str(use.get("toolUseId") or "")))
        for part in objects(members(block.get("citationsContent")).get("content")):
            text += str(part.get("text") or "")
    reason = data.get("stopReason")
    finish = FINISH.get(str(reason), "error") if reason else None
    answer = Answer(text, thought, calls=tuple(calls), finish=finish, opaque=tuple(opaque))
    return Reading((settled(answer),), _usage(data))


def _usage(data: Json) -> Usage | None:
    """`totalTokens` is input, output, cache reads and cache writes together."""
    usage = members(data.get("usage"))
    if not usage:
        return None
    cached, written = count(usage.get("cacheReadInputTokens")), count(usage.get("cacheWriteInputTokens"))
    return Usage(count(usage.get("inputTokens")) + cached + written, count(usage.get("outputTokens")), cached, written)
