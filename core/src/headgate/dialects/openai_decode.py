"""OpenAI chat JSON to the canonical model. Pure functions; they raise KeyError, TypeError or AttributeError on wrong shapes.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

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
    Usage,
)
from headgate.errors import InvalidRequest

Json = dict[str, Any]

_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
}
SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "n",
)
"""Fields of Sampling that this dialect calls by the same name."""
_KNOWN = {
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "stream",
    "stream_options",
    "user",
    "metadata",
    *SAMPLING,
}


def decode_request(data: Json) -> ChatRequest:
    """A chat request from decoded JSON."""
    messages: Any = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("`messages` must be a list with at least one message", param="messages")
    tools: list[Any] = data.get("tools") or []
    options: Json = data.get("stream_options") or {}
    return ChatRequest(
        model=str(data.get("model") or ""),
        messages=tuple(
            decode_message(message, f"messages[{at}]") for at, message in enumerate(cast("list[Any]", messages))
        ),
        sampling=_decode_sampling(data),
        tools=tuple(_decode_tool(tool) for tool in tools),
        tool_choice=_decode_tool_choice(data.get("tool_choice")),
        parallel_tool_calls=data.get("parallel_tool_calls"),
        response_format=_decode_format(data.get("response_format")),
        reasoning_effort=data.get("reasoning_effort"),
        stream=bool(data.get("stream")),
        include_usage=bool(options.get("include_usage")),
        user=data.get("user"),
        metadata=data.get("metadata"),
        extra={name: value for name, value in data.items() if name not in _KNOWN},
    )


def decode_reply(data: Json) -> ChatReply:
    """A chat completion from decoded JSON."""
    usage = data.get("usage")
    known = {"id", "model", "created", "choices", "usage", "object"}
    return ChatReply(
        id=str(data.get("id") or ""),
        model=str(data.get("model") or ""),
        created=int(data.get("created") or 0),
        choices=tuple(_decode_choice(choice) for choice in data["choices"]),
        usage=decode_usage(usage) if usage else None,
        extra={name: value for name, value in data.items() if name not in known},
    )


def objects(value: object) -> list[Json]:
    """The JSON objects of a list; anything else is left out."""
    if not isinstance(value, list):
        return []
    return [cast("Json", item) if isinstance(item, dict) else {} for item in cast("list[object]", value)]


def decode_usage(raw: Mapping[str, Any]) -> Usage:
    """An OpenAI usage object. Details a provider leaves out count as 0; `raw` keeps the whole object."""
    prompt: Mapping[str, Any] = raw.get("prompt_tokens_details") or {}
    completion: Mapping[str, Any] = raw.get("completion_tokens_details") or {}
    return Usage(
        prompt=int(raw.get("prompt_tokens") or 0),
        completion=int(raw.get("completion_tokens") or 0),
        cached=int(prompt.get("cached_tokens") or 0),
        cache_write=int(prompt.get("cache_write_tokens") or 0),
        reasoning=int(completion.get("reasoning_tokens") or 0),
        audio_in=int(prompt.get("audio_tokens") or 0),
        audio_out=int(completion.get("audio_tokens") or 0),
        raw=dict(raw),
    )


def decode_message(message: Any, place: str) -> Message:
    """One message; `place` names it in an error."""
    fields: Json = cast("Json", message) if isinstance(message, dict) else {}
    role = fields.get("role")
    if role not in _ROLES:
        raise InvalidRequest(f"`{place}.role` must be one of {', '.join(sorted(_ROLES))}", param=f"{place}.role")
    content: Any = fields.get("content")
    parts: list[Part] = []
    if fields.get("reasoning_content"):
        parts.append(Reasoning(fields["reasoning_content"]))
    if role in {"tool", "function"}:
        texts = (
            [Text(content)]
            if isinstance(content, str)
            else [_decode_part(part, place) for part in cast("list[Any]", content or [])]
        )
        call_id = str(fields.get("tool_call_id") or fields.get("name") or "")
        held = tuple(part for part in texts if isinstance(part, Text | Image | File))
        parts.append(ToolResult(call_id, held))
    elif isinstance(content, str):
        parts.append(Text(content))
    else:
        parts += [_decode_part(part, place) for part in cast("list[Any]", content or [])]
    if fields.get("refusal"):
        parts.append(Refusal(fields["refusal"]))
    parts += [_decode_call(call, at) for at, call in enumerate(fields.get("tool_calls") or [])]
    known = {"role", "content", "name", "refusal", "tool_calls", "tool_call_id", "reasoning_content"}
    extra = {name: value for name, value in fields.items() if name not in known}
    return Message(cast("Role", "tool" if role == "function" else role), tuple(parts), fields.get("name"), extra)


def _decode_part(part: Any, place: str) -> Part:
    match part.get("type"):
        case "text":
            return Text(part["text"], part.get("cache_control"))
        case "image_url":
            image = part["image_url"]
            return Image(url=image["url"], detail=image.get("detail"))
        case "input_audio":
            return Audio(part["input_audio"]["data"], part["input_audio"]["format"])
        case "file":
            held = part["file"]
            return File(held.get("file_id"), held.get("filename"), held.get("file_data"))
        case "refusal":
            return Refusal(part["refusal"])
        case kind:
            raise InvalidRequest(f"`{place}.content` has a part of unknown type `{kind}`", param=f"{place}.content")


def _decode_call(call: Any, at: int) -> ToolCall:
    if call.get("type") == "custom":
        return ToolCall(call["id"], call["custom"]["name"], call["custom"]["input"], at, custom=True)
    return ToolCall(call["id"], call["function"]["name"], call["function"].get("arguments") or "", at)


def _decode_sampling(data: Json) -> Sampling:
    stop = data.get("stop")
    limit = data.get("max_completion_tokens")
    return Sampling(
        max_tokens=data.get("max_tokens") if limit is None else limit,
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        **{name: data.get(name) for name in SAMPLING},
    )


def _decode_tool(tool: Json) -> Tool:
    if tool.get("type") != "function":
        custom: Json = tool.get("custom") or {}
        name = custom.get("name") or tool.get("type")
        return Tool(str(name), kind=str(tool.get("type")), raw=tool)
    function = tool["function"]
    return Tool(function["name"], function.get("description"), function.get("parameters"), function.get("strict"))


def _decode_tool_choice(choice: Any) -> ToolChoice | None:
    if choice is None:
        return None
    if isinstance(choice, str) and choice in {"auto", "none", "required"}:
        return ToolChoice(cast('Literal["auto", "none", "required"]', choice))
    if isinstance(choice, dict) and cast("Json", choice).get("type") == "function":
        return ToolChoice("named", cast("Json", choice)["function"]["name"])
    return ToolChoice("other", raw=choice)


def _decode_format(value: Any) -> ResponseFormat | None:
    if value is None:
        return None
    if value["type"] != "json_schema":
        return ResponseFormat(value["type"])
    held = value["json_schema"]
    return ResponseFormat("json_schema", held["name"], held.get("schema"), held.get("strict"), held.get("description"))


def _decode_choice(choice: Json) -> Choice:
    message: Json = choice["message"]
    raw = choice.get("finish_reason")
    decoded = decode_message({"role": "assistant", **message}, "choices.message")
    return Choice(
        decoded, FINISH.get(raw, "stop") if raw else None, raw, int(choice.get("index") or 0), choice.get("logprobs")
    )
