"""Answers in the form of Converse, whole and streamed. No client asks for them here: for tests, and for mocks of Bedrock."""

from __future__ import annotations

from typing import Any

import msgspec

from headgate.chat import (
    Audio,
    ChatReply,
    CitationDelta,
    ErrorEvent,
    ExtraDelta,
    Finish,
    FinishReason,
    Image,
    Item,
    Part,
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
from headgate.dialects.openai.members import merged
from headgate_bedrock.frames import encode_frame
from headgate_bedrock.media import audio_block, image_block
from headgate_bedrock.turns import NAME, arguments_of
from headgate_bedrock.usage import raw_of

Json = dict[str, Any]

_STOPS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
    "error": "malformed_model_output",
}
_EXCEPTIONS = {
    400: "validationException",
    424: "modelStreamErrorException",
    429: "throttlingException",
    503: "serviceUnavailableException",
}


def encode_reply(reply: ChatReply) -> Json:
    """A whole answer. Converse has one choice: the first."""
    choice = reply.choices[0]
    own = reply.dialect == NAME
    content = [block for part in choice.message.parts if (block := _block(part, is_own=own)) is not None]
    body: Json = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _stop_of(choice.finish or "stop", choice.finish_raw if own else None, choice.stop),
        "usage": raw_of(reply.usage) if reply.usage else {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0},
        "metrics": {"latencyMs": 0},
    }
    if choice.stop is not None:
        body["additionalModelResponseFields"] = {"stop_sequence": choice.stop}
    if reply.service_tier is not None:
        body["serviceTier"] = {"type": reply.service_tier}
    return merged(body, reply.extra) if own else {**reply.extra, **body}


def _stop_of(finish: FinishReason, raw: str | None, stop: str | None) -> str:
    return raw or ("stop_sequence" if stop is not None else _STOPS[finish])


def _block(part: Part, *, is_own: bool) -> Json | None:
    match part:
        case Text() if part.citations:
            raws = [citation.raw for citation in part.citations]
            return {"citationsContent": {"content": [{"text": part.text}], "citations": raws}}
        case Text() | Refusal():
            return {"text": part.text} if part.text else None
        case ToolCall():
            return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": arguments_of(part)}}
        case Reasoning():
            return {"reasoningContent": _thought(part)}
        case Image():
            return image_block(part, is_own=is_own)
        case Audio():
            return audio_block(part)
        case Item():
            return part.raw
        case _:
            raise TypeError(f"a model does not answer with a part of type `{type(part).__name__}`")


def _thought(part: Reasoning) -> Json:
    if part.is_redacted and part.opaque is not None:
        return {"redactedContent": part.opaque.data}
    signature = {"signature": part.opaque.data} if part.opaque is not None else {}
    return {"reasoningText": {"text": part.text, **signature}}


class ConverseEncoder:
    """Canonical events to messages of an event stream, blocks numbered as they begin."""

    def __init__(self) -> None:
        self._index = -1
        self._open = ""
        self._calls: dict[int, int] = {}

    def feed(self, event: StreamEvent) -> bytes:
        """The messages that say `event`."""
        match event:
            case Start():
                return _event("messageStart", {"role": "assistant"})
            case ReasoningEnd():
                return self._end_thinking(event)
            case ToolCallStart():
                return self._begin_call(event)
            case ToolCallDelta():
                held = {"contentBlockIndex": self._calls[event.call], "delta": {"toolUse": {"input": event.arguments}}}
                return _event("contentBlockDelta", held)
            case PartDelta():
                return self._part(event)
            case Finish():
                return self._finish(event)
            case UsageEvent():
                held = {"usage": raw_of(event.usage), "metrics": {"latencyMs": 0}, **event.extra}
                return _event("metadata", held)
            case ErrorEvent():
                return exception_frame(event.status, event.message)
            case _:
                return self._said(event)

    def end(self) -> bytes:
        """Nothing: the last message has been said."""
        return b""

    def _said(self, event: TextDelta | RefusalDelta | CitationDelta | ReasoningDelta | ExtraDelta) -> bytes:
        match event:
            case TextDelta() | RefusalDelta():
                return self._delta("text", {"text": event.text})
            case CitationDelta():
                return self._delta("text", {"citation": event.citation.raw})
            case ReasoningDelta():
                return self._delta("thinking", {"reasoningContent": {"text": event.text}})
            case ExtraDelta():
                return self._delta(self._open or "text", event.members)

    def _delta(self, kind: str, delta: Json) -> bytes:
        said = b""
        if self._open != kind:
            said, self._open = self._close(), kind
            self._index += 1
        return said + _event("contentBlockDelta", {"contentBlockIndex": self._index, "delta": delta})

    def _close(self) -> bytes:
        closed, self._open = bool(self._open), ""
        return _event("contentBlockStop", {"contentBlockIndex": self._index}) if closed else b""

    def _end_thinking(self, event: ReasoningEnd) -> bytes:
        if event.opaque is None:
            return self._close() if self._open == "thinking" else b""
        name = "redactedContent" if event.is_redacted else "signature"
        said = self._close() if event.is_redacted else b""
        said += self._delta("thinking", {"reasoningContent": {name: event.opaque.data}})
        return said + self._close()

    def _begin_call(self, event: ToolCallStart) -> bytes:
        said = self._close()
        self._index += 1
        self._open = "call"
        self._calls[event.call] = self._index
        start = {"toolUse": {"toolUseId": event.id, "name": event.name}}
        return said + _event("contentBlockStart", {"contentBlockIndex": self._index, "start": start})

    def _part(self, event: PartDelta) -> bytes:
        block = _block(event.part, is_own=False)
        if block is None or "image" not in block:
            return b""
        said = self._close()
        self._index += 1
        form, source = block["image"]["format"], block["image"]["source"]
        at = {"contentBlockIndex": self._index}
        said += _event("contentBlockStart", {**at, "start": {"image": {"format": form}}})
        said += _event("contentBlockDelta", {**at, "delta": {"image": {"source": source}}})
        return said + _event("contentBlockStop", at)

    def _finish(self, event: Finish) -> bytes:
        raw = event.raw if event.raw in set(_STOPS.values()) | {"stop_sequence", "guardrail_intervened"} else None
        held: Json = {"stopReason": _stop_of(event.reason, raw, event.stop)}
        if event.stop is not None:
            held["additionalModelResponseFields"] = {"delta": {"stop_sequence": event.stop}}
        return self._close() + _event("messageStop", held)


def exception_frame(status: int, message: str) -> bytes:
    """An error as Bedrock says it in the middle of a stream; its SDKs raise on it."""
    kind = _EXCEPTIONS.get(status, "internalServerException")
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return encode_frame(headers, msgspec.json.encode({"message": message}))


def _event(kind: str, payload: Json) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, msgspec.json.encode(payload))
