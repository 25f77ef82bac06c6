"""generateContent requests to the canonical model. Pure functions; they raise InvalidRequest naming the place of a wrong shape.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw

from headgate.chat import (
    ChatRequest,
    File,
    Image,
    Message,
    Part,
    Reasoning,
    ResponseFormat,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.dialects.google.facts import NAME, TIERS, call_id, unsealed
from headgate.dialects.google.parts import Fields, arguments_of, decode_part
from headgate.dialects.google.schema import plain_schema
from headgate.dialects.openai.members import Json, typed
from headgate.errors import InvalidRequest

HINTS = frozenset(
    {
        "behavior",
        "labels",
        "mediaResolution",
        "mode",
        "partMetadata",
        "response",
        "responseJsonSchema",
        "safetySettings",
        "thoughtSignature",
    }
)
"""Members of a request of this dialect that another can leave out: they never ask for another answer."""
_MODES: dict[str, Literal["auto", "none", "required"]] = {
    "AUTO": "auto",
    "VALIDATED": "auto",
    "ANY": "required",
    "NONE": "none",
}
_SCHEMAS = ("responseJsonSchema", "_responseJsonSchema", "responseSchema")
_OWN_MODES = frozenset({"VALIDATED"})
"""Modes that say more than the canonical choice: that arguments shall be valid by their schemas is only hinted at."""


def decode_request(data: Json) -> ChatRequest:
    """A chat request from decoded JSON. Its model and whether it streams stand in the URL, not here."""
    body = Fields(data)
    system = body.take("systemInstruction")
    turns: list[Message] = [] if system is None else [_decode_system(system)]
    calls = _Calls()
    turns += _whole([_decode_content(content, calls) for content in body.each("contents")])
    if len(turns) == (system is not None):
        raise InvalidRequest("`contents` must be a list with at least one content", param="contents")
    config = _decode_config(body)
    tools = [tool for held in body.each("tools") for tool in _decode_tools(held)]
    tier = body.find("serviceTier", str)
    return ChatRequest(
        model=(body.find("model", str) or "").removeprefix("models/"),
        messages=tuple(turns),
        sampling=_decode_sampling(config),
        tools=tuple(tools),
        tool_choice=_decode_choice(body),
        response_format=_decode_format(config),
        thinking=_decode_thinking(config),
        service_tier=TIERS.get(tier.lower(), tier) if tier and tier.lower() != "unspecified" else None,
        store=body.find("store", bool),
        dialect=NAME,
        extra=body.rest(),
    )


def _decode_config(body: Fields) -> Fields:
    """The settings, without what asks for nothing: text alone is what every model answers with."""
    config = body.inner_if_given("generationConfig") or Fields({})
    wanted: Any = config.peek("responseModalities")
    if wanted in ("TEXT", ["TEXT"]):
        config.take("responseModalities")
    return config


def _decode_system(value: object) -> Message:
    """What the model is told first; its role says nothing."""
    if isinstance(value, str):
        return Message("system", (Text(value),))
    content = Fields(value, "systemInstruction")
    content.take("role")
    parts = [part for held in content.each("parts") if (part := decode_part(held)) is not None]
    return Message("system", tuple(parts), extra=content.rest())


class _Calls:
    """The calls of a history so far, to number those that came without an id and to find what a result answers."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._made: set[str] = set()
        self._count = 0

    def add(self, given: str | None, name: str, arguments: str) -> str:
        """A call; its id."""
        self._count += 1
        made = given or call_id(None, "", self._count, 0, f"{name}\0{arguments}".encode())
        self._open.append((made, name))
        self._made |= set() if given else {made}
        return made

    def answered(self, given: str | None, name: str) -> str:
        """The id of the call that a result answers: its own, or the first open one of that name.

        Gemini CLI gives results ids of its own making where Google's calls came without any.
        """
        is_own = any(held == given for held, _ in self._open)
        for at, (held, called) in enumerate(self._open):
            if held == given if is_own else called == name and (not given or held in self._made):
                del self._open[at]
                return held
        return given or name


