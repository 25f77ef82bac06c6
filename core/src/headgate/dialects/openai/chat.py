"""OpenAI chat completions, the dialect most clients and providers speak.

Source: https://platform.openai.com/docs/api-reference/chat and the types of the official SDK (3.52).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from typing_extensions import override

from headgate.chat import ChatRequest
from headgate.dialects.codec import ChatCodec, CodecChat
from headgate.dialects.interface import EventView, TextPlace
from headgate.dialects.openai.answer import IGNORED as IGNORED_IN_REPLIES
from headgate.dialects.openai.answer import encode_reply
from headgate.dialects.openai.chunks import OpenAIChatEncoder
from headgate.dialects.openai.decode import HINTS, decode_request
from headgate.dialects.openai.encode import IGNORED, encode_request
from headgate.dialects.openai.errors import decode_error
from headgate.dialects.openai.foreign import has_foreign
from headgate.dialects.openai.names import names_back
from headgate.dialects.openai.places import choice_places, request_places
from headgate.dialects.openai.reply import decode_reply
from headgate.dialects.openai.stream import OpenAIChatDecoder
from headgate.dialects.sse import Ending, data_event, ending_of
from headgate.dialects.words import Headers
from headgate.errors import ErrorWords, RequestError

Json = dict[str, Any]

_CONTENTS = tuple(("choices", at, "delta", "content") for at in range(64))


class _PlainDelta(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    content: str | None = None
    role: str | None = None
    refusal: None = None
    tool_calls: None = None


class _PlainChoice(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    index: int
    delta: _PlainDelta
    finish_reason: str | None = None
    logprobs: None = None


class _PlainEvent(Struct, frozen=True, gc=False):
    """An event whose choices hold nothing but content: nearly every one. What else it has says nothing to anybody."""

    choices: Annotated[list[_PlainChoice], Meta(max_length=len(_CONTENTS))]


class _PlainMessage(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    content: str | None = None
    role: Any = None
    annotations: Any = None
    refusal: None = None
    tool_calls: None = None


class _PlainAnswer(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    message: _PlainMessage
    index: Any = None
    finish_reason: Any = None
    logprobs: None = None


class _PlainReply(Struct, frozen=True, gc=False):
    """The same for a whole reply."""

    choices: list[_PlainAnswer]


_plain_event = msgspec.json.Decoder(_PlainEvent)
_plain_reply = msgspec.json.Decoder(_PlainReply)


class OpenAIChat(CodecChat):
    """The `openai.chat` dialect."""

    name = "openai.chat"
    operation = "chat"
    hints = HINTS
    ignored = IGNORED
    ignored_in_replies = IGNORED_IN_REPLIES
    codec = ChatCodec(
        decode_request=decode_request,
        encode_request=encode_request,
        decode_reply=decode_reply,
        encode_reply=encode_reply,
        stream_decoder=OpenAIChatDecoder,
        stream_encoder=OpenAIChatEncoder,
    )

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return request_places(body)

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        return choice_places(body, is_stream=False)

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        return choice_places(data, is_stream=True)

    @override
    def view_event(self, data: bytes) -> EventView:
        try:
            event = _plain_event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return super().view_event(data)
        texts: list[TextPlace] = []
        finished: list[str] = []
        for at, choice in enumerate(event.choices):
            content = choice.delta.content
            if content is not None:
                texts.append(TextPlace(_CONTENTS[at], content, "assistant", f"{choice.index}.content"))
            if choice.finish_reason:
                finished.append(str(choice.index))
        return EventView(texts, finished)

    @override
    def view_reply(self, body: bytes) -> Sequence[TextPlace]:
        try:
            reply = _plain_reply.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return super().view_reply(body)
        return [
            TextPlace(("choices", at, "message", "content"), choice.message.content, "assistant", f"{at}.content")
            for at, choice in enumerate(reply.choices)
            if choice.message.content is not None
        ]

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        return ending_of(tail, is_broken=is_broken)

    @override
    def is_error(self, event: bytes) -> bool:
        return b"error" in event and super().is_error(event)

    @override
    def error_event(self, error: RequestError) -> bytes:
        return data_event(error.envelope())

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        return decode_error(status, body)

    @override
    def carries_foreign(self, body: bytes) -> bool:
        return has_foreign(body)

    @override
    def names_back(self, request: ChatRequest) -> Mapping[str, str]:
        return names_back(request)
