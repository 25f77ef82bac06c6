"""The dialect `ollama.chat`: Ollama's own chat, `/api/chat`. `/api/generate` has no turns and is not spoken.

Source: https://docs.ollama.com/api/chat
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from typing_extensions import override

from headgate.body import decode_object, reply_object
from headgate.chat import Usage
from headgate.dialects import ChatCodec, CodecChat, Ending, EventView, TextPlace
from headgate.dialects.lines import LineFramer
from headgate.dialects.openai.members import Json
from headgate.errors import ErrorWords, InvalidRequest, RequestError
from headgate_ollama.answers import OllamaEncoder, encode_reply
from headgate_ollama.encode import IGNORED, encode_request
from headgate_ollama.replies import NAME, OllamaDecoder, decode_reply, usage_of
from headgate_ollama.requests import decode_request
from headgate_ollama.texts import reply_texts, request_texts


class OllamaChat(CodecChat):
    """The `ollama.chat` dialect. Headgate speaks it to Ollama; no client speaks it to Headgate."""

    name = NAME
    operation = "chat"
    ignored = IGNORED
    codec = ChatCodec(
        decode_request=decode_request,
        encode_request=encode_request,
        decode_reply=decode_reply,
        encode_reply=lambda reply, _: encode_reply(reply),
        stream_decoder=OllamaDecoder,
        stream_encoder=lambda _: OllamaEncoder(),
    )

    @override
    def framer(self) -> LineFramer:
        return LineFramer()

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(request_texts(body))

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(reply_texts(body))

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        return list(reply_texts(data))

    @override
    def view_event(self, data: bytes) -> EventView:
        decoded = decode_object(data)
        return EventView(self.event_texts(decoded), ["0"] if decoded.get("done") is True else [])

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        last = _decoded(tail[-1]) if tail else {}
        if "error" in last:
            return "error"
        return "complete" if last.get("done") is True else "cut"

    @override
    def error_event(self, error: RequestError) -> bytes:
        return msgspec.json.encode({"error": error.message}) + b"\n"

    @override
    def encode_error(self, words: ErrorWords) -> bytes:
        return msgspec.json.encode({"error": words.message})

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        return usage_of(reply_object(body))

    @override
    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        return usage_of(_decoded(tail[-1])) if tail else None


def _decoded(line: bytes) -> Json:
    try:
        return decode_object(line)
    except InvalidRequest:
        return {}
