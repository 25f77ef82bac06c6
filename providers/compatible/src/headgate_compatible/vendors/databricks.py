"""Databricks: Claude by the Messages API, OpenAI's models by Responses too, and thinking as parts of the content.

Sources: https://docs.databricks.com/aws/en/machine-learning/model-serving/query-anthropic-messages,
https://docs.databricks.com/aws/en/machine-learning/foundation-model-apis/api-reference (ReasoningContent),
https://docs.databricks.com/aws/en/machine-learning/model-serving/query-audio-video-models (films by their address)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import ChatReply, ChatRequest, File, Image, StreamEvent
from headgate.dialects import Dialect, Gaps, OpenAIChat
from headgate.dialects.anthropic import policy as anthropic_policy
from headgate.dialects.openai.stream import OpenAIChatDecoder
from headgate.dialects.sse import data_event, data_of
from headgate.errors import InvalidRequest
from headgate.exchange import Exchange
from headgate_compatible.provider import Compatible

Json = dict[str, Any]

_SUMMARY = b"summary_text"


class DatabricksChat(OpenAIChat):
    """OpenAI chat whose content may be a list with thinking in it."""

    @override
    def decode_reply(self, body: bytes) -> ChatReply:
        return super().decode_reply(_plain(body) if _SUMMARY in body else body)

    @override
    def stream_decoder(self) -> OpenAIChatDecoder:
        return _Decoder()


class _Decoder(OpenAIChatDecoder):
    """A stream whose chunks are put into OpenAI's shape first."""

    @override
    def feed(self, frame: bytes) -> Sequence[StreamEvent]:
        return super().feed(data_event(_plain(data_of(frame))) if _SUMMARY in frame else frame)


def _plain(data: bytes) -> bytes:
    """A reply or a chunk with its thinking in a member of its own."""
    try:
        held = decode_object(data)
    except InvalidRequest:
        return data  # the decoder says what is wrong with it
    choices: list[Json] = held.get("choices") or []
    for choice in choices:
        for name in ("message", "delta"):
            message: Json = choice.get(name) or {}
            content: Any = message.get("content")
            if isinstance(content, list):
                parts = cast("list[Json]", content)
                message["content"] = [part for part in parts if part.get("type") != "reasoning"]
                message["reasoning_content"] = "".join(_thought(part) for part in parts)
    return msgspec.json.encode(held)


def _thought(part: Json) -> str:
    pieces: list[Json] = part.get("summary") or []
    return "".join(str(piece.get("text") or "") for piece in pieces) if part.get("type") == "reasoning" else ""


class Databricks(Compatible):
    """Foundation models of Databricks, by the name of their serving endpoint."""

    codecs: ClassVar[Mapping[str, Dialect]] = {DatabricksChat.name: DatabricksChat()}
    origins_of_thought: ClassVar[frozenset[str]] = frozenset({"anthropic"})

    @override
    def spoken(self, ex: Exchange, model: str) -> tuple[str, str] | None:
        """Claude is asked by Messages unless the caller speaks chat."""
        if is_claude(model) and ex.operation.is_chat and ex.operation.name != "chat":
            return "messages", "anthropic.messages"
        return super().spoken(ex, model)

    @override
    def adapt(self, request: ChatRequest, gaps: Gaps) -> ChatRequest:
        return anthropic_policy.adapt(request, gaps) if _is_messages(request, gaps) else super().adapt(request, gaps)

    @override
    def finish_body(self, body: bytes, request: ChatRequest, gaps: Gaps) -> bytes:
        if _is_messages(request, gaps):
            return anthropic_policy.finish_body(body, request)
        return super().finish_body(body, request, gaps)

    @override
    def fetches(self, part: Image | File) -> bool:
        return isinstance(part, File) and (part.media_type or "").startswith("video/")


def _is_messages(request: ChatRequest, gaps: Gaps) -> bool:
    """Whether Claude is asked in Anthropic's words; a chat client's own request stays chat."""
    return gaps.dialect == "anthropic.messages" and is_claude(request.model)


def is_claude(model: str) -> bool:
    """Whether an endpoint serves Claude, by its name."""
    return "claude" in model.lower()
