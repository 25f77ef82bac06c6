"""What clients send back: their history with the model's answer in it, as users of the official SDKs build it, and results.

Streams are put together by the SDKs' own helpers, because that is what comes back.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, cast

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from openai.lib.streaming._deltas import accumulate_delta
from pydantic import TypeAdapter
from tests.replay.neutral import TEXT
from tests.replay.reading import Json, events_of, members, objects, parse

RESULT = "the result of call {}"
_event: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def history(dialect: str, body: bytes, *, stream: bool) -> Json:
    """The members of a second request that hold the conversation. Results come in the reverse order of the calls."""
    return _HISTORIES[dialect](body, stream)


def _chat(body: bytes, stream: bool) -> Json:
    message = _joined_deltas(body) if stream else _plain(objects(members(parse(body))["choices"])[0]["message"])
    for call in objects(message.get("tool_calls")):
        call.pop("index", None)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": RESULT.format(at)}
        for at, call in enumerate(objects(message.get("tool_calls")))
    ]
    messages = [{"role": "user", "content": TEXT}, message, *reversed(results)]
    return {"messages": [*messages, *([] if results else [{"role": "user", "content": "Go on."}])]}


def _joined_deltas(body: bytes) -> Json:
    """What OpenAI's SDK makes of the deltas of the first choice."""
    whole: dict[object, object] = {}
    for event in events_of(body):
        if event.data == "[DONE]":
            continue
        for choice in objects(members(_floats(event.json)).get("choices")):
            if choice.get("index") == 0:
                whole = accumulate_delta(acc=whole, delta=cast("dict[object, object]", copy.deepcopy(choice["delta"])))
    return _plain(whole)


def _responses(body: bytes, stream: bool) -> Json:
    data = (
        members(parse(body)) if not stream else members([event.json for event in events_of(body)][-1].get("response"))
    )
    items = objects(_floats(data.get("output")))
    calls = [item for item in items if item.get("type") == "function_call"]
    customs = [item for item in items if item.get("type") == "custom_tool_call"]
    results = [
        {"type": "function_call_output", "call_id": call["call_id"], "output": RESULT.format(at)}
        for at, call in enumerate(calls)
    ]
    results += [
        {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": RESULT.format(at)}
        for at, call in enumerate(customs, len(calls))
    ]
    more = [] if results else [{"role": "user", "content": "Go on."}]
    return {"input": [{"role": "user", "content": TEXT}, *items, *reversed(results), *more]}


def _messages(body: bytes, stream: bool) -> Json:
    content = _accumulated(body) if stream else objects(_floats(members(parse(body)).get("content")))
    calls = [block for block in content if block.get("type") == "tool_use"]
    results: list[Json] = [
        {"type": "tool_result", "tool_use_id": call["id"], "content": RESULT.format(at)}
        for at, call in enumerate(calls)
    ]
    answer = list(reversed(results)) or [{"type": "text", "text": "Go on."}]
    turns = [
        {"role": "user", "content": TEXT},
        {"role": "assistant", "content": content},
        {"role": "user", "content": answer},
    ]
    return {"messages": turns}


def _accumulated(body: bytes) -> list[Json]:
    """What Anthropic's SDK makes of the events."""
    snapshot: Any = None
    pieces: dict[int, bytes] = {}
    for event in events_of(body):
        known: Any = _event.validate_json(event.data)
        snapshot = accumulate_event(event=known, current_snapshot=snapshot, json_bufs=pieces)
    return objects(snapshot.model_dump(mode="json", exclude_none=True)["content"])


def _generate(body: bytes, stream: bool) -> Json:
    chunks = [event.json for event in events_of(body)] if stream else [members(parse(body))]
    parts: list[Json] = []
    for chunk in chunks:
        for candidate in objects(_floats(chunk.get("candidates"))):
            if not candidate.get("index"):
                parts += objects(members(candidate.get("content")).get("parts"))
    calls = [members(part["functionCall"]) for part in parts if "functionCall" in part]
    results = [
        {
            "functionResponse": {
                **({"id": call["id"]} if call.get("id") else {}),
                "name": call["name"],
                "response": {"output": RESULT.format(at)},
            }
        }
        for at, call in enumerate(calls)
    ]
    if all(call.get("id") for call in calls):
        results.reverse()
    turns = [
        {"role": "user", "parts": [{"text": TEXT}]},
        {"role": "model", "parts": parts},
        {"role": "user", "parts": results or [{"text": "Go on."}]},
    ]
    return {"contents": turns}


_HISTORIES: Mapping[str, Callable[[bytes, bool], Json]] = {
    "openai.chat": _chat,
    "openai.responses": _responses,
    "anthropic.messages": _messages,
    "google.generate": _generate,
}


def _plain(value: Any) -> Json:
    """Without members that are null, as the SDKs send objects back."""
    return {name: held for name, held in members(_floats(value)).items() if held is not None or name == "content"}


def _floats(value: Any) -> Any:
    """Numbers as JSON writers take them."""
    if isinstance(value, dict):
        return {name: _floats(held) for name, held in members(value).items()}
    if isinstance(value, list):
        return [_floats(held) for held in cast("list[Any]", value)]
    if isinstance(value, Decimal):
        return float(value)
    return value
