"""OpenAI chat JSON to the canonical model. Pure functions; they raise InvalidRequest that names the place of a wrong shape.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar, cast

import msgspec

from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    File,
    FinishReason,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.dialects.openai_usage import decode_usage
from headgate.errors import InvalidRequest

Json = dict[str, Any]
T = TypeVar("T")

_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
    "insufficient_system_resource": "error",
}
"""What vendors' words for the end mean; a word that is not here means `stop`."""
SAMPLING: dict[str, type[Any]] = {
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "seed": int,
    "presence_penalty": float,
    "frequency_penalty": float,
    "logit_bias": dict[str, float],
    "logprobs": bool,
    "top_logprobs": int,
    "n": int,
}
"""Fields of Sampling that this dialect calls by the same name."""


class Members:
    """The members of one JSON object, taken out by name and type; what nobody took is the `rest`.

    `place` names the object in errors. Every method raises InvalidRequest for a member of another type.
    """

    __slots__ = ("_held", "_inner", "place")

    def __init__(self, value: object, place: str = "") -> None:
        if not isinstance(value, dict):
            raise InvalidRequest(f"`{place}` must be an object", param=place)
        self.place = place
        self._held = dict(cast("Json", value))
        self._inner: dict[str, Members] = {}

    def at(self, name: str) -> str:
        """The place of a member."""
        return f"{self.place}.{name}" if self.place else name

    def take(self, name: str) -> Any:
        """A member of any type; None when it is absent."""
        return self._held.pop(name, None)

    def find(self, name: str, kind: type[T]) -> T | None:
        """A member of type `kind`; None when it is absent or null."""
        value = self._held.pop(name, None)
        return None if value is None else typed(value, kind, self.at(name))

    def need(self, name: str, kind: type[T]) -> T:
        """A member of type `kind` that must be there."""
        return typed(self._held.pop(name, None), kind, self.at(name))

    def inner(self, name: str, short: str = "") -> Members:
        """A member that must be an object. With `short`, a plain string stands for an object of that one member."""
        value = self._held.pop(name, None)
        if short and isinstance(value, str):
            value = {short: value}
        self._inner[name] = Members(value, self.at(name))
        return self._inner[name]

    def inner_if_given(self, name: str) -> Members | None:
        """A member that must be an object where it is given; None when it is absent or null."""
        if self._held.get(name) is None:
            self._held.pop(name, None)
            return None
        return self.inner(name)

    def listed(self, name: str) -> list[Members]:
        """The objects of a list; empty when it is absent or null."""
        values = self.find(name, list[Any]) or []
        return [Members(value, f"{self.at(name)}[{at}]") for at, value in enumerate(values)]

    def rest(self) -> Json:
        """What was not taken, that of inner objects at their own depth."""
        inner = {name: rest for name, members in self._inner.items() if (rest := members.rest())}
        return {**self._held, **inner}


