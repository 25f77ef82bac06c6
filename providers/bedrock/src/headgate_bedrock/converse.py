"""The dialect `bedrock.converse`: one body for all models on Bedrock that answer in turns.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference.html and botocore's model of the service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from typing_extensions import override

from headgate.body import decode_object, reply_object
from headgate.chat import ChatRequest, Usage
from headgate.dialects import ChatCodec, CodecChat, Ending, EventView, TextPlace
from headgate.errors import ErrorWords, ProviderFailed, RequestError
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


class BedrockConverse(CodecChat):
    """The `bedrock.converse` dialect. Headgate speaks it to Bedrock; no client speaks it to Headgate.

    Names of tools are restricted there: `names_back` says which were changed.
    """

    name = NAME
    operation = "converse"
    ignored = IGNORED
    codec = ChatCodec(
        decode_request=decode_request,
        encode_request=encode_request,
        decode_reply=decode_reply,
        encode_reply=lambda reply, _: encode_reply(reply),
        stream_decoder=ConverseDecoder,
        stream_encoder=lambda _: ConverseEncoder(),
    )

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
        usage: object = reply_object(body).get("usage")
        return usage_of(cast("Json", usage)) if isinstance(usage, dict) and usage else None

    @override
    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        for message in reversed(_messages(tail)):
            if message.headers.get(":event-type") == "metadata":
                return self.reply_usage(message.payload)
        return None


def _messages(frames: Sequence[bytes]) -> list[Message]:
    messages: list[Message] = []
    for frame in frames:
        try:
            messages.append(decode_frame(frame))
        except ProviderFailed:
            continue
    return messages
