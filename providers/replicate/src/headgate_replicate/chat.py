"""The dialect `replicate.prediction`: a call that begins a prediction of one model, and what the prediction says.

Source: https://replicate.com/docs/reference/http#models.predictions.create
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from typing_extensions import override

from headgate.body import decode_object, reply_object
from headgate.chat import (
    ChatReply,
    ChatRequest,
    ErrorEvent,
    Finish,
    Refusal,
    RefusalDelta,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    Usage,
    UsageEvent,
)
from headgate.dialects import ChatDialect, Ending, Gaps, TextPlace
from headgate.dialects.openai.members import Json, as_object, objects
from headgate.dialects.words import Headers, words_of
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, RequestError
from headgate_replicate.decode import decode_request
from headgate_replicate.encode import IGNORED, NAME, encode_request
from headgate_replicate.inputs import Inputs
from headgate_replicate.replies import OVER, ReplicateDecoder, decode_reply, failure_of, usage_of

_TEXTS = ("system_prompt", "system_instruction", "prompt")


class ReplicateChat(ChatDialect):
    """The `replicate.prediction` dialect, for a model that takes `inputs`. No client speaks it to Headgate."""

    name = NAME
    operation = "chat"
    ignored = IGNORED

    def __init__(self, inputs: Inputs | None = None) -> None:
        self.inputs = inputs or Inputs()

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return list(_request_places(body))

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        output: Any = body.get("output")
        if isinstance(output, str):
            return [TextPlace(("output",), output, "assistant", "0.content")]
        pieces = cast("list[object]", output) if isinstance(output, list) else []
        return [
            TextPlace(("output", at), piece, "assistant", "0.content")
            for at, piece in enumerate(pieces)
            if isinstance(piece, str)
        ]

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        return ()  # the data of an event is the text itself and no object

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        decoder = ReplicateDecoder()
        events = [event for frame in tail for event in decoder.feed(frame)]
        if any(isinstance(event, ErrorEvent) for event in events):
            return "error"
        return "complete" if any(isinstance(event, Finish) for event in events) else "cut"

    @override
    def error_event(self, error: RequestError) -> bytes:
        return _frame("error", msgspec.json.encode({"detail": error.message}))

    @override
    def encode_error(self, words: ErrorWords) -> bytes:
        return msgspec.json.encode({"detail": words.message, "status": words.status})

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        """An error of the API (`detail`), or of a prediction that did not succeed (`error`)."""
        words = words_of(status, body)
        try:
            held = decode_object(body)
        except InvalidRequest:
            return words
        state = str(held.get("status") or "")
        if state in OVER:
            return ErrorWords(status, failure_of(held), code=f"prediction_{state}")
        return words

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        return usage_of(reply_object(body))

    @override
    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        decoder = ReplicateDecoder()
        events = [event for frame in tail for event in decoder.feed(frame)]
        return next((event.usage for event in events if isinstance(event, UsageEvent)), None)

    @override
    def decode_request(self, body: bytes) -> ChatRequest:
        return decode_request(body, self.inputs)

    @override
    def encode_request(self, request: ChatRequest, gaps: Gaps) -> bytes:
        return msgspec.json.encode(encode_request(request, self.inputs, gaps))

    @override
    def decode_reply(self, body: bytes) -> ChatReply:
        try:
            return decode_reply(body)
        except InvalidRequest as error:
            raise ProviderFailed(f"the reply is no prediction of text: {error}", code="upstream_bad_reply") from None

    @override
    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes:
        parts = reply.choices[0].message.parts if reply.choices else ()
        text = "".join(part.text for part in parts if isinstance(part, Text | Refusal))
        said: Json = {**_begun(reply.id, reply.model, reply.created), "status": "succeeded", "output": [text]}
        return msgspec.json.encode({**said, "error": None, **_metrics(reply.usage)})

    @override
    def stream_decoder(self) -> ReplicateDecoder:
        return ReplicateDecoder()

    @override
    def stream_encoder(self, request: ChatRequest) -> ReplicateEncoder:
        return ReplicateEncoder()


class ReplicateEncoder:
    """Canonical events to the events of a stream. For tests, and for tools that write recordings."""

    def __init__(self) -> None:
        self._last = b""
        self._has_failed = False

    def feed(self, event: StreamEvent) -> bytes:
        """Encode one event."""
        match event:
            case Start():
                return _frame("prediction", msgspec.json.encode(_begun(event.id, event.model, event.created)))
            case TextDelta() | RefusalDelta():
                return _frame("output", event.text.encode())
            case Finish():
                return _frame("done", b"{}")
            case UsageEvent():
                self._last = _frame("prediction", msgspec.json.encode(_metrics(event.usage)))
                return b""
            case ErrorEvent():
                self._has_failed = True
                return _frame("error", msgspec.json.encode({"detail": event.message}))
            case _:
                return b""

    def end(self) -> bytes:
        """What was used; nothing behind an error."""
        return b"" if self._has_failed else self._last


def _frame(kind: str, data: bytes) -> bytes:
    lines = b"".join(b"data: " + line + b"\n" for line in data.split(b"\n"))
    return b"event: " + kind.encode() + b"\n" + lines + b"\n"


def _begun(prediction_id: str, model: str, created: int) -> Json:
    """What a prediction says of itself from its beginning on."""
    at = datetime.fromtimestamp(created, UTC).isoformat() if created else None
    return {"id": prediction_id, "model": model, "created_at": at}


def _metrics(usage: Usage | None) -> Json:
    if usage is None:
        return {}
    return {"metrics": {"input_token_count": usage.prompt, "output_token_count": usage.completion}}


def _request_places(body: Json) -> Iterator[TextPlace]:
    told = as_object(body.get("input")) or {}
    for name in _TEXTS:
        if isinstance(told.get(name), str):
            yield TextPlace(("input", name), told[name], "user" if name == "prompt" else "system", name)
    for at, turn in enumerate(objects(told.get("messages"))):
        if isinstance(turn.get("content"), str):
            yield TextPlace(
                ("input", "messages", at, "content"), turn["content"], str(turn.get("role", "")), ".content"
            )