def typed(value: object, kind: type[T], place: str) -> T:
    """`value` when it is a `kind`; InvalidRequest naming `place` when it is not."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        raise InvalidRequest(f"`{place}`: {str(error).partition(' - at ')[0].lower()}", param=place) from None


def decode_request(data: Json) -> ChatRequest:
    """A chat request from decoded JSON."""
    body = Members(data)
    messages = body.take("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("`messages` must be a list with at least one message", param="messages")
    turns = [decode_message(value, f"messages[{at}]") for at, value in enumerate(cast("list[object]", messages))]
    return ChatRequest(
        model=body.find("model", str) or "",
        messages=tuple(turns),
        sampling=_decode_sampling(body),
        tools=tuple(_decode_tool(tool) for tool in body.listed("tools")),
        tool_choice=_decode_tool_choice(body.take("tool_choice")),
        parallel_tool_calls=body.find("parallel_tool_calls", bool),
        response_format=_decode_format(body),
        reasoning_effort=body.find("reasoning_effort", str),
        stream=body.find("stream", bool) or False,
        include_usage=_decode_stream_options(body),
        user=body.find("user", str),
        metadata=body.find("metadata", Json),
        extra=body.rest(),
    )


def decode_reply(data: Json) -> ChatReply:
    """A chat completion from decoded JSON. Raises ValueError for usage nobody can read."""
    body = Members(data)
    usage = body.find("usage", Json)
    if data.get("choices") is None:
        raise InvalidRequest("`choices` is missing")
    body.take("object")
    return ChatReply(
        id=str(body.take("id") or ""),
        model=str(body.take("model") or ""),
        created=seconds(body.take("created")),
        choices=tuple(_decode_choice(choice) for choice in body.listed("choices")),
        usage=decode_usage(usage) if usage else None,
        extra=body.rest(),
    )


def objects(value: object) -> list[Json]:
    """The items of a list, {} in place of those that are no JSON objects; empty when it is no list."""
    if not isinstance(value, list):
        return []
    items = cast("list[Any]", value)
    return [item if isinstance(item, dict) else {} for item in items]


def seconds(value: object) -> int:
    """A time in whole seconds; absent counts as 0."""
    if value is None:
        return 0
    return int(typed(value, float, "created"))


def decode_message(value: object, place: str, role: str | None = None) -> Message:
    """One message; `place` names it in an error, and `role` is whose it is when it does not say so."""
    fields = Members(value, place)
    said = fields.take("role") or role
    if not isinstance(said, str) or said not in _ROLES:
        raise InvalidRequest(f"`{place}.role` must be one of {', '.join(sorted(_ROLES))}", param=f"{place}.role")
    name = fields.find("name", str)
    content = decode_content(fields.take("content"), fields.at("content"))
    if said in {"tool", "function"}:
        parts: list[Part] = [_decode_result(fields, content, name)]
    else:
        refusal = fields.find("refusal", str)
        parts = [*decode_reasoning(fields), *content]
        parts += [Refusal(refusal)] if refusal else []
        parts += _decode_calls(fields)
    return Message(cast("Role", "tool" if said == "function" else said), tuple(parts), name, fields.rest())


def decode_content(value: object, place: str) -> list[Part]:
    """The content of a message or a delta: a string, or a list of parts."""
    if isinstance(value, str):
        return [Text(value)]
    parts = [] if value is None else typed(value, list[Any], place)
    return [_decode_part(Members(part, f"{place}[{at}]")) for at, part in enumerate(parts)]


def decode_reasoning(fields: Members) -> list[Reasoning]:
    """Visible thinking: `reasoning_content`, or `reasoning` with vendors that call it so."""
    for name in ("reasoning_content", "reasoning"):
        text = fields.find(name, str)
        if text:
            return [Reasoning(text)]
    return []


def _decode_part(part: Members) -> Part:
    kind = part.need("type", str)
    match kind:
        case "text":
            return Text(part.need("text", str), part.find("cache_control", Json), part.rest())
        case "image_url":
            image = part.inner("image_url", short="url")
            url, detail = image.need("url", str), image.find("detail", str)
            return Image(url, detail=detail, cache=part.find("cache_control", Json), extra=part.rest())
        case "input_audio":
            audio = part.inner("input_audio")
            return Audio(audio.need("data", str), audio.need("format", str), part.rest())
        case "file":
            file = part.inner("file")
            held = [file.find(name, str) for name in ("file_id", "filename", "file_data")]
            return File(*held, cache=part.find("cache_control", Json), extra=part.rest())
        case "refusal":
            return Refusal(part.need("refusal", str), part.rest())
        case "thinking":
            return _decode_thinking(part)
        case _:
            raise InvalidRequest(f"`{part.at('type')}`: `{kind}` is no known type of a part", param=part.at("type"))


def _decode_thinking(part: Members) -> Reasoning:
    """Mistral's thinking part: a list of texts. https://docs.mistral.ai/capabilities/reasoning/"""
    texts: list[str] = []
    for piece in decode_content(part.take("thinking"), part.at("thinking")):
        if not isinstance(piece, Text) or piece != Text(piece.text):
            raise InvalidRequest(f"`{part.at('thinking')}` has a part that is no plain text", param=part.at("thinking"))
        texts.append(piece.text)
    return Reasoning("".join(texts), extra=part.rest())


def _decode_result(fields: Members, content: list[Part], name: str | None) -> ToolResult:
    """What a tool answered. A legacy function has no call id: its name joins it to its call."""
    call_id = fields.find("tool_call_id", str) or name
    if not call_id:
        place = fields.at("tool_call_id")
        raise InvalidRequest(f"`{place}` is missing: name the call that this message answers", param=place)
    held = tuple(part for part in content if isinstance(part, Text | Image | File))
    if len(held) < len(content):
        place = fields.at("content")
        raise InvalidRequest(f"`{place}`: a tool answers with text, images and files only", param=place)
    return ToolResult(call_id, held)


