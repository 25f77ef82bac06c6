"""The texts in Anthropic's requests, replies and events, with their places: what guardrails judge and change.

All text blocks of an answer are one flow, since citations cut a sentence into several blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from headgate.dialects.interface import TextPlace
from headgate.dialects.openai.members import Json, objects

Path = tuple[str | int, ...]

_DESCRIBING = frozenset({"title", "description"})
_NO_TEXT = frozenset(
    {
        "cache_control",
        "caller",
        "container",
        "data",
        "encrypted_content",
        "encrypted_index",
        "encrypted_stdout",
        "file_id",
        "id",
        "media_type",
        "name",
        "server_name",
        "signature",
        "tool_use_id",
        "toolset_name",
        "type",
    }
)
"""Members that hold words of the protocol, ids or ciphers, in blocks that are gone through whole."""


def request_texts(body: Json) -> Iterator[TextPlace]:
    """Everything a caller sends for a model to read."""
    yield from _content(body.get("system"), ("system",), "system", "")
    for at, message in enumerate(objects(body.get("messages"))):
        yield from _content(message.get("content"), ("messages", at, "content"), str(message.get("role", "")), "")
    for at, tool in enumerate(objects(body.get("tools"))):
        yield from _definitions(tool, ("tools", at))
    for name in ("output_config", "output_format"):
        yield from _definitions(body.get(name), (name,))


def reply_texts(body: Json) -> Iterator[TextPlace]:
    """Everything a model answers with."""
    yield from _content(body.get("content"), ("content",), "assistant", "0")


def event_texts(data: Json) -> Iterator[TextPlace]:
    """Everything that one event of a stream says."""
    index = data.get("index", 0)
    delta, block = data.get("delta"), data.get("content_block")
    if isinstance(delta, dict):
        yield from _delta(cast("Json", delta), index)
    if isinstance(block, dict):
        yield from _block(cast("Json", block), ("content_block",), "assistant", "0", index)
    message = data.get("message")
    held: object = cast("Json", message).get("content") if isinstance(message, dict) else data.get("content")
    way: Path = ("message", "content") if isinstance(message, dict) else ("content",)
    yield from _content(held, way, "assistant", "0")


def finished(data: Json) -> list[str]:
    """The choice that an event says is complete: there is but one."""
    delta = data.get("delta")
    stop: Any = cast("Json", delta).get("stop_reason") if isinstance(delta, dict) else None
    return ["0"] if stop or data.get("type") in {"message_stop", "message"} else []


def _delta(delta: Json, index: object) -> Iterator[TextPlace]:
    for field, channel in (("text", "0.text"), ("thinking", "0.thinking"), ("partial_json", f"0.tool.{index}")):
        if isinstance(delta.get(field), str):
            yield TextPlace(("delta", field), delta[field], "assistant", channel)
    citation: Any = delta.get("citation")
    if isinstance(citation, dict):
        held = cast("Json", citation)
        if isinstance(held.get("cited_text"), str):
            yield TextPlace(("delta", "citation", "cited_text"), held["cited_text"], "assistant", "0.citation")


def _content(content: object, path: Path, role: str, choice: str) -> Iterator[TextPlace]:
    """A content: a string, or a list of blocks."""
    if isinstance(content, str):
        yield TextPlace(path, content, role, f"{choice}.text")
        return
    for at, block in enumerate(objects(content)):
        yield from _block(block, (*path, at), role, choice, at)


def _block(block: Json, path: Path, role: str, choice: str, index: object) -> Iterator[TextPlace]:
    match block.get("type"):
        case "text":
            if isinstance(block.get("text"), str):
                yield TextPlace((*path, "text"), block["text"], role, f"{choice}.text")
            for at, citation in enumerate(objects(block.get("citations"))):
                yield from _leaves(citation, (*path, "citations", at), role, f"{choice}.citation")
        case "thinking":
            if isinstance(block.get("thinking"), str):
                yield TextPlace((*path, "thinking"), block["thinking"], role, f"{choice}.thinking")
        case "tool_use":
            yield from _leaves(block.get("input"), (*path, "input"), role, f"{choice}.tool.{index}", every=True)
        case "tool_result":
            yield from _content(block.get("content"), (*path, "content"), "tool", choice)
        case "redacted_thinking" | "image":
            return
        case "document":
            source: Any = block.get("source")
            if isinstance(source, dict) and cast("Json", source).get("type") == "text":
                yield from _text_source(cast("Json", source), path, role, choice)
            yield from _leaves(block, path, role, f"{choice}.document.{index}")
        case _:
            yield from _leaves(block, path, role, f"{choice}.block.{index}")


def _text_source(source: Json, path: Path, role: str, choice: str) -> Iterator[TextPlace]:
    """A document in plain text, whose text is called `data`."""
    if isinstance(source.get("data"), str):
        yield TextPlace((*path, "source", "data"), source["data"], role, f"{choice}.text")


def _leaves(value: object, path: Path, role: str, channel: str, *, every: bool = False) -> Iterator[TextPlace]:
    """The strings in a value at any depth; without `every`, not those of the protocol."""
    if isinstance(value, str):
        yield TextPlace(path, value, role, channel)
    elif isinstance(value, list):
        for at, item in enumerate(cast("list[object]", value)):
            yield from _leaves(item, (*path, at), role, channel, every=every)
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            if every or name not in _NO_TEXT:
                yield from _leaves(item, (*path, name), role, channel, every=every)


def _definitions(value: object, path: Path) -> Iterator[TextPlace]:
    """What tools and schemas say about themselves, at any depth: a model reads all of it."""
    if isinstance(value, list):
        for at, item in enumerate(cast("list[object]", value)):
            yield from _definitions(item, (*path, at))
    elif isinstance(value, dict):
        for name, item in cast("Json", value).items():
            if name in _DESCRIBING and isinstance(item, str):
                yield TextPlace((*path, name), item, "tool_definition")
            yield from _definitions(item, (*path, name))
