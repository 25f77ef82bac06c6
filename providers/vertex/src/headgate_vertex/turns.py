"""Turns of a conversation as Vertex AI takes them, where it differs from the APIs of the models' makers."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from headgate.chat import ChatRequest, Message, Opaque, Part, Reasoning, Text, ToolCall, ToolResult
from headgate.dialects import Gaps


def without_ids(request: ChatRequest) -> ChatRequest:
    """`request` with ids of calls that are never sent: this API knows none and refuses them (`Unknown name "id"`).

    https://cloud.google.com/dotnet/docs/reference/Google.Cloud.AIPlatform.V1/latest/Google.Cloud.AIPlatform.V1.FunctionCall
    and https://github.com/pydantic/pydantic-ai/issues/5081
    """
    made = {given: f"call_vertex_{number}" for number, given in enumerate(request.call_names())}
    if not made:
        return request
    messages = [
        replace(message, parts=tuple(_under(part, made) for part in message.parts)) for message in request.messages
    ]
    return replace(request, messages=tuple(messages))


def _under(part: Part, made: Mapping[str, str]) -> Part:
    if isinstance(part, ToolCall):
        return replace(part, id=made[part.id])
    return replace(part, call_id=made.get(part.call_id, part.call_id)) if isinstance(part, ToolResult) else part


def only_from(origin: str, request: ChatRequest, gaps: Gaps) -> ChatRequest:
    """`request` without what only the models of another publisher here could read."""
    messages = list(request.messages)
    for at, message in enumerate(messages):
        parts: list[Part] = []
        for part in message.parts:
            opaque: Opaque | None = part.opaque if isinstance(part, Text | ToolCall | Reasoning) else None
            if opaque is None or opaque.origin == origin or not isinstance(part, Text | ToolCall | Reasoning):
                parts.append(part)
                continue
            gaps.skip(f"messages[{at}].{'reasoning' if isinstance(part, Reasoning) else 'signature'}")
            if not (isinstance(part, Reasoning) and part.is_redacted):
                parts.append(replace(part, opaque=None))
        if len(parts) != len(message.parts) or any(
            one is not two for one, two in zip(parts, message.parts, strict=False)
        ):
            messages[at] = Message(message.role, tuple(parts), message.name, message.extra)
    return replace(request, messages=tuple(messages))
