"""About how many tokens a chat request is, where no vendor can be asked."""

from __future__ import annotations

import msgspec

from headgate.chat import ChatRequest, File, Image, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult

MESSAGE_TOKENS = 4
IMAGE_TOKENS = 1_200
"""About what a picture of 1,000 x 1,000 pixels costs with the vendors that say so."""
_CHARS = 4.0
"""Characters a token has in English text and in JSON; other scripts have about one and a half."""
_OTHER_CHARS = 1.5


def count_request(request: ChatRequest) -> int:
    """About how many tokens a request is: messages, tools and schemas, within a quarter for usual text."""
    tools = [(tool.name, tool.description, tool.parameters, tool.raw) for tool in request.tools]
    schema = request.response_format.schema if request.response_format is not None else None
    defined = count_text(msgspec.json.encode([*tools, schema]).decode()) if tools or schema else 0
    return defined + sum(_count_message(message) for message in request.messages)


def count_text(text: str) -> int:
    """About how many tokens a text is."""
    plain = sum(map(str.isascii, text)) if not text.isascii() else len(text)
    return -int(-(plain / _CHARS + (len(text) - plain) / _OTHER_CHARS) // 1)


def _count_message(message: Message) -> int:
    return MESSAGE_TOKENS + sum(_count_part(part) for part in message.parts)


def _count_part(part: Part) -> int:
    match part:
        case Text() | Reasoning() | Refusal():
            return count_text(part.text)
        case ToolCall():
            return count_text(part.name) + count_text(part.arguments)
        case ToolResult():
            return sum(_count_part(inner) for inner in part.content)
        case Image():
            return IMAGE_TOKENS
        case File():
            return count_text(part.data[: len(part.data) * 3 // 4]) if part.data else IMAGE_TOKENS
        case _:
            return 0
