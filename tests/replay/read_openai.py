"""Reads answers in the shape of OpenAI's chat completions, with what other vendors put into them.

https://platform.openai.com/docs/api-reference/chat/object and, for deltas,
https://platform.openai.com/docs/api-reference/chat-streaming/streaming
"""

from __future__ import annotations

from typing import Any

from tests.replay.reading import (
    Answer,
    Call,
    Json,
    Reading,
    Usage,
    arguments_of,
    count,
    each,
    events_of,
    members,
    objects,
    parse,
    settled,
)

FINISH = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
    "insufficient_system_resource": "error",
}


def read_whole(body: bytes) -> Reading:
    """A chat completion."""
    data = members(parse(body))
    answers = tuple(
        _answer(members(choice.get("message")), choice, data)
        for choice in sorted(objects(data.get("choices")), key=lambda choice: count(choice.get("index")))
    )
    return Reading(answers, _usage(data), str(data.get("model") or ""), _error(data))


def read_stream(body: bytes) -> Reading:
    """Chunks of a chat completion, put together."""
    whole: dict[int, Json] = {}
    beside: Json = {}
    error = None
    for event in events_of(body):
        if event.data.strip() == "[DONE]":
            continue
        data = event.json
        beside.update({name: value for name, value in data.items() if value is not None})
        error = error or _error(data)
        for choice in objects(data.get("choices")):
            held = whole.setdefault(count(choice.get("index")), {"message": {}})
            _grow(held["message"], members(choice.get("delta")))
            if choice.get("finish_reason"):
                held["finish_reason"] = choice["finish_reason"]
    groq = members(beside.get("x_groq")).get("usage")
    if beside.get("usage") is None and groq is not None:
        beside["usage"] = groq
    answers = tuple(_answer(whole[index]["message"], whole[index], beside) for index in sorted(whole))
    return Reading(answers, _usage(beside), str(beside.get("model") or ""), error)


def _grow(message: Json, delta: Json) -> None:
    """Add a delta: texts one behind the other, calls by their index, lists at the end of lists."""
    for name, value in delta.items():
        held: Any = message.get(name)
        if value is None:
            continue
        if name == "tool_calls":
            _grow_calls(message.setdefault(name, []), objects(value))
        elif name == "function_call":
            _join(message.setdefault(name, {}), members(value))
        elif isinstance(value, str) and isinstance(held, str) and name != "role":
            message[name] = held + value
        elif isinstance(held, str) and isinstance(value, list):
            message[name] = [*([{"type": "text", "text": held}] if held else []), *each(value)]
        elif isinstance(held, list):
            more = [{"type": "text", "text": value}] if isinstance(value, str) else each(value)
            message[name] = [*each(held), *more]
        else:
            message[name] = value


def _grow_calls(held: list[Any], pieces: list[Json]) -> None:
    for piece in pieces:
        index = piece.get("index", len(held))
        known = next((call for call in held if call["index"] == index), None)
        if known is None:
            known = Json({"index": index, "function": {}})
            held.append(known)
        for name, value in piece.items():
            if name in {"function", "custom"}:
                _join(known.setdefault(name, {}), members(value))
            elif value is not None:
                known[name] = value


def _join(held: Json, piece: Json) -> None:
    for name, value in piece.items():
        if isinstance(value, str):
            held[name] = held.get(name, "") + value


def _answer(message: Json, choice: Json, beside: Json) -> Answer:
    text, thought = _content(message.get("content"))
    calls = [_call(call) for call in objects(message.get("tool_calls"))]
    legacy = members(message.get("function_call"))
    if legacy:
        calls.append(Call(str(legacy.get("name")), arguments_of(str(legacy.get("arguments") or ""))))
    details = objects(message.get("reasoning_details"))
    told = message.get("reasoning_content") or message.get("reasoning")
    if not told:
        told = "".join(str(detail.get("text") or detail.get("summary") or "") for detail in details)
    finish: Any = choice.get("finish_reason")
    return settled(
        Answer(
            text=text,
            reasoning=thought + str(told),
            refusal=str(message.get("refusal") or ""),
            calls=tuple(calls),
            finish=FINISH.get(str(finish), finish),
            images=tuple(str(members(image.get("image_url")).get("url")) for image in objects(message.get("images"))),
            opaque=_opaque(details, message),
            sources=_sources(message, beside),
            items=len(each(message.get("provider_items"))),
        )
    )


def _content(content: Any) -> tuple[str, str]:
    """Visible text and thinking; Mistral sends a list of chunks (https://docs.mistral.ai/capabilities/reasoning)."""
    if isinstance(content, str):
        return content, ""
    text, thought = "", ""
    for chunk in objects(content):
        if chunk.get("type") == "thinking":
            thought += "".join(str(part.get("text") or "") for part in objects(chunk.get("thinking")))
        else:
            text += str(chunk.get("text") or "")
    return text, thought


def _call(call: Json) -> Call:
    custom = members(call.get("custom"))
    if custom:
        return Call(str(custom.get("name")), str(custom.get("input") or ""), str(call.get("id") or ""), is_custom=True)
    function = members(call.get("function"))
    return Call(
        str(function.get("name")), arguments_of(str(function.get("arguments") or "")), str(call.get("id") or "")
    )


def _opaque(details: list[Json], message: Json) -> tuple[str, ...]:
    found = [str(detail[name]) for detail in details for name in ("signature", "data") if detail.get(name)]
    for call in objects(message.get("tool_calls")):
        for held in members(call.get("extra_content")).values():
            found += [str(value) for name, value in members(held).items() if name.endswith("signature") and value]
    return tuple(found)


def _sources(message: Json, beside: Json) -> tuple[str, ...]:
    """Addresses an answer is based on: annotations, and Perplexity's list beside the choices."""
    cited = [members(note.get("url_citation")).get("url") for note in objects(message.get("annotations"))]
    return tuple(str(url) for url in (*cited, *each(beside.get("citations"))) if isinstance(url, str))


def _usage(data: Json) -> Usage | None:
    if data.get("usage") is None:
        return None
    usage = members(data.get("usage"))
    read = members(usage.get("prompt_tokens_details"))
    written = members(usage.get("completion_tokens_details"))
    prompt, completion = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    reasoning = count(written.get("reasoning_tokens"))
    if reasoning and count(usage.get("total_tokens")) == prompt + completion + reasoning:
        completion += reasoning  # xAI counts thoughts beside the completion, and in the total
    cached = (
        count(read.get("cached_tokens"))
        or count(usage.get("prompt_cache_hit_tokens"))
        or count(usage.get("cached_tokens"))
    )
    return Usage(prompt, completion, cached, count(read.get("cache_write_tokens")), reasoning)


def _error(data: Json) -> str | None:
    error = data.get("error")
    if error is None:
        return None
    return str(members(error).get("message") or error)