def _decode_content(content: Fields, calls: _Calls) -> Message:
    said = content.take("role")
    role = said.lower() if isinstance(said, str) else "user"
    if role not in {"user", "model", "function", "tool", "system"}:
        raise InvalidRequest(f"`{content.at('role')}` must be `user` or `model`", param=content.at("role"))
    parts: list[Part] = []
    number = 0
    for held in content.each("parts"):
        part = _decode_result(held, calls) or _decode_call(held, calls, number) or decode_part(held)
        number += isinstance(part, ToolCall)
        if part is not None:
            (_append_said if role == "model" else _append)(parts, part)
    if role in {"model", "system"}:
        return Message("assistant" if role == "model" else "system", tuple(parts), extra=content.rest())
    is_answer = bool(parts) and all(isinstance(part, ToolResult) for part in parts)
    return Message("tool" if is_answer else "user", tuple(parts), extra=content.rest())


def _whole(turns: Sequence[Message]) -> list[Message]:
    """The turns with those of the model as one each: google-genai's chats keep every chunk of a stream as a content."""
    held: list[Message] = []
    for turn in turns:
        last = held[-1] if held else None
        if last is None or {last.role, turn.role} != {"assistant"} or last.extra or turn.extra:
            held.append(turn)
            continue
        parts = list(last.parts)
        number = sum(isinstance(part, ToolCall) for part in parts)
        for part in turn.parts:
            counted = msgspec.structs.replace(part, index=part.index + number) if isinstance(part, ToolCall) else part
            _append_said(parts, counted)
        held[-1] = msgspec.structs.replace(last, parts=tuple(parts))
    return held


def _append_said(parts: list[Part], part: Part) -> None:
    """One more part of the model's; a text that goes on is one."""
    last = parts[-1] if parts else None
    if isinstance(part, Text) and isinstance(last, Text) and part == Text(part.text) and last == Text(last.text):
        parts[-1] = Text(last.text + part.text)
    else:
        _append(parts, part)


def _append(parts: list[Part], part: Part) -> None:
    """One more part. Thinking that came in pieces, its signature last, is one: whoever signed it wants it whole."""
    last = parts[-1] if parts else None
    if isinstance(part, Reasoning) and isinstance(last, Reasoning) and last.opaque is None and not last.extra:
        text = last.text + part.text
        parts[-1] = msgspec.structs.replace(
            part, text=text, is_redacted=part.is_redacted and not text, is_summary=bool(text)
        )
    else:
        parts.append(part)


def _decode_call(part: Fields, calls: _Calls, number: int) -> ToolCall | None:
    call = part.inner_if_given("functionCall")
    if call is None:
        return None
    name, arguments = call.need("name", str), arguments_of(call)
    made = calls.add(call.find("id", str) or None, name, arguments)
    opaque, _ = unsealed(part.find("thoughtSignature", str))
    return ToolCall(made, name, arguments, number, opaque=opaque, extra=part.rest())


def _decode_result(part: Fields, calls: _Calls) -> ToolResult | None:
    answer = part.inner_if_given("functionResponse")
    if answer is None:
        return None
    name, held = answer.find("name", str) or "", answer.take("response")
    made = calls.answered(answer.find("id", str) or None, name)
    text, is_error = _said_by(held)
    media = [decode_part(one) for one in answer.each("parts")]
    shown = [one for one in media if isinstance(one, Text | Image | File)]
    if len(shown) < len(media):
        place = answer.at("parts")
        raise InvalidRequest(f"`{place}`: a tool answers with images and files only", param=place)
    content = (Text(text), *shown) if text or not shown else tuple(shown)
    return ToolResult(made, content, is_error, name or None, extra=part.rest())


def _said_by(held: object) -> tuple[str, bool]:
    """What a result says, and whether it is an error.

    `output` and `error` have a meaning; anything else is the answer as a whole:
    https://ai.google.dev/api/caching#FunctionResponse
    """
    if held is None:
        return "", False
    raw = bytes(held) if isinstance(held, Raw) else msgspec.json.encode(held)
    if raw == b"null":
        return "", False
    try:
        members = msgspec.json.decode(raw, type=dict[str, Raw])
    except msgspec.DecodeError:
        return _plain(raw), False
    for name in ("output", "error"):
        if set(members) == {name}:
            return _plain(bytes(members[name])), name == "error"
    return _plain(raw), False


