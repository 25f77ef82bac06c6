"""Replies of Converse as the canonical model, and the blocks that requests are made of as well.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. What JSON says with more digits
than a float holds stays as it came: inputs of tools are kept as the text they were.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct

from headgate.body import decode_object
from headgate.chat import (
    ChatReply,
    Choice,
    Citation,
    File,
    Image,
    Item,
    Message,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from headgate.dialects.openai.members import Members, objects
from headgate.errors import InvalidRequest
from headgate_bedrock.media import decode_audio, decode_document, decode_film, decode_image
from headgate_bedrock.tools import OUTPUT_TOOL, called_name
from headgate_bedrock.turns import NAME
from headgate_bedrock.usage import finish_of, stop_of, usage_of

Json = dict[str, Any]


class _ToolUse(Struct, frozen=True):
    input: Raw = Raw(b"{}")


class _Block(Struct, frozen=True, rename="camel"):
    tool_use: _ToolUse | None = None


class _Message(Struct, frozen=True):
    content: list[_Block] = []


class _Output(Struct, frozen=True):
    message: _Message = _Message()


class _ReplyInputs(Struct, frozen=True):
    """The inputs of tools in a reply, as text."""

    output: _Output = _Output()


class _RequestInputs(Struct, frozen=True):
    """The inputs of tools in a request, as text."""

    messages: list[_Message] = []


_reply = msgspec.json.Decoder(_ReplyInputs)
_request = msgspec.json.Decoder(_RequestInputs)


def request_inputs(body: bytes) -> list[list[bytes | None]]:
    """The inputs of the tools that each message of a request calls, by block. Raises InvalidRequest."""
    try:
        return [_inputs(message) for message in _request.decode(body).messages]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is no request for Converse: {error}") from None


def decode_reply(body: bytes) -> ChatReply:
    """A whole answer. It says no id, and its model only where a prompt router chose it.

    Raises InvalidRequest for what is no answer of Converse.
    """
    reply = Members(decode_object(body))
    output = reply.inner("output")
    said = output.inner("message")
    said.take("role")
    blocks = Blocks(_inputs(_reply.decode(body).output.message))
    parts = blocks.decoded(said, "content")
    raw = reply.find("stopReason", str) or ""
    usage, tier = reply.find("usage", Json), reply.inner_if_given("serviceTier")
    fields = reply.take("additionalModelResponseFields")
    extra = {} if is_bare(fields) else {"additionalModelResponseFields": fields}
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    choice = Choice(
        Message("assistant", parts, extra=said.rest()), finish_of(raw, has_calls=has_calls), raw, stop_of(fields)
    )
    service_tier = tier.find("type", str) if tier else None
    rest = reply.rest()
    return ChatReply(
        id="",
        model=model_of(rest),
        choices=(choice,),
        usage=usage_of(usage) if usage else None,
        service_tier=service_tier,
        dialect=NAME,
        extra={**rest, **extra},
    )


def model_of(members: Mapping[str, Any]) -> str:
    """The model that a prompt router chose, as the trace beside a reply says; empty when it says none."""
    chosen = _member(_member(members.get("trace"), "promptRouter"), "invokedModelId")
    return chosen if isinstance(chosen, str) else ""


def is_bare(fields: object) -> bool:
    """Whether the additional fields of a reply hold nothing beyond the stop sequence that was asked for."""
    if not isinstance(fields, dict):
        return fields is None
    held = {name: value for name, value in cast("Json", fields).items() if name != "stop_sequence"}
    delta: Any = held.pop("delta", {})
    return not held and isinstance(delta, dict) and set(cast("Json", delta)) <= {"stop_sequence"}


def opaque_of(signature: str) -> Opaque:
    """A signature, with who understands it: Anthropic's count everywhere.

    They are messages that begin with field 2, the byte 0x12, and those of newer models with a small number before it.

    Anthropic says of them: "Values generated on one platform work on another" (Claude API, Bedrock, Google Cloud).
    https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    """
    try:
        head = base64.b64decode(signature, validate=True)[:3]
        is_claude = head[:1] == b"\x12" or (head[:1] == b"\x08" and head[2:] == b"\x12")
    except ValueError:
        is_claude = False
    return Opaque("anthropic" if is_claude else "bedrock", signature)


def citation_of(raw: Json) -> Citation:
    """Where a text comes from. Places inside the source are in `raw`."""
    url = _member(_member(raw.get("location"), "web"), "url")
    title = raw.get("title")
    quotes = [_member(piece, "text") for piece in objects(raw.get("sourceContent"))]
    return Citation(
        url=url if isinstance(url, str) else None,
        title=title if isinstance(title, str) else None,
        quote="".join(text for text in quotes if isinstance(text, str)) or None,
        raw=raw,
    )


def _member(value: object, name: str) -> object:
    return cast("Json", value).get(name) if isinstance(value, dict) else None


class Blocks:
    """Decodes the blocks of one message. `inputs` are the inputs of its calls."""

    def __init__(self, inputs: Sequence[bytes | None]) -> None:
        self._inputs = inputs
        self._calls = 0

    def decoded(self, holder: Members, field: str) -> tuple[Part, ...]:
        """The parts. A cache point marks the part before it; what no part stands for is an Item."""
        raws: list[Json] = holder.find(field, list[Json]) or []
        parts: list[Part] = []
        for at, raw in enumerate(raws):
            if "cachePoint" in raw and parts and isinstance(parts[-1], Text | Image | File | ToolCall | ToolResult):
                parts[-1] = msgspec.structs.replace(parts[-1], cache=mark_of(raw["cachePoint"]))
                continue
            parts.append(self._part(Members(raw, f"{holder.at(field)}[{at}]"), raw, self._input(at)))
        return tuple(part for part in parts if not (isinstance(part, Text) and part == Text("")))

    def _input(self, at: int) -> str:
        found = self._inputs[at] if at < len(self._inputs) else None
        return (found or b"{}").decode()

    def _part(self, block: Members, raw: Json, arguments: str) -> Part:
        kinds = [name for name in raw if name != "type"]
        match kinds:
            case ["text"]:
                text = block.need("text", str)
                if block.take("type") not in {None, "text"}:
                    return Item(NAME, raw)
                return Text(text)
            case ["image"]:
                return decode_image(block.inner("image"))
            case ["document"]:
                held = block.inner("document")
                is_list = _member(held.peek("source"), "content") is not None
                return Item(NAME, raw) if is_list else decode_document(held)
            case ["video"]:
                return decode_film(block.inner("video"))
            case ["audio"]:
                return decode_audio(block.inner("audio")) or Item(NAME, raw)
            case ["toolUse"]:
                return self._call(block.inner("toolUse"), raw, arguments)
            case ["toolResult"]:
                return _result(block.inner("toolResult"), raw)
            case ["reasoningContent"]:
                return _thought(block.inner("reasoningContent"))
            case ["citationsContent"]:
                return _cited(block.inner("citationsContent"))
            case ["guardContent"] if _member(raw["guardContent"], "text") is not None:
                guarded = block.inner("guardContent").inner("text")
                return Text(guarded.need("text", str), extra={"guardContent": guarded.rest()})
            case _:
                return Item(NAME, raw)

    def _call(self, use: Members, raw: Json, arguments: str) -> Part:
        kind = use.take("type")
        if kind not in {None, "tool_use"}:
            return Item(NAME, raw)  # a tool that Bedrock runs by itself
        name = called_name(use.need("name", str))
        use.take("input")
        if name == OUTPUT_TOOL:
            return Text(arguments)
        self._calls += 1
        call_id = use.need("toolUseId", str)
        return ToolCall(call_id, name, arguments, self._calls - 1, extra=use.rest())


def _inputs(message: _Message) -> list[bytes | None]:
    return [bytes(block.tool_use.input) if block.tool_use else None for block in message.content]


def mark_of(point: object) -> Json:
    """A cache point as the mark that Anthropic calls `cache_control`."""
    ttl = _member(point, "ttl")
    return {"type": "ephemeral", **({"ttl": ttl} if isinstance(ttl, str) else {})}


def _thought(held: Members) -> Reasoning:
    redacted = held.find("redactedContent", str)
    if redacted is not None:
        return Reasoning("", Opaque("bedrock", redacted), is_redacted=True, extra=held.rest())
    text = held.inner("reasoningText")
    said, signature = text.need("text", str), text.find("signature", str)
    return Reasoning(said, opaque_of(signature) if signature else None, extra=held.rest())


def _cited(held: Members) -> Text:
    text = "".join(piece.need("text", str) for piece in held.listed("content"))
    citations = tuple(citation_of(raw) for raw in held.find("citations", list[Json]) or [])
    return Text(text, citations=citations)


def _result(held: Members, raw: Json) -> ToolResult | Item:
    """What a tool answered; what a tool of Bedrock's own did stays as it is."""
    if held.take("type") is not None:
        return Item(NAME, raw)
    call_id, status = held.need("toolUseId", str), held.find("status", str)
    content: list[Text | Image | File] = []
    for at, block in enumerate(held.find("content", list[Json]) or []):
        members = Members(block, f"{held.at('content')}[{at}]")
        match list(block):
            case ["text"]:
                content.append(Text(members.need("text", str)))
            case ["image"]:
                content.append(decode_image(members.inner("image")))
            case ["document"]:
                content.append(decode_document(members.inner("document")))
            case ["video"]:
                content.append(decode_film(members.inner("video")))
            case ["json"]:
                content.append(Text(msgspec.json.encode(block["json"]).decode(), extra={"json": True}))
            case _:
                content.append(Text(msgspec.json.encode(block).decode(), extra={"block": block}))
    return ToolResult(call_id, tuple(content), is_error=status == "error", extra=held.rest())
