"""Reads answers of OpenAI's Responses API. https://platform.openai.com/docs/api-reference/responses/object"""

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

REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}
ENDS = {"response.completed", "response.incomplete", "response.failed"}


def read_whole(body: bytes) -> Reading:
    """A response object."""
    return _reading(members(parse(body)))


def read_stream(body: bytes) -> Reading:
    """The events of a response: its items as they were done, the rest as the last event tells it."""
    items: dict[int, Json] = {}
    last: Json = {}
    error = None
    for event in events_of(body):
        if event.data.strip() == "[DONE]":
            continue
        data = event.json
        kind = data.get("type")
        if kind == "response.output_item.done":
            items[count(data.get("output_index"))] = members(data.get("item"))
        elif kind in ENDS:
            last = members(data.get("response"))
        elif kind == "error":
            error = str(data.get("message") or members(data.get("error")).get("message"))
    told = {**last, "output": [items[index] for index in sorted(items)] or last.get("output")}
    reading = _reading(told)
    return Reading(reading.answers, reading.usage, reading.model, reading.error or error)


def _reading(data: Json) -> Reading:
    text, thought, refusal = "", "", ""
    calls: list[Call] = []
    images: list[str] = []
    opaque: list[str] = []
    sources: list[str] = []
    others = 0
    for item in objects(data.get("output")):
        match item.get("type"):
            case "message":
                for part in objects(item.get("content")):
                    refusal += str(part.get("refusal") or "")
                    text += str(part.get("text") or "")
                    sources += [str(note["url"]) for note in objects(part.get("annotations")) if note.get("url")]
            case "reasoning":
                said = [*objects(item.get("summary")), *objects(item.get("content"))]
                thought += "".join(str(part.get("text") or "") for part in said)
                opaque += [str(item["encrypted_content"])] if item.get("encrypted_content") else []
            case "function_call":
                given = arguments_of(str(item.get("arguments") or ""))
                calls.append(Call(str(item.get("name")), given, str(item.get("call_id") or "")))
            case "custom_tool_call":
                given = str(item.get("input") or "")
                calls.append(Call(str(item.get("name")), given, str(item.get("call_id") or ""), is_custom=True))
            case "image_generation_call":
                images.append(str(item.get("result") or ""))
                others += 1
            case _:
                others += 1
    answer = Answer(
        text,
        thought,
        refusal,
        tuple(calls),
        _finish(data),
        images=tuple(images),
        opaque=tuple(opaque),
        sources=tuple(sources),
        items=others,
    )
    error = members(data.get("error")).get("message")
    return Reading((settled(answer),), _usage(data), str(data.get("model") or ""), str(error) if error else None)


def _finish(data: Json) -> str | None:
    status = data.get("status")
    if status == "incomplete":
        return REASONS.get(str(members(data.get("incomplete_details")).get("reason")), "error")
    return {"completed": "stop", "failed": "error", "cancelled": "error"}.get(str(status))


def _usage(data: Json) -> Usage | None:
    if data.get("usage") is None:
        return None
    usage = members(data.get("usage"))
    read = members(usage.get("input_tokens_details"))
    return Usage(
        count(usage.get("input_tokens")),
        count(usage.get("output_tokens")),
        count(read.get("cached_tokens")),
        count(read.get("cache_write_tokens")),
        count(members(usage.get("output_tokens_details")).get("reasoning_tokens")),
    )
