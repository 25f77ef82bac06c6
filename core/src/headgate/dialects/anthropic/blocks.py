"""The blocks of Anthropic's messages to parts, both of requests and of replies.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, cast

import msgspec
from msgspec import Raw, UnsetType

from headgate.chat import (
    Citation,
    File,
    Image,
    Item,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from headgate.dialects.anthropic.names import NAME
from headgate.dialects.anthropic.opaque import Sealed, unseal
from headgate.dialects.data_urls import split_data_url
from headgate.dialects.openai.members import Members
from headgate.errors import InvalidRequest

Json = dict[str, Any]
Inputs = dict[tuple[int, int], str]


def decode_blocks(blocks: list[Members], inputs: Inputs, turn: int) -> list[Part]:
    """The blocks of one turn. `inputs` holds the arguments of its tool calls as they were written."""
    parts: list[Part] = []
    held: Sealed | None = None
    calls = 0
    for at, block in enumerate(blocks):
        part = _decode_block(block, inputs.get((turn, at), ""), calls)
        if isinstance(part, Sealed):
            held = _give_back(part, parts) or held
            continue
        if isinstance(part, ToolCall):
            calls += 1
            part, held = _signed(part, held), None
        parts.append(part)
    if held is not None:
        parts.append(Reasoning("", held.opaque))
    return parts


def decode_content(value: object, place: str, inputs: Inputs, turn: int) -> list[Part]:
    """A content, which is a string or a list of blocks. Raises InvalidRequest that names `place`."""
    if isinstance(value, str):
        return [Text(value)]
    if not isinstance(value, list):
        raise InvalidRequest(f"`{place}` must be a string or a list of blocks", param=place)
    blocks = [Members(block, f"{place}[{at}]") for at, block in enumerate(cast("list[object]", value))]
    return decode_blocks(blocks, inputs, turn)


def decode_citation(raw: Json) -> Citation:
    """Where a text comes from, by web page, search result or place in a document."""
    url, title = raw.get("url") or raw.get("source"), raw.get("title") or raw.get("document_title")
    quote = raw.get("cited_text")
    return Citation(
        url if isinstance(url, str) else None,
        title if isinstance(title, str) else None,
        quote if isinstance(quote, str) else None,
        raw=raw,
    )


def input_text(raw: Raw | UnsetType) -> str:
    """The text of an `input`; "" where there is none."""
    text = "" if isinstance(raw, UnsetType) else bytes(raw).decode()
    return "" if text == "null" else text


def _give_back(sealed: Sealed, parts: list[Part]) -> Sealed | None:
    """A signature without thinking: put it on the text before it, or keep it for the tool call behind it."""
    if sealed.holder == "call":
        return sealed
    if parts and isinstance(parts[-1], Text):
        parts[-1] = msgspec.structs.replace(parts[-1], opaque=sealed.opaque)
    else:
        parts.append(Text("", opaque=sealed.opaque))
    return None


def _signed(call: ToolCall, held: Sealed | None) -> ToolCall:
    return call if held is None else msgspec.structs.replace(call, opaque=held.opaque)


def _decode_block(block: Members, arguments: str, call: int) -> Part | Sealed:
    raw = block.rest()
    kind = block.need("type", str)
    match kind:
        case "text":
            return _decode_text(block)
        case "image":
            return _decode_image(block) or Item(NAME, raw)
        case "document":
            return _decode_document(block) or Item(NAME, raw)
        case "thinking":
            return _decode_thought(block)
        case "redacted_thinking":
            sealed = unseal(block.need("data", str))
            return Reasoning("", sealed.opaque, is_redacted=True, item_id=sealed.item_id, extra=block.rest())
        case "tool_use":
            return _decode_call(block, arguments, call)
        case "tool_result":
            return _decode_result(block)
        case _:
            return Item(NAME, raw)


def _decode_text(block: Members) -> Text:
    text, cache = block.need("text", str), block.find("cache_control", Json)
    citations = tuple(decode_citation(raw) for raw in block.find("citations", list[Json]) or ())
    return Text(text, cache, citations, extra=block.rest())


def _decode_thought(block: Members) -> Reasoning | Sealed:
    """Thinking; unsigned where another vendor's was shown to the client, and then only its text."""
    text, sealed = block.find("thinking", str) or "", unseal(block.find("signature", str) or "")
    if sealed.holder and not text:
        return sealed
    return Reasoning(text, sealed.opaque, item_id=sealed.item_id, extra=block.rest())


def _decode_call(block: Members, arguments: str, call: int) -> Part:
    call_id, name = block.need("id", str), block.need("name", str)
    given = block.take("input")
    said = arguments or ("{}" if given is None else msgspec.json.encode(given).decode())
    cache = block.find("cache_control", Json)
    return ToolCall(call_id, name, said, call, cache=cache, extra=block.rest())


def _decode_result(block: Members) -> ToolResult:
    call_id, is_error = block.need("tool_use_id", str), block.find("is_error", bool) or False
    value, place = block.take("content"), block.at("content")
    parts = [] if value is None else decode_content(value, place, {}, -1)
    content: list[Text | Image | File] = []
    for part in parts:
        if isinstance(part, Text | Image | File):
            content.append(part)
        elif isinstance(part, Item):
            content.append(Text(msgspec.json.encode(part.raw).decode(), extra={"_block": part.raw}))
        else:
            raise InvalidRequest(f"`{place}`: a tool does not answer with such a block", param=place)
    return ToolResult(call_id, tuple(content), is_error, cache=block.find("cache_control", Json), extra=block.rest())


def _decode_image(block: Members) -> Image | None:
    """An image; None for a source that is not known."""
    source = block.inner("source")
    cache = block.find("cache_control", Json)
    match source.take("type"):
        case "base64":
            data, media_type = source.need("data", str), source.find("media_type", str)
            return Image(data=data, media_type=_bare_type(media_type), cache=cache, extra=block.rest())
        case "url":
            return _image_by_url(source.need("url", str), cache, block)
        case "file":
            return Image(file_id=source.need("file_id", str), cache=cache, extra=block.rest())
        case _:
            return None


def _image_by_url(url: str, cache: Json | None, block: Members) -> Image:
    held = split_data_url(url)
    if held is not None:
        return Image(data=held[1], media_type=held[0], cache=cache, extra=block.rest())
    return Image(url=url, cache=cache, extra=block.rest())


def _decode_document(block: Members) -> File | None:
    """A document; None for a source that only this dialect has, such as blocks of one's own choice."""
    source = block.inner("source")
    held: Json
    match source.take("type"):
        case "base64":
            held = {"data": source.need("data", str), "media_type": _bare_type(source.find("media_type", str))}
        case "text":
            text, media_type = source.need("data", str), source.find("media_type", str)
            held = {"data": b64encode(text.encode()).decode(), "media_type": media_type or "text/plain"}
        case "url":
            held = {"url": source.need("url", str)}
        case "file":
            held = {"file_id": source.need("file_id", str)}
        case _:
            return None
    citations = block.inner_if_given("citations")
    return File(
        **held,
        title=block.find("title", str),
        context=block.find("context", str),
        cites=None if citations is None else citations.find("enabled", bool),
        cache=block.find("cache_control", Json),
        extra=block.rest(),
    )


def _bare_type(media_type: str | None) -> str | None:
    return None if media_type is None else media_type.partition(";")[0].strip().lower()