def _decode_calls(fields: Members) -> list[ToolCall]:
    calls = [_decode_call(call, at) for at, call in enumerate(fields.listed("tool_calls"))]
    legacy = fields.take("function_call")
    if legacy is not None:
        held = Members(legacy, fields.at("function_call"))
        name, arguments = held.need("name", str), held.find("arguments", str) or ""
        calls.append(ToolCall(name, name, arguments, len(calls), extra=held.rest()))
    return calls


def _decode_call(call: Members, at: int) -> ToolCall:
    kind, call_id = call.find("type", str) or "function", call.need("id", str)
    if kind == "custom":
        custom = call.inner("custom")
        name, text = custom.need("name", str), custom.need("input", str)
        return ToolCall(call_id, name, text, at, custom=True, extra=call.rest())
    if kind != "function":
        raise InvalidRequest(f"`{call.at('type')}`: `{kind}` is no known type of a call", param=call.at("type"))
    function = call.inner("function")
    name, arguments = function.need("name", str), function.find("arguments", str) or ""
    return ToolCall(call_id, name, arguments, at, extra=call.rest())


def _decode_sampling(body: Members) -> Sampling:
    stop, older = body.take("stop"), body.find("max_tokens", int)
    limit = body.find("max_completion_tokens", int)
    return Sampling(
        max_tokens=older if limit is None else limit,
        stop=(stop,) if isinstance(stop, str) else tuple(typed(stop or [], list[str], "stop")),
        **{name: body.find(name, kind) for name, kind in SAMPLING.items()},
    )


def _decode_stream_options(body: Members) -> bool:
    options = body.inner_if_given("stream_options")
    return options is not None and bool(options.find("include_usage", bool))


def _decode_tool(tool: Members) -> Tool:
    raw = tool.rest()
    kind = tool.find("type", str) or "function"
    if kind != "function":
        name = tool.inner("custom").find("name", str) if kind == "custom" else None
        return Tool(name or kind, kind=kind, raw=raw)
    function = tool.inner("function")
    return Tool(
        function.need("name", str),
        function.find("description", str),
        function.find("parameters", Json),
        function.find("strict", bool),
        cache=tool.find("cache_control", Json),
        extra=tool.rest(),
    )


def _decode_tool_choice(choice: object) -> ToolChoice | None:
    if choice is None:
        return None
    if isinstance(choice, str) and choice in {"auto", "none", "required"}:
        return ToolChoice(cast('Literal["auto", "none", "required"]', choice))
    if not isinstance(choice, str | dict):
        raise InvalidRequest("`tool_choice` must be a word or an object", param="tool_choice")
    name = _named(cast("Json", choice)) if isinstance(choice, dict) else None
    return ToolChoice("other", raw=choice) if name is None else ToolChoice("named", name)


def _named(choice: Json) -> str | None:
    """The function that this choice names, when that is all it says."""
    match choice:
        case {"type": "function", "function": {"name": str(name), **inner}, **outer} if not inner and not outer:
            return name
        case _:
            return None


def _decode_format(body: Members) -> ResponseFormat | None:
    value = body.inner_if_given("response_format")
    if value is None:
        return None
    kind = value.need("type", str)
    if kind in {"text", "json_object"}:
        return ResponseFormat(cast('Literal["text", "json_object"]', kind))
    if kind != "json_schema":
        place = value.at("type")
        raise InvalidRequest(f"`{place}` must be one of text, json_object, json_schema", param=place)
    held = value.inner("json_schema")
    return ResponseFormat(
        "json_schema",
        held.find("name", str),
        held.find("schema", Json),
        held.find("strict", bool),
        held.find("description", str),
    )


def _decode_choice(choice: Members) -> Choice:
    said = choice.take("message")  # absent where Azure has filtered it out
    message = decode_message({} if said is None else said, choice.at("message"), "assistant")
    raw = choice.find("finish_reason", str)
    return Choice(
        message,
        finish=FINISH.get(raw, "stop") if raw else None,
        finish_raw=raw,
        index=choice.find("index", int) or 0,
        logprobs=choice.take("logprobs"),
        extra=choice.rest(),
    )
