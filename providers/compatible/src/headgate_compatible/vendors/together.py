"""Together: token probabilities are asked for by a number, only users speak in parts, and rankings are in Jina's shape.

Source: https://docs.together.ai/reference/chat-completions and the types of `together` 3.1. Neither has `stream_options` or
the `strict` of a function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec.structs import replace
from typing_extensions import override

from headgate.chat import ChatRequest, Message, Text
from headgate.dialects import Dialect, Gaps
from headgate_compatible.provider import Compatible
from headgate_compatible.vendors.ranking import TogetherRerank

Json = dict[str, Any]


class Together(Compatible):
    """Together AI."""

    own_dialects: ClassVar[Mapping[str, str]] = {"rerank": TogetherRerank.name}
    codecs: ClassVar[Mapping[str, Dialect]] = {TogetherRerank.name: TogetherRerank()}

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        request = super().adapt(request, gaps)
        for at, tool in enumerate(request.tools):
            if tool.strict:
                gaps.skip(f"tools[{at}].function.strict")
        return replace(
            request,
            messages=tuple(_instructed(message, at, gaps) for at, message in enumerate(request.messages)),
            tools=tuple(replace(tool, strict=None) for tool in request.tools),
        )

    @override
    def finish(self, body: Json, request: ChatRequest, gaps: Gaps) -> None:
        body.pop("stream_options", None)  # usage always comes with the last chunk
        for message in body["messages"]:
            if message["role"] != "user" and isinstance(message["content"], list):
                message["content"] = "\n\n".join(part["text"] for part in message["content"])
        wanted, top = body.pop("logprobs", None), body.pop("top_logprobs", None)
        if wanted:
            body["logprobs"] = top or 1


def _instructed(message: Message, at: int, gaps: Gaps) -> Message:
    """A turn with texts alone where it is instructions."""
    texts = tuple(part for part in message.parts if isinstance(part, Text))
    if message.role != "system" or len(texts) == len(message.parts):
        return message
    gaps.refuse(f"messages[{at}].content", "instructions are text alone there")
    return replace(message, parts=texts)
