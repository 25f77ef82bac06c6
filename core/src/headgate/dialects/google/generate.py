"""Google's generateContent and streamGenerateContent, which Gemini speaks on the Gemini API and on Vertex AI.

The model and whether the answer streams stand in the URL. Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec
from typing_extensions import override

from headgate.body import decode_object
from headgate.chat import ChatReply, ChatRequest, Usage, collect
from headgate.dialects.gaps import Gaps
from headgate.dialects.google.answer import IGNORED as IGNORED_IN_REPLIES
from headgate.dialects.google.answer import encode_reply
from headgate.dialects.google.chunks import GoogleEncoder
from headgate.dialects.google.decode import HINTS, decode_request
from headgate.dialects.google.encode import IGNORED, encode_request, names_back
from headgate.dialects.google.facts import NAME, STATUS_WORDS
from headgate.dialects.google.frames import GoogleFramer, chunk_of
from headgate.dialects.google.parts import Fields, with_exact_calls
from headgate.dialects.google.reply import decode_reply, decode_usage, has_counts
from headgate.dialects.google.stream import GoogleDecoder, error_of
from headgate.dialects.google.texts import finished, reply_texts, request_texts, without_echoes
from headgate.dialects.interface import ChatDialect, EventView, TextPlace
from headgate.dialects.openai.members import Json
from headgate.dialects.sse import Ending, data_event
from headgate.dialects.words import DETAILS, Headers, details_of, words_of
from headgate.errors import ErrorWords, InvalidRequest, ProviderFailed, RequestError

_INFO, _RETRY, _BAD = (f"type.googleapis.com/google.rpc.{name}" for name in ("ErrorInfo", "RetryInfo", "BadRequest"))
_BAD_KEYS = {"API_KEY_INVALID", "API_KEY_EXPIRED"}
_FOREIGN = (b"aGVhZGdhdGU", b'"provider_item"')
"""How the base64 of a foreign signature begins, and the member that holds a foreign item."""
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


class GoogleGenerate(ChatDialect):
    """The `google.generate` dialect."""

    name = NAME
    operation = "generate"
    hints = HINTS
    ignored = IGNORED
    ignored_in_replies = IGNORED_IN_REPLIES

    @override
    def framer(self) -> GoogleFramer:
        return GoogleFramer()

    @override
    def request_texts(self, body: Json) -> Sequence[TextPlace]:
        return request_texts(body)

    @override
    def reply_texts(self, body: Json) -> Sequence[TextPlace]:
        return reply_texts(body)

    @override
    def event_texts(self, data: Json) -> Sequence[TextPlace]:
        return reply_texts(data)

    @override
    def view_event(self, data: bytes) -> EventView:
        decoded = decode_object(data)
        return EventView(reply_texts(decoded), finished(decoded))

    @override
    def replace_reply_texts(self, body: Json, changes: Iterable[tuple[tuple[str | int, ...], str]]) -> Json:
        listed = list(changes)
        changed = super().replace_reply_texts(body, listed)
        without_echoes(changed, [path for path, _ in listed])
        return changed

    @override
    def ending(self, tail: Sequence[bytes], *, is_broken: bool = False) -> Ending:
        """A finish reason for every candidate is the end, or the word that the prompt was refused; no event says so."""
        seen: set[str] = set()
        done: set[str] = set()
        is_blocked = False
        for event in tail:
            chunk = _decoded(chunk_of(event))
            if chunk.get("error"):
                return "error"
            candidates = chunk.get("candidates")
            for at, candidate in enumerate(cast("list[Any]", candidates) if isinstance(candidates, list) else []):
                seen.add(str(cast("Json", candidate).get("index", at)) if isinstance(candidate, dict) else "")
            done |= set(finished(chunk))
            is_blocked = is_blocked or bool(chunk.get("promptFeedback") and not candidates)
        is_complete = seen == done if seen else is_blocked
        return "complete" if is_complete and not is_broken else "cut"

    @override
    def error_event(self, error: RequestError) -> bytes:
        return data_event(self.encode_error(error.words()))

    @override
    def encode_error(self, words: ErrorWords) -> bytes:
        """`{"error": {code, message, status, details}}`: https://cloud.google.com/apis/design/errors"""
        word = STATUS_WORDS.get(words.status) or ("INTERNAL" if words.status >= 500 else "FAILED_PRECONDITION")
        error: Json = {"code": words.status, "message": words.message, "status": word}
        details: list[Json] = []
        if words.code:
            info: Json = {"@type": _INFO, "reason": words.code, "domain": "headgate"}
            noted = details_of(words.extra) | ({"type": words.type} if words.type else {})
            details.append(info | ({"metadata": noted} if noted else {}))
        if words.param:
            violation = {"field": words.param, "description": words.message}
            details.append({"@type": _BAD, "fieldViolations": [violation]})
        if words.retry_after_s is not None:
            details.append({"@type": _RETRY, "retryDelay": f"{words.retry_after_s:g}s"})
        if details:
            error["details"] = details
        beside = {name: value for name, value in words.extra.items() if name not in {"error", *DETAILS}}
        return msgspec.json.encode({"error": error, **beside})  # the official client knows an error by its first member

    @override
    def decode_error(self, status: int, body: bytes, headers: Headers = ()) -> ErrorWords:
        """As it says itself, but a key that is not valid is 401, which Google calls 400."""
        words = words_of(status, body)
        error = _error_in(body)
        details = [cast("Json", held) for held in _list(error.get("details")) if isinstance(held, dict)]
        reason = next((str(held["reason"]) for held in details if held.get("reason")), "")
        delays = [_DURATION.fullmatch(str(held.get("retryDelay"))) for held in details]
        fields = [
            cast("Json", held).get("field")
            for one in details
            for held in _list(one.get("fieldViolations"))
            if isinstance(held, dict)
        ]
        word = str(error.get("status") or words.type or "")
        return ErrorWords(
            401 if reason in _BAD_KEYS else status,
            words.message,
            word,
            reason or word or words.code,
            str(fields[0]) if fields and fields[0] else None,
            next((float(found[1]) for found in delays if found), None),
            words.extra,
        )

    @override
    def reply_usage(self, body: bytes) -> Usage | None:
        try:
            data: Any = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProviderFailed(f"the provider's reply is not JSON: {error}", code="upstream_bad_reply") from None
        return _usage_in(_list(data) or [data])

    @override
    def tail_usage(self, tail: Sequence[bytes]) -> Usage | None:
        return _usage_in([_decoded(chunk_of(event)) for event in tail])

    @override
    def names_back(self, request: ChatRequest) -> Mapping[str, str]:
        return names_back(request)

    @override
    def carries_foreign(self, body: bytes) -> bool:
        return any(mark in body for mark in _FOREIGN)

    @override
    def decode_request(self, body: bytes) -> ChatRequest:
        return decode_request(with_exact_calls(decode_object(body), body))

    @override
    def encode_request(self, request: ChatRequest, gaps: Gaps) -> bytes:
        return msgspec.json.encode(encode_request(request, gaps))

    @override
    def decode_reply(self, body: bytes) -> ChatReply:
        """A whole answer, or a stream that came as one JSON array."""
        try:
            if body.lstrip().startswith(b"["):
                return self._collected(body)
            data = decode_object(body)
            if data.get("error"):
                raise ProviderFailed(error_of(data["error"]).message or "the provider answered with an error")
            return decode_reply(with_exact_calls(data, body))
        except (InvalidRequest, ValueError) as error:
            raise ProviderFailed(f"the reply is no answer of `{NAME}`: {error}", code="upstream_bad_reply") from None

    @override
    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes:
        return msgspec.json.encode(encode_reply(reply))

    @override
    def stream_decoder(self) -> GoogleDecoder:
        return GoogleDecoder()

    @override
    def stream_encoder(self, request: ChatRequest) -> GoogleEncoder:
        return GoogleEncoder()

    def _collected(self, body: bytes) -> ChatReply:
        framer, decoder = self.framer(), self.stream_decoder()
        events = [event for frame in framer.feed(body) for event in decoder.feed(frame)]
        framer.end()
        events += decoder.end()
        return msgspec.structs.replace(collect(events), dialect=NAME)


def _usage_in(chunks: Sequence[Any]) -> Usage | None:
    """The last usage that says numbers."""
    for chunk in reversed(chunks):
        found = Fields(cast("Json", chunk)).take("usageMetadata") if isinstance(chunk, dict) else None
        if isinstance(found, dict) and has_counts(cast("Json", found)):
            return decode_usage(cast("Json", found))
    return None


def _error_in(body: bytes) -> Json:
    try:
        data: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    data = next(iter(_list(data)), data)
    error: Any = cast("Json", data).get("error") if isinstance(data, dict) else None
    return cast("Json", error) if isinstance(error, dict) else {}


def _decoded(data: bytes) -> Json:
    try:
        return decode_object(data)
    except InvalidRequest:
        return {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
