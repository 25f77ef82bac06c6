"""The canonical reply as an answer of Ollama's chat. No client reads it: for tests, and for tools that write recordings."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from msgspec import Raw

from headgate.chat import (
    ChatReply,
    Choice,
    ErrorEvent,
    Finish,
    FinishReason,
    Image,
    Message,
    PartDelta,
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
from headgate.dialects.functions import arguments_text
from headgate.dialects.openai.members import Json, given, merged
from headgate_ollama.replies import NAME


def encode_reply(reply: ChatReply) -> Json:
    """The first choice as a whole answer: a reply of Ollama has no more."""
    choice = reply.choices[0] if reply.choices else Choice(Message("assistant"))
    parts = choice.message.parts
    text = "".join(part.text for part in parts if isinstance(part, Text | Refusal))
    thinking = "".join(part.text for part in parts if isinstance(part, Reasoning))
    images = [part.data for part in parts if isinstance(part, Image) and part.data is not None]
    calls = [_encode_call(part) for part in parts if isinstance(part, ToolCall)]
    beside = given(thinking=thinking or None, images=images or None, tool_calls=calls or None)
    body: Json = {
        "model": reply.model,
        "created_at": _time(reply.created),
        "message": merged({"role": "assistant", "content": text, **beside}, choice.message.extra),
        "done": True,
        "done_reason": _word(choice.finish, choice.finish_raw),
        **_metrics(reply.usage),
    }
    return merged(body, reply.extra) if reply.dialect == NAME else body


class OllamaEncoder:
    """Canonical events to lines. A call is said once it is whole."""

    def __init__(self) -> None:
        self._head: Json = {"model": "", "created_at": _time(0)}
        self._calls: dict[int, ToolCall] = {}
        self._last: Json = {"done_reason": "stop"}
        self._has_failed = False

    def feed(self, event: StreamEvent) -> bytes:
        """Encode one event."""
        match event:
            case Start():
                self._head = {"model": event.model, "created_at": _time(event.created)}
                return b""
            case TextDelta() | RefusalDelta():
                return self._line({"content": event.text})
            case ReasoningDelta():
                return self._line({"content": "", "thinking": event.text})
            case ToolCallStart():
                self._calls[event.call] = ToolCall(event.id, event.name, "", event.call, extra=event.extra)
                return b""
            case ToolCallDelta():
                call = self._calls[event.call]
                self._calls[event.call] = msgspec.structs.replace(call, arguments=call.arguments + event.arguments)
                return b""
            case PartDelta():
                data = event.part.data if isinstance(event.part, Image) else None
                return self._line({"content": "", "images": [data]}) if data is not None else b""
            case Finish():
                self._last["done_reason"] = _word(event.reason, event.raw)
                return b""
            case UsageEvent():
                self._last |= _metrics(event.usage)
                return b""
            case ErrorEvent():
                self._has_failed = True
                return msgspec.json.encode({"error": event.message}) + b"\n"
            case _:
                return b""

    def end(self) -> bytes:
        """The calls, and the last line; nothing behind an error."""
        if self._has_failed:
            return b""
        calls = [_encode_call(self._calls[call]) for call in sorted(self._calls)]
        said = self._line({"content": "", "tool_calls": calls}) if calls else b""
        return said + self._line({"content": ""}, done=True, **self._last)

    def _line(self, message: Json, **members: object) -> bytes:
        line = {**self._head, "message": {"role": "assistant", **message}, "done": False, **members}
        return msgspec.json.encode(line) + b"\n"


def _encode_call(call: ToolCall) -> Json:
    return merged(
        {"id": call.id, "function": {"name": call.name, "arguments": Raw(arguments_text(call).strip().encode())}},
        call.extra,
    )


def _word(reason: FinishReason | None, raw: str | None) -> str:
    return "length" if reason == "length" else raw if raw in {"load", "unload"} else "stop"


def _metrics(usage: Usage | None) -> Json:
    if usage is None:
        return {}
    raw = usage.raw if usage.raw and "eval_count" in usage.raw else {}
    return {**raw, "prompt_eval_count": usage.prompt, "eval_count": usage.completion}


def _time(created: int) -> str:
    return datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
