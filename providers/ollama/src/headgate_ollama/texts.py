"""Where text stands in bodies of Ollama's chat, for guards: what a model reads and what it writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from headgate.dialects import TextPlace
from headgate.dialects.openai.members import Json, objects
from headgate.dialects.openai.places import request_places

Path = tuple[str | int, ...]


def request_texts(body: Json) -> Iterator[TextPlace]:
    """All that a caller sends: OpenAI's places, and what stands elsewhere here."""
    yield from request_places(body)
    for at, message in enumerate(objects(body.get("messages"))):
        yield from _beside(message, ("messages", at), str(message.get("role", "")), "")


def reply_texts(body: Json) -> Iterator[TextPlace]:
    """All that a model answers with, in a whole answer or in a line of a stream."""
    held: Any = body.get("message")
    if not isinstance(held, dict):
        return
    message = cast("Json", held)
    if isinstance(message.get("content"), str):
        yield TextPlace(("message", "content"), message["content"], "assistant", "0.content")
    yield from _beside(message, ("message",), "assistant", "0")


def _beside(message: Json, path: Path, role: str, channel: str) -> Iterator[TextPlace]:
    """Thinking, and the strings in the arguments of calls."""
    thinking = message.get("thinking")
    if isinstance(thinking, str):
        yield TextPlace((*path, "thinking"), thinking, role, f"{channel}.thinking")
    for at, call in enumerate(objects(message.get("tool_calls"))):
        function: Any = call.get("function")
        if isinstance(function, dict):
            where = (*path, "tool_calls", at, "function", "arguments")
            yield from _leaves(cast("Json", function).get("arguments"), where, role, f"{channel}.tool.{at}")


def _leaves(value: object, path: Path, role: str, channel: str) -> Iterator[TextPlace]:
    """The strings of a JSON value, each with its own path."""
    if isinstance(value, str):
        yield TextPlace(path, value, role, channel)
    elif isinstance(value, list):
        for at, item in enumerate(cast("list[object]", value)):
            yield from _leaves(item, (*path, at), role, f"{channel}.{at}")
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            yield from _leaves(item, (*path, name), role, f"{channel}.{name}")
