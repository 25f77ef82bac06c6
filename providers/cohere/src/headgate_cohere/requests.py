"""Requests for Cohere's chat as the canonical model. No client speaks it here: for tests, and for tools that read recordings."""

from __future__ import annotations

from typing import Literal, cast

import msgspec

from headgate.body import decode_object
from headgate.chat import (
    ChatRequest,
    Image,
    Item,
    Message,
    Part,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    ThinkingMode,
    Tool,
    ToolChoice,
    ToolResult,
)
from headgate.dialects.data_urls import split_data_url
from headgate.dialects.openai.members import Json, Members
from headgate.errors import InvalidRequest
from headgate_cohere.replies import NAME, decode_call, decode_content, decode_said

_CHOICES: dict[str, Literal["none", "required"]] = {"NONE": "none", "REQUIRED": "required"}


def decode_request(body: bytes) -> ChatRequest:
    """A request. Raises InvalidRequest that names the place of a wrong shape."""
    held = Members(decode_object(body))
    word = held.find("tool_choice", str)
    return ChatRequest(
        model=held.find("model", str) or "",
        messages=tuple(_decode_turn(turn) for turn in held.listed("messages")),
        sampling=_decode_sampling(held),
        tools=_decode_tools(held),
        tool_choice=None if word is None else ToolChoice(_CHOICES.get(word, "other"), raw=word),
        response_format=_decode_format(held.inner_if_given("response_format")),
        thinking=_decode_thinking(held.inner_if_given("thinking")),
        stream=held.find("stream", bool) or False,
        dialect=NAME,
        extra=held.rest(),
    )


def _decode_turn(turn: Members) -> Message:
    role = turn.need("role", str)
    if role == "tool":
        return Message("tool", (_decode_result(turn),), extra=turn.rest())
    if role not in {"system", "user", "assistant"}:
        raise InvalidRequest(f"`{turn.at('role')}` must be system, user, assistant or tool", param=turn.at("role"))
    parts, others = decode_said(turn, decode_content(turn) if role == "assistant" else _decode_blocks(turn))
    parts += [decode_call(call, at) for at, call in enumerate(turn.listed("tool_calls"))]
    extra = {**turn.rest(), **({"citations": others} if others else {})}
    return Message(cast('Literal["system", "user", "assistant"]', role), tuple(parts), extra=extra)


def _decode_blocks(turn: Members) -> list[Part]:
    text = turn.find_if("content", str)
    return [Text(text)] if text is not None else [_decode_block(block) for block in turn.listed("content")]


def _decode_block(block: Members) -> Part:
    if block.peek("type") == "text":
        block.take("type")
        return Text(block.need("text", str), extra=block.rest())
    if block.peek("type") != "image_url":
        return Item(NAME, block.rest())
    block.take("type")
    image = block.inner("image_url")
    url, detail = image.need("url", str), image.find("detail", str)
    data = split_data_url(url)
    if data is None:
        return Image(url, detail=detail, extra=block.rest())
    return Image(data=data[1], media_type=data[0], detail=detail, extra=block.rest())


def _decode_result(turn: Members) -> ToolResult:
    """What a tool answered. A document is its JSON as text, and kept beside it."""
    call_id = turn.need("tool_call_id", str)
    text = turn.find_if("content", str)
    blocks = [] if text is not None else turn.listed("content")
    content = [Text(text)] if text is not None else [_decode_piece(block) for block in blocks]
    return ToolResult(call_id, tuple(content))


def _decode_piece(block: Members) -> Text:
    kind = block.take("type")
    if kind == "text":
        return Text(block.need("text", str), extra=block.rest())
    document = block.need("document", Json)
    data = document.get("data")
    return Text(data if isinstance(data, str) else msgspec.json.encode(data).decode(), extra={"document": document})


def _decode_sampling(held: Members) -> Sampling:
    return Sampling(
        temperature=held.find("temperature", float),
        top_p=held.find("p", float),
        top_k=held.find("k", int),
        max_tokens=held.find("max_tokens", int),
        stop=tuple(held.find("stop_sequences", list[str]) or ()),
        seed=held.find("seed", int),
        presence_penalty=held.find("presence_penalty", float),
        frequency_penalty=held.find("frequency_penalty", float),
        logprobs=held.find("logprobs", bool),
    )


def _decode_tools(held: Members) -> tuple[Tool, ...]:
    is_strict = held.find("strict_tools", bool)
    tools: list[Tool] = []
    for tool in held.listed("tools"):
        if (tool.peek("type") or "function") != "function":
            tools.append(Tool(str(tool.peek("type")), kind=str(tool.peek("type")), raw=tool.rest()))
            continue
        tool.take("type")
        function = tool.inner("function")
        name, description = function.need("name", str), function.find("description", str)
        tools.append(Tool(name, description, function.find("parameters", Json), is_strict, extra=tool.rest()))
    return tuple(tools)


def _decode_format(form: Members | None) -> ResponseFormat | None:
    if form is None:
        return None
    schema, kind = form.find("json_schema", Json), form.take("type")
    if schema is not None:
        return ResponseFormat("json_schema", schema=schema)
    return ResponseFormat("json_object" if kind == "json_object" else "text")


def _decode_thinking(held: Members | None) -> Thinking | None:
    if held is None:
        return None
    mode = cast("ThinkingMode", held.take("type")) if held.peek("type") in ("enabled", "disabled") else None
    return Thinking(budget_tokens=held.find("token_budget", int), mode=mode)
