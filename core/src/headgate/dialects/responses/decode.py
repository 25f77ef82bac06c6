"""Responses JSON to the canonical model. Pure functions; they raise InvalidRequest that names the place of a wrong shape.

All items of one assistant turn become one message, so that calls made at once stay together. What is not kept: ids of
messages and how far an item has come (`status`), since all items are sent whole. A request's `instructions` are its first
system message, whose `extra` holds the member `instructions` without a value.

Source: https://platform.openai.com/docs/api-reference/responses and the types of the official SDK (3.52).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

from headgate.body import decode_object
from headgate.chat import (
    ChatRequest,
    File,
    Image,
    Item,
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
from headgate.dialects.openai.members import Members, objects, typed
from headgate.dialects.responses.items import NAME, decode_content, decode_item, given
from headgate.errors import InvalidRequest

Json = dict[str, Any]
Mode = Literal["auto", "none", "required"]

INSTRUCTIONS: Json = {"instructions": None}
"""The `extra` of the message that came as `instructions`."""
LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"
HINTS = frozenset(
    {
        "client_metadata",
        "context",
        "context_compression",
        "defer_loading",
        "image",
        "max_tool_calls",
        "namespace",
        "output_schema",
        "phase",
        "prompt_cache_options",
        "prompt_cache_retention",
        "stream_options",
        "truncation",
    }
)
"""Members of this dialect's `extra` that only hint. All others change what is asked for."""
INCLUDE = "include."
"""How a member of the request's `extra` begins that stands for one thing to include, with nothing as its value: what is
included of a provider's own tools goes with them, and encrypted thinking always comes."""
_DEFAULTS: Json = {"background": False, "truncation": "disabled"}
_TOOL_DEFAULTS: Json = {"allowed_callers": ["direct"], "async": False, "defer_loading": False}
"""What asks for nothing."""
_CLIENT_ITEMS = frozenset(
    {
        "additional_tools",
        "agent_message",
        "apply_patch_call_output",
        "compaction_trigger",
        "computer_call_output",
        "configuration_update",
        "local_shell_call_output",
        "mcp_approval_response",
        "shell_call_output",
    }
)
"""Items that a client adds by itself; every other one was an answer of the model."""
_STORED = ("prompt", "previous_response_id", "conversation")
"""Where the conversation may be instead."""
_ROLES = {"assistant", "developer", "system", "user"}


def decode_request(encoded: bytes) -> ChatRequest:
    """A request."""
    data = decode_object(encoded)
    body = Members(data)
    include = body.find("include", list[str]) or []
    stream = body.find("stream", bool) or False
    messages = [*_decode_instructions(body.find("instructions", str)), *_decode_input(body, data)]
    tools = tuple(_decode_tool(tool) for tool in body.listed("tools"))
    if all(tool.raw is None for tool in tools):
        body.take("max_tool_calls")  # it counts calls of built-in tools alone
    text = body.inner_if_given("text")
    asked = body.inner_if_given("reasoning")
    return ChatRequest(
        model=body.find("model", str) or "",
        messages=tuple(messages),
        sampling=Sampling(
            temperature=body.find("temperature", float),
            top_p=body.find("top_p", float),
            max_tokens=body.find("max_output_tokens", int),
            logprobs=LOGPROBS in include or None,
            top_logprobs=body.find("top_logprobs", int) or None,
        ),
        tools=tools,
        tool_choice=_decode_tool_choice(body.take("tool_choice")),
        parallel_tool_calls=body.find("parallel_tool_calls", bool),
        response_format=None if text is None else _decode_format(text.inner_if_given("format")),
        thinking=None if asked is None else _decode_thinking(asked),
        stream=stream,
        include_usage=stream,
        user=body.find("user", str),
        metadata=body.find("metadata", Json),
        service_tier=body.find("service_tier", str),
        verbosity=None if text is None else text.find("verbosity", str),
        cache_key=body.find("prompt_cache_key", str),
        safety_identifier=body.find("safety_identifier", str),
        store=body.find("store", bool),
        dialect=NAME,
        extra=_rest_of(body, include),
    )


def _rest_of(body: Members, include: list[str]) -> Json:
    """What has no place in the canonical request, without what asks for nothing: padding, or a limit for no tools."""
    options = body.inner_if_given("stream_options")
    if options is not None:
        options.take("include_obfuscation")
    rest = _without(body.rest(), _DEFAULTS)
    return {**rest, **{f"{INCLUDE}{each}": None for each in include if each != LOGPROBS}}


def _without(members: Json, defaults: Json) -> Json:
    """The members that say something which is not the default."""
    return {name: value for name, value in given(members).items() if defaults.get(name, ...) != value}


def _decode_instructions(text: str | None) -> list[Message]:
    return [Message("system", (Text(text),), extra=dict(INSTRUCTIONS))] if text else []


def _decode_input(body: Members, data: Json) -> list[Message]:
    value = body.take("input")
    if value is None:
        if all(data.get(name) is None for name in _STORED):
            raise InvalidRequest("`input` is missing: it must be a string or a list of items", param="input")
        return []
    if isinstance(value, str):
        return [Message("user", (Text(value),))]
    turns = _Turns()
    for at, item in enumerate(typed(value, list[Any], "input")):
        turns.add(item, f"input[{at}]")
    return turns.messages()


