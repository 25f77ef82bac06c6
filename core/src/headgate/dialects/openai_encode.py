"""The canonical model to OpenAI chat JSON. Pure functions; they raise UnsupportedField for what this dialect cannot say.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, cast

from headgate.chat import (
    Audio,
    ChatReply,
    ChatRequest,
    Choice,
    File,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Usage,
)
from headgate.dialects.openai_decode import SAMPLING
from headgate.errors import UnsupportedField

Json = dict[str, Any]


def encode_request(request: ChatRequest) -> Json:
    """A chat request as JSON. The token limit is `max_completion_tokens`, which every current model takes."""
    turns = [sent for message in request.messages for sent in _encode_turn(message)]
    body: Json = {"model": request.model, "messages": turns, **_encode_sampling(request)}
    if request.tools:
        body["tools"] = [_encode_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        body["tool_choice"] = _encode_tool_choice(request.tool_choice)
    if request.response_format is not None:
        body["response_format"] = _encode_format(request.response_format)
    for name in ("parallel_tool_calls", "reasoning_effort", "user", "metadata"):
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.stream:
        body["stream"] = True
    if request.include_usage:
        body["stream_options"] = {"include_usage": True}
    return merged(body, request.extra)


def encode_reply(reply: ChatReply) -> Json:
    """A chat completion as JSON."""
    body: Json = {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [_encode_choice(choice) for choice in reply.choices],
    }
    if reply.usage is not None:
        body["usage"] = encode_usage(reply.usage)
    return merged(body, reply.extra)


def encode_usage(usage: Usage) -> Json:
    """The OpenAI usage object of `usage`."""
    prompt = {"cached_tokens": usage.cached, "audio_tokens": usage.audio_in}
    if usage.cache_write:
        prompt["cache_write_tokens"] = usage.cache_write
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_out},
    }


def merged(body: Json, extra: Json) -> Json:
    """`body` with the members that have no place in the canonical model, each at its own depth."""
    whole = dict(body)
    for name, value in extra.items():
        mine = whole.get(name)
        is_deeper = isinstance(mine, dict) and isinstance(value, dict)
        whole[name] = merged(cast("Json", mine), cast("Json", value)) if is_deeper else value
    return whole


def _given(**members: Any) -> Json:
    return {name: value for name, value in members.items() if value is not None}


def _encode_sampling(request: ChatRequest) -> Json:
    sampling = request.sampling
    held = {name: getattr(sampling, name) for name in SAMPLING}
    return _given(**held, max_completion_tokens=sampling.max_tokens, stop=list(sampling.stop) or None)


def _encode_turn(message: Message) -> list[Json]:
    """One turn as messages: each tool result is one of its own, and comes before what else the turn says."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    others = tuple(part for part in message.parts if not isinstance(part, ToolResult))
    if message.role == "tool" and (others or not results):
        raise UnsupportedField("`openai.chat` needs a tool message to hold tool results alone", param="messages")
    sent = [_encode_result(message, result) for result in results]
    if others or not results:
        sent.append(_encode_spoken(message, others))
    if message.extra and len(sent) > 1:
        names = ", ".join(f"`{name}`" for name in message.extra)
        raise UnsupportedField(f"`openai.chat` cannot put {names} on a turn that becomes several messages")
    return [merged(body, message.extra) for body in sent]


def _encode_result(message: Message, result: ToolResult) -> Json:
    if result.is_error:
        raise UnsupportedField("`openai.chat` cannot say that a tool result is an error", param="messages")
    content = _encode_content(result.content)
    return {
        "role": "tool",
        **_given(name=message.name),
        "tool_call_id": result.call_id,
        "content": "" if content is None else content,
    }


def _encode_spoken(message: Message, parts: Sequence[Part]) -> Json:
    """Everything but tool results. Only an assistant may say nothing at all, which is a null content."""
    calls = [_encode_call(part) for part in parts if isinstance(part, ToolCall)]
    beside = [part for part in parts if isinstance(part, Reasoning | Refusal) and not part.extra]
    content = _encode_content([part for part in parts if part not in beside and not isinstance(part, ToolCall)])
    body: Json = {"role": message.role, **_given(name=message.name)}
    body["content"] = "" if content is None and message.role != "assistant" else content
    for part in beside:
        name = "refusal" if isinstance(part, Refusal) else "reasoning_content"
        body[name] = body.get(name, "") + _bare(part).text
    if calls:
        body["tool_calls"] = calls
    return body


def _encode_content(parts: Sequence[Part]) -> str | list[Json] | None:
    content = [_encode_part(part) for part in parts]
    if len(content) == 1 and set(content[0]) == {"type", "text"}:
        return str(content[0]["text"])
    return content or None


def _encode_part(part: Part) -> Json:
    match part:
        case Text():
            return merged({"type": "text", "text": part.text, **_given(cache_control=part.cache)}, part.extra)
        case Image():
            image = {"url": _url_of(part), **_given(detail=part.detail)}
            return merged({"type": "image_url", "image_url": image, **_given(cache_control=part.cache)}, part.extra)
        case Audio():
            return merged(
                {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}, part.extra
            )
        case File():
            file = _given(file_id=part.file_id, filename=part.filename, file_data=part.data)
            return merged({"type": "file", "file": file, **_given(cache_control=part.cache)}, part.extra)
        case Refusal():
            return merged({"type": "refusal", "refusal": part.text}, part.extra)
        case Reasoning():
            texts = [{"type": "text", "text": _bare(part).text}]
            return merged({"type": "thinking", "thinking": texts}, part.extra)
        case _:
            raise UnsupportedField(f"`openai.chat` cannot express a part of type `{type(part).__name__}` here")


def _bare(part: Reasoning | Refusal) -> Reasoning | Refusal:
    """`part`, when it has no item of another provider that would have to travel along."""
    if isinstance(part, Reasoning) and part.opaque is not None:
        raise UnsupportedField("`openai.chat` cannot carry another provider's reasoning items")
    return part


def _url_of(image: Image) -> str:
    if image.url is not None:
        return image.url
    if image.data is None or image.media_type is None:
        raise UnsupportedField("`openai.chat` needs an image by its URL, or by its bytes with their media type")
    return f"data:{image.media_type};base64,{b64encode(image.data).decode()}"


def _encode_call(call: ToolCall) -> Json:
    kind, field = ("custom", "input") if call.custom else ("function", "arguments")
    return merged({"id": call.id, "type": kind, kind: {"name": call.name, field: call.arguments}}, call.extra)


def _encode_tool(tool: Tool) -> Json:
    if tool.raw is not None:
        return tool.raw
    function = _given(name=tool.name, description=tool.description, parameters=tool.parameters, strict=tool.strict)
    return merged({"type": "function", "function": function, **_given(cache_control=tool.cache)}, tool.extra)


def _encode_tool_choice(choice: ToolChoice) -> Any:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.raw if choice.mode == "other" else choice.mode


def _encode_format(value: ResponseFormat) -> Json:
    if value.kind != "json_schema":
        return {"type": value.kind}
    held = _given(name=value.name, description=value.description, schema=value.schema, strict=value.strict)
    return {"type": "json_schema", "json_schema": held}


def _encode_choice(choice: Choice) -> Json:
    message = merged(_encode_spoken(choice.message, choice.message.parts), choice.message.extra)
    message.setdefault("refusal", None)
    body = {"index": choice.index, "message": message, "logprobs": choice.logprobs, "finish_reason": choice.finish}
    return merged(body, choice.extra)
