"""The dialect `ollama.chat`: Ollama's own chat, `/api/chat`. `/api/generate` has no turns and is not spoken.

Source: https://docs.ollama.com/api/chat
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import ChatReply, ChatRequest, Usage
from headgate.dialects import ChatDialect, Ending, EventView, Gaps, TextPlace
from headgate.dialects.lines import LineFramer
from headgate.dialects.openai.members import Json
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, RequestError
from headgate_ollama.answers import OllamaEncoder, encode_reply
from headgate_ollama.encode import IGNORED, encode_request
from headgate_ollama.replies import NAME, OllamaDecoder, decode_reply, usage_of
from headgate_ollama.requests import decode_request
from headgate_ollama.texts import reply_texts, request_texts


class OllamaChat(ChatDialect):
    """The `ollama.chat` dialect. Headgate speaks it to Ollama; no client speaks it to Headgate."""

    name = NAME
    operation = "chat"
    ignored = IGNORED

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
        try:
            return usage_of(decode_object(body))
        except InvalidRequest as error:
            raise ProviderFailed(f"the provider's reply is not JSON: {error}", code="upstream_bad_reply") from None

    @override
    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        return usage_of(_decoded(tail[-1])) if tail else None

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
            raise ProviderFailed(f"the reply is none of Ollama's chat: {error}", code="upstream_bad_reply") from None

    @override
    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes:
        return msgspec.json.encode(encode_reply(reply))

    @override
    def stream_decoder(self) -> OllamaDecoder:
        return OllamaDecoder()

    @override
    def stream_encoder(self, request: ChatRequest) -> OllamaEncoder:
        return OllamaEncoder()


def _decoded(line: bytes) -> Json:
    try:
        return decode_object(line)
    except InvalidRequest:
        return {}