class _Turns:
    """Items as messages, in their order: those of one assistant turn become one message."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._parts: list[Part] = []
        self._calls = 0  # among the parts
        self._has_text = False
        self._phase: str | None = None
        self._custom: set[str] = set()

    def add(self, value: object, place: str) -> None:
        """Take the next item in."""
        item = Members(value, place)
        raw = cast("Json", value)
        kind = item.find("type", str) or ("message" if "role" in raw else "item_reference")
        match kind:
            case "message":
                self._add_message(item, {**raw, "type": "message"}, place)
            case "function_call_output" | "custom_tool_call_output":
                self._flush()
                self._messages.append(Message("tool", (self._decode_result(item, kind),)))
            case _ if kind in _CLIENT_ITEMS:
                self._flush()
                self._messages.append(Message("user", (Item(NAME, raw),)))
            case _:
                self._extend(decode_item({**raw, "type": kind}, place, self._calls))

    def messages(self) -> list[Message]:
        """All messages so far."""
        self._flush()
        return self._messages

    def _add_message(self, item: Members, raw: Json, place: str) -> None:
        role, phase = item.need("role", str), item.find("phase", str)
        if role not in _ROLES:
            raise InvalidRequest(f"`{place}.role` must be one of {', '.join(sorted(_ROLES))}", param=f"{place}.role")
        content = decode_item(raw, place, 0)
        item.take("content")
        extra = given(item.rest())
        if role == "assistant" and not extra:
            if phase != self._phase and self._has_text:
                self._flush()
            self._extend(content)
            self._phase = phase
            return
        self._flush()
        extra |= {"phase": phase} if phase else {}
        self._messages.append(Message(cast("Role", role), tuple(content), extra=extra))

    def _extend(self, parts: Sequence[Part]) -> None:
        """More of the assistant's turn."""
        self._parts += parts
        calls = [part for part in parts if isinstance(part, ToolCall)]
        self._calls += len(calls)
        self._custom |= {call.id for call in calls if call.custom}
        self._has_text = self._has_text or any(isinstance(part, Text) for part in parts)

    def _flush(self) -> None:
        if self._parts:
            extra: Json = {"phase": self._phase} if self._phase else {}
            self._messages.append(Message("assistant", tuple(self._parts), extra=extra))
        self._parts, self._calls, self._has_text, self._phase = [], 0, False, None

    def _decode_result(self, item: Members, kind: str) -> ToolResult:
        """What a tool answered. The kind of its call is kept where the call is not in the history."""
        name = item.find("name", str)
        call_id = item.find("call_id", str) or name
        if not call_id:
            place = item.at("call_id")
            raise InvalidRequest(f"`{place}` is missing: name the call that this output answers", param=place)
        content = decode_content(item.take("output"), item.at("output"))
        held = tuple(part for part in content if isinstance(part, Text | Image | File))
        if len(held) < len(content):
            place = item.at("output")
            raise InvalidRequest(f"`{place}`: a tool answers with text, images and files only", param=place)
        extra = given(item.rest())
        if extra.get("caller") == {"type": "direct"}:
            del extra["caller"]
        if (kind == "custom_tool_call_output") != (call_id in self._custom):
            extra["type"] = kind
        return ToolResult(call_id, held, name=name, extra=extra)


def _decode_tool(tool: Members) -> Tool:
    raw = tool.rest()
    kind = tool.find("type", str) or "function"
    if kind != "function":
        name, description = tool.find("name", str), tool.find("description", str)
        return Tool(name or kind, description, kind=kind, raw=raw)
    return Tool(
        tool.need("name", str),
        tool.find("description", str),
        tool.find("parameters", Json),
        tool.find("strict", bool),
        extra=_without(tool.rest(), _TOOL_DEFAULTS),
    )


def _decode_tool_choice(choice: object) -> ToolChoice | None:
    """A word, one tool, or a narrower list of functions; any other choice is for this dialect alone."""
    if choice is None:
        return None
    if isinstance(choice, str):
        is_mode = choice in {"auto", "none", "required"}
        return ToolChoice(cast("Mode", choice)) if is_mode else ToolChoice("other", raw=choice)
    if not isinstance(choice, dict):
        raise InvalidRequest("`tool_choice` must be a word or an object", param="tool_choice")
    held = cast("Json", choice)
    name = _name_of(held)
    if name is not None:
        return ToolChoice("named", name)
    if held.get("type") == "allowed_tools" and held.get("mode") in {"auto", "required"} and len(held) == 3:
        names = [_name_of(tool) for tool in objects(held.get("tools"))]
        if names and all(names):
            return ToolChoice(cast("Mode", held["mode"]), allowed=tuple(name for name in names if name))
    return ToolChoice("other", raw=held)


def _name_of(tool: Json) -> str | None:
    """The name of a tool of the caller's own, where a choice says nothing else."""
    name = tool.get("name")
    is_plain = tool.get("type") in {"function", "custom"} and len(tool) == 2
    return name if is_plain and isinstance(name, str) else None


def _decode_format(value: Members | None) -> ResponseFormat | None:
    if value is None:
        return None
    kind = value.need("type", str)
    if kind not in {"text", "json_object", "json_schema"}:
        place = value.at("type")
        raise InvalidRequest(f"`{place}` must be one of text, json_object, json_schema", param=place)
    return ResponseFormat(
        cast('Literal["text", "json_object", "json_schema"]', kind),
        value.find("name", str),
        value.find("schema", Json),
        value.find("strict", bool),
        value.find("description", str),
    )


def _decode_thinking(asked: Members) -> Thinking | None:
    effort, older = asked.find("effort", str), asked.find("generate_summary", str)
    summary = asked.find("summary", str) or older
    if asked.rest().get("mode") == "standard":
        asked.take("mode")
    if asked.rest().get("context") == "auto":
        asked.take("context")
    if effort is None and summary is None:
        return None
    return Thinking(effort=effort, summary=summary, is_shown=True if summary else None)
