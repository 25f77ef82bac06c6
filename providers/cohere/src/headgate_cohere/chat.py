"""The dialect `cohere.chat`: version 2 of Cohere's chat. Version 1 has other bodies and is not spoken.

Source: https://docs.cohere.com/reference/chat
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object, reply_object
from headgate.chat import Usage
from headgate.dialects import ChatCodec, CodecChat, Ending, EventView, TextPlace
from headgate.dialects.openai.members import Json
from headgate.dialects.sse import data_of
from headgate.dialects.words import Headers
from headgate.errors import ErrorWords, InvalidRequest, RequestError
from headgate_cohere.answers import CohereEncoder, encode_reply
from headgate_cohere.encode import IGNORED, encode_request
from headgate_cohere.replies import NAME, decode_reply, usage_of
from headgate_cohere.requests import decode_request
from headgate_cohere.stream import CohereDecoder
from headgate_cohere.texts import event_texts, reply_texts, request_texts

_STATUSES = {498: 401, 499: 502}
"""Cohere's own statuses: a token that is not valid, and a request that was cancelled or broke off while streaming.
https://docs.cohere.com/reference/errors"""


class CohereChat(CodecChat):
    """The `cohere.chat` dialect. Headgate speaks it to Cohere; no client speaks it to Headgate."""

    name = NAME
    operation = "chat"
    ignored = IGNORED
    codec = ChatCodec(
        decode_request=decode_request,
        encode_request=encode_request,
        decode_reply=decode_reply,
        encode_reply=lambda reply, _: encode_reply(reply),
        stream_decoder=CohereDecoder,
        stream_encoder=lambda _: CohereEncoder(),
    )

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(request_texts(body))

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(reply_texts(body))

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        return list(event_texts(data))

    @override
    def view_event(self, data: bytes) -> EventView:
        decoded = decode_object(data)
        return EventView(self.event_texts(decoded), ["0"] if decoded.get("type") == "message-end" else [])

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        last = _last_event(tail)
        if last is None:
            return "cut"
        return "error" if last.get("error") else "complete"

    @override
    def error_event(self, error: RequestError) -> bytes:
        delta = {"finish_reason": "ERROR", "error": error.message}
        return b"event: message-end\ndata: " + msgspec.json.encode({"type": "message-end", "delta": delta}) + b"\n\n"

    @override
    def encode_error(self, words: ErrorWords) -> bytes:
        return msgspec.json.encode({"message": words.message})

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        return error_words(super().decode_error(status, body, headers), body)

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        return usage_of(reply_object(body).get("usage"))

    @override
    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        return usage_of((_last_event(tail) or {}).get("usage"))


def error_words(words: ErrorWords, body: bytes) -> ErrorWords:
    """An error of any of Cohere's operations: `{"message", "id", "error_type"}`, with a status that clients know."""
    try:
        kind: Any = decode_object(body).get("error_type")
    except InvalidRequest:
        kind = None
    status = _STATUSES.get(words.status, words.status)
    return replace(words, status=status, type=words.type or (kind if isinstance(kind, str) else ""))


def _last_event(tail: Sequence[bytes]) -> Json | None:
    """What `message-end` says; None when it is not there."""
    for event in reversed(tail):
        try:
            data = decode_object(data_of(event).strip())
        except InvalidRequest:
            continue
        delta: Any = data.get("delta")
        if data.get("type") == "message-end":
            return cast("Json", delta) if isinstance(delta, dict) else {}
    return None
