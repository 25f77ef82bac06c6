"""Requests for Ollama's chat as the canonical model. No client speaks it here: for tests, and for tools that read recordings."""

from __future__ import annotations

from typing import Any, Literal, cast

from headgate.body import decode_object
from headgate.chat import (
    ChatRequest,
    Image,
    Message,
    Part,
    Reasoning,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolResult,
)
from headgate.dialects.openai.members import Json, Members, typed
from headgate.errors import InvalidRequest
from headgate_ollama.encode import OPTIONS
from headgate_ollama.replies import NAME, decode_calls

_TYPES: dict[str, type[Any]] = {"max_tokens": int, "seed": int, "top_k": int}


def decode_request(body: bytes) -> ChatRequest:
    """A request. Raises InvalidRequest that names the place of a wrong shape."""
    held = Members(decode_object(body))
    streams = held.find("stream", bool)
    return ChatRequest(
        model=held.find("model", str) or "",
        messages=tuple(_decode_turn(turn, at) for at, turn in enumerate(held.listed("messages"))),
        sampling=_decode_sampling(held),
        tools=tuple(_decode_tool(tool) for tool in held.listed("tools")),
        response_format=_decode_format(held.take("format")),
        thinking=_decode_thinking(held.take("think")),
        stream=streams is not False,
        dialect=NAME,
        extra={name: value for name, value in held.rest().items() if value is not None},
    )


def _decode_turn(turn: Members, at: int) -> Message:
    """A turn. A call without an id, and a result that names none, are joined by the tool's name."""
    role = turn.need("role", str)
    text = turn.find("content", str)
    parts: list[Part] = [Text(text)] if text else []
    if role == "tool":
        name, call_id = turn.find("tool_name", str), turn.find("tool_call_id", str)
        result = ToolResult(call_id or name or "", tuple(part for part in parts if isinstance(part, Text)), name=name)
        return Message("tool", (result,), extra=turn.rest())
    if role not in {"system", "user", "assistant"}:
        raise InvalidRequest(f"`{turn.at('role')}` must be system, user, assistant or tool", param=turn.at("role"))
    thinking = turn.find("thinking", str)
    parts = [*([Reasoning(thinking)] if thinking else []), *parts]
    parts += [Image(data=data) for data in turn.find("images", list[str]) or []]
    parts += decode_calls(turn, b"", f"turn{at}")
    return Message(cast('Literal["system", "user", "assistant"]', role), tuple(parts), extra=turn.rest())


def _decode_sampling(held: Members) -> Sampling:
    options = held.inner_if_given("options") or Members({})
    fields = {field: options.find(name, _TYPES.get(field, float)) for name, field in OPTIONS.items()}
    stop = options.take("stop")
    return Sampling(
        **fields,
        stop=(stop,) if isinstance(stop, str) else tuple(typed(stop or [], list[str], "options.stop")),
        logprobs=held.find("logprobs", bool),
        top_logprobs=held.find("top_logprobs", int),
    )


def _decode_tool(tool: Members) -> Tool:
    tool.take("type")
    function = tool.inner("function")
    name, description = function.need("name", str), function.find("description", str)
    return Tool(name, description, function.find("parameters", Json), extra=tool.rest())


def _decode_format(form: object) -> ResponseFormat | None:
    if isinstance(form, dict):
        return ResponseFormat("json_schema", schema=cast("Json", form))
    return ResponseFormat("json_object") if form == "json" else None


def _decode_thinking(think: object) -> Thinking | None:
    if think is None:
        return None
    return Thinking(effort=think) if isinstance(think, str) else Thinking(mode="enabled" if think else "disabled")
