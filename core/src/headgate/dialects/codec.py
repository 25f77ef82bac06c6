"""A chat dialect as a table of functions: what dialects do alike between bytes and their functions is written here once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from msgspec import Struct
from typing_extensions import override

from headgate.chat import ChatReply, ChatRequest
from headgate.dialects.gaps import Gaps
from headgate.dialects.interface import ChatDialect, StreamDecoder, StreamEncoder
from headgate.errors import InvalidRequest, ProviderFailed

Json = dict[str, Any]


class ChatCodec(Struct, frozen=True):
    """The six functions of a chat dialect, each pure: those named after methods of ChatDialect keep to what stands there.

    Encoders give a JSON object and not its bytes. `decode_reply` may raise InvalidRequest or ValueError for what is no reply:
    CodecChat makes them a ProviderFailed.
    """

    decode_request: Callable[[bytes], ChatRequest]
    encode_request: Callable[[ChatRequest, Gaps], Json]
    decode_reply: Callable[[bytes], ChatReply]
    encode_reply: Callable[[ChatReply, ChatRequest], Json]
    stream_decoder: Callable[[], StreamDecoder]
    stream_encoder: Callable[[ChatRequest], StreamEncoder]


class CodecChat(ChatDialect):
    """A chat dialect whose six codecs are functions of modules of their own.

    Its author writes `name`, `operation`, `ignored` and `codec`, where texts stand (`request_texts`, `reply_texts`,
    `event_texts`), and how a stream ends and fails (`ending`, `error_event`). What differs from OpenAI is overridden too: usage
    (`reply_usage`, `tail_usage`), errors (`encode_error`, `decode_error`), streams (`framer`, `view_event`).
    """

    codec: ClassVar[ChatCodec]

    @override
    def decode_request(self, body: bytes) -> ChatRequest:
        return self.codec.decode_request(body)

    @override
    def encode_request(self, request: ChatRequest, gaps: Gaps) -> bytes:
        return msgspec.json.encode(self.codec.encode_request(request, gaps))

    @override
    def decode_reply(self, body: bytes) -> ChatReply:
        try:
            return self.codec.decode_reply(body)
        except (InvalidRequest, ValueError) as error:
            raise ProviderFailed(
                f"the reply is no answer of `{self.name}`: {error}", code="upstream_bad_reply"
            ) from None

    @override
    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes:
        return msgspec.json.encode(self.codec.encode_reply(reply, request))

    @override
    def stream_decoder(self) -> StreamDecoder:
        return self.codec.stream_decoder()

    @override
    def stream_encoder(self, request: ChatRequest) -> StreamEncoder:
        return self.codec.stream_encoder(request)
