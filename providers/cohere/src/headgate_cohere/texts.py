"""Where text stands in bodies of Cohere's chat, for guards: what a model reads and what it writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from msgspec.structs import replace

from headgate.dialects import TextPlace
from headgate.dialects.openai.members import Json, objects
from headgate.dialects.openai.places import choice_places, request_places

Path = tuple[str | int, ...]


def request_texts(body: Json) -> Iterator[TextPlace]:
    """All that a caller sends: OpenAI's places, and the documents and plans that Cohere has beside them."""
    yield from request_places(body)
    for at, message in enumerate(objects(body.get("messages"))):
        yield from _plans(message, ("messages", at), "")
        for number, block in enumerate(objects(message.get("content"))):
            yield from _leaves(block.get("document"), ("messages", at, "content", number, "document"), "tool")
    yield from _leaves(body.get("documents"), ("documents",), "user")


def reply_texts(body: Json) -> Iterator[TextPlace]:
    """All that a model answers with."""
    message = body.get("message")
    for place in choice_places({"choices": [{"message": message}]}, is_stream=False):
        yield replace(place, path=place.path[2:])
    if isinstance(message, dict):
        yield from _plans(cast("Json", message), ("message",), "0")


def event_texts(data: Json) -> Iterator[TextPlace]:
    """The text of one event."""
    delta: Any = data.get("delta")
    message: Any = cast("Json", delta).get("message") if isinstance(delta, dict) else None
    if not isinstance(message, dict):
        return
    held, path, index = cast("Json", message), ("delta", "message"), data.get("index", 0)
    yield from _plans(held, path, "0")
    content, call = held.get("content"), held.get("tool_calls")
    if isinstance(content, dict):
        for name in ("text", "thinking"):
            text = cast("Json", content).get(name)
            if isinstance(text, str):
                yield TextPlace((*path, "content", name), text, "assistant", f"0.{index}.{name}")
    function: Any = cast("Json", call).get("function") if isinstance(call, dict) else None
    arguments = cast("Json", function).get("arguments") if isinstance(function, dict) else None
    if isinstance(arguments, str):
        where = (*path, "tool_calls", "function", "arguments")
        yield TextPlace(where, arguments, "assistant", f"0.tool.{index}.arguments")


def _plans(message: Json, path: Path, channel: str) -> Iterator[TextPlace]:
    plan = message.get("tool_plan")
    if isinstance(plan, str):
        yield TextPlace((*path, "tool_plan"), plan, "assistant", f"{channel}.tool_plan")


def _leaves(value: object, path: Path, role: str) -> Iterator[TextPlace]:
    """The strings of a JSON value, each with its own path."""
    if isinstance(value, str):
        yield TextPlace(path, value, role)
    elif isinstance(value, list):
        for at, item in enumerate(cast("list[object]", value)):
            yield from _leaves(item, (*path, at), role)
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            yield from _leaves(item, (*path, name), role)