def _plain(raw: bytes) -> str:
    """JSON as a text: a string without its quotes, anything else as it is written."""
    value: Any = msgspec.json.decode(raw) if raw[:1] == b'"' else None
    return value if isinstance(value, str) else msgspec.json.format(raw, indent=-1).decode()


def _decode_tools(held: Fields) -> list[Tool]:
    """The functions of one tool object, and what else it offers, which only Google runs."""
    tools = [_decode_function(function) for function in held.each("functionDeclarations")]
    return tools + [Tool(name, kind=name, raw={name: value}) for name, value in held.rest().items()]


def _decode_function(function: Fields) -> Tool:
    schema = function.find("parametersJsonSchema", Json)
    older = function.find("parameters", Json)
    if schema is None and older is not None:
        schema = plain_schema(older)
    name, description = function.need("name", str), function.find("description", str)
    return Tool(name, description, schema, extra=function.rest())


def _decode_choice(body: Fields) -> ToolChoice | None:
    config = body.inner_if_given("toolConfig")
    calling = config.inner_if_given("functionCallingConfig") if config is not None else None
    if calling is None:
        return None
    word = (calling.find("mode", str) or "").upper()
    allowed = tuple(calling.find("allowedFunctionNames", list[str]) or ())
    mode = _MODES.get(word)
    if mode is None:
        if word not in {"", "MODE_UNSPECIFIED"}:
            place = calling.at("mode")
            raise InvalidRequest(f"`{place}` must be one of AUTO, ANY, NONE, VALIDATED", param=place)
        return ToolChoice("auto", allowed=allowed) if allowed else None
    if mode == "required" and len(allowed) == 1:
        return ToolChoice("named", allowed[0])
    if word in _OWN_MODES:
        calling.put("mode", word)
    return ToolChoice(mode, allowed=allowed)


def _decode_sampling(config: Fields) -> Sampling:
    stop = config.take("stopSequences")
    return Sampling(
        temperature=config.find("temperature", float),
        top_p=config.find("topP", float),
        top_k=config.count("topK"),
        max_tokens=config.count("maxOutputTokens"),
        stop=(stop,) if isinstance(stop, str) else tuple(typed(stop or [], list[str], config.at("stopSequences"))),
        seed=config.count("seed"),
        presence_penalty=config.find("presencePenalty", float),
        frequency_penalty=config.find("frequencyPenalty", float),
        logprobs=config.find("responseLogprobs", bool),
        top_logprobs=config.count("logprobs"),
        n=config.count("candidateCount"),
    )


def _decode_format(config: Fields) -> ResponseFormat | None:
    """`responseMimeType` with or without a schema. Another media type than JSON stays where it was."""
    kind = config.take("responseMimeType")
    schemas = [config.take(name) for name in _SCHEMAS]
    if kind == "application/json":
        found: list[Any] = [held for held in schemas if isinstance(held, dict)]
        if not found:
            return ResponseFormat("json_object")
        schema: Json = found[0]
        return ResponseFormat("json_schema", schema=plain_schema(schema) if schema is schemas[2] else schema)
    for name, held in zip(("responseMimeType", *_SCHEMAS), (kind, *schemas), strict=True):
        if held is not None and held != "text/plain":
            config.put(name, held)
    return None


def _decode_thinking(config: Fields) -> Thinking | None:
    held = config.inner_if_given("thinkingConfig")
    if held is None:
        return None
    level, budget = held.find("thinkingLevel", str), held.count("thinkingBudget")
    effort = level.lower() if level and level.upper() != "THINKING_LEVEL_UNSPECIFIED" else None
    shown = held.find("includeThoughts", bool)
    if budget == 0:
        return Thinking("none", 0, "disabled", is_shown=shown)
    if budget is not None and budget < 0:
        return Thinking(effort, None, "adaptive", is_shown=shown)
    return Thinking(effort, budget, is_shown=shown)
