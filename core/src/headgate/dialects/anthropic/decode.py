"""Anthropic Messages JSON to the canonical model. Pure functions; they raise InvalidRequest that names the wrong place.

Source: https://platform.claude.com/docs/en/api/messages and the types of the official SDK (2.11).
"""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from headgate.body import decode_object
from headgate.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    FinishReason,
    Message,
    Part,
    ResponseFormat,
    Role,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.dialects.anthropic.blocks import Inputs, decode_blocks, decode_content, input_text
from headgate.dialects.anthropic.names import NAME, OUTPUT_TOOL
from headgate.dialects.anthropic.usage import TIERS, decode_usage
from headgate.dialects.openai.members import Members
from headgate.errors import InvalidRequest

Json = dict[str, Any]

FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""What the stop reasons mean; one that is not here means `stop`."""
HINTS = frozenset(
    {
        "_block",
        "betas",
        "cache_control",
        "caller",
        "context_management",
        "defer_loading",
        "diagnostics",
        "eager_input_streaming",
        "fallback_credit_token",
        "fallbacks",
        "input_examples",
        "metadata",
        "namespace",
        "output_config",
        "speed",
        "thinking",
        "transformations",
    }
)
"""Members of a request of this dialect that another can leave out: they ask for less cost or time, never for another answer."""
_MODES: dict[str, Literal["enabled", "adaptive", "disabled"]] = {
    "enabled": "enabled",
    "adaptive": "adaptive",
    "disabled": "disabled",
    "between_tools": "disabled",
}


class _Call(Struct):
    input: Raw | UnsetType = UNSET


class _Turn(Struct):
    content: str | list[_Call] | None = None


class _Turns(Struct):
    messages: list[_Turn] = []


def decode_request(body: bytes) -> ChatRequest:
    """A Messages request."""
    members = Members(decode_object(body))
    turns = members.take("messages")
    if not isinstance(turns, list) or not turns:
        raise InvalidRequest("`messages` must be a list with at least one message", param="messages")
    inputs = _inputs_of(body) if b'"input"' in body else {}
    messages = [*_decode_system(members)]
    for at, turn in enumerate(cast("list[object]", turns)):
        messages += _decode_turn(Members(turn, f"messages[{at}]"), at, inputs)
    choice = members.inner_if_given("tool_choice")
    parallel = None if choice is None else choice.find("disable_parallel_tool_use", bool)
    config = members.inner_if_given("output_config")
    tier = members.find("service_tier", str)
    return ChatRequest(
        model=members.find("model", str) or "",
        messages=tuple(messages),
        sampling=_decode_sampling(members),
        tools=tuple(_decode_tool(tool) for tool in members.listed("tools")),
        tool_choice=None if choice is None else _decode_tool_choice(choice),
        parallel_tool_calls=None if parallel is None else not parallel,
        response_format=_decode_format(members, config),
        thinking=_decode_thinking(members, config),
        stream=members.find("stream", bool) or False,
        include_usage=True,
        user=_decode_user(members),
        service_tier="default" if tier == "standard_only" else tier,
        dialect=NAME,
        extra=members.rest(),
    )


def decode_reply(body: bytes) -> ChatReply:
    """A Message. Raises InvalidRequest when it is none."""
    members = Members(decode_object(body))
    if members.take("type") != "message":
        raise InvalidRequest("`type` is not `message`")
    members.take("role")
    parts = [_surfaced(part) for part in decode_blocks(members.listed("content"), _reply_inputs(body), 0)]
    raw_usage = members.find("usage", Json)
    return ChatReply(
        id=members.find("id", str) or "",
        model=members.find("model", str) or "",
        choices=(_decode_choice(members, parts),),
        usage=decode_usage(raw_usage) if raw_usage else None,
        service_tier=decode_tier((raw_usage or {}).get("service_tier")),
        dialect=NAME,
        extra={name: value for name, value in members.rest().items() if value is not None},
    )


def finish_of(raw: str | None, *, has_calls: bool) -> FinishReason:
    """What a stop reason means beside these tool calls; the reserved output tool is an answer, not a call."""
    reason = FINISH.get(raw or "", "stop")
    if reason in {"stop", "tool_calls"}:
        return "tool_calls" if has_calls else "stop"
    return reason


def decode_tier(raw: object) -> str | None:
    """A service tier by the name that OpenAI has for it."""
    return TIERS.get(raw, raw) if isinstance(raw, str) else None


def _surfaced(part: Part) -> Part:
    """The input of the reserved output tool is what the model answers."""
    if isinstance(part, ToolCall) and part.name == OUTPUT_TOOL:
        return Text(part.arguments or "{}")
    return part


def _decode_choice(members: Members, parts: list[Part]) -> Choice:
    raw, stop = members.find("stop_reason", str), members.find("stop_sequence", str)
    details = members.take("stop_details")
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    return Choice(
        Message("assistant", tuple(parts)),
        finish_of(raw, has_calls=has_calls) if raw else None,
        raw,
        stop,
        extra={} if details is None else {"stop_details": details},
    )


def _decode_system(members: Members) -> list[Message]:
    value = members.take("system")
    if value is None:
        return []
    parts = decode_content(value, "system", {}, -1)
    return [Message("system", tuple(parts))] if parts else []


def _decode_turn(turn: Members, at: int, inputs: Inputs) -> list[Message]:
    """One turn; the tool results of a user are a turn of their own before what else is said there."""
    role = turn.take("role")
    if role not in {"user", "assistant", "system"}:
        raise InvalidRequest(f"`{turn.at('role')}` must be user, assistant or system", param=turn.at("role"))
    parts = decode_content(turn.take("content"), turn.at("content"), inputs, at)
    results = tuple(part for part in parts if isinstance(part, ToolResult))
    others = tuple(part for part in parts if not isinstance(part, ToolResult))
    messages = [Message("tool", results)] if results else []
    if others or not results:
        messages.append(Message(cast("Role", role), others))
    messages[-1] = msgspec.structs.replace(messages[-1], extra=turn.rest())
    return messages


def _decode_sampling(members: Members) -> Sampling:
    return Sampling(
        temperature=members.find("temperature", float),
        top_p=members.find("top_p", float),
        top_k=members.find("top_k", int),
        max_tokens=members.find("max_tokens", int),
        stop=tuple(members.find("stop_sequences", list[str]) or ()),
    )


def _decode_tool(tool: Members) -> Tool:
    """A function, or a tool of Anthropic's own, which only keeps what it is."""
    raw = tool.rest()
    kind = tool.find("type", str) or "custom"
    if kind != "custom":
        name = raw.get("name")
        return Tool(name if isinstance(name, str) else kind, kind=kind, raw=raw)
    return Tool(
        tool.need("name", str),
        tool.find("description", str),
        tool.find("input_schema", Json),
        tool.find("strict", bool),
        cache=tool.find("cache_control", Json),
        extra=tool.rest(),
    )


