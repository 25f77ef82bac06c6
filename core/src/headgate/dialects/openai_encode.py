"""The canonical model to OpenAI chat JSON. Pure functions; they raise UnsupportedField for what this dialect cannot say.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from typing import Any

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
    body: Json = {"model": request.model, "messages": [_encode_message(message) for message in request.messages]}
    for name in SAMPLING:
        value = getattr(request.sampling, name)
        if value is not None:
            body[name] = value
    if request.sampling.max_tokens is not None:
        body["max_completion_tokens"] = request.sampling.max_tokens
    if request.sampling.stop:
        body["stop"] = list(request.sampling.stop)
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
    return {**body, **request.extra}


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
    return {**body, **reply.extra}


def encode_usage(usage: Usage) -> Json:
    """The OpenAI usage object of `usage`."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": usage.audio_in},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_out},
    }


def _encode_message(message: Message) -> Json:
    body: Json = {"role": message.role}
    if message.name is not None:
        body["name"] = message.name
    content: list[Json] = []
    for part in message.parts:
        match part:
            case ToolCall():
                body.setdefault("tool_calls", []).append(_encode_call(part))
            case ToolResult():
                body["tool_call_id"] = part.call_id
                content += [_encode_part(held) for held in part.content]
            case Reasoning():
                if part.opaque is not None:
                    raise UnsupportedField("`openai.chat` cannot carry another provider's reasoning items")
                body["reasoning_content"] = part.text
            case Refusal():
                body["refusal"] = part.text
            case _:
                content.append(_encode_part(part))
    if len(content) == 1 and set(content[0]) == {"type", "text"}:
        body["content"] = content[0]["text"]
    elif content or "tool_calls" not in body:
        body["content"] = content or ""
    else:
        body["content"] = None
    return {**body, **message.extra}


def _encode_part(part: Part) -> Json:
    match part:
        case Text():
            mark = {"cache_control": part.cache} if part.cache else {}
            return {"type": "text", "text": part.text, **mark}
        case Image() if part.url is not None:
            detail = {"detail": part.detail} if part.detail else {}
            return {"type": "image_url", "image_url": {"url": part.url, **detail}}
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case File():
            held = {"file_id": part.file_id, "filename": part.filename, "file_data": part.data}
            return {"type": "file", "file": {name: value for name, value in held.items() if value is not None}}
        case _:
            raise UnsupportedField(f"`openai.chat` cannot express a part of type `{type(part).__name__}` here")


def _encode_call(call: ToolCall) -> Json:
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _encode_tool(tool: Tool) -> Json:
    if tool.raw is not None:
        return tool.raw
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


def _encode_tool_choice(choice: ToolChoice) -> Any:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.raw if choice.mode == "other" else choice.mode


def _encode_format(value: ResponseFormat) -> Json:
    if value.kind != "json_schema":
        return {"type": value.kind}
    held = {
        "name": value.name,
        "description": value.description,
        "schema": value.schema,
        "strict": value.strict,
    }
    return {
        "type": "json_schema",
        "json_schema": {name: item for name, item in held.items() if item is not None},
    }


def _encode_choice(choice: Choice) -> Json:
    message = _encode_message(choice.message)
    message.setdefault("refusal", None)
    return {"index": choice.index, "message": message, "logprobs": choice.logprobs, "finish_reason": choice.finish}
