"""Anthropic Messages: the dialect of Claude, at Anthropic and at the clouds that serve it, and of Claude Code as a client.

Source: https://platform.claude.com/docs/en/api/messages and the types of the official SDK (2.11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import ChatReply, ChatRequest, Usage
from headgate.dialects.anthropic import texts as anthropic_texts
from headgate.dialects.anthropic.decode import HINTS, decode_reply, decode_request
from headgate.dialects.anthropic.encode import IGNORED, encode_request
from headgate.dialects.anthropic.errors import decode_error, encode_error
from headgate.dialects.anthropic.events import AnthropicEncoder
from headgate.dialects.anthropic.names import NAME, ToolNames
from headgate.dialects.anthropic.opaque import is_sealed_in
from headgate.dialects.anthropic.reply import IGNORED as IGNORED_IN_REPLIES
from headgate.dialects.anthropic.reply import encode_reply
from headgate.dialects.anthropic.stream import AnthropicDecoder
from headgate.dialects.anthropic.usage import body_usage, events_usage
from headgate.dialects.gaps import Gaps
from headgate.dialects.interface import ChatDialect, EventView, TextPlace
from headgate.dialects.sse import Ending, data_of
from headgate.dialects.words import Headers
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, RequestError

Json = dict[str, Any]


class _Typed(Struct):
    type: str = ""


class _PlainDelta(Struct, frozen=True, forbid_unknown_fields=True):
    type: str
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None


class _PlainEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """An event that holds a delta of text and nothing else: nearly every one."""

    type: str
    index: int
    delta: _PlainDelta


_typed = msgspec.json.Decoder(_Typed)
_plain_event = msgspec.json.Decoder(_PlainEvent)


class AnthropicMessages(ChatDialect):
    """The `anthropic.messages` dialect."""

    name = NAME
    operation = "messages"
    hints = HINTS
    ignored = IGNORED
    ignored_in_replies = IGNORED_IN_REPLIES

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(anthropic_texts.request_texts(body))

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(anthropic_texts.reply_texts(body))

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        return list(anthropic_texts.event_texts(data))

    @override
    def view_event(self, data: bytes) -> EventView:
        try:
            event = _plain_event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            decoded = decode_object(data)
            return EventView(self.event_texts(decoded), anthropic_texts.finished(decoded))
        delta = event.delta
        if delta.text is not None:
            return EventView((TextPlace(("delta", "text"), delta.text, "assistant", "0.text"),))
        if delta.thinking is not None:
            return EventView((TextPlace(("delta", "thinking"), delta.thinking, "assistant", "0.thinking"),))
        if delta.partial_json is None:
            return EventView(())
        channel = f"0.tool.{event.index}"
        return EventView((TextPlace(("delta", "partial_json"), delta.partial_json, "assistant", channel),))

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        """`message_stop` ends a stream, whatever becomes of the connection behind it."""
        ending: Ending = "cut"
        for event in tail:
            try:
                kind = _typed.decode(data_of(event)).type
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if kind == "error":
                return "error"
            if kind in {"message_stop", "message"}:
                ending = "complete"
        return ending

    @override
    def error_event(self, error: RequestError) -> bytes:
        return b"event: error\ndata: " + encode_error(error.words()) + b"\n\n"

    @override
    def encode_error(self, words: ErrorWords) -> bytes:
        return encode_error(words)

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        return decode_error(status, body)

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        return body_usage(body)

    @override
    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        """Older models count the prompt in `message_start` alone, so `tail` should hold a stream's first event too."""
        return events_usage(tail)

    @override
    def names_back(self, request: ChatRequest) -> Mapping[str, str]:
        return ToolNames(request).back()

    @override
    def carries_foreign(self, body: bytes) -> bool:
        return is_sealed_in(body)

    @override
    def decode_request(self, body: bytes) -> ChatRequest:
        return decode_request(body)

    @override
    def encode_request(self, request: ChatRequest, gaps: Gaps) -> bytes:
        return msgspec.json.encode(encode_request(request, gaps))

    @override
    def decode_reply(self, body: bytes) -> ChatReply:
        try:
            return decode_reply(body)
        except InvalidRequest as error:
            raise ProviderFailed(f"the reply is no message: {error}", code="upstream_bad_reply") from None

    @override
    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes:
        return msgspec.json.encode(encode_reply(reply, request))

    @override
    def stream_decoder(self) -> AnthropicDecoder:
        return AnthropicDecoder()

    @override
    def stream_encoder(self, request: ChatRequest) -> AnthropicEncoder:
        return AnthropicEncoder(request.model)
