"""Where text stands in bodies of Converse, for guards: what a model reads and what it writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from headgate.dialects import TextPlace
from headgate.dialects.openai.members import objects

Json = dict[str, Any]
Path = tuple[str | int, ...]

_DESCRIBING = {"title", "description"}


def request_places(body: Json) -> Iterator[TextPlace]:
    """All that a caller sends: instructions, turns of every role, what tools say of themselves and a schema."""
    for at, block in enumerate(objects(body.get("system"))):
        yield from _block_places(block, ("system", at), "system", "")
    for at, turn in enumerate(objects(body.get("messages"))):
        for number, block in enumerate(objects(turn.get("content"))):
            yield from _block_places(block, ("messages", at, "content", number), str(turn.get("role", "")), "")
    config: Any = body.get("toolConfig")
    if isinstance(config, dict):
        yield from _definitions(cast("Json", config), ("toolConfig",))


def reply_places(body: Json) -> Iterator[TextPlace]:
    """All that a model answers with."""
    output: Any = body.get("output")
    message: Any = cast("Json", output).get("message") if isinstance(output, dict) else None
    content = objects(cast("Json", message).get("content")) if isinstance(message, dict) else []
    for at, block in enumerate(content):
        yield from _block_places(block, ("output", "message", "content", at), "assistant", f"0.{at}")


def event_places(data: Json) -> Iterator[TextPlace]:
    """The text of one delta."""
    delta: Any = data.get("delta")
    if not isinstance(delta, dict):
        return
    held, channel = cast("Json", delta), f"0.{data.get('contentBlockIndex', 0)}"
    yield from _strings(held, ("text",), ("delta",), "assistant", channel)
    yield from _strings(held.get("toolUse"), ("input",), ("delta", "toolUse"), "assistant", channel)
    yield from _strings(held.get("reasoningContent"), ("text",), ("delta", "reasoningContent"), "assistant", channel)


def _block_places(block: Json, path: Path, role: str, channel: str) -> Iterator[TextPlace]:
    yield from _strings(block, ("text",), path, role, channel)
    for outer, inner in (("guardContent", "text"), ("reasoningContent", "reasoningText"), ("document", "source")):
        held: Any = block.get(outer)
        if isinstance(held, dict):
            deeper = cast("Json", held).get(inner)
            yield from _strings(deeper, ("text",), (*path, outer, inner), role, f"{channel}.{outer}")
    use: Any = block.get("toolUse")
    if isinstance(use, dict):
        yield from _leaves(cast("Json", use).get("input"), (*path, "toolUse", "input"), role, f"{channel}.arguments")
    for name in ("citationsContent", "toolResult"):
        held = block.get(name)
        for at, piece in enumerate(objects(cast("Json", held).get("content")) if isinstance(held, dict) else []):
            where = (*path, name, "content", at)
            yield from _strings(piece, ("text",), where, "tool" if name == "toolResult" else role, channel)
            yield from _leaves(piece.get("json"), (*where, "json"), "tool", channel)


def _leaves(value: object, path: Path, role: str, channel: str) -> Iterator[TextPlace]:
    """The strings of a JSON value, each with its own path."""
    if isinstance(value, str):
        yield TextPlace(path, value, role, channel)
    elif isinstance(value, list):
        for at, item in enumerate(cast("list[object]", value)):
            yield from _leaves(item, (*path, at), role, channel)
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            yield from _leaves(item, (*path, name), role, f"{channel}.{name}")


def _definitions(value: object, path: Path) -> Iterator[TextPlace]:
    if isinstance(value, list):
        for at, item in enumerate(cast("list[object]", value)):
            yield from _definitions(item, (*path, at))
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            if name in _DESCRIBING and isinstance(item, str):
                yield TextPlace((*path, name), item, "tool_definition")
            yield from _definitions(item, (*path, name))


def _strings(held: object, fields: tuple[str, ...], path: Path, role: str, channel: str) -> Iterator[TextPlace]:
    if isinstance(held, dict):
        for field in fields:
            text: Any = cast("Json", held).get(field)
            if isinstance(text, str):
                yield TextPlace((*path, field), text, role, f"{channel}.{field}")
