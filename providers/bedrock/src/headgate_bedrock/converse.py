"""The dialect `bedrock.converse`: one body for all models on Bedrock that answer in turns.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference.html and botocore's model of the service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import ChatReply, ChatRequest, Usage
from headgate.dialects import ChatDialect, Ending, EventView, Gaps, TextPlace
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, RequestError
from headgate_bedrock.decode import decode_reply
from headgate_bedrock.encode import IGNORED, encode_request
from headgate_bedrock.errors import error_words
from headgate_bedrock.frames import FrameFramer, Message, decode_frame
from headgate_bedrock.replies import ConverseEncoder, encode_reply, exception_frame
from headgate_bedrock.requests import decode_request
from headgate_bedrock.stream import ConverseDecoder
from headgate_bedrock.texts import event_places, reply_places, request_places
from headgate_bedrock.tools import own_names
from headgate_bedrock.turns import NAME
from headgate_bedrock.usage import usage_of

Json = dict[str, Any]
Headers = Sequence[tuple[bytes, bytes]]


class BedrockConverse(ChatDialect):
    """The `bedrock.converse` dialect. Headgate speaks it to Bedrock; no client speaks it to Headgate.

    A reply of Converse names no model, and names of tools are restricted: given the request that it answers, the
    decoders put both right.
    """

    name = NAME
    operation = "converse"
    ignored = IGNORED

    @override
    def names_back(self, request: ChatRequest) -> Mapping[str, str]:
        return own_names(request)

    @override
    def framer(self) -> FrameFramer:
        return FrameFramer()

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(request_places(body))

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(reply_places(body))

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        return list(event_places(data))

    @override
    def view_event(self, data: bytes) -> EventView:
        decoded = decode_object(data)
        return EventView(self.event_texts(decoded), ["0"] if "stopReason" in decoded else [])

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        kinds: list[str] = []
        for message in _messages(tail):
            if message.headers.get(":message-type", "event") != "event":
                return "error"
            kinds.append(message.headers.get(":event-type", ""))
        has_all = "messageStop" in kinds and ("metadata" in kinds or not is_broken)
        return "complete" if has_all else "cut"

    @override
    def error_event(self, error: RequestError) -> bytes:
        return exception_frame(error.status, error.message)

    @override
    def encode_error(self, words: ErrorWords) -> bytes:
        return msgspec.json.encode({"message": words.message})

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        return error_words(status, body, headers)

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        try:
            usage: object = decode_object(body).get("usage")
        except InvalidRequest as error:
            raise ProviderFailed(f"the provider's reply is not JSON: {error}", code="upstream_bad_reply") from None
        return usage_of(cast("Json", usage)) if isinstance(usage, dict) and usage else None

    @override
    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        for message in reversed(_messages(tail)):
            if message.headers.get(":event-type") == "metadata":
                return self.reply_usage(message.payload)
        return None

    @override
    def decode_request(self, body: bytes) -> ChatRequest:
        return decode_request(body)

    @override
    def encode_request(self, request: ChatRequest, gaps: Gaps) -> bytes:
        return msgspec.json.encode(encode_request(request, gaps))

    @override
    def decode_reply(self, body: bytes, request: ChatRequest | None = None) -> ChatReply:
        try:
            return decode_reply(body, request)
        except (InvalidRequest, msgspec.ValidationError) as error:
            raise ProviderFailed(f"the reply is none of Converse: {error}", code="upstream_bad_reply") from None

    @override
    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes:
        return encode_reply(reply)

    @override
    def stream_decoder(self, request: ChatRequest | None = None) -> ConverseDecoder:
        return ConverseDecoder(request)

    @override
    def stream_encoder(self, request: ChatRequest) -> ConverseEncoder:
        return ConverseEncoder()


def _messages(frames: Sequence[bytes]) -> list[Message]:
    messages: list[Message] = []
    for frame in frames:
        try:
            messages.append(decode_frame(frame))
        except ProviderFailed:
            continue
    return messages
