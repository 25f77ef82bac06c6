"""How many tokens a chat request is, where the vendor has no way to ask: an estimate, and said to be one.

Clients such as Claude Code count before they send, whatever model stands behind the gateway.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headgate.body import decode_object
from headgate.chat import ChatRequest, File, Image, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from headgate.dialects import ChatDialect
from headgate.errors import InvalidRequest
from headgate.exchange import Exchange, Reply
from headgate.operations import COUNT_TOKENS

ESTIMATE = "estimate"
"""What an attempt is made as when nobody is asked."""
MESSAGE_TOKENS = 4
IMAGE_TOKENS = 1_200
"""About what a picture of 1,000 x 1,000 pixels costs with the vendors that say so."""
_CHARS = 4.0
"""Characters a token has in English text and in JSON; other scripts have about one and a half."""
_OTHER_CHARS = 1.5


async def estimate(ex: Exchange) -> Reply:
    """The reply to an operation that counts, marked with `x-headgate-estimated`. Raises InvalidRequest for a bad body."""
    dialect = ex.error_dialect
    if not isinstance(dialect, ChatDialect):
        raise InvalidRequest(f"the tokens of `{ex.operation.name}` cannot be estimated", code="unsupported_operation")
    body = decode_object(ex.body)
    inner: Any = body.get("generateContentRequest")
    tokens = count_request(dialect.decode_request(msgspec.json.encode(inner) if isinstance(inner, dict) else ex.body))
    name = "input_tokens" if ex.operation is COUNT_TOKENS else "totalTokens"
    headers = ((b"content-type", b"application/json"), (b"x-headgate-estimated", b"true"))
    return Reply(200, headers, msgspec.json.encode({name: tokens}))


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
