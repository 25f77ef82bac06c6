"""The canonical reply as an answer of Cohere's chat. No client reads it: for tests, and for tools that write recordings."""

from __future__ import annotations

from typing import Any

import msgspec

from headgate.chat import (
    ChatReply,
    Choice,
    CitationDelta,
    ErrorEvent,
    Finish,
    Item,
    Message,
    Reasoning,
    ReasoningDelta,
    Refusal,
    RefusalDelta,
    Start,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageEvent,
)
from headgate.dialects.openai.members import Json, given, merged
from headgate.dialects.sse import DONE
from headgate_cohere.replies import FINISH, NAME

_WORDS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}


def encode_reply(reply: ChatReply) -> Json:
    """The first choice as a whole answer: a reply of Cohere has no more."""
    choice = reply.choices[0] if reply.choices else Choice(Message("assistant"))
    message, texts = choice.message, [part for part in choice.message.parts if isinstance(part, Text)]
    content = [block for part in message.parts for block in _blocks(part)]
    calls = [_encode_call(part) for part in message.parts if isinstance(part, ToolCall)]
    cited = [citation.raw for text in texts for citation in text.citations]
    said = {"role": "assistant", **given(content=content or None, tool_calls=calls or None, citations=cited or None)}
    body: Json = {
        "id": reply.id,
        "message": merged(said, message.extra),
        "finish_reason": finish_word(choice.finish, choice.finish_raw, choice.stop),
        **given(logprobs=choice.logprobs),
    }
    if reply.usage is not None:
        body["usage"] = encode_usage(reply.usage)
    return merged(body, reply.extra) if reply.dialect == NAME else body


def finish_word(reason: str | None, raw: str | None, stop: str | None) -> str:
    """Cohere's word for the end."""
    if raw in FINISH:
        return raw
    return "STOP_SEQUENCE" if stop is not None else _WORDS.get(reason or "stop", "ERROR")


def encode_usage(usage: Usage) -> Json:
    """Cohere's usage object."""
    raw = usage.raw or {}
    tokens = {"input_tokens": usage.prompt, "output_tokens": usage.completion}
    return {**given(billed_units=raw.get("billed_units")), "tokens": tokens, "cached_tokens": usage.cached}


class CohereEncoder:
    """Canonical events to named events, a block for each run of text or thinking."""

    def __init__(self) -> None:
        self._kind = ""
        self._at = -1
        self._call: int | None = None
        self._finish: Json = {}
        self._has_failed = False

    def feed(self, event: StreamEvent) -> bytes:
        """Encode one event."""
        match event:
            case Start():
                return _event("message-start", id=event.id, delta={"message": {"role": "assistant"}})
            case TextDelta() | RefusalDelta():
                return self._grow("text", event.text)
            case ReasoningDelta():
                return self._grow("thinking", event.text)
            case CitationDelta():
                return _event("citation-start", index=0, delta={"message": {"citations": event.citation.raw}})
            case ToolCallStart():
                function = {"name": event.name, "arguments": ""}
                held = {"id": event.id, "type": "function", "function": function}
                begin = _event("tool-call-start", index=event.call, delta={"message": {"tool_calls": held}})
                closed, self._call = self._closed(), event.call
                return closed + begin
            case ToolCallDelta():
                held = {"function": {"arguments": event.arguments}}
                return _event("tool-call-delta", index=event.call, delta={"message": {"tool_calls": held}})
            case Finish():
                self._finish["finish_reason"] = finish_word(event.reason, event.raw, event.stop)
                return b""
            case UsageEvent():
                self._finish["usage"] = encode_usage(event.usage)
                return b""
            case ErrorEvent():
                self._has_failed = True
                return _event("message-end", delta={"finish_reason": "ERROR", "error": event.message})
            case _:
                return b""

    def end(self) -> bytes:
        """The last event, and `[DONE]`; nothing behind an error."""
        if self._has_failed:
            return b""
        return self._closed() + _event("message-end", delta=self._finish) + DONE

    def _grow(self, kind: str, text: str) -> bytes:
        begin = b""
        if kind != self._kind:
            begin = self._closed()
            self._kind, self._at = kind, self._at + 1
            begin += _event("content-start", index=self._at, delta={"message": {"content": {"type": kind, kind: ""}}})
        return begin + _event("content-delta", index=self._at, delta={"message": {"content": {kind: text}}})

    def _closed(self) -> bytes:
        """The end of what is open: a block of content, or a call."""
        said = _event("content-end", index=self._at) if self._kind else b""
        if self._call is not None:
            said += _event("tool-call-end", index=self._call)
        self._kind, self._call = "", None
        return said


def _event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + msgspec.json.encode({"type": kind, **members}) + b"\n\n"


def _blocks(part: object) -> list[Json]:
    match part:
        case Text() | Refusal():
            return [{"type": "text", "text": part.text, **part.extra}]
        case Reasoning():
            return [{"type": "thinking", "thinking": part.text, **part.extra}]
        case Item():
            return [part.raw]
        case _:
            return []


def _encode_call(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    return merged({"id": call.id, "type": "function", "function": function}, call.extra)
