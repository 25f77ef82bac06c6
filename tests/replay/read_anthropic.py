"""Reads answers of Anthropic's Messages API: https://platform.claude.com/docs/en/api/messages, and
https://platform.claude.com/docs/en/build-with-claude/streaming.
"""

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
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "compaction": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


def read_whole(body: bytes) -> Reading:
    """A message."""
    return _reading(members(parse(body)))


def read_stream(body: bytes) -> Reading:
    """The events of one message, put together as the vendor's page on streaming says."""
    message: Json = {}
    error = None
    for event in events_of(body):
        data = event.json
        match data.get("type"):
            case "message_start":
                message = members(data.get("message"))
                message["content"] = list(objects(message.get("content")))
            case "content_block_start":
                at = count(data.get("index"))
                block = {**members(data.get("content_block")), "at": at, "json": ""}
                message["content"] = [held for held in message["content"] if held.get("at", -1) != at] + [block]
            case "content_block_delta":
                block = next(held for held in message["content"] if held.get("at") == data.get("index"))
                _grow(block, members(data.get("delta")))
            case "message_delta":
                message.update(members(data.get("delta")))
                usage = {name: value for name, value in members(data.get("usage")).items() if value is not None}
                message["usage"] = {**members(message.get("usage")), **usage}
            case "error":
                error = str(members(data.get("error")).get("message"))
            case _:
                pass
    for block in message.get("content", []):
        if block.get("json"):
            block["input"] = arguments_of(block["json"])
    reading = _reading(message)
    return Reading(reading.answers, reading.usage, reading.model, error)


def _grow(block: Json, delta: Json) -> None:
    match delta.get("type"):
        case "text_delta":
            block["text"] = block.get("text", "") + delta["text"]
        case "thinking_delta":
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
        case "signature_delta":
            block["signature"] = block.get("signature", "") + delta["signature"]
        case "input_json_delta":
            block["json"] += delta["partial_json"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        case _:
            pass


def _reading(message: Json) -> Reading:
    text, thought = "", ""
    calls: list[Call] = []
    opaque: list[str] = []
    sources: list[str] = []
    others = 0
    for block in objects(message.get("content")):
        match block.get("type"):
            case "text":
                text += str(block.get("text") or "")
                sources += [str(note["url"]) for note in objects(block.get("citations")) if note.get("url")]
            case "thinking":
                thought += str(block.get("thinking") or "")
                opaque += [str(block["signature"])] if block.get("signature") else []
            case "redacted_thinking":
                opaque.append(str(block.get("data")))
            case "tool_use":
                calls.append(Call(str(block.get("name")), block.get("input") or {}, str(block.get("id") or "")))
            case _:
                others += 1
    reason = message.get("stop_reason")
    answer = Answer(
        text,
        thought,
        calls=tuple(calls),
        finish=FINISH.get(str(reason), "error") if reason else None,
        stop=message.get("stop_sequence"),
        opaque=tuple(opaque),
        sources=tuple(sources),
        items=others,
    )
    return Reading((settled(answer),), _usage(members(message.get("usage"))), str(message.get("model") or ""))


def _usage(usage: Json) -> Usage | None:
    """Cache reads and writes stand beside `input_tokens`, not in it."""
    if not usage:
        return None
    cached, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    return Usage(
        count(usage.get("input_tokens")) + cached + written,
        count(usage.get("output_tokens")),
        cached,
        written,
        count(members(usage.get("output_tokens_details")).get("thinking_tokens")),
    )