def _decode_tool_choice(choice: Members) -> ToolChoice:
    raw = choice.rest()
    match choice.need("type", str):
        case "auto":
            return ToolChoice("auto")
        case "none":
            return ToolChoice("none")
        case "any":
            return ToolChoice("required")
        case "tool":
            return ToolChoice("named", choice.need("name", str))
        case _:
            return ToolChoice("other", raw=raw)


def _decode_thinking(members: Members, config: Members | None) -> Thinking | None:
    """`thinking` and `output_config.effort`. `between_tools` is how one model calls `disabled`.

    Without a `type` it leaves to the model whether to think, as where only `block_binding` is set.
    """
    effort = None if config is None else config.find("effort", str)
    held = members.inner_if_given("thinking")
    if held is None:
        return None if effort is None else Thinking(effort)
    kind = held.find("type", str)
    if kind is not None and kind not in _MODES:
        place = held.at("type")
        raise InvalidRequest(f"`{place}` must be one of {', '.join(_MODES)}", param=place)
    display = held.find("display", str)
    shown = None if display is None else display != "omitted"
    thinking = Thinking(effort, held.find("budget_tokens", int), None if kind is None else _MODES[kind], shown)
    return None if thinking == Thinking() else thinking


def _decode_format(members: Members, config: Members | None) -> ResponseFormat | None:
    """`output_config.format`, or `output_format` as it was called before."""
    older = members.inner_if_given("output_format")
    found = older if config is None else config.inner_if_given("format") or older
    if found is None:
        return None
    kind, place = found.need("type", str), found.at("type")
    if kind != "json_schema":
        raise InvalidRequest(f"`{place}` must be json_schema", param=place)
    return ResponseFormat("json_schema", schema=found.need("schema", Json))


def _decode_user(members: Members) -> str | None:
    metadata = members.inner_if_given("metadata")
    return None if metadata is None else metadata.find("user_id", str)


def _inputs_of(body: bytes) -> Inputs:
    """The arguments of every tool call in a request, each as it was written."""
    try:
        turns = msgspec.json.decode(body, type=_Turns).messages
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return {
        (turn, at): text
        for turn, held in enumerate(turns)
        if isinstance(held.content, list)
        for at, call in enumerate(held.content)
        if (text := input_text(call.input))
    }


def _reply_inputs(body: bytes) -> Inputs:
    if b'"input"' not in body:
        return {}
    try:
        content = msgspec.json.decode(body, type=_Turn).content
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    calls = content if isinstance(content, list) else []
    return {(0, at): text for at, call in enumerate(calls) if (text := input_text(call.input))}
