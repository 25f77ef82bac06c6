"""OpenAI Responses, which OpenAI, Azure, xAI, Groq, OpenRouter, DeepSeek and Databricks speak natively.

Source: https://platform.openai.com/docs/api-reference/responses and the types of the official SDK (3.52).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import override

from headgate.body import decode_object, replace_paths
from headgate.chat import ChatRequest, Usage
from headgate.dialects.codec import ChatCodec, CodecChat
from headgate.dialects.interface import EventView, TextPlace
from headgate.dialects.openai.names import names_back
from headgate.dialects.responses.answer import decode_reply
from headgate.dialects.responses.compose import IGNORED as IGNORED_IN_REPLIES
from headgate.dialects.responses.compose import encode_reply
from headgate.dialects.responses.decode import HINTS, decode_request
from headgate.dialects.responses.encode import IGNORED, encode_request
from headgate.dialects.responses.events import OpenAIResponsesEncoder
from headgate.dialects.responses.ids import has_marks
from headgate.dialects.responses.items import NAME
from headgate.dialects.responses.stream import OpenAIResponsesDecoder
from headgate.dialects.responses.texts import event_texts, reply_texts, request_texts, without_logprobs
from headgate.dialects.responses.usage import body_usage, events_usage
from headgate.dialects.sse import Ending, data_of
from headgate.dialects.words import Headers, wait_of, words_of
from headgate.errors import ErrorWords, RequestError

Json = dict[str, Any]
Path = tuple[str | int, ...]

_ENDINGS: dict[str, Ending] = {
    "response.completed": "complete",
    "response.incomplete": "complete",
    "response.failed": "error",
    "response.cancelled": "error",
    "error": "error",
}


class _Kind(Struct):
    type: str = ""
    error: Any = None


class _PlainDelta(Struct):
    """An event with more visible text: nearly every one."""

    type: Literal["response.output_text.delta"]
    delta: str
    output_index: int
    content_index: int = 0


_kind = msgspec.json.Decoder(_Kind)
_plain_delta = msgspec.json.Decoder(_PlainDelta)


class OpenAIResponses(CodecChat):
    """The `openai.responses` dialect."""

    name = NAME
    operation = "responses"
    hints = HINTS
    ignored = IGNORED
    ignored_in_replies = IGNORED_IN_REPLIES
    codec = ChatCodec(
        decode_request=decode_request,
        encode_request=encode_request,
        decode_reply=decode_reply,
        encode_reply=encode_reply,
        stream_decoder=OpenAIResponsesDecoder,
        stream_encoder=OpenAIResponsesEncoder,
    )

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return request_texts(body)

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        return reply_texts(body)

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        return event_texts(data)

    @override
    def view_event(self, data: bytes) -> EventView:
        try:
            event = _plain_delta.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            decoded = decode_object(data)
            return EventView(event_texts(decoded), _finished(decoded))
        flow = f"{event.output_index}.text.{event.content_index}"
        return EventView((TextPlace(("delta",), event.delta, "assistant", flow),))

    @override
    def replace_reply_texts(self, body: Json, changes: Iterable[tuple[Path, str]]) -> Json:
        listed = list(changes)
        changed = replace_paths(body, listed)
        without_logprobs(changed, [path for path, _ in listed])
        return changed

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        ending: Ending = "cut"
        for event in tail:
            ending = _ending_of(event) or ending
            if ending == "error":
                return ending
        return ending

    @override
    def error_event(self, error: RequestError) -> bytes:
        return error_event(error.words())

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        return _corrected(words_of(status, body))

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        return body_usage(body)

    @override
    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        return events_usage(tail)

    @override
    def carries_foreign(self, body: bytes) -> bool:
        """Whether a client's request cannot be forwarded as it is: it holds what other providers answered in this conversation.

        Such a request is to be decoded and encoded again, which leaves out their thinking and the ids that the gateway made.
        """
        return has_marks(body)

    @override
    def names_back(self, request: ChatRequest) -> Mapping[str, str]:
        """What a provider calls a tool in its answer, to what the request called it; only names that had to change."""
        return names_back(request)


def error_event(words: ErrorWords) -> bytes:
    """An `error` event: flat as it is documented, and under `error` as OpenAI sends it and as its SDK raises it.

    Source: https://platform.openai.com/docs/api-reference/responses-streaming/error
    """
    told: Json = {"code": words.code, "message": words.message, "param": words.param}
    error = {"type": words.type or "server_error", **told}
    data = msgspec.json.encode({"type": "error", "sequence_number": 0, **told, "error": error, **words.extra})
    return b"event: error\ndata: " + data + b"\n\n"


def _ending_of(event: bytes) -> Ending | None:
    """What one event says of the end of its stream."""
    try:
        decoded = _kind.decode(data_of(event))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _ENDINGS.get(decoded.type) or ("error" if decoded.error else None)


def _finished(event: Json) -> list[str]:
    """The items that an event says are whole; the last event ends the texts of the reply it repeats."""
    kind = event.get("type")
    if kind == "response.output_item.done":
        return [str(event.get("output_index", 0))]
    return ["response"] if kind in _ENDINGS else []


def _corrected(words: ErrorWords) -> ErrorWords:
    """The status that an error means: OpenAI answers 400 for a model it does not have, xAI for a key it does not know."""
    status = words.status
    if status == 400 and words.code == "model_not_found":
        status = 404
    elif status == 400 and "incorrect api key" in words.message.lower():
        status = 401
    wait_s = wait_of(words.message) if status == 429 else None
    return replace(words, status=status, retry_after_s=words.retry_after_s or wait_s)
