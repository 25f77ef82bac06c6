"""Canonical events to generateContent chunks, one event each, as a client of `streamGenerateContent?alt=sse` reads them."""

from __future__ import annotations

import msgspec

from headgate.chat import (
    Citation,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    PartDelta,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    RefusalDelta,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
)
from headgate.dialects.google.answer import (
    encode_citations,
    encode_finish,
    encode_logprobs,
    encode_part,
    encode_usage,
    head_of,
)
from headgate.dialects.google.facts import STATUS_WORDS
from headgate.dialects.openai.members import Json
from headgate.dialects.sse import data_event


class GoogleEncoder:
    """Canonical events to chunks. A call is sent whole; the last chunk holds the finish reasons and what was used."""

    def __init__(self) -> None:
        self._head: Json = {}
        self._calls: dict[int, dict[int, ToolCall]] = {}
        self._said: dict[int, str] = {}
        self._cited: dict[int, list[Citation]] = {}
        self._extra: dict[int, Json] = {}
        self._finished: dict[int, Json] = {}
        self._has_failed = False

    def feed(self, event: StreamEvent) -> bytes:
        """Encode one event."""
        match event:
            case Start():
                self._head = head_of(event.id, event.model, event.created)
                return b""
            case UsageEvent():
                extra = dict(event.extra)
                return self._last(encode_usage(event.usage, tier=extra.pop("service_tier", None)), extra)
            case ErrorEvent():
                self._has_failed = True
                return data_event(msgspec.json.encode({"error": _error_body(event)}))
            case ToolCallStart():
                self._calls.setdefault(event.index, {})[event.call] = ToolCall(
                    event.id, event.name, "", event.call, custom=event.custom, opaque=event.opaque, extra=event.extra
                )
                return b""
            case ToolCallDelta():
                calls = self._calls[event.index]
                held = calls[event.call]
                calls[event.call] = msgspec.structs.replace(held, arguments=held.arguments + event.arguments)
                return b""
            case CitationDelta():
                self._cited.setdefault(event.index, []).append(event.citation)
                return b""
            case ExtraDelta():
                self._extra.setdefault(event.index, {}).update(event.members)
                return b""
            case Finish():
                return self._finish(event)
            case _:
                return self._part(event)

    def end(self) -> bytes:
        """What is left to say where no usage came; a stream of Google's has no last word."""
        return self._last(None, {}) if self._finished and not self._has_failed else b""

    def _part(self, event: TextDelta | ReasoningDelta | ReasoningEnd | RefusalDelta | PartDelta) -> bytes:
        match event:
            case TextDelta():
                self._said[event.index] = self._said.get(event.index, "") + event.text
                return self._chunk([encode_part(Text(event.text, opaque=event.opaque))], event.index)
            case ReasoningDelta():
                return self._chunk([encode_part(Reasoning(event.text))], event.index)
            case ReasoningEnd():
                ended = Reasoning("", event.opaque, item_id=event.item_id)
                return self._chunk([encode_part(ended)], event.index) if event.opaque is not None else b""
            case RefusalDelta():
                return self._chunk([encode_part(Refusal(event.text))], event.index)
            case PartDelta():
                return self._chunk([encode_part(event.part)], event.index)

    def _calls_of(self, index: int) -> bytes:
        """The calls, which nothing but the end of the answer shows to be complete."""
        calls = self._calls.pop(index, None)
        return self._chunk([encode_part(calls[number]) for number in sorted(calls)], index) if calls else b""

    def _finish(self, event: Finish) -> bytes:
        said = self._calls_of(event.index)
        cited = [(0, citation) for citation in self._cited.get(event.index, ())]
        extra = self._extra.get(event.index, {}) | event.extra
        logprobs = extra.pop("logprobs", None)
        self._finished[event.index] = {
            **encode_citations(cited, [self._said.get(event.index, "")]),
            **extra,
            **({"logprobsResult": encode_logprobs(logprobs)} if logprobs else {}),
            "content": {"parts": [{"text": ""}], "role": "model"},
            "index": event.index,
            **encode_finish(event.reason, event.raw, event.stop),
        }
        return said

    def _last(self, usage: Json | None, extra: Json) -> bytes:
        candidates, self._finished = [self._finished[index] for index in sorted(self._finished)], {}
        body: Json = {**extra, "candidates": candidates} if candidates else dict(extra)
        if usage is not None:
            body["usageMetadata"] = usage
        return data_event(msgspec.json.encode(body | self._head))

    def _chunk(self, parts: list[Json], index: int) -> bytes:
        candidate = {"content": {"parts": parts, "role": "model"}, "index": index}
        return data_event(msgspec.json.encode({"candidates": [candidate], **self._head}))


def _error_body(event: ErrorEvent) -> Json:
    status = event.status or 500
    word = STATUS_WORDS.get(status) or ("INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    body: Json = {"code": status, "message": event.message or "the provider broke off with an error", "status": word}
    if event.code and event.code != word:
        reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": event.code, "domain": "headgate"}
        body["details"] = [reason]
    return body
