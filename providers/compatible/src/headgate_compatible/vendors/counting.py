"""Tokens of a chat at vendors that count the messages and tools of OpenAI's chat: Moonshot, Z.ai and Zhipu; DashScope counts
messages of text alone.

https://platform.moonshot.ai/docs/api/estimate, https://docs.z.ai/api-reference/tools/tokenizer, and `Tokenization` of the SDK
`dashscope` 2.0 (https://github.com/dashscope/dashscope-sdk-python)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import msgspec
from msgspec import Raw
from typing_extensions import override

from headgate.dialects import CountDialect, OpenAIChat
from headgate.dialects.counts import only
from headgate.dialects.openai.members import Json, objects
from headgate.exchange import Exchange
from headgate.provider import operation_of
from headgate_compatible.provider import Compatible


class ChatCount(CountDialect):
    """A request of chat without what is not counted."""

    chat = OpenAIChat()
    counted: ClassVar[frozenset[str]] = frozenset({"messages", "tools"})

    @override
    def count_body(self, members: Mapping[str, Raw], model: str) -> Mapping[str, Any]:
        return {"model": model, **only(members, self.counted)}


class MoonshotCount(ChatCount):
    """Answers `{"data": {"total_tokens": 80}}`."""

    name = "moonshot.count"
    number = ("data", "total_tokens")


class ZaiCount(ChatCount):
    """Answers with a usage object."""

    name = "zai.count"
    number = ("usage", "total_tokens")


class DashScopeCount(ChatCount):
    """Answers with a usage object; messages stand in `input`, each with one text, and tools are not among what its SDK counts."""

    name = "dashscope.count"
    number = ("usage", "input_tokens")

    @override
    def count_body(self, members: Mapping[str, Raw], model: str) -> Mapping[str, Any]:
        messages: list[Json] = msgspec.json.decode(members.get("messages", b"[]"))
        return {"model": model, "input": {"messages": [_flat(each) for each in messages]}, "parameters": {}}


class Counting(Compatible):
    """A vendor whose way to count is not Anthropic's, although it serves the Messages API."""

    @override
    def vendor_headers(self, ex: Exchange) -> Mapping[bytes, bytes]:
        return self._vendor_headers if operation_of(ex) == "count_tokens" else super().vendor_headers(ex)


def _flat(message: Json) -> Json:
    """A message of texts with one of them."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": "\n\n".join(str(part.get("text", "")) for part in objects(cast("Any", content)))}
